//! Workers, and the engine that control drives.
//!
//! A [`Worker`] is a loop on one core: take commands, receive a vector, send it through the graph, transmit. It allocates
//! nothing, locks nothing and makes no system call but its ports' and, when idle, the one it sleeps in. Control talks to it
//! through two single-producer rings: commands one way, and what a command replaced (a snapshot, a port, a trace) the other
//! way, so that memory is freed by control. A command is taken between two vectors; its reply is the proof that the
//! worker uses the old value no more (a quiet point, as in QSBR).
#![forbid(unsafe_code)]

mod bridges;
mod command;
mod engine;
mod guard;
mod idle;
mod numbers;
mod routing;
mod sleeper;
mod spec;
mod view;
mod worker;

pub use command::{Command, Reply};
pub use engine::{Engine, EngineConfig, EngineError};
pub use idle::{Mode, WakeUp};
pub use routing::{PingError, PingRequest, PingTicket};
pub use spec::{
    BridgeSpec, FilterSpec, GuardSpec, InterfaceSpec, LearnPeers, MatchSpec, MemberSpec, OverSpec, PathSpec,
    PolicerSpec, PolicySpec, RouteSpec, RoutedSpec, RuleSpec, SessionSpec, SnoopingSpec, StormSpec, TierSpec,
    Topology, TunnelSpec, Verdict, VlanSpec, VrfSpec,
};
pub use view::{
    BridgeView, DropView, FilterView, FlowEventView, FlowSessionView, FlowsView, InterfaceView, MacView,
    MulticastView, NatSessionView, NatView, NeighbourView, NodeView, PingView, RouteView, RuleView,
    StormView, TunnelView, VrfView, WorkerView,
};
pub use worker::{Handover, Link, Turn, Worker, WorkerCounters};
