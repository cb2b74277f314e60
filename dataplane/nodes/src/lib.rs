//! The nodes of the packet graph, one file each.
//!
//! ```text
//!  port ──▶ [capture-input] ─▶ [vlan-input] ──▶ l2-bridge ──────────────▶ [vlan-output] ─▶ [offload] ─▶ [capture-output] ──▶ port
//!                                                    └──▶ l2-flood ──▶ ┘
//! ```
//!
//! Nodes in brackets are features: an interface that does not use one has it not in its arc, and pays nothing for it.
#![forbid(unsafe_code)]

mod l2_bridge;
mod l2_flood;
mod l2_size;
#[cfg(test)]
mod testing;

use paceline_graph::{Capabilities, Hop, Node};

pub use l2_bridge::L2Bridge;
pub use l2_flood::L2Flood;

macro_rules! nodes {
    ($($(#[$doc:meta])* $id:ident = $index:literal: $node:expr, $name:literal;)+) => {
        /// Hops of the nodes.
        pub mod hop {
            use super::Hop;
            $($(#[$doc])* pub const $id: Hop = Hop::node($index);)+
        }

        /// All nodes, each at the place that its hop says.
        pub fn all() -> Vec<Box<dyn Node>> {
            vec![$(Box::new($node)),+]
        }

        #[cfg(test)]
        const NAMES: &[(Hop, &str)] = &[$((hop::$id, $name)),+];
    };
}

nodes! {
    /// Learns the source and finds the port of the destination.
    L2_BRIDGE = 0: L2Bridge::default(), "l2-bridge";
    /// Sends a copy to every port of the domain.
    L2_FLOOD = 1: L2Flood, "l2-flood";
}

/// The features that an interface uses, which decide its arcs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// The port is VLAN-aware.
    pub vlan: bool,
    /// A capture is running on it.
    pub capture: bool,
    /// What the port does by itself; what it does not is done by the `offload` node.
    pub capabilities: Capabilities,
}

/// Input and output arc of an interface.
pub fn arcs(interface: u16, _features: Features) -> (Box<[Hop]>, Box<[Hop]>) {
    let input = vec![hop::L2_BRIDGE];
    let output = vec![Hop::port(interface)];
    (input.into(), output.into())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_node_is_where_its_hop_says() {
        let nodes = super::all();
        assert_eq!(nodes.len(), super::NAMES.len());
        for (hop, name) in super::NAMES {
            let index = hop.as_node().expect("a node") as usize;
            assert_eq!(nodes[index].name(), *name);
        }
    }
}
