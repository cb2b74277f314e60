//! `mss-clamp-input` and `mss-clamp-output`: lower the segment size that TCP handshakes offer to what a routed interface can carry.
//!
//! Next: the rest of the arc; everything else goes on unchanged.
//!
//! For links behind which "too long" messages are lost, such as tunnels: both ends of a connection that comes in or leaves by
//! the interface then send segments that fit (RFC 4459 §3.2 calls it adjusting the MSS).
//!
//! Cost: a look at the flags of each TCP segment, which the router has in its cache.

use paceline_buf::{Packet, VECTOR_SIZE, Vector};
use paceline_graph::{Context, Hop, Node};
use paceline_wire::checksum::Field;
use paceline_wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN, ethertype};
use paceline_wire::mss;

/// Either of the two nodes.
pub struct MssClamp {
    outbound: bool,
    hops: Box<[Hop; VECTOR_SIZE]>,
}

impl MssClamp {
    /// `mss-clamp-input`.
    pub fn input() -> MssClamp {
        MssClamp { outbound: false, hops: Box::new([Hop::DROP; VECTOR_SIZE]) }
    }

    /// `mss-clamp-output`.
    pub fn output() -> MssClamp {
        MssClamp { outbound: true, ..MssClamp::input() }
    }
}

impl Node for MssClamp {
    fn name(&self) -> &'static str {
        if self.outbound { "mss-clamp-output" } else { "mss-clamp-input" }
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let (snapshot, outbound) = (cx.snapshot, self.outbound);
        for (packet, hop) in vector.as_mut_slice().iter_mut().zip(self.hops.iter_mut()) {
            let index = if outbound { packet.tx } else { packet.rx };
            let mtu =
                snapshot.interface(index).and_then(|interface| interface.l3).map_or(u16::MAX, |l3| l3.mtu);
            if clamp(packet, mtu) && cx.is_tracing() {
                cx.trace(packet, format_args!("segment size lowered for an MTU of {mtu}"));
            }
            let next = if outbound { cx.next_output(packet) } else { cx.next_input(packet) };
            *hop = next.unwrap_or(Hop::NOWHERE);
        }
        cx.dispatch(vector, &self.hops[..]);
    }
}

/// Lowers the segment size that a packet offers. Whether it did.
fn clamp(packet: &mut Packet, mtu: u16) -> bool {
    let partial = packet.offload().is_some_and(|offload| offload.needs_csum());
    let sum = if partial { Field::Partial } else { Field::Full };
    let frame = packet.data_mut();
    let kind = ethertype(frame);
    let Some(ip) = frame.get_mut(HEADER_LEN..) else { return false };
    match kind {
        Some(ETHERTYPE_IPV4) => mss::clamp_v4(ip, mss::of_mtu_v4(mtu), sum),
        Some(ETHERTYPE_IPV6) => mss::clamp_v6(ip, mss::of_mtu_v6(mtu), sum),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{PacketBuilder, TcpOptionElement};
    use paceline_graph::{Capabilities, L3};
    use paceline_wire::ethernet::Mac;

    use crate::Features;
    use crate::testing::Rig;

    /// A SYN that offers `mss`, or a segment without the flag.
    fn segment(v6: bool, mss: u16, syn: bool) -> Vec<u8> {
        let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let ip = if v6 { ethernet.ipv6([1; 16], [2; 16], 9) } else { ethernet.ipv4([1; 4], [2; 4], 9) };
        let tcp = ip.tcp(1, 2, 3, 4).options(&[TcpOptionElement::MaximumSegmentSize(mss)]).expect("room");
        let mut frame = Vec::new();
        let tcp = if syn { tcp.syn() } else { tcp.ack(7) };
        tcp.write(&mut frame, &[]).expect("written");
        frame
    }

    #[test]
    fn handshakes_are_lowered_both_ways_and_nothing_else() {
        let mut rig = Rig::bridge(3);
        let features = Features { mss_clamp: true, capabilities: Capabilities::ALL, ..Features::default() };
        let l3 = L3 { mac: Mac(2), address4: None, address6: None, mtu: 1400 };
        // The arcs are those of a routed interface; that the bridge is in between makes no difference here.
        rig.interface(0, features, |i| i.l3 = Some(l3));
        for (v6, most) in [(false, 1360), (true, 1340)] {
            for (mss, syn) in [(1460, true), (1300, true), (1460, false)] {
                let (frame, want) =
                    (segment(v6, mss, syn), segment(v6, if syn { mss.min(most) } else { mss }, syn));
                for (from, to) in [(0, 1), (1, 0)] {
                    let out = rig.send(from, &frame);
                    let seen = out.iter().find(|(port, _)| *port == to).map(|(_, frame)| &frame[..]);
                    assert_eq!(seen, Some(&want[..]), "v6 {v6}, {mss}, from {from}");
                }
                assert!(
                    rig.send(1, &frame).iter().any(|(port, out)| *port == 2 && *out == frame),
                    "elsewhere it stays"
                );
            }
        }
    }
}
