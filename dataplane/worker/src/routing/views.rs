//! What routing shows of itself.

use ipnet::IpNet;
use paceline_graph::Action;
use paceline_router::neighbour::State;

use super::lines::Target;
use super::{Routing, Table};
use crate::spec::Topology;
use crate::view::{NeighbourView, RouteView, VrfView};

impl Routing {
    /// All routes of a topology, also those that no interface leads to.
    pub(crate) fn route_views(&self, topology: &Topology) -> Vec<RouteView> {
        let mut views = Vec::new();
        for table in &self.tables {
            let spec = topology.vrfs.get(&*table.name);
            let is_static = |prefix: &IpNet| spec.is_some_and(|spec| spec.routes.contains_key(prefix));
            let rows = table
                .iter()
                .map(|(prefix, number)| (prefix, self.route(table, prefix, number, is_static(&prefix))));
            let mut rows: Vec<(IpNet, RouteView)> = rows.collect();
            let missing =
                spec.into_iter().flat_map(|spec| spec.routes.keys()).filter(|p| table.get(**p).is_none());
            rows.extend(missing.map(|prefix| (*prefix, Routing::inactive(table, *prefix))));
            rows.sort_by_key(|row| row.0);
            views.extend(rows.into_iter().map(|row| row.1));
        }
        views.sort_by(|a, b| a.vrf.cmp(&b.vrf));
        views
    }

    fn inactive(table: &Table, prefix: IpNet) -> RouteView {
        RouteView {
            vrf: table.name.to_string(),
            prefix: prefix.to_string(),
            origin: "static",
            action: "inactive",
            next_hops: Vec::new(),
        }
    }

    fn route(&self, table: &Table, prefix: IpNet, number: u32, is_static: bool) -> RouteView {
        let target = self.lines.target(number);
        let (origin, action) = match target {
            Some(Target::Act(Action::Local | Action::Tunnel)) => ("local", "local"),
            Some(Target::Act(Action::Translate | Action::TunnelTranslate)) => ("nat", "translate"),
            Some(Target::Act(Action::Blackhole)) => ("connected", "blackhole"),
            Some(Target::Act(Action::Unreachable)) => ("static", "unreachable"),
            Some(Target::Act(Action::Prohibit)) => ("static", "prohibit"),
            Some(Target::Neighbour(_, address)) if IpNet::from(*address) == prefix => {
                ("neighbour", "forward")
            }
            _ => ("connected", "forward"),
        };
        RouteView {
            vrf: table.name.to_string(),
            prefix: prefix.to_string(),
            origin: if is_static { "static" } else { origin },
            action,
            next_hops: self.next_hops(number),
        }
    }

    fn next_hops(&self, number: u32) -> Vec<String> {
        let name = |interface: u16| self.legs.get(&interface).map_or("?", |leg| &leg.name).to_string();
        match self.lines.target(number) {
            Some(Target::Glean(link) | Target::Peer(link, _)) => vec![name(link.interface)],
            Some(Target::Neighbour(link, address)) => vec![format!("{address} {}", name(link.interface))],
            Some(Target::Balance(paths)) => paths.iter().flat_map(|path| self.next_hops(*path)).collect(),
            Some(Target::Act(_)) | None => Vec::new(),
        }
    }

    /// All neighbours.
    pub(crate) fn neighbour_views(&self) -> Vec<NeighbourView> {
        let mut all: Vec<_> = self.neighbours.iter().collect();
        let name = |interface: u16| self.legs.get(&interface).map_or("?", |leg| &leg.name).to_string();
        all.sort_by_key(|neighbour| (name(neighbour.interface), neighbour.address));
        let now = self.now();
        let view = |neighbour: paceline_router::neighbour::Neighbour| NeighbourView {
            interface: name(neighbour.interface),
            address: neighbour.address.to_string(),
            mac: neighbour.mac.map(|mac| mac.to_string()),
            state: match neighbour.state {
                State::Incomplete => "incomplete",
                State::Reachable => "reachable",
                State::Stale => "stale",
                State::Probing => "probing",
                State::Failed => "failed",
                State::Static => "static",
            },
            age_s: now.saturating_sub(neighbour.since).as_secs(),
            waiting: neighbour.waiting,
        };
        all.into_iter().map(view).collect()
    }

    /// All routing tables that somebody names.
    pub(crate) fn vrf_views(&self) -> Vec<VrfView> {
        let interfaces = |table: &Table| {
            let legs = self.legs.values().filter(|leg| *leg.vrf == *table.name);
            legs.map(|leg| leg.name.to_string()).collect()
        };
        let view = |table: &Table| VrfView {
            name: table.name.to_string(),
            interfaces: interfaces(table),
            routes: table.len(),
            bytes: table.bytes(),
        };
        let mut views: Vec<_> = self.tables.iter().map(view).collect();
        views.retain(|view| view.routes > 0 || !view.interfaces.is_empty());
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }
}
