//! Questions for known hosts.

use std::sync::atomic::Ordering::Relaxed;

use paceline_wire::arp::{Arp, Operation};
use paceline_wire::ethernet::{ETHERTYPE_IPV6, write_header};
use paceline_wire::ndp::{self, Message, Solicitation};

use super::*;
use crate::testing::{frame, tagged};

/// A question for an address.
fn question(asker: u8, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut out = vec![0; 60];
    let ask = Arp::request(Mac(0x0200_0000_0000 + u64::from(asker)), sender, target);
    ask.write(Mac::BROADCAST, &mut out).expect("room");
    out
}

fn solicitation(ask: &Solicitation) -> Vec<u8> {
    let mut out = vec![0; HEADER_LEN + ndp::MAX_LEN];
    write_header(&mut out, Mac::of_group_v6(&ask.destination), Mac(0x0200_0000_0001), ETHERTYPE_IPV6)
        .expect("room");
    let len = ask.write(&mut out[HEADER_LEN..]).expect("room");
    out.truncate(HEADER_LEN + len);
    out
}

#[test]
fn questions_for_known_hosts_are_answered_in_place() {
    let mut rig = switch(false, 1, 2);
    let host = Mac(0x0200_0000_0009);
    let known: [(IpAddr, Mac); 2] =
        [([10, 0, 0, 9].into(), host), ("fd00::9".parse().expect("an address"), host)];
    rig.snapshot.bridges[0].neighbours = Arc::new(known.into());
    let out = rig.send(PORT, &question(1, [10, 0, 0, 1], [10, 0, 0, 9]));
    assert_eq!(out.len(), 1);
    let reply = Arp::parse(&out[0].1).expect("a reply");
    assert_eq!((out[0].0, reply.operation), (PORT, Operation::Reply));
    assert_eq!((reply.sender_mac, reply.sender, reply.target), (host, [10, 0, 0, 9], [10, 0, 0, 1]));
    assert_eq!(out[0].1[..12], [[2, 0, 0, 0, 0, 1], host.octets()].concat());
    let v6 = |last| format!("fd00::{last}").parse::<std::net::Ipv6Addr>().expect("an address").octets();
    let ask = Solicitation::ask(v6(1), Mac(0x0200_0000_0001), v6(9));
    let out = rig.send(PORT, &solicitation(&ask));
    let Ok(Message::Advertisement(tell)) = ndp::parse(&out[0].1[HEADER_LEN..]) else { panic!("no answer") };
    assert_eq!((tell.target, tell.link_layer, tell.destination), (v6(9), Some(host), v6(1)));
    assert!(tell.solicited && !tell.router && out[0].0 == PORT);
    assert_eq!(rig.snapshot.bridges[0].counters.suppressed.load(Relaxed), 2);
    // Everything else is flooded: unknown hosts, probes, announcements, a host's own address, answers, tagged frames.
    let mut reply = question(1, [10, 0, 0, 1], [10, 0, 0, 9]);
    reply[21] = 2;
    for other in [
        question(1, [10, 0, 0, 1], [10, 0, 0, 8]),
        question(1, [0; 4], [10, 0, 0, 9]),
        question(1, [10, 0, 0, 9], [10, 0, 0, 9]),
        question(9, [10, 0, 0, 7], [10, 0, 0, 9]),
        reply,
        tagged(&question(1, [10, 0, 0, 1], [10, 0, 0, 9]), 0x8100, 5),
        solicitation(&Solicitation::probe(v6(9))),
        solicitation(&Solicitation::ask(v6(1), Mac(0x0200_0000_0001), v6(8))),
        frame(1, 255, 64),
    ] {
        assert_eq!(rig.ports(PORT, &other), [UNDERLAY]);
    }
    // What comes by a tunnel is for the members here.
    let bytes = encapsulated(&mut switch(false, 2, 1), &question(3, [10, 0, 0, 3], [10, 0, 0, 9]));
    assert_eq!(rig.ports(UNDERLAY, &bytes), [PORT]);
    // A host behind the asker's own port answers for itself.
    rig.ports(PORT, &frame(9, 255, 64));
    assert_eq!(rig.ports(PORT, &question(1, [10, 0, 0, 1], [10, 0, 0, 9])), [UNDERLAY]);
    assert_eq!(rig.snapshot.bridges[0].counters.suppressed.load(Relaxed), 2);
}
