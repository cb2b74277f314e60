//! A worker on this thread, with a generator and a null port.

use std::sync::Arc;
use std::time::Duration;

use paceline_buf::{HugePages, Pool, PoolConfig};
use paceline_graph::filter::{Filter, Flows};
use paceline_graph::{
    Adjacencies, Bridge, Capabilities, Interface, InterfaceCounters, L3, Nat, NodeCounters, Snapshot, Vrf,
    Zone,
};
use paceline_nodes::Features;
use paceline_ports::{GeneratorConfig, GeneratorPort, NullPort, Port};
use paceline_wire::ethernet::Mac;
use paceline_worker::{Command, Link, Mode, WakeUp, Worker};

use crate::BenchError;

/// Index of the generator's interface.
pub(crate) const SOURCE: u16 = 0;
/// Index of the null port's interface.
pub(crate) const SINK: u16 = 1;

/// What a routed rig routes by.
pub(crate) struct Routing {
    pub vrf: Vrf,
    pub adjacencies: Arc<Adjacencies>,
    /// The address of the generator's interface.
    pub mac: Mac,
    /// Translation of what leaves by the null port, if there is any.
    pub nat: Option<Arc<Nat>>,
    /// The filter of what comes in by the generator, if there is one.
    pub filtered: Option<Filtered>,
}

/// A filter and the flows that it remembers.
pub(crate) struct Filtered {
    pub filter: Arc<Filter>,
    pub flows: Arc<Flows>,
}

/// The worker, and control's end of it.
pub(crate) struct Rig {
    pub worker: Worker,
    pub source: Arc<[InterfaceCounters]>,
    pub sink: Arc<[InterfaceCounters]>,
    pub node_counters: Arc<[NodeCounters]>,
    pub nodes: Vec<&'static str>,
    link: Link,
}

impl Rig {
    /// Two interfaces in one bridge domain.
    pub(crate) fn bridged(generator: &GeneratorConfig, bridge: Bridge) -> Result<Rig, BenchError> {
        Rig::mixed(generator, Snapshot { bridges: vec![bridge], ..Snapshot::default() }, [None; 2], None)
    }

    /// Two interfaces in one VRF.
    pub(crate) fn routed(generator: &GeneratorConfig, routing: Routing) -> Result<Rig, BenchError> {
        let Routing { vrf, adjacencies, mac, nat, filtered } = routing;
        let (filter, flows) = filtered.map(|filtered| (filtered.filter, filtered.flows)).unzip();
        Rig::mixed(
            generator,
            Snapshot { vrfs: vec![vrf], adjacencies, nat, flows, ..Snapshot::default() },
            [Some(L3 { mac, address4: None, address6: None, mtu: 1500 }); 2],
            filter.as_ref(),
        )
    }

    /// The generator's interface, with a filter if there is one, and the null port's beside what a snapshot has already, each routed
    /// or in the first bridge domain.
    pub(crate) fn mixed(
        generator: &GeneratorConfig,
        snapshot: Snapshot,
        l3: [Option<L3>; 2],
        filter: Option<&Arc<Filter>>,
    ) -> Result<Rig, BenchError> {
        Rig::of(Box::new(GeneratorPort::open(generator)?), snapshot, l3, filter)
    }

    /// The same with another port for a generator.
    pub(crate) fn of(
        source: Box<dyn Port>,
        mut snapshot: Snapshot,
        [source_l3, sink_l3]: [Option<L3>; 2],
        filter: Option<&Arc<Filter>>,
    ) -> Result<Rig, BenchError> {
        // As large as the daemon's default, so that the free buffers do not stay in cache by themselves.
        let pool = Pool::new(PoolConfig { huge_pages: HugePages::Prefer, ..PoolConfig::default() })?;
        let mut team = Worker::team(1, &pool, Mode::Poll, Duration::ZERO, &WakeUp::new()?)?;
        let Some((worker, link)) = team.pop() else {
            return Err(BenchError::System(std::io::ErrorKind::Other.into()));
        };
        let counters = || -> Arc<[InterfaceCounters]> { Arc::new([InterfaceCounters::default()]) };
        let mut rig = Rig {
            worker,
            source: counters(),
            sink: counters(),
            node_counters: Arc::clone(&link.node_counters),
            nodes: link.nodes.clone(),
            link,
        };
        let sink: Box<dyn Port> = Box::new(NullPort);
        let mut ports = Vec::new();
        for (index, name, port, l3, counters) in [
            (SINK, "null", sink, sink_l3, Arc::clone(&rig.sink)),
            (SOURCE, "generator", source, source_l3, Arc::clone(&rig.source)),
        ] {
            let routed = l3.is_some();
            let nat = index == SINK && snapshot.nat.is_some();
            let filter = filter.filter(|_| index == SOURCE).cloned();
            let (acl_input, capabilities) = (filter.is_some(), Capabilities::ALL);
            let vxlan_bypass = routed
                && snapshot
                    .interfaces
                    .iter()
                    .flatten()
                    .any(|i| i.tunnel.as_ref().is_some_and(|t| t.origin == index));
            let features =
                Features { routed, nat, acl_input, vxlan_bypass, capabilities, ..Features::default() };
            let (input, output) = paceline_nodes::arcs(index, features);
            snapshot.set_interface(
                index,
                Interface {
                    name: name.into(),
                    mtu: 9000,
                    input,
                    output,
                    domain: 0,
                    l3,
                    peer: None,
                    tunnel: None,
                    sources: None,
                    zone: Zone::default(),
                    vlan: None,
                    capabilities: features.capabilities,
                    filter,
                    capture: None,
                    counters: Arc::clone(&counters),
                },
            );
            ports.push(Command::AddPort { interface: index, port, counters });
        }
        rig.order(Command::Publish(Arc::new(snapshot)));
        for port in ports {
            rig.order(port);
        }
        Ok(rig)
    }

    fn order(&mut self, command: Command) {
        // The ring was empty, so there is room; the turn that takes the command may already move a vector.
        let _ = self.link.commands.push(command);
        self.worker.turn();
        while self.link.replies.pop().is_ok() {}
    }

    /// Packets that were lost: some are counted at a node and at an interface.
    pub(crate) fn drops(&self) -> u64 {
        let nodes: u64 = self.node_counters.iter().map(|node| node.drops.total()).sum();
        nodes + self.source[0].drops.total() + self.sink[0].drops.total()
    }
}
