//! The slow path of routing: what a router says and hears about addresses, and what it does with packets for itself.
//!
//! - [`neighbour`]: who has which address on a link; packets that wait for it; the switch's own addresses, claimed and defended.
//! - [`answer`]: replies to those who ask for the switch's addresses, or for what it stands in for.
//! - [`groups`]: the multicast groups that the switch is in, told to routers and snooping switches.
//! - [`snooping`]: the multicast groups that hosts behind bridges are in, as those overhear it.
//! - [`local`]: packets for the switch itself: echo, refusals, reassembly; and `ping`.
//!
//! All of it is plain state. Time is an argument (a `Duration` since any fixed moment), frames and packets are slices, and
//! what is to be done comes out as values: who drives it owns threads, clocks and queues. Whatever comes from a wire is
//! hostile until checked; every table and queue has a limit, and every limit a counter.
#![forbid(unsafe_code)]

pub mod answer;
mod frame;
pub mod groups;
mod heard;
mod interface;
pub mod local;
pub mod neighbour;
pub mod snooping;

pub use frame::Frame;
pub use heard::{Ask, Fault, Heard, Tell};
pub use interface::{Interface, link_local};
