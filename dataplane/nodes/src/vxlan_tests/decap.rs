//! What comes by a tunnel.

use crossbeam::queue::ArrayQueue;
use paceline_buf::VnetHdr;
use paceline_graph::filter::{
    Filter, Flows, MatchSpec, Policy, PolicySpec, RuleSpec, SessionSpec, TierSpec, Verdict,
};
use paceline_graph::{Capture, Group, Reason, SessionClock, Zone};
use paceline_wire::arp::Arp;
use proptest::prelude::*;

use super::*;
use crate::hop;
use crate::testing::frame;

#[test]
fn every_fault_of_a_packet_has_its_reason() {
    for v6 in [false, true] {
        let mut rig = switch(v6, 2, 1);
        let inner = frame(1, 2, 64);
        let whole = encapsulated(&mut switch(v6, 1, 2), &inner);
        let l4 = if v6 { 54 } else { 34 };
        assert_eq!(rig.send(UNDERLAY, &whole), [(PORT, inner.clone())]);
        let mut padded = whole.clone();
        padded.extend([0; 9]);
        assert_eq!(rig.send(UNDERLAY, &padded), [(PORT, inner.clone())], "padding is cut off");
        let mut reserved = whole.clone();
        (reserved[l4 + 8], reserved[l4 + 9], reserved[l4 + 15]) = (0xff, 0xff, 0xff);
        assert_eq!(rig.send(UNDERLAY, &reserved), [(PORT, inner.clone())], "reserved bits are ignored");
        let dropped = |rig: &mut Rig, reason, edit: &dyn Fn(&mut Vec<u8>)| {
            let (mut bytes, before) = (whole.clone(), rig.drops(hop::VXLAN_DECAP, reason));
            edit(&mut bytes);
            if !v6 {
                paceline_wire::ipv4::fill_checksum(&mut bytes[14..34]);
            }
            assert_eq!(rig.send(UNDERLAY, &bytes), [], "{reason:?}");
            assert_eq!(rig.drops(hop::VXLAN_DECAP, reason), before + 1, "{reason:?}");
        };
        dropped(&mut rig, Reason::VxlanFlags, &|bytes| bytes[l4 + 8] = 0xf7);
        dropped(&mut rig, Reason::UnknownVni, &|bytes| bytes[l4 + 14] ^= 1);
        dropped(&mut rig, Reason::UnknownPeer, &|bytes| bytes[l4 - if v6 { 17 } else { 5 }] ^= 8);
        dropped(&mut rig, Reason::UdpLength, &|bytes| bytes[l4 + 5] += 1);
        dropped(&mut rig, Reason::UdpLength, &|bytes| bytes[l4 + 5] = 15);
        dropped(&mut rig, Reason::Runt, &|bytes| bytes[l4 + 5] = 16 + 13);
        dropped(&mut rig, Reason::UdpChecksum, &|bytes| bytes[l4 + 7] = 1);
        for len in l4 + 8..l4 + 16 {
            dropped(&mut rig, Reason::TunnelHeader, &|bytes| {
                bytes.truncate(len);
                let at = if v6 { 18 } else { 16 };
                let claimed = (len - if v6 { 54 } else { 14 }) as u16;
                bytes[at..at + 2].copy_from_slice(&claimed.to_be_bytes());
            });
        }
        if v6 {
            set(&mut rig, &Tunnel { checksum: true, ..tunnel(v6, 2, 1) });
            dropped(&mut rig, Reason::UdpChecksum, &|_| ());
        } else {
            dropped(&mut rig, Reason::TunnelFragment, &|bytes| bytes[20] = 0x20);
        }
        // The tunnel's interface counts what it took.
        assert_eq!(rig.snapshot.interface(TUNNEL).expect("there").counters[0].rx_packets.get(), 3);
    }
}

#[test]
fn options_and_extensions_are_passed_over() {
    let (inner, mut rig) = (frame(1, 2, 64), switch(false, 2, 1));
    let mut bytes = encapsulated(&mut switch(false, 1, 2), &inner);
    bytes.splice(34..34, [1; 8]);
    bytes[14] = 0x47;
    let len = u16::from_be_bytes([bytes[16], bytes[17]]) + 8;
    bytes[16..18].copy_from_slice(&len.to_be_bytes());
    paceline_wire::ipv4::fill_checksum(&mut bytes[14..42]);
    assert_eq!(rig.send(UNDERLAY, &bytes), [(PORT, inner.clone())]);
    let mut rig = switch(true, 2, 1);
    let mut bytes = encapsulated(&mut switch(true, 1, 2), &inner);
    bytes.splice(54..54, [17, 0, 1, 4, 0, 0, 0, 0]);
    bytes[20] = 60;
    bytes[19] += 8;
    assert_eq!(rig.send(UNDERLAY, &bytes), [(PORT, inner)]);
    bytes.splice(54..62, [17, 0, 0, 1, 0, 0, 0, 1]);
    bytes[20] = 44;
    assert_eq!(rig.send(UNDERLAY, &bytes), []);
    assert_eq!(rig.drops(hop::VXLAN_DECAP, Reason::TunnelFragment), 1);
}

#[test]
fn what_is_no_tunnel_s_goes_on_as_without_them() {
    for v6 in [false, true] {
        let mut rig = switch(v6, 2, 1);
        let punt = Arc::new(ArrayQueue::new(4));
        rig.snapshot.punt = Some(Arc::clone(&punt));
        let builder = || PacketBuilder::ethernet2(mac(1).octets(), mac(2).octets());
        for (last, port) in [(2, 4790), (2, 53), (18, 53)] {
            let mut bytes = Vec::new();
            let ip = match (end(v6, 1), end(v6, last)) {
                (IpAddr::V4(from), IpAddr::V4(to)) => builder().ipv4(from.octets(), to.octets(), 9),
                (IpAddr::V6(from), IpAddr::V6(to)) => builder().ipv6(from.octets(), to.octets(), 9),
                _ => unreachable!("of one version"),
            };
            ip.udp(4789, port).write(&mut bytes, &[8; 40]).expect("written");
            assert_eq!(rig.send(UNDERLAY, &bytes), []);
            let packet = punt.pop().expect("punted");
            assert_eq!((packet.reason, packet.data()), (Reason::NobodyHome as u16, &bytes[..]));
            rig.release(vec![packet]);
        }
        // With the NAT's address it went there, which has nothing configured and leaves it to control.
        let node = if v6 { hop::NAT66_OUT2IN } else { hop::NAT44_OUT2IN };
        let node = node.as_node().expect("a node");
        assert_eq!(rig.graph.counters()[node as usize].packets.get(), 1);
        // A stranger of a network that takes strangers is for control.
        set(&mut rig, &Tunnel { learns: true, ..tunnel(v6, 2, 9) });
        let bytes = encapsulated(&mut switch(v6, 1, 2), &frame(1, 2, 64));
        assert_eq!(rig.send(UNDERLAY, &bytes), []);
        let packet = punt.pop().expect("punted");
        assert_eq!((packet.reason, packet.data()), (Reason::UnknownPeer as u16, &bytes[..]));
        rig.release(vec![packet]);
    }
}

#[test]
fn only_where_the_ends_are_do_packets_come_in() {
    for v6 in [false, true] {
        let inner = frame(1, 2, 64);
        let from = |last| encapsulated(&mut switch(v6, last, 2), &inner);
        let mut rig = switch(v6, 2, 1);
        let punt = Arc::new(ArrayQueue::new(4));
        rig.snapshot.punt = Some(Arc::clone(&punt));
        let mut refused = 0;
        let mut is_let_in = |rig: &mut Rig, rx, remote, bytes: &[u8]| {
            set(rig, &Tunnel { learns: true, ..tunnel(v6, 2, remote) });
            let is_in = !rig.send(rx, bytes).is_empty();
            refused += u64::from(!is_in);
            assert_eq!(rig.drops(hop::VXLAN_DECAP, Reason::TunnelIngress), refused);
            is_in
        };
        // The way to end 1 leaves by the one port, to end 16 by the second, to 14 by both, to 7 nowhere.
        assert!(is_let_in(&mut rig, UNDERLAY, 1, &from(1)));
        assert!(!is_let_in(&mut rig, SECOND, 1, &from(1)));
        assert!(is_let_in(&mut rig, UNDERLAY, 7, &from(7)), "the end's own interface asks for no way");
        assert!(!is_let_in(&mut rig, SECOND, 16, &from(16)), "isolated, as a container is");
        rig.snapshot.l2_out[SECOND as usize].zone = Zone::new(0, false).internal();
        assert!(!is_let_in(&mut rig, SECOND, 16, &from(16)), "internal");
        rig.snapshot.l2_out[SECOND as usize].zone = Zone::default();
        assert!(is_let_in(&mut rig, SECOND, 16, &from(16)));
        assert!(is_let_in(&mut rig, SECOND, 14, &from(14)), "one of equal paths");
        assert!(!is_let_in(&mut rig, SECOND, 1, &from(1)) && !is_let_in(&mut rig, SECOND, 7, &from(7)));
        // Nor does control hear of strangers from there; nor do options help.
        assert!(!is_let_in(&mut rig, SECOND, 9, &from(1)));
        assert!(punt.is_empty());
        if !v6 {
            let mut bytes = from(1);
            bytes.splice(34..34, [1; 8]);
            (bytes[14], bytes[17]) = (0x47, bytes[17] + 8);
            paceline_wire::ipv4::fill_checksum(&mut bytes[14..42]);
            assert!(is_let_in(&mut rig, UNDERLAY, 1, &bytes) && !is_let_in(&mut rig, SECOND, 1, &bytes));
        }
        // A stranger by a port that the way to it leaves by is heard.
        set(&mut rig, &Tunnel { learns: true, ..tunnel(v6, 2, 9) });
        assert_eq!(rig.send(SECOND, &from(16)), []);
        rig.release(vec![punt.pop().expect("punted")]);
    }
}

#[test]
fn a_flood_of_strangers_leaves_room_for_all_else() {
    let mut rig = switch(false, 2, 1);
    let queue = Arc::new(ArrayQueue::new(1 << 12));
    rig.snapshot.punt = Some(Arc::clone(&queue));
    set(&mut rig, &Tunnel { learns: true, ..tunnel(false, 2, 9) });
    let packet = encapsulated(&mut switch(false, 1, 2), &frame(1, 2, 64));
    // From behind a router, as all have its Ethernet address; and then from stations of their own.
    for round in 0..20_u8 {
        let strangers: Vec<_> = (0..200_u8)
            .map(|n| {
                let mut bytes = packet.clone();
                bytes[26..30].copy_from_slice(&[198, 51, round, n]);
                if round >= 10 {
                    bytes[8..12].copy_from_slice(&[0x55, 0x55, round, n]);
                }
                paceline_wire::ipv4::fill_checksum(&mut bytes[14..34]);
                bytes
            })
            .collect();
        let strangers: Vec<_> = strangers.iter().map(|bytes| (&bytes[..], None)).collect();
        rig.send_all(UNDERLAY, &strangers);
    }
    let (limited, waiting) = (rig.drops(hop::PUNT, Reason::PuntLimit), queue.len() as u64);
    assert!(limited > 3000 && limited + waiting == 4000, "{limited} and {waiting}");
    for asker in [mac(1), Mac(0x0655_5555_0f07)] {
        let mut question = vec![0; 60];
        let ask = Arp::request(asker, [192, 0, 2, 1], [192, 0, 2, 2]);
        ask.write(Mac::BROADCAST, &mut question).expect("room");
        let before = queue.len();
        rig.send(UNDERLAY, &question);
        assert_eq!(queue.len(), before + 1, "the router is answered");
    }
    rig.release(std::iter::from_fn(|| queue.pop()).collect());
}

/// A capture keeps the packet as it came in, so what lies behind its first bytes is shared with it.
#[test]
fn what_was_captured_outside_is_filtered_inside() {
    let rule = RuleSpec {
        name: "www".into(),
        action: Verdict::Permit,
        matches: MatchSpec { protocol: Some(17), destination_ports: Some(80..=80), ..MatchSpec::default() },
        ..RuleSpec::default()
    };
    let tiers = vec![TierSpec { name: "main".into(), rules: vec![rule], default: Verdict::Pass }];
    let spec = PolicySpec { name: "wall".into(), tiers, default: Verdict::Deny, stateful: false };
    let policy = Arc::new(Policy::new(&spec, 1, None).expect("a policy"));
    let queue = || ArrayQueue::new(16);
    let capture = Arc::new(Capture { queue: queue(), lost: 0.into(), snap: 65_535 });
    let mut rig = switch(true, 2, 1);
    let flows = Flows::new(SessionSpec::default(), 1, false, None, SessionClock::default());
    rig.snapshot.flows = Some(Arc::new(flows.expect("memory")));
    let l3 = rig.snapshot.interface(UNDERLAY).expect("there").l3;
    let features = Features { capabilities: Capabilities::ALL, ..Features::default() };
    rig.interface(UNDERLAY, Features { routed: true, capture: true, ..features }, |i| {
        (i.l3, i.mtu, i.capture) = (l3, 1600, Some(Arc::clone(&capture)));
    });
    rig.interface(PORT, Features { acl_output: true, ..features }, |i| {
        i.filter = Some(Arc::new(Filter { policies: [None, Some(policy)], ..Filter::default() }));
    });
    for (port, extensions) in [(80, 0), (80, 2), (81, 0), (81, 2)] {
        let mut inner = ip(true, 0, 9, (7, port), 500);
        for _ in 0..extensions {
            inner.splice(54..54, [inner[20], 0, 1, 4, 0, 0, 0, 0]);
            inner[20] = 60;
            let len = u16::from_be_bytes([inner[18], inner[19]]) + 8;
            inner[18..20].copy_from_slice(&len.to_be_bytes());
        }
        let bytes = encapsulated(&mut switch(true, 1, 2), &inner);
        let want = if port == 80 { vec![(PORT, inner)] } else { vec![] };
        assert_eq!(rig.send(UNDERLAY, &bytes), want, "port {port} behind {extensions} extensions");
        let packet = capture.queue.pop().expect("captured").packet;
        assert!(packet.segments().flatten().eq(&bytes));
        rig.release(vec![packet]);
    }
    assert_eq!(rig.drops(hop::ACL_OUTPUT, Reason::AclDeny), 2);
}

#[test]
fn congestion_in_the_tunnel_is_told_inside() {
    for (v6, inner_v6) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut rig = switch(v6, 2, 1);
        for inner in 0..4 {
            for outer in 0..4 {
                let sent = ip(inner_v6, 0x28 | inner, 9, (1, 2), 20);
                let mut bytes = encapsulated(&mut switch(v6, 1, 2), &sent);
                if v6 {
                    bytes[15] = bytes[15] & 0xcf | outer << 4;
                } else {
                    bytes[15] = bytes[15] & 0xfc | outer;
                    paceline_wire::ipv4::fill_checksum(&mut bytes[14..34]);
                }
                let got = rig.send(UNDERLAY, &bytes);
                match paceline_wire::ecn::out_of_tunnel(inner, outer) {
                    Some(mark) => assert_eq!(got, [(PORT, ip(inner_v6, 0x28 | mark, 9, (1, 2), 20))]),
                    None => assert_eq!(got, []),
                }
            }
        }
        assert_eq!(rig.drops(hop::VXLAN_DECAP, Reason::EcnMismatch), 1);
    }
}

#[test]
fn a_group_is_flooded_to_and_heard() {
    for v6 in [false, true] {
        let group: IpAddr = if v6 { "ff15::7" } else { "239.1.2.3" }.parse().expect("an address");
        let way = Group { interface: SECOND, mac: mac(9), mtu: 1600 };
        let grouped = |own| Tunnel { remote: group, group: Some(way), ..tunnel(v6, own, 0) };
        let mut rig = switch(v6, 1, 2);
        set(&mut rig, &grouped(1));
        let out = rig.send(PORT, &frame(1, 255, 64));
        assert_eq!(out.iter().map(|out| out.0).collect::<Vec<_>>(), [SECOND]);
        let to = if v6 { [0x33, 0x33, 0, 0, 0, 7] } else { [1, 0, 0x5e, 1, 2, 3] };
        assert_eq!(out[0].1[..12], [to, mac(9).octets()].concat());
        // At the other end it is the sender's tunnel that it came by, and so addresses are learned there.
        let mut far = switch(v6, 2, 1);
        far.interface(4, Features { tunnel: true, ..Features::default() }, |_| ());
        far.snapshot.bridges[0].members.push(4);
        let (unicast, grouped) = (tunnel(v6, 2, 1), grouped(2));
        far.snapshot.tunnels = TunnelEnds::new([(TUNNEL, &unicast), (4, &grouped)].into_iter());
        for index in [TUNNEL, 4] {
            far.snapshot.l2_out[index as usize].zone = Zone::new(1, false);
        }
        assert_eq!(far.send(UNDERLAY, &out[0].1), [(PORT, frame(1, 255, 64))]);
        let macs = &far.snapshot.bridges[0].macs;
        assert_eq!(macs.reader().lookup(0x0200_0000_0001, macs.hash(0x0200_0000_0001)), Some(TUNNEL));
        // The group's own interface need not be the way to its senders.
        assert_eq!(far.send(SECOND, &out[0].1), [(PORT, frame(1, 255, 64))]);
        // Other groups, and other packets for this one, are nobody's.
        let mut other = out[0].1.clone();
        other[if v6 { 57 } else { 37 }] ^= 1;
        assert_eq!(far.send(UNDERLAY, &other), []);
        assert_eq!(far.drops(hop::VXLAN_DECAP, Reason::NotForUs), 1);
    }
}

/// A second tenant: a port and a tunnel of another network between the same ends, in a bridge of their own.
fn two_tenants(v6: bool) -> Rig {
    let mut rig = switch(v6, 2, 1);
    let blue = Tunnel { vni: VNI + 1, ..tunnel(v6, 2, 1) };
    rig.interface(4, Features { capabilities: Capabilities::ALL, ..Features::default() }, |i| i.domain = 1);
    rig.interface(5, Features { tunnel: true, ..Features::default() }, |i| {
        (i.domain, i.tunnel) = (1, Some(Arc::new(blue.clone())));
    });
    rig.domain("blue", vec![4, 5]);
    let red = tunnel(v6, 2, 1);
    rig.snapshot.tunnels = TunnelEnds::new([(TUNNEL, &red), (5, &blue)].into_iter());
    rig
}

#[test]
fn a_tunnel_inside_a_tunnel_is_data() {
    for v6 in [false, true] {
        let mut rig = two_tenants(v6);
        // A whole packet of the other tenant's network, from the very end that it is from, is what a station sends.
        let mut nested = encapsulated(&mut switch(v6, 1, 2), &frame(1, 255, 64));
        nested[if v6 { 68 } else { 48 }] += 1;
        nested[..12].copy_from_slice(&frame(1, 255, 14)[..12]);
        let outer = encapsulated(&mut switch(v6, 1, 2), &nested);
        assert_eq!(rig.send(UNDERLAY, &outer), [(PORT, nested)]);
    }
}

proptest! {
    // Each case makes switches, with their tables.
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_frame_comes_back_the_same(
        v6 in any::<bool>(),
        checksum in any::<bool>(),
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 60..1400), 1..20),
    ) {
        let (mut near, mut far) = (switch(v6, 1, 2), switch(v6, 2, 1));
        set(&mut near, &Tunnel { checksum, ..tunnel(v6, 1, 2) });
        set(&mut far, &Tunnel { checksum, ..tunnel(v6, 2, 1) });
        for mut inner in frames {
            // From a station to all, so that no bridge objects.
            inner[..7].copy_from_slice(&[255, 255, 255, 255, 255, 255, 2]);
            let bytes = encapsulated(&mut near, &inner);
            prop_assert_eq!(far.send(UNDERLAY, &bytes), [(PORT, inner)]);
        }
    }

    #[test]
    fn no_frame_of_one_tenant_comes_to_the_other(
        v6 in any::<bool>(),
        frames in prop::collection::vec((any::<bool>(), any::<bool>(), 0..4_u8, 0..5_u8), 1..30),
    ) {
        let (mut rig, mut far) = (two_tenants(v6), switch(v6, 1, 2));
        for (number, (is_blue, is_outside, from, to)) in frames.into_iter().enumerate() {
            // Both tenants have the same stations.
            let inner = frame(from, if to == 4 { 255 } else { to }, 64 + number);
            let at = if v6 { 68 } else { 48 };
            let (port, vni) = if is_blue { (4, VNI + 1) } else { (PORT, VNI) };
            if is_outside {
                set(&mut far, &Tunnel { vni, ..tunnel(v6, 1, 2) });
                let mut flooded = inner.clone();
                flooded[..6].fill(255);
                let mut bytes = encapsulated(&mut far, &flooded);
                let inner_at = bytes.len() - inner.len();
                bytes[inner_at..].copy_from_slice(&inner);
                for (out, bytes) in rig.send(UNDERLAY, &bytes) {
                    prop_assert_eq!((out, &bytes), (port, &inner));
                }
            } else {
                for (out, bytes) in rig.send(port, &inner) {
                    prop_assert_eq!(out, UNDERLAY);
                    let told = u32::from_be_bytes([0, bytes[at - 2], bytes[at - 1], bytes[at]]);
                    prop_assert_eq!((told, &bytes[at + 2..]), (vni, &inner[..]));
                }
            }
        }
    }

    #[test]
    fn hostile_bytes_break_nothing(
        v6 in any::<bool>(),
        cut in 0..200_usize,
        edits in prop::collection::vec((0..110_usize, any::<u8>()), 0..6),
        offload in prop::option::of((any::<u8>(), any::<u8>(), any::<u16>(), any::<u16>(), any::<u16>())),
        inner in prop::collection::vec(any::<u8>(), 14..120),
    ) {
        let mut rig = switch(v6, 2, 1);
        let mut whole = vec![255; 6];
        whole.extend([2, 0, 0, 0, 0, 1]);
        whole.extend(&inner[..]);
        let mut bytes = encapsulated(&mut switch(v6, 1, 2), &whole);
        for (at, byte) in edits {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if !v6 && bytes[14] == 0x45 {
            paceline_wire::ipv4::fill_checksum(&mut bytes[14..34]);
        }
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        let offload = offload.map(|(flags, gso_type, gso_size, csum_start, csum_offset)| VnetHdr {
            flags, gso_type, hdr_len: 0, gso_size, csum_start: csum_start % 200, csum_offset: csum_offset % 40,
        });
        // Whatever comes out has a header; the rig sees to it that no buffer is lost.
        for (port, out, _) in rig.send_offload(UNDERLAY, &bytes, offload) {
            prop_assert!(port <= SECOND && out.len() >= HEADER_LEN);
        }
        // The same inside: what a member sends.
        for (_, out, _) in rig.send_offload(PORT, &bytes, offload) {
            prop_assert!(out.len() >= HEADER_LEN);
        }
    }
}
