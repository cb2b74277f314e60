//! What can go wrong.

use paceline_buf::PoolError;
use paceline_graph::MAX_INTERFACES;
use paceline_graph::filter::FilterError;

use super::trace::MAX_TRACES;
use crate::numbers::Numbers;

/// Why the engine refused.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Packet memory.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// A core that cannot be used.
    #[error("workers.cores names core {core}: this process may use {allowed:?}")]
    Core {
        /// The core.
        core: usize,
        /// Cores that there are.
        allowed: Vec<usize>,
    },
    /// No worker.
    #[error("workers.cores is empty: at least one worker is needed")]
    NoWorkers,
    /// A thread or descriptor could not be had.
    #[error("a worker could not be started: {0}")]
    Start(#[from] std::io::Error),
    /// The name is in use.
    #[error("interface {0} exists already")]
    Exists(String),
    /// No such interface.
    #[error("there is no interface {0}")]
    Unknown(String),
    /// A tunnel that cannot be.
    #[error("tunnel {name}: {why}")]
    Tunnel {
        /// Its name.
        name: String,
        /// The field, its value and what would be right.
        why: String,
    },
    /// A capture is already running.
    #[error("a capture is already running on interface {0}")]
    Capturing(String),
    /// More traces than there is memory for.
    #[error("a trace of {0} packets: 1 to {MAX_TRACES} are possible at once")]
    Traces(usize),
    /// All numbers are in use, or rest.
    #[error(
        "no more than {MAX_INTERFACES} interfaces are possible, those among them that went less than {} s ago",
        Numbers::REST
    )]
    Full,
    /// An interface needs at least one queue, and no more than there are workers.
    #[error("interface {name} has {queues} queues: 1 to {workers} are possible, one per worker")]
    Queues {
        /// Interface.
        name: String,
        /// Queues it has.
        queues: usize,
        /// Workers.
        workers: usize,
    },
    /// A thread ended without being told to.
    #[error("thread {0} has ended by itself: the switch must be started again; the log says why")]
    Ended(String),
    /// Filters that cannot be.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A worker's thread ended or hangs.
    #[error("worker {0} does not answer; the log says why")]
    Worker(usize),
}
