//! Whether a frame may leave by a port with a given MTU.

use paceline_buf::{Packet, VnetHdr};
use paceline_wire::ethernet;

/// Whether a frame fits a port whose longest untagged frame is `max_frame` bytes. Up to two VLAN tags do not count, as with
/// Linux and VPP; of a super-packet every segment it will be cut into must fit.
#[cold]
pub(crate) fn fits(packet: &Packet, max_frame: u32) -> bool {
    let tags = ethernet::parse(packet.data()).map_or(0, |header| header.l3 - ethernet::HEADER_LEN);
    let size = match packet.offload() {
        Some(offload) if offload.gso_type != VnetHdr::GSO_NONE => {
            transport_end(packet.data(), offload) + offload.gso_size as usize
        }
        _ => packet.total_len(),
    };
    size <= max_frame as usize + tags
}

/// Bytes of all headers. The sender's `hdr_len` is a hint, and 0 or too much from some; where the checksum starts is where
/// the transport header starts.
fn transport_end(frame: &[u8], offload: VnetHdr) -> usize {
    let start = offload.csum_start as usize;
    if offload.gso_type & !VnetHdr::ECN == VnetHdr::GSO_UDP_L4 {
        return start + 8;
    }
    start + frame.get(start + 12).map_or(20, |b| (b >> 4) as usize * 4)
}
