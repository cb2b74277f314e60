//! What rules do with packets besides permitting them.

use paceline_buf::Packet;
use paceline_graph::filter::Rule;
use paceline_graph::{Context, Hop, Reason};
use paceline_sys::cpu::tsc;
use paceline_wire::checksum::update;
use paceline_wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN, ethertype};
use paceline_wire::ipv4::Ipv4Header;

use super::{Way, Work};
use crate::hop;

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
        copy(cx, packet, target);
    }
    let Some(name) = &rule.redirect else { return Ok(Way::On) };
    // To nowhere, rather than where it should not go.
    let Some(target) = target(name) else { return Err(Reason::NoPort) };
    let hop = past_filters(cx, packet, target).ok_or(Reason::NoPort)?;
    cx.trace(packet, format_args!("redirected to {name}"));
    Ok(Way::To(hop))
}

/// Sends a copy out of an interface.
pub(crate) fn copy(cx: &mut Context<'_>, packet: &mut Packet, target: u16) {
    let Some(mut copy) = cx.cache.replicate(packet) else { return cx.count(packet.rx, Reason::NoBuffers) };
    copy.clear_trace();
    match past_filters(cx, &mut copy, target) {
        Some(hop) => cx.send(copy, hop),
        None => cx.drop(copy, Reason::NoPort),
    }
}

/// Where a packet goes that leaves by an interface without having its filters asked: by what the port itself needs. So nothing
/// that is mirrored or redirected is mirrored or redirected again.
pub(crate) fn past_filters(cx: &Context<'_>, packet: &mut Packet, target: u16) -> Option<Hop> {
    let output = &cx.snapshot.interface(target)?.output;
    let is_ports = |hop: &Hop| {
        matches!(*hop, hop::OFFLOAD | hop::CAPTURE_OUTPUT | hop::PATCH) || hop.as_port().is_some()
    };
    let at = output.iter().position(is_ports)?;
    (packet.tx, packet.feature) = (target, at as u8);
    output.get(at).copied()
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
