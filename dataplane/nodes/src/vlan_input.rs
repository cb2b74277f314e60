//! `vlan-input`: finds the domain of a frame on a VLAN-aware port and takes the tag off.
//!
//! Next: the rest of the input arc.
//!
//! Cost: reads the EtherType of every frame, in the cache line that the bridge reads next; a tagged frame has its addresses
//! moved by four bytes and its VLAN looked up by binary search.
//!
//! IEEE 802.1Q §6.9: a frame without the port's tag, or whose tag has VLAN 0 and thus only gives a priority, belongs to
//! the native domain. Tags of another type are payload. The priority bits of a tag wait in the packet's `aux` for
//! `vlan-output`.

use paceline_buf::{Packet, VECTOR_SIZE, Vector};
use paceline_graph::{Context, Hop, NO_DOMAIN, Node, Reason, VlanPort};
use paceline_wire::ethernet;
use paceline_wire::vlan::{self, TAG_LEN};

use crate::refuse;

/// The node.
pub struct VlanInput {
    hops: Box<[Hop; VECTOR_SIZE]>,
}

impl Default for VlanInput {
    fn default() -> Self {
        VlanInput { hops: Box::new([Hop::DROP; VECTOR_SIZE]) }
    }
}

impl Node for VlanInput {
    fn name(&self) -> &'static str {
        "vlan-input"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let (snapshot, tracing) = (cx.snapshot, cx.is_tracing());
        for (packet, hop) in vector.as_mut_slice().iter_mut().zip(self.hops.iter_mut()) {
            let port = snapshot.interface(packet.rx).and_then(|i| i.vlan.as_deref());
            let result = port.map_or(Ok(None), |port| classify(port, packet));
            *hop = match result {
                Ok(_) => cx.next_input(packet).unwrap_or(Hop::NOWHERE),
                Err(reason) => refuse(packet, reason),
            };
            if tracing && let Ok(vlan) = result {
                let domain = snapshot.bridges.get(packet.domain as usize).map_or("?", |b| &b.name);
                match vlan {
                    Some(vlan) => cx.trace(packet, format_args!("vlan {vlan}: domain {domain}")),
                    None => cx.trace(packet, format_args!("no tag of this port: domain {domain}")),
                }
            }
        }
        cx.dispatch(vector, &self.hops[..]);
    }
}

/// Sets the domain and takes the tag off; says which VLAN it had.
#[inline(always)]
fn classify(port: &VlanPort, packet: &mut Packet) -> Result<Option<u16>, Reason> {
    packet.aux = 0;
    if port.tunnel || ethernet::ethertype(packet.data()).ok_or(Reason::Runt)? != port.tpid {
        packet.domain = native(port)?;
        return Ok(None);
    }
    let tci = vlan::tci(packet.data()).ok_or(Reason::Runt)?;
    packet.domain = match tci.vlan() {
        0 => native(port)?,
        vlan => port.domain(vlan).ok_or(Reason::VlanNotAllowed)?,
    };
    if !vlan::pop(packet.data_mut()) {
        return Err(Reason::Runt);
    }
    // Offsets of an offload request count from the first byte, which moves.
    packet.trim_front(TAG_LEN);
    packet.aux = u32::from(tci.priority());
    Ok(Some(tci.vlan()))
}

fn native(port: &VlanPort) -> Result<u16, Reason> {
    if port.native == NO_DOMAIN { Err(Reason::VlanNotAllowed) } else { Ok(port.native) }
}

#[cfg(test)]
mod tests {
    use paceline_buf::VnetHdr;

    use super::*;
    use crate::hop;
    use crate::testing::{Rig, frame, tagged, trunk};

    /// Domain 0 is VLAN 10 and native on port 0, domain 1 is VLAN 20. Ports 2 and 3 are in them and VLAN-unaware.
    fn rig() -> Rig {
        let mut rig = Rig::bridge(4);
        trunk(&mut rig, 0, 0, &[(10, 0), (20, 1)]);
        rig.snapshot.bridges[0].members = vec![0, 2];
        rig.domain("br.20", vec![0, 3]);
        rig
    }

    fn refused(rig: &mut Rig, bytes: &[u8], reason: Reason) {
        let before = rig.drops(hop::VLAN_INPUT, reason);
        assert_eq!(rig.ports(0, bytes), [0_u16; 0], "{reason:?}");
        assert_eq!(rig.drops(hop::VLAN_INPUT, reason), before + 1, "{reason:?}");
    }

    #[test]
    fn tags_choose_the_domain_and_come_off() {
        let mut rig = rig();
        let plain = frame(1, 2, 64);
        assert_eq!(rig.send(0, &tagged(&plain, 0x8100, 20)), [(3, plain.clone())]);
        assert_eq!(rig.send(0, &tagged(&plain, 0x8100, 10)), [(2, plain.clone())]);
        assert_eq!(rig.send(0, &plain), [(2, plain.clone())]);
    }

    #[test]
    fn a_priority_tag_is_no_vlan() {
        let mut rig = rig();
        let plain = frame(1, 2, 64);
        assert_eq!(rig.send(0, &tagged(&plain, 0x8100, 0xe000)), [(2, plain)]);
    }

    #[test]
    fn an_inner_tag_or_one_of_another_type_is_payload() {
        let mut rig = rig();
        let customer = tagged(&frame(1, 2, 64), 0x8100, 7);
        assert_eq!(rig.send(0, &tagged(&customer, 0x8100, 20)), [(3, customer.clone())]);
        let service = tagged(&customer, 0x88a8, 20);
        assert_eq!(rig.send(0, &service), [(2, service.clone())]);
    }

    #[test]
    fn what_the_port_does_not_carry_is_dropped() {
        let mut rig = rig();
        for vlan in [1, 30, 4095] {
            refused(&mut rig, &tagged(&frame(1, 2, 64), 0x8100, vlan), Reason::VlanNotAllowed);
        }
        trunk(&mut rig, 0, NO_DOMAIN, &[(20, 1)]);
        refused(&mut rig, &frame(1, 2, 64), Reason::VlanNotAllowed);
        refused(&mut rig, &tagged(&frame(1, 2, 64), 0x8100, 0), Reason::VlanNotAllowed);
        assert_eq!(rig.interface_drops(0), 2, "counters are new with the interface");
    }

    #[test]
    fn a_frame_that_ends_in_its_tag_is_a_runt() {
        let mut rig = rig();
        let whole = tagged(&frame(1, 2, 14), 0x8100, 20);
        for len in 0..18 {
            refused(&mut rig, &whole[..len], Reason::Runt);
        }
        assert_eq!(rig.ports(0, &whole), [3]);
    }

    #[test]
    fn a_tunnel_keeps_all_tags() {
        let mut rig = rig();
        trunk(&mut rig, 0, 1, &[]);
        rig.edit_vlan(0, |port| port.tunnel = true);
        let plain = frame(1, 2, 64);
        for bytes in [tagged(&plain, 0x8100, 99), tagged(&tagged(&plain, 0x8100, 1), 0x88a8, 2), plain] {
            assert_eq!(rig.send(0, &bytes), [(3, bytes.clone())]);
        }
    }

    #[test]
    fn offsets_of_an_offload_request_move_with_the_frame() {
        let mut rig = rig();
        let request = |csum_start, hdr_len| VnetHdr {
            flags: VnetHdr::NEEDS_CSUM,
            gso_type: VnetHdr::GSO_TCPV4,
            gso_size: 500,
            hdr_len,
            csum_start,
            csum_offset: 16,
        };
        let plain = frame(1, 2, 3000);
        let out = rig.send_offload(0, &tagged(&plain, 0x8100, 20), Some(request(38, 58)));
        assert_eq!(out, [(3, plain, Some(request(34, 54)))]);
    }

    #[test]
    fn a_trace_names_vlan_and_domain() {
        let mut rig = rig();
        rig.graph.trace().add(2, None);
        rig.ports(0, &tagged(&frame(1, 2, 64), 0x8100, 20));
        rig.ports(0, &frame(1, 2, 64));
        let text = |rig: &mut Rig, at: usize| rig.graph.trace().records()[at].text.clone();
        assert!(text(&mut rig, 0).starts_with("vlan-input: vlan 20: domain br.20\nl2-bridge: "));
        assert!(text(&mut rig, 1).starts_with("vlan-input: no tag of this port: domain br\nl2-bridge: "));
    }
}
