//! Multicast groups in a bridge that listens.

use std::collections::BTreeSet;

use paceline_wire::ethernet::{HEADER_LEN, Mac};
use paceline_wire::membership::{self, Dialect, MAX_LEN, Say};

use super::*;
use crate::spec::SnoopingSpec;

const GROUP: [u8; 4] = [239, 1, 1, 1];

fn listening(members: &[&str], querier: bool) -> Topology {
    let mut topology = topology(members);
    for bridge in topology.bridges.values_mut() {
        bridge.snooping = Some(SnoopingSpec { querier });
    }
    topology
}

/// A question of all groups, to be answered at once.
fn question() -> Vec<u8> {
    let mut out = [0; MAX_LEN];
    let source = std::net::IpAddr::from([192, 0, 2, 9]);
    let len = membership::ask(Mac(0x0200_0000_0009), source, None, Duration::ZERO, &mut out).expect("room");
    out[..len].to_vec()
}

fn said(say: Say) -> Vec<u8> {
    let mut out = [0; MAX_LEN];
    let source = std::net::IpAddr::from([192, 0, 2, 1]);
    let len = membership::write(Mac(0x0200_0000_0001), source, GROUP.into(), say, Dialect::New, &mut out);
    out[..len.expect("room")].to_vec()
}

/// A datagram to a group.
fn data(group: [u8; 4]) -> Vec<u8> {
    let mut frame = frame(5, 0);
    frame[..6].copy_from_slice(&Mac::of_group_v4(group).octets());
    frame[12..14].copy_from_slice(&[8, 0]);
    let header = [0x45, 0, 0, 50, 0, 0, 0, 0, 9, 17, 0, 0, 192, 0, 2, 5];
    frame[HEADER_LEN..HEADER_LEN + 16].copy_from_slice(&header);
    frame[HEADER_LEN + 16..HEADER_LEN + 20].copy_from_slice(&group);
    frame
}

/// Sends a frame to the group in by the last port, again and again, until it comes out by exactly these others.
fn goes_to(peers: &[&MemoryPeer], want: &[usize]) {
    // Every port gets this one, after what was sent before it.
    let (data, mark) = (data(GROUP), data([224, 0, 0, 1]));
    let (from, others) = peers.split_last().expect("ports");
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut got = BTreeSet::new();
    while Instant::now() < deadline {
        from.send(&data);
        from.send(&mark);
        got.clear();
        for (number, peer) in others.iter().enumerate() {
            while let Some(frame) = wait(peer).filter(|frame| *frame != mark) {
                got.extend((frame == data).then_some(number));
            }
        }
        if got.iter().eq(want) {
            return;
        }
    }
    panic!("{got:?} and not {want:?}");
}

fn wait(peer: &MemoryPeer) -> Option<Vec<u8>> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        if let Some(frame) = peer.receive() {
            return Some(frame);
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    None
}

#[test]
fn who_joins_gets_a_group_and_who_leaves_the_bridge_does_not() {
    let mut engine = engine(1, Mode::Adaptive);
    let names = ["p0", "p1", "p2", "p3"];
    let [a, b, c, d] = names.map(|name| attach(&mut engine, name));
    engine.configure(listening(&names, false)).expect("configured");
    goes_to(&[&a, &b, &c, &d], &[0, 1, 2]);
    // Somebody asks.
    a.send(&question());
    b.send(&said(Say::Join));
    goes_to(&[&a, &b, &c, &d], &[0, 1]);
    let views = engine.multicast();
    let view = |at: usize| (views[at].role, views[at].group.as_deref(), &*views[at].interface);
    assert_eq!((view(0), view(1)), (("member", Some("239.1.1.1"), "p1"), ("router4", None, "p0")));
    let bridge = &engine.bridges()[0];
    assert_eq!((bridge.snooping, bridge.groups, bridge.groups_refused), (true, 1, 0));
    engine.configure(listening(&["p0", "p2", "p3"], false)).expect("configured");
    goes_to(&[&a, &c, &d], &[0]);
    assert_eq!(engine.multicast().len(), 1);
    engine.configure(topology(&names)).expect("configured");
    goes_to(&[&a, &b, &c, &d], &[0, 1, 2]);
    engine.stop();
}

#[test]
fn a_querier_asks_all_ports() {
    let mut engine = engine(1, Mode::Adaptive);
    let [a, b] = ["a", "b"].map(|name| attach(&mut engine, name));
    engine.configure(listening(&["a", "b"], true)).expect("configured");
    for peer in [&a, &b] {
        for is_ipv6 in [false, true] {
            let frame = wait(peer).expect("a question");
            let query = membership::query(&frame[HEADER_LEN..]).expect("a question");
            assert_eq!((query.group, frame[12..14] == [0x86, 0xdd]), (None, is_ipv6));
        }
    }
    engine.stop();
}
