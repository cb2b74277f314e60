//! Uplinks of the configuration file: a port on the device, and a routed interface with the kernel's addresses, routes and routers, in a
//! routing table of its own, so that nothing goes by it that does not ask for it. The legs of networks that do are in that table,
//! and are translated to the device's first addresses.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::{DEFAULT_MTU, Nat, NatMapping};
use crate::{
    Config, Desired, DesiredKind, DesiredPort, DesiredVrf, GatewayMode, HostPort, Model, Network, PortName,
    Protocol, UplinkState, Uplinks, VrfName,
};

/// Adds them; of a device that is not there, the port alone, which then says so.
pub(super) fn add(config: &Config, states: &Uplinks, desired: &mut Desired) {
    for uplink in &config.uplinks {
        let (name, state) = (uplink.port_name(), states.get(&uplink.device));
        let mtu = state.map_or(DEFAULT_MTU, |state| state.mtu);
        let kind = DesiredKind::Uplink(uplink.clone());
        // As many queues as the device has.
        desired.ports.insert(name.clone(), DesiredPort { kind, mtu, mac: None, queues: 1 });
        let Some(state) = state else { continue };
        let vrf = VrfName::of_port(&name);
        desired.vrfs.insert(vrf.clone(), DesiredVrf { routes: state.routes(uplink) });
        desired.interfaces.insert(name, state.interface(uplink, vrf));
    }
}

/// Adds the translation of networks that have an uplink. The host's stack has been added before.
///
/// There is one translation: with a `[nat]` of the file, networks have none, and reach nothing by an uplink.
pub(super) fn translate(config: &Config, model: &Model, states: &Uplinks, desired: &mut Desired) {
    let Some(uplink) = config.uplinks.first().filter(|_| config.nat.is_none()) else { return };
    let networks: Vec<_> =
        model.networks.values().filter(|network| network.uplink() == Some(uplink.device)).collect();
    let (Some(state), false) = (states.get(&uplink.device), networks.is_empty()) else { return };
    let Some(interface) = desired.interfaces.get_mut(uplink.port_name().as_str()) else { return };
    interface.nat = true;
    let vrf = interface.vrf.clone();
    // That of answers to the host's own pings, of what its own programs ask a published port, and of what containers ask it.
    interface.owner = uplink.shared.then(PortName::host);
    let ports = desired.host.iter().flat_map(|host| &host.ports);
    let ports = ports.filter(|port| networks.iter().any(|network| network.id == port.network));
    desired.nat = Some(Nat {
        addresses: state.speaks_from().into_iter().flatten().collect(),
        ports: uplink.nat_ports,
        inside: networks.iter().flat_map(|network| inside(network)).collect(),
        mappings: ports.flat_map(|port| mappings(port, state, &vrf)).collect(),
        ..Nat::default()
    });
}

/// A network's subnets that have a gateway.
fn inside(network: &Network) -> impl Iterator<Item = IpNet> {
    let translated = |pool: &IpNet| network.gateway_mode(pool) == GatewayMode::Nat;
    network.ipv4.iter().chain(&network.ipv6).map(|data| data.pool).filter(translated)
}

/// A published port at each of the addresses that it is published on; the container is reached by the uplink's table. SCTP keeps its port, as its checksum covers all of the packet.
fn mappings(published: &HostPort, state: &UplinkState, vrf: &VrfName) -> Vec<NatMapping> {
    let port = published.port;
    if port.protocol == Protocol::Sctp && port.host_port != port.port {
        return Vec::new();
    }
    let inside = |outside: IpAddr| match outside {
        IpAddr::V4(_) => published.ipv4.map(IpAddr::V4),
        IpAddr::V6(_) => published.ipv6.map(IpAddr::V6),
    };
    let on = |outside: &IpAddr| {
        port.host_ip
            .is_none_or(|ip| ip == *outside || ip.is_unspecified() && ip.is_ipv4() == outside.is_ipv4())
    };
    let outside = state.speaks_from().into_iter().flatten().filter(on);
    let mapping = |outside| {
        Some(NatMapping {
            protocol: port.protocol,
            outside: Some(outside),
            port: port.host_port,
            inside: inside(outside)?,
            inside_port: Some(port.port),
            vrf: Some(vrf.clone()),
        })
    };
    outside.filter_map(mapping).collect()
}
