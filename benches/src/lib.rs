//! Benchmark scenarios: what `paceline bench` runs.
//!
//! A scenario is a [`Worker`](paceline_worker::Worker) on the calling thread, with the nodes, dispatch and counters of the
//! daemon, a generator for its source and a `null` port for its sink. No privilege is needed. `reconfigure` has a whole
//! [`Engine`](paceline_worker::Engine) instead, whose worker is a thread of its own.
#![forbid(unsafe_code)]

mod acl;
mod ip;
mod l2_bridge;
mod measure;
mod nat;
mod reconfigure;
mod report;
mod rig;
pub mod vxlan;

pub use acl::{AclRules, acl};
pub use ip::{Ip, Lengths, ip};
pub use l2_bridge::{L2Bridge, l2_bridge};
pub use measure::Method;
pub use nat::{NatFlows, nat};
pub use paceline_graph::IpVersion;
pub use reconfigure::{Reconfigure, ReconfigureReport, reconfigure};
pub use report::{NodeReport, Report};
pub use vxlan::Vxlan;

/// Why a benchmark could not run.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A parameter is out of range.
    #[error("{name} is {value}: it must lie between {low} and {high}")]
    Range {
        /// Parameter.
        name: &'static str,
        /// Its value.
        value: u64,
        /// Smallest that works.
        low: u64,
        /// Largest that works.
        high: u64,
    },
    /// The packet memory could not be had.
    #[error(transparent)]
    Pool(#[from] paceline_buf::PoolError),
    /// A port could not be made.
    #[error(transparent)]
    Port(#[from] paceline_ports::PortError),
    /// A system resource could not be had.
    #[error(transparent)]
    System(#[from] std::io::Error),
    /// The addresses did not fit into the table.
    #[error("only {got} of {want} addresses found a place in the MAC table")]
    Table {
        /// Addresses that should be known.
        want: usize,
        /// Addresses that are.
        got: usize,
    },
    /// There are not so many prefixes of the length.
    #[error(
        "{missing} of {routes} routes found no prefix of their own: take fewer routes, or longer prefixes"
    )]
    Prefixes {
        /// Those that were not found.
        missing: usize,
        /// Those that were asked for.
        routes: u32,
    },
    /// A route found no place.
    #[error(transparent)]
    Route(#[from] paceline_tables::RouteError),
    /// The engine did not do as it was told.
    #[error(transparent)]
    Engine(#[from] paceline_worker::EngineError),
    /// Translation could not be set up.
    #[error(transparent)]
    Nat(#[from] paceline_graph::NatError),
    /// The policy could not be compiled.
    #[error(transparent)]
    Policy(#[from] paceline_graph::filter::PolicyError),
    /// The table did not hold the flows that were to be measured.
    #[error("the table holds {got} sessions and not the {want} that were to be measured")]
    Sessions {
        /// Flows.
        want: u32,
        /// Sessions.
        got: usize,
    },
    /// Packets were lost on the way, so the figures would mean nothing.
    #[error("{0} packets were dropped on the way: the figures would mean nothing")]
    Drops(u64),
}

/// Checks a parameter.
fn within(name: &'static str, value: u64, low: u64, high: u64) -> Result<(), BenchError> {
    if (low..=high).contains(&value) { Ok(()) } else { Err(BenchError::Range { name, value, low, high }) }
}
