use std::collections::BTreeMap;

use super::*;
use crate::config::Host;
use crate::policy::Compiled;
use crate::{IpamData, NetworkOptions, Over, UplinkState, VrfName, desired_by};

const FILE: &str = r#"
port = [
    { name = "p0", kind = "null", mtu = 1600 }, { name = "p1", kind = "null" },
    { name = "p2", kind = "null" },
]
bridge = [
    { name = "lan", member = [{ port = "p1" }] },
    { name = "vlans", member = [{ port = "p2", vlan = { trunk = [10] } }] },
]
vrf = [{ name = "red" }]
interface = [
    { port = "p0", vrf = "red", addresses = ["192.0.2.1/24", "2001:db8::1/64"] },
    { name = "leg", bridge = "lan", addresses = ["10.0.0.1/24"] },
]
[[uplink]]
device = "eth0"
"#;

fn config(vxlans: &str) -> Config {
    Config::parse("test", &format!("{FILE}{vxlans}"), &Host::default()).unwrap()
}

fn uplinks() -> Uplinks {
    let state = UplinkState {
        mac: [2, 0, 0, 0, 0, 9].into(),
        mtu: 9000,
        addresses: vec!["203.0.113.1/24".parse().unwrap(), "203.0.113.9/24".parse().unwrap()],
        routes: BTreeMap::new(),
        neighbours: BTreeMap::new(),
    };
    [("eth0".parse().unwrap(), state)].into()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_segment_is_a_tunnel_to_each_peer() {
    let config = config(
        r#"
        [[vxlan]]
        bridge = "lan"
        vni = 42
        underlay = "p0"
        peers = ["192.0.2.2", "192.0.2.3"]
        group = "239.0.0.42"
        neighbours = [
            { address = "10.0.0.9", mac = "02:00:00:00:00:09", peer = "192.0.2.3" },
            { address = "fd00::9", mac = "02:00:00:00:00:09", peer = "192.0.2.3" },
        ]
        [[vxlan]]
        bridge = "lan"
        vni = 42
        underlay = "p0"
        mtu = 1400
        peers = ["2001:db8::2"]
        [[vxlan]]
        bridge = "vlans"
        vlan = 10
        vni = 10
        underlay = "eth0"
        peers = ["192.0.2.2"]
        learn_peers = true
        "#,
    );
    let desired = desired_by(&config, &Model::default(), &Compiled::default(), &uplinks());
    assert!(desired.hindered.is_empty());
    let first = &desired.tunnels["vxlan:42:192.0.2.2"];
    assert_eq!((first.vtep.address, first.vtep.vrf.as_str(), first.mtu), (ip("192.0.2.1"), "red", 1550));
    assert!(!first.learn_peers && !first.checksum);
    assert!(desired.tunnels["vxlan:42:239.0.0.42"].learn_peers, "the group's alone");
    let v6 = &desired.tunnels["vxlan:42:2001:db8::2"];
    assert_eq!((v6.vtep.address, v6.mtu, v6.checksum), (ip("2001:db8::1"), 1400, true));
    let over_uplink = &desired.tunnels["vxlan:10:192.0.2.2"];
    assert_eq!(over_uplink.vtep.vrf, VrfName::of_port(&"uplink:eth0".parse().unwrap()));
    assert_eq!((over_uplink.vtep.address, over_uplink.mtu), (ip("203.0.113.1"), 8950));
    assert!(over_uplink.learn_peers);
    assert_eq!(desired.tunnels.len(), 5);

    let lan = &desired.bridges["lan"];
    let groups: Vec<_> = lan.members.values().map(|member| member.split_horizon_group).collect();
    assert_eq!(groups, [0, 255, 255, 255, 255], "no tunnel sends to another");
    assert_eq!(lan.neighbours.len(), 2);
    assert_eq!(lan.static_macs.len(), 1, "two addresses of one host");
    assert_eq!(lan.static_macs[0].port.as_str(), "vxlan:42:192.0.2.3");
    let member = &desired.bridges["vlans"].members["vxlan:10:192.0.2.2"];
    assert!(matches!(member.vlan, Some(VlanMode::Access(vlan)) if vlan.get() == 10));
    assert_eq!(desired.interfaces["leg"].mtu, 1400, "what fits all tunnels");
    assert_eq!(desired.interfaces["leg"].split_horizon_group, 0, "reached by the tunnels");
}

#[test]
fn an_underlay_that_is_not_there_hinders_its_segment_alone() {
    let config = config(
        r#"
        [[vxlan]]
        bridge = "lan"
        vni = 1
        underlay = "eth0"
        peers = ["192.0.2.2"]
        [[vxlan]]
        bridge = "lan"
        vni = 2
        underlay = "p0"
        peers = ["192.0.2.2"]
        "#,
    );
    let desired = crate::desired(&config, &Model::default());
    assert_eq!(desired.tunnels.keys().map(PortName::as_str).collect::<Vec<_>>(), ["vxlan:2:192.0.2.2"]);
    let hindered: Vec<_> = desired.hindered.iter().map(|(at, why)| (at.1.get(), why.to_string())).collect();
    assert_eq!(hindered, [(1, "underlay eth0: the device is not there, or down".into())]);
}

/// A network of mode overlay with gateway 10.77.0.1.
fn network(model: &mut Model, id: &str, vni: i64, gateways: &[&str]) {
    let overlay = Overlay {
        vni: vni.try_into().unwrap(),
        local: Some(ip("192.0.2.1")),
        underlay: None,
        peers: vec![ip("192.0.2.2")],
        group: None,
        learn_peers: false,
        port: Overlay::PORT,
        ttl: Some(Overlay::TTL),
        dscp: Some(0),
        checksum: None,
    };
    let data = |gateway: &&str| {
        let gateway: ipnet::IpNet = gateway.parse().unwrap();
        IpamData { pool: gateway.trunc(), gateway: Some(gateway), aux: [].into() }
    };
    let network = Network {
        id: id.parse().unwrap(),
        bridge: model.bridge_name(&id.parse().unwrap()),
        options: NetworkOptions {
            mode: crate::network::Mode::Overlay,
            mtu: 1500,
            overlay: Some(overlay),
            ..NetworkOptions::default()
        },
        ipv4: gateways.iter().map(data).collect(),
        ipv6: Vec::new(),
        internal: false,
        enable_ipv6: false,
        request: serde_json::Value::Null,
    };
    model.networks.insert(network.id.clone(), network);
}

#[test]
fn a_network_s_gateway_is_each_host_s_own() {
    let mut model = Model::default();
    network(&mut model, "n1", 42, &["10.77.0.1/24"]);
    let desired = crate::desired(&config(""), &model);
    let tunnel = &desired.tunnels["vxlan:42:192.0.2.2"];
    assert_eq!(tunnel.mtu, 1500, "the network's, though the underlay has room for 1550");
    let bridge = &desired.bridges["n-n1"];
    assert_eq!(bridge.members["vxlan:42:192.0.2.2"].split_horizon_group, Membership::TUNNELS);
    let leg = &desired.interfaces["bvi-n-n1"];
    assert!(matches!(&leg.over, Over::Bridge { .. }) && leg.split_horizon_group == Membership::TUNNELS);
    assert_eq!(bridge.neighbours, [(ip("10.77.0.1"), leg.mac.unwrap())].into());

    // The file has it later.
    let later = config("[[vxlan]]\nbridge = 'lan'\nvni = 42\nunderlay = 'p0'\npeers = ['192.0.2.2']\n");
    let desired = crate::desired(&later, &model);
    assert_eq!((desired.tunnels.len(), desired.hindered.len()), (1, 1), "one of them has the segment");
    assert!(!desired.bridges["n-n1"].members.contains_key("vxlan:42:192.0.2.2"));

    // Another host, on which Docker gave it another ID: containers that move find the same gateway.
    let mut other = Model::default();
    network(&mut other, "n9", 42, &["10.77.0.1/24"]);
    network(&mut other, "n8", 43, &["10.78.0.1/24"]);
    let macs = |model: &Model| model.gateway_macs().values().copied().collect::<Vec<_>>();
    assert_eq!(macs(&model)[0], macs(&other)[1]);
    assert_ne!(macs(&other)[0], macs(&other)[1]);
}
