use ipnet::IpNet;

use super::*;
use crate::config::{Bridge, Filters, Host, Member, Port, PortKind};
use crate::{
    Attach, DesiredKind, Endpoint, EndpointId, GatewayMode, IpamData, MacAddr, Network, NetworkId,
    NetworkOptions, Over, Path, PortName, Protocol, PublishedPort, Route, VlanMode, VrfName,
};

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
    let members =
        |bridge: &str| desired.bridges[bridge].members.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(members("n-111111111111"), ["e-aaaaaaaaaaaa"]);
    assert_eq!(members("n-222222222222"), ["e-cccccccccccc"]);
}

#[test]
fn the_file_and_docker_stand_side_by_side() {
    let mut model = Model::default();
    let net = network(&mut model, &"1".repeat(64), NetworkOptions::default());
    endpoint(&mut model, &"a".repeat(64), &net);
    let port = Port {
        name: "p0".parse().unwrap(),
        mtu: 1500,
        mac: None,
        queues: 1,
        kind: PortKind::Null,
        filters: Filters::default(),
    };
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

/// A network with these gateways.
fn routed(model: &mut Model, id: &str, gateways: &[&str], options: NetworkOptions) -> NetworkId {
    let id = network(model, id, options);
    let network = model.networks.get_mut(&id).unwrap();
    for gateway in gateways {
        let gateway: IpNet = gateway.parse().unwrap();
        let data = IpamData { pool: gateway.trunc(), gateway: Some(gateway), aux: [].into() };
        if gateway.addr().is_ipv4() { network.ipv4.push(data) } else { network.ipv6.push(data) }
    }
    id
}

fn to(interface: &str) -> Route {
    Route::Via(vec![Path { via: None, interface: interface.parse().ok() }])
}

fn prefixes(desired: &Desired, vrf: &str) -> Vec<String> {
    desired.vrfs[vrf].routes.keys().map(ToString::to_string).collect()
}

#[test]
fn a_gateway_is_a_leg_of_the_bridge_and_leads_to_the_host() {
    let mut model = Model::default();
    let options = NetworkOptions { mtu: 9000, icc: false, ..NetworkOptions::default() };
    let net = routed(&mut model, "n1", &["10.77.0.1/24", "fd77::1/64"], options);
    let there = endpoint(&mut model, "e1", &net);
    let waits = endpoint(&mut model, "e2", &net);
    model.endpoints.get_mut(&waits).unwrap().sandbox = None;
    let port = PublishedPort { protocol: Protocol::Tcp, host_ip: None, host_port: 8080, port: 80 };
    for id in [&there, &waits] {
        model.endpoints.get_mut(id).unwrap().ports = vec![port];
    }
    let desired = desired(&Config::default(), &model);

    let leg = &desired.interfaces["bvi-n-n1"];
    assert_eq!(leg.over, Over::Bridge { bridge: "n-n1".parse().unwrap(), vlan: None });
    assert!(leg.isolated && !leg.internal && leg.peer.is_none() && leg.vrf == VrfName::default());
    assert_eq!((leg.mtu, leg.mac), (9000, Some(model.gateway_macs()[&net])));
    assert_eq!(leg.addresses, ["10.77.0.1/24", "fd77::1/64"].map(|text| text.parse().unwrap()));
    let neighbours: Vec<_> = leg.neighbours.iter().collect();
    let address = "10.77.0.2".parse().unwrap();
    assert_eq!(neighbours, [(&address, &model.endpoints[&there].mac)], "who has not joined is none");
    assert!(desired.bridges["n-n1"].members["e-e1"].isolated, "icc=false");

    let plan = desired.host.as_ref().unwrap();
    assert_eq!((plan.device.as_str(), plan.mtu), ("paceline0", 9000));
    assert!(plan.mac.is_local() && plan.mac.is_unicast());
    let network = &plan.networks[&net];
    assert!(network.masquerade && !network.internal && network.subnets.len() == 2);
    assert_eq!(network.gateways, leg.addresses);
    assert_eq!(plan.ports.len(), 1, "of joined endpoints");
    assert_eq!((&plan.ports[0].endpoint, plan.ports[0].port), (&there, port));
    assert_eq!(plan.ports[0].ipv4, "10.77.0.2".parse().ok());

    let host = &desired.interfaces["host"];
    assert_eq!(host.over, Over::Port(PortName::host()));
    assert_eq!((host.mac, host.peer, host.mtu), (Some(plan.mac), Some(plan.mac), 9000));
    assert!(!host.isolated && host.addresses.is_empty());
    assert_eq!(desired.ports["host"].kind, DesiredKind::Host("paceline0".parse().unwrap()));
    assert_eq!(prefixes(&desired, "default"), ["0.0.0.0/0", "10.77.0.1/32", "::/0", "fd77::1/128"]);
    assert!(desired.vrfs["default"].routes.values().all(|route| *route == to("host")));
}

#[test]
fn a_family_without_a_way_out_has_no_gateway() {
    let mut model = Model::default();
    let mode = |gateway_ipv4, gateway_ipv6| NetworkOptions {
        gateway_ipv4,
        gateway_ipv6,
        ..NetworkOptions::default()
    };
    let both = ["10.77.0.1/24", "fd77::1/64"];
    let isolated = mode(GatewayMode::Isolated, GatewayMode::Isolated);
    let none = routed(&mut model, "n1", &both, isolated.clone());
    routed(&mut model, "n2", &[], NetworkOptions::default());
    routed(&mut model, "n3", &["10.79.0.1/24"], isolated);
    let without = desired(&Config::default(), &model);
    assert!(without.interfaces.is_empty() && without.vrfs.is_empty() && without.host.is_none());
    assert!(without.ports.is_empty());

    model.networks.get_mut(&none).unwrap().options = mode(GatewayMode::Isolated, GatewayMode::Routed);
    let desired = desired(&Config::default(), &model);
    assert_eq!(desired.interfaces["bvi-n-n1"].addresses, ["fd77::1/64".parse().unwrap()]);
    assert_eq!(prefixes(&desired, "default"), ["0.0.0.0/0", "::/0", "fd77::1/128"]);
    let plan = desired.host.unwrap();
    assert_eq!(plan.networks.keys().collect::<Vec<_>>(), [&none]);
    let network = &plan.networks[&none];
    assert_eq!((network.ipv4, network.ipv6), (GatewayMode::Isolated, GatewayMode::Routed));
    assert_eq!(network.gateways, ["fd77::1/64".parse().unwrap()]);
}

#[test]
fn an_internal_network_is_reached_by_the_host_alone() {
    let mut model = Model::default();
    let net = routed(&mut model, "n1", &["10.77.0.1/24"], NetworkOptions::default());
    model.networks.get_mut(&net).unwrap().internal = true;
    let desired = desired(&Config::default(), &model);
    assert!(desired.interfaces.contains_key("bvi-n-n1"));
    assert!(desired.host.unwrap().networks[&net].internal);
    assert!(desired.interfaces.values().any(|leg| leg.internal), "and the switch routes it nowhere else");
}

#[test]
fn the_file_s_routes_go_first_then_the_operator_s() {
    let text = r#"
        port = [{ name = "p0", kind = "null" }]
        interface = [{ port = "p0", addresses = ["192.0.2.1/24"] }]
        route = [{ prefix = "0.0.0.0/0", via = "192.0.2.254" }]
        docker.host_device = "other0"
    "#;
    let config = Config::parse("test", text, &Host::default()).unwrap();
    let mut model = Model::default();
    routed(&mut model, "n1", &["10.77.0.1/24"], NetworkOptions::default());
    for prefix in ["default/0.0.0.0/0", "default/::/0", "red/::/0"] {
        model.routes.insert(prefix.parse().unwrap(), Route::Prohibit);
    }
    let desired = desired(&config, &model);
    let route = |id: &str| desired.route(&id.parse().unwrap()).cloned();
    let via = Path { via: "192.0.2.254".parse().ok(), interface: None };
    assert_eq!(route("default/0.0.0.0/0"), Some(Route::Via(vec![via])));
    assert_eq!(route("default/::/0"), Some(Route::Prohibit));
    assert_eq!(route("red/::/0"), None, "no such routing table");
    assert_eq!(desired.host.unwrap().device.as_str(), "other0");
}

#[test]
fn sub_interfaces_share_a_bridge_of_their_port() {
    let text = r#"
        port = [{ name = "p0", kind = "null", mtu = 9000 }, { name = "p1", kind = "null" }]
        vrf = [{ name = "red" }, { name = "empty" }]
        bridge = [{ name = "lan", member = [{ port = "p1", vlan = { access = 30 } }] }]
        interface = [
            { name = "a", port = "p0", vlan = 10, vrf = "red", addresses = ["10.10.0.1/24"] },
            { name = "b", port = "p0", vlan = 20, mtu = 1500, mac = "02:00:00:00:00:20" },
            { name = "c", bridge = "lan", vlan = 30, proxy_arp = true, isolated = true,
              addresses = ["10.30.0.1/24"],
              neighbours = [{ address = "10.30.0.2", mac = "02:00:00:00:00:30" }] },
        ]
    "#;
    let config = Config::parse("test", text, &Host::default()).unwrap();
    let desired = desired(&config, &Model::default());
    let on = |vlan: i64| Over::Bridge { bridge: "v-p0".parse().unwrap(), vlan: vlan.try_into().ok() };
    let (a, b, c) = (&desired.interfaces["a"], &desired.interfaces["b"], &desired.interfaces["c"]);
    assert_eq!((&a.over, &b.over), (&on(10), &on(20)));
    assert_eq!((a.mtu, b.mtu, c.mtu), (9000, 1500, 1500));
    assert_eq!((a.mac, b.mac), (None, Some(MacAddr::new([2, 0, 0, 0, 0, 0x20]))));
    assert!(c.proxy_arp && c.isolated && c.neighbours.len() == 1 && !a.isolated);
    let members = &desired.bridges["v-p0"].members;
    assert_eq!(members.len(), 1);
    let Some(VlanMode::Trunk { vlans, native: None, .. }) = &members["p0"].vlan else {
        panic!("{members:?}")
    };
    assert_eq!(vlans.iter().map(crate::VlanId::get).collect::<Vec<_>>(), [10, 20]);
    let vrfs: Vec<_> = desired.vrfs.keys().map(VrfName::as_str).collect();
    assert_eq!(vrfs, ["default", "empty", "red"]);
    assert!(desired.host.is_none());
}

#[test]
fn gateways_have_addresses_of_their_own_that_stay() {
    let mut model = Model::default();
    let ids: Vec<_> = (0..500).map(|number| format!("n{number}")).collect();
    for id in &ids {
        routed(&mut model, id, &["10.77.0.1/24"], NetworkOptions::default());
    }
    let macs = |model: &Model| -> std::collections::BTreeMap<NetworkId, MacAddr> {
        model.gateway_macs().into_iter().map(|(id, mac)| (id.clone(), mac)).collect()
    };
    let before = macs(&model);
    let distinct: std::collections::BTreeSet<_> = before.values().collect();
    assert_eq!(distinct.len(), 500);
    assert!(before.values().all(|mac| mac.is_local() && mac.is_unicast()));
    model.networks.remove(&"n7".parse().unwrap());
    let after = macs(&model);
    assert!(after.iter().all(|(id, mac)| before[id] == *mac), "the others keep theirs");
}

#[test]
fn an_uplink_is_a_port_and_what_the_kernel_has_on_its_device() {
    let text = "[[uplink]]\ndevice = \"eth0\"";
    let config = Config::parse("test", text, &Host::default()).unwrap();
    let model = Model::default();
    let ports = |desired: &Desired| desired.ports.keys().map(ToString::to_string).collect::<Vec<_>>();
    let without = desired(&config, &model);
    assert_eq!(ports(&without), ["uplink:eth0"]);
    assert!(without.interfaces.is_empty() && without.vrfs.is_empty());
    let router: std::net::IpAddr = "192.0.2.254".parse().unwrap();
    let state = crate::UplinkState {
        mac: [2, 0, 0, 0, 0, 1].into(),
        mtu: 1400,
        addresses: vec!["192.0.2.1/24".parse().unwrap()],
        routes: [(IpNet::from(ipnet::Ipv4Net::default()), Some(router))].into(),
        neighbours: [(router, [2, 0, 0, 0, 0, 2].into())].into(),
    };
    let states = Uplinks::from([("eth0".parse().unwrap(), state)]);
    let with = desired_by(&config, &model, &Compiled::default(), &states);
    assert_eq!(ports(&with), ports(&without));
    assert_eq!(with.ports["uplink:eth0"].mtu, 1400);
    assert_eq!(with.interfaces.len(), 1);
    let interface = &with.interfaces["uplink:eth0"];
    assert_eq!((interface.vrf.as_str(), interface.neighbours.len()), ("uplink:eth0", 1));
    assert_eq!(with.vrfs.keys().map(ToString::to_string).collect::<Vec<_>>(), ["uplink:eth0"]);
    assert_eq!(with.vrfs["uplink:eth0"].routes.len(), 1);
}

#[test]
fn networks_by_an_uplink_are_translated_and_reach_the_host() {
    let text = "[[uplink]]\ndevice = \"eth0\"\nnat_ports = \"30000-30999\"";
    let config = Config::parse("test", text, &Host::default()).unwrap();
    let mut model = Model::default();
    let options = NetworkOptions { uplink: "eth0".parse().ok(), ..NetworkOptions::default() };
    let net = network(&mut model, &"1".repeat(64), options);
    let other = network(&mut model, &"2".repeat(64), NetworkOptions::default());
    for (id, subnet) in [(&net, "10.77.0.0/24"), (&other, "10.88.0.0/24")] {
        let pool: IpNet = subnet.parse().unwrap();
        let gateway = IpNet::new(pool.hosts().next().unwrap(), 24).ok();
        model.networks.get_mut(id).unwrap().ipv4 = vec![IpamData { pool, gateway, aux: [].into() }];
    }
    let published = |host_ip: Option<&str>, host_port| PublishedPort {
        protocol: Protocol::Tcp,
        host_ip: host_ip.map(|ip| ip.parse().unwrap()),
        host_port,
        port: 80,
    };
    for (id, network, ip) in [("a", &net, "10.77.0.9/24"), ("b", &other, "10.88.0.9/24")] {
        let endpoint = endpoint(&mut model, &id.repeat(64), network);
        let endpoint = model.endpoints.get_mut(&endpoint).unwrap();
        endpoint.ipv4 = Some(ip.parse().unwrap());
        endpoint.ipv6 = None;
        endpoint.ports = vec![published(None, 8080), published(Some("127.0.0.1"), 8081)];
    }
    let state = crate::UplinkState {
        mac: [2, 0, 0, 0, 0, 1].into(),
        mtu: 1500,
        addresses: vec!["192.0.2.1/24".parse().unwrap(), "192.0.2.2/24".parse().unwrap()],
        routes: [].into(),
        neighbours: [].into(),
    };
    let states = Uplinks::from([("eth0".parse().unwrap(), state)]);
    let desired = desired_by(&config, &model, &Compiled::default(), &states);
    let nat = desired.nat.unwrap();
    assert_eq!(nat.addresses, ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(
        (nat.ports.to_string(), nat.inside),
        ("30000-30999".into(), vec!["10.77.0.0/24".parse().unwrap()])
    );
    let mappings: Vec<_> = nat.mappings.iter().map(|m| (m.outside, m.port, m.inside)).collect();
    assert_eq!(mappings, [("192.0.2.1".parse().ok(), 8080, "10.77.0.9".parse().unwrap())]);
    let vrf = |name: &str| {
        let interfaces = desired.interfaces.iter().filter(|(_, interface)| interface.vrf.as_str() == name);
        let prefixes = desired.vrfs[name].routes.keys().map(ToString::to_string).collect::<Vec<_>>();
        (interfaces.map(|(name, _)| name.to_string()).collect::<Vec<_>>(), prefixes)
    };
    let (interfaces, prefixes) = vrf("uplink:eth0");
    assert_eq!(interfaces, ["bvi-n-111111111111", "uplink:eth0"]);
    assert_eq!(prefixes, ["10.77.0.1/32"], "by the host");
    let (interfaces, prefixes) = vrf("default");
    assert_eq!(interfaces, ["bvi-n-222222222222", "host"]);
    assert_eq!(prefixes, ["0.0.0.0/0", "10.77.0.9/32", "10.88.0.1/32", "::/0"]);
    assert!(desired.interfaces["uplink:eth0"].nat);
    assert_eq!(desired.interfaces["uplink:eth0"].owner, Some(PortName::host()));

    model.networks.get_mut(&net).unwrap().internal = true;
    let internal = desired_by(&config, &model, &Compiled::default(), &states);
    assert_eq!((internal.nat, internal.interfaces["bvi-n-111111111111"].vrf.as_str()), (None, "default"));
}

#[test]
fn links_of_containers_have_what_was_asked_for_them() {
    let mut model = Model::default();
    let options = [("labels", "role=db"), ("rate", "1mbit"), ("dscp", "ef")];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let options = NetworkOptions::parse(&options, |_| unreachable!("no overlay")).unwrap();
    let net = network(&mut model, &"1".repeat(64), options);
    let strict = endpoint(&mut model, &"a".repeat(64), &net);
    let free = endpoint(&mut model, &"b".repeat(64), &net);
    let gone = endpoint(&mut model, &"c".repeat(64), &net);
    model.endpoints.get_mut(&gone).unwrap().sandbox = None;
    let own = model.endpoints.get_mut(&free).unwrap();
    own.link_options.port_security = Some(false);
    own.labels = "role=web".parse().unwrap();
    let set = "[[policy]]\nname = \"db\"\nselector = 'role == \"db\"'\ningress = [{ action = \"allow\", from = 'role == \"web\"' }]\n";
    model.set_policies(&crate::PolicySet::parse("test", set).unwrap());

    let desired = desired(&Config::default(), &model);
    let names: Vec<_> = desired.filters.keys().map(PortName::as_str).collect();
    assert_eq!(names, ["e-aaaaaaaaaaaa", "e-bbbbbbbbbbbb"]);
    let (db, web) = (&desired.filters["e-aaaaaaaaaaaa"], &desired.filters["e-bbbbbbbbbbbb"]);
    let guard = db.guard.as_ref().unwrap();
    let endpoint = &model.endpoints[&strict];
    assert_eq!(guard.macs, [endpoint.mac]);
    assert_eq!(guard.addresses, ["10.77.0.2/32".parse::<IpNet>().unwrap()]);
    assert_eq!(
        (web.guard.is_none(), web.dscp, web.police_output.map(|rate| rate.bits)),
        (true, Some(46), Some(1_000_000))
    );
    // What a container receives leaves by its port.
    assert!(db.output.is_some() && db.input.is_none() && web.output.is_none());
    assert_eq!(desired.identities.len(), 1, "{:?}", desired.identities);
}
