//! `paceline show` and `paceline clear macs`

mod columns;

use paceline_daemon::Client;
use paceline_daemon::api::{ClearMacs, ClearNetwork};
use serde_json::Value;

use crate::args::What;
use crate::fail::Fail;
use crate::table::{print, print_fields, print_json, say};

/// Asks the switch and prints its answer.
pub async fn show(client: &Client, what: What, json: bool) -> Result<(), Fail> {
    let path = match what {
        What::Interfaces => "/v1/interfaces",
        What::Bridges => "/v1/bridges",
        What::Macs => "/v1/macs",
        What::Vrfs => "/v1/vrfs",
        What::Routes => "/v1/routes",
        What::Neighbours => "/v1/neighbours",
        What::Runtime => "/v1/runtime",
        What::Drops => "/v1/drops",
        What::Buffers => "/v1/buffers",
        What::Networks => "/v1/networks",
        What::Ports => "/v1/ports",
        What::Endpoints => "/v1/endpoints",
        What::Workers => "/v1/workers",
        What::Version => "/v1/version",
    };
    let answer = client.get(path).await?;
    match &answer {
        _ if json => print_json(&answer),
        Value::Array(rows) => {
            let (columns, none) = columns::of(what);
            print(columns, rows, none)
        }
        other => print_fields(other),
    }
}

/// Forgets a network that Docker no longer has.
pub async fn clear_network(client: &Client, network: String) -> Result<(), Fail> {
    client.post("/v1/clear/network", &ClearNetwork { network: network.clone() }).await?;
    say(&format!("network {network} forgotten; its subnets are free"))
}

/// Forgets learned addresses.
pub async fn clear_macs(client: &Client, bridge: Option<String>) -> Result<(), Fail> {
    let answer = client.post("/v1/clear/macs", &ClearMacs { bridge }).await?;
    say(&format!("{} addresses forgotten", answer["cleared"]))
}
