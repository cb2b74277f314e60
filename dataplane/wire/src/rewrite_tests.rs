//! Rewritten packets are judged by `etherparse`: built with the new addresses and ports from the start, they must be the same.

use etherparse::{IcmpEchoHeader, Icmpv4Type, Icmpv6Type, IpHeaders, PacketBuilder, PacketBuilderStep};
use proptest::prelude::*;

use super::*;
use crate::checksum::{pseudo_v4, pseudo_v6};
use crate::flow::{extract_quoted_v4, extract_quoted_v6, extract_v4, extract_v6};
use crate::icmpv4;

/// A packet of a protocol with a key's addresses and ports, finished.
fn build_v4(key: &Key<4>, payload: &[u8]) -> Vec<u8> {
    build(PacketBuilder::ipv4(key.source, key.destination, 64), key, payload)
}

fn build_v6(key: &Key<16>, payload: &[u8]) -> Vec<u8> {
    build(PacketBuilder::ipv6(key.source, key.destination, 64), key, payload)
}

fn build<const N: usize>(step: PacketBuilderStep<IpHeaders>, key: &Key<N>, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let (source, destination) = (key.source_port, key.destination_port);
    let echo = IcmpEchoHeader { id: source, seq: 9 };
    match key.protocol {
        6 => step.tcp(source, destination, 1, 2).write(&mut packet, payload),
        17 => step.udp(source, destination).write(&mut packet, payload),
        58 => step.icmpv6(Icmpv6Type::EchoRequest(echo)).write(&mut packet, payload),
        _ => step.icmpv4(Icmpv4Type::EchoRequest(echo)).write(&mut packet, payload),
    }
    .expect("it fits");
    packet
}

fn key<const N: usize>(protocol: u8) -> impl Strategy<Value = Key<N>> {
    (
        prop::array::uniform::<_, N>(any::<u8>()),
        prop::array::uniform::<_, N>(any::<u8>()),
        any::<(u16, u16)>(),
    )
        .prop_map(move |(source, destination, (source_port, destination_port))| {
            let destination_port = if matches!(protocol, 6 | 17) { destination_port } else { source_port };
            Key { source, destination, source_port, destination_port, protocol }
        })
}

/// Two keys of one protocol.
fn two<const N: usize>(icmp: u8) -> impl Strategy<Value = (Key<N>, Key<N>)> {
    prop_oneof![Just(6), Just(17), Just(icmp)].prop_flat_map(|protocol| (key(protocol), key(protocol)))
}

const FROM: Key<4> = Key {
    source: [10, 0, 0, 1],
    destination: [192, 0, 2, 1],
    source_port: 1000,
    destination_port: 53,
    protocol: 17,
};
const TO: Key<4> = Key { source: [203, 0, 113, 7], source_port: 40000, ..FROM };

/// Rewrites by the flow that the packet has.
fn apply(packet: &mut [u8], to: &Key<4>, sum: Field) -> Result<(), Refused> {
    let flow = extract_v4(packet, packet.len()).expect("a flow");
    rewrite_v4(packet, &flow, to, sum)
}

#[test]
fn a_udp_checksum_that_is_none_stays_none() {
    let mut packet = build_v4(&FROM, &[1; 5]);
    packet[26..28].fill(0);
    assert_eq!(apply(&mut packet, &TO, Field::Full), Ok(()));
    assert_eq!(packet[26..28], [0, 0]);
    assert_eq!(extract_v4(&packet, packet.len()).map(|f| f.key), Ok(TO));
}

#[test]
fn a_udp_checksum_that_becomes_zero_is_sent_as_ones() {
    // The payload is chosen so that the sum of the new packet is all ones.
    let mut wanted = build_v4(&TO, &[0; 2]);
    let sum = [wanted[26], wanted[27]];
    wanted = build_v4(&TO, &sum);
    assert_eq!(wanted[26..28], [0xff, 0xff]);
    let mut packet = build_v4(&FROM, &sum);
    assert_eq!(apply(&mut packet, &TO, Field::Full), Ok(()));
    assert_eq!(packet, wanted);
}

#[test]
fn a_partial_checksum_is_that_of_the_new_pseudo_header() {
    for (protocol, field, len) in [(6, 36, 25), (17, 26, 13)] {
        let (from, to) = (Key { protocol, ..FROM }, Key { protocol, ..TO });
        let (mut packet, finished) = (build_v4(&from, &[1; 5]), build_v4(&to, &[1; 5]));
        let pseudo = pseudo_v4(from.source, from.destination, protocol, len).partial();
        packet[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
        assert_eq!(apply(&mut packet, &to, Field::Partial), Ok(()));
        let pseudo = pseudo_v4(to.source, to.destination, protocol, len).partial();
        assert_eq!(packet[field..field + 2], pseudo.to_be_bytes());
        // Completed by the port, it is the packet that was wanted.
        let sum = Sum::of(&packet[20..]).finish();
        packet[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(packet, finished);
    }
}

#[test]
fn of_a_later_part_only_the_addresses_change() {
    let mut packet = build_v4(&FROM, &[1; 16]);
    packet[6..8].copy_from_slice(&[0, 2]);
    crate::ipv4::fill_checksum(&mut packet[..20]);
    let before = packet.clone();
    assert_eq!(apply(&mut packet, &TO, Field::Full), Ok(()));
    assert_eq!((&packet[12..16], &packet[20..]), (&TO.source[..], &before[20..]));
    assert_eq!(Sum::of(&packet[..20]).finish(), 0);
}

#[test]
fn sctp_keeps_its_ports() {
    let mut packet = build_v4(&FROM, &[1; 16]);
    packet[9] = SCTP;
    let before = packet.clone();
    assert_eq!(apply(&mut packet, &TO, Field::Full), Err(Refused::Protocol));
    assert_eq!(packet, before);
    assert_eq!(apply(&mut packet, &Key { source_port: 1000, ..TO }, Field::Full), Ok(()));
    assert_eq!(packet[20..], before[20..]);
}

#[test]
fn a_packet_that_is_another_is_not_touched() {
    let mut packet = build_v4(&FROM, &[1; 16]);
    let flow = extract_v4(&packet, packet.len()).expect("a flow");
    let before = packet.clone();
    for len in 0..28 {
        assert_eq!(rewrite_v4(&mut packet[..len], &flow, &TO, Field::Full), Err(Refused::Short));
    }
    for l4 in [0, 19, 45, usize::MAX] {
        let flow = Flow { l4, ..flow };
        assert_eq!(rewrite_v4(&mut packet, &flow, &TO, Field::Full), Err(Refused::Short));
    }
    assert_eq!(rewrite_quoted_v4(&mut packet, 40, 20, &flow, &TO), Err(Refused::Short));
    assert_eq!(packet, before);
}

proptest! {
    #[test]
    fn a_packet_over_ipv4_becomes_the_one_that_was_wanted(
        (from, to) in two::<4>(1), payload in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut packet = build_v4(&from, &payload);
        prop_assert_eq!(apply(&mut packet, &to, Field::Full), Ok(()));
        prop_assert_eq!(packet, build_v4(&to, &payload));
    }

    #[test]
    fn a_packet_over_ipv6_becomes_the_one_that_was_wanted(
        (from, to) in two::<16>(58), payload in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut packet = build_v6(&from, &payload);
        let flow = extract_v6(&packet, packet.len()).expect("a flow");
        prop_assert_eq!(flow.key, from);
        prop_assert_eq!(rewrite_v6(&mut packet, &flow, &to, Field::Full), Ok(()));
        prop_assert_eq!(packet, build_v6(&to, &payload));
    }

    /// Quotes as short as 8 bytes of transport header, and whole ones.
    #[test]
    fn a_quote_becomes_the_one_that_was_wanted(
        (from, to) in two::<4>(1), len in 28_usize..80,
    ) {
        let quote = |key: &Key<4>| {
            let packet = build_v4(key, &[7; 40]);
            // Half a checksum cannot be updated: a quote that is cut there keeps the half.
            let len = if len == 37 { 36 } else { len.min(packet.len()) };
            let start = [69, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 3, 1, 0, 0, 0, 0, 0, 0];
            [&start[..], &packet[..len]].concat()
        };
        let finish = |mut packet: Vec<u8>| {
            let sum = Sum::of(&packet[20..]).finish();
            packet[22..24].copy_from_slice(&sum.to_be_bytes());
            packet
        };
        let mut packet = finish(quote(&from));
        let (icmp, at) = icmpv4::quoted(&packet).expect("an error");
        let flow = extract_quoted_v4(&packet[at..]).expect("a flow");
        prop_assert_eq!(flow.key, from);
        prop_assert_eq!(rewrite_quoted_v4(&mut packet, icmp, at, &flow, &to), Ok(()));
        prop_assert_eq!(packet, finish(quote(&to)));
    }

    #[test]
    fn a_quote_over_ipv6_keeps_the_checksum_right((from, to) in two::<16>(58), len in 48_usize..120) {
        let inner = build_v6(&from, &[7; 60]);
        let inner = &inner[..len.min(inner.len())];
        let start = [0x60, 0, 0, 0, 0, (inner.len() + 8) as u8, 58, 64];
        let mut packet = [&start[..], &[1; 32], &[1, 4, 0, 0, 0, 0, 0, 0], inner].concat();
        let sum = |message: &[u8]| {
            let mut sum = pseudo_v6(&[1; 16], &[1; 16], 58, message.len() as u32);
            sum.add(message);
            sum.finish()
        };
        let checksum = sum(&packet[40..]);
        packet[42..44].copy_from_slice(&checksum.to_be_bytes());
        let (icmp, at) = icmpv6::quoted(&packet).expect("an error");
        let flow = extract_quoted_v6(&packet[at..]).expect("a flow");
        prop_assert_eq!(rewrite_quoted_v6(&mut packet, icmp, at, &flow, &to), Ok(()));
        prop_assert_eq!(sum(&packet[40..]), 0);
        prop_assert_eq!(extract_quoted_v6(&packet[at..]).map(|f| f.key), Ok(to));
    }
}
