//! Policies by labels.
//!
//! ```text
//!  file ──▶ PolicySet ─┐
//!                      ├─▶ compile ──▶ rules for each port, identities of addresses ──▶ reconciler
//!  labels of endpoints ┘
//! ```
//!
//! Tiers are asked in their order, and policies in a tier in theirs. A tier in which a policy selects an endpoint decides about
//! its packets by the first rule that holds, and denies those for which none does; `pass` leaves them to the next tier. An
//! endpoint that no policy selects, for one direction, is not touched by them in that direction.
//!
//! | module | what it is |
//! |---|---|
//! | [`label`], [`selector`] | what endpoints are, and expressions over that |
//! | [`peer`], [`traffic`], [`rule`] | who, which packets, and rules of both |
//! | [`file`](mod@file) | the TOML file and its checks |
//! | [`party`] | endpoints and addresses, as policies see them |
//! | [`compile`](mod@compile) | the rules of each endpoint |
//! | [`compiler`] | the same, when something is different |
//! | [`decide`](mod@decide) | what becomes of one packet, and why: slow, and from the policies themselves |
//! | [`difference`](mod@difference) | what a new set changes |

pub mod compile;
pub mod compiler;
pub mod decide;
pub mod difference;
pub mod file;
pub mod label;
pub mod party;
pub mod peer;
pub mod rule;
pub mod selector;
#[cfg(test)]
mod tests;
pub mod traffic;

pub use compile::{Compiled, compile};
pub use compiler::Compiler;
pub use decide::{Decided, Decision, decide};
pub use difference::{Change, difference};
pub use label::{LabelError, Labels};
pub use party::{Parties, Party};
pub use peer::{Peer, PeerError};
pub use rule::{Action, Direction, Policy, PolicySet, Rule, Tier};
pub use selector::{Selector, SelectorError};
pub use traffic::{IcmpKind, IpProtocol, Probe, Traffic};
