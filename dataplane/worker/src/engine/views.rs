//! What the engine shows of itself.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ipnet::IpNet;
use paceline_buf::PoolStats;
use paceline_graph::{Count, Drops, InterfaceCounters, Reason, UnknownUnicast};
use paceline_ports::LinkState;
use paceline_router::snooping::Role;
use paceline_sys::cpu::tsc_hz;
use paceline_tables::MulticastTable;

use super::publish::{is_bridge_end, leg_of_end};
use super::{Attached, Engine};
use crate::idle::Mode;
use crate::routing::Server;
use crate::view::{
    BridgeView, DropView, InterfaceView, MacView, MulticastView, NeighbourView, NodeView, RouteView, VrfView,
    WorkerView,
};

impl Engine {
    /// What the packet memory holds.
    pub fn buffers(&self) -> PoolStats {
        self.pool.stats()
    }

    /// Time since the workers started.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// All interfaces.
    pub fn interfaces(&mut self) -> Vec<InterfaceView> {
        self.listen();
        let views = self.interfaces.iter().enumerate().filter_map(|(index, i)| Some((index, i.as_ref()?)));
        let views = views.filter(|(_, i)| !is_bridge_end(&i.name));
        let mut views: Vec<_> = views.map(|(index, i)| i.view(self.bridge_of(index as u16, i))).collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }

    /// The bridge that an interface is in, or that it is the routed leg of.
    fn bridge_of(&self, index: u16, attached: &Attached) -> Option<String> {
        self.bridges.get(&index).or_else(|| self.bridges.get(&attached.peer?)).cloned()
    }

    /// Nodes and ports, per worker, those that have run.
    pub fn runtime(&self) -> Vec<NodeView> {
        let mut views = Vec::new();
        for (worker, member) in self.workers.iter().enumerate() {
            for (name, c) in member.link.nodes.iter().zip(member.link.node_counters.iter()) {
                let (vectors, packets, cycles) = (c.vectors.get(), c.packets.get(), c.cycles.get());
                views.push(node(worker, (*name).into(), vectors, packets, cycles, c.drops.total()));
            }
            for interface in self.interfaces.iter().flatten() {
                let (name, c) = (&interface.name, &interface.counters[worker]);
                let (vectors, packets) = (c.rx_vectors.get(), c.rx_packets.get());
                views.push(node(worker, format!("{name}-rx"), vectors, packets, c.rx_cycles.get(), 0));
                let (vectors, packets) = (c.tx_vectors.get(), c.tx_packets.get());
                views.push(node(worker, format!("{name}-tx"), vectors, packets, c.tx_cycles.get(), 0));
            }
        }
        views.retain(|v| v.vectors > 0);
        views
    }

    /// Drops by node, then by interface: a packet that a node dropped is in both lists, once. Then what control dropped of what
    /// workers left to it.
    pub fn drops(&self) -> Vec<DropView> {
        let mut views = Vec::new();
        let nodes = self.workers.first().map_or(&[][..], |m| &m.link.nodes[..]);
        for (index, name) in nodes.iter().enumerate() {
            let all = self.workers.iter().map(|m| &m.link.node_counters[index].drops);
            collect("node", name, all, &mut views);
        }
        for interface in self.interfaces.iter().flatten() {
            let all = interface.counters.iter().map(|c| &c.drops);
            collect("interface", &interface.name, all, &mut views);
        }
        let routing = self.routing();
        for (table, drops) in routing.local_drops() {
            list("vrf", table, drops, &mut views);
        }
        let mut sums = BTreeMap::from(routing.neighbour_drops());
        for (reason, count) in self.server.iter().flat_map(|server| server.drops().seen()) {
            *sums.entry(reason).or_insert(0) += count;
        }
        list("thread", Server::THREAD, sums, &mut views);
        views
    }

    /// Addresses of all bridge domains, or of one bridge.
    pub fn macs(&self, bridge: Option<&str>) -> Vec<MacView> {
        let mut views = Vec::new();
        for ((name, vlan), domain) in self.domains.iter().filter(|d| bridge.is_none_or(|b| b == d.0.0)) {
            let tick = domain.seconds_per_tick();
            for entry in domain.macs.entries() {
                let m = entry.mac.to_be_bytes();
                let interface = self.interfaces.get(entry.port as usize).and_then(Option::as_ref);
                views.push(MacView {
                    bridge: name.clone(),
                    vlan: *vlan,
                    mac: m[2..].iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":"),
                    interface: interface.map_or_else(|| "?".into(), |i| i.name.to_string()),
                    is_static: entry.is_static,
                    age_s: u32::from(entry.age) * tick,
                });
            }
        }
        views.sort_by(|a, b| (&a.bridge, a.vlan, &a.mac).cmp(&(&b.bridge, b.vlan, &b.mac)));
        views
    }

    /// Who is in which multicast group, in all bridge domains that listen.
    pub fn multicast(&self) -> Vec<MulticastView> {
        let mut views = Vec::new();
        let routing = self.routing();
        for ((name, vlan), domain) in self.domains.iter() {
            for (role, port, left) in routing.overheard(domain.number()) {
                let (role, group) = match role {
                    Role::Member(group) => ("member", Some(group.to_string())),
                    Role::Router { is_ipv6: false } => ("router4", None),
                    Role::Router { is_ipv6: true } => ("router6", None),
                };
                let interface = self.interfaces.get(port as usize).and_then(Option::as_ref);
                views.push(MulticastView {
                    bridge: name.clone(),
                    vlan: *vlan,
                    group,
                    role,
                    interface: interface.map_or_else(|| "?".into(), |i| leg_of_end(&i.name).to_string()),
                    left_s: left.as_secs(),
                });
            }
        }
        views
    }

    /// All bridge domains.
    pub fn bridges(&self) -> Vec<BridgeView> {
        let mut views = Vec::new();
        for ((name, vlan), domain) in self.domains.iter() {
            let Some(spec) = self.topology.bridges.get(name) else { continue };
            let is_member = |vlans: Vec<u16>| vlan.map_or(vlans.is_empty(), |v| vlans.contains(&v));
            let members = spec.members.iter().filter(|(_, m)| is_member(m.vlan.vlans()));
            views.push(BridgeView {
                name: name.clone(),
                vlan: *vlan,
                members: members.map(|(name, _)| name.clone()).collect(),
                macs: domain.macs.len(),
                snooping: domain.multicast().is_some(),
                groups: domain.multicast().map_or(0, MulticastTable::len),
                groups_refused: self.routing().groups_refused(domain.number()),
                mac_limit: spec.mac_limit,
                mac_age_s: spec.mac_age_s,
                learn: spec.learn,
                unknown_unicast: match spec.unknown_unicast {
                    UnknownUnicast::Flood => "flood",
                    UnknownUnicast::Drop => "drop",
                },
                learned: domain.counters.learned.load(Relaxed),
                moved: domain.counters.moved.load(Relaxed),
                refused: domain.counters.refused.load(Relaxed),
                misplaced: domain.counters.misplaced.load(Relaxed),
                suppressed: domain.counters.suppressed.load(Relaxed),
            });
        }
        views
    }

    /// All routes, ordered by table and prefix.
    pub fn routes(&self) -> Vec<RouteView> {
        self.routing().route_views(&self.topology)
    }

    /// Why a routing table of the topology, or a route of it among those that are meant, is not there; none if it is.
    pub fn route_error(&self, vrf: &str, is_meant: impl Fn(&IpNet) -> bool) -> Option<String> {
        self.routing().error(vrf, is_meant)
    }

    /// All neighbours, ordered by interface and address.
    pub fn neighbours(&self) -> Vec<NeighbourView> {
        self.routing().neighbour_views()
    }

    /// All routing tables, ordered by name.
    pub fn vrfs(&self) -> Vec<VrfView> {
        self.routing().vrf_views()
    }

    /// All workers.
    pub fn worker_views(&self) -> Vec<WorkerView> {
        let elapsed = self.started.elapsed().as_secs_f64() * tsc_hz() as f64;
        let view = |(worker, member): (usize, &super::Member)| {
            let c = &member.link.counters;
            WorkerView {
                worker,
                core: member.core,
                mode: match self.mode {
                    Mode::Adaptive => "adaptive",
                    Mode::Poll => "poll",
                    Mode::Interrupt => "interrupt",
                },
                turns: c.turns.get(),
                busy_turns: c.busy_turns.get(),
                sleeps: c.sleeps.get(),
                asleep: (c.sleep_cycles.get() as f64 / elapsed).min(1.0),
                handed_off: c.handed_off.get(),
            }
        };
        self.workers.iter().enumerate().map(view).collect()
    }

    /// Forgets learned addresses, of all bridges or of one. Returns how many there were.
    pub fn clear_macs(&self, bridge: Option<&str>) -> usize {
        let wanted = self.domains.iter().filter(|d| bridge.is_none_or(|b| b == d.0.0));
        wanted.map(|(_, domain)| domain.macs.flush()).sum()
    }
}

impl Attached {
    fn view(&self, bridge: Option<String>) -> InterfaceView {
        let sum = |of: fn(&InterfaceCounters) -> &Count| self.counters.iter().map(|c| of(c).get()).sum();
        let (state, reason) = match &self.state {
            LinkState::Up => ("up", None),
            LinkState::Down(why) => ("down", Some((*why).to_string())),
        };
        InterfaceView {
            name: self.name.to_string(),
            kind: self.kind.into(),
            state: state.into(),
            reason,
            mtu: self.mtu.unwrap_or(0),
            bridge,
            queues: self.owners.len(),
            rx_packets: sum(|c| &c.rx_packets),
            rx_bytes: sum(|c| &c.rx_bytes),
            tx_packets: sum(|c| &c.tx_packets),
            tx_bytes: sum(|c| &c.tx_bytes),
            drops: self.counters.iter().map(|c| c.drops.total()).sum(),
        }
    }
}

fn node(worker: usize, name: String, vectors: u64, packets: u64, cycles: u64, drops: u64) -> NodeView {
    let ratio = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
    NodeView {
        worker,
        name,
        vectors,
        packets,
        packets_per_vector: ratio(packets, vectors),
        cycles_per_packet: ratio(cycles, packets),
        drops,
    }
}

fn collect<'a>(
    scope: &'static str,
    name: &str,
    all: impl Iterator<Item = &'a Drops>,
    views: &mut Vec<DropView>,
) {
    let mut sums = BTreeMap::new();
    for (reason, count) in all.flat_map(Drops::seen) {
        *sums.entry(reason).or_insert(0) += count;
    }
    list(scope, name, sums, views);
}

/// Adds a row for each reason that was seen.
fn list(
    scope: &'static str,
    name: &str,
    drops: impl IntoIterator<Item = (Reason, u64)>,
    views: &mut Vec<DropView>,
) {
    let seen = drops.into_iter().filter(|(_, packets)| *packets > 0);
    views.extend(seen.map(|(reason, packets)| DropView {
        scope,
        name: name.to_string(),
        reason: reason.name(),
        description: reason.description().trim(),
        packets,
    }));
}
