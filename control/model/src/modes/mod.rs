//! Modes: pure functions from what was asked for to ports and bridges, one file each.

mod bridge;
mod configured;

use crate::network::Mode;
use crate::{Config, Desired, Model};

/// All ports and bridges that the configuration file and Docker ask for, together.
///
/// Names from the file and names made for Docker never meet: [`config`](crate::config) refuses those that begin like
/// Docker's.
pub fn desired(config: &Config, model: &Model) -> Desired {
    let mut desired = Desired::default();
    configured::add(config, &mut desired);
    for network in model.networks.values() {
        match network.options.mode {
            Mode::Bridge => bridge::add(network, model, &mut desired),
        }
    }
    desired
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Bridge, Member, Port, PortKind};
    use crate::network::NetworkOptions;
    use crate::{Attach, DesiredKind, Endpoint, EndpointId, Network, NetworkId};

    fn network(model: &mut Model, id: &str, options: NetworkOptions) -> NetworkId {
        let id: NetworkId = id.parse().unwrap();
        let network = Network {
            bridge: model.bridge_name(&id),
            id: id.clone(),
            options,
            ipv4: Vec::new(),
            ipv6: Vec::new(),
            internal: false,
            enable_ipv6: false,
            request: serde_json::Value::Null,
        };
        model.networks.insert(id.clone(), network);
        id
    }

    fn endpoint(model: &mut Model, id: &str, network: &NetworkId) -> EndpointId {
        let id: EndpointId = id.parse().unwrap();
        let endpoint = Endpoint::example(model, id.clone(), network.clone());
        model.endpoints.insert(id.clone(), endpoint);
        id
    }

    #[test]
    fn a_network_is_a_bridge_and_who_joined_is_a_member() {
        let mut model = Model::default();
        let options = NetworkOptions { mtu: 9000, ..NetworkOptions::default() };
        let net = network(&mut model, &"1".repeat(64), options);
        let other = network(&mut model, &"2".repeat(64), NetworkOptions::default());
        let there = endpoint(&mut model, &"a".repeat(64), &net);
        let gone = endpoint(&mut model, &"b".repeat(64), &net);
        endpoint(&mut model, &"c".repeat(64), &other);
        model.endpoints.get_mut(&gone).unwrap().sandbox = None;

        let desired = desired(&Config::default(), &model);
        assert_eq!(
            desired.ports.keys().map(crate::PortName::as_str).collect::<Vec<_>>(),
            ["e-aaaaaaaaaaaa", "e-cccccccccccc"]
        );
        let port = &desired.ports["e-aaaaaaaaaaaa"];
        assert_eq!(port.mtu, 9000);
        let DesiredKind::Container(link) = &port.kind else { panic!("{port:?}") };
        assert_eq!(
            (link.endpoint.clone(), link.attach, link.link.as_str()),
            (there, Attach::DEFAULT, "plcaaaaaaaaaaa")
        );
        let members = |bridge: &str| {
            desired.bridges[bridge].members.keys().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(members("n-111111111111"), ["e-aaaaaaaaaaaa"]);
        assert_eq!(members("n-222222222222"), ["e-cccccccccccc"]);
    }

    #[test]
    fn the_file_and_docker_stand_side_by_side() {
        let mut model = Model::default();
        let net = network(&mut model, &"1".repeat(64), NetworkOptions::default());
        endpoint(&mut model, &"a".repeat(64), &net);
        let port =
            Port { name: "p0".parse().unwrap(), mtu: 1500, mac: None, queues: 1, kind: PortKind::Null };
        let member = Member { port: port.name.clone(), vlan: None, split_horizon_group: 1, isolated: true };
        let bridge = Bridge { members: vec![member], ..Bridge::new("br0".parse().unwrap()) };
        let config = Config { ports: vec![port], bridges: vec![bridge], ..Config::default() };
        let all = desired(&config, &model);
        assert_eq!((all.ports.len(), all.bridges.len()), (2, 2));
        assert_eq!(all.ports["p0"].kind, DesiredKind::Configured(PortKind::Null));
        let membership = &all.bridges["br0"].members["p0"];
        assert!(membership.isolated && membership.split_horizon_group == 1);
        assert_eq!(all, desired(&config, &model));
    }
}
