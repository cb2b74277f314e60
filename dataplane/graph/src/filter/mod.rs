//! Filters: which packets an interface lets in and out, and what else happens to them there.

mod config;

pub use config::{
    FilterSpec, GuardSpec, MatchSpec, PolicerSpec, PolicySpec, RuleSpec, SessionSpec, StormSpec, TierSpec,
    Verdict,
};
