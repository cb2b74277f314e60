//! One test for each check of RFC 4861 §6.1 and §7.1; what is built is read by `etherparse`.

use etherparse::{Icmpv6Type, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;
use crate::ndp_options::Prefix;

const HOST: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const TARGET: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xab, 0xcd, 0xef];
const MAC: Mac = Mac(0x0200_0000_0001);

/// Makes the checksum and the length right.
fn finish(mut packet: Vec<u8>) -> Vec<u8> {
    let len = (packet.len() - 40) as u16;
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    packet[42..44].fill(0);
    let sum = icmpv6::sum(Ipv6Header::read(&packet).expect("a header"), &packet[40..]).finish();
    packet[42..44].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn solicitation(message: &Solicitation) -> Vec<u8> {
    let mut out = [0; MAX_LEN];
    let len = message.write(&mut out).expect("room");
    out[..len].to_vec()
}

fn advertisement(message: &Advertisement) -> Vec<u8> {
    let mut out = [0; MAX_LEN];
    let len = message.write(&mut out).expect("room");
    out[..len].to_vec()
}

fn router(kind: u8, source: [u8; 16], body: &[u8]) -> Vec<u8> {
    let header = [&[0x60, 0, 0, 0, 0, 0, 58, 255][..], &source, &ALL_ROUTERS, &[kind, 0, 0, 0]].concat();
    finish([&header, body].concat())
}

/// A packet with some bytes changed and the checksum right again.
fn fault(packet: &[u8], at: usize, bytes: &[u8]) -> Fault {
    let mut packet = packet.to_vec();
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    parse(&finish(packet)).expect_err("a fault")
}

#[test]
fn groups_are_those_of_the_rfcs() {
    let group = solicited_node(&TARGET);
    assert_eq!(std::net::Ipv6Addr::from(group).to_string(), "ff02::1:ffab:cdef");
    assert_eq!(Mac::of_group_v6(&group).to_string(), "33:33:ff:ab:cd:ef");
}

#[test]
fn what_is_written_is_read() {
    let ask = Solicitation::ask(HOST, MAC, TARGET);
    for message in [ask, Solicitation::probe(TARGET)] {
        let packet = solicitation(&message);
        assert!(matches!(parse(&packet), Ok(Message::Solicitation(read)) if read == message));
        let answer = message.answer(MAC, true);
        assert_eq!(answer.solicited, message.source == HOST);
        assert!(matches!(parse(&advertisement(&answer)), Ok(Message::Advertisement(read)) if read == answer));
    }
    assert_eq!(ask.answer(MAC, false).destination, HOST);
    assert_eq!(Solicitation::probe(TARGET).answer(MAC, false).destination, ALL_NODES);
    assert_eq!(ask.write(&mut [0; MAX_LEN - 1]), None);
}

#[test]
fn etherparse_reads_the_same() {
    let answer = Advertisement { overrides: false, ..Solicitation::ask(HOST, MAC, TARGET).answer(MAC, true) };
    let packet = advertisement(&answer);
    let Some(TransportSlice::Icmpv6(message)) = SlicedPacket::from_ip(&packet).expect("a packet").transport
    else {
        panic!("ICMPv6")
    };
    assert!(message.is_checksum_valid(answer.source, answer.destination));
    let Icmpv6Type::NeighborAdvertisement(header) = message.icmp_type() else { panic!("an advertisement") };
    assert_eq!((header.router, header.solicited, header.r#override), (true, true, false));
    assert_eq!((packet.len(), packet[7], &packet[64..]), (72, 255, &[2, 1, 2, 0, 0, 0, 0, 1][..]));
}

#[test]
fn a_packet_that_came_by_a_router_is_not_believed() {
    let packet = solicitation(&Solicitation::ask(HOST, MAC, TARGET));
    assert_eq!(fault(&packet, 7, &[254]), Fault::HopLimit(254));
    assert_eq!(fault(&packet, 41, &[1]), Fault::Code(1));
    assert_eq!(fault(&packet, 40, &[137]), Fault::Type(137));
    assert_eq!(fault(&packet, 6, &[17]), Fault::Truncated);
    let mut wrong = packet.clone();
    wrong[42] ^= 1;
    assert_eq!(parse(&wrong).expect_err("a fault"), Fault::Checksum);
    assert_eq!(parse(&packet[..71]).expect_err("a fault"), Fault::Truncated);
    assert_eq!(parse(&finish(packet[..60].to_vec())).expect_err("a fault"), Fault::Length);
    // Padding behind the packet is none of it.
    assert!(parse(&[&packet[..], &[0; 9]].concat()).is_ok());
    // RFC 6980: no fragments, even whole ones.
    let mut fragment = [&packet[..40], &[58, 0, 0, 0, 0, 0, 0, 1], &packet[40..]].concat();
    (fragment[5], fragment[6]) = (40, 44);
    assert_eq!(parse(&fragment).expect_err("a fault"), Fault::Truncated);
}

#[test]
fn options_must_be_whole() {
    let packet = solicitation(&Solicitation::ask(HOST, MAC, TARGET));
    for units in [0, 2, 255] {
        assert_eq!(fault(&packet, 65, &[units]), Fault::Options, "{units} units");
    }
    assert_eq!(parse(&finish([&packet[..], &[1]].concat())).expect_err("a fault"), Fault::Options);
    // An unknown option is skipped, and a group has no place in one.
    for (at, bytes) in [(64, &[99_u8][..]), (66, &[1]), (66, &[0; 6])] {
        let mut packet = packet.clone();
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        let Ok(Message::Solicitation(read)) = parse(&finish(packet)) else { panic!("a solicitation") };
        assert_eq!(read.link_layer, None);
    }
}

#[test]
fn checks_of_a_solicitation() {
    let packet = solicitation(&Solicitation::ask(HOST, MAC, TARGET));
    assert_eq!(fault(&packet, 48, &ALL_NODES), Fault::Target);
    assert_eq!(fault(&packet, 8, &[0; 16]), Fault::LinkLayer);
    assert_eq!(fault(&packet, 8, &ALL_NODES), Fault::Source);
    let probe = solicitation(&Solicitation::probe(TARGET));
    assert_eq!(fault(&probe, 24, &TARGET), Fault::Destination);
}

#[test]
fn checks_of_an_advertisement() {
    let packet = advertisement(&Solicitation::ask(HOST, MAC, TARGET).answer(MAC, false));
    assert_eq!(fault(&packet, 48, &ALL_NODES), Fault::Target);
    assert_eq!(fault(&packet, 24, &ALL_NODES), Fault::Destination, "solicited by all");
    assert_eq!(fault(&packet, 8, &[0; 16]), Fault::Source);
}

#[test]
fn routers_are_read() {
    let option = [1, 1, 2, 0, 0, 0, 0, 1];
    let ask = router(ROUTER_SOLICITATION, HOST, &[&[0; 4][..], &option].concat());
    assert!(matches!(parse(&ask), Ok(Message::RouterSolicitation(read)) if read.link_layer == Some(MAC)));
    assert_eq!(fault(&ask, 8, &[0; 16]), Fault::LinkLayer);
    let nobody = router(ROUTER_SOLICITATION, [0; 16], &[0; 4]);
    assert!(matches!(parse(&nobody), Ok(Message::RouterSolicitation(read)) if read.link_layer.is_none()));

    let prefix = [&[3, 4, 64, 0xc0, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 0][..], &TARGET].concat();
    let wrong = [&[3, 4, 129][..], &[0; 29], &[3, 1], &[0; 6]].concat();
    let mtu = [5, 1, 0, 0, 0, 0, 5, 0xdc];
    let times = [64, 0x80, 0, 30, 0, 0, 0, 1, 0, 0, 0, 2];
    let body = [&times[..], &option, &wrong, &prefix, &mtu].concat();
    let packet = router(ROUTER_ADVERTISEMENT, HOST, &body);
    let Ok(Message::RouterAdvertisement(read)) = parse(&packet) else { panic!("an advertisement") };
    assert_eq!((read.source, read.hop_limit, read.flags, read.lifetime), (HOST, 64, 0x80, 30));
    assert_eq!((read.reachable, read.retransmit), (1, 2));
    assert_eq!((read.options.link_layer(SOURCE_LINK_LAYER), read.options.mtu()), (Some(MAC), Some(1500)));
    let known = Prefix { prefix: TARGET, len: 64, on_link: true, autonomous: true, valid: 9, preferred: 8 };
    assert_eq!(read.options.prefixes().collect::<Vec<_>>(), [known]);
    assert_eq!(read.options.count(), 5);
    assert_eq!(fault(&packet, 8, &TARGET), Fault::Source, "not of the link");
    assert_eq!(parse(&router(ROUTER_ADVERTISEMENT, HOST, &body[..11])).expect_err("a fault"), Fault::Length);
}

proptest! {
    #[test]
    fn any_packet_is_judged(
        kind in 133_u8..138,
        edits in prop::collection::vec((0_usize..88, any::<u8>()), 0..5),
        len in 44_usize..89,
    ) {
        let mut packet = router(kind, HOST, &[1; 44]);
        packet[48..64].copy_from_slice(&TARGET);
        for (at, value) in edits {
            packet[at] = value;
        }
        packet[0] = 0x60;
        if let Ok(Message::RouterAdvertisement(read)) = parse(&finish(packet[..len].to_vec())) {
            prop_assert!(read.options.map(|item| item.body.len() + 2).sum::<usize>() <= len - 56);
        }
    }
}
