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
    assert_eq!(engine.interfaces.len(), 4, "numbers are used again");
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
