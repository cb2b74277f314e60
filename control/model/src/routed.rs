//! Routed interfaces and routing tables that should be.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use imbl::OrdMap;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

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
    /// Nothing is routed between it and any but links of two, as that to the host's stack is.
    pub internal: bool,
    /// Whether it answers, with its own MAC address, for every address that is reached by another interface (RFC 1027).
    pub proxy_arp: bool,
    /// Neighbours that need not be asked for and never age.
    pub neighbours: BTreeMap<IpAddr, MacAddr>,
    /// Who is at the other end of a link of two: all that leaves by it goes to this address, and nobody is asked for.
    pub peer: Option<MacAddr>,
    /// Whether what leaves by it gets an address of [`Desired::nat`](crate::Desired::nat).
    pub nat: bool,
    /// Whether TCP handshakes that come in or leave by it are lowered to segments that fit its MTU.
    pub mss_clamp: bool,
    /// Whether it takes only packets whose source is in one of its subnets (BCP 38).
    pub source_check: bool,
    /// The interface behind which is who has the addresses of this one too: what comes for them and is not for translation goes there.
    pub owner: Option<PortName>,
    /// Of a leg: the split-horizon group of its end in the bridge; 0: of no group.
    pub split_horizon_group: u8,
}

/// One routing table that should be, beside the routes that its interfaces' addresses make.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DesiredVrf {
    /// Routes by prefix: the configuration file's, the kernel's by an uplink, and those that Docker's networks need. See
    /// [`Desired::route`](crate::Desired::route) for all of them.
    pub routes: OrdMap<IpNet, Route>,
}

/// Which route: the text is `default/10.0.0.0/8`, the routing table and the prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId {
    /// The routing table.
    pub vrf: VrfName,
    /// The destinations, without host bits.
    pub prefix: IpNet,
}

/// A text that is no [`RouteId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route {0:?}: must be a routing table and a prefix without host bits, like default/10.0.0.0/8")]
pub struct RouteIdError(String);

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.vrf, self.prefix)
    }
}

impl FromStr for RouteId {
    type Err = RouteIdError;

    fn from_str(text: &str) -> Result<Self, RouteIdError> {
        let parse = || {
            let (vrf, prefix) = text.split_once('/')?;
            let prefix: IpNet = prefix.parse().ok()?;
            (prefix == prefix.trunc()).then_some(Self { vrf: vrf.parse().ok()?, prefix })
        };
        parse().ok_or_else(|| RouteIdError(text.chars().take(100).collect()))
    }
}

crate::text::as_text!(RouteId);

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

impl Route {
    /// Most next hops of one route.
    pub const MAX_PATHS: usize = 14;
}

/// One next hop: an address, an interface, or both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Path {
    /// The router to hand packets to; none: each packet's own destination is on the interface's link.
    pub via: Option<IpAddr>,
    /// The interface to leave by; none: the one whose subnet `via` is in.
    pub interface: Option<PortName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_s_id_is_text_and_back() {
        for text in ["default/0.0.0.0/0", "red/fd00::/64"] {
            assert_eq!(text.parse::<RouteId>().unwrap().to_string(), text);
        }
        for bad in ["", "default", "default/10.0.0.0", "default/10.0.0.1/8", "/10.0.0.0/8", "a b/10.0.0.0/8"]
        {
            assert!(bad.parse::<RouteId>().is_err(), "{bad}");
        }
    }
}
