//! What control and a worker say to each other.

use std::sync::Arc;

use paceline_graph::{Capabilities, InterfaceCounters, Snapshot, Trace};
use paceline_ports::{LinkState, Port};

/// From control to a worker, taken between two vectors.
pub enum Command {
    /// Use this configuration. Answered with the old one.
    Publish(Arc<Snapshot>),
    /// Own this queue pair of an interface.
    AddPort {
        /// Index of the interface.
        interface: u16,
        /// The queue pair.
        port: Box<dyn Port>,
        /// Counters of the interface, one set per worker.
        counters: Arc<[InterfaceCounters]>,
    },
    /// Packets for this interface go to another worker, which owns its only queue.
    AddRemote {
        /// Index of the interface.
        interface: u16,
        /// Number of the worker.
        owner: usize,
    },
    /// Give up what the worker has of an interface. Answered with the port, if there was one, closed.
    RemovePort(u16),
    /// Trace into this. Answered with the old trace.
    Trace(Trace),
    /// End. Answered with nothing: the thread returns.
    Stop,
}

/// From a worker to control.
pub enum Reply {
    /// The configuration that is no longer in use.
    Published(Arc<Snapshot>),
    /// The port is in use.
    Added,
    /// The port is no longer in use.
    Removed(Option<Box<dyn Port>>),
    /// The trace as it was.
    Traced(Trace),
    /// A port went up or down, or has another peer. Not an answer: comes by itself.
    Link {
        /// Index of the interface.
        interface: u16,
        /// What it is now.
        state: LinkState,
        /// What the port does to unfinished packets, as its peer may have agreed to more or to less.
        capabilities: Capabilities,
    },
}
