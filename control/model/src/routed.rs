//! Routed interfaces and routing tables that should be.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::{BridgeName, MacAddr, PortName, VlanId, VrfName};

/// What a routed interface lies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// A port of its own, whose name it has.
    Port(PortName),
    /// A bridge, of which it is the routed leg (a bridge virtual interface, BVI).
    Bridge {
        /// Which.
        bridge: BridgeName,
        /// Which of its VLANs, if its members have VLANs.
        vlan: Option<VlanId>,
    },
}

/// One routed interface that should be.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredInterface {
    /// What it lies on.
    pub over: Over,
    /// The routing table of what comes in by it.
    pub vrf: VrfName,
    /// Its Ethernet address; none: that of the port's device if that is somebody's, or else one made of its name.
    pub mac: Option<MacAddr>,
    /// Largest IP packet that leaves by it, in bytes.
    pub mtu: u16,
    /// Its addresses, each with the prefix length of its subnet. The first of a family is the one it speaks from.
    pub addresses: Vec<IpNet>,
    /// Nothing is routed between two isolated interfaces.
    pub isolated: bool,
    /// Whether it answers, with its own MAC address, for every address that is reached by another interface (RFC 1027).
    pub proxy_arp: bool,
    /// Neighbours that need not be asked for and never age.
    pub neighbours: BTreeMap<IpAddr, MacAddr>,
    /// Who is at the other end of a link of two: all that leaves by it goes to this address, and nobody is asked for.
    pub peer: Option<MacAddr>,
}

/// One routing table that should be, beside the routes that its interfaces' addresses make.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DesiredVrf {
    /// Routes by prefix.
    pub routes: BTreeMap<IpNet, Route>,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To next hops, among which flows are spread: 1 to 14.
    Via(Vec<Path>),
    /// Nowhere, without a word.
    Blackhole,
    /// Nowhere: the sender is told that the destination cannot be reached.
    Unreachable,
    /// Nowhere: the sender is told that this is forbidden.
    Prohibit,
}

/// One next hop: an address, an interface, or both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// The router to hand packets to; none: each packet's own destination is on the interface's link.
    pub via: Option<IpAddr>,
    /// The interface to leave by; none: the one whose subnet `via` is in.
    pub interface: Option<PortName>,
}
