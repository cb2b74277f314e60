//! What is built is read by `etherparse`.

use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{Icmpv4Slice, Icmpv4Type, Ipv4HeaderSlice, PacketBuilder};
use proptest::prelude::*;

use super::*;
use crate::ipv4::fill_checksum;

const HOST: [u8; 4] = [10, 0, 0, 1];
const OTHER: [u8; 4] = [192, 0, 2, 1];
const ROUTER: [u8; 4] = [10, 0, 0, 254];

fn udp(payload: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    let step = PacketBuilder::ipv4(HOST, OTHER, 1).udp(1000, 33434);
    step.write(&mut packet, &vec![7; payload]).expect("it fits");
    packet
}

fn echo(payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let step = PacketBuilder::ipv4(HOST, OTHER, 3).icmpv4_echo_request(77, 5);
    step.write(&mut packet, payload).expect("it fits");
    packet
}

/// Whether checksums and lengths are right, and the message.
fn check(packet: &[u8]) -> Icmpv4Type {
    let header = Ipv4HeaderSlice::from_slice(packet).expect("a header").to_header();
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    assert_eq!(header.total_len as usize, packet.len());
    assert_eq!((header.time_to_live, header.protocol.0), (64, 1));
    let message = Icmpv4Slice::from_slice(&packet[header.header_len()..]).expect("a message");
    assert!(Sum::of(message.slice()).finish() == 0);
    message.icmp_type()
}

fn error(packet: &[u8], problem: Problem) -> Option<Vec<u8>> {
    let mut out = [0xee; 2000];
    let len = write_error(packet, problem, ROUTER, &mut out)?;
    assert_eq!(out[len], 0xee);
    Some(out[..len].to_vec())
}

#[test]
fn each_problem_has_its_type_and_code() {
    let packet = udp(8);
    for (problem, kind, code, rest) in [
        (Problem::NetUnreachable, 3, 0, [0; 4]),
        (Problem::HostUnreachable, 3, 1, [0; 4]),
        (Problem::ProtocolUnreachable, 3, 2, [0; 4]),
        (Problem::PortUnreachable, 3, 3, [0; 4]),
        (Problem::FragmentationNeeded { mtu: 1400 }, 3, 4, [0, 0, 5, 0x78]),
        (Problem::AdminProhibited, 3, 13, [0; 4]),
        (Problem::TtlExceeded, 11, 0, [0; 4]),
        (Problem::ReassemblyExceeded, 11, 1, [0; 4]),
        (Problem::Parameter { pointer: 9 }, 12, 0, [9, 0, 0, 0]),
    ] {
        let sent = error(&packet, problem).expect("an answer");
        check(&sent);
        assert_eq!((sent[20], sent[21], &sent[24..28]), (kind, code, &rest[..]), "{problem:?}");
        assert_eq!((&sent[12..16], &sent[16..20], sent[1]), (&ROUTER[..], &HOST[..], 0xc0));
        assert_eq!(sent[28..], packet, "all of a short packet is quoted");
    }
    let sent = error(&packet, Problem::FragmentationNeeded { mtu: 1400 }).expect("an answer");
    let header = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1400 };
    assert_eq!(check(&sent), Icmpv4Type::DestinationUnreachable(header));
}

#[test]
fn no_more_is_quoted_than_every_host_can_take() {
    let packet = udp(1400);
    let sent = error(&packet, Problem::TtlExceeded).expect("an answer");
    assert_eq!((sent.len(), &sent[28..]), (576, &packet[..548]));
    // Padding is not quoted, and the head of a longer chain is enough.
    let padded = [&udp(0)[..], &[0; 18]].concat();
    assert_eq!(error(&padded, Problem::TtlExceeded).map(|s| s.len()), Some(28 + 28));
    assert_eq!(error(&packet[..100], Problem::TtlExceeded).map(|s| s.len()), Some(128));
    // The least quote is the header and 8 bytes.
    assert_eq!(write_error(&packet, Problem::TtlExceeded, ROUTER, &mut [0; 55]), None);
    assert_eq!(write_error(&packet, Problem::TtlExceeded, ROUTER, &mut [0; 56]), Some(56));
    assert_eq!(write_error(&packet, Problem::TtlExceeded, ROUTER, &mut []), None);
}

#[test]
fn not_everything_may_be_answered() {
    let with = |at: usize, bytes: &[u8]| {
        let mut packet = udp(8);
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        packet
    };
    assert!(may_answer(&udp(8)) && may_answer(&echo(&[])));
    assert!(may_answer(&with(6, &[0x20, 0])), "a first part");
    assert!(!may_answer(&with(6, &[0, 1])), "a later part");
    for address in [[224, 0, 0, 1], [239, 1, 1, 1], [255; 4], [240, 0, 0, 1], [127, 0, 0, 1]] {
        assert!(!may_answer(&with(16, &address)), "to {address:?}");
        assert!(!may_answer(&with(12, &address)), "from {address:?}");
    }
    assert!(!may_answer(&with(12, &[0; 4])));
    assert!(!may_answer(&with(12, &OTHER)), "from itself");
    let mut packet = echo(&[]);
    for kind in [3, 4, 5, 11, 12, 40] {
        packet[20] = kind;
        assert!(!may_answer(&packet), "ICMP type {kind}");
    }
    packet[20] = 8;
    assert!(!may_answer(&packet[..20]), "a type that is not there");
    let sent = error(&udp(8), Problem::TtlExceeded).expect("an answer");
    assert_eq!(error(&sent, Problem::TtlExceeded), None);
}

#[test]
fn a_request_becomes_its_reply() {
    let mut packet = echo(b"data");
    assert!(echo_reply(&mut packet));
    let Icmpv4Type::EchoReply(header) = check(&packet) else { panic!("a reply") };
    assert_eq!((header.id, header.seq, &packet[28..]), (77, 5, &b"data"[..]));
    assert_eq!((&packet[12..16], &packet[16..20]), (&OTHER[..], &HOST[..]));
    assert!(!echo_reply(&mut packet), "a reply is not answered");
}

#[test]
fn options_are_not_sent_back() {
    let mut packet = echo(b"data");
    packet[0] = 0x47;
    packet[3] += 8;
    packet.splice(20..20, [0x83, 7, 4, 1, 2, 3, 4, 0]);
    fill_checksum(&mut packet[..28]);
    assert!(echo_reply(&mut packet));
    check(&packet);
    assert_eq!(packet[20..28], [0; 8]);
}

#[test]
fn what_is_no_request_stays_as_it_is() {
    for (at, value) in
        [(20, 13), (21, 1), (6, 0x20), (7, 1), (9, 17), (12, 224), (16, 255), (16, 224), (0, 0x65)]
    {
        let mut packet = echo(b"data");
        packet[at] = value;
        let before = packet.clone();
        assert!(!echo_reply(&mut packet), "byte {at}: {value}");
        assert_eq!(packet, before);
    }
}

#[test]
fn a_quote_is_found_in_an_error_alone() {
    let sent = error(&udp(8), Problem::HostUnreachable).expect("an answer");
    assert_eq!(quoted(&sent), Some((20, 28)));
    assert_eq!(quoted(&sent[..48]), Some((20, 28)));
    assert_eq!(quoted(&sent[..47]), None);
    assert_eq!(quoted(&echo(&udp(8))), None);
    let mut fragment = sent;
    fragment[6] = 0x20;
    assert_eq!(quoted(&fragment), None);
}

proptest! {
    #[test]
    fn any_packet_is_answered_well_or_not_at_all(
        edits in prop::collection::vec((0_usize..40, any::<u8>()), 0..4),
        len in 0_usize..700,
        room in 0_usize..700,
    ) {
        let mut packet = udp(672);
        for (at, value) in edits {
            packet[at] = value;
        }
        let mut out = vec![0; room];
        if let Some(len) = write_error(&packet[..len], Problem::TtlExceeded, ROUTER, &mut out) {
            prop_assert!(len <= 576);
            check(&out[..len]);
            prop_assert!(quoted(&out[..len]).is_some());
            prop_assert!(!may_answer(&out[..len]));
        }
    }
}
