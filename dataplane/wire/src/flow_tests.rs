use std::collections::HashSet;

use etherparse::{IcmpEchoHeader, Icmpv4Type, Icmpv6Type, PacketBuilder, PacketBuilderStep};
use proptest::prelude::*;

use super::*;

const A4: [u8; 4] = [10, 0, 0, 1];
const B4: [u8; 4] = [10, 0, 0, 2];
const A6: [u8; 16] = [0xfd; 16];
const B6: [u8; 16] = [0xfe; 16];

fn v4() -> PacketBuilderStep<etherparse::IpHeaders> {
    PacketBuilder::ipv4(A4, B4, 64)
}

fn v6() -> PacketBuilderStep<etherparse::IpHeaders> {
    PacketBuilder::ipv6(A6, B6, 64)
}

fn key4(protocol: u8, source_port: u16, destination_port: u16) -> Key<4> {
    Key { source: A4, destination: B4, source_port, destination_port, protocol }
}

#[test]
fn ports_are_read() {
    let mut packet = Vec::new();
    v4().udp(1000, 53).write(&mut packet, &[1; 9]).expect("it fits");
    let flow = extract_v4(&packet, packet.len()).expect("a flow");
    assert_eq!(flow, Flow { key: key4(17, 1000, 53), l4: 20, kind: Kind::Ports, part: None });
    packet.clear();
    v6().tcp(1000, 80, 1, 2).write(&mut packet, &[]).expect("it fits");
    let flow = extract_v6(&packet, 60).expect("a flow");
    assert_eq!((flow.key.source, flow.key.destination, flow.l4), (A6, B6, 40));
    assert_eq!((flow.key.source_port, flow.key.destination_port, flow.key.protocol), (1000, 80, 6));
    // The head of a longer chain is enough.
    packet[5] = 200;
    assert_eq!(extract_v6(&packet, 240), Ok(flow));
}

#[test]
fn queries_have_an_identifier_and_errors_have_none() {
    let echo = IcmpEchoHeader { id: 77, seq: 1 };
    let mut packet = Vec::new();
    v4().icmpv4(Icmpv4Type::EchoRequest(echo)).write(&mut packet, &[]).expect("it fits");
    let of = |kind: u8, packet: &mut Vec<u8>| {
        packet[20] = kind;
        extract_v4(packet, 28).map(|f| (f.kind, f.key))
    };
    for kind in [0, 8, 13, 14, 15, 16, 17, 18] {
        assert_eq!(of(kind, &mut packet), Ok((Kind::Query, key4(1, 77, 77))), "type {kind}");
    }
    for kind in [3, 4, 5, 11, 12] {
        assert_eq!(of(kind, &mut packet), Ok((Kind::Error, key4(1, 0, 0))), "type {kind}");
    }
    assert_eq!(of(9, &mut packet), Ok((Kind::Other, key4(1, 0, 0))));
    packet.clear();
    v6().icmpv6(Icmpv6Type::EchoReply(echo)).write(&mut packet, &[]).expect("it fits");
    let flow = extract_v6(&packet, 48).expect("a flow");
    assert_eq!((flow.kind, flow.key.source_port, flow.key.reversed().source_port), (Kind::Query, 77, 77));
    packet[40] = 2;
    assert_eq!(extract_v6(&packet, 48).map(|f| f.kind), Ok(Kind::Error));
    // ICMP of the other family is a protocol without ports.
    packet[6] = 1;
    assert_eq!(extract_v6(&packet, 48).map(|f| f.kind), Ok(Kind::Other));
}

#[test]
fn fragments_are_told() {
    let mut packet = Vec::new();
    v4().udp(1000, 53).write(&mut packet, &[1; 9]).expect("it fits");
    packet[4..8].copy_from_slice(&[0xbe, 0xef, 0x20, 0]);
    let first = extract_v4(&packet, 37).expect("a flow");
    assert_eq!((first.kind, first.part), (Kind::Ports, Some(Part { id: 0xbeef, offset: 0, more: true })));
    packet[6..8].copy_from_slice(&[0, 2]);
    let later = extract_v4(&packet[..22], 37).expect("a flow");
    assert_eq!(
        (later.kind, later.part),
        (Kind::LaterPart, Some(Part { id: 0xbeef, offset: 16, more: false }))
    );
    assert_ne!(first.key, later.key);
    assert_eq!(first.path_key(), later.path_key());

    let mut packet = Vec::new();
    v6().udp(1000, 53).write(&mut packet, &[]).expect("it fits");
    let headers = |bits: [u8; 2]| {
        let mut fragment = [&packet[..40], &[17, 0, bits[0], bits[1], 1, 2, 3, 4], &packet[40..]].concat();
        (fragment[5], fragment[6]) = (16, 44);
        extract_v6(&fragment, 56).expect("a flow")
    };
    let (first, later, atomic) = (headers([0, 1]), headers([0, 9]), headers([0, 0]));
    assert_eq!((first.kind, first.key.source_port, first.l4), (Kind::Ports, 1000, 48));
    assert_eq!((later.kind, later.part.map(|p| (p.id, p.offset))), (Kind::LaterPart, Some((0x0102_0304, 8))));
    assert_eq!((atomic.kind, atomic.path_key()), (Kind::Ports, later.path_key()));
}

#[test]
fn each_fault_is_named() {
    let mut packet = Vec::new();
    v4().tcp(1000, 80, 1, 2).write(&mut packet, &[]).expect("it fits");
    assert_eq!(extract_v4(&packet, 39), Err(Fault::Length));
    assert_eq!(extract_v4(&packet[..39], 40), Err(Fault::Transport));
    assert_eq!(extract_v4(&packet[..19], 40), Err(Fault::Header));
    assert_eq!(extract_v6(&packet, 40), Err(Fault::Header));
    assert_eq!(extract_quoted_v4(&packet[..28]).map(|f| f.key), Ok(key4(6, 1000, 80)));
    assert_eq!(extract_quoted_v4(&packet[..27]), Err(Fault::Transport));
    // Padding is no transport header.
    packet[3] = 22;
    assert_eq!(extract_v4(&packet, 40), Err(Fault::Transport));
    packet.clear();
    v6().udp(1, 2).write(&mut packet, &[0; 8]).expect("it fits");
    packet[6] = 43;
    packet[40..48].copy_from_slice(&[17, 0, 4, 1, 0, 0, 0, 0]);
    assert_eq!(extract_v6(&packet, 56), Err(Fault::Routed));
}

/// Keys that differ in few bits, as those of one client, must not fall together.
#[test]
fn the_hash_spreads_keys_that_are_alike() {
    let mut keys = Vec::new();
    for port in 0..4096 {
        keys.push(key4(6, 32768 + port, 443).hash64(7));
        let host = Key { source: [10, 0, (port >> 8) as u8, port as u8], ..key4(6, 1, 443) };
        keys.push(host.hash64(7));
        keys.push(
            Key { source_port: port, source: A6, destination: B6, destination_port: 1, protocol: 6 }
                .hash64(7),
        );
    }
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
    for shift in [0, 8, 24, 32, 48, 56] {
        let mut buckets = [0_u32; 256];
        for key in &keys {
            buckets[(key >> shift) as usize & 255] += 1;
        }
        let (least, most) = (buckets.iter().min(), buckets.iter().max());
        // 48 are expected; a random function is within 5 deviations of 7.
        assert!(least > Some(&13) && most < Some(&83), "bits from {shift}: {least:?} to {most:?}");
    }
}

proptest! {
    #[test]
    fn both_directions_have_one_ordered_key(
        source: [u8; 4],
        destination: [u8; 4],
        ports: (u16, u16),
        seed: u64,
    ) {
        let key = Key { source, destination, source_port: ports.0, destination_port: ports.1, protocol: 6 };
        prop_assert_eq!(key.reversed().reversed(), key);
        prop_assert_eq!(key.ordered(), key.reversed().ordered());
        prop_assert_eq!(key.ordered().hash64(seed), key.reversed().ordered().hash64(seed));
    }
}
