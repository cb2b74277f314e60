//! The outer headers of a packet: what of them is checked, and the slow way of reading them.

use paceline_buf::{Packet, VnetHdr};
use paceline_graph::{Interface, Reason, TunnelKey};
use paceline_wire::checksum::{Sum, pseudo_v4, pseudo_v6};
use paceline_wire::ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN};
use paceline_wire::ipv4::{self, Ipv4Header};
use paceline_wire::ipv6::{self, Ipv6Header};
use paceline_wire::udp::{self, UdpHeader};
use paceline_wire::vxlan;

/// What the outer headers say.
#[derive(Clone, Copy)]
pub(super) struct Outer {
    /// Code point and ECN.
    pub class: u8,
    /// Bytes behind the IP headers.
    pub available: usize,
    /// Bytes of the datagram.
    pub len: u16,
    /// Its checksum.
    pub checksum: u16,
    /// Flags of the VXLAN header.
    pub flags: u8,
}

impl Outer {
    /// Bytes of the frame inside.
    #[inline(always)]
    pub fn inner_len(&self) -> Result<usize, Reason> {
        let len = usize::from(self.len);
        if len > self.available || len < udp::HEADER_LEN + vxlan::HEADER_LEN {
            return Err(Reason::UdpLength);
        }
        let inner = len - udp::HEADER_LEN - vxlan::HEADER_LEN;
        if inner < HEADER_LEN { Err(Reason::Runt) } else { Ok(inner) }
    }

    /// Checks the checksum; over IPv6 there must be one, unless the tunnel sends none either.
    pub fn verify(&self, packet: &Packet, l4: usize, tunnel: &Interface) -> Result<(), Reason> {
        if self.checksum == 0 {
            let may_lack = tunnel.tunnel.as_ref().is_some_and(|tunnel| !tunnel.checksum);
            return if may_lack { Ok(()) } else { Err(Reason::UdpChecksum) };
        }
        // Where one is still to be filled in, here or inside, the packet is of a neighbour on this host and saw no wire; and none that is
        // right already needs a look.
        let is_known = |offload: VnetHdr| offload.flags & VnetHdr::DATA_VALID != 0 || offload.needs_csum();
        if packet.offload().is_some_and(is_known) {
            return Ok(());
        }
        let ip = packet.data().get(HEADER_LEN..).ok_or(Reason::TunnelHeader)?;
        let mut sum = if l4 == HEADER_LEN + ipv4::MIN_LEN {
            let header = Ipv4Header::read(ip).ok_or(Reason::TunnelHeader)?;
            pseudo_v4(header.source, header.destination, udp::PROTOCOL, self.len)
        } else {
            let header = Ipv6Header::read(ip).ok_or(Reason::TunnelHeader)?;
            pseudo_v6(&header.source, &header.destination, udp::PROTOCOL, self.len.into())
        };
        add(&mut sum, packet, l4, self.len.into());
        if sum.finish() == 0 { Ok(()) } else { Err(Reason::UdpChecksum) }
    }
}

/// Adds `len` bytes of a packet from `skip` on to a sum.
fn add(sum: &mut Sum, packet: &Packet, mut skip: usize, mut len: usize) {
    for segment in packet.segments() {
        let part = segment.get(skip..).unwrap_or_default();
        let part = &part[..part.len().min(len)];
        sum.add(part);
        skip -= skip.min(segment.len());
        len -= part.len();
    }
}

/// Whether a packet is several datagrams in one, which are to be cut behind the UDP header at `l4` (`UDP_SEGMENT`).
#[cold]
pub(super) fn is_joined(packet: &Packet, l4: usize) -> bool {
    packet.offload().is_some_and(|offload| {
        offload.gso_type == VnetHdr::GSO_UDP_L4
            && offload.needs_csum()
            && usize::from(offload.csum_start) == l4
    })
}

/// Takes off what is asked for the outer headers, so that what remains is of the frame inside. `headers`: bytes in front of it.
///
/// # Errors
/// [`Reason::BadOffload`]: the packet is to be cut otherwise than the frame inside says, or the request is about something in between.
#[cold]
pub(super) fn finish(packet: &mut Packet, l4: usize, headers: usize) -> Result<(), Reason> {
    let Some(offload) = packet.offload() else { return Ok(()) };
    if offload.needs_csum() && usize::from(offload.csum_start) >= headers + HEADER_LEN {
        return Ok(());
    }
    if offload.is_gso() || offload.needs_csum() && usize::from(offload.csum_start) != l4 {
        return Err(Reason::BadOffload);
    }
    packet.clear_offload();
    Ok(())
}

/// Cuts off what is behind the frame inside: padding.
///
/// # Errors
/// [`Reason::UdpLength`]: there is less than the headers say, or it is in several segments.
#[cold]
pub(super) fn shorten(packet: &mut Packet, len: usize) -> Result<(), Reason> {
    if packet.is_chained() || packet.len() < len {
        return Err(Reason::UdpLength);
    }
    packet.set_len(len);
    Ok(())
}

/// Moves the Ethernet header and the fixed IP header of a packet to its UDP header at `l4`, over what lies in between.
///
/// # Errors
/// [`Reason::TunnelHeader`]: they are not there.
#[cold]
pub(super) fn without_options(packet: &mut Packet, l4: usize) -> Result<(), Reason> {
    let is_v4 = ethernet::ethertype(packet.data()) == Some(ETHERTYPE_IPV4);
    let fixed = HEADER_LEN + if is_v4 { ipv4::MIN_LEN } else { ipv6::HEADER_LEN };
    let by = l4.checked_sub(fixed).ok_or(Reason::TunnelHeader)?;
    if by > 0 {
        packet.data_mut().get_mut(..l4).ok_or(Reason::TunnelHeader)?.copy_within(..fixed, by);
        packet.trim_front(by);
    }
    Ok(())
}

/// Where a packet comes from, by version.
pub(super) enum Origin {
    V4(TunnelKey<u32>),
    V6(TunnelKey<u128>),
}

/// A UDP packet, read in full.
pub(super) struct Read {
    /// What it would be a tunnel's by; without a VXLAN header, that of network 0.
    pub key: Origin,
    /// Where its UDP header starts.
    pub l4: usize,
    /// It is the first part of one that was cut.
    pub is_fragment: bool,
    /// Its headers, if they are whole.
    pub outer: Option<Outer>,
}

impl Read {
    pub fn is_v4(&self) -> bool {
        matches!(self.key, Origin::V4(_))
    }
}

/// Reads a packet that has a UDP header; `None` of any other.
#[cold]
pub(super) fn read(packet: &Packet) -> Option<Read> {
    let frame = packet.data();
    let ip = frame.get(HEADER_LEN..)?;
    match ethernet::ethertype(frame)? {
        ETHERTYPE_IPV4 => {
            let header = Ipv4Header::read(ip).filter(|header| header.protocol == udp::PROTOCOL)?;
            let part = header.part();
            if part.is_some_and(|part| !part.is_first()) {
                return None;
            }
            let l4 = HEADER_LEN + header.header_len();
            let available = usize::from(header.total_len.get()).checked_sub(header.header_len())?;
            let (port, vni, outer) = udp_and_vxlan(frame.get(l4..)?, header.tos, available)?;
            let (from, to) = (u32::from_be_bytes(header.source), u32::from_be_bytes(header.destination));
            let key = Origin::V4(TunnelKey::new(from, to, packet.domain, port, vni));
            Some(Read { key, l4, is_fragment: part.is_some(), outer })
        }
        ETHERTYPE_IPV6 => {
            let header = Ipv6Header::read(ip)?;
            let found = ipv6::transport(ip).filter(|found| found.protocol == udp::PROTOCOL)?;
            if found.is_later_part() || found.is_routed {
                return None;
            }
            let l4 = HEADER_LEN + found.offset;
            let available =
                (ipv6::HEADER_LEN + usize::from(header.payload_len.get())).checked_sub(found.offset)?;
            let class = (header.version_class_flow.get() >> 20) as u8;
            let (port, vni, outer) = udp_and_vxlan(frame.get(l4..)?, class, available)?;
            let (from, to) = (u128::from_be_bytes(header.source), u128::from_be_bytes(header.destination));
            let key = Origin::V6(TunnelKey::new(from, to, packet.domain, port, vni));
            Some(Read { key, l4, is_fragment: found.part.is_some(), outer })
        }
        _ => None,
    }
}

/// The destination port, the network and the headers of a datagram.
fn udp_and_vxlan(datagram: &[u8], class: u8, available: usize) -> Option<(u16, u32, Option<Outer>)> {
    let header = UdpHeader::read(datagram)?;
    let vxlan: Option<&[u8; vxlan::HEADER_LEN]> =
        datagram.get(udp::HEADER_LEN..).and_then(<[u8]>::first_chunk);
    let outer = vxlan.map(|vxlan| Outer {
        class,
        available,
        len: header.len.get(),
        checksum: header.checksum.get(),
        flags: vxlan[0],
    });
    // Which network it is counts whether it is said validly or not.
    let vni = vxlan.map_or(0, |[_, _, _, _, a, b, c, _]| u32::from_be_bytes([0, *a, *b, *c]));
    Some((header.destination.get(), vni, outer))
}
