//! The nodes of the packet graph, one file each.
//!
//! ```text
//!  port ──▶ [capture-input] ─▶ [vlan-input] ──▶ l2-bridge ──────────────▶ [vlan-output] ─▶ [offload] ─▶ [capture-output] ──▶ port
//!                                                    └──▶ l2-flood ──▶ ┘
//! ```
//!
//! Routed interfaces go another way: see `route`, and `nat` for what is translated on it. Tunnels join both: see `vxlan_encap` and
//! `vxlan_decap`.
//!
//! Nodes in brackets are features: an interface that does not use one has it not in its arc, and pays nothing for it.
#![forbid(unsafe_code)]

mod acl;
mod capture;
mod coalesce;
mod dscp;
mod feature;
mod fragments;
mod icmp_error;
mod ip4_fragment;
mod l2_bridge;
mod l2_flood;
mod l2_multicast;
mod l2_size;
mod mirror;
mod mss_clamp;
mod nat;
mod neighbour_suppress;
mod offload;
mod patch;
mod policer;
mod port_guard;
mod punt;
mod reject;
mod route;
mod source_check;
mod storm;
#[cfg(test)]
mod testing;
mod track;
mod vlan_input;
mod vlan_output;
mod vxlan_decap;
mod vxlan_encap;
#[cfg(test)]
mod vxlan_tests;

use paceline_buf::{Cache, Packet};
use paceline_graph::{Capabilities, Hop, Node, Reason};

pub use acl::Acl;
pub use capture::CaptureNode;
pub use coalesce::{Coalesce, Tcp, Tunnelled};
pub use dscp::Dscp;
pub use icmp_error::IcmpError;
pub use ip4_fragment::Ip4Fragment;
pub use l2_bridge::L2Bridge;
pub use l2_flood::L2Flood;
pub use l2_multicast::L2Multicast;
pub use mirror::Mirror;
pub use mss_clamp::MssClamp;
pub use nat::{NatFamily, Translate};
pub use neighbour_suppress::NeighbourSuppress;
pub use offload::{Offload, finish_checksum};
pub use patch::Patch;
pub use policer::Police;
pub use port_guard::PortGuard;
pub use punt::Punt;
pub use reject::Reject;
pub use route::{Ip4, Ip6, Route};
pub use source_check::SourceCheck;
pub use storm::StormControl;
pub use vlan_input::VlanInput;
pub use vlan_output::VlanOutput;
pub use vxlan_decap::VxlanDecap;
pub use vxlan_encap::VxlanEncap;

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
    /// Copies what comes in to another interface.
    MIRROR_INPUT = 2: Mirror::<false>::default(), "mirror-input";
    /// Limits what comes in for many.
    STORM_CONTROL = 3: StormControl::default(), "storm-control";
    /// Lets only addresses in that may be used behind the interface.
    PORT_GUARD = 4: PortGuard::default(), "port-guard";
    /// Limits what comes in.
    POLICE_INPUT = 5: Police::<false>::default(), "police-input";
    /// Lets packets in by the interface's policies.
    ACL_INPUT = 6: Acl::<false>::default(), "acl-input";
    /// Gives what comes in a code point.
    DSCP_INPUT = 7: Dscp::default(), "dscp-input";
    /// Lets only packets in whose source is in a subnet of the interface.
    SOURCE_CHECK = 8: SourceCheck::default(), "source-check";
    /// Lowers the segment size of TCP handshakes that come in.
    MSS_CLAMP_INPUT = 9: MssClamp::input(), "mss-clamp-input";
    /// Learns the source and finds the port of the destination.
    L2_BRIDGE = 10: L2Bridge::default(), "l2-bridge";
    /// Sends a copy to every port of the domain.
    L2_FLOOD = 11: L2Flood, "l2-flood";
    /// Routes IPv4 packets, and takes those of routed interfaces first.
    IP4_ROUTE = 12: Route::<Ip4>::default(), "ip4-route";
    /// Routes IPv6 packets.
    IP6_ROUTE = 13: Route::<Ip6>::default(), "ip6-route";
    /// Tells senders why their packets cannot be routed.
    ICMP_ERROR = 14: IcmpError::default(), "icmp-error";
    /// Cuts IPv4 packets that are too long for their next hop.
    IP4_FRAGMENT = 15: Ip4Fragment::default(), "ip4-fragment";
    /// Leads IPv4 packets for outside addresses to inside hosts.
    NAT44_OUT2IN = 16: Translate::<Ip4, false>::default(), "nat44-out2in";
    /// Leads IPv6 packets for outside addresses to inside hosts.
    NAT66_OUT2IN = 17: Translate::<Ip6, false>::default(), "nat66-out2in";
    /// Gives leaving IPv4 packets outside addresses, and takes those of outside interfaces first.
    NAT44_IN2OUT = 18: Translate::<Ip4, true>::default(), "nat44-in2out";
    /// Gives leaving IPv6 packets outside addresses.
    NAT66_IN2OUT = 19: Translate::<Ip6, true>::default(), "nat66-in2out";
    /// Gives control what is for the switch itself.
    PUNT = 20: Punt::default(), "punt";
    /// Lowers the segment size of TCP handshakes that leave.
    MSS_CLAMP_OUTPUT = 21: MssClamp::output(), "mss-clamp-output";
    /// Lets packets out by the interface's policies.
    ACL_OUTPUT = 22: Acl::<true>::default(), "acl-output";
    /// Limits what leaves.
    POLICE_OUTPUT = 23: Police::<true>::default(), "police-output";
    /// Copies what leaves to another interface.
    MIRROR_OUTPUT = 24: Mirror::<true>::default(), "mirror-output";
    /// Ends packets that a policy refuses, and tells their senders.
    REJECT = 25: Reject::default(), "reject";
    /// Puts the tag of the domain on.
    VLAN_OUTPUT = 26: VlanOutput::default(), "vlan-output";
    /// Cuts super-packets and fills in checksums.
    OFFLOAD = 27: Offload::default(), "offload";
    /// Copies leaving frames to a capture.
    CAPTURE_OUTPUT = 28: CaptureNode::output(), "capture-output";
    /// Takes what leaves by one end of a pair of interfaces in by the other one.
    PATCH = 29: Patch::default(), "patch";
    /// Puts the headers of a tunnel in front of frames.
    VXLAN_ENCAP = 30: VxlanEncap::default(), "vxlan-encap";
    /// Takes the headers of tunnels off.
    VXLAN_DECAP = 31: VxlanDecap::default(), "vxlan-decap";
    /// Answers questions for known hosts in place of a flood.
    NEIGHBOUR_SUPPRESS = 32: NeighbourSuppress::default(), "neighbour-suppress";
    /// Joins segments of TCP for a port that takes super-packets.
    TCP_COALESCE = 33: Coalesce::<Tcp>::default(), "tcp-coalesce";
    /// Joins datagrams of tunnels for a port that takes super-packets.
    UDP_COALESCE = 34: Coalesce::<Tunnelled>::default(), "udp-coalesce";
    /// Sends multicast groups where they were asked for.
    L2_MULTICAST = 35: L2Multicast::default(), "l2-multicast";
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
    /// Only some addresses may be used behind it.
    pub guard: bool,
    /// What comes in for many is limited.
    pub storm: bool,
    /// What comes in is limited.
    pub police_input: bool,
    /// What leaves is limited.
    pub police_output: bool,
    /// What comes in gets a code point.
    pub dscp: bool,
    /// What comes in and what leaves is copied to another interface.
    pub mirror: bool,
    /// The interface is one end of a patch, and has no port.
    pub patch: bool,
    /// The interface is a tunnel, and has no port.
    pub tunnel: bool,
    /// The port is VLAN-aware.
    pub vlan: bool,
    /// A capture is running on it.
    pub capture: bool,
    /// Packets may have come by a tunnel, and leave joined if the port takes super-packets of TCP.
    pub tcp_coalesce: bool,
    /// Packets may leave in a tunnel, and do so joined if the port takes super-packets of UDP.
    pub udp_coalesce: bool,
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
    for (is_on, feature) in [
        (features.acl_output, hop::ACL_OUTPUT),
        (features.police_output, hop::POLICE_OUTPUT),
        (features.mirror, hop::MIRROR_OUTPUT),
    ] {
        if is_on {
            output.push(feature);
        }
    }
    if features.capture {
        input.push(hop::CAPTURE_INPUT);
    }
    if features.vlan {
        input.push(hop::VLAN_INPUT);
        output.push(hop::VLAN_OUTPUT);
    }
    // What is mirrored is what came; who he is comes before what he may.
    for (is_on, feature) in [
        (features.mirror, hop::MIRROR_INPUT),
        (features.storm, hop::STORM_CONTROL),
        (features.guard, hop::PORT_GUARD),
        (features.police_input, hop::POLICE_INPUT),
        (features.acl_input, hop::ACL_INPUT),
        (features.dscp, hop::DSCP_INPUT),
    ] {
        if is_on {
            input.push(feature);
        }
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
    // Behind the capture, which has the packets as they will be on a wire.
    let can = features.capabilities;
    if features.tcp_coalesce && can.checksum && can.tso4 && can.tso6 {
        output.push(hop::TCP_COALESCE);
    }
    if features.udp_coalesce && can.checksum && can.uso {
        output.push(hop::UDP_COALESCE);
    }
    input.push(if features.routed { hop::IP4_ROUTE } else { hop::L2_BRIDGE });
    output.push(if features.patch {
        hop::PATCH
    } else if features.tunnel {
        hop::VXLAN_ENCAP
    } else {
        Hop::port(interface)
    });
    (input.into(), output.into())
}

/// An empty packet that goes the way of another one; `None` without a buffer.
fn successor(cache: &mut Cache, packet: &Packet) -> Option<Packet> {
    let mut next = cache.alloc()?;
    (next.rx, next.tx, next.domain) = (packet.rx, packet.tx, packet.domain);
    (next.feature, next.aux, next.tunnels) = (packet.feature, packet.aux, packet.tunnels);
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
