//! Packets through the routing nodes, judged by `etherparse`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use etherparse::{NetSlice, PacketBuilder, SlicedPacket};
use paceline_buf::VnetHdr;
use paceline_graph::{Action, Adjacencies, Hop, IpVersion, L3, Link, Reason, Vrf};
use paceline_tables::{Rib4, Rib6};
use paceline_wire::arp::Arp;
use paceline_wire::ethernet::{self, ETHERTYPE_IPV6, HEADER_LEN, Mac};
use paceline_wire::ndp;
use proptest::prelude::*;

use crate::testing::Rig;
use crate::{Features, hop};

/// What the router's interfaces have for an address, but for the last byte.
const OWN: u64 = 0x02ee_0000_0000;
/// The same of the next hop behind interface n.
const NEXT: u64 = 0x06ee_0000_0000;

fn mac(base: u64, port: u16) -> [u8; 6] {
    Mac(base + u64::from(port)).octets()
}

/// A router with three interfaces in one VRF. 10.N.0.0/16 and fd00:N::/32 are behind interface N; more by number of the last
/// byte of 10.9.0.0/24.
fn router() -> Rig {
    let mut rig = Rig::bridge(0);
    let features =
        Features { routed: true, capabilities: paceline_graph::Capabilities::ALL, ..Features::default() };
    for port in 0..3 {
        rig.interface(port, features, |i| {
            i.l3 = Some(L3 {
                mac: Mac(OWN + u64::from(port)),
                address4: Some(Ipv4Addr::new(10, port as u8, 255, 254)),
                address6: Some(Ipv6Addr::new(0xfd00, port, 0, 0, 0, 0, 0, 0xfffe)),
                mtu: 1500,
            });
        });
    }
    let (mut rib4, mut rib6) = (Rib4::new().expect("room"), Rib6::new().expect("room"));
    let lines = Adjacencies::new(32);
    for port in 0..3_u16 {
        for (version, number) in [(IpVersion::V4, 1), (IpVersion::V6, 4)] {
            let source = Mac(OWN + u64::from(port));
            let link = Link { interface: port, mtu: 1500, source, version };
            lines.get(number + u32::from(port)).forward(link, Mac(NEXT + u64::from(port)));
        }
        let net = format!("10.{port}.0.0/16");
        rib4.insert(net.parse().expect("a prefix"), 1 + u32::from(port)).expect("room");
        let net = format!("fd00:{port}::/32");
        rib6.insert(net.parse().expect("a prefix"), 4 + u32::from(port)).expect("room");
    }
    for (number, action) in
        [(10, Action::Blackhole), (11, Action::Unreachable), (12, Action::Prohibit), (13, Action::None)]
    {
        lines.get(number).act(action);
    }
    let waiting = Link { interface: 1, mtu: 1500, source: Mac(OWN + 1), version: IpVersion::V4 };
    lines.get(14).resolve(waiting);
    lines.get(15).balance(&[1, 2, 3]);
    lines.get(16).act(Action::Local);
    for number in 10..17_u32 {
        rib4.insert(format!("10.9.0.{number}/32").parse().expect("a prefix"), number).expect("room");
        rib6.insert(format!("fd09::{number}/128").parse().expect("a prefix"), number).expect("room");
    }
    rig.snapshot.vrfs.push(Vrf {
        name: "main".into(),
        fib4: Arc::clone(rib4.fib()),
        fib6: Arc::clone(rib6.fib()),
    });
    rig.snapshot.adjacencies = Arc::new(lines);
    rig
}

/// A UDP datagram in a frame for the router's interface.
fn v4(port: u16, source: [u8; 4], destination: [u8; 4], ttl: u8, payload: usize) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(mac(NEXT, port), mac(OWN, port)).ipv4(source, destination, ttl);
    let mut frame = Vec::new();
    builder.udp(1000, 2000).write(&mut frame, &vec![7; payload]).expect("written");
    frame
}

fn v6(port: u16, source: &str, destination: &str, limit: u8, payload: usize) -> Vec<u8> {
    let address = |text: &str| text.parse::<Ipv6Addr>().expect("an address").octets();
    let builder = PacketBuilder::ethernet2(mac(NEXT, port), mac(OWN, port));
    let builder = builder.ipv6(address(source), address(destination), limit);
    let mut frame = Vec::new();
    builder.udp(1000, 2000).write(&mut frame, &vec![7; payload]).expect("written");
    frame
}

/// What a router makes of a frame that leaves by an interface: other addresses, one less to live.
fn routed(frame: &[u8], port: u16) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[..6].copy_from_slice(&mac(NEXT, port));
    frame[6..12].copy_from_slice(&mac(OWN, port));
    if frame[12..14] == [0x86, 0xdd] {
        frame[14 + 7] -= 1;
    } else {
        frame[14 + 8] -= 1;
        let words: [u8; 20] = frame[14..34].try_into().expect("a header");
        let header = etherparse::Ipv4HeaderSlice::from_slice(&words).expect("a header").to_header();
        let sum = header.calc_header_checksum();
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

#[test]
fn what_is_of_a_link_alone_does_not_leave_it() {
    let mut rig = router();
    for kind in 132..=138 {
        let mut frame = v6(0, "fd00:0::1", "fd00:1::9", 255, 30);
        (frame[20], frame[54]) = (58, kind);
        let is_of_link = (133..=137).contains(&kind);
        assert_eq!(rig.ports(0, &frame).is_empty(), is_of_link, "type {kind}");
        frame[21] = 254;
        assert_eq!(rig.ports(0, &frame), [1], "type {kind}, which no receiver takes for one");
    }
    assert_eq!(rig.drops(hop::IP6_ROUTE, Reason::LinkLocal), 5);
}

#[test]
fn packets_leave_with_new_addresses_and_one_less_to_live() {
    let mut rig = router();
    for ttl in [2, 3, 64, 255] {
        let frame = v4(0, [10, 0, 0, 1], [10, 1, 2, 3], ttl, 10);
        assert_eq!(rig.send(0, &frame), [(1, routed(&frame, 1))]);
        let frame = v6(2, "fd00:2::1", "fd00:1::9", ttl, 10);
        assert_eq!(rig.send(2, &frame), [(1, routed(&frame, 1))]);
    }
    // Back by the interface it came from, as a router with one leg does.
    let frame = v4(1, [10, 0, 0, 1], [10, 1, 2, 3], 9, 10);
    assert_eq!(rig.send(1, &frame), [(1, routed(&frame, 1))]);
}

#[test]
fn a_vector_of_both_versions_to_all_sides() {
    let mut rig = router();
    let frames: Vec<Vec<u8>> = (0..200_u8)
        .map(|n| match n % 3 {
            0 => v6(0, "fd00::1", &format!("fd00:{}::{n}", 1 + n % 2), 64, 20),
            _ => v4(0, [10, 0, 0, 1], [10, 1 + n % 2, 0, n], 64, 20),
        })
        .collect();
    let sent: Vec<_> = frames.iter().map(|frame| (&frame[..], None)).collect();
    let out = rig.send_all(0, &sent);
    assert_eq!(out.len(), frames.len());
    for port in [1, 2] {
        let odd = |frame: &&Vec<u8>| rig_port(frame) == port;
        let mut want: Vec<_> = frames.iter().filter(odd).map(|frame| routed(frame, port)).collect();
        let mut got: Vec<_> = out.iter().filter(|o| o.0 == port).map(|o| o.1.clone()).collect();
        want.sort();
        got.sort();
        assert_eq!(got, want);
    }
}

fn rig_port(frame: &[u8]) -> u16 {
    if frame[12] == 0x86 { u16::from(frame[14 + 24 + 3]) } else { u16::from(frame[14 + 17]) }
}

const TOLD: [Reason; 5] = [
    Reason::TtlExpired,
    Reason::NoRoute,
    Reason::Unreachable,
    Reason::Prohibited,
    Reason::NeedsFragmentation,
];

#[test]
fn every_refusal_has_its_reason() {
    let mut rig = router();
    let good = v4(0, [10, 0, 0, 1], [10, 1, 0, 1], 64, 30);
    let edit = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = good.clone();
        edit(&mut frame);
        frame
    };
    // As `edit`, with a checksum that is right again.
    let summed = |at: usize, value: u8| {
        let mut frame = good.clone();
        frame[14 + at] = value;
        paceline_wire::ipv4::fill_checksum(&mut frame[14..34]);
        frame
    };
    let to = |destination| v4(0, [10, 0, 0, 1], destination, 64, 30);
    let from = |source| v4(0, source, [10, 1, 0, 1], 64, 30);
    let cases = [
        (edit(&|f| f[5] ^= 1), Reason::NotForUs),
        (edit(&|f| f[..6].fill(255)), Reason::NotForUs),
        (edit(&|f| f[12] = 9), Reason::UnknownEthertype),
        (edit(&|f| f.truncate(13)), Reason::Runt),
        (edit(&|f| f.truncate(33)), Reason::IpHeader),
        (edit(&|f| f[14] = 0x65), Reason::IpHeader),
        (edit(&|f| f[14] = 0x44), Reason::IpHeader),
        (edit(&|f| f.truncate(60)), Reason::IpLength),
        (summed(3, 19), Reason::IpLength),
        (edit(&|f| f[24] ^= 1), Reason::IpChecksum),
        (from([127, 0, 0, 1]), Reason::MartianSource),
        (from([224, 0, 0, 9]), Reason::MartianSource),
        (from([10, 1, 0, 1]), Reason::MartianSource),
        (to([127, 0, 0, 1]), Reason::MartianDestination),
        (to([245, 0, 0, 1]), Reason::MartianDestination),
        (to([255; 4]), Reason::LinkLocal),
        (to([239, 1, 2, 3]), Reason::Multicast),
        (to([10, 9, 0, 16]), Reason::NobodyHome),
        (summed(8, 1), Reason::TtlExpired),
        (summed(8, 0), Reason::TtlExpired),
        (to([11, 0, 0, 1]), Reason::NoRoute),
        (to([10, 9, 0, 10]), Reason::Blackhole),
        (to([10, 9, 0, 11]), Reason::Unreachable),
        (to([10, 9, 0, 12]), Reason::Prohibited),
        (to([10, 9, 0, 13]), Reason::NoRoute),
        (to([10, 9, 0, 14]), Reason::NoNeighbour),
        (v4(0, [10, 0, 0, 1], [10, 1, 0, 1], 64, 1473), Reason::NeedsFragmentation),
    ];
    for (frame, reason) in cases {
        refused(&mut rig, hop::IP4_ROUTE, &frame, reason);
    }
    // It may be control's own.
    refused(&mut rig, hop::PUNT, &to([169, 254, 0, 1]), Reason::LinkLocal);
    let good = v6(0, "fd00::1", "fd00:1::1", 64, 30);
    let edit = |at: usize, value: u8| {
        let mut frame = good.clone();
        frame[14 + at] = value;
        frame
    };
    let cases = [
        (edit(0, 0x45), Reason::IpHeader),
        (good[..50].to_vec(), Reason::IpHeader),
        (edit(4, 1), Reason::IpLength),
        (edit(7, 1), Reason::TtlExpired),
        (edit(7, 0), Reason::TtlExpired),
        (edit(8, 0xff), Reason::MartianSource),
        (v6(0, "fe80::1", "fd00:1::1", 64, 30), Reason::LinkLocal),
        (v6(0, "::1", "fd00:1::1", 64, 30), Reason::MartianSource),
        (v6(0, "fd00::1", "::", 64, 30), Reason::MartianDestination),
        (v6(0, "fd00::1", "fd55::", 64, 30), Reason::NoRoute),
        (v6(0, "fd00::1", "ff05::1", 64, 30), Reason::Multicast),
        (v6(0, "fd00::1", "fd09::10", 64, 30), Reason::Blackhole),
        (v6(0, "fd00::1", "fd00:1::1", 64, 1453), Reason::NeedsFragmentation),
    ];
    for (frame, reason) in cases {
        refused(&mut rig, hop::IP6_ROUTE, &frame, reason);
    }
    rig.snapshot.vrfs.clear();
    refused(&mut rig, hop::IP4_ROUTE, &v4(0, [10, 0, 0, 1], [10, 1, 0, 1], 64, 1), Reason::NoVrf);
}

/// The frame is dropped under the reason; its sender, behind interface 0, is told if that makes sense.
fn refused(rig: &mut Rig, node: Hop, frame: &[u8], reason: Reason) {
    let is_told = TOLD.contains(&reason);
    let node = match reason {
        _ if is_told => hop::ICMP_ERROR,
        Reason::NobodyHome | Reason::NoNeighbour => hop::PUNT,
        _ => node,
    };
    let before = (rig.drops(node, reason), rig.interface_drops(0));
    assert_eq!(rig.ports(0, frame), vec![0; usize::from(is_told)], "{reason:?}");
    let after = (rig.drops(node, reason), rig.interface_drops(0));
    assert_eq!(after, (before.0 + 1, before.1 + 1), "{reason:?}");
}

/// An ARP request or a neighbour solicitation that a host behind interface 0 sends to all.
fn question(version: IpVersion) -> Vec<u8> {
    let mut frame = vec![0; 128];
    let from = Mac(NEXT);
    let len = match version {
        IpVersion::V4 => {
            let ask = Arp::request(from, [10, 0, 0, 1], [10, 0, 255, 254]);
            ask.write(ask.destination(), &mut frame).expect("room")
        }
        IpVersion::V6 => {
            let [source, target] =
                ["fe80::1", "fd00::fffe"].map(|a| a.parse::<Ipv6Addr>().expect("an address"));
            let ask = ndp::Solicitation::ask(source.octets(), from, target.octets());
            let to = Mac::of_group_v6(&ask.destination);
            ethernet::write_header(&mut frame, to, from, ETHERTYPE_IPV6).expect("room");
            HEADER_LEN + ask.write(&mut frame[HEADER_LEN..]).expect("room")
        }
    };
    frame.truncate(len);
    frame
}

#[test]
fn control_gets_what_is_for_the_switch_or_for_a_neighbour_unknown() {
    let mut rig = router();
    let queue = Arc::new(ArrayQueue::new(8));
    rig.snapshot.punt = Some(Arc::clone(&queue));
    let host = [10, 0, 0, 1];
    let mut link_local = v6(0, "fe80::1", "fe80::2", 64, 8);
    link_local[..6].copy_from_slice(&mac(OWN, 0));
    for (frame, reason, tx) in [
        (question(IpVersion::V4), Reason::NotForUs, None),
        (question(IpVersion::V6), Reason::NotForUs, None),
        (link_local, Reason::LinkLocal, None),
        (v4(0, host, [10, 9, 0, 16], 1, 8), Reason::NobodyHome, None),
        (v4(0, host, [10, 9, 0, 14], 64, 8), Reason::NoNeighbour, Some((1, 14))),
        (v6(0, "fd00::1", "fd09::14", 64, 8), Reason::NoNeighbour, Some((1, 14))),
    ] {
        assert_eq!(rig.ports(0, &frame), [], "{reason:?}");
        let packet = queue.pop().unwrap_or_else(|| panic!("{reason:?}"));
        assert_eq!((packet.data(), packet.reason, packet.rx), (&frame[..], reason as u16, 0));
        assert!(tx.is_none_or(|tx| tx == (packet.tx, packet.aux)), "{reason:?}");
        rig.release(vec![packet]);
    }
    assert_eq!(rig.interface_drops(0), 0);
    // What a bridge floods to its routed leg and is for others is none of control's business.
    let mut other = v4(0, host, [10, 1, 0, 1], 64, 8);
    other[..6].copy_from_slice(&[0xff; 6]);
    refused(&mut rig, hop::IP4_ROUTE, &other, Reason::NotForUs);
}

#[test]
fn a_flood_for_the_switch_is_counted_and_leaves_room_for_others() {
    let mut rig = router();
    let queue = Arc::new(ArrayQueue::new(1 << 12));
    rig.snapshot.punt = Some(Arc::clone(&queue));
    let flood = v4(0, [10, 0, 0, 1], [10, 9, 0, 16], 64, 8);
    for _ in 0..10 {
        rig.send_all(0, &[(&flood[..], None); 250]);
    }
    let limited = rig.drops(hop::PUNT, Reason::PuntLimit);
    assert!(limited > 2000 && limited + queue.len() as u64 == 2500, "{limited} and {}", queue.len());
    let mut other = flood;
    other[11] ^= 0x55;
    let before = queue.len();
    rig.send(0, &other);
    assert_eq!(queue.len(), before + 1, "another sender has a share of its own");
    rig.snapshot.punt = Some(Arc::new(ArrayQueue::new(1)));
    rig.send_all(0, &[(&other[..], None); 3]);
    assert_eq!(rig.drops(hop::PUNT, Reason::PuntFull), 2);
    let full = rig.snapshot.punt.take().expect("set");
    rig.release(std::iter::from_fn(|| queue.pop().or_else(|| full.pop())).collect());
}

#[test]
fn nothing_is_routed_between_isolated_interfaces() {
    let mut rig = router();
    rig.snapshot.l2_out[0].zone = paceline_graph::Zone::new(0, true);
    rig.snapshot.l2_out[1].zone = paceline_graph::Zone::new(0, true);
    let frame = v4(0, [10, 0, 0, 1], [10, 1, 0, 1], 64, 8);
    refused(&mut rig, hop::IP4_ROUTE, &frame, Reason::SplitHorizon);
    let unknown = v4(0, [10, 0, 0, 1], [10, 9, 0, 14], 64, 8);
    refused(&mut rig, hop::IP4_ROUTE, &unknown, Reason::SplitHorizon);
    assert_eq!(rig.ports(0, &v4(0, [10, 0, 0, 1], [10, 2, 0, 1], 64, 8)), [2]);
    assert_eq!(rig.ports(2, &v4(2, [10, 0, 0, 1], [10, 1, 0, 1], 64, 8)), [1]);
}

#[test]
fn what_is_internal_reaches_open_interfaces_and_the_switch_alone() {
    let mut rig = router();
    let zone = paceline_graph::Zone::new(0, true);
    rig.snapshot.l2_out[0].zone = zone.internal();
    rig.snapshot.l2_out[2].zone = paceline_graph::Zone::default().open();
    refused(&mut rig, hop::IP4_ROUTE, &v4(0, [10, 0, 0, 1], [10, 1, 0, 1], 64, 8), Reason::SplitHorizon);
    assert_eq!(rig.ports(1, &v4(1, [10, 1, 0, 1], [10, 0, 0, 1], 64, 8)), []);
    assert_eq!(rig.drops(hop::IP4_ROUTE, Reason::SplitHorizon), 2, "nor the other way round");
    assert_eq!(rig.ports(0, &v4(0, [10, 0, 0, 1], [10, 2, 0, 1], 64, 8)), [2]);
    assert_eq!(rig.ports(2, &v4(2, [10, 2, 0, 1], [10, 0, 0, 1], 64, 8)), [0]);
    assert_eq!(rig.ports(1, &v4(1, [10, 1, 0, 1], [10, 2, 0, 1], 64, 8)), [2]);
    let queue = Arc::new(ArrayQueue::new(8));
    rig.snapshot.punt = Some(Arc::clone(&queue));
    rig.send(0, &v4(0, [10, 0, 0, 1], [10, 9, 0, 16], 64, 8));
    assert_eq!(queue.len(), 1, "the switch itself");
    rig.release(std::iter::from_fn(|| queue.pop()).collect());
}

#[test]
fn the_largest_packet_and_super_packets_pass() {
    let mut rig = router();
    assert_eq!(rig.ports(0, &v4(0, [10, 0, 0, 1], [10, 1, 0, 1], 64, 1472)), [1]);
    assert_eq!(rig.ports(0, &v6(0, "fd00::1", "fd00:1::1", 64, 1452)), [1]);
    let builder = PacketBuilder::ethernet2(mac(NEXT, 0), mac(OWN, 0)).ipv4([10, 0, 0, 1], [10, 1, 0, 1], 64);
    let mut frame = Vec::new();
    builder.tcp(1, 2, 3, 4).write(&mut frame, &vec![5; 30_000]).expect("written");
    let offload = VnetHdr {
        flags: VnetHdr::NEEDS_CSUM,
        gso_type: VnetHdr::GSO_TCPV4,
        hdr_len: 54,
        gso_size: 1460,
        csum_start: 34,
        csum_offset: 16,
    };
    let out = rig.send_offload(0, &frame, Some(offload));
    assert_eq!(out, [(1, routed(&frame, 1), Some(offload))]);
    let large = VnetHdr { gso_size: 1461, ..offload };
    assert_eq!(rig.send_offload(0, &frame, Some(large)).iter().map(|out| out.0).collect::<Vec<_>>(), [0]);
    // A sender that allows fragments would not heed what it is told.
    frame[20] &= !0x40;
    paceline_wire::ipv4::fill_checksum(&mut frame[14..34]);
    assert_eq!(rig.send_offload(0, &frame, Some(large)), []);
    assert_eq!(rig.drops(hop::IP4_ROUTE, Reason::TxTooLong), 1);
}

#[test]
fn senders_are_told_what_is_wrong_and_where() {
    let mut rig = router();
    let host = [10, 0, 0, 1];
    let long = v4(0, host, [10, 1, 0, 1], 64, 1473);
    for (frame, kind, code, mtu) in [
        (v4(0, host, [10, 1, 0, 1], 1, 30), 11, 0, 0),
        (v4(0, host, [11, 0, 0, 1], 64, 30), 3, 0, 0),
        (v4(0, host, [10, 9, 0, 11], 64, 30), 3, 1, 0),
        (v4(0, host, [10, 9, 0, 12], 64, 30), 3, 13, 0),
        (long, 3, 4, 1500),
        // Were it shorter, it would come no further.
        (v4(0, host, [10, 1, 0, 1], 1, 1473), 11, 0, 0),
    ] {
        let out = rig.send(0, &frame);
        let [(0, message)] = &out[..] else { panic!("{out:?}") };
        assert_eq!(&message[..12], &[mac(NEXT, 0), mac(OWN, 0)].concat()[..]);
        let parsed = SlicedPacket::from_ethernet(message).expect("a packet");
        let Some(NetSlice::Ipv4(ip)) = parsed.net else { panic!("not IPv4") };
        assert_eq!((ip.header().source(), ip.header().destination()), ([10, 0, 255, 254], host));
        assert_eq!(ip.header().ttl(), 64, "the first router on its way is another one");
        let icmp = &message[34..];
        assert_eq!((icmp[0], icmp[1], u16::from_be_bytes([icmp[6], icmp[7]])), (kind, code, mtu));
        assert_eq!(&icmp[8..], &frame[14..][..icmp.len() - 8], "the packet as it came");
        assert_eq!(message.len(), frame.len().min(562) + 28);
    }
    for (frame, kind, code, mtu) in [
        (v6(0, "fd00::1", "fd00:1::1", 1, 30), 3, 0, 0),
        (v6(0, "fd00::1", "fd55::1", 64, 30), 1, 0, 0),
        (v6(0, "fd00::1", "fd00:1::1", 64, 1453), 2, 0, 1500),
        (v6(0, "fd00::1", "fd00:1::1", 1, 1453), 3, 0, 0),
    ] {
        let out = rig.send(0, &frame);
        let [(0, message)] = &out[..] else { panic!("{out:?}") };
        let parsed = SlicedPacket::from_ethernet(message).expect("a packet");
        let Some(NetSlice::Ipv6(ip)) = parsed.net else { panic!("not IPv6") };
        assert_eq!(ip.header().source_addr(), "fd00::fffe".parse::<Ipv6Addr>().expect("an address"));
        assert_eq!(ip.header().hop_limit(), 64);
        let icmp = &message[54..];
        assert_eq!((icmp[0], icmp[1], u16::from_be_bytes([icmp[6], icmp[7]])), (kind, code, mtu));
    }
}

#[test]
fn the_switch_is_told_about_its_own_packets() {
    let mut rig = router();
    let punt = Arc::new(ArrayQueue::new(8));
    rig.snapshot.punt = Some(Arc::clone(&punt));
    let (v4, v6) = (v4(0, [10, 0, 255, 254], [11, 0, 0, 1], 64, 30), v6(0, "fd00::fffe", "fd55::1", 64, 30));
    for (frame, kind, at) in [(v4, 3, 34), (v6, 1, 54)] {
        assert_eq!(rig.ports(0, &frame), []);
        let packet = punt.pop().expect("told");
        assert_eq!((packet.reason, packet.data()[at]), (Reason::NobodyHome as u16, kind));
        rig.release(vec![packet]);
    }
}

#[test]
fn a_flood_that_cannot_be_routed_gets_few_answers() {
    let mut rig = router();
    let frame = v4(0, [10, 0, 0, 1], [11, 0, 0, 1], 64, 30);
    let start = std::time::Instant::now();
    let told: u128 = (0..200).map(|_| rig.ports(0, &frame).len() as u128).sum();
    assert!((50..=52 + start.elapsed().as_millis()).contains(&told), "{told}");
    assert_eq!(rig.drops(hop::ICMP_ERROR, Reason::NoRoute), 200);
    rig.interface(0, Features { routed: true, ..Features::default() }, |i| {
        i.l3 = Some(L3 { mac: Mac(OWN), address4: None, address6: None, mtu: 1500 });
    });
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(rig.ports(0, &frame), [0_u16; 0], "without an address there is nobody to speak");
}

#[test]
fn what_is_too_long_is_cut_if_it_may_be() {
    let mut rig = router();
    for payload in [1473, 3000, 4000, 9000, 40_000] {
        let mut frame = v4(0, [10, 0, 0, 1], [10, 1, 0, 1], 64, payload);
        frame[20] &= !0x40;
        paceline_wire::ipv4::fill_checksum(&mut frame[14..34]);
        let out = rig.send(0, &frame);
        assert_eq!(out.len(), (payload + 8).div_ceil(1480), "{payload}");
        let mut whole = Vec::new();
        for (number, (port, fragment)) in out.iter().enumerate() {
            assert_eq!((*port, &fragment[..12]), (1, &[mac(NEXT, 1), mac(OWN, 1)].concat()[..]));
            let parsed = SlicedPacket::from_ethernet(fragment).expect("a packet");
            let Some(NetSlice::Ipv4(ip)) = parsed.net else { panic!("not IPv4") };
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert_eq!((header.time_to_live, header.more_fragments), (63, number + 1 < out.len()));
            assert_eq!(usize::from(header.fragment_offset.value()) * 8, whole.len());
            assert!(fragment.len() <= 1514);
            whole.extend_from_slice(&fragment[34..]);
        }
        assert!(whole == frame[34..], "{payload}");
    }
    // With a checksum that is still to be filled in, as a container's stack leaves it.
    let mut frame = v4(0, [10, 0, 0, 1], [10, 1, 0, 1], 64, 2000);
    frame[20] &= !0x40;
    paceline_wire::ipv4::fill_checksum(&mut frame[14..34]);
    let right = [frame[40], frame[41]];
    let pseudo = paceline_wire::checksum::pseudo_v4([10, 0, 0, 1], [10, 1, 0, 1], 17, 2008).partial();
    frame[40..42].copy_from_slice(&pseudo.to_be_bytes());
    let offload =
        VnetHdr { flags: VnetHdr::NEEDS_CSUM, csum_start: 34, csum_offset: 6, ..VnetHdr::default() };
    let out = rig.send_offload(0, &frame, Some(offload));
    assert_eq!((out.len(), out[0].2, [out[0].1[40], out[0].1[41]]), (2, None, right));
    // Without buffers for all of them none is sent.
    let held = rig.hold_all_but(3);
    let mut frame = v4(0, [10, 0, 0, 1], [10, 1, 0, 1], 64, 5000);
    frame[20] &= !0x40;
    paceline_wire::ipv4::fill_checksum(&mut frame[14..34]);
    assert_eq!(rig.ports(0, &frame), [0_u16; 0]);
    assert_eq!(rig.drops(hop::IP4_FRAGMENT, Reason::NoBuffers), 1);
    rig.release(held);
}

#[test]
fn flows_are_spread_and_stay_together() {
    let mut rig = router();
    let mut counts = [0; 3];
    for source in 1..=240 {
        let frame = v4(0, [10, 0, 0, source], [10, 9, 0, 15], 64, 30);
        let ports = rig.ports(0, &frame);
        assert_eq!(rig.ports(0, &frame), ports);
        counts[usize::from(ports[0])] += 1;
    }
    assert!(counts.iter().all(|count| (40..=120).contains(count)), "{counts:?}");
}

#[test]
fn a_trace_says_it_in_words() {
    let mut rig = router();
    rig.graph.trace().add(2, None);
    rig.ports(0, &v4(0, [10, 0, 0, 1], [10, 1, 0, 1], 64, 30));
    rig.ports(0, &v6(0, "fd00::1", "fd00:2::1", 64, 30));
    let records = rig.graph.trace().records();
    assert_eq!(records[0].text, "ip4-route: main: 10.1.0.1 by adjacency 2 on p1\n");
    assert_eq!(records[1].text, "ip4-route: not IPv4\nip6-route: main: fd00:2::1 by adjacency 6 on p2\n");
}

proptest! {
    /// Whatever comes in, what comes out is a sound packet for one of the next hops.
    #[test]
    fn random_and_nearly_right_packets_harm_nobody(
        base in 0..2_u8,
        destination in any::<[u8; 4]>(),
        edits in proptest::collection::vec((0..80_usize, any::<u8>()), 0..4),
        len in 0..120_usize,
    ) {
        let mut rig = router();
        let mut frame = if base == 0 {
            v4(0, [10, 0, 0, 1], [10, destination[1] % 4, destination[2], destination[3]], 64, 60)
        } else {
            v6(0, "fd00::1", &format!("fd00:{}::{:x}", destination[0] % 4, destination[1]), 64, 60)
        };
        for (at, value) in edits {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        frame.truncate(len);
        for (port, out) in rig.send(0, &frame) {
            prop_assert_eq!(&out[..12], &[mac(NEXT, port), mac(OWN, port)].concat()[..]);
            let is_message = out[23] == 1 || out[20] == 58;
            prop_assert!(is_message || out.len() == frame.len());
            let parsed = SlicedPacket::from_ethernet(&out);
            if let Ok(parsed) = parsed {
                match parsed.net {
                    Some(NetSlice::Ipv4(ip)) => {
                        let header = ip.header().to_header();
                        prop_assert_eq!(header.header_checksum, header.calc_header_checksum());
                        let network = Ipv4Addr::from(header.destination).octets();
                        prop_assert!(network[0] == 10);
                    }
                    Some(NetSlice::Ipv6(ip)) => prop_assert!(ip.header().hop_limit() > 0),
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }
}
