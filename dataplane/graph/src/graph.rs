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
