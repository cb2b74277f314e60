//! Replies to questions about addresses, read by `wire` and etherparse.

use std::net::IpAddr;
use std::time::Duration;

use paceline_router::answer::{Whose, answer};
use paceline_router::neighbour::{Action, Neighbours, Settings};
use paceline_router::{Fault, Frame, Heard, Interface};
use paceline_wire::arp::{Arp, Operation};
use paceline_wire::ethernet::{self, ETHERTYPE_IPV6, HEADER_LEN, Mac};
use paceline_wire::icmp::IcmpHeader;
use paceline_wire::ipv6::Ipv6Header;
use paceline_wire::ndp::{self, ALL_NODES, Message, Solicitation};
use zerocopy::IntoBytes;

const OWN: Mac = Mac(0x0200_0000_0001);
const PEER: Mac = Mac(0x0600_0000_0002);

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn interface(proxy: bool) -> Interface {
    let nets = ["10.0.0.1/24", "10.0.1.1/24", "fd00::1/64"].map(|net| net.parse().expect(net));
    Interface::new(OWN, nets.to_vec(), proxy)
}

/// The reply to a frame, where everything in 10.9.0.0/16 and fd09::/16 is routed elsewhere.
fn reply(frame: &[u8], interface: &Interface) -> Option<(Frame, Whose)> {
    let Ok(Heard::Ask(ask)) = Heard::read(frame, interface.mac) else { return None };
    let nets: [ipnet::IpNet; 2] = ["10.9.0.0/16", "fd09::/16"].map(|net| net.parse().expect(net));
    answer(&ask, interface, |_| true, |target| nets.iter().any(|net| net.contains(&target)))
}

fn ask(sender: &str, target: &str) -> Frame {
    Frame::ask(PEER, ip(sender), ip(target), None).expect("one family")
}

#[test]
fn arp_for_every_own_address_is_answered() {
    for target in ["10.0.0.1", "10.0.1.1"] {
        let (frame, whose) = reply(&ask("10.0.0.2", target), &interface(false)).expect("a reply");
        let arp = Arp::parse(&frame).expect("ARP");
        assert_eq!(
            (arp.operation, arp.sender_mac, arp.target_mac, whose),
            (Operation::Reply, OWN, PEER, Whose::Own)
        );
        assert_eq!((IpAddr::from(arp.sender), IpAddr::from(arp.target)), (ip(target), ip("10.0.0.2")));
        assert_eq!(ethernet::addresses(&frame), Some((PEER, OWN)));
        let sliced = etherparse::SlicedPacket::from_ethernet(&frame).expect("sound");
        let Some(etherparse::NetSlice::Arp(arp)) = sliced.net else { panic!("{:?}", sliced.net) };
        assert_eq!((arp.operation().0, arp.sender_protocol_addr()), (2, &ip_octets(target)[..]));
    }
}

fn ip_octets(text: &str) -> Vec<u8> {
    match ip(text) {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[test]
fn solicitations_for_every_own_address_are_answered() {
    for target in ["fd00::1", "fe80::ff:fe00:1"] {
        let (frame, _) = reply(&ask("fd00::2", target), &interface(false)).expect("a reply");
        etherparse::SlicedPacket::from_ethernet(&frame).expect("sound");
        let Ok(Message::Advertisement(tell)) = ndp::parse(&frame[HEADER_LEN..]) else {
            panic!("no advertisement")
        };
        assert_eq!((IpAddr::from(tell.target), IpAddr::from(tell.source)), (ip(target), ip(target)));
        assert_eq!(IpAddr::from(tell.destination), ip("fd00::2"));
        assert!(tell.router && tell.solicited && tell.overrides && tell.link_layer == Some(OWN));
        assert_eq!(ethernet::addresses(&frame), Some((PEER, OWN)));
    }
}

#[test]
fn who_probes_for_our_address_hears_that_it_is_taken() {
    let (frame, _) =
        reply(&Frame::probe(PEER, ip("10.0.0.1")).expect("fits"), &interface(false)).expect("a reply");
    assert_eq!(Arp::parse(&frame).map(|arp| (arp.sender, arp.target)), Ok(([10, 0, 0, 1], [0; 4])));
    let (frame, _) =
        reply(&Frame::probe(PEER, ip("fd00::1")).expect("fits"), &interface(false)).expect("a reply");
    let Ok(Message::Advertisement(tell)) = ndp::parse(&frame[HEADER_LEN..]) else {
        panic!("no advertisement")
    };
    assert!(tell.destination == ALL_NODES && !tell.solicited && tell.overrides);
    assert_eq!(ethernet::addresses(&frame), Some((Mac::of_group_v6(&ALL_NODES), OWN)));
}

#[test]
fn a_solicitation_without_a_hardware_address_is_answered_to_its_sender() {
    let message = Solicitation { link_layer: None, ..Solicitation::ask(fd(2), PEER, fd(1)) };
    let mut frame = [0; 86];
    ethernet::write_header(&mut frame, OWN, PEER, ETHERTYPE_IPV6).expect("room");
    let len = message.write(&mut frame[HEADER_LEN..]).expect("room");
    let (reply, _) = reply(&frame[..HEADER_LEN + len], &interface(false)).expect("a reply");
    assert_eq!(ethernet::addresses(&reply), Some((PEER, OWN)));
}

fn fd(last: u8) -> [u8; 16] {
    let mut address = [0; 16];
    (address[0], address[15]) = (0xfd, last);
    address
}

#[test]
fn others_are_answered_for_by_a_proxy_alone() {
    for (sender, target) in [("10.0.0.2", "10.9.0.7"), ("fd00::2", "fd09::7")] {
        assert_eq!(reply(&ask(sender, target), &interface(false)), None);
        let (frame, whose) = reply(&ask(sender, target), &interface(true)).expect("a reply");
        assert_eq!(whose, Whose::Proxied);
        match ip(target) {
            IpAddr::V4(target) => {
                let arp = Arp::parse(&frame).expect("ARP");
                assert_eq!((arp.sender_mac, arp.sender), (OWN, target.octets()));
            }
            IpAddr::V6(target) => {
                let Ok(Message::Advertisement(tell)) = ndp::parse(&frame[HEADER_LEN..]) else {
                    panic!("none")
                };
                assert_eq!((tell.target, tell.link_layer), (target.octets(), Some(OWN)));
                assert!(!tell.overrides && tell.solicited && tell.source == fd(1));
            }
        }
    }
}

#[test]
fn a_proxy_keeps_silent_about_what_is_not_its_own_to_say() {
    // Not routed elsewhere; broadcast of the subnet; of one link alone.
    for (sender, target) in
        [("10.0.0.2", "10.0.0.3"), ("10.0.0.2", "10.0.0.255"), ("fd00::2", "fd00::3"), ("fd00::2", "fe80::9")]
    {
        assert_eq!(reply(&ask(sender, target), &interface(true)), None, "{target}");
    }
    for target in ["10.9.0.7", "fd09::7"] {
        assert_eq!(reply(&Frame::probe(PEER, ip(target)).expect("fits"), &interface(true)), None);
        assert_eq!(reply(&Frame::announcement(PEER, ip(target)).expect("fits"), &interface(true)), None);
    }
}

#[test]
fn what_is_not_for_us_is_not_heard() {
    let frame = ask("10.0.0.2", "10.0.0.1");
    let read = |frame: &[u8]| Heard::read(frame, OWN).err();
    let mut other = frame.to_vec();
    other[..6].copy_from_slice(&[6, 0, 0, 0, 0, 9]);
    assert_eq!(read(&other), Some(Fault::Elsewhere));
    let own = Frame::ask(OWN, ip("10.0.0.1"), ip("10.0.0.2"), None).expect("one family");
    assert_eq!(read(&own), Some(Fault::Echo));
    let tagged = [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat();
    assert_eq!(read(&tagged), Some(Fault::Ethernet));
    assert_eq!(read(&frame[..13]), Some(Fault::Ethernet));
    assert!(matches!(read(&frame[..41]), Some(Fault::Arp(_))));
    let mut routed = ask("fd00::2", "fd00::1").to_vec();
    routed[HEADER_LEN + 7] = 254;
    assert_eq!(read(&routed), Some(Fault::Ndp(ndp::Fault::HopLimit(254))));
}

#[test]
fn routers_are_not_advertised() {
    let mut frame = [0; HEADER_LEN + 48];
    ethernet::write_header(&mut frame, Mac(0x3333_0000_0002), PEER, ETHERTYPE_IPV6).expect("room");
    let mut header = Ipv6Header::new(58, fd(2), ndp::ALL_ROUTERS, 8);
    header.hop_limit = 255;
    frame[14..54].copy_from_slice(header.as_bytes());
    frame[54] = ndp::ROUTER_SOLICITATION;
    let mut sum = paceline_wire::checksum::pseudo_v6(&header.source, &header.destination, 58, 8);
    sum.add(&frame[54..]);
    IcmpHeader::read_mut(&mut frame[54..]).expect("room").checksum.set(sum.finish());
    assert!(matches!(ndp::parse(&frame[14..]), Ok(Message::RouterSolicitation(_))));
    assert_eq!(Heard::read(&frame, OWN), Err(Fault::Other));
}

#[test]
fn a_table_answers_as_a_proxy_and_learns_who_asked() {
    let mut table: Neighbours<()> = Neighbours::new(Settings { probes6: 0, ..Settings::default() });
    table.set_interface(Duration::ZERO, 1, interface(true), &mut Vec::new());
    let mut out = Vec::new();
    table.input(Duration::ZERO, 1, &ask("10.0.0.2", "10.9.0.7"), |_| true, &mut out);
    assert!(matches!(out[..], [Action::Resolved { mac: PEER, .. }, Action::Send { .. }]), "{out:?}");
    assert_eq!(table.counters().proxied, 1);
}
