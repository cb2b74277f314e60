//! The packet graph: nodes, dispatch, feature arcs, counters, trace and the configuration snapshot.
//!
//! A worker owns one [`Graph`]. It enters a vector at an interface's first hop; every node takes the vectors that wait for
//! it, decides a [`Hop`] for each packet and hands the vector on; when no node has work left, what waits for a port is sent.
//! A hop is a node or an interface's transmit queue, so that a node such as the bridge can send straight to a port.
//!
//! What nodes know of the configuration is one immutable [`Snapshot`], replaced as a whole between two vectors, and tables
//! that change in place.
#![forbid(unsafe_code)]

mod adjacency;
mod bucket;
mod context;
mod counters;
pub mod filter;
mod graph;
mod hop;
pub mod nat;
mod reason;
pub mod session;
mod snapshot;
mod trace;
mod tunnel;

pub use adjacency::{Action, Adjacencies, Adjacency, IpVersion, Link, Target};
pub use bucket::Bucket;
pub use context::Context;
pub use counters::{Count, Drops, InterfaceCounters, NodeCounters};
pub use graph::{Graph, Handed, Node};
pub use hop::{Hop, MAX_INTERFACES};
pub use nat::{Nat, NatConfig, NatError, NatLimits, NatMapping, NatSession, NatTotals};
pub use reason::Reason;
pub use session::{SessionClass, SessionClock, SessionTimeouts};
pub use snapshot::{
    Bridge, BridgeCounters, Capabilities, Capture, Captured, Interface, L2Out, L3, NO_DOMAIN, Punt, Snapshot,
    UnknownUnicast, VlanPort, Vrf, Zone,
};
pub use trace::{Trace, TraceRecord};
pub use tunnel::{Found, Group, Network, Tunnel, TunnelEnds, TunnelKey};
