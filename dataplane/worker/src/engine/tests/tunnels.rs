//! Tunnels through the engine: a bridge of port a and tunnels, whose underlay is port u, 192.0.2.1/24 and fd00::1/64.

use std::net::IpAddr;

use etherparse::PacketBuilder;
use paceline_wire::arp::Arp;

use super::*;
use crate::spec::{OverSpec, RoutedSpec, TunnelSpec};

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn own() -> Mac {
    Mac::from_octets([2, 0xee, 0, 0, 0, 1])
}

/// The station of the end with this last byte.
fn peer_mac(last: u8) -> Mac {
    Mac::from_octets([2, 0xdd, 0, 0, 0, last])
}

fn end(v6: bool, last: u8) -> IpAddr {
    ip(&if v6 { format!("fd00::{last:x}") } else { format!("192.0.2.{last}") })
}

fn spec(tunnels: &[(&str, TunnelSpec)]) -> Topology {
    let mut topology = topology(&["a", "u"]);
    let bridge = topology.bridges.get_mut("br").expect("there");
    bridge.members.remove("u");
    for (name, spec) in tunnels {
        bridge.members.insert((*name).into(), MemberSpec { group: 1, ..MemberSpec::default() });
        topology.tunnels.insert((*name).into(), spec.clone());
    }
    let neighbours = (2..9).flat_map(|last| [false, true].map(|v6| (end(v6, last), peer_mac(last))));
    let routed = RoutedSpec {
        over: OverSpec::Port,
        vrf: "under".into(),
        mac: Some(own()),
        mtu: 1500,
        addresses: ["192.0.2.1/24", "fd00::1/64"].map(|net| net.parse().expect(net)).to_vec(),
        isolated: false,
        proxy_arp: false,
        neighbours: neighbours.collect(),
        internal: false,
        peer: None,
        nat: false,
        mss_clamp: false,
        source_check: false,
        owner: None,
        group: 0,
    };
    topology.routed.insert("u".into(), routed);
    topology
}

fn tunnel(v6: bool, vni: u32, last: u8) -> TunnelSpec {
    TunnelSpec::new(vni, "under", end(v6, 1), end(v6, last))
}

/// A packet of a tunnel from the end with this last byte.
fn from_peer(v6: bool, vni: u32, last: u8, inner: &[u8]) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(peer_mac(last).octets(), own().octets());
    let ip = match (end(v6, last), end(v6, 1)) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), 64),
        _ => unreachable!("of one version"),
    };
    let mut bytes = Vec::new();
    let payload = [&paceline_wire::vxlan::header(vni)[..], inner].concat();
    ip.udp(50_000, 4789).write(&mut bytes, &payload).expect("written");
    bytes
}

/// The next packet of a tunnel that leaves by the underlay: where to, and what is in it.
fn to_peer(peer: &MemoryPeer) -> Option<(Vec<u8>, u32, Vec<u8>)> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        let Some(bytes) = peer.receive() else {
            std::thread::sleep(Duration::from_micros(100));
            continue;
        };
        let l4 = if bytes[12..14] == [8, 0] { 34 } else { 54 };
        // Others are questions for neighbours and announcements.
        if bytes.len() > l4 + 16 && bytes[l4 + 2..l4 + 4] == 4789_u16.to_be_bytes() {
            let vni = u32::from_be_bytes([0, bytes[l4 + 12], bytes[l4 + 13], bytes[l4 + 14]]);
            return Some((bytes[..6].to_vec(), vni, bytes[l4 + 16..].to_vec()));
        }
    }
    None
}

#[test]
fn frames_go_through_tunnels_both_ways() {
    for (v6, workers) in [(false, 1), (true, 1), (false, 3)] {
        let mut engine = engine(workers, Mode::Adaptive);
        let (a, u) = (attach(&mut engine, "a"), attach(&mut engine, "u"));
        engine.configure(spec(&[("t2", tunnel(v6, 7, 2)), ("t3", tunnel(v6, 7, 3))])).expect("configured");
        a.send(&frame(1, 2));
        let mut flooded = [to_peer(&u).expect("flooded"), to_peer(&u).expect("flooded")];
        flooded.sort();
        for (last, (to, vni, inner)) in (2..).zip(flooded) {
            assert_eq!((to, vni, inner), (peer_mac(last).octets().to_vec(), 7, frame(1, 2)));
        }
        u.send(&from_peer(v6, 7, 3, &frame(2, 1)));
        assert!(arrives(&a, &frame(2, 1)), "v6 {v6}, {workers} workers");
        a.send(&frame(1, 2));
        let (to, _, inner) = to_peer(&u).expect("known by now");
        assert_eq!((to, inner), (peer_mac(3).octets().to_vec(), frame(1, 2)));
        // Between tunnels of one group nothing passes, nor what is of another network or from nobody.
        u.send(&from_peer(v6, 7, 2, &frame(9, 2)));
        u.send(&from_peer(v6, 8, 2, &frame(9, 1)));
        u.send(&from_peer(v6, 7, 4, &frame(9, 1)));
        let drops = |engine: &Engine, reason: &str| {
            engine.drops().iter().any(|d| d.scope == "node" && d.reason == reason && d.packets == 1)
        };
        eventually(|| ["split-horizon", "unknown-vni", "unknown-peer"].iter().all(|r| drops(&engine, r)));
        let macs = engine.macs(None);
        assert!(macs.iter().any(|m| m.interface == "t3" && m.mac == "02:00:00:00:00:02"), "{macs:?}");
        let view = engine.interfaces().into_iter().find(|i| i.name == "t3").expect("there");
        assert_eq!(
            (view.kind.as_str(), view.state.as_str(), view.bridge.as_deref()),
            ("vxlan", "up", Some("br"))
        );
        assert_eq!((view.rx_packets, view.rx_bytes, view.tx_packets, view.tx_bytes), (1, 64, 2, 128));
        let views = engine.tunnel_views();
        assert_eq!(views.len(), 2);
        assert_eq!(
            (views[0].vni, views[0].remote.clone(), views[0].is_learned),
            (7, end(v6, 2).to_string(), false)
        );
        assert!(
            engine.routes().iter().any(|r| r.origin == "local" && r.prefix.contains(&end(v6, 1).to_string()))
        );
        assert_eq!(engine.attached(), ["a", "u"]);
        assert!(matches!(engine.detach("t2"), Err(EngineError::Unknown(_))));
        full_again(engine);
    }
}

#[test]
fn tunnels_come_and_go_while_packets_pass() {
    let mut engine = engine(2, Mode::Adaptive);
    let (a, u) = (attach(&mut engine, "a"), attach(&mut engine, "u"));
    let stays = ("stays", tunnel(false, 7, 2));
    for round in 0..30_u8 {
        let last = 3 + round % 5;
        let name = format!("t{last}");
        engine
            .configure(spec(&[stays.clone(), (&name, tunnel(round % 2 == 0, 7, last))]))
            .expect("configured");
        // The new one is learned on, and used.
        u.send(&from_peer(round % 2 == 0, 7, last, &frame(5, 1)));
        assert!(arrives(&a, &frame(5, 1)), "round {round}");
        a.send(&frame(1, 5));
        let (to, ..) = to_peer(&u).expect("known");
        assert_eq!(to, peer_mac(last).octets(), "round {round}");
        // Another end of the same name: who was behind the old one may be anywhere.
        engine.configure(spec(&[stays.clone(), (&name, tunnel(false, 7, 8))])).expect("configured");
        assert!(engine.macs(None).iter().all(|m| m.interface != name), "round {round}");
        u.send(&from_peer(false, 7, 2, &frame(6, 1)));
        assert!(arrives(&a, &frame(6, 1)), "round {round}");
        engine.configure(spec(std::slice::from_ref(&stays))).expect("configured");
        assert!(engine.tunnel_views().len() == 1 && engine.macs(None).iter().all(|m| m.interface != "?"));
    }
    full_again(engine);
}

/// A packet may wait for another worker, or with control, with the number of a tunnel that has gone meanwhile.
#[test]
fn the_number_of_a_tunnel_rests_before_another_interface_has_it() {
    let mut engine = engine(1, Mode::Adaptive);
    let (_a, _u) = (attach(&mut engine, "a"), attach(&mut engine, "u"));
    let with = |last| spec(&[("stays", tunnel(false, 7, 2)), (&format!("t{last}"), tunnel(false, 7, last))]);
    let number = |engine: &Engine, name: &str| engine.find(name).expect("there");
    engine.configure(with(3)).expect("configured");
    assert_eq!(number(&engine, "t3"), 3);
    // One goes and another comes, a port goes and another comes: they have numbers that nobody had.
    engine.configure(with(4)).expect("configured");
    assert_eq!(number(&engine, "t4"), 4);
    engine.detach("a").expect("detached");
    let _b = attach(&mut engine, "b");
    assert_eq!(number(&engine, "b"), 5);
    rest(&mut engine);
    engine.configure(with(5)).expect("configured");
    assert_eq!(number(&engine, "t5"), 3, "by now all of its packets are gone");
    let _c = attach(&mut engine, "c");
    assert_eq!((number(&engine, "c"), engine.interfaces.len()), (0, 6));
    full_again(engine);
}

#[test]
fn a_tunnel_without_its_address_is_down_and_says_so() {
    let mut engine = engine(1, Mode::Adaptive);
    let (a, u) = (attach(&mut engine, "a"), attach(&mut engine, "u"));
    let mut without = spec(&[("t2", tunnel(false, 7, 2))]);
    let routed = without.routed.remove("u").expect("there");
    engine.configure(without.clone()).expect("configured");
    let state = |engine: &mut Engine| {
        let view = engine.interfaces().into_iter().find(|i| i.name == "t2").expect("there");
        (view.state, view.reason)
    };
    let (down, why) = state(&mut engine);
    assert!(down == "down" && why.is_some_and(|why| why.contains("local address")));
    a.send(&frame(1, 2));
    eventually(|| engine.drops().iter().any(|d| d.reason == "tunnel-down" && d.packets == 1));
    without.routed.insert("u".into(), routed);
    engine.configure(without).expect("configured");
    assert_eq!(state(&mut engine), ("up".to_string(), None));
    a.send(&frame(1, 2));
    assert!(to_peer(&u).is_some());
    full_again(engine);
}

#[test]
fn tunnels_that_cannot_be_are_refused_and_nothing_changes() {
    let mut engine = engine(1, Mode::Adaptive);
    let _ports = (attach(&mut engine, "a"), attach(&mut engine, "u"));
    let good = tunnel(false, 7, 2);
    engine.configure(spec(&[("t2", good.clone())])).expect("configured");
    let group = |remote: &str, by: Option<&str>| TunnelSpec {
        remote: ip(remote),
        group_interface: by.map(String::from),
        ..good.clone()
    };
    for (bad, word) in [
        (TunnelSpec { vni: 1 << 24, ..good.clone() }, "vni 16777216"),
        (TunnelSpec { local: ip("fd00::1"), ..good.clone() }, "versions"),
        (TunnelSpec { local: ip("224.0.0.9"), ..good.clone() }, "local 224.0.0.9"),
        (TunnelSpec { remote: good.local, ..good.clone() }, "remote 192.0.2.1"),
        (TunnelSpec { remote: ip("0.0.0.0"), ..good.clone() }, "remote 0.0.0.0"),
        (group("239.0.0.1", None), "group_interface"),
        (group("192.0.2.9", Some("u")), "group_interface"),
        (TunnelSpec { port: 0, ..good.clone() }, "port 0"),
        (TunnelSpec { ttl: Some(0), ..good.clone() }, "ttl 0"),
        (TunnelSpec { dscp: Some(64), ..good.clone() }, "dscp 64"),
        (TunnelSpec { mtu: 67, ..good.clone() }, "mtu 67"),
    ] {
        let error = engine.configure(spec(&[("bad", bad)])).expect_err(word).to_string();
        assert!(error.starts_with("tunnel bad: ") && error.contains(word), "{error}");
    }
    let error = engine.configure(spec(&[("t2", good.clone()), ("twin", good.clone())])).expect_err("twice");
    assert!(error.to_string().contains("t2 is the same"), "{error}");
    assert!(matches!(engine.configure(spec(&[("a", good)])), Err(EngineError::Exists(_))));
    assert_eq!(engine.tunnel_views().iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["t2"]);
    full_again(engine);
}

#[test]
fn known_hosts_are_answered_for() {
    let mut engine = engine(1, Mode::Adaptive);
    let (a, u) = (attach(&mut engine, "a"), attach(&mut engine, "u"));
    let mut topology = spec(&[("t2", tunnel(false, 7, 2))]);
    let neighbours = &mut topology.bridges.get_mut("br").expect("there").neighbours;
    neighbours.insert(ip("10.0.0.9"), Mac::from_octets([2, 0, 0, 0, 0, 9]));
    engine.configure(topology.clone()).expect("configured");
    let ask = |address: [u8; 4]| {
        let mut out = vec![0; 60];
        let ask = Arp::request(Mac::from_octets([2, 0, 0, 0, 0, 1]), [10, 0, 0, 1], address);
        ask.write(Mac::BROADCAST, &mut out).expect("room");
        out
    };
    a.send(&ask([10, 0, 0, 9]));
    eventually(|| {
        a.receive().is_some_and(|frame| Arp::parse(&frame).is_ok_and(|arp| arp.sender == [10, 0, 0, 9]))
    });
    assert_eq!(engine.bridges()[0].suppressed, 1);
    topology.bridges.get_mut("br").expect("there").neighbours.clear();
    engine.configure(topology).expect("configured");
    a.send(&ask([10, 0, 0, 9]));
    assert_eq!(to_peer(&u).map(|(_, _, inner)| inner), Some(ask([10, 0, 0, 9])));
    full_again(engine);
}

#[test]
fn groups_are_joined_flooded_to_and_heard() {
    for v6 in [false, true] {
        let mut engine = engine(1, Mode::Adaptive);
        let (a, u) = (attach(&mut engine, "a"), attach(&mut engine, "u"));
        let remote = ip(if v6 { "ff15::7" } else { "239.1.2.3" });
        let group = TunnelSpec { remote, group_interface: Some("u".into()), ..tunnel(v6, 7, 2) };
        engine.configure(spec(&[("t2", tunnel(v6, 7, 2)), ("group", group)])).expect("configured");
        // Reports, twice, and again when a router asks.
        let is_report = |frame: &[u8]| {
            let at = if v6 { 62 } else { 38 };
            frame.len() > at && frame[at] == if v6 { 143 } else { 0x22 } && frame.ends_with(&octets(remote))
        };
        let reported = || eventually(|| u.receive().is_some_and(|frame| is_report(&frame)));
        reported();
        reported();
        u.send(&query(v6));
        reported();
        // A frame to all goes to the group, and to nobody a second time.
        let to_group = if v6 { [0x33, 0x33, 0, 0, 0, 7] } else { [1, 0, 0x5e, 1, 2, 3] };
        for n in 1..4 {
            a.send(&frame(n, 9));
            assert_eq!(to_peer(&u), Some((to_group.to_vec(), 7, frame(n, 9))));
        }
        // What comes for the group is its sender's tunnel's.
        let mut heard = from_peer(v6, 7, 2, &frame(5, 1));
        heard[..6].copy_from_slice(&to_group);
        if v6 {
            heard[38..54].copy_from_slice(&octets(remote));
            heard[60..62].fill(0);
        } else {
            heard[30..34].copy_from_slice(&octets(remote));
            heard[40..42].fill(0);
            paceline_wire::ipv4::fill_checksum(&mut heard[14..34]);
        }
        if v6 {
            let mut sum = paceline_wire::checksum::pseudo_v6(
                &address(2),
                &address16(remote),
                17,
                heard.len() as u32 - 54,
            );
            sum.add(&heard[54..]);
            heard[60..62].copy_from_slice(&sum.finish_nonzero().to_be_bytes());
        }
        u.send(&heard);
        assert!(arrives(&a, &frame(5, 1)), "v6 {v6}");
        assert!(engine.macs(None).iter().any(|m| m.interface == "t2"));
        // Leaving is told, too.
        engine.configure(spec(&[("t2", tunnel(v6, 7, 2))])).expect("configured");
        reported();
        full_again(engine);
    }
}

#[test]
fn strangers_become_tunnels_up_to_the_limit_and_are_forgotten() {
    for v6 in [false, true] {
        let mut engine = engine(1, Mode::Adaptive);
        let (a, u) = (attach(&mut engine, "a"), attach(&mut engine, "u"));
        let learner = |limit, age_s| {
            let learn_peers = Some(crate::spec::LearnPeers { limit, age_s });
            spec(&[("t2", TunnelSpec { learn_peers, ..tunnel(v6, 7, 2) })])
        };
        engine.configure(learner(2, 3)).expect("configured");
        let names = |engine: &Engine| -> Vec<String> {
            engine.tunnel_views().into_iter().filter(|t| t.is_learned).map(|t| t.remote).collect()
        };
        // The first packet waits, and is not lost.
        u.send(&from_peer(v6, 7, 3, &frame(5, 1)));
        eventually(|| !engine.routing().strangers().is_empty());
        engine.second();
        assert!(arrives(&a, &frame(5, 1)), "v6 {v6}");
        assert_eq!(names(&engine), [end(v6, 3).to_string()]);
        a.send(&frame(1, 5));
        assert_eq!(to_peer(&u).map(|sent| sent.0), Some(peer_mac(3).octets().to_vec()));
        // Two, and not a third one; what was learned lives on in a configuration that allows it.
        engine.configure(learner(2, 3)).expect("configured");
        for last in [4, 5] {
            u.send(&from_peer(v6, 7, last, &frame(last, 1)));
            eventually(|| !engine.routing().strangers().is_empty());
            engine.second();
        }
        assert!(arrives(&a, &frame(4, 1)));
        assert_eq!(names(&engine).len(), 2);
        eventually(|| engine.drops().iter().any(|d| d.reason == "unknown-peer" && d.packets == 1));
        // One that is configured is none of them; those that are silent go.
        let mut with = learner(2, 3);
        let bridge = with.bridges.get_mut("br").expect("there");
        bridge.members.insert("t3".into(), MemberSpec::default());
        with.tunnels.insert("t3".into(), tunnel(v6, 7, 3));
        engine.configure(with).expect("configured");
        assert_eq!(names(&engine), [end(v6, 4).to_string()]);
        for _ in 0..4 {
            engine.second();
        }
        assert!(names(&engine).is_empty() && engine.macs(None).iter().all(|m| m.interface != "?"));
        // Two of a network cannot both take them in, and without either a stranger is one.
        let mut twice = learner(2, 3);
        let learn_peers = Some(crate::spec::LearnPeers::default());
        twice.tunnels.insert("t4".into(), TunnelSpec { learn_peers, ..tunnel(v6, 7, 4) });
        assert!(engine.configure(twice).expect_err("twice").to_string().contains("learn_peers: t2"));
        full_again(engine);
    }
}

/// A bridge with a tunnel that takes in up to nine others, in an engine of 16 numbers: a quarter of them is for what is configured.
fn of_sixteen() -> (Engine, Topology, [MemoryPeer; 2]) {
    let mut engine = engine(1, Mode::Adaptive);
    engine.numbers = Numbers::below(16);
    let ports = ["a", "u"].map(|name| attach(&mut engine, name));
    let learn_peers = Some(crate::spec::LearnPeers { limit: 20, age_s: 0 });
    let topology = spec(&[("t2", TunnelSpec { learn_peers, ..tunnel(false, 7, 2) })]);
    engine.configure(topology.clone()).expect("configured");
    for last in 10..30 {
        ports[1].send(&from_peer(false, 7, last, &frame(last, 1)));
    }
    eventually(|| engine.routing().strangers().len() == 20);
    engine.second();
    assert_eq!(engine.learned.len(), 9, "three and nine of sixteen");
    (engine, topology, ports)
}

#[test]
fn strangers_leave_numbers_for_what_is_configured() {
    let (mut engine, mut topology, ports) = of_sixteen();
    eventually(|| engine.drops().iter().any(|d| d.reason == "unknown-peer" && d.packets == 11));
    let heard = |engine: &mut Engine| -> u64 {
        let views = engine.interfaces();
        views.iter().filter(|view| view.name.starts_with("t2@")).map(|view| view.rx_packets).sum()
    };
    eventually(|| heard(&mut engine) == 9);
    engine.second();
    // Those that spoke last stay the longest.
    for last in 10..19 {
        if last != 14 {
            ports[1].send(&from_peer(false, 7, last, &frame(last, 1)));
        }
    }
    eventually(|| heard(&mut engine) == 17);
    engine.second();
    let more = ["b", "c", "d", "e"].map(|name| attach(&mut engine, name));
    engine.second();
    assert_eq!(engine.learned.len(), 5);
    assert!(!engine.learned.contains_key("t2@192.0.2.14"), "it was silent for the longest time");
    // There are seven and five, and four that have not rested yet: no more for anybody.
    for last in 40..42 {
        topology.tunnels.insert(format!("t{last}"), tunnel(false, 7, last));
    }
    assert!(matches!(engine.configure(topology.clone()), Err(EngineError::Full)));
    assert_eq!((engine.learned.len(), engine.tunnel_views().len()), (0, 1), "all have made way");
    rest(&mut engine);
    engine.configure(topology).expect("there is room now");
    assert_eq!(engine.tunnel_views().len(), 3);
    drop(more);
    full_again(engine);
}

/// Two ends of the switch are in one network, and know others each for itself.
#[test]
fn who_is_known_at_one_end_may_be_a_stranger_at_another() {
    let mut engine = engine(1, Mode::Adaptive);
    let (a, u) = (attach(&mut engine, "a"), attach(&mut engine, "u"));
    let second = ip("192.0.2.100");
    let learns = |limit| Some(crate::spec::LearnPeers { limit, age_s: 0 });
    let near = TunnelSpec { learn_peers: learns(8), ..tunnel(false, 7, 2) };
    let far = TunnelSpec { local: second, learn_peers: learns(0), ..tunnel(false, 7, 2) };
    let mut both = spec(&[("near", near), ("far", far)]);
    let leg = both.routed.get_mut("u").expect("there");
    leg.addresses.push("192.0.2.100/24".parse().expect("a net"));
    engine.configure(both).expect("configured");
    let send = |local: Option<IpAddr>| {
        let mut bytes = from_peer(false, 7, 3, &frame(5, 1));
        if let Some(IpAddr::V4(local)) = local {
            bytes[30..34].copy_from_slice(&local.octets());
            bytes[40..42].fill(0);
            paceline_wire::ipv4::fill_checksum(&mut bytes[14..34]);
        }
        u.send(&bytes);
    };
    send(None);
    eventually(|| !engine.routing().strangers().is_empty());
    engine.second();
    assert!(arrives(&a, &frame(5, 1)));
    // The other end takes nobody in: the packet does not go round between here and there.
    send(Some(second));
    eventually(|| !engine.routing().strangers().is_empty());
    engine.second();
    eventually(|| engine.drops().iter().any(|d| d.reason == "unknown-peer" && d.packets == 1));
    assert!(engine.routing().strangers().is_empty() && a.receive().is_none());
    full_again(engine);
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn address16(address: IpAddr) -> [u8; 16] {
    octets(address).try_into().expect("IPv6")
}

fn address(last: u8) -> [u8; 16] {
    address16(end(true, last))
}

/// A router's question for all groups.
fn query(v6: bool) -> Vec<u8> {
    let mut frame = Vec::new();
    if v6 {
        let mut message = vec![130, 0, 0, 0, 0, 100, 0, 0];
        message.extend([0; 16]);
        message.extend([2, 125, 0, 0]);
        let (from, to) = (address16(ip("fe80::9")), address16(ip("ff02::1")));
        let mut sum = paceline_wire::checksum::pseudo_v6(&from, &to, 58, 28);
        sum.add(&message);
        message[2..4].copy_from_slice(&sum.finish().to_be_bytes());
        frame.extend([0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 36, 0, 1]);
        frame.extend(from);
        frame.extend(to);
        frame.extend([58, 0, 5, 2, 0, 0, 1, 0]);
        frame.extend(message);
    } else {
        let mut message = [0x11, 1, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0];
        let sum = paceline_wire::checksum::Sum::of(&message).finish();
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        frame.extend([1, 0, 0x5e, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0]);
        let mut header = [0x45, 0, 0, 32, 0, 0, 0, 0, 1, 2, 0, 0, 192, 0, 2, 9, 224, 0, 0, 1];
        paceline_wire::ipv4::fill_checksum(&mut header);
        frame.extend(header);
        frame.extend(message);
    }
    frame
}
