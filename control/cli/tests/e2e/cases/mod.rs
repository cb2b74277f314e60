//! What is tested. Each case is a function of the engine; each file lists its own in `CASES`.

mod addresses;
mod attach;
mod bad_input;
mod bridging;
mod devices;
mod files;
mod filters;
mod frames;
mod gateways;
mod harness;
mod lifecycle;
mod memif;
mod multicast;
mod nat;
mod neighbours;
mod networks;
pub mod operator;
mod overlay_networks;
mod overlays;
mod policies;
mod restart;
mod routes;
mod routing;
mod rule_actions;
mod uplinks;

use crate::engine::Engine;

/// One case.
pub type Case = fn(&Engine);

/// Its file, its name and itself.
pub type Named = (&'static str, &'static str, Case);

/// Names the cases of a file by their functions.
macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        /// The cases of this file.
        pub const CASES: &[(&str, crate::cases::Case)] = &[$((stringify!($case), $case)),*];
    };
}
use cases;

/// A subnet for cases that need no particular one. Each case has its own switch, so they may all use it.
const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];

/// The same with IPv6 beside it.
const DUAL: [&str; 5] = ["--subnet", "10.77.0.0/24", "--ipv6", "--subnet", "fd77::/64"];

/// All cases of all files.
pub fn all() -> impl Iterator<Item = Named> {
    let files = [
        ("harness", harness::CASES),
        ("lifecycle", lifecycle::CASES),
        ("memif", memif::CASES),
        ("addresses", addresses::CASES),
        ("networks", networks::CASES),
        ("gateways", gateways::CASES),
        ("nat", nat::CASES),
        ("uplinks", uplinks::CASES),
        ("attach", attach::CASES),
        ("policies", policies::CASES),
        ("filters", filters::CASES),
        ("rule_actions", rule_actions::CASES),
        ("restart", restart::CASES),
        ("bad_input", bad_input::CASES),
        ("operator", operator::CASES),
        ("bridging", bridging::CASES),
        ("multicast", multicast::CASES),
        ("files", files::CASES),
        ("devices", devices::CASES),
        ("frames", frames::CASES),
        ("routing", routing::CASES),
        ("neighbours", neighbours::CASES),
        ("routes", routes::CASES),
        ("overlays", overlays::CASES),
        ("overlay_networks", overlay_networks::CASES),
    ];
    files.into_iter().flat_map(|(file, cases)| cases.iter().map(move |(name, case)| (file, *name, *case)))
}
