//! What is IPv4's own in address translation (RFC 3022, RFC 5508).

use paceline_graph::nat::{Nat, NatSide};
use paceline_graph::{Hop, L3, Reason, TunnelEnds, TunnelKey};
use paceline_tables::Tuple;
use paceline_wire::checksum::{Field, update};
use paceline_wire::flow::{Kind, extract_quoted_v4, extract_v4};
use paceline_wire::rewrite::{rewrite_quoted_v4, rewrite_v4};
use paceline_wire::{icmpv4, ipv4, mss, tcp, udp};

use super::family::{NatFamily, Seen, fault, key, least, seen, transport, tuple};
use crate::{Ip4, Ip6, hop};

/// What says in an IPv4 header that the packet is a part of one.
const PARTS: u16 = ipv4::MORE_FRAGMENTS | ipv4::OFFSET_MASK;
/// Requests that begin a session: echo, timestamp, information, address mask.
const QUERIES: [u8; 4] = [icmpv4::ECHO_REQUEST, icmpv4::TIMESTAMP_REQUEST, 15, 17];

impl NatFamily for Ip4 {
    type Address = u32;
    const NAMES: [&'static str; 2] = ["nat44-in2out", "nat44-out2in"];
    const HOPS: [Hop; 2] = [hop::NAT44_IN2OUT, hop::NAT44_OUT2IN];
    const ROUTE: Hop = hop::IP4_ROUTE;
    const ETHERTYPE: [u8; 2] = [0x08, 0x00];
    const OTHER: Option<([u8; 2], Hop)> = Some((<Ip6 as NatFamily>::ETHERTYPE, hop::NAT66_IN2OUT));

    fn side(nat: &Nat) -> &NatSide<u32> {
        nat.v4()
    }

    fn own(l3: &L3) -> Option<u32> {
        l3.address4.map(u32::from)
    }

    fn is_tunnel_s(ends: &TunnelEnds, flow: &Tuple<Self::Address>) -> bool {
        let end = TunnelKey::new(0, flow.source, flow.scope, flow.source_port(), 0);
        flow.protocol == udp::PROTOCOL && ends.v4().is_end(&end)
    }

    #[inline(always)]
    fn plain(ip: &[u8]) -> Option<Tuple<u32>> {
        let header: &[u8; 24] = ip.first_chunk()?;
        // Version 4, no options, no fragment but for the bit that forbids them.
        let is_usual = header[0] == 0x45 && u16::from_be_bytes([header[6], header[7]]) & PARTS == 0;
        let need = ipv4::MIN_LEN + least(header[9]).filter(|_| is_usual)?;
        let claimed = u16::from_be_bytes([header[2], header[3]]) as usize;
        if ip.len() < need || claimed < need {
            return None;
        }
        let word =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        Some(Tuple {
            source: word(12),
            destination: word(16),
            ports: word(20),
            protocol: header[9],
            scope: 0,
        })
    }

    #[inline(always)]
    fn flags(ip: &[u8]) -> u8 {
        ip.get(ipv4::MIN_LEN + tcp::FLAGS_OFFSET).copied().unwrap_or_default()
    }

    #[inline(always)]
    fn apply(ip: &mut [u8], to: &Tuple<u32>, sums: (u16, u16), field: Field) {
        let Some((header, behind)) = ip.split_first_chunk_mut::<{ ipv4::MIN_LEN }>() else { return };
        let checksum = update(u16::from_be_bytes([header[10], header[11]]), 0xffff, sums.0);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header[12..16].copy_from_slice(&to.source.to_be_bytes());
        header[16..20].copy_from_slice(&to.destination.to_be_bytes());
        transport(behind, to.protocol, to.ports, sums, field);
    }

    fn see(ip: &[u8], total: usize) -> Result<Seen<u32>, Reason> {
        let flow = extract_v4(ip, total).map_err(fault)?;
        let mut seen = seen(ip, &flow, icmpv4::PROTOCOL, &QUERIES, u32::from_be_bytes);
        if flow.kind == Kind::Error {
            let (_, quote) = icmpv4::quoted(ip).ok_or(unquoted(&seen))?;
            let quoted = extract_quoted_v4(ip.get(quote..).unwrap_or_default());
            let quoted = quoted.map_err(|_| Reason::NatNoSession)?;
            seen.flow = tuple(&quoted.key.reversed(), u32::from_be_bytes);
        }
        Ok(seen)
    }

    fn rewrite(
        ip: &mut [u8],
        total: usize,
        seen: &Seen<u32>,
        to: &Tuple<u32>,
        field: Field,
    ) -> Result<(), Reason> {
        let flow = extract_v4(ip, total).map_err(fault)?;
        let mut new = key(to, u32::to_be_bytes);
        if flow.kind == Kind::Error {
            let (icmp, quote) = icmpv4::quoted(ip).ok_or(Reason::NatNoSession)?;
            let quoted = extract_quoted_v4(ip.get(quote..).unwrap_or_default());
            let quoted = quoted.map_err(|_| Reason::NatNoSession)?;
            rewrite_quoted_v4(ip, icmp, quote, &quoted, &new.reversed()).map_err(|_| Reason::NatProtocol)?;
            if to.source == seen.flow.source {
                new.source = flow.key.source;
            }
        }
        rewrite_v4(ip, &flow, &new, field).map_err(|_| Reason::NatProtocol)
    }

    fn clamp(ip: &mut [u8], mtu: u16, field: Field) {
        mss::clamp_v4(ip, mss::of_mtu_v4(mtu), field);
    }
}

/// Why an error cannot be read: a part of one has its quote in pieces.
fn unquoted<T>(seen: &Seen<T>) -> Reason {
    if seen.part.is_some() { Reason::NatFragment } else { Reason::NatNoSession }
}
