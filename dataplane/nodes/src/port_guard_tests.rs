//! Frames of a host that may be 02:00:00:00:00:01, 10.0.0.1, 10.0.1.0/24 and fd00::1; and the other small features of filters.

use std::sync::Arc;

use etherparse::PacketBuilder;
use paceline_graph::Capabilities;
use paceline_graph::filter::{Filter, GuardSpec, Policer, PolicerSpec, StormSpec, policers};
use paceline_wire::ndp::{Advertisement, Solicitation};
use proptest::prelude::*;

use super::*;
use crate::testing::{Rig, frame, tagged};
use crate::{Features, hop};

const OWN: Mac = Mac(0x0200_0000_0001);
const OTHER: Mac = Mac(0x0200_0000_0009);

fn rig(features: Features, filter: Filter) -> Rig {
    let mut rig = Rig::bridge(3);
    let features = Features { capabilities: Capabilities::ALL, ..features };
    rig.interface(0, features, |interface| interface.filter = Some(Arc::new(filter)));
    rig.snapshot.bridges[0].members = vec![0, 1];
    rig
}

fn guarded(router: bool) -> Rig {
    let addresses = ["10.0.0.1/32", "10.0.1.0/24", "fd00::1/128"].map(|net| net.parse().expect("a network"));
    let spec = GuardSpec { macs: vec![OWN], addresses: addresses.to_vec(), router };
    let guard = Some(Arc::new(Guard::new(&spec).expect("few addresses")));
    rig(Features { guard: true, ..Features::default() }, Filter { guard, ..Filter::default() })
}

fn v4(mac: Mac, source: [u8; 4], port: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(mac.octets(), [2, 0, 0, 0, 0, 2]).ipv4(source, [10, 0, 0, 2], 9);
    builder.udp(68, port).write(&mut frame, &[7; 20]).expect("written");
    frame
}

fn ipv6(text: &str) -> [u8; 16] {
    text.parse::<Ipv6Addr>().expect("an address").octets()
}

fn v6(source: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder =
        PacketBuilder::ethernet2(OWN.octets(), [2, 0, 0, 0, 0, 2]).ipv6(ipv6(source), ipv6("fd00::2"), 9);
    builder.tcp(68, 5, 1, 1).write(&mut frame, &[7; 20]).expect("written");
    frame
}

fn arp(source: Mac, arp: Arp) -> Vec<u8> {
    let mut frame = vec![0; paceline_wire::arp::FRAME_LEN];
    arp.write(Mac::BROADCAST, &mut frame).expect("room");
    frame[6..12].copy_from_slice(&source.octets());
    frame
}

/// The frame with some tags that only give a priority.
fn stacked(frame: &[u8], tags: usize) -> Vec<u8> {
    (0..tags).fold(frame.to_vec(), |frame, _| tagged(&frame, 0x8100, 0x2000))
}

/// A message of neighbour discovery in a frame of the host's.
fn discovery(write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut packet = vec![0; 200];
    let len = write(&mut packet).expect("room");
    [&[2, 0, 0, 0, 0, 2][..], &OWN.octets(), &[0x86, 0xdd], &packet[..len]].concat()
}

#[test]
fn only_own_addresses_are_used() {
    let mut rig = guarded(false);
    for fine in [
        frame(1, 255, 64),
        v4(OWN, [10, 0, 0, 1], 5),
        v4(OWN, [10, 0, 1, 77], 5),
        v4(OWN, [0; 4], 67),
        v6("fd00::1"),
        v6("fe80::ff:fe00:1"),
        tagged(&v4(OWN, [10, 0, 0, 1], 5), 0x8100, 5),
    ] {
        assert_eq!(rig.ports(0, &fine), [1], "{fine:?}");
    }
    for (reason, count, wrong) in [
        (Reason::GuardMac, 1, v4(OTHER, [10, 0, 0, 1], 5)),
        (Reason::GuardMac, 2, frame(2, 255, 64)),
        (Reason::GuardAddress, 1, v4(OWN, [10, 0, 0, 2], 5)),
        (Reason::GuardAddress, 2, v4(OWN, [0; 4], 68)),
        (Reason::GuardAddress, 3, v6("fd00::2")),
        (Reason::GuardAddress, 4, v6("::")),
        (Reason::GuardAddress, 5, v6("fe80::77")),
        (Reason::GuardAddress, 6, v6("febf::ff:fe00:1")),
        (Reason::GuardAddress, 7, tagged(&v4(OWN, [10, 0, 0, 2], 5), 0x8100, 5)),
        (Reason::GuardAddress, 8, stacked(&v4(OWN, [10, 0, 0, 2], 5), 2)),
        (Reason::GuardTags, 1, stacked(&v4(OWN, [10, 0, 0, 2], 5), 3)),
        (Reason::GuardTags, 2, stacked(&arp(OWN, Arp::announcement(OWN, [10, 0, 0, 2])), 9)),
        (Reason::IpHeader, 1, v4(OWN, [10, 0, 0, 1], 5)[..30].to_vec()),
    ] {
        assert_eq!(rig.ports(0, &wrong), [], "{wrong:?}");
        assert_eq!(rig.drops(hop::PORT_GUARD, reason), count, "{wrong:?}");
    }
    assert_eq!(rig.ports(1, &v4(OTHER, [9, 9, 9, 9], 5)), [0], "what comes from elsewhere is free");
}

#[test]
fn only_own_addresses_are_claimed_in_arp() {
    let mut rig = guarded(false);
    let tells = |mac, address| Arp::announcement(mac, address);
    assert_eq!(rig.ports(0, &arp(OWN, tells(OWN, [10, 0, 0, 1]))), [1]);
    let probe = |target| Arp { sender: [0; 4], target, ..tells(OWN, [10, 0, 0, 1]) };
    assert_eq!(rig.ports(0, &arp(OWN, probe([10, 0, 1, 9]))), [1]);
    let mut broken = arp(OWN, tells(OWN, [10, 0, 0, 1]));
    broken[15] = 7;
    for wrong in [
        arp(OWN, tells(OWN, [10, 0, 0, 2])),
        arp(OWN, tells(OTHER, [10, 0, 0, 1])),
        arp(OWN, probe([10, 0, 0, 2])),
        broken,
    ] {
        assert_eq!(rig.ports(0, &wrong), [], "{wrong:?}");
    }
    assert_eq!(rig.drops(hop::PORT_GUARD, Reason::GuardClaim), 4);
}

#[test]
fn only_own_addresses_are_claimed_in_neighbour_discovery() {
    let mut rig = guarded(false);
    let asks = |source: &str, mac| Solicitation::ask(ipv6(source), mac, ipv6("fd00::2"));
    let tells =
        |target: &str, mac| Solicitation::ask(ipv6("fd00::2"), OTHER, ipv6(target)).answer(mac, false);
    let solicitation = |message: Solicitation| discovery(|out| message.write(out));
    let probe = |target: &str| Solicitation::probe(ipv6(target));
    let advertisement = |message: Advertisement| discovery(|out| message.write(out));
    for fine in [
        solicitation(asks("fd00::1", OWN)),
        solicitation(asks("fe80::ff:fe00:1", OWN)),
        solicitation(probe("fe80::ff:fe00:1")),
        advertisement(tells("fd00::1", OWN)),
        advertisement(tells("fe80::ff:fe00:1", OWN)),
    ] {
        assert_eq!(rig.ports(0, &fine), [1], "{fine:?}");
    }
    for (count, wrong) in [
        (1, solicitation(asks("fd00::1", OTHER))),
        (2, advertisement(Advertisement { source: ipv6("fd00::1"), ..tells("fd00::2", OWN) })),
        (3, advertisement(tells("fd00::1", OTHER))),
    ] {
        assert_eq!(rig.ports(0, &wrong), [], "{wrong:?}");
        assert_eq!(rig.drops(hop::PORT_GUARD, Reason::GuardClaim), count, "{wrong:?}");
    }
    // The gateway's link-local address, which the switch makes of a MAC address of its own, is as much another one's.
    let gateway = OTHER.link_local();
    let tells = |source: &str| Advertisement { source: ipv6(source), ..tells(&gateway.to_string(), OWN) };
    for (count, wrong) in [
        (4, advertisement(tells("fd00::1"))),
        (5, advertisement(tells("fe80::ff:fe00:1"))),
        (6, solicitation(probe(&gateway.to_string()))),
    ] {
        assert_eq!(rig.ports(0, &wrong), [], "{wrong:?}");
        assert_eq!(rig.drops(hop::PORT_GUARD, Reason::GuardClaim), count, "{wrong:?}");
    }
    let from_gateway = solicitation(asks(&gateway.to_string(), OWN));
    assert_eq!((rig.ports(0, &from_gateway), rig.drops(hop::PORT_GUARD, Reason::GuardAddress)), (vec![], 1));
    let mut redirect = v6("fe80::ff:fe00:1");
    (redirect[20], redirect[54]) = (58, 137);
    assert_eq!(rig.ports(0, &redirect), []);
    assert_eq!(guarded(true).ports(0, &redirect), [1]);
}

#[test]
fn rates_are_kept_in_both_directions() {
    let policer = || Some(Arc::new(Policer::new(PolicerSpec { rate: 8000, burst: 1514 })));
    let features = Features { police_input: true, police_output: true, ..Features::default() };
    let mut rig = rig(features, Filter { policers: [policer(), policer()], ..Filter::default() });
    for (sender, node) in [(0, hop::POLICE_INPUT), (1, hop::POLICE_OUTPUT)] {
        let passed =
            (0..40).filter(|_| !rig.ports(sender, &frame(sender as u8 + 1, 255, 100)).is_empty()).count();
        assert!((15..40).contains(&passed), "{passed}");
        assert_eq!(rig.drops(node, Reason::Policed), 40 - passed as u64);
    }
}

#[test]
fn storms_are_kept_out_each_kind_by_itself() {
    let spec = StormSpec { broadcast: Some(20), multicast: None, unknown: Some(10) };
    let storm = Some(Arc::new(policers::storm(spec)));
    let mut rig = rig(Features { storm: true, ..Features::default() }, Filter { storm, ..Filter::default() });
    // A known station, which is not limited.
    rig.ports(1, &frame(7, 255, 64));
    let mut count = |bytes: &[u8]| (0..50).filter(|_| !rig.ports(0, bytes).is_empty()).count();
    let mut multicast = frame(1, 255, 64);
    multicast[..6].copy_from_slice(&[1, 0, 0x5e, 0, 0, 1]);
    assert_eq!((count(&frame(1, 7, 64)), count(&multicast)), (50, 50));
    let (broadcasts, unknown) = (count(&frame(1, 255, 64)), count(&frame(1, 8, 64)));
    assert!((2..50).contains(&broadcasts) && (1..50).contains(&unknown), "{broadcasts} {unknown}");
    assert_eq!(rig.drops(hop::STORM_CONTROL, Reason::Storm), 100 - (broadcasts + unknown) as u64);
}

#[test]
fn packets_are_marked_and_copied() {
    let features = Features { dscp: true, mirror: true, ..Features::default() };
    let mut rig = rig(features, Filter { dscp: Some(10), mirror: Some(2), ..Filter::default() });
    let sent = v4(OWN, [10, 0, 0, 1], 5);
    let out = rig.send(0, &sent);
    assert_eq!((out[0].0, out[0].1[15], &out[1]), (1, 40, &(2, sent.clone())));
    assert_eq!(paceline_wire::checksum::Sum::of(&out[0].1[14..34]).finish(), 0);
    assert_eq!(rig.send(1, &frame(2, 1, 64)), [(0, frame(2, 1, 64)), (2, frame(2, 1, 64))]);
    // Without a buffer only the copy is lost.
    let held = rig.hold_all_but(1);
    assert_eq!(rig.ports(0, &sent), [1]);
    rig.release(held);
    assert_eq!(rig.drops(hop::MIRROR_INPUT, Reason::NoBuffers), 1);
}

proptest! {
    /// Any bytes harm nobody, and what passes is as it was.
    #[test]
    fn random_and_nearly_right_frames(
        frames in proptest::collection::vec((
            0..5_usize,
            proptest::collection::vec((0..100_usize, any::<u8>()), 0..5),
            0..120_usize,
        ), 1..30),
    ) {
        let mut rig = guarded(false);
        let asks = Solicitation::ask(ipv6("fd00::1"), OWN, ipv6("fd00::2"));
        let seeds = [
            v4(OWN, [10, 0, 0, 1], 5),
            v6("fd00::1"),
            arp(OWN, Arp::announcement(OWN, [10, 0, 0, 1])),
            discovery(|out| asks.write(out)),
            tagged(&v4(OWN, [10, 0, 0, 1], 5), 0x8100, 5),
        ];
        for (seed, edits, len) in frames {
            let mut frame = seeds[seed].clone();
            for (at, value) in edits {
                if let Some(byte) = frame.get_mut(at) {
                    *byte = value;
                }
            }
            frame.truncate(len);
            for (_, out) in rig.send(0, &frame) {
                prop_assert_eq!(&out, &frame);
                prop_assert_eq!(&out[6..12], &OWN.octets()[..]);
            }
        }
    }
}
