//! Mode `bridge`: one learning bridge for a network, one member port for each container that has joined, and, if the network
//! has a gateway, a routed leg of the bridge (BVI) that has its address.

use super::configured;
use crate::config::Bridge;
use crate::{
    BridgeName, ContainerLink, Desired, DesiredInterface, DesiredKind, DesiredPort, Endpoint, MacAddr,
    Membership, Model, Network, Over, PortName, name,
};

/// Adds the bridge of `network`, the ports of its joined endpoints, and its leg with this address.
pub(super) fn add(network: &Network, model: &Model, mac: MacAddr, desired: &mut Desired) {
    let own = Bridge { snooping: network.options.snooping, ..Bridge::new(network.bridge.clone()) };
    let mut bridge = configured::bridge(&own);
    for endpoint in model.endpoints_of(&network.id) {
        if let Some(port) = port(network, endpoint) {
            let membership = Membership { isolated: !network.options.icc, ..Membership::default() };
            bridge.members.insert(endpoint.port.clone(), membership);
            desired.ports.insert(endpoint.port.clone(), port);
        }
    }
    desired.bridges.insert(network.bridge.clone(), bridge);
    if let Some(leg) = leg(network, model, mac) {
        desired.vrfs.entry(leg.vrf.clone()).or_default();
        desired.interfaces.insert(leg_name(&network.bridge, desired), leg);
    }
}

/// The port of a joined endpoint.
fn port(network: &Network, endpoint: &Endpoint) -> Option<DesiredPort> {
    let link = ContainerLink {
        network: network.id.clone(),
        endpoint: endpoint.id.clone(),
        attach: endpoint.attach,
        link: endpoint.link,
        sandbox: endpoint.sandbox.clone()?,
    };
    let kind = DesiredKind::Container(link);
    Some(DesiredPort { kind, mtu: network.options.mtu, mac: Some(endpoint.mac), queues: 1 })
}

/// The routed leg; none where no family has a gateway.
fn leg(network: &Network, model: &Model, mac: MacAddr) -> Option<DesiredInterface> {
    let addresses: Vec<_> = network.gateways().collect();
    if addresses.is_empty() {
        return None;
    }
    let joined = model.endpoints_of(&network.id).filter(|endpoint| endpoint.joined());
    let neighbours = joined
        .flat_map(|endpoint| endpoint.addresses().map(|address| (address, endpoint.mac)))
        .filter(|(address, _)| addresses.iter().any(|subnet| subnet.contains(address)));
    Some(DesiredInterface {
        over: Over::Bridge { bridge: network.bridge.clone(), vlan: None },
        vrf: network.vrf(),
        mac: Some(mac),
        mtu: network.options.mtu,
        neighbours: neighbours.collect(),
        addresses,
        // Networks do not reach each other, only what is not isolated: the host and the interfaces of the file.
        isolated: true,
        internal: network.internal,
        proxy_arp: false,
        peer: None,
        nat: false,
        mss_clamp: false,
        // Behind the switch it is the address that tells networks apart.
        source_check: true,
        owner: None,
        split_horizon_group: 0,
    })
}

/// `bvi-` and the bridge's name, or another if that is too long or taken.
fn leg_name(bridge: &BridgeName, desired: &Desired) -> PortName {
    let taken = |name: &str| desired.interfaces.contains_key(name);
    let (text, longest) = (bridge.as_str(), PortName::MAX_LEN);
    let digits = text.len().min(longest - PortName::BVI.len());
    let name = name::unique(PortName::BVI, text, digits, longest, taken);
    name.parse().expect("a prefix and the characters of a name make a name")
}
