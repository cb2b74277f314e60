//! A worker on this thread, with a generator and a null port.

use std::sync::Arc;
use std::time::Duration;

use paceline_buf::{HugePages, Pool, PoolConfig};
use paceline_graph::{Bridge, Capabilities, Interface, InterfaceCounters, NO_DOMAIN, NodeCounters, Snapshot};
use paceline_nodes::Features;
use paceline_ports::{GeneratorConfig, GeneratorPort, NullPort, Port};
use paceline_worker::{Command, Link, Mode, Worker};

use crate::BenchError;

/// Index of the generator's interface.
pub(crate) const SOURCE: u16 = 0;
/// Index of the null port's interface.
pub(crate) const SINK: u16 = 1;

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
    /// Two interfaces in domain 0 of `bridges`, if there is one.
    pub(crate) fn new(generator: &GeneratorConfig, bridges: Vec<Bridge>) -> Result<Rig, BenchError> {
        // As large as the daemon's default, so that the free buffers do not stay in cache by themselves.
        let pool = Pool::new(PoolConfig { huge_pages: HugePages::Prefer, ..PoolConfig::default() })?;
        let mut team = Worker::team(1, &pool, Mode::Poll, Duration::ZERO)?;
        let Some((worker, link)) = team.pop() else {
            return Err(BenchError::System(std::io::ErrorKind::Other.into()));
        };
        let counters = || -> Arc<[InterfaceCounters]> { Arc::new([InterfaceCounters::default()]) };
        let domain = if bridges.is_empty() { NO_DOMAIN } else { 0 };
        let mut rig = Rig {
            worker,
            source: counters(),
            sink: counters(),
            node_counters: Arc::clone(&link.node_counters),
            nodes: link.nodes.clone(),
            link,
        };
        let mut snapshot = Snapshot { bridges, ..Snapshot::default() };
        let source: Box<dyn Port> = Box::new(GeneratorPort::open(generator)?);
        let sink: Box<dyn Port> = Box::new(NullPort);
        let mut ports = Vec::new();
        for (index, name, port, counters) in [
            (SINK, "null", sink, Arc::clone(&rig.sink)),
            (SOURCE, "generator", source, Arc::clone(&rig.source)),
        ] {
            let features = Features { capabilities: Capabilities::ALL, ..Features::default() };
            let (input, output) = paceline_nodes::arcs(index, features);
            snapshot.set_interface(
                index,
                Interface {
                    name: name.into(),
                    mtu: 9000,
                    input,
                    output,
                    domain,
                    group: 0,
                    isolated: false,
                    vlan: None,
                    capabilities: features.capabilities,
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

    /// Packets that were lost.
    pub(crate) fn drops(&self) -> u64 {
        self.source[0].drops.total() + self.sink[0].drops.total()
    }
}
