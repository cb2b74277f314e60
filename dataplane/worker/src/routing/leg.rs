//! A routed interface, as routing knows it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use paceline_graph::{Hop, IpVersion, L3, Link};
use paceline_sys::fnv1a;
use paceline_wire::ethernet::Mac;

/// A routed interface that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    /// Its name.
    pub name: Arc<str>,
    /// Its number.
    pub number: u16,
    /// Name of its routing table.
    pub vrf: String,
    /// Its own address.
    pub mac: Mac,
    /// Largest IP packet that leaves by it, in bytes.
    pub mtu: u16,
    /// Its addresses, each with its subnet's length.
    pub addresses: Vec<IpNet>,
    /// Whether it answers for addresses that are reached by other interfaces.
    pub proxy_arp: bool,
    /// Neighbours that are not asked for.
    pub statics: BTreeMap<IpAddr, Mac>,
    /// The one at the other end of a link of two.
    pub peer: Option<Mac>,
    /// Where its output arc begins.
    pub out: Hop,
    /// Addresses of address translation that inside hosts appear under on it.
    pub outside: Vec<IpAddr>,
    /// Name of the one behind which is who has its addresses too.
    pub owner: Option<String>,
}

impl Leg {
    /// The link that adjacencies on it have.
    pub(crate) fn link(&self, version: IpVersion) -> Link {
        Link { interface: self.number, mtu: self.mtu, source: self.mac, version }
    }

    /// What nodes know of it.
    pub(crate) fn l3(&self) -> L3 {
        let (mut address4, mut address6) = (None, None);
        for net in &self.addresses {
            match net.addr() {
                IpAddr::V4(address) => _ = address4.get_or_insert(address),
                IpAddr::V6(address) => _ = address6.get_or_insert(address),
            }
        }
        L3 { mac: self.mac, address4, address6, mtu: self.mtu }
    }

    /// All addresses that it answers for, each with its subnet's length: its own, and those that inside hosts appear under.
    pub(crate) fn answers_for(&self) -> Vec<IpNet> {
        let further =
            self.outside.iter().filter(|address| !self.has(**address)).map(|address| IpNet::from(*address));
        self.addresses.iter().copied().chain(further).collect()
    }

    /// Whether an address is its own.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|net| net.addr() == address)
    }

    /// Whether an address is its own, or the link-local one that is made of its Ethernet address.
    pub(crate) fn answers(&self, address: IpAddr) -> bool {
        self.has(address) || address == self.mac.link_local()
    }

    /// The address that it speaks to another from: that in the same subnet, or else the first of the family.
    pub(crate) fn source(&self, to: IpAddr) -> Option<IpAddr> {
        let same = || self.addresses.iter().filter(|net| net.addr().is_ipv4() == to.is_ipv4());
        same().find(|net| net.contains(&to)).or_else(|| same().next()).map(IpNet::addr)
    }

    /// As [`source`](Leg::source), but to a link-local address of IPv6 from that of its own (RFC 6724 §5, rule 2).
    pub(crate) fn speaks_from(&self, to: IpAddr) -> Option<IpAddr> {
        match to {
            IpAddr::V6(address) if address.is_unicast_link_local() => Some(self.mac.link_local().into()),
            _ => self.source(to),
        }
    }

    /// Whether an address is in one of its subnets.
    pub(crate) fn covers(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|net| net.contains(&address))
    }
}

/// An address for an interface that was given none, made of its name: locally administered (IEEE 802), and the same after every
/// restart, so that neighbours need not learn another one.
pub(crate) fn mac_of(name: &str) -> Mac {
    let hash = fnv1a(name.bytes());
    let [.., a, b, c, d] = (hash ^ hash >> 32).to_be_bytes();
    Mac::from_octets([0x02, 0xfe, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_name_is_a_station_s() {
        assert!(mac_of("uplink").is_station() && mac_of("uplink") == mac_of("uplink"));
        assert_ne!(mac_of("uplink"), mac_of("uplink2"));
    }
}
