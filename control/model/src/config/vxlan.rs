//! `[[vxlan]]`

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{field, limits};
use crate::overlay::{Overlay, Vni};
use crate::{BridgeName, MacAddr, PortName, VlanId};

/// A VXLAN segment (RFC 7348) that a bridge, or a VLAN of one, is a part of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vxlan {
    /// The bridge.
    pub bridge: BridgeName,
    /// The VLAN of it, in a bridge whose members have VLANs.
    pub vlan: Option<VlanId>,
    /// Which segment, 1 to 16777215.
    pub vni: Vni,
    /// The address of this end; none: the first of `underlay` that has the IP version of the others.
    #[serde(default, deserialize_with = "field::maybe")]
    pub local: Option<IpAddr>,
    /// What has that address: a routed interface, or the device of an uplink; none: whatever has `local`.
    pub underlay: Option<PortName>,
    /// The other ends, each of which gets a copy of what is flooded, unless there is a group.
    #[serde(default, deserialize_with = "field::list")]
    pub peers: Vec<IpAddr>,
    /// A multicast group that gets what is flooded, of which all peers are.
    #[serde(default, deserialize_with = "field::maybe")]
    pub group: Option<IpAddr>,
    /// Whether others that send packets of the segment become peers; none: where there is a group.
    pub learn_peers: Option<bool>,
    /// The UDP port of all ends, 1 to 65535.
    #[serde(default = "port", deserialize_with = "limits::between::<_, _, 1, 65535>")]
    pub port: u16,
    /// Time to live of outer packets, 1 to 255; none, written "inherit": that of the inner one.
    #[serde(default = "ttl", with = "limits::Inherited::<limits::Ttl>")]
    pub ttl: Option<u8>,
    /// Differentiated services code point of outer packets, 0 to 63 or by name; none, written "inherit": that of the inner one.
    #[serde(default = "dscp", with = "limits::Inherited::<limits::CodePoint>")]
    pub dscp: Option<u8>,
    /// Whether outer packets have a UDP checksum; none: over IPv6 alone.
    pub checksum: Option<bool>,
    /// Largest Ethernet payload inside, 68 to 65535 bytes; none: what fits a packet of the underlay.
    #[serde(default, deserialize_with = "limits::maybe_between::<_, _, 68, 65535>")]
    pub mtu: Option<u16>,
    /// Hosts whose place is known, so that nobody floods to find them.
    #[serde(default)]
    pub neighbours: Vec<Remote>,
}

/// A host behind a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// Its IP address: questions for it are answered by the bridge.
    #[serde(deserialize_with = "field::one")]
    pub address: IpAddr,
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// The peer that it is behind.
    #[serde(deserialize_with = "field::one")]
    pub peer: IpAddr,
}

impl Vxlan {
    /// The segment.
    pub fn overlay(&self) -> Overlay {
        Overlay {
            vni: self.vni,
            local: self.local,
            underlay: self.underlay.clone(),
            peers: self.peers.clone(),
            group: self.group,
            learn_peers: self.learn_peers.unwrap_or(self.group.is_some()),
            port: self.port,
            ttl: self.ttl,
            dscp: self.dscp,
            checksum: self.checksum,
        }
    }
}

fn port() -> u16 {
    Overlay::PORT
}

#[expect(clippy::unnecessary_wraps, reason = "the default of a field that may be none")]
fn ttl() -> Option<u8> {
    Some(Overlay::TTL)
}

#[expect(clippy::unnecessary_wraps, reason = "the default of a field that may be none")]
fn dscp() -> Option<u8> {
    Some(0)
}
