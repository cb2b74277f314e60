//! What comes by a tunnel that ends where it came in.

use crossbeam::queue::ArrayQueue;
use paceline_graph::{Hop, Reason};
use proptest::prelude::*;

use super::*;
use crate::testing::frame;
use crate::{NAMES, hop};

/// A switch whose tunnel ends at the underlay's port, which takes its packets at once.
fn bypassing(v6: bool, own: u8, other: u8) -> Rig {
    let mut rig = switch(v6, own, other);
    let features =
        Features { routed: true, vxlan_bypass: true, capabilities: Capabilities::ALL, ..Features::default() };
    rig.interface(UNDERLAY, features, |i| {
        i.l3 = Some(L3 { mac: mac(own), address4: None, address6: None, mtu: 1600 });
        (i.mtu, i.zone) = (1600, Zone::new(0, false));
    });
    set(&mut rig, &tunnel(v6, own, other));
    rig
}

fn packets(rig: &Rig, node: Hop) -> u64 {
    rig.graph.counters()[node.as_node().expect("a node") as usize].packets.get()
}

#[test]
fn packets_of_tunnels_are_not_routed() {
    for v6 in [false, true] {
        let (mut rig, inner) = (bypassing(v6, 2, 1), frame(1, 2, 64));
        let whole = encapsulated(&mut switch(v6, 1, 2), &inner);
        assert_eq!(rig.send(UNDERLAY, &whole), [(PORT, inner.clone())]);
        let nodes = [hop::VXLAN_BYPASS, hop::VXLAN_DECAP, hop::IP4_ROUTE, hop::IP6_ROUTE];
        assert_eq!(nodes.map(|node| packets(&rig, node)), [1, 0, 0, 0]);
        assert_eq!(rig.snapshot.interface(TUNNEL).expect("there").counters[0].rx_packets.get(), 1);
        // One whose end is at another port comes by its route, which must lead there.
        set(&mut rig, &Tunnel { origin: SECOND, ..tunnel(v6, 2, 1) });
        assert_eq!(rig.send(UNDERLAY, &whole), [(PORT, inner.clone())]);
        assert_eq!(nodes[..2].iter().map(|node| packets(&rig, *node)).collect::<Vec<_>>(), [2, 1]);
        // So does one that says it was let in by the wrong machine.
        let mut astray = whole.clone();
        astray[5] ^= 1;
        assert_eq!(rig.send(UNDERLAY, &astray), []);
        assert_eq!(
            rig.drops(hop::IP4_ROUTE, Reason::NotForUs) + rig.drops(hop::IP6_ROUTE, Reason::NotForUs),
            1
        );
    }
}

/// All drops by reason, wherever they were.
fn drops(rig: &Rig) -> Vec<(Reason, u64)> {
    let of = |reason: &Reason| NAMES.iter().map(|(node, _)| rig.drops(*node, *reason)).sum();
    Reason::ALL.iter().map(|reason| (*reason, of(reason))).filter(|(_, packets)| *packets > 0).collect()
}

proptest! {
    #[test]
    fn the_short_way_does_what_the_long_one_does(
        v6: bool,
        edits in prop::collection::vec((0..100_usize, any::<u8>()), 0..3),
        cut in prop_oneof![3 => Just(200_usize), 1 => 0..140_usize],
        is_summed: bool,
        rx in prop_oneof![3 => Just(UNDERLAY), 1 => Just(SECOND)],
        learns: bool,
    ) {
        let mut bytes = encapsulated(&mut switch(v6, 1, 2), &ip(!v6, 0, 9, (1, 2), 20));
        for (at, value) in edits {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(cut);
        if is_summed && bytes.len() >= 34 {
            paceline_wire::ipv4::fill_checksum(&mut bytes[14..34]);
        }
        let outcome = |mut rig: Rig| {
            let punt = Arc::new(ArrayQueue::new(4));
            rig.snapshot.punt = Some(Arc::clone(&punt));
            set(&mut rig, &Tunnel { learns, ..tunnel(v6, 2, 1) });
            let out = rig.send(rx, &bytes);
            let held: Vec<_> = std::iter::from_fn(|| punt.pop()).collect();
            let punted: Vec<_> = held.iter().map(|packet| (packet.reason, packet.data().to_vec())).collect();
            rig.release(held);
            (out, punted, drops(&rig))
        };
        prop_assert_eq!(outcome(bypassing(v6, 2, 1)), outcome(switch(v6, 2, 1)));
    }
}

/// As the property above, with bytes that a fuzzer may choose: `cargo bolero test vxlan_tests::bypass::any_bytes_of_the_underlay`.
#[test]
fn any_bytes_of_the_underlay() {
    bolero::check!().with_type::<(bool, [(u8, u8); 4], Vec<u8>)>().with_iterations(100).for_each(
        |(v6, edits, inner)| {
            let frame =
                [&[255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1], &inner[..inner.len().min(1000)], &[0; 2]]
                    .concat();
            let mut bytes = encapsulated(&mut switch(*v6, 1, 2), &frame);
            for (at, value) in edits {
                let at = usize::from(*at) % bytes.len();
                bytes[at] = *value;
            }
            for bytes in [&bytes[..], inner] {
                let bytes = &bytes[..bytes.len().min(1600)];
                let outcome = |mut rig: Rig| (rig.send(UNDERLAY, bytes), rig.send(PORT, bytes), drops(&rig));
                assert_eq!(outcome(bypassing(*v6, 2, 1)), outcome(switch(*v6, 2, 1)));
            }
        },
    );
}
