//! `[[interface]]`

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Checks, Step, reserved};
use crate::config::{Config, Interface, On};
use crate::{BridgeName, PortName, VlanId, VrfName};

/// Smallest MTU of a link with IPv6, in bytes (RFC 8200, section 5).
const MIN_MTU_IPV6: u16 = 1280;

/// What the interfaces before one have taken.
#[derive(Default)]
struct Taken<'c> {
    names: BTreeSet<&'c PortName>,
    /// What they are on.
    on: BTreeSet<&'c On>,
    /// Their addresses.
    addresses: Vec<(&'c VrfName, &'c PortName, &'c IpNet)>,
}

/// Checks all of them. Ports of bridges are in `member_of`.
pub(super) fn interfaces(
    config: &Config,
    member_of: &BTreeMap<&PortName, &BridgeName>,
    checks: &mut Checks<'_>,
) {
    let mut taken = Taken::default();
    for (index, interface) in config.interfaces.iter().enumerate() {
        named(interface, index, config, &mut taken, checks);
        place(interface, index, config, member_of, &mut taken, checks);
        checks.expect(
            interface.mac.is_none_or(crate::MacAddr::is_unicast),
            at!["interface", index, "mac"],
            || {
                let name = interface.name.as_str();
                format!(
                    "interface {name:?}: mac must be the address of one interface, not of a group or zero"
                )
            },
        );
        mtu(interface, index, config, checks);
        addresses(interface, index, &mut taken, checks);
        neighbours(interface, index, checks);
    }
}

fn named<'c>(
    interface: &'c Interface,
    index: usize,
    config: &'c Config,
    taken: &mut Taken<'c>,
    checks: &mut Checks<'_>,
) {
    let (name, path) = (interface.name.as_str(), at!["interface", index, "name"]);
    let is_port = config.ports.iter().any(|port| port.name == interface.name);
    // That of a port is checked with the port.
    if !matches!(interface.on, On::Port(_)) {
        reserved(&interface.name, "interface", path, checks);
        checks
            .expect(!is_port, path, || format!("interface {name:?}: is the name of a port: choose another"));
        let first = taken.names.insert(&interface.name);
        checks.expect(first || is_port, path, || format!("interface {name:?}: is there twice"));
    }
    let known =
        interface.vrf == VrfName::default() || config.vrfs.iter().any(|vrf| vrf.name == interface.vrf);
    checks.expect(known, at!["interface", index, "vrf"], || {
        format!("interface {name:?}: there is no VRF {:?}: add [[vrf]] name = {0:?}", interface.vrf.as_str())
    });
}

/// What it is on.
fn place<'c>(
    interface: &'c Interface,
    index: usize,
    config: &Config,
    member_of: &BTreeMap<&PortName, &BridgeName>,
    taken: &mut Taken<'c>,
    checks: &mut Checks<'_>,
) {
    let name = interface.name.as_str();
    let mut expect = |right: bool, field: &'static str, message: &dyn Fn() -> String| {
        checks.expect(right, at!["interface", index, field], || format!("interface {name:?}: {}", message()));
    };
    let first = taken.on.insert(&interface.on);
    match &interface.on {
        On::Port(port) | On::Vlan { port, .. } => {
            let there = config.ports.iter().any(|other| other.name == *port);
            expect(there, "port", &|| format!("there is no port {:?}", port.as_str()));
            if let Some(bridge) = member_of.get(port) {
                expect(false, "port", &|| {
                    let (port, bridge) = (port.as_str(), bridge.as_str());
                    format!(
                        "port {port:?} is in bridge {bridge:?}, and a port is bridged or routed: \
                         take it out there, or write bridge = {bridge:?} here"
                    )
                });
            }
            let vlan = matches!(interface.on, On::Vlan { .. });
            let field = if vlan { "vlan" } else { "port" };
            expect(first, field, &|| format!("{} has an interface already", describe(&interface.on)));
            let other_way = taken.on.iter().any(|on| match on {
                On::Port(other) => vlan && other == port,
                On::Vlan { port: other, .. } => !vlan && other == port,
                On::Bridge { .. } => false,
            });
            expect(!other_way, "port", &|| {
                let port = port.as_str();
                format!(
                    "port {port:?} has interfaces with and without a vlan: give all of them one, or have one only"
                )
            });
        }
        On::Bridge { bridge, vlan } => {
            let there = config.bridges.iter().find(|other| other.name == *bridge);
            expect(there.is_some(), "bridge", &|| format!("there is no bridge {:?}", bridge.as_str()));
            let field = if vlan.is_some() { "vlan" } else { "bridge" };
            expect(first, field, &|| format!("{} has an interface already", describe(&interface.on)));
            let modes: Vec<_> =
                there.iter().flat_map(|there| &there.members).map(|m| m.vlan.as_ref()).collect();
            let aware = modes.iter().any(Option::is_some);
            match vlan {
                None => expect(!aware, "bridge", &|| {
                    format!("needs a vlan, as the members of bridge {:?} have VLANs", bridge.as_str())
                }),
                Some(vlan) if aware => {
                    let carried = modes.iter().flatten().any(|mode| mode.carries(*vlan));
                    expect(carried, "vlan", &|| {
                        format!("no member of bridge {:?} carries VLAN {vlan}", bridge.as_str())
                    });
                }
                Some(_) => expect(there.is_none(), "vlan", &|| {
                    format!("has a vlan, but the members of bridge {:?} have none", bridge.as_str())
                }),
            }
        }
    }
}

/// In words.
fn describe(on: &On) -> String {
    let vlan = |vlan: &VlanId, of: String| format!("VLAN {vlan} of {of}");
    match on {
        On::Port(port) => format!("port {:?}", port.as_str()),
        On::Vlan { port, vlan: id } => vlan(id, format!("port {:?}", port.as_str())),
        On::Bridge { bridge, vlan: None } => format!("bridge {:?}", bridge.as_str()),
        On::Bridge { bridge, vlan: Some(id) } => vlan(id, format!("bridge {:?}", bridge.as_str())),
    }
}

fn mtu(interface: &Interface, index: usize, config: &Config, checks: &mut Checks<'_>) {
    let (name, mtu) = (interface.name.as_str(), interface.mtu(config));
    let path = at!["interface", index, "mtu"];
    let v6 = interface.addresses.iter().any(|net| net.addr().is_ipv6());
    checks.expect(!v6 || mtu >= MIN_MTU_IPV6, path, || {
        format!("interface {name:?}: mtu is {mtu}, and with IPv6 must be at least {MIN_MTU_IPV6} (RFC 8200, section 5)")
    });
    let most = Interface { mtu: None, ..interface.clone() }.mtu(config);
    checks.expect(mtu <= most || matches!(interface.on, On::Bridge { .. }), path, || {
        format!("interface {name:?}: mtu is {mtu}, must be at most that of its port, {most}")
    });
}

fn addresses<'c>(interface: &'c Interface, index: usize, taken: &mut Taken<'c>, checks: &mut Checks<'_>) {
    let name = interface.name.as_str();
    for (number, net) in interface.addresses.iter().enumerate() {
        let path = at!["interface", index, "addresses", number];
        if let Some(why) = unfit(net) {
            checks.expect(false, path, || format!("interface {name:?}: address {net} is {why}"));
            continue;
        }
        // Several addresses in one subnet of one interface are fine.
        let clash = taken.addresses.iter().find(|(vrf, other, there)| {
            let overlap = net.contains(*there) || there.contains(net);
            let same_subnet = **other == interface.name && net.trunc() == there.trunc();
            **vrf == interface.vrf
                && overlap
                && !is_link_local(net)
                && !(same_subnet && net.addr() != there.addr())
        });
        if let Some((vrf, other, there)) = clash {
            checks.expect(false, path, || {
                if **other == interface.name && net == *there {
                    return format!("interface {name:?}: address {net} is there twice");
                }
                format!(
                    "interface {name:?}: subnet {} overlaps {} of interface {:?} in VRF {:?}: \
                     choose another, or another VRF",
                    net.trunc(),
                    there.trunc(),
                    other.as_str(),
                    vrf.as_str()
                )
            });
        }
        taken.addresses.push((&interface.vrf, &interface.name, net));
    }
}

/// Why an interface cannot have this address, if so.
fn unfit(net: &IpNet) -> Option<&'static str> {
    let address = net.addr();
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() || net.prefix_len() == 0 {
        return Some("none of one host in a subnet: must be like 10.0.0.1/24 or fd00::1/64");
    }
    // Subnets of two addresses and one have no others (RFC 3021, RFC 6164).
    if net.max_prefix_len() - net.prefix_len() < 2 {
        return None;
    }
    match net {
        IpNet::V4(_) if address == net.network() => {
            Some("the network address of its subnet: give that of a host")
        }
        IpNet::V4(_) if address == net.broadcast() => {
            Some("the broadcast address of its subnet: give that of a host")
        }
        IpNet::V6(_) if address == net.network() => {
            Some("the subnet-router anycast address (RFC 4291, 2.6.1): give that of a host")
        }
        _ => None,
    }
}

/// Every link has a subnet of these.
fn is_link_local(net: &IpNet) -> bool {
    matches!(net.addr(), IpAddr::V6(address) if address.is_unicast_link_local())
}

fn neighbours(interface: &Interface, index: usize, checks: &mut Checks<'_>) {
    let (name, mut seen) = (interface.name.as_str(), BTreeSet::new());
    for (number, neighbour) in interface.neighbours.iter().enumerate() {
        let path = |field: &'static str| {
            [Step::from("interface"), index.into(), "neighbours".into(), number.into(), field.into()]
        };
        let (address, mac) = (neighbour.address, neighbour.mac);
        checks.expect(mac.is_unicast(), &path("mac"), || {
            format!("interface {name:?}: neighbour {address}: mac {mac} must be the address of one interface")
        });
        checks.expect(seen.insert(address), &path("address"), || {
            format!("interface {name:?}: neighbour {address} is there twice")
        });
        let link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        let in_subnet = interface.addresses.iter().any(|net| net.contains(&address));
        checks.expect(link_local || in_subnet, &path("address"), || {
            format!("interface {name:?}: neighbour {address} is in none of its subnets: must be in that of one of its addresses")
        });
        checks.expect(interface.addresses.iter().all(|net| net.addr() != address), &path("address"), || {
            format!("interface {name:?}: neighbour {address} is its own address")
        });
    }
}
