//! The graph of one worker: its nodes, what waits for them, and the order they run in.

use std::sync::Arc;

use paceline_buf::{Cache, Packet, Vector};
use paceline_sys::cpu::tsc;

use crate::context::Context;
use crate::counters::NodeCounters;
use crate::hop::{Hop, MAX_INTERFACES};
use crate::reason::Reason;
use crate::snapshot::Snapshot;
use crate::trace::Trace;

/// Full vectors that may wait at once beyond the one that each hop has room for. With all of them in use further packets
/// are dropped as `graph-full`: a flood of floods ends there, not in an allocation.
const SPARES: usize = 128;

/// Packets that may be on their way to other workers at the end of a vector; further ones are dropped as `handoff-full`.
const HANDED: usize = 1024;

/// A step of packet processing. One file each, in the crate `paceline-nodes`.
pub trait Node: Send {
    /// The name that `show runtime` and traces print.
    fn name(&self) -> &'static str;

    /// Takes every packet out of `vector` and sends it on, or drops it, through the context.
    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector);
}

/// The nodes of one worker and everything on its way between them.
pub struct Graph {
    nodes: Vec<Box<dyn Node>>,
    work: Vector,
    pub(crate) state: State,
}

/// What nodes reach through their context.
pub(crate) struct State {
    /// One queue per node, then one per interface.
    queues: Vec<Vector>,
    node_count: usize,
    /// Nodes that have packets waiting, a bit each.
    pending_nodes: u64,
    /// Interfaces that have packets waiting, in the order they got the first.
    pending_ports: Vec<u16>,
    /// Full vectors, oldest first, that wait in front of their hop's queue.
    spilled: Vec<(usize, Vector)>,
    spares: Vec<Vector>,
    pub(crate) counters: Arc<[NodeCounters]>,
    pub(crate) names: Vec<&'static str>,
    pub(crate) worker: usize,
    pub(crate) trace: Trace,
    /// Packets on their way to other workers, up to [`HANDED`].
    handed: Vec<Handed>,
    /// Something was given to control.
    pub(crate) punted: bool,
}

/// A packet on its way to another worker.
#[must_use = "the packet in it would leak"]
pub struct Handed {
    /// The worker's number.
    pub worker: u16,
    /// Where the packet goes on there.
    pub hop: Hop,
    /// The packet.
    pub packet: Packet,
}

impl Graph {
    /// A graph of these nodes (at most 64) for worker number `worker`. Nodes that come earlier run earlier, so a graph whose
    /// hops lead onwards runs every node once per vector.
    ///
    /// # Panics
    /// With more than 64 nodes.
    pub fn new(nodes: Vec<Box<dyn Node>>, worker: usize) -> Graph {
        assert!(nodes.len() <= 64, "a graph has at most 64 nodes");
        let state = State {
            queues: (0..nodes.len()).map(|_| Vector::new()).collect(),
            node_count: nodes.len(),
            pending_nodes: 0,
            pending_ports: Vec::with_capacity(MAX_INTERFACES),
            spilled: Vec::with_capacity(SPARES),
            spares: (0..SPARES).map(|_| Vector::new()).collect(),
            counters: nodes.iter().map(|_| NodeCounters::default()).collect(),
            names: nodes.iter().map(|n| n.name()).collect(),
            worker,
            trace: Trace::default(),
            handed: Vec::with_capacity(HANDED),
            punted: false,
        };
        Graph { nodes, work: Vector::new(), state }
    }

    /// Makes room for interfaces up to an index. Called when one is added, between two vectors.
    pub fn reserve_ports(&mut self, interfaces: usize) {
        let want = self.state.node_count + interfaces.min(MAX_INTERFACES);
        while self.state.queues.len() < want {
            self.state.queues.push(Vector::new());
        }
    }

    /// Counters of the nodes, in the order of [`names`](Graph::names).
    pub fn counters(&self) -> &Arc<[NodeCounters]> {
        &self.state.counters
    }

    /// Names of the nodes.
    pub fn names(&self) -> &[&'static str] {
        &self.state.names
    }

    /// The trace of this worker.
    pub fn trace(&mut self) -> &mut Trace {
        &mut self.state.trace
    }

    /// Sends a vector that was received on one interface through the graph, until nothing waits for a node any more. Packets
    /// that leave wait in the queues of their ports: see [`take_tx`](Graph::take_tx).
    pub fn run(&mut self, snapshot: &Snapshot, cache: &mut Cache, entry: Hop, vector: &mut Vector) {
        let mut cx = Context { state: &mut self.state, snapshot, cache, node: usize::MAX };
        cx.dispatch_all(vector, entry);
        if self.state.pending_nodes == 0 {
            return;
        }
        let mut then = tsc();
        while self.state.pending_nodes != 0 {
            let index = self.state.pending_nodes.trailing_zeros() as usize;
            self.state.pending_nodes &= !(1 << index);
            while self.state.next_waiting(index, &mut self.work) {
                let packets = self.work.len() as u64;
                let mut cx = Context { state: &mut self.state, snapshot, cache, node: index };
                self.nodes[index].process(&mut cx, &mut self.work);
                if !self.work.is_empty() {
                    cx.drop_all(&mut self.work, Reason::NodeLeft);
                }
                let counters = &self.state.counters[index];
                let now = tsc();
                counters.vectors.add(1);
                counters.packets.add(packets);
                counters.cycles.add(now.wrapping_sub(then));
                then = now;
            }
        }
    }

    /// Takes out the packets that nodes gave to other workers.
    #[inline]
    pub fn take_handed(&mut self) -> Option<impl Iterator<Item = Handed> + '_> {
        if self.state.handed.is_empty() { None } else { Some(self.state.handed.drain(..)) }
    }

    /// Whether something was given to control since this was asked last.
    #[inline]
    pub fn take_punted(&mut self) -> bool {
        std::mem::take(&mut self.state.punted)
    }

    /// Swaps the next full or partial vector that waits for a port into `out` (which must be empty), and says which
    /// interface it is for; `None` if nothing waits.
    pub fn take_tx(&mut self, out: &mut Vector) -> Option<u16> {
        loop {
            let port = *self.state.pending_ports.first()?;
            let index = self.state.node_count + port as usize;
            if self.state.next_waiting(index, out) {
                return Some(port);
            }
            self.state.pending_ports.remove(0);
        }
    }
}

impl State {
    fn index(&self, hop: Hop) -> Option<usize> {
        let index = match hop.as_port() {
            Some(port) => self.node_count + port as usize,
            None => hop.as_node().map(usize::from).filter(|n| *n < self.node_count)?,
        };
        (index < self.queues.len()).then_some(index)
    }

    #[inline(always)]
    fn mark(&mut self, index: usize) {
        if index < self.node_count {
            self.pending_nodes |= 1 << index;
        } else {
            let port = (index - self.node_count) as u16;
            if !self.pending_ports.contains(&port) {
                self.pending_ports.push(port);
            }
        }
    }

    /// Puts one packet into a hop's queue.
    #[inline(always)]
    pub(crate) fn enqueue(&mut self, hop: Hop, packet: Packet) -> Result<(), (Packet, Reason)> {
        let Some(index) = self.index(hop) else { return Err((packet, Reason::NoPort)) };
        if self.queues[index].is_empty() {
            self.mark(index);
        }
        match self.queues[index].push(packet) {
            Ok(()) => Ok(()),
            Err(packet) => self.spill(index, packet),
        }
    }

    /// Puts one packet among those for other workers.
    pub(crate) fn hand_over(&mut self, worker: u16, hop: Hop, packet: Packet) -> Result<(), Packet> {
        if self.handed.len() == HANDED {
            return Err(packet);
        }
        self.handed.push(Handed { worker, hop, packet });
        Ok(())
    }

    #[cold]
    fn spill(&mut self, index: usize, packet: Packet) -> Result<(), (Packet, Reason)> {
        let Some(mut fresh) = self.spares.pop() else { return Err((packet, Reason::GraphFull)) };
        std::mem::swap(&mut fresh, &mut self.queues[index]);
        self.spilled.push((index, fresh));
        self.queues[index].push(packet).map_err(|packet| (packet, Reason::GraphFull))
    }

    /// Puts a whole vector into a hop's queue: by a swap if nothing waits there. What finds no place stays in `vector`.
    #[inline(always)]
    pub(crate) fn enqueue_all(&mut self, hop: Hop, vector: &mut Vector) -> Result<(), Reason> {
        if vector.is_empty() {
            return Ok(());
        }
        let Some(index) = self.index(hop) else { return Err(Reason::NoPort) };
        if self.queues[index].is_empty() {
            self.mark(index);
            std::mem::swap(&mut self.queues[index], vector);
            return Ok(());
        }
        self.append(index, vector)
    }

    #[cold]
    fn append(&mut self, index: usize, vector: &mut Vector) -> Result<(), Reason> {
        self.queues[index].append(vector);
        if !vector.is_empty() {
            let mut fresh = self.spares.pop().ok_or(Reason::GraphFull)?;
            std::mem::swap(&mut fresh, &mut self.queues[index]);
            self.spilled.push((index, fresh));
            std::mem::swap(&mut self.queues[index], vector);
        }
        Ok(())
    }

    /// Swaps the oldest vector that waits for a hop into `out`, which is empty.
    #[inline(always)]
    fn next_waiting(&mut self, index: usize, out: &mut Vector) -> bool {
        if !self.spilled.is_empty()
            && let Some(at) = self.spilled.iter().position(|(hop, _)| *hop == index)
        {
            let (_, mut vector) = self.spilled.remove(at);
            std::mem::swap(&mut vector, out);
            self.spares.push(vector);
            return true;
        }
        std::mem::swap(&mut self.queues[index], out);
        !out.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use paceline_buf::Pool;

    use super::*;
    use crate::snapshot::L2Out;

    /// Sends every packet to the node or port that its `aux` says, `reason` times.
    struct Steer;

    impl Node for Steer {
        fn name(&self) -> &'static str {
            "steer"
        }

        fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
            vector.drain(|mut packet| {
                for _ in 1..packet.reason {
                    match cx.cache.replicate(&mut packet) {
                        Some(copy) => cx.send(copy, Hop::port(packet.aux as u16)),
                        None => cx.count(packet.rx, Reason::NoBuffers),
                    }
                }
                let hop = Hop::port(packet.aux as u16);
                cx.send(packet, hop);
            });
        }
    }

    /// Keeps what it gets: the graph must find it.
    struct Forgetful;

    impl Node for Forgetful {
        fn name(&self) -> &'static str {
            "forgetful"
        }

        fn process(&mut self, _cx: &mut Context<'_>, _vector: &mut Vector) {}
    }

    fn graph() -> Graph {
        let mut graph = Graph::new(vec![Box::new(Steer), Box::new(Forgetful)], 0);
        graph.reserve_ports(4);
        graph
    }

    fn vector(cache: &mut Cache, count: usize, set: impl Fn(usize, &mut Packet)) -> Vector {
        let mut vector = Vector::new();
        assert_eq!(cache.alloc_into(&mut vector, count), count);
        vector.as_mut_slice().iter_mut().enumerate().for_each(|(i, p)| set(i, p));
        vector
    }

    /// What waits for ports, as (port, domain of each packet), freed.
    fn sent(graph: &mut Graph, cache: &mut Cache) -> Vec<(u16, Vec<u16>)> {
        let (mut out, mut all) = (Vector::new(), Vec::new());
        while let Some(port) = graph.take_tx(&mut out) {
            all.push((port, out.as_slice().iter().map(|p| p.domain).collect()));
            cache.free_all(&mut out);
        }
        all
    }

    #[test]
    fn packets_keep_their_order_for_each_port() {
        let pool = Pool::small(1024);
        let (mut cache, mut graph) = (pool.cache(), graph());
        let mut input = vector(&mut cache, 256, |i, p| {
            (p.aux, p.domain) = (i as u32 % 3, i as u16);
        });
        graph.run(&Snapshot::default(), &mut cache, Hop::node(0), &mut input);
        for (port, domains) in sent(&mut graph, &mut cache) {
            assert_eq!(domains, (0..256).filter(|d| d % 3 == port).collect::<Vec<_>>());
        }
        drop(cache);
        assert_eq!(pool.stats().free, 1024);
    }

    #[test]
    fn what_exceeds_a_queue_waits_in_order_and_what_exceeds_the_spares_is_counted() {
        let pool = Pool::small(60_000);
        let (mut cache, mut graph) = (pool.cache(), graph());
        for (copies, lost) in [(3, 0), (100, 0), (200, 256 * 200 - 256 * (SPARES as u64 + 1))] {
            let mut input = vector(&mut cache, 256, |i, p| {
                (p.aux, p.domain, p.reason) = (2, i as u16, copies);
            });
            graph.run(&Snapshot::default(), &mut cache, Hop::node(0), &mut input);
            let sent = sent(&mut graph, &mut cache);
            let all: Vec<u16> = sent.iter().flat_map(|(_, domains)| domains.clone()).collect();
            assert!(all.is_sorted(), "oldest first");
            assert_eq!(all.len() as u64 + lost, 256 * u64::from(copies));
            assert_eq!(graph.counters()[0].drops.get(Reason::GraphFull), lost);
            assert!(sent.iter().all(|(port, _)| *port == 2));
        }
        drop(cache);
        assert_eq!(pool.stats().free, 60_000);
    }

    #[test]
    fn packets_to_nowhere_and_forgotten_ones_are_counted() {
        let pool = Pool::small(1024);
        let (mut cache, mut graph) = (pool.cache(), graph());
        let mut run = |hop: Hop, set: fn(usize, &mut Packet)| {
            let mut input = vector(&mut cache, 10, set);
            graph.run(&Snapshot::default(), &mut cache, hop, &mut input);
            assert!(sent(&mut graph, &mut cache).is_empty());
            let drops = graph.counters().iter().flat_map(|c| c.drops.seen().collect::<Vec<_>>());
            drops.collect::<Vec<_>>()
        };
        assert_eq!(run(Hop::node(1), |_, _| ()), [(Reason::NodeLeft, 10)]);
        let after = run(Hop::node(0), |_, p| (p.aux, p.reason) = (77, 1));
        assert_eq!(after, [(Reason::NoPort, 10), (Reason::NodeLeft, 10)]);
        assert_eq!(L2Out::default().hop, Hop::NOWHERE);
        drop(cache);
        assert_eq!(pool.stats().free, 1024);
    }
}
