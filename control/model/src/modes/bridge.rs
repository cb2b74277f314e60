//! Mode `bridge`: one learning bridge for a network, one member port for each container that has joined.

use super::configured;
use crate::config::Bridge;
use crate::{ContainerLink, Desired, DesiredKind, DesiredPort, Endpoint, Membership, Model, Network};

/// Adds the bridge of `network` and the ports of its joined endpoints.
pub(super) fn add(network: &Network, model: &Model, desired: &mut Desired) {
    let mut bridge = configured::bridge(&Bridge::new(network.bridge.clone()));
    for endpoint in model.endpoints_of(&network.id) {
        if let Some(port) = port(network, endpoint) {
            bridge.members.insert(endpoint.port.clone(), Membership::default());
            desired.ports.insert(endpoint.port.clone(), port);
        }
    }
    desired.bridges.insert(network.bridge.clone(), bridge);
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
