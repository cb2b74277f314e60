//! Cutting super-packets: one frame with up to 64 KiB of TCP or UDP payload becomes frames that fit the wire.
//!
//! What the kernel does in `tcp_gso_segment` and `__udp_gso_segment`, for ports that cannot. A [`Plan`] checks the request
//! once and then writes the headers of any segment; where payload comes from and goes to is the caller's business. Lengths
//! that the super-packet's own headers claim are not looked at, as in the kernel: some senders leave them 0, and every segment
//! gets its own.

use std::ops::Range;

use paceline_sys::vnet::VnetHdr;

use crate::checksum::{Sum, pseudo_v4, pseudo_v6};
use crate::ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use crate::ipv4::{self, Ipv4Header};
use crate::ipv6::{self, Ipv6Header};
use crate::tcp::{self, TcpHeader};
use crate::udp::{self, UdpHeader};

/// Longest headers, in bytes, from the destination address to the end of TCP's options. The most that occurs without IPv6
/// extensions is 142: two tags, and all options of IPv4 and TCP.
pub const MAX_HEADERS: usize = 256;
/// Most segments of one super-packet: what 64 KiB at the smallest MSS that Linux uses (48, of which 12 go to time stamps) come
/// to. Without a bound one hostile packet asks for 65 535 buffers.
pub const MAX_SEGMENTS: usize = 2048;

/// Why a super-packet cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The GSO type is not TCPv4, TCPv6 or UDP_L4.
    #[error("gso_type is {0}: only TCPv4 (1), TCPv6 (4) and UDP_L4 (5) can be cut")]
    Type(u8),
    /// The headers are cut off, too long, or not those of the GSO type.
    #[error("the first {0} bytes of the frame are not the headers that gso_type says")]
    Headers(usize),
    /// The packet is a fragment.
    #[error("the packet is an IP fragment: only whole packets can be cut")]
    Fragment,
    /// The packet has a routing header with segments left.
    #[error("the packet has an IPv6 routing header: the address its checksum covers is not known")]
    Routed,
    /// The offsets of the checksum are not those of the transport header.
    #[error(
        "csum_start {start} and csum_offset {offset}: must be {want_start} and {want_offset} as in the frame"
    )]
    Checksum {
        /// `csum_start`.
        start: u16,
        /// `csum_offset`.
        offset: u16,
        /// Where the transport header is.
        want_start: usize,
        /// Where the checksum is in it.
        want_offset: usize,
    },
    /// A segment would have no payload, or more than an IP packet can have.
    #[error("gso_size is {0}: must be at least 1, and small enough that a segment has at most 65535 bytes")]
    Size(u16),
    /// There would be too many segments.
    #[error("{0} segments: must be at most {MAX_SEGMENTS}")]
    Count(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    V4,
    V6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    const fn protocol(self) -> u8 {
        match self {
            Transport::Tcp => tcp::PROTOCOL,
            Transport::Udp => udp::PROTOCOL,
        }
    }

    const fn checksum_offset(self) -> usize {
        match self {
            Transport::Tcp => tcp::CHECKSUM_OFFSET,
            Transport::Udp => udp::CHECKSUM_OFFSET,
        }
    }
}

/// A checked request: how to cut one frame.
#[derive(Debug)]
pub struct Plan<'a> {
    headers: &'a [u8],
    network: Network,
    transport: Transport,
    /// Where the IP header starts.
    l3: usize,
    /// Where the TCP or UDP header starts.
    l4: usize,
    /// Bytes of the frame.
    total: usize,
    /// Bytes of payload in each segment but the last.
    size: usize,
    count: usize,
}

impl<'a> Plan<'a> {
    /// Checks a request. `front` is the start of the frame with all its headers in it (payload may follow, [`MAX_HEADERS`]
    /// are enough), `total` the bytes of the whole frame.
    ///
    /// A frame that already fits into one segment has a plan of one.
    ///
    /// # Errors
    /// Whatever a hostile frame or header can have wrong.
    pub fn new(front: &'a [u8], total: usize, offload: &VnetHdr) -> Result<Plan<'a>, Refused> {
        let front = &front[..front.len().min(total)];
        let (network, transport, l3, l4) = locate(front, offload)?;
        let bad = Refused::Headers(front.len());
        let header_len = match transport {
            Transport::Tcp => TcpHeader::read(&front[l4..]).ok_or(bad)?.header_len(),
            Transport::Udp => UdpHeader::read(&front[l4..]).map(|_| udp::HEADER_LEN).ok_or(bad)?,
        };
        let headers = front.get(..l4 + header_len).filter(|h| h.len() <= MAX_HEADERS).ok_or(bad)?;
        if offload.needs_csum() {
            let want_offset = transport.checksum_offset();
            let (start, offset) = (offload.csum_start, offload.csum_offset);
            if (start as usize, offset as usize) != (l4, want_offset) {
                return Err(Refused::Checksum { start, offset, want_start: l4, want_offset });
            }
        }
        let (size, payload) = (offload.gso_size as usize, total - headers.len());
        let longest = headers.len() - l3 + size.min(payload);
        if size == 0 || longest > u16::MAX as usize {
            return Err(Refused::Size(offload.gso_size));
        }
        let count = payload.div_ceil(size).max(1);
        if count > MAX_SEGMENTS {
            return Err(Refused::Count(count));
        }
        Ok(Plan { headers, network, transport, l3, l4, total, size, count })
    }

    /// Bytes of headers in front of every segment.
    #[inline]
    pub fn header_len(&self) -> usize {
        self.headers.len()
    }

    /// Number of segments, 1 to [`MAX_SEGMENTS`].
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Where a segment's payload lies in the frame. Empty from [`count`](Self::count) on.
    #[inline]
    pub fn payload_range(&self, index: usize) -> Range<usize> {
        let start = index.saturating_mul(self.size).saturating_add(self.headers.len()).min(self.total);
        start..start.saturating_add(self.size).min(self.total)
    }

    /// Writes a segment's headers with everything in them finished, given the sum of its payload. `None` if there is no
    /// such segment or `out` is shorter than the headers; what is behind them stays as it is.
    #[inline]
    pub fn write_header(&self, index: usize, payload: Sum, out: &mut [u8]) -> Option<()> {
        let out = out.get_mut(..self.headers.len()).filter(|_| index < self.count)?;
        out.copy_from_slice(self.headers);
        let (network, transport) = out.split_at_mut(self.l4);
        let network = network.get_mut(self.l3..)?;
        // Checked when planned: header and payload are at most 65535 bytes.
        let len = (transport.len() + self.payload_range(index).len()) as u16;
        let protocol = self.transport.protocol();
        let pseudo = match self.network {
            Network::V4 => {
                let header_len = network.len() as u16;
                let header = Ipv4Header::read_mut(network)?;
                header.total_len.set(header_len + len);
                header.id.set(header.id.get().wrapping_add(index as u16));
                let pseudo = pseudo_v4(header.source, header.destination, protocol, len);
                ipv4::fill_checksum(network);
                pseudo
            }
            Network::V6 => {
                let extensions = (network.len() - ipv6::HEADER_LEN) as u16;
                let header = Ipv6Header::read_mut(network)?;
                header.payload_len.set(extensions + len);
                pseudo_v6(&header.source, &header.destination, protocol, u32::from(len))
            }
        };
        match self.transport {
            Transport::Tcp => self.finish_tcp(index, transport)?,
            Transport::Udp => UdpHeader::read_mut(transport)?.len.set(len),
        }
        let at = self.transport.checksum_offset();
        *transport.get_mut(at..)?.first_chunk_mut()? = [0; 2];
        let mut sum = pseudo;
        sum.add(transport);
        sum.append(payload);
        let checksum = match self.transport {
            Transport::Tcp => sum.finish(),
            Transport::Udp => sum.finish_nonzero(),
        };
        *transport.get_mut(at..)?.first_chunk_mut()? = checksum.to_be_bytes();
        Some(())
    }

    /// Sequence number and flags: FIN and PSH speak of the end of the data and belong to the last segment, CWR is said once
    /// and belongs to the first (RFC 3168 §6.1.2), whether or not the request has the ECN bit.
    fn finish_tcp(&self, index: usize, segment: &mut [u8]) -> Option<()> {
        let header = TcpHeader::read_mut(segment)?;
        let offset = (index * self.size) as u32;
        header.sequence.set(header.sequence.get().wrapping_add(offset));
        if index + 1 < self.count {
            header.flags &= !(tcp::FIN | tcp::PSH);
        }
        if index > 0 {
            header.flags &= !tcp::CWR;
        }
        Some(())
    }
}

/// Finds the headers of the GSO type: network, transport, and where each starts.
fn locate(front: &[u8], offload: &VnetHdr) -> Result<(Network, Transport, usize, usize), Refused> {
    let bad = Refused::Headers(front.len());
    let kind = offload.gso_type & !VnetHdr::ECN;
    let transport = match kind {
        VnetHdr::GSO_TCPV4 | VnetHdr::GSO_TCPV6 => Transport::Tcp,
        VnetHdr::GSO_UDP_L4 => Transport::Udp,
        other => return Err(Refused::Type(other)),
    };
    let protocol = transport.protocol();
    let ethernet = ethernet::parse(front).ok_or(bad)?;
    let (l3, packet) = (ethernet.l3, &front[ethernet.l3..]);
    let (network, l4) = match ethernet.ethertype {
        ETHERTYPE_IPV4 if kind != VnetHdr::GSO_TCPV6 => {
            let header = Ipv4Header::read(packet).filter(|h| h.protocol == protocol).ok_or(bad)?;
            if header.is_fragment() {
                return Err(Refused::Fragment);
            }
            (Network::V4, l3 + header.header_len())
        }
        ETHERTYPE_IPV6 if kind != VnetHdr::GSO_TCPV4 => {
            let found = ipv6::transport(packet).filter(|t| t.protocol == protocol).ok_or(bad)?;
            if found.part.is_some() {
                return Err(Refused::Fragment);
            }
            if found.is_routed {
                return Err(Refused::Routed);
            }
            (Network::V6, l3 + found.offset)
        }
        _ => return Err(bad),
    };
    Ok((network, transport, l3, l4))
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
