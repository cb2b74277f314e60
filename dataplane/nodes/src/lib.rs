//! The nodes of the packet graph, one file each.
//!
//! ```text
//!  port ──▶ [capture-input] ─▶ [vlan-input] ──▶ l2-bridge ──────────────▶ [vlan-output] ─▶ [offload] ─▶ [capture-output] ──▶ port
//!                                                    └──▶ l2-flood ──▶ ┘
//! ```
//!
//! Routed interfaces go another way: see `route`, and `nat` for what is translated on it.
//!
//! Nodes in brackets are features: an interface that does not use one has it not in its arc, and pays nothing for it.
#![forbid(unsafe_code)]

mod acl;
mod capture;
mod fragments;
mod icmp_error;
mod ip4_fragment;
mod l2_bridge;
mod l2_flood;
mod l2_size;
mod mss_clamp;
mod nat;
mod offload;
mod patch;
mod punt;
mod reject;
mod route;
mod source_check;
#[cfg(test)]
mod testing;
mod track;
mod vlan_input;
mod vlan_output;

use paceline_buf::{Cache, Packet};
use paceline_graph::{Capabilities, Hop, Node, Reason};

pub use acl::Acl;
pub use capture::CaptureNode;
pub use icmp_error::IcmpError;
pub use ip4_fragment::Ip4Fragment;
pub use l2_bridge::L2Bridge;
pub use l2_flood::L2Flood;
pub use mss_clamp::MssClamp;
pub use nat::{NatFamily, Translate};
pub use offload::{Offload, finish_checksum};
pub use patch::Patch;
pub use punt::Punt;
pub use reject::Reject;
pub use route::{Ip4, Ip6, Route};
pub use source_check::SourceCheck;
pub use vlan_input::VlanInput;
pub use vlan_output::VlanOutput;

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
    /// Copies received frames to a capture.
    CAPTURE_INPUT = 0: CaptureNode::input(), "capture-input";
    /// Finds the domain of a frame by its tag, and takes that off.
    VLAN_INPUT = 1: VlanInput::default(), "vlan-input";
    /// Lets packets in by the interface's policies.
    ACL_INPUT = 2: Acl::<false>::default(), "acl-input";
    /// Lets only packets in whose source is in a subnet of the interface.
    SOURCE_CHECK = 3: SourceCheck::default(), "source-check";
    /// Lowers the segment size of TCP handshakes that come in.
    MSS_CLAMP_INPUT = 4: MssClamp::input(), "mss-clamp-input";
    /// Learns the source and finds the port of the destination.
    L2_BRIDGE = 5: L2Bridge::default(), "l2-bridge";
    /// Sends a copy to every port of the domain.
    L2_FLOOD = 6: L2Flood, "l2-flood";
    /// Routes IPv4 packets, and takes those of routed interfaces first.
    IP4_ROUTE = 7: Route::<Ip4>::default(), "ip4-route";
    /// Routes IPv6 packets.
    IP6_ROUTE = 8: Route::<Ip6>::default(), "ip6-route";
    /// Tells senders why their packets cannot be routed.
    ICMP_ERROR = 9: IcmpError::default(), "icmp-error";
    /// Cuts IPv4 packets that are too long for their next hop.
    IP4_FRAGMENT = 10: Ip4Fragment::default(), "ip4-fragment";
    /// Leads IPv4 packets for outside addresses to inside hosts.
    NAT44_OUT2IN = 11: Translate::<Ip4, false>::default(), "nat44-out2in";
    /// Leads IPv6 packets for outside addresses to inside hosts.
    NAT66_OUT2IN = 12: Translate::<Ip6, false>::default(), "nat66-out2in";
    /// Gives leaving IPv4 packets outside addresses, and takes those of outside interfaces first.
    NAT44_IN2OUT = 13: Translate::<Ip4, true>::default(), "nat44-in2out";
    /// Gives leaving IPv6 packets outside addresses.
    NAT66_IN2OUT = 14: Translate::<Ip6, true>::default(), "nat66-in2out";
    /// Gives control what is for the switch itself.
    PUNT = 15: Punt::default(), "punt";
    /// Lowers the segment size of TCP handshakes that leave.
    MSS_CLAMP_OUTPUT = 16: MssClamp::output(), "mss-clamp-output";
    /// Lets packets out by the interface's policies.
    ACL_OUTPUT = 17: Acl::<true>::default(), "acl-output";
    /// Ends packets that a policy refuses, and tells their senders.
    REJECT = 18: Reject::default(), "reject";
    /// Puts the tag of the domain on.
    VLAN_OUTPUT = 19: VlanOutput::default(), "vlan-output";
    /// Cuts super-packets and fills in checksums.
    OFFLOAD = 20: Offload::default(), "offload";
    /// Copies leaving frames to a capture.
    CAPTURE_OUTPUT = 21: CaptureNode::output(), "capture-output";
    /// Takes what leaves by one end of a pair of interfaces in by the other one.
    PATCH = 22: Patch::default(), "patch";
}

/// The features that an interface uses, which decide its arcs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// The interface is routed, and not a member of a bridge.
    pub routed: bool,
    /// The interface is routed and leads outside: hosts behind others appear there under the addresses of the NAT.
    pub nat: bool,
    /// The interface is routed, and takes only packets from its own subnets.
    pub source_check: bool,
    /// The interface is routed, and lowers the segment size of TCP handshakes to what fits.
    pub mss_clamp: bool,
    /// What comes in meets a policy.
    pub acl_input: bool,
    /// What leaves meets a policy.
    pub acl_output: bool,
    /// The interface is one end of a patch, and has no port.
    pub patch: bool,
    /// The port is VLAN-aware.
    pub vlan: bool,
    /// A capture is running on it.
    pub capture: bool,
    /// What the port does by itself; what it does not is done by the `offload` node.
    pub capabilities: Capabilities,
}

/// Input and output arc of an interface.
pub fn arcs(interface: u16, features: Features) -> (Box<[Hop]>, Box<[Hop]>) {
    let (mut input, mut output) = (Vec::new(), Vec::new());
    if features.nat {
        output.push(hop::NAT44_IN2OUT);
    }
    if features.mss_clamp {
        output.push(hop::MSS_CLAMP_OUTPUT);
    }
    if features.acl_output {
        output.push(hop::ACL_OUTPUT);
    }
    if features.capture {
        input.push(hop::CAPTURE_INPUT);
    }
    if features.vlan {
        input.push(hop::VLAN_INPUT);
        output.push(hop::VLAN_OUTPUT);
    }
    if features.acl_input {
        input.push(hop::ACL_INPUT);
    }
    if features.source_check {
        input.push(hop::SOURCE_CHECK);
    }
    if features.mss_clamp {
        input.push(hop::MSS_CLAMP_INPUT);
    }
    if features.capabilities != Capabilities::ALL {
        output.push(hop::OFFLOAD);
    }
    if features.capture {
        output.push(hop::CAPTURE_OUTPUT);
    }
    input.push(if features.routed { hop::IP4_ROUTE } else { hop::L2_BRIDGE });
    output.push(if features.patch { hop::PATCH } else { Hop::port(interface) });
    (input.into(), output.into())
}

/// An empty packet that goes the way of another one; `None` without a buffer.
fn successor(cache: &mut Cache, packet: &Packet) -> Option<Packet> {
    let mut next = cache.alloc()?;
    (next.rx, next.tx, next.domain) = (packet.rx, packet.tx, packet.domain);
    (next.feature, next.hash, next.aux) = (packet.feature, packet.hash, packet.aux);
    Some(next)
}

/// The hop of a packet that is to be dropped under a reason.
#[cold]
fn refuse(packet: &mut Packet, reason: Reason) -> Hop {
    packet.reason = reason as u16;
    Hop::DROP
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
