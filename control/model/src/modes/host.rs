//! What the host's own stack has to do with Docker's networks: a TAP that leads to it, and what it does there.
//!
//! ```text
//!  container ─ bridge ─ bvi-… ─▶ VRF default ─▶ host (TAP) ─▶ the host's stack ─▶ outside
//!                                 0.0.0.0/0, ::/0 and the gateways' own addresses
//! ```
//!
//! The gateway's address is both the leg's, which answers for it on the bridge, and the TAP's: what is sent to it is for the
//! host.

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::config::DEFAULT_MTU;
use crate::{
    Config, Desired, DesiredInterface, DesiredKind, DesiredPort, HostNetwork, HostPlan, HostPort, MacAddr,
    Model, Network, NetworkId, Over, Path, PortName, Route, RouteId, VrfName,
};

/// The MTU of the port, as large as the kernel lets a TAP's be, in bytes. What the host sends is bound by that of the device,
/// which follows the networks while the port stays open.
const MOST: u16 = 65521;

/// Adds the way to the host's stack, if a network has a gateway.
pub(super) fn add(config: &Config, model: &Model, desired: &mut Desired) {
    let networks = || model.networks.values().filter(|network| network.gateways().next().is_some());
    if networks().next().is_none() {
        return;
    }
    let device = config.docker.host_device;
    // The same at every start, so that the host's neighbours and the switch agree without asking.
    let mac = MacAddr::made_of(&format!("host {device}"), 0);
    let mtu = networks().map(|network| network.options.mtu).fold(DEFAULT_MTU, u16::max);

    let port = DesiredPort { kind: DesiredKind::Host(device), mtu: MOST, mac: Some(mac), queues: 1 };
    desired.ports.insert(PortName::host(), port);
    desired.interfaces.insert(PortName::host(), interface(mac, mtu));
    desired.vrfs.entry(VrfName::default()).or_default();
    for everything in [Ipv4Net::default().into(), Ipv6Net::default().into()] {
        let id = RouteId { vrf: VrfName::default(), prefix: everything };
        // The file's and the operator's go first.
        if desired.route(&id).is_none() {
            desired.vrfs.entry(id.vrf).or_default().routes.insert(everything, to_host());
        }
    }
    for network in networks() {
        let routes = &mut desired.vrfs.entry(network.vrf()).or_default().routes;
        routes.extend(network.gateways().map(|gateway| (IpNet::from(gateway.addr()), to_host())));
    }
    for network in networks().filter(|network| network.uplink().is_some()) {
        from_host(network, model, desired);
    }
    let networks: BTreeMap<_, _> =
        networks().map(|network| (network.id.clone(), self::network(network))).collect();
    let ports = ports(model, &networks);
    desired.host = Some(HostPlan { device, mac, mtu, networks, ports });
}

/// Adds the host's ways to the containers of a network that has another routing table than the host's packets.
fn from_host(network: &Network, model: &Model, desired: &mut Desired) {
    let is_leg =
        |leg: &DesiredInterface| leg.over == Over::Bridge { bridge: network.bridge.clone(), vlan: None };
    let leg = desired.interfaces.iter().find(|(_, interface)| is_leg(interface));
    let Some(leg) = leg.map(|(name, _)| name.clone()) else { return };
    let joined = model.endpoints_of(&network.id).filter(|endpoint| endpoint.joined());
    let routes = joined.flat_map(crate::Endpoint::addresses).map(|address| {
        let path = Path { via: Some(address), interface: Some(leg.clone()) };
        (IpNet::from(address), Route::Via(vec![path]))
    });
    desired.vrfs.entry(VrfName::default()).or_default().routes.extend(routes);
}

fn to_host() -> Route {
    Route::Via(vec![Path { via: None, interface: Some(PortName::host()) }])
}

fn interface(mac: MacAddr, mtu: u16) -> DesiredInterface {
    DesiredInterface {
        over: Over::Port(PortName::host()),
        vrf: VrfName::default(),
        mac: Some(mac),
        mtu,
        addresses: Vec::new(),
        isolated: false,
        internal: false,
        proxy_arp: false,
        neighbours: BTreeMap::new(),
        peer: Some(mac),
        nat: false,
        mss_clamp: false,
        source_check: false,
        owner: None,
        split_horizon_group: 0,
    }
}

fn network(network: &Network) -> HostNetwork {
    HostNetwork {
        subnets: network.ipv4.iter().chain(&network.ipv6).map(|data| data.pool).collect(),
        gateways: network.gateways().collect(),
        ipv4: network.options.gateway_ipv4,
        ipv6: network.options.gateway_ipv6,
        masquerade: network.options.masquerade,
        internal: network.internal,
    }
}

/// Published ports of containers that are there.
fn ports(model: &Model, networks: &BTreeMap<NetworkId, HostNetwork>) -> Vec<HostPort> {
    let joined = model.endpoints.values().filter(|endpoint| endpoint.joined());
    let reachable = joined.filter(|endpoint| networks.contains_key(&endpoint.network));
    let ports = reachable.flat_map(|endpoint| {
        endpoint.ports.iter().map(|&port| HostPort {
            endpoint: endpoint.id.clone(),
            network: endpoint.network.clone(),
            port,
            ipv4: endpoint.ipv4.map(|net| net.addr()),
            ipv6: endpoint.ipv6.map(|net| net.addr()),
        })
    });
    ports.collect()
}
