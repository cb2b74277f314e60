//! `patch`: takes what leaves by one end of a pair of interfaces in by the other one.
//!
//! Next: the input arc of the other end.
//!
//! A bridge's routed leg (BVI) is such a pair: one end is a port of the bridge, the other one is routed.
//!
//! Cost: a few stores for each packet; the frame is not touched.

use paceline_buf::{Packet, VECTOR_SIZE, Vector};
use paceline_graph::{Context, Hop, Node, Reason};

use crate::refuse;

/// The node.
pub struct Patch {
    hops: Box<[Hop; VECTOR_SIZE]>,
}

impl Default for Patch {
    fn default() -> Self {
        Patch { hops: Box::new([Hop::DROP; VECTOR_SIZE]) }
    }
}

impl Node for Patch {
    fn name(&self) -> &'static str {
        "patch"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let mut at = 0;
        for packets in vector.as_mut_slice().chunk_by_mut(|a, b| a.tx == b.tx) {
            let hop = pass(cx, packets);
            self.hops[at..][..packets.len()].fill(hop);
            at += packets.len();
        }
        if cx.is_tracing() {
            let snapshot = cx.snapshot;
            for packet in vector.as_slice() {
                let (out, name) = (snapshot.name(packet.tx), snapshot.name(packet.rx));
                cx.trace(packet, format_args!("out by {out}, in by {name}"));
            }
        }
        cx.dispatch(vector, &self.hops[..]);
    }
}

/// Moves packets that leave by one end to the other one. Where they go on there.
fn pass(cx: &Context<'_>, packets: &mut [Packet]) -> Hop {
    let (snapshot, worker) = (cx.snapshot, cx.worker());
    let Some(first) = packets.first() else { return Hop::DROP };
    let out = snapshot.interface(first.tx);
    let peer = out.and_then(|out| out.peer);
    let (Some(out), Some(number)) = (out, peer) else { return nowhere(packets) };
    let Some(into) = snapshot.interface(number) else { return nowhere(packets) };
    let (count, mut bytes) = (packets.len() as u64, 0);
    for packet in packets {
        (packet.rx, packet.domain, packet.feature) = (number, into.domain, 0);
        bytes += packet.total_len() as u64;
    }
    if let (Some(out), Some(into)) = (out.counters.get(worker), into.counters.get(worker)) {
        out.tx_packets.add(count);
        out.tx_bytes.add(bytes);
        into.rx_packets.add(count);
        into.rx_bytes.add(bytes);
    }
    into.input.first().copied().unwrap_or(Hop::NOWHERE)
}

#[cold]
fn nowhere(packets: &mut [Packet]) -> Hop {
    packets.iter_mut().map(|packet| refuse(packet, Reason::NoPort)).last().unwrap_or(Hop::DROP)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use etherparse::PacketBuilder;
    use paceline_graph::{Capabilities, IpVersion, L3, Link, Vrf};
    use paceline_tables::{Rib4, Rib6};
    use paceline_wire::ethernet::Mac;

    use super::*;
    use crate::testing::{Rig, frame};
    use crate::{Features, hop};

    const LEG: Mac = Mac(0x02ee_0000_0001);
    const HOST: [u8; 6] = [2, 0, 0, 0, 0, 1];

    /// A bridge of ports 0 and 1 with a routed leg: 2 is its end in the bridge, 3 the routed one. 10.0.0.1 is behind port 0, the
    /// router 10.1.0.9 behind the routed port 4.
    fn leg() -> Rig {
        let mut rig = Rig::bridge(2);
        let features = Features { capabilities: Capabilities::ALL, ..Features::default() };
        let l3 = |mac| L3 { mac, address4: Some(Ipv4Addr::new(10, 0, 0, 254)), address6: None, mtu: 1500 };
        rig.interface(2, Features { patch: true, ..features }, |i| i.peer = Some(3));
        rig.interface(3, Features { patch: true, routed: true, ..features }, |i| {
            (i.peer, i.l3) = (Some(2), Some(l3(LEG)));
        });
        rig.interface(4, Features { routed: true, ..features }, |i| i.l3 = Some(l3(Mac(LEG.0 + 1))));
        rig.snapshot.bridges[0].members.push(2);
        rig.snapshot.bridges[0].macs.insert_static(LEG.0, 2);
        let (mut rib4, rib6) = (Rib4::new().expect("room"), Rib6::new().expect("room"));
        let lines = paceline_graph::Adjacencies::new(4);
        let link = |interface, source| Link { interface, mtu: 1500, source, version: IpVersion::V4 };
        lines.get(1).forward(link(3, LEG), Mac::from_octets(HOST));
        lines.get(2).forward(link(4, Mac(LEG.0 + 1)), Mac(0x06));
        rib4.insert("10.0.0.1/32".parse().expect("a prefix"), 1).expect("room");
        rib4.insert("10.1.0.0/16".parse().expect("a prefix"), 2).expect("room");
        let (fib4, fib6) = (Arc::clone(rib4.fib()), Arc::clone(rib6.fib()));
        rig.snapshot.vrfs.push(Vrf { name: "v".into(), fib4, fib6 });
        rig.snapshot.adjacencies = Arc::new(lines);
        rig
    }

    fn packet(from: [u8; 6], to: Mac, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2(from, to.octets()).ipv4(source, destination, 64).udp(1, 2);
        let mut frame = Vec::new();
        builder.write(&mut frame, &[9; 30]).expect("written");
        frame
    }

    #[test]
    fn a_bridge_is_routed_by_its_leg_both_ways() {
        let mut rig = leg();
        // Who is where.
        rig.ports(0, &frame(1, 255, 64));
        assert_eq!(rig.ports(0, &packet(HOST, LEG, [10, 0, 0, 1], [10, 1, 0, 9])), [4]);
        let out = rig.send(4, &packet([4; 6], Mac(LEG.0 + 1), [10, 1, 0, 9], [10, 0, 0, 1]));
        assert_eq!(
            out.iter().map(|(port, bytes)| (*port, &bytes[..12])).collect::<Vec<_>>(),
            [(0, &[HOST, LEG.octets()].concat()[..])]
        );
        let count = |rig: &Rig, index: u16| {
            let counters = &rig.snapshot.interface(index).expect("there").counters[0];
            (counters.rx_packets.get(), counters.tx_packets.get())
        };
        assert_eq!((count(&rig, 2), count(&rig, 3)), ((1, 2), (2, 1)), "the flood was a frame for it, too");
    }

    #[test]
    fn an_end_without_the_other_one_drops_and_counts() {
        let mut rig = leg();
        rig.snapshot.interfaces[3] = None;
        assert_eq!(rig.ports(0, &packet(HOST, LEG, [10, 0, 0, 1], [10, 1, 0, 9])), []);
        assert_eq!(rig.drops(hop::PATCH, Reason::NoPort), 1);
    }
}
