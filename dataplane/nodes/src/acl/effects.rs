//! What rules do with packets besides permitting them.

use paceline_buf::Packet;
use paceline_graph::filter::Rule;
use paceline_graph::{Context, Hop, NO_DOMAIN, Reason, Snapshot};
use paceline_sys::cpu::tsc;
use paceline_wire::checksum::update;
use paceline_wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN, ethertype};
use paceline_wire::ipv4::Ipv4Header;

use super::{Way, Work};
use crate::hop;
use crate::l2_size::fits;

/// Does what a rule wants of a packet that it permits; where that goes.
pub(super) fn carry_out(
    cx: &mut Context<'_>,
    work: &Work<'_>,
    packet: &mut Packet,
    rule: &Rule,
    is_ip: bool,
) -> Result<Way, Reason> {
    if let Some(policer) = &rule.policer
        && !policer.passes(tsc(), packet.total_len())
    {
        return Err(Reason::Policed);
    }
    if let Some(dscp) = rule.dscp.filter(|_| is_ip) {
        set_dscp(packet, dscp);
    }
    let target = |name: &std::sync::Arc<str>| work.filter.targets.get(name).copied();
    if let Some(target) = rule.mirror.as_ref().and_then(target) {
        copy(cx, packet, work.index, target);
    }
    let Some(name) = &rule.redirect else { return Ok(Way::On) };
    // To nowhere, rather than where it should not go.
    let Some(target) = target(name) else { return Err(Reason::NoPort) };
    let hop = past_filters(cx.snapshot, packet, work.index, target)?;
    cx.trace(packet, format_args!("redirected to {name}"));
    Ok(Way::To(hop))
}

/// Sends a copy of a packet at interface `from` out of another one.
pub(crate) fn copy(cx: &mut Context<'_>, packet: &mut Packet, from: u16, target: u16) {
    let Some(mut copy) = cx.cache.replicate(packet) else { return cx.count(packet.rx, Reason::NoBuffers) };
    copy.clear_trace();
    match past_filters(cx.snapshot, &mut copy, from, target) {
        Ok(hop) => cx.send(copy, hop),
        Err(reason) => cx.drop(copy, reason),
    }
}

/// Where a packet at interface `from` goes that leaves by another one without having its filters asked, but as all that leaves there:
/// no longer than its MTU, with the tag of its VLAN, cut and summed for the port. So nothing that is mirrored or redirected is mirrored or
/// redirected again.
///
/// # Errors
/// Why it cannot leave there.
pub(crate) fn past_filters(
    snapshot: &Snapshot,
    packet: &mut Packet,
    from: u16,
    target: u16,
) -> Result<Hop, Reason> {
    let interface = snapshot.interface(target).ok_or(Reason::NoPort)?;
    let mtu = interface.l3.map_or(interface.mtu, |l3| interface.mtu.min(l3.mtu.into()));
    if !fits(packet, HEADER_LEN as u32 + mtu) {
        return Err(Reason::TooBig);
    }
    if let Some(port) = interface.vlan.as_deref() {
        // The domain of a routed packet is a routing table.
        let is_bridged = snapshot.interface(from).is_some_and(|from| from.l3.is_none());
        if !is_bridged {
            // Nor is what routing left there the priority of a tag.
            packet.aux = 0;
        }
        packet.domain = port.carried(packet.domain).filter(|_| is_bridged).unwrap_or(port.native);
        if packet.domain == NO_DOMAIN {
            return Err(Reason::VlanNotAllowed);
        }
    }
    let is_passed_by = |hop: &Hop| {
        matches!(
            *hop,
            hop::NAT44_IN2OUT
                | hop::MSS_CLAMP_OUTPUT
                | hop::ACL_OUTPUT
                | hop::POLICE_OUTPUT
                | hop::MIRROR_OUTPUT
        )
    };
    let at = interface.output.iter().position(|hop| !is_passed_by(hop)).ok_or(Reason::NoPort)?;
    (packet.tx, packet.feature) = (target, at as u8);
    interface.output.get(at).copied().ok_or(Reason::NoPort)
}

/// Gives an IP packet a code point (RFC 2474); its congestion bits stay as they are.
pub(crate) fn set_dscp(packet: &mut Packet, dscp: u8) {
    let kind = ethertype(packet.data());
    let Some(ip) = packet.data_mut().get_mut(HEADER_LEN..) else { return };
    match kind {
        Some(ETHERTYPE_IPV4) => {
            let Some(header) = Ipv4Header::read_mut(ip) else { return };
            let tos = dscp << 2 | header.tos & 3;
            let word = |tos: u8| u16::from_be_bytes([0x40, tos]);
            header.checksum.set(update(header.checksum.get(), word(header.tos), word(tos)));
            header.tos = tos;
        }
        Some(ETHERTYPE_IPV6) => {
            // Version 4 bits, traffic class 8, flow label 20.
            let Some(first) = ip.first_chunk_mut::<2>().filter(|first| first[0] >> 4 == 6) else { return };
            let word = u16::from_be_bytes(*first) & 0xf03f | u16::from(dscp) << 6;
            *first = word.to_be_bytes();
        }
        _ => {}
    }
}
