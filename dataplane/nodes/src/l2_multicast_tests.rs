use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use paceline_graph::{Punt, Zone};
use paceline_tables::{MulticastMode, MulticastTable};
use paceline_wire::ethernet::Mac;
use paceline_wire::membership::{self, Dialect, MAX_LEN, Say};
use proptest::prelude::*;

use super::*;
use crate::testing::{Rig, frame, tagged};

const HOST: Mac = Mac(0x0200_0000_0001);

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

/// A bridge of four ports that listens, where somebody asks who is in groups.
fn rig() -> (Rig, Arc<MulticastTable>) {
    let mut rig = Rig::bridge(4);
    let table = Arc::new(MulticastTable::new(64).expect("memory"));
    for is_ipv6 in [false, true] {
        table.set_mode(is_ipv6, MulticastMode { is_asked: true, is_known: true, is_crowded: false });
    }
    rig.snapshot.bridges[0].multicast = Some(Arc::clone(&table));
    rig.snapshot.punt = Some(Arc::new(Punt::new(64)));
    (rig, table)
}

/// A datagram to a group.
fn data(group: &str) -> Vec<u8> {
    let (mut frame, ip) = (frame(1, 2, 14), ip(group));
    let (mac, ethertype, mut header) = match ip {
        IpAddr::V4(group) => {
            let mut header = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 9, 17, 0, 0, 192, 0, 2, 1];
            header.extend(group.octets());
            (Mac::of_group_v4(group.octets()), [8, 0], header)
        }
        IpAddr::V6(group) => {
            let mut header =
                vec![0x60, 0, 0, 0, 0, 8, 17, 9, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            header.extend(group.octets());
            (Mac::of_group_v6(&group.octets()), [0x86, 0xdd], header)
        }
    };
    frame[..6].copy_from_slice(&mac.octets());
    frame[12..14].copy_from_slice(&ethertype);
    header.extend([0; 8]);
    [frame, header].concat()
}

fn said(group: &str, say: Say, dialect: Dialect) -> Vec<u8> {
    let (mut out, group) = (vec![0; MAX_LEN], ip(group));
    let source = if group.is_ipv4() { ip("192.0.2.1") } else { ip("fe80::1") };
    let len = membership::write(HOST, source, group, say, dialect, &mut out).expect("room");
    out.truncate(len);
    out
}

fn asked(source: &str, group: Option<&str>) -> Vec<u8> {
    let mut out = vec![0; MAX_LEN];
    let len =
        membership::ask(HOST, ip(source), group.map(ip), Duration::from_secs(1), &mut out).expect("room");
    out.truncate(len);
    out
}

/// What control was given since, and frees.
fn overheard(rig: &mut Rig) -> Vec<(u16, u16, Vec<u8>)> {
    let punt = Arc::clone(rig.snapshot.punt.as_ref().expect("a queue"));
    let mut cache = rig.pool.cache();
    let mut all = Vec::new();
    while let Some(packet) = punt.pop() {
        assert_eq!(packet.reason, Reason::Membership as u16);
        all.push((packet.rx, packet.domain, packet.segments().flatten().copied().collect()));
        cache.free(packet);
    }
    all
}

#[test]
fn a_group_goes_to_who_asked_for_it_and_to_routers() {
    for (group, other) in [("239.1.1.1", "239.1.1.2"), ("ff3e::1", "ff0e::2")] {
        let (mut rig, table) = rig();
        let is_ipv6 = ip(group).is_ipv6();
        table.join(ip(group), 1).expect("room");
        table.join(ip(group), 0).expect("room");
        assert_eq!(rig.send(0, &data(group)), [(1, data(group))]);
        assert_eq!(rig.ports(2, &data(group)), [0, 1]);
        assert_eq!(rig.ports(2, &data(other)), [0_u16; 0]);
        assert_eq!(rig.drops(hop::L2_MULTICAST, Reason::NoListener), 1);
        table.set_router(is_ipv6, 3, true);
        assert_eq!(rig.ports(2, &data(group)), [0, 1, 3]);
        assert_eq!(rig.ports(2, &data(other)), [3]);
        // As with a flood.
        rig.snapshot.l2_out[0].zone = Zone::new(7, false);
        rig.snapshot.l2_out[2].zone = Zone::new(7, false);
        rig.snapshot.l2_out[3].max_frame = 20;
        assert_eq!(rig.ports(2, &data(group)), [1]);
        assert_eq!(rig.drops(hop::L2_MULTICAST, Reason::TooBig), 1);
        // Nobody asks any more.
        table.set_mode(is_ipv6, MulticastMode::default());
        assert_eq!(rig.ports(1, &data(other)), [0, 2]);
        rig.snapshot.bridges[0].multicast = None;
        assert_eq!(rig.ports(1, &data(group)), [0, 2]);
    }
}

#[test]
fn what_every_port_gets_is_flooded() {
    let (mut rig, _) = rig();
    for group in ["224.0.0.1", "224.0.0.251", "ff02::1", "ff02::1:ff00:1", "ff02::fb", "ff01::1"] {
        assert_eq!(rig.ports(0, &data(group)), [1, 2, 3], "{group}");
    }
    assert_eq!(rig.ports(0, &frame(1, 255, 64)), [1, 2, 3]);
    assert_eq!(rig.ports(0, &frame(1, 9, 64)), [1, 2, 3]);
    // Not IP, of another version than it says, cut off, behind a tag, for no group: nothing that could be told apart.
    let whole = data("239.1.1.1");
    let mut station = whole.clone();
    station[30..34].copy_from_slice(&[192, 0, 2, 7]);
    let mut other = whole.clone();
    other[14] = 0x60;
    let mut strange = whole.clone();
    strange[12..14].copy_from_slice(&[0x88, 0xb5]);
    for frame in [&whole[..14], &whole[..33], &station, &other, &strange, &tagged(&whole, 0x8100, 5)] {
        assert_eq!(rig.ports(0, frame), [1, 2, 3], "{frame:02x?}");
    }
    assert!(overheard(&mut rig).is_empty());
}

#[test]
fn answers_go_to_bridges_that_do_not_hear_each_other() {
    for group in ["239.1.1.1", "ff3e::1"] {
        let (mut rig, table) = rig();
        let report = said(group, Say::Join, Dialect::New);
        // The router is behind one tunnel; what is sent behind the other one must come here, too.
        table.set_router(ip(group).is_ipv6(), 2, true);
        for tunnel in [2, 3] {
            rig.snapshot.l2_out[tunnel].zone = Zone::new(255, false);
        }
        assert_eq!(rig.ports(0, &report), [2, 3]);
        assert_eq!(rig.ports(3, &report), [0_u16; 0]);
        assert_eq!(overheard(&mut rig).len(), 2);
    }
}

#[test]
fn a_question_that_not_all_hear_is_not_told() {
    for router in ["192.0.2.9", "fe80::9"] {
        let (mut rig, _) = rig();
        for isolated in [1, 2] {
            rig.snapshot.l2_out[isolated].zone = Zone::new(0, true);
        }
        assert_eq!(rig.ports(1, &asked(router, None)), [0, 3]);
        assert!(overheard(&mut rig).is_empty());
        assert_eq!(rig.ports(0, &asked(router, None)), [1, 2, 3]);
        assert_eq!(overheard(&mut rig).len(), 1);
    }
}

#[test]
fn answers_go_to_routers_and_questions_to_all() {
    for (group, router) in [("239.1.1.1", "192.0.2.9"), ("ff3e::1", "fe80::9")] {
        let (mut rig, table) = rig();
        let is_ipv6 = ip(group).is_ipv6();
        table.join(ip(group), 1).expect("room");
        for (say, dialect) in
            [(Say::Join, Dialect::Old), (Say::Leave, Dialect::Old), (Say::Join, Dialect::New)]
        {
            let report = said(group, say, dialect);
            assert_eq!(rig.ports(2, &report), [0_u16; 0], "there is no router");
            assert_eq!(overheard(&mut rig), [(2, 0, report.clone())]);
            table.set_router(is_ipv6, 3, true);
            assert_eq!(rig.send(2, &report), [(3, report.clone())]);
            assert_eq!(rig.send(3, &report), []);
            assert_eq!(overheard(&mut rig).len(), 2);
            table.set_router(is_ipv6, 3, false);
            table.set_mode(is_ipv6, MulticastMode::default());
            assert_eq!(rig.ports(2, &report), [0, 1, 3], "nobody asks");
            assert_eq!(overheard(&mut rig).len(), 1);
            table.set_mode(is_ipv6, MulticastMode { is_asked: true, is_known: true, is_crowded: false });
        }
        for group in [None, Some(group)] {
            let query = asked(router, group);
            assert_eq!(rig.ports(2, &query), [0, 1, 3]);
            assert_eq!(overheard(&mut rig), [(2, 0, query)]);
        }
        assert_eq!(rig.interface_drops(2), 0);
    }
}

#[test]
fn one_port_gets_no_more_than_its_share_of_control() {
    let (mut rig, _) = rig();
    let report = said("239.1.1.1", Say::Join, Dialect::New);
    let mut heard = 0;
    for number in 0..1000_u16 {
        let mut report = report.clone();
        report[10..12].copy_from_slice(&number.to_be_bytes());
        rig.ports(1, &report);
        heard += overheard(&mut rig).len() as u64;
    }
    let lost = rig.drops(hop::PUNT, Reason::PuntLimit);
    assert!(heard + lost == 1000 && lost > 0, "{heard} and {lost}");
    rig.ports(2, &report);
    assert_eq!(overheard(&mut rig).len(), 1, "another port has a share of its own");
}

#[test]
fn a_trace_says_it_in_words() {
    let (mut rig, table) = rig();
    table.join(ip("239.1.1.1"), 1).expect("room");
    rig.graph.trace().add(1, None);
    rig.ports(0, &data("239.1.1.1"));
    let records = rig.graph.trace().records();
    assert_eq!(
        records[0].text,
        "l2-bridge: br: 02:00:00:00:00:01 on p0; 01:00:5e:01:01:01 is a group\n\
         l2-multicast: br: a copy to each port that asked for it\n"
    );
}

proptest! {
    #[test]
    fn any_frame_to_a_group_is_safe(is_ipv6: bool, header in prop::collection::vec(any::<u8>(), 0..80), at in 0_usize..80, kind: u8) {
        let (mut rig, table) = rig();
        table.set_router(is_ipv6, 3, true);
        let mut report = if is_ipv6 { said("ff3e::1", Say::Join, Dialect::New) } else { asked("192.0.2.1", None) };
        let len = report.len();
        report[14 + at % (len - 14)] = kind;
        let mut any = data(if is_ipv6 { "ff3e::1" } else { "239.1.1.1" });
        any.truncate(14);
        any.extend(header);
        for frame in [&report[..], &report[..len - at % 30], &any] {
            let out = rig.ports(1, frame);
            prop_assert!(out.iter().all(|port| *port != 1));
            overheard(&mut rig);
        }
    }
}
