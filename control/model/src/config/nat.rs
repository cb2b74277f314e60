//! `[nat]`

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Interface, field, limits};
use crate::{Interval, Protocol, VrfName};

/// Address translation of what leaves by interfaces with `nat`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nat {
    /// Addresses that inside hosts appear under. None: the first IPv4 address of each interface with `nat`. IPv6 is translated
    /// only if an IPv6 address is among them.
    #[serde(deserialize_with = "field::list")]
    pub addresses: Vec<IpAddr>,
    /// Ports, and identifiers of ICMP queries, that are given to inside hosts.
    pub ports: Interval<u16>,
    /// Whose packets are translated; none: all.
    #[serde(deserialize_with = "field::list")]
    pub inside: Vec<IpNet>,
    /// Most sessions of one worker and version of IP, 1024 to 4194304.
    #[serde(deserialize_with = "limits::between::<_, _, 1024, 4_194_304>")]
    pub sessions: u32,
    /// Most sessions of one inside host and worker, up to 4194304; 0: any number.
    #[serde(deserialize_with = "limits::between::<_, _, 0, 4_194_304>")]
    pub sessions_per_host: u32,
    /// Seconds without a packet after which a TCP session ends that was established, 60 to 604800.
    #[serde(deserialize_with = "limits::between::<_, _, 60, 604_800>")]
    pub tcp_established_s: u32,
    /// The same of a TCP session that is being opened or closed, 5 to 3600.
    #[serde(deserialize_with = "limits::between::<_, _, 5, 3600>")]
    pub tcp_transitory_s: u32,
    /// The same of UDP and other protocols, 5 to 86400.
    #[serde(deserialize_with = "limits::between::<_, _, 5, 86400>")]
    pub udp_s: u32,
    /// The same of ICMP queries, 1 to 3600.
    #[serde(deserialize_with = "limits::between::<_, _, 1, 3600>")]
    pub icmp_s: u32,
    /// `[[nat.mapping]]`
    #[serde(rename = "mapping")]
    pub mappings: Vec<NatMapping>,
}

impl Default for Nat {
    /// Times as in RFC 5382, RFC 4787 and RFC 5508.
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            ports: Interval::new(1024, u16::MAX).expect("in order"),
            inside: Vec::new(),
            sessions: 65536,
            sessions_per_host: 0,
            tcp_established_s: 7440,
            tcp_transitory_s: 240,
            udp_s: 300,
            icmp_s: 60,
            mappings: Vec::new(),
        }
    }
}

/// A port of an inside host that can be reached from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatMapping {
    /// The protocol.
    pub protocol: Protocol,
    /// The address that it appears under; none: all of the version of `inside`.
    #[serde(default, deserialize_with = "field::maybe")]
    pub outside: Option<IpAddr>,
    /// The port there, 1 to 65535.
    #[serde(deserialize_with = "limits::between::<_, _, 1, 65535>")]
    pub port: u16,
    /// The host.
    #[serde(deserialize_with = "field::one")]
    pub inside: IpAddr,
    /// Its port, 1 to 65535; none: the same.
    #[serde(default, deserialize_with = "limits::maybe_between::<_, _, 1, 65535>")]
    pub inside_port: Option<u16>,
    /// The routing table that the host is reached by; none: see [`homes`](NatMapping::homes).
    #[serde(default)]
    pub vrf: Option<VrfName>,
}

impl NatMapping {
    /// The host's port.
    pub fn inside_port(&self) -> u16 {
        self.inside_port.unwrap_or(self.port)
    }

    /// The routing tables that the host may be reached by: the one that is named, or else those of interfaces in a subnet with it, or
    /// else that of the first outside interface.
    pub fn homes<'a>(&'a self, interfaces: &'a [Interface]) -> BTreeSet<&'a VrfName> {
        if let Some(vrf) = &self.vrf {
            return BTreeSet::from([vrf]);
        }
        let is_near = |own: &&Interface| own.addresses.iter().any(|net| net.contains(&self.inside));
        let near: BTreeSet<_> = interfaces.iter().filter(is_near).map(|own| &own.vrf).collect();
        let outside = interfaces.iter().filter(|own| own.nat).map(|own| &own.vrf);
        if near.is_empty() { outside.take(1).collect() } else { near }
    }
}
