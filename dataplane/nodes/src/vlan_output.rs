//! `vlan-output`: puts the tag of a frame's domain on, as the VLAN-aware port it leaves by wants it.
//!
//! Next: the rest of the output arc.
//!
//! Cost: nothing is read of a frame that leaves untagged; else its addresses move by four bytes. Which tag a domain has is
//! looked up once for a run of packets of one domain.
//!
//! Frames of the port's native domain leave untagged. Those of a domain that the port is not in are dropped rather than sent
//! untagged: a MAC table may for a moment know an address behind a port that has just left the domain.

use paceline_buf::{Packet, VECTOR_SIZE, Vector};
use paceline_graph::{Context, Hop, Interface, Node, Reason};
use paceline_wire::vlan::{self, TAG_LEN, Tci};

use crate::refuse;

/// The node.
pub struct VlanOutput {
    hops: Box<[Hop; VECTOR_SIZE]>,
}

impl Default for VlanOutput {
    fn default() -> Self {
        VlanOutput { hops: Box::new([Hop::DROP; VECTOR_SIZE]) }
    }
}

/// What becomes of the frames of a domain on a port.
#[derive(Clone, Copy)]
enum Egress {
    Untagged,
    Tagged { tpid: u16, vlan: u16 },
    Refused,
}

impl Egress {
    fn of(interface: Option<&Interface>, domain: u16) -> Egress {
        let Some(port) = interface.and_then(|i| i.vlan.as_deref()) else { return Egress::Untagged };
        match port.tag(domain) {
            Some(vlan) => Egress::Tagged { tpid: port.tpid, vlan },
            None if domain == port.native => Egress::Untagged,
            None => Egress::Refused,
        }
    }
}

impl Node for VlanOutput {
    fn name(&self) -> &'static str {
        "vlan-output"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let (snapshot, tracing) = (cx.snapshot, cx.is_tracing());
        let mut last = None;
        let mut egress = Egress::Untagged;
        for (packet, hop) in vector.as_mut_slice().iter_mut().zip(self.hops.iter_mut()) {
            let key = Some((packet.tx, packet.domain));
            if key != last {
                (last, egress) = (key, Egress::of(snapshot.interface(packet.tx), packet.domain));
            }
            let result = match egress {
                Egress::Untagged => Ok(()),
                Egress::Tagged { tpid, vlan } => tag(packet, tpid, vlan),
                Egress::Refused => Err(Reason::VlanNotAllowed),
            };
            *hop = match result {
                Ok(()) => cx.next_output(packet).unwrap_or(Hop::NOWHERE),
                Err(reason) => refuse(packet, reason),
            };
            if tracing && result.is_ok() {
                match egress {
                    Egress::Tagged { vlan, .. } => cx.trace(packet, format_args!("tagged with vlan {vlan}")),
                    _ => cx.trace(packet, format_args!("untagged")),
                }
            }
        }
        cx.dispatch(vector, &self.hops[..]);
    }
}

#[inline(always)]
fn tag(packet: &mut Packet, tpid: u16, vlan: u16) -> Result<(), Reason> {
    let tci = Tci::new(vlan, packet.aux as u16);
    let frame = packet.prepend(TAG_LEN).map_err(|_| Reason::NoHeadroom)?;
    if vlan::push(frame, tpid, tci) { Ok(()) } else { Err(Reason::Runt) }
}

#[cfg(test)]
mod tests {
    use paceline_buf::VnetHdr;
    use paceline_graph::NO_DOMAIN;

    use super::*;
    use crate::hop;
    use crate::testing::{Rig, frame, tagged, trunk};

    /// Port 0 is VLAN-unaware; port 1 has domain 0 as the native one, port 2 as VLAN 10.
    fn rig() -> Rig {
        let mut rig = Rig::bridge(3);
        trunk(&mut rig, 1, 0, &[(10, 0)]);
        trunk(&mut rig, 2, NO_DOMAIN, &[(5, 1), (10, 0)]);
        rig.domain("other", vec![]);
        rig
    }

    #[test]
    fn each_port_of_a_flood_gets_its_own_form() {
        let mut rig = rig();
        let plain = frame(1, 255, 64);
        assert_eq!(rig.send(0, &plain), [(1, plain.clone()), (2, tagged(&plain, 0x8100, 10))]);
        rig.edit_vlan(2, |port| port.tpid = 0x88a8);
        assert_eq!(rig.send(0, &plain), [(1, plain.clone()), (2, tagged(&plain, 0x88a8, 10))]);
    }

    #[test]
    fn priority_survives_from_tag_to_tag() {
        let mut rig = rig();
        let plain = frame(1, 255, 64);
        let out = rig.send(1, &tagged(&plain, 0x8100, 0xb00a));
        assert_eq!(out, [(0, plain.clone()), (2, tagged(&plain, 0x8100, 0xb00a))]);
        let out = rig.send(1, &tagged(&plain, 0x8100, 0x6000));
        assert_eq!(out[1], (2, tagged(&plain, 0x8100, 0x600a)), "a priority tag counts too");
    }

    #[test]
    fn a_large_frame_between_trunks_is_the_same_but_for_its_tag() {
        let mut rig = rig();
        rig.ports(2, &tagged(&frame(2, 255, 64), 0x8100, 10));
        let request = |csum_start| VnetHdr {
            flags: VnetHdr::NEEDS_CSUM,
            gso_type: VnetHdr::GSO_TCPV4,
            gso_size: 1000,
            csum_start,
            csum_offset: 16,
            hdr_len: 0,
        };
        let plain = frame(1, 2, 30_000);
        let want = VnetHdr { hdr_len: 4, ..request(38) };
        assert_eq!(
            rig.send_offload(0, &plain, Some(request(34))),
            [(2, tagged(&plain, 0x8100, 10), Some(want))]
        );
    }

    #[test]
    fn a_domain_that_the_port_is_not_in_does_not_leave() {
        let mut rig = rig();
        rig.snapshot.bridges[0].macs.insert_static(0x0200_0000_0002, 2);
        trunk(&mut rig, 2, 1, &[(5, 1)]);
        assert_eq!(rig.ports(0, &frame(1, 2, 64)), [0_u16; 0]);
        assert_eq!((rig.drops(hop::VLAN_OUTPUT, Reason::VlanNotAllowed), rig.interface_drops(0)), (1, 1));
    }

    #[test]
    fn without_headroom_the_frame_is_dropped() {
        let mut rig = rig();
        rig.headroom = 3;
        assert_eq!(rig.ports(0, &frame(1, 255, 64)), [1]);
        assert_eq!(rig.drops(hop::VLAN_OUTPUT, Reason::NoHeadroom), 1);
        rig.headroom = 4;
        assert_eq!(rig.ports(0, &frame(1, 255, 64)), [1, 2]);
    }

    #[test]
    fn a_trace_names_the_tag() {
        let mut rig = rig();
        rig.ports(2, &tagged(&frame(2, 255, 64), 0x8100, 10));
        rig.graph.trace().add(1, None);
        rig.ports(0, &frame(1, 2, 64));
        let text = &rig.graph.trace().records()[0].text;
        assert!(text.ends_with("vlan-output: tagged with vlan 10\n"), "{text}");
    }
}
