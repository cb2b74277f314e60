//! The host's own network stack, as Docker's networks need it.
//!
//! What leaves a network goes from the switch to the host's stack by a TAP, and from there wherever the host's routes lead; what
//! is for a published port comes the other way. [`Host`] makes of a [`HostPlan`](paceline_model::HostPlan) the addresses of that
//! TAP, the kernel's forwarding, and one table of nftables. [`Ports`] holds the published ports on the host, so that no other
//! program takes them, and passes on what the kernel does not.
//!
//! ```text
//!                         ┌ nftables: translate, masquerade, filter ┐
//!  other hosts ──▶ eth0 ──┤                                         ├── TAP ──▶ switch ──▶ containers
//!  the host itself ───────┘ ─ ─ (::1, another family: Ports) ─ ─ ─ ─┘
//! ```
//!
//! # What stays
//! Forwarding that was turned on is never turned off: by then others may rely on it. A table that a killed process left goes on
//! working, and the next process replaces it. Nobody else's rules are touched.
//!
//! # What a packet's source is
//! A container sees the addresses of other hosts as they are. The host's own connections come from the address that the host
//! speaks from. Those from its loopback, those of containers to published ports, which would be answered directly otherwise, and
//! what [`Ports`] passes on come from the gateway.
#![forbid(unsafe_code)]

mod conntrack;
mod device;
mod error;
mod forwarding;
mod host;
mod nft;
mod others;
mod plan;
mod ports;
mod rules;
mod sysctl;

pub use error::{Conflict, HostError, PortsError};
pub use host::{Host, Report};
pub use ports::{Ports, Target};
pub use rules::table_name;
