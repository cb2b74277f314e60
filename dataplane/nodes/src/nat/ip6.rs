//! What is IPv6's own in address translation (the stateful kind: addresses and ports, as with IPv4).

use paceline_graph::nat::{Nat, NatSide};
use paceline_graph::{Hop, L3, Reason, TunnelEnds, TunnelKey};
use paceline_tables::Tuple;
use paceline_wire::checksum::Field;
use paceline_wire::flow::{Kind, extract_quoted_v6, extract_v6};
use paceline_wire::rewrite::{rewrite_quoted_v6, rewrite_v6};
use paceline_wire::{icmpv6, ipv6, mss, tcp, udp};

use super::family::{NatFamily, Seen, fault, key, least, seen, transport, tuple};
use crate::{Ip6, hop};

impl NatFamily for Ip6 {
    type Address = u128;
    const NAMES: [&'static str; 2] = ["nat66-in2out", "nat66-out2in"];
    const HOPS: [Hop; 2] = [hop::NAT66_IN2OUT, hop::NAT66_OUT2IN];
    const ROUTE: Hop = hop::IP6_ROUTE;
    const ETHERTYPE: [u8; 2] = [0x86, 0xdd];
    const OTHER: Option<([u8; 2], Hop)> = None;

    fn side(nat: &Nat) -> &NatSide<u128> {
        nat.v6()
    }

    fn own(l3: &L3) -> Option<u128> {
        l3.address6.map(u128::from)
    }

    fn is_tunnel_s(ends: &TunnelEnds, flow: &Tuple<Self::Address>) -> bool {
        let end = TunnelKey::new(0, flow.source, flow.scope, flow.source_port(), 0);
        flow.protocol == udp::PROTOCOL && ends.v6().is_end(&end)
    }

    #[inline(always)]
    fn plain(ip: &[u8]) -> Option<Tuple<u128>> {
        let header: &[u8; 44] = ip.first_chunk()?;
        let least = least(header[6]).filter(|_| header[0] >> 4 == 6)?;
        let claimed = u16::from_be_bytes([header[4], header[5]]) as usize;
        if ip.len() < ipv6::HEADER_LEN + least || claimed < least {
            return None;
        }
        let (addresses, ports) = header[8..].split_last_chunk::<4>()?;
        let (source, destination) = addresses.split_at_checked(16)?;
        Some(Tuple {
            source: u128::from_be_bytes(*source.first_chunk()?),
            destination: u128::from_be_bytes(*destination.first_chunk()?),
            ports: u32::from_be_bytes(*ports),
            protocol: header[6],
            scope: 0,
        })
    }

    #[inline(always)]
    fn flags(ip: &[u8]) -> u8 {
        ip.get(ipv6::HEADER_LEN + tcp::FLAGS_OFFSET).copied().unwrap_or_default()
    }

    #[inline(always)]
    fn apply(ip: &mut [u8], to: &Tuple<u128>, sums: (u16, u16), field: Field) {
        let Some((header, behind)) = ip.split_first_chunk_mut::<{ ipv6::HEADER_LEN }>() else { return };
        header[8..24].copy_from_slice(&to.source.to_be_bytes());
        header[24..40].copy_from_slice(&to.destination.to_be_bytes());
        transport(behind, to.protocol, to.ports, sums, field);
    }

    fn see(ip: &[u8], total: usize) -> Result<Seen<u128>, Reason> {
        let flow = extract_v6(ip, total).map_err(fault)?;
        let mut seen = seen(ip, &flow, icmpv6::PROTOCOL, &[icmpv6::ECHO_REQUEST], u128::from_be_bytes);
        if flow.kind == Kind::Error {
            let unquoted = if seen.part.is_some() { Reason::NatFragment } else { Reason::NatNoSession };
            let (_, quote) = icmpv6::quoted(ip).ok_or(unquoted)?;
            let quoted = extract_quoted_v6(ip.get(quote..).unwrap_or_default());
            let quoted = quoted.map_err(|_| Reason::NatNoSession)?;
            seen.flow = tuple(&quoted.key.reversed(), u128::from_be_bytes);
        }
        Ok(seen)
    }

    fn rewrite(
        ip: &mut [u8],
        total: usize,
        seen: &Seen<u128>,
        to: &Tuple<u128>,
        field: Field,
    ) -> Result<(), Reason> {
        let flow = extract_v6(ip, total).map_err(fault)?;
        let mut new = key(to, u128::to_be_bytes);
        if flow.kind == Kind::Error {
            // What a partial checksum leaves out cannot be updated in it.
            if field == Field::Partial {
                return Err(Reason::BadOffload);
            }
            let (icmp, quote) = icmpv6::quoted(ip).ok_or(Reason::NatNoSession)?;
            let quoted = extract_quoted_v6(ip.get(quote..).unwrap_or_default());
            let quoted = quoted.map_err(|_| Reason::NatNoSession)?;
            rewrite_quoted_v6(ip, icmp, quote, &quoted, &new.reversed()).map_err(|_| Reason::NatProtocol)?;
            if to.source == seen.flow.source {
                new.source = flow.key.source;
            }
        }
        rewrite_v6(ip, &flow, &new, field).map_err(|_| Reason::NatProtocol)
    }

    fn clamp(ip: &mut [u8], mtu: u16, field: Field) {
        mss::clamp_v6(ip, mss::of_mtu_v6(mtu), field);
    }
}
