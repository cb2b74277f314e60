//! `vxlan-bypass`: takes packets of tunnels off the way of routed interfaces, where the address they are for is that of the interface
//! they came in by.
//!
//! Next: the input arc of the tunnel's interface; the rest of this one's for all other packets, of which those of tunnels with
//! something unusual come to `vxlan-decap` by their route.
//!
//! On an underlay nearly all packets are of tunnels, and each of them would be routed to the switch itself first. What routing
//! checks is checked here: the Ethernet address and the IP header. The addresses are known by the tunnel that they are of.
//!
//! Cost: that of `vxlan-decap` and the sum over the IPv4 header; for packets of no tunnel a look at both headers, which the routing node is
//! about to read.

use paceline_buf::{Packet, VECTOR_SIZE, Vector};
use paceline_graph::{Context, Hop, Node, Reason, TunnelKey};
use paceline_wire::ethernet::HEADER_LEN;
use paceline_wire::input::{check_v4, check_v6};
use paceline_wire::{ipv4, ipv6};

use super::{Run, plain_v4, plain_v6, trace};
use crate::refuse;

/// The node.
pub struct VxlanBypass {
    hops: Box<[Hop; VECTOR_SIZE]>,
}

impl Default for VxlanBypass {
    fn default() -> Self {
        VxlanBypass { hops: Box::new([Hop::DROP; VECTOR_SIZE]) }
    }
}

impl Node for VxlanBypass {
    fn name(&self) -> &'static str {
        "vxlan-bypass"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let mut run = Run::default();
        let is_tracing = cx.is_tracing();
        let (mut rx, mut own) = (u16::MAX, None);
        for (packet, hop) in vector.as_mut_slice().iter_mut().zip(self.hops.iter_mut()) {
            if packet.rx != rx {
                rx = packet.rx;
                own = cx.snapshot.interface(rx).and_then(|interface| interface.l3).map(|l3| l3.mac.octets());
            }
            *hop = match run.straight(cx, packet, rx, own) {
                Some(Ok(hop)) => {
                    if is_tracing {
                        trace(cx, packet);
                    }
                    hop
                }
                Some(Err(reason)) => refuse(packet, reason),
                None => cx.next_input(packet).unwrap_or(Hop::NOWHERE),
            };
        }
        run.count(cx);
        cx.dispatch(vector, &self.hops[..]);
    }
}

impl<'a> Run<'a> {
    /// Takes the headers off a packet that is like most of a tunnel that ends at `rx`, where it came in. `None` of any other, which is
    /// left as it was.
    #[inline(always)]
    fn straight(
        &mut self,
        cx: &Context<'a>,
        packet: &mut Packet,
        rx: u16,
        own: Option<[u8; 6]>,
    ) -> Option<Result<Hop, Reason>> {
        let (ethernet, ip) = packet.data().split_first_chunk::<HEADER_LEN>()?;
        if !packet.is_plain() || ethernet.first_chunk() != own.as_ref() {
            return None;
        }
        if let Some((key, outer)) = plain_v4(packet) {
            check_v4(ip, ip.len()).ok()?;
            if key != self.v4 || rx != self.rx {
                self.turn_to_end(cx, cx.snapshot.tunnels.v4().tunnel(&key)?, rx)?;
                (self.v4, self.v6, self.rx) = (key, TunnelKey::default(), rx);
            }
            return Some(self.open::<{ HEADER_LEN + ipv4::MIN_LEN }>(packet, &outer));
        }
        let (key, outer) = plain_v6(packet)?;
        check_v6(ip, ip.len()).ok()?;
        if key != self.v6 || rx != self.rx {
            self.turn_to_end(cx, cx.snapshot.tunnels.v6().tunnel(&key)?, rx)?;
            (self.v4, self.v6, self.rx) = (TunnelKey::default(), key, rx);
        }
        Some(self.open::<{ HEADER_LEN + ipv6::HEADER_LEN }>(packet, &outer))
    }

    /// Goes over to a tunnel, if it is one of those that end at `rx`.
    #[inline(always)]
    fn turn_to_end(&mut self, cx: &Context<'a>, index: u16, rx: u16) -> Option<()> {
        let is_end = cx.snapshot.interface(index)?.tunnel.as_ref()?.origin == rx;
        is_end.then(|| self.turn_to(cx, index))
    }
}
