//! `GET`: what there is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use paceline_worker::{
    BridgeView, DropView, FlowSessionView, InterfaceView, MacView, MulticastView, NatSessionView, NatView,
    NeighbourView, NodeView, RouteView, VrfView, WorkerView,
};

use super::views::{
    self, BuffersView, EndpointView, FilterRuleView, NetworkView, PortView, TunnelRow, VersionView,
};
use crate::Switch;

type Shared = State<Arc<Switch>>;

pub async fn version(State(switch): Shared) -> Json<VersionView> {
    let docker = &switch.config().docker;
    let driver = docker.socket.file_stem().filter(|_| docker.enabled);
    let (uptime, workers) = switch.engine(|engine| (engine.uptime(), engine.workers()));
    Json(VersionView {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        uptime_s: uptime.as_secs(),
        workers,
        docker_driver: driver.map(|stem| stem.to_string_lossy().into_owned()),
        state_dir: switch.config().state.dir.display().to_string(),
    })
}

pub async fn interfaces(State(switch): Shared) -> Json<Vec<InterfaceView>> {
    Json(views::interfaces(&switch))
}

pub async fn bridges(State(switch): Shared) -> Json<Vec<BridgeView>> {
    Json(switch.engine(|engine| engine.bridges()))
}

pub async fn macs(State(switch): Shared) -> Json<Vec<MacView>> {
    Json(switch.engine(|engine| engine.macs(None)))
}

pub async fn groups(State(switch): Shared) -> Json<Vec<MulticastView>> {
    Json(switch.engine(|engine| engine.multicast()))
}

pub async fn tunnels(State(switch): Shared) -> Json<Vec<TunnelRow>> {
    Json(views::tunnels(&switch))
}

pub async fn routes(State(switch): Shared) -> Json<Vec<RouteView>> {
    Json(switch.engine(|engine| engine.routes()))
}

pub async fn neighbours(State(switch): Shared) -> Json<Vec<NeighbourView>> {
    Json(switch.engine(|engine| engine.neighbours()))
}

pub async fn nat(State(switch): Shared) -> Json<Vec<NatView>> {
    Json(switch.engine(|engine| engine.nat()))
}

pub async fn nat_sessions(State(switch): Shared) -> Json<Vec<NatSessionView>> {
    Json(switch.engine(|engine| engine.nat_sessions()))
}

pub async fn vrfs(State(switch): Shared) -> Json<Vec<VrfView>> {
    Json(switch.engine(|engine| engine.vrfs()))
}

pub async fn runtime(State(switch): Shared) -> Json<Vec<NodeView>> {
    Json(switch.engine(|engine| engine.runtime()))
}

pub async fn drops(State(switch): Shared) -> Json<Vec<DropView>> {
    let mut drops = switch.engine(|engine| engine.drops());
    // Who takes ports may hold it for a while.
    let missed = tokio::task::block_in_place(|| switch.ports().missed());
    drops.extend((missed > 0).then_some(DropView {
        scope: "host",
        name: "published-ports".into(),
        reason: "no-room",
        description: "More connections or UDP clients than are passed on at once: a connection waited, a datagram was lost.",
        packets: missed,
    }));
    Json(drops)
}

pub async fn filters(State(switch): Shared) -> Json<Vec<FilterRuleView>> {
    Json(views::filters(&switch))
}

pub async fn sessions(State(switch): Shared) -> Json<Vec<FlowSessionView>> {
    Json(switch.engine(|engine| engine.flow_sessions()))
}

pub async fn buffers(State(switch): Shared) -> Json<BuffersView> {
    Json(switch.engine(|engine| engine.buffers()).into())
}

pub async fn workers(State(switch): Shared) -> Json<Vec<WorkerView>> {
    Json(switch.engine(|engine| engine.worker_views()))
}

pub async fn networks(State(switch): Shared) -> Json<Vec<NetworkView>> {
    Json(views::networks(&switch))
}

pub async fn endpoints(State(switch): Shared) -> Json<Vec<EndpointView>> {
    Json(views::endpoints(&switch))
}

pub async fn ports(State(switch): Shared) -> Json<Vec<PortView>> {
    Json(views::ports(&switch))
}
