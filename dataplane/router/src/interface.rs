//! What a routed interface is on its link: its Ethernet address and its IP addresses.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use paceline_wire::ethernet::Mac;
use paceline_wire::input::{is_host_v4, is_host_v6};
use paceline_wire::ndp::{ALL_NODES, ALL_ROUTERS, solicited_node};

/// Bits of the prefix of link-local addresses as hosts make them (RFC 4291 §2.5.6).
const LINK_LOCAL_LEN: u8 = 64;

/// A routed interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its addresses, each with the prefix length of its subnet.
    pub addresses: Vec<IpNet>,
    /// Its link-local IPv6 address, besides those that are listed. None: it does not speak IPv6 unless one is listed.
    pub link_local: Option<Ipv6Addr>,
    /// Whether it answers for addresses that other interfaces lead to (RFC 1027).
    pub proxy: bool,
}

impl Interface {
    /// An interface with the [link-local](Mac::link_local) address of its Ethernet address.
    pub fn new(mac: Mac, addresses: Vec<IpNet>, proxy: bool) -> Interface {
        Interface { mac, addresses, link_local: Some(mac.link_local()), proxy }
    }

    /// All its addresses with their subnets, the link-local one last, each once.
    pub fn own(&self) -> impl Iterator<Item = IpNet> {
        let mut link_local = self.link_local.map(IpAddr::from);
        link_local = link_local.filter(|own| self.addresses.iter().all(|net| net.addr() != *own));
        let link_local = link_local.and_then(|own| IpNet::new(own, LINK_LOCAL_LEN).ok());
        let listed = self.addresses.iter().enumerate();
        listed
            .filter(|(index, net)| self.addresses[..*index].iter().all(|other| other.addr() != net.addr()))
            .map(|(_, net)| *net)
            .chain(link_local)
    }

    /// Whether an address is its own.
    pub fn has(&self, address: IpAddr) -> bool {
        self.link_local.is_some_and(|own| own == address)
            || self.addresses.iter().any(|net| net.addr() == address)
    }

    /// Whether a host on this link can have an address: it is in one of the subnets, and neither the network's nor the
    /// broadcast address.
    pub fn is_on_link(&self, address: IpAddr) -> bool {
        let is_local = match address {
            IpAddr::V4(_) => false,
            IpAddr::V6(address) => self.link_local.is_some() && address.is_unicast_link_local(),
        };
        let is_in = |net: &IpNet| net.contains(&address);
        self.may_be_asked_for(address) && (is_local || self.addresses.iter().any(is_in))
    }

    /// Whether it makes sense to ask on this link for an address, on one of its subnets or not: it can be that of one host,
    /// which is not this one.
    pub fn may_be_asked_for(&self, address: IpAddr) -> bool {
        let is_host = match address {
            IpAddr::V4(address) => is_host_v4(address.octets()),
            IpAddr::V6(address) => is_host_v6(&address.octets()),
        };
        // With 31 and 32 bits there is no address of the network (RFC 3021), and IPv6 has none of broadcast.
        let is_everybody = |net: &IpNet| {
            net.addr().is_ipv4()
                && net.prefix_len() < 31
                && (net.network() == address || net.broadcast() == address)
        };
        is_host && !self.has(address) && !self.addresses.iter().any(is_everybody)
    }

    /// The address to ask from: one in the same subnet, else one of the same family, of those that may be used.
    pub fn source_for(&self, target: IpAddr, is_usable: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let fits = |net: &IpNet| net.addr().is_ipv4() == target.is_ipv4() && is_usable(net.addr());
        let near = self.own().filter(fits).find(|net| net.contains(&target));
        near.or_else(|| self.own().find(fits)).map(|net| net.addr())
    }

    /// The groups of IPv6 that it is in: all nodes, all routers, and for each address those who may have it (RFC 4291 §2.8).
    pub fn groups(&self) -> impl Iterator<Item = [u8; 16]> {
        let nodes = self.own().filter_map(|net| match net.addr() {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(solicited_node(&address.octets())),
        });
        [ALL_NODES, ALL_ROUTERS].into_iter().chain(nodes)
    }

    /// Whether frames to an Ethernet address are for it: its own, broadcast, and those of its [groups](Self::groups). One that
    /// is a proxy must hear those of all groups of neighbour discovery besides, 33:33:ff:00:00:00 to 33:33:ff:ff:ff:ff.
    pub fn takes(&self, destination: Mac) -> bool {
        destination == self.mac
            || destination == Mac::BROADCAST
            || self.groups().any(|group| Mac::of_group_v6(&group) == destination)
            || self.proxy && destination.0 >> 24 == 0x0033_33ff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn interface() -> Interface {
        let nets = ["10.0.0.1/24", "192.168.7.1/31", "fd00::1/64", "10.0.0.1/16"];
        Interface::new(Mac(0x0200_0000_0001), nets.map(|net| net.parse().expect(net)).to_vec(), false)
    }

    #[test]
    fn a_link_local_address_is_made_of_the_mac() {
        assert_eq!(
            Mac(0x3456_789a_bcde).link_local(),
            ip("fe80::3656:78ff:fe9a:bcde"),
            "RFC 2464, section 5"
        );
        let own: Vec<IpAddr> = interface().own().map(|net| net.addr()).collect();
        assert_eq!(own, ["10.0.0.1", "192.168.7.1", "fd00::1", "fe80::ff:fe00:1"].map(ip), "each once");
    }

    #[test]
    fn who_can_be_on_the_link() {
        let interface = interface();
        for address in ["10.0.0.2", "10.0.1.0", "192.168.7.0", "fd00::2", "fe80::99"] {
            assert!(interface.is_on_link(ip(address)), "{address}");
        }
        for address in
            ["10.0.0.0", "10.0.0.255", "10.1.0.1", "10.0.0.1", "fd00:0:0:1::2", "ff02::1", "255.255.255.255"]
        {
            assert!(!interface.is_on_link(ip(address)), "{address}");
        }
    }

    #[test]
    fn it_asks_from_the_subnet_of_the_target() {
        let interface = interface();
        let source = |target| interface.source_for(ip(target), |_| true);
        assert_eq!(source("192.168.7.0"), Some(ip("192.168.7.1")));
        assert_eq!(source("172.16.0.1"), Some(ip("10.0.0.1")));
        assert_eq!(source("fd00::9"), Some(ip("fd00::1")));
        assert_eq!(source("fe80::9"), Some(ip("fe80::ff:fe00:1")));
        assert_eq!(
            interface.source_for(ip("fd00::9"), |own| own != ip("fd00::1")),
            Some(ip("fe80::ff:fe00:1"))
        );
        assert_eq!(interface.source_for(ip("fd00::9"), |_| false), None);
    }

    #[test]
    fn it_takes_frames_to_its_groups() {
        let mut interface = interface();
        let takes = [
            "02:00:00:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "33:33:00:00:00:01",
            "33:33:00:00:00:02",
            "33:33:ff:00:00:01",
        ];
        let mac = |text: &str| Mac(u64::from_str_radix(&text.replace(':', ""), 16).expect("digits"));
        assert!(takes.iter().all(|text| interface.takes(mac(text))));
        assert!(
            !["02:00:00:00:00:02", "33:33:ff:00:00:02", "01:00:5e:00:00:01"]
                .iter()
                .any(|text| interface.takes(mac(text)))
        );
        interface.proxy = true;
        assert!(interface.takes(mac("33:33:ff:00:00:02")) && !interface.takes(mac("33:33:00:00:00:03")));
    }
}
