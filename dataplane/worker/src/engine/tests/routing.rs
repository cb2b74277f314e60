//! Routing through the engine: packets in by one port, out by another, by routes in names.

use std::net::IpAddr;

use ipnet::IpNet;
use paceline_wire::arp::{self, Arp};

use super::*;
use crate::spec::{OverSpec, PathSpec, RouteSpec, RoutedSpec, VrfSpec};

/// The address of the router's interface `n`, of the host behind it, and of the next router there.
fn router_mac(n: u8) -> Mac {
    Mac::from_octets([2, 0xee, 0, 0, 0, n])
}

fn host_mac(n: u8) -> Mac {
    Mac::from_octets([2, 0, 0, 0, 0, n])
}

fn net(text: &str) -> IpNet {
    text.parse().expect(text)
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn routed(n: u8, over: OverSpec, address: &str, neighbours: &[(&str, u8)]) -> RoutedSpec {
    RoutedSpec {
        over,
        vrf: "default".into(),
        mac: Some(router_mac(n)),
        mtu: 1500,
        addresses: vec![net(address)],
        isolated: false,
        internal: false,
        proxy_arp: false,
        neighbours: neighbours.iter().map(|(address, n)| (ip(address), host_mac(*n))).collect(),
        peer: None,
        nat: false,
        mss_clamp: false,
        source_check: false,
        owner: None,
        group: 0,
    }
}

/// Ports a and b are bridged, and 10.0.0.254/24 is the bridge's routed leg. Port c is routed, 10.1.0.254/24, and 10.1.0.1 there.
fn spec() -> Topology {
    let mut topology = topology(&["a", "b", "c"]);
    topology.bridges.get_mut("br").expect("there").members.remove("c");
    let over = OverSpec::Bridge { bridge: "br".into(), vlan: None };
    topology
        .routed
        .insert("leg".into(), routed(1, over, "10.0.0.254/24", &[("10.0.0.1", 1), ("10.0.0.2", 2)]));
    topology.routed.insert("c".into(), routed(3, OverSpec::Port, "10.1.0.254/24", &[("10.1.0.1", 7)]));
    let via = |via: &str| RouteSpec::Via(vec![PathSpec { via: Some(ip(via)), interface: None }]);
    let routes = [(net("0.0.0.0/0"), via("10.1.0.1")), (net("10.66.0.0/16"), RouteSpec::Blackhole)];
    topology.vrfs.insert("default".into(), VrfSpec { routes: routes.into_iter().collect() });
    topology
}

/// A UDP datagram.
fn packet(from: Mac, to: Mac, source: &str, destination: &str, ttl: u8) -> Vec<u8> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (ip(source), ip(destination)) else { panic!("IPv4") };
    let builder = etherparse::PacketBuilder::ethernet2(from.octets(), to.octets());
    let mut frame = Vec::new();
    let builder = builder.ipv4(source.octets(), destination.octets(), ttl).udp(1, 2);
    builder.write(&mut frame, &[9; 30]).expect("written");
    frame
}

/// The next frame that is as wanted; others, such as announcements, are passed over.
fn next(peer: &MemoryPeer, is_it: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        match peer.receive() {
            Some(got) if is_it(&got) => return Some(got),
            Some(_) => {}
            None => std::thread::sleep(Duration::from_micros(100)),
        }
    }
    None
}

fn comes(peer: &MemoryPeer, want: &[u8]) -> bool {
    next(peer, |got| got == want).is_some()
}

#[test]
fn a_neighbour_is_asked_for_and_what_waited_is_sent() {
    let mut engine = engine(1, Mode::Adaptive);
    let peers = ["a", "b", "c"].map(|name| attach(&mut engine, name));
    engine.configure(spec()).expect("configured");
    for n in 1..4 {
        peers[0].send(&packet(host_mac(1), router_mac(1), "10.0.0.1", "10.1.0.77", 60 + n));
    }
    let question = next(&peers[2], |frame| Arp::parse(frame).is_ok_and(|arp| arp.target == [10, 1, 0, 77]))
        .expect("asked");
    let question = Arp::parse(&question).expect("ARP");
    assert_eq!((question.sender_mac, question.sender), (router_mac(3), [10, 1, 0, 254]));
    let mut reply = [0; arp::FRAME_LEN];
    question.reply(host_mac(9)).write(router_mac(3), &mut reply).expect("room");
    peers[2].send(&reply);
    for n in 0..3 {
        let want = packet(router_mac(3), host_mac(9), "10.0.0.1", "10.1.0.77", 60 + n);
        assert!(comes(&peers[2], &want), "packet {n}");
    }
    let row = engine.neighbours().into_iter().find(|n| n.address == "10.1.0.77").expect("known");
    assert_eq!(
        (row.state, row.interface.as_str(), row.mac.as_deref()),
        ("reachable", "c", Some("02:00:00:00:00:09"))
    );
    let route = engine.routes().into_iter().find(|r| r.prefix == "10.1.0.77/32").expect("there");
    assert_eq!((route.origin, route.next_hops), ("neighbour", vec!["10.1.0.77 c".to_string()]));
    // It moved.
    let mut told = [0; arp::FRAME_LEN];
    let announcement = Arp::announcement(host_mac(8), [10, 1, 0, 77]);
    announcement.write(Mac::BROADCAST, &mut told).expect("room");
    std::thread::sleep(Duration::from_millis(1100));
    peers[2].send(&told);
    eventually(|| engine.neighbours().iter().any(|n| n.mac.as_deref() == Some("02:00:00:00:00:08")));
    peers[0].send(&packet(host_mac(1), router_mac(1), "10.0.0.1", "10.1.0.77", 9));
    assert!(comes(&peers[2], &packet(router_mac(3), host_mac(8), "10.0.0.1", "10.1.0.77", 8)));
    full_again(engine);
}

#[test]
fn the_switch_answers_for_its_own_addresses() {
    let mut engine = engine(1, Mode::Adaptive);
    let peers = ["a", "b", "c"].map(|name| attach(&mut engine, name));
    engine.configure(spec()).expect("configured");
    let mut ask = [0; arp::FRAME_LEN];
    Arp::request(host_mac(1), [10, 0, 0, 1], [10, 0, 0, 254]).write(Mac::BROADCAST, &mut ask).expect("room");
    peers[0].send(&ask);
    let is_reply = |frame: &[u8]| Arp::parse(frame).is_ok_and(|arp| arp.operation == arp::Operation::Reply);
    let answer = next(&peers[0], is_reply).expect("answered");
    assert_eq!(
        Arp::parse(&answer).map(|arp| (arp.sender_mac, arp.sender)),
        Ok((router_mac(1), [10, 0, 0, 254]))
    );
    // Its other address, behind the other leg, answers too.
    for target in ["10.0.0.254", "10.1.0.254"] {
        let IpAddr::V4(to) = ip(target) else { panic!("IPv4") };
        let builder = etherparse::PacketBuilder::ethernet2(host_mac(1).octets(), router_mac(1).octets());
        let mut ping = Vec::new();
        builder
            .ipv4([10, 0, 0, 1], to.octets(), 64)
            .icmpv4_echo_request(7, 9)
            .write(&mut ping, &[5; 900])
            .expect("written");
        peers[0].send(&ping);
        let pong = next(&peers[0], |frame| frame.len() == ping.len() && frame[12] == 8 && frame[34] == 0)
            .expect("answered");
        assert_eq!(pong[26..30], to.octets(), "from the address that was asked");
        assert_eq!(pong[22], 64, "no router was on its way");
    }
    // And it asks, too.
    let ask = |destination: &str| PingRequest {
        destination: ip(destination),
        vrf: "default".into(),
        interface: None,
        source: None,
        size: 56,
        ttl: 64,
        whole: false,
    };
    let ticket = engine.ping(&ask("10.1.0.254")).expect("sent");
    let mut answer = None;
    eventually(|| {
        answer = engine.ping_answer(ticket);
        answer.is_some()
    });
    let answer = answer.expect("there");
    assert_eq!((answer.outcome, answer.from.as_deref(), answer.bytes), ("reply", Some("10.1.0.254"), 56));
    let no_vrf = PingRequest { vrf: "none".into(), ..ask("10.1.0.254") };
    assert!(matches!(engine.ping(&no_vrf), Err(PingError::Vrf(_))));
    assert!(matches!(engine.ping(&ask("fd00::1")), Err(PingError::NoRoute(..))));
    assert!(matches!(engine.ping(&ask("fe80::1")), Err(PingError::LinkLocal(..))));
    let by = |name: &str, to| engine.routing().ping(&PingRequest { interface: Some(name.into()), ..ask(to) });
    assert!(matches!(by("a", "10.1.0.1"), Err(PingError::Interface(..))));
    assert!(matches!(by("leg", "10.1.0.1"), Err(PingError::NotBy(..))));
    assert!(by("c", "10.1.0.1").is_ok());
    // A host that nobody is: its sender is told.
    peers[0].send(&packet(host_mac(1), router_mac(1), "10.0.0.1", "10.1.0.99", 64));
    let told = next(&peers[0], |frame| frame.len() > 35 && frame[12] == 8 && frame[34..36] == [3, 1]);
    assert!(told.is_some(), "host unreachable");
    full_again(engine);
}

/// Answers a question about a host behind interface c, and waits until it is known.
fn answer(engine: &Engine, peers: &[MemoryPeer; 3], host: [u8; 4], mac: Mac) {
    let asked = next(&peers[2], |frame| Arp::parse(frame).is_ok_and(|arp| arp.target == host));
    let mut reply = [0; arp::FRAME_LEN];
    let question = Arp::parse(&asked.expect("asked")).expect("ARP");
    question.reply(mac).write(question.sender_mac, &mut reply).expect("room");
    peers[2].send(&reply);
    let address = IpAddr::from(host).to_string();
    eventually(|| engine.neighbours().iter().any(|n| n.address == address && n.mac.is_some()));
}

#[test]
fn what_was_found_goes_on_when_the_interface_is_another() {
    let mut engine = engine(1, Mode::Adaptive);
    let peers = ["a", "b", "c"].map(|name| attach(&mut engine, name));
    engine.configure(spec()).expect("configured");
    let ask = || packet(host_mac(1), router_mac(1), "10.0.0.1", "10.1.0.77", 64);
    peers[0].send(&ask());
    answer(&engine, &peers, [10, 1, 0, 77], host_mac(9));
    assert!(comes(&peers[2], &packet(router_mac(3), host_mac(9), "10.0.0.1", "10.1.0.77", 63)));
    let mut topology = spec();
    let leg = topology.routed.get_mut("c").expect("there");
    (leg.mac, leg.mtu) = (Some(router_mac(5)), 1000);
    engine.configure(topology.clone()).expect("configured");
    peers[0].send(&ask());
    assert!(comes(&peers[2], &packet(router_mac(5), host_mac(9), "10.0.0.1", "10.1.0.77", 63)));
    // What is more special goes first, and what was found is found again afterwards.
    let more = (net("10.1.0.64/26"), RouteSpec::Blackhole);
    topology.vrfs.get_mut("default").expect("there").routes.extend([more]);
    engine.configure(topology).expect("configured");
    peers[0].send(&ask());
    eventually(|| engine.drops().iter().any(|d| d.name == "ip4-route" && d.reason == "blackhole"));
    engine.configure(spec()).expect("configured");
    peers[0].send(&ask());
    assert!(comes(&peers[2], &packet(router_mac(3), host_mac(9), "10.0.0.1", "10.1.0.77", 63)));
    full_again(engine);
}

#[test]
fn what_an_interface_alone_leads_to_is_asked_for_there() {
    let mut engine = engine(1, Mode::Adaptive);
    let peers = ["a", "b", "c"].map(|name| attach(&mut engine, name));
    let mut topology = spec();
    let by = || RouteSpec::Via(vec![PathSpec { via: None, interface: Some("c".into()) }]);
    let routes = [(net("10.4.0.0/16"), by()), (net("10.5.0.7/32"), by())];
    topology.vrfs.get_mut("default").expect("there").routes.extend(routes);
    engine.configure(topology.clone()).expect("configured");
    for round in 0..3 {
        for (n, to) in [(8, [10, 4, 0, 7]), (9, [10, 5, 0, 7])] {
            let words = IpAddr::from(to).to_string();
            peers[0].send(&packet(host_mac(1), router_mac(1), "10.0.0.1", &words, 64));
            if round == 0 {
                answer(&engine, &peers, to, host_mac(n));
            }
            let want = packet(router_mac(3), host_mac(n), "10.0.0.1", &words, 63);
            assert!(comes(&peers[2], &want), "{words}, round {round}");
        }
        engine.configure(topology.clone()).expect("configured");
    }
    full_again(engine);
}

#[test]
fn next_hops_without_room_are_asked_for_when_there_is_some() {
    let mut engine = engine(1, Mode::Adaptive);
    let _peers = ["a", "b", "c"].map(|name| attach(&mut engine, name));
    let mut topology = spec();
    topology.routed.get_mut("c").expect("there").addresses = vec![net("10.1.0.254/16")];
    let routes = |engine: &mut Engine, numbers: std::ops::Range<u16>| {
        let mut topology = topology.clone();
        let hop = |n: u16| IpAddr::from([10, 1, 100 + (n >> 8) as u8, n as u8]);
        let routes = &mut topology.vrfs.get_mut("default").expect("there").routes;
        routes.extend(numbers.clone().map(|n| {
            let path = PathSpec { via: Some(hop(n)), interface: None };
            (net(&format!("20.{}.{}.0/24", n >> 8, n & 255)), RouteSpec::Via(vec![path]))
        }));
        engine.configure(topology).expect("configured");
        let asked: Vec<String> = engine.neighbours().into_iter().map(|n| n.address).collect();
        numbers.filter(|n| asked.contains(&hop(*n).to_string())).count()
    };
    assert_eq!(routes(&mut engine, 0..4200), 4096, "all that there is room for");
    engine.second();
    assert_eq!(routes(&mut engine, 104..4200), 4096, "all");
    full_again(engine);
}

#[test]
fn a_bridge_s_leg_and_a_port_are_routed_to_each_other() {
    for workers in [1, 3] {
        let mut engine = engine(workers, Mode::Adaptive);
        let peers = ["a", "b", "c"].map(|name| attach(&mut engine, name));
        engine.configure(spec()).expect("configured");
        // Hosts say where they are.
        peers[0].send(&frame(1, 255));
        peers[1].send(&frame(2, 255));
        assert!(comes(&peers[1], &frame(1, 255)) && comes(&peers[0], &frame(2, 255)));
        for (to, destination) in [("10.1.0.1", "10.1.0.1"), ("8.8.8.8", "8.8.8.8")] {
            peers[0].send(&packet(host_mac(1), router_mac(1), "10.0.0.1", destination, 64));
            let want = packet(router_mac(3), host_mac(7), "10.0.0.1", to, 63);
            assert!(comes(&peers[2], &want), "{destination}, {workers} workers");
        }
        peers[2].send(&packet(host_mac(7), router_mac(3), "10.1.0.1", "10.0.0.2", 64));
        assert!(comes(&peers[1], &packet(router_mac(1), host_mac(2), "10.1.0.1", "10.0.0.2", 63)));
        peers[0].send(&packet(host_mac(1), router_mac(1), "10.0.0.1", "10.66.1.1", 64));
        eventually(|| engine.drops().iter().any(|d| d.name == "ip4-route" && d.reason == "blackhole"));
        let names: Vec<_> = engine.interfaces().into_iter().map(|i| (i.name, i.kind)).collect();
        assert_eq!(names.iter().map(|n| n.0.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "leg"]);
        full_again(engine);
    }
}

#[test]
fn changes_of_routes_leave_the_rest_alone_and_numbers_are_used_again() {
    let mut engine = engine(1, Mode::Adaptive);
    let peers = ["a", "b", "c"].map(|name| attach(&mut engine, name));
    let ask = packet(host_mac(7), router_mac(3), "10.1.0.1", "10.0.0.2", 64);
    let answer = packet(router_mac(1), host_mac(2), "10.1.0.1", "10.0.0.2", 63);
    for round in 0..300_u32 {
        let mut topology = spec();
        let number = round % 7;
        if number > 0 {
            let routes = &mut topology.vrfs.get_mut("default").expect("there").routes;
            let path = |n: u32| PathSpec { via: Some(ip(&format!("10.1.0.{}", 10 + n))), interface: None };
            for n in 0..40 {
                let paths = (0..number).map(|p| path(p + round % 5)).collect();
                routes.insert(net(&format!("20.{}.{n}.0/24", round % 200)), RouteSpec::Via(paths));
            }
        }
        if round % 10 == 9 {
            topology.routed.remove("c");
        }
        if round % 3 == 2 {
            topology.vrfs.insert(format!("vrf{round}"), VrfSpec::default());
        }
        engine.configure(topology).expect("configured");
        if round % 10 != 9 {
            if round == 0 {
                peers[1].send(&frame(2, 255));
                assert!(comes(&peers[0], &frame(2, 255)));
            }
            peers[2].send(&ask);
            assert!(comes(&peers[1], &answer), "round {round}");
        }
    }
    engine.configure(topology(&["a", "b", "c"])).expect("configured");
    assert_eq!(engine.interfaces().len(), 3);
    let lines = engine.routing().lines_in_use();
    assert_eq!(lines, 0, "every adjacency was given back");
    full_again(engine);
}

#[test]
fn what_is_there_before_a_new_interface_is_routed() {
    for mode in [Mode::Poll, Mode::Adaptive] {
        let mut engine = engine(1, mode);
        let peers = ["a", "b", "c"].map(|name| attach(&mut engine, name));
        for round in 0..40 {
            let ttl = 10 + round;
            peers[0].send(&packet(host_mac(1), router_mac(1), "10.0.0.1", "8.8.8.8", ttl));
            peers[2].send(&packet(host_mac(7), router_mac(3), "10.1.0.1", "10.0.0.2", ttl));
            engine.configure(spec()).expect("configured");
            let out = packet(router_mac(3), host_mac(7), "10.0.0.1", "8.8.8.8", ttl - 1);
            assert!(comes(&peers[2], &out), "round {round}");
            let back = packet(router_mac(1), host_mac(2), "10.1.0.1", "10.0.0.2", ttl - 1);
            assert!(comes(&peers[1], &back), "round {round}");
            engine.configure(Topology::default()).expect("configured");
        }
        let drops = engine.drops();
        assert!(drops.iter().all(|row| row.name != "ip4-route"), "{drops:?}");
        full_again(engine);
    }
}
