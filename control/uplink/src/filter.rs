//! Which frames of an uplink are the switch's.

use paceline_model::config::{NatMapping, Uplink};
use paceline_model::{DesiredTunnel, UplinkState};
use paceline_ports::{Filter, Service};

/// IP protocol number of UDP.
const UDP: u8 = 17;

/// The filter of a shared uplink: at the addresses that the device speaks from, the ports for translation, those that lead to
/// inside hosts, and those of VXLAN tunnels. None for one that is the switch's alone.
pub fn filter<'t>(
    uplink: &Uplink,
    state: &UplinkState,
    mappings: &[NatMapping],
    tunnels: impl IntoIterator<Item = &'t DesiredTunnel>,
) -> Option<Filter> {
    if !uplink.shared {
        return None;
    }
    let addresses = || state.speaks_from().into_iter().flatten();
    let nat = uplink.nat_ports;
    let tunnel =
        |tunnel: &DesiredTunnel| Service { address: tunnel.vtep.address, protocol: UDP, port: tunnel.port };
    let services = mappings.iter().flat_map(|mapping| {
        let at = move |address: &std::net::IpAddr| match mapping.outside {
            Some(outside) => outside == *address,
            None => address.is_ipv4() == mapping.inside.is_ipv4(),
        };
        let (protocol, port) = (mapping.protocol.number(), mapping.port);
        addresses().filter(at).map(move |address| Service { address, protocol, port })
    });
    Some(Filter {
        shared: addresses().map(|address| (address, nat.first()..=nat.last())).collect(),
        services: services.chain(tunnels.into_iter().map(tunnel)).collect(),
        ..Filter::default()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use paceline_model::{Interval, Protocol, VrfName, Vtep};

    use super::*;

    fn state() -> UplinkState {
        let addresses = ["192.0.2.1/24", "192.0.2.9/24", "2001:db8::1/64"];
        UplinkState {
            mac: [2, 0, 0, 0, 0, 1].into(),
            mtu: 1500,
            addresses: addresses.map(|net| net.parse().unwrap()).to_vec(),
            routes: BTreeMap::new(),
            neighbours: BTreeMap::new(),
        }
    }

    #[test]
    fn a_port_is_ours_where_it_leads_inside() {
        let nat_ports = Interval::new(40_000, 49_999).unwrap();
        let uplink = Uplink { device: "eth0".parse().unwrap(), shared: true, nat_ports };
        let at = |outside: Option<&str>, inside: &str| {
            let mapping = NatMapping {
                protocol: Protocol::Tcp,
                outside: outside.map(|ip| ip.parse().unwrap()),
                port: 8080,
                inside: inside.parse().unwrap(),
                inside_port: Some(80),
                vrf: None,
            };
            let filter = filter(&uplink, &state(), &[mapping], []).unwrap();
            let shared: Vec<_> = filter.shared.keys().map(ToString::to_string).collect();
            assert_eq!(shared, ["192.0.2.1", "2001:db8::1"]);
            assert!(filter.shared.values().all(|ports| *ports == (40_000..=49_999)));
            assert!(filter.services.iter().all(|service| (service.protocol, service.port) == (6, 8080)));
            filter.services.iter().map(|service| service.address.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(at(None, "10.0.0.2"), ["192.0.2.1"]);
        assert_eq!(at(None, "fd00::2"), ["2001:db8::1"]);
        assert_eq!(at(Some("192.0.2.1"), "10.0.0.2"), ["192.0.2.1"]);
        assert!(at(Some("192.0.2.2"), "10.0.0.2").is_empty());
        assert_eq!(filter(&Uplink { shared: false, ..uplink }, &state(), &[], []), None);
    }

    #[test]
    fn tunnels_have_their_port() {
        let nat_ports = Interval::new(40_000, 49_999).unwrap();
        let uplink = Uplink { device: "eth0".parse().unwrap(), shared: true, nat_ports };
        let (interface, address) = (uplink.port_name(), "192.0.2.1".parse().unwrap());
        let tunnel = |port| DesiredTunnel {
            vni: 42.try_into().unwrap(),
            vtep: Vtep {
                vrf: VrfName::of_port(&interface),
                interface: interface.clone(),
                address,
                mtu: 1500,
            },
            remote: "192.0.2.2".parse().unwrap(),
            learn_peers: false,
            port,
            ttl: None,
            dscp: None,
            checksum: false,
            mtu: 1450,
        };
        let tunnels = [tunnel(4789), tunnel(4789), tunnel(8472)];
        let filter = filter(&uplink, &state(), &[], &tunnels).unwrap();
        let service = |port| Service { address, protocol: UDP, port };
        assert_eq!(filter.services, [service(4789), service(8472)].into());
    }
}
