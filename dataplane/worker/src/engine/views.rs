//! What the engine shows of itself.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use paceline_buf::PoolStats;
use paceline_graph::{Count, Drops, InterfaceCounters, UnknownUnicast};
use paceline_ports::LinkState;
use paceline_sys::cpu::tsc_hz;

use super::publish::is_bridge_end;
use super::{Attached, Engine};
use crate::idle::Mode;
use crate::view::{
    BridgeView, DropView, InterfaceView, MacView, NeighbourView, NodeView, RouteView, VrfView, WorkerView,
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

    /// Drops by node, then by interface. A packet that a node dropped is in both lists, once.
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
    let mut sums = std::collections::BTreeMap::new();
    for (reason, count) in all.flat_map(|d| d.seen().collect::<Vec<_>>()) {
        *sums.entry(reason).or_insert(0) += count;
    }
    views.extend(sums.into_iter().map(|(reason, packets)| DropView {
        scope,
        name: name.to_string(),
        reason: reason.name(),
        description: reason.description().trim(),
        packets,
    }));
}
