//! `paceline route`

use paceline_daemon::Client;
use paceline_daemon::api::{AddRoute, RemoveRoute};
use paceline_model::{Path, Route};

use crate::args::{AddRouteArgs, RouteCommand};
use crate::fail::Fail;
use crate::table::say;

/// Adds a route or takes one out.
pub async fn route(client: &Client, command: RouteCommand) -> Result<(), Fail> {
    match command {
        RouteCommand::Add(AddRouteArgs { prefix, via, interface, vrf, what }) => {
            let route = if what.blackhole {
                Route::Blackhole
            } else if what.unreachable {
                Route::Unreachable
            } else if what.prohibit {
                Route::Prohibit
            } else {
                let path = |via| Path { via, interface: interface.clone() };
                let paths: Vec<_> = via.into_iter().map(|via| path(Some(via))).collect();
                Route::Via(if paths.is_empty() { vec![path(None)] } else { paths })
            };
            client.post("/v1/route/add", &AddRoute { vrf: vrf.clone(), prefix, route }).await?;
            say(&format!("route {prefix} in VRF {vrf}: added; it outlives a restart"))
        }
        RouteCommand::Del { prefix, vrf } => {
            client.post("/v1/route/del", &RemoveRoute { vrf: vrf.clone(), prefix }).await?;
            say(&format!("route {prefix} in VRF {vrf}: removed"))
        }
    }
}
