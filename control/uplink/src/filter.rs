//! Which frames of an uplink are the switch's.

use std::net::IpAddr;

use ipnet::IpNet;
use paceline_model::PublishedPort;
use paceline_model::UplinkState;
use paceline_model::config::Uplink;
use paceline_ports::{Filter, Service};

/// The filter of a shared uplink: at each address of the device the ports for translation, and the published ports. None for one
/// that is the switch's alone.
///
/// A port that is published on no address in particular is so on all of the device's.
pub fn filter(
    uplink: &Uplink,
    state: &UplinkState,
    published: impl IntoIterator<Item = PublishedPort>,
) -> Option<Filter> {
    if !uplink.shared {
        return None;
    }
    let addresses = || state.addresses.iter().map(IpNet::addr);
    let nat = uplink.nat_ports;
    let at = |port: PublishedPort| {
        addresses().filter(move |address| is_on(port.host_ip, *address)).map(move |address| Service {
            address,
            protocol: port.protocol.number(),
            port: port.host_port,
        })
    };
    Some(Filter {
        shared: addresses().map(|address| (address, nat.first()..=nat.last())).collect(),
        services: published.into_iter().flat_map(at).collect(),
        ..Filter::default()
    })
}

/// Whether a port that is published on `on` is so on an address.
fn is_on(on: Option<IpAddr>, address: IpAddr) -> bool {
    on.is_none_or(|on| on == address || on.is_unspecified() && on.is_ipv4() == address.is_ipv4())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use paceline_model::{Interval, Protocol};

    use super::*;

    fn state() -> UplinkState {
        UplinkState {
            mac: [2, 0, 0, 0, 0, 1].into(),
            mtu: 1500,
            addresses: ["192.0.2.1/24", "2001:db8::1/64"].map(|net| net.parse().unwrap()).to_vec(),
            routes: BTreeMap::new(),
            neighbours: BTreeMap::new(),
        }
    }

    #[test]
    fn a_port_is_published_on_the_addresses_it_names() {
        let nat_ports = Interval::new(40_000, 49_999).unwrap();
        let uplink = Uplink { device: "eth0".parse().unwrap(), shared: true, nat_ports };
        let on = |host_ip: Option<&str>| {
            let host_ip = host_ip.map(|ip| ip.parse().unwrap());
            let port = PublishedPort { protocol: Protocol::Tcp, host_ip, host_port: 8080, port: 80 };
            let filter = filter(&uplink, &state(), [port]).unwrap();
            assert_eq!(filter.shared.len(), 2);
            assert!(filter.shared.values().all(|ports| *ports == (40_000..=49_999)));
            assert!(filter.services.iter().all(|service| (service.protocol, service.port) == (6, 8080)));
            filter.services.iter().map(|service| service.address.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(on(None), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(on(Some("0.0.0.0")), ["192.0.2.1"]);
        assert_eq!(on(Some("::")), ["2001:db8::1"]);
        assert_eq!(on(Some("192.0.2.1")), ["192.0.2.1"]);
        assert!(on(Some("192.0.2.2")).is_empty() && on(Some("127.0.0.1")).is_empty());
        assert_eq!(filter(&Uplink { shared: false, ..uplink }, &state(), []), None);
    }
}
