//! `paceline show` and `paceline clear macs`

mod columns;

use paceline_daemon::Client;
use paceline_daemon::api::{ClearMacs, ClearNetwork};
use serde_json::Value;

use crate::args::{Show, What};
use crate::fail::Fail;
use crate::table::{print, print_fields, print_json, say};

/// Asks the switch and prints its answer.
pub async fn show(client: &Client, show: Show) -> Result<(), Fail> {
    let Show { what, json, session } = show;
    if let Some(address) = session {
        return if what == What::Nat { sessions(client, address, json).await } else { Err(Fail::Session) };
    }
    let path = match what {
        What::Interfaces => "/v1/interfaces",
        What::Bridges => "/v1/bridges",
        What::Macs => "/v1/macs",
        What::Groups => "/v1/groups",
        What::Nat => "/v1/nat",
        What::Tunnels => "/v1/tunnels",
        What::Vrfs => "/v1/vrfs",
        What::Routes => "/v1/routes",
        What::Neighbours => "/v1/neighbours",
        What::Runtime => "/v1/runtime",
        What::Drops => "/v1/drops",
        What::Buffers => "/v1/buffers",
        What::Filters => "/v1/filters",
        What::Sessions => "/v1/sessions",
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

/// Sessions of address translation, all or those with an address or a part of one.
async fn sessions(client: &Client, address: String, json: bool) -> Result<(), Fail> {
    let answer = client.get("/v1/nat/sessions").await?;
    let ends = ["source", "destination", "new_source", "new_destination"];
    // Nothing is a part of all.
    let has = |end: &&str, row: &Value| row[*end].as_str().is_some_and(|end| end.contains(&address));
    let is_it = |row: &Value| ends.iter().any(|end| has(end, row));
    let rows: Vec<Value> =
        answer.as_array().into_iter().flatten().filter(|row| is_it(row)).cloned().collect();
    if json { print_json(&Value::Array(rows)) } else { print(columns::SESSIONS, &rows, "no sessions") }
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
