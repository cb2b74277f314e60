//! What is built is read by `etherparse`.

use etherparse::{Icmpv6Slice, Icmpv6Type, PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;

const HOST: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const OTHER: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const ROUTER: [u8; 16] = [0xfd; 16];
const GROUP: [u8; 16] = [0xff, 0xe, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

fn udp(payload: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    let step = PacketBuilder::ipv6(HOST, OTHER, 1).udp(1000, 33434);
    step.write(&mut packet, &vec![7; payload]).expect("it fits");
    packet
}

fn echo(destination: [u8; 16]) -> Vec<u8> {
    let mut packet = Vec::new();
    let step = PacketBuilder::ipv6(HOST, destination, 3).icmpv6_echo_request(77, 5);
    step.write(&mut packet, b"data").expect("it fits");
    packet
}

/// Whether checksum and length are right, and the message.
fn check(packet: &[u8]) -> Icmpv6Type {
    let sliced = SlicedPacket::from_ip(packet).expect("a packet");
    let header = Ipv6Header::read(packet).expect("a header");
    assert_eq!(header.payload_len(packet.len()), Some(packet.len() - 40));
    let Some(TransportSlice::Icmpv6(message)) = sliced.transport else { panic!("ICMPv6") };
    let message: Icmpv6Slice<'_> = message;
    assert!(message.is_checksum_valid(header.source, header.destination));
    message.icmp_type()
}

fn error(packet: &[u8], problem: Problem) -> Option<Vec<u8>> {
    let mut out = [0xee; 2000];
    let len = write_error(packet, problem, &ROUTER, &mut out)?;
    assert_eq!(out[len], 0xee);
    Some(out[..len].to_vec())
}

#[test]
fn each_problem_has_its_type_and_code() {
    let packet = udp(8);
    for (problem, kind, code, rest) in [
        (Problem::NoRoute, 1, 0, 0_u32),
        (Problem::AdminProhibited, 1, 1, 0),
        (Problem::BeyondScope, 1, 2, 0),
        (Problem::AddressUnreachable, 1, 3, 0),
        (Problem::PortUnreachable, 1, 4, 0),
        (Problem::TooBig { mtu: 1400 }, 2, 0, 1400),
        (Problem::HopLimitExceeded, 3, 0, 0),
        (Problem::ReassemblyExceeded, 3, 1, 0),
        (Problem::HeaderField { pointer: 7 }, 4, 0, 7),
        (Problem::NextHeader { pointer: 6 }, 4, 1, 6),
        (Problem::UnknownOption { pointer: 42 }, 4, 2, 42),
    ] {
        let sent = error(&packet, problem).expect("an answer");
        check(&sent);
        assert_eq!((sent[40], sent[41], &sent[44..48]), (kind, code, &rest.to_be_bytes()[..]), "{problem:?}");
        assert_eq!((&sent[8..24], &sent[24..40], sent[7]), (&ROUTER[..], &HOST[..], 64));
        assert_eq!(sent[48..], packet);
        assert_eq!(quoted(&sent), Some((40, 48)));
    }
    let sent = error(&packet, Problem::TooBig { mtu: 1400 }).expect("an answer");
    assert_eq!(check(&sent), Icmpv6Type::PacketTooBig { mtu: 1400 });
}

#[test]
fn no_more_is_quoted_than_every_link_can_carry() {
    let packet = udp(1400);
    let sent = error(&packet, Problem::HopLimitExceeded).expect("an answer");
    assert_eq!((sent.len(), &sent[48..]), (1280, &packet[..1232]));
    let padded = [&udp(0)[..], &[0; 18]].concat();
    assert_eq!(error(&padded, Problem::HopLimitExceeded).map(|s| s.len()), Some(48 + 48));
    assert_eq!(write_error(&packet, Problem::NoRoute, &ROUTER, &mut [0; 95]), None);
    assert_eq!(write_error(&packet, Problem::NoRoute, &ROUTER, &mut [0; 96]), Some(96));
    assert_eq!(write_error(&packet, Problem::NoRoute, &ROUTER, &mut []), None);
}

#[test]
fn not_everything_may_be_answered() {
    let with = |at: usize, bytes: &[u8]| {
        let mut packet = udp(8);
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        packet
    };
    let problem = Problem::NoRoute;
    assert!(may_answer(&udp(8), problem) && may_answer(&echo(OTHER), problem));
    assert!(!may_answer(&with(24, &GROUP), problem), "to a group");
    assert!(may_answer(&with(24, &GROUP), Problem::TooBig { mtu: 1280 }));
    assert!(may_answer(&with(24, &GROUP), Problem::UnknownOption { pointer: 40 }));
    for source in [[0; 16], GROUP, OTHER, 1_u128.to_be_bytes()] {
        assert!(!may_answer(&with(8, &source), problem), "from {source:?}");
    }
    let mut packet = echo(OTHER);
    for kind in [1, 2, 3, 4, 100, 127, 137] {
        packet[40] = kind;
        assert!(!may_answer(&packet, problem), "ICMPv6 type {kind}");
    }
    packet[40] = 135;
    assert!(may_answer(&packet, problem));
    assert!(!may_answer(&packet[..40], problem), "a type that is not there");
    // The middle of a message whose type is not known, and of one that has none.
    for (protocol, answered) in [(58, false), (17, true)] {
        let mut later = [&udp(0)[..40], &[protocol, 0, 0, 8, 0, 0, 0, 1], &[0; 8]].concat();
        later[6] = 44;
        assert_eq!(may_answer(&later, problem), answered, "protocol {protocol}");
    }
}

#[test]
fn a_request_becomes_its_reply() {
    for (asked, from) in [(OTHER, OTHER), (GROUP, ROUTER)] {
        let mut packet = echo(asked);
        assert!(echo_reply(&mut packet, &ROUTER));
        let Icmpv6Type::EchoReply(header) = check(&packet) else { panic!("a reply") };
        assert_eq!((header.id, header.seq, &packet[48..], packet[7]), (77, 5, &b"data"[..], 64));
        assert_eq!((&packet[8..24], &packet[24..40]), (&from[..], &HOST[..]));
        assert!(!echo_reply(&mut packet, &ROUTER), "a reply is not answered");
    }
}

#[test]
fn what_is_no_request_stays_as_it_is() {
    for (at, value) in [(40, 130), (41, 1), (6, 17), (8, 0xff), (0, 0x45)] {
        let mut packet = echo(OTHER);
        packet[at] = value;
        let before = packet.clone();
        assert!(!echo_reply(&mut packet, &ROUTER), "byte {at}: {value}");
        assert_eq!(packet, before);
    }
    let mut packet = echo(OTHER);
    packet[8..24].fill(0);
    assert!(!echo_reply(&mut packet, &ROUTER), "from nobody");
}

proptest! {
    #[test]
    fn any_packet_is_answered_well_or_not_at_all(
        edits in prop::collection::vec((0_usize..60, any::<u8>()), 0..4),
        len in 0_usize..1500,
        room in 0_usize..1500,
    ) {
        let mut packet = udp(1500);
        for (at, value) in edits {
            packet[at] = value;
        }
        let mut out = vec![0; room];
        if let Some(len) = write_error(&packet[..len], Problem::HopLimitExceeded, &ROUTER, &mut out) {
            prop_assert!(len <= 1280);
            check(&out[..len]);
            prop_assert!(quoted(&out[..len]).is_some());
            prop_assert!(!may_answer(&out[..len], Problem::HopLimitExceeded));
        }
    }
}
