//! Filters: which packets an interface lets in and out, and what else happens to them there.
//!
//! Control says what it wants in [names](FilterSpec). A [`Policy`] is compiled from that once, for all interfaces that share it; an
//! interface has a [`Filter`], and all of them share [`Flows`].

mod config;
mod flows;
mod groups;
mod guard;
mod policer;
mod policy;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use paceline_tables::RouteError;

pub use config::{
    FilterSpec, GuardSpec, MatchSpec, PolicerSpec, PolicySpec, RuleSpec, SessionSpec, StormSpec, TierSpec,
    Verdict,
};
pub use flows::{FlowCounters, FlowEvent, FlowLog, FlowTable, Flows, JUDGED, LEFT};
pub use groups::{GroupTable, Groups, MAX_IDENTITY};
pub use guard::{Guard, GuardError};
pub use policer::{Policer, StormLimit};
/// Making policers of what is configured.
pub mod policers {
    pub use super::policer::{check, storm};
}
pub use policy::{MAX_RULES, Policy, PolicyAddress, PolicyError};
pub use rule::{Facts, Rule, RuleCounters};

/// Why filters cannot be as they are configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A policy cannot be.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The filter of an interface cannot be.
    #[error("filter of interface {interface}: {problem}")]
    Interface {
        /// Name of the interface.
        interface: String,
        /// What is wrong.
        problem: String,
    },
    /// Identities or sessions cannot be.
    #[error("filters: {0}")]
    Table(#[from] RouteError),
}

impl FilterError {
    /// Something is wrong with the filter of an interface.
    pub fn at(interface: &str, problem: String) -> FilterError {
        FilterError::Interface { interface: interface.into(), problem }
    }
}

/// What one interface lets in and out.
#[derive(Default)]
pub struct Filter {
    /// Rules for what comes in, and for what leaves.
    pub policies: [Option<Arc<Policy>>; 2],
    /// Whether flows are remembered: one of the policies is stateful.
    pub stateful: bool,
    /// Who has which identity.
    pub groups: Option<Arc<Groups>>,
    /// Which addresses may be used behind it.
    pub guard: Option<Arc<Guard>>,
    /// How much may come in, and leave.
    pub policers: [Option<Arc<Policer>>; 2],
    /// How many frames to all, to groups and to unknown stations may come in.
    pub storm: Option<Arc<[Option<StormLimit>; 3]>>,
    /// The code point that packets get which come in.
    pub dscp: Option<u8>,
    /// The interface that copies are sent out of.
    pub mirror: Option<u16>,
    /// Numbers of interfaces that rules name.
    pub targets: HashMap<Arc<str>, u16>,
}
