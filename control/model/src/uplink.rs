//! What the kernel says of the device of an uplink: a part of what [`desired`](crate::desired) is made from, but nobody's wish.

use std::collections::BTreeMap;
use std::net::IpAddr;

use imbl::OrdMap;
use ipnet::IpNet;

use crate::config::Uplink;
use crate::{DesiredInterface, IfName, MacAddr, Over, Path, Route, VrfName};

/// All uplinks whose device is there, by its name.
pub type Uplinks = BTreeMap<IfName, UplinkState>;

/// A device as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UplinkState {
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// Largest IP packet that leaves by it, in bytes.
    pub mtu: u16,
    /// Its addresses, each with the prefix length of its subnet, but those of the link alone. The first of a family is the one it
    /// speaks from.
    pub addresses: Vec<IpNet>,
    /// The kernel's best routes by it, by destination: the router, or none where destinations are on the link.
    pub routes: BTreeMap<IpNet, Option<IpAddr>>,
    /// Who has which address on its link, as far as it is known and of use.
    pub neighbours: BTreeMap<IpAddr, MacAddr>,
}

impl UplinkState {
    /// Routers that routes lead to: their Ethernet addresses are needed.
    pub fn routers(&self) -> impl Iterator<Item = IpAddr> {
        self.routes.values().copied().flatten()
    }

    /// The first address of IPv4 and of IPv6: what translated packets come from.
    pub fn speaks_from(&self) -> [Option<IpAddr>; 2] {
        let first = |v4| self.addresses.iter().map(IpNet::addr).find(|address| address.is_ipv4() == v4);
        [first(true), first(false)]
    }

    /// The routed interface over the uplink's port, in a routing table. Of a shared device neighbours are as the kernel knows them, as
    /// answers go there; on its own device the switch asks itself.
    pub fn interface(&self, uplink: &Uplink, vrf: VrfName) -> DesiredInterface {
        DesiredInterface {
            over: Over::Port(uplink.port_name()),
            vrf,
            mac: Some(self.mac),
            mtu: self.mtu,
            addresses: self.addresses.clone(),
            isolated: false,
            internal: false,
            proxy_arp: false,
            neighbours: if uplink.shared { self.neighbours.clone() } else { BTreeMap::new() },
            peer: None,
            nat: false,
            mss_clamp: false,
            source_check: false,
            owner: None,
            split_horizon_group: 0,
        }
    }

    /// The kernel's routes by the device as ours, for the interface of [`interface`](Self::interface). Those of its own subnets follow
    /// from its addresses.
    pub fn routes(&self, uplink: &Uplink) -> OrdMap<IpNet, Route> {
        let own = |prefix: &IpNet| self.addresses.iter().any(|address| address.trunc() == *prefix);
        let route = |via: Option<IpAddr>| Route::Via(vec![Path { via, interface: Some(uplink.port_name()) }]);
        self.routes
            .iter()
            .filter(|(prefix, via)| via.is_some() || !own(prefix))
            .map(|(prefix, via)| (*prefix, route(*via)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Interval;

    fn state() -> UplinkState {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        UplinkState {
            mac: [2, 0, 0, 0, 0, 1].into(),
            mtu: 1500,
            addresses: ["192.0.2.1/24", "192.0.2.9/24", "2001:db8::1/64"].map(net).to_vec(),
            routes: [
                (net("0.0.0.0/0"), Some(ip("192.0.2.254"))),
                (net("192.0.2.0/24"), None),
                (net("203.0.113.0/24"), None),
                (net("::/0"), Some(ip("fe80::1"))),
            ]
            .into(),
            neighbours: [(ip("192.0.2.254"), [2, 0, 0, 0, 0, 2].into())].into(),
        }
    }

    #[test]
    fn an_interface_has_what_the_kernel_has() {
        let state = state();
        let uplink = |shared| Uplink {
            device: "eth0".parse().unwrap(),
            shared,
            nat_ports: Interval::new(40_000, 49_999).unwrap(),
        };
        let shared = state.interface(&uplink(true), VrfName::default());
        assert_eq!(shared.over, Over::Port("uplink:eth0".parse().unwrap()));
        assert_eq!((shared.addresses.len(), shared.neighbours.len()), (3, 1));
        assert!(state.interface(&uplink(false), VrfName::default()).neighbours.is_empty());
        let routes = state.routes(&uplink(true));
        let prefixes: Vec<_> = routes.keys().map(ToString::to_string).collect();
        assert_eq!(prefixes, ["0.0.0.0/0", "203.0.113.0/24", "::/0"]);
        let routers: Vec<_> = state.routers().map(|ip| ip.to_string()).collect();
        assert_eq!(routers, ["192.0.2.254", "fe80::1"]);
        let [v4, v6] = state.speaks_from();
        assert_eq!((v4, v6), ("192.0.2.1".parse().ok(), "2001:db8::1".parse().ok()));
    }
}
