//! The virtio-net header: what a frame still needs done to it (`linux/virtio_net.h`, virtio 1.2 §5.1.6).

/// `struct virtio_net_hdr`, the 10 bytes before every frame of a TAP or packet socket, in little-endian order there.
///
/// Zero (the default) is a frame that is complete: no checksum missing, not larger than the MTU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VnetHdr {
    /// [`NEEDS_CSUM`](Self::NEEDS_CSUM) and [`DATA_VALID`](Self::DATA_VALID).
    pub flags: u8,
    /// One of the `GSO_` values, perhaps with [`ECN`](Self::ECN).
    pub gso_type: u8,
    /// With GSO: bytes of Ethernet, network and transport headers; a hint that may be 0 or wrong.
    pub hdr_len: u16,
    /// With GSO: bytes of payload in each segment but the last.
    pub gso_size: u16,
    /// With `NEEDS_CSUM`: where the sum begins, in bytes from the start of the Ethernet header.
    pub csum_start: u16,
    /// With `NEEDS_CSUM`: where the sum is stored, in bytes from `csum_start`; there already is the pseudo header's sum.
    pub csum_offset: u16,
}

impl VnetHdr {
    /// Bytes on the wire.
    pub const LEN: usize = 10;

    /// Flag: the checksum is to be completed over `csum_start ..`.
    pub const NEEDS_CSUM: u8 = 1;
    /// Flag: the checksum was verified.
    pub const DATA_VALID: u8 = 2;

    /// Not a super-packet.
    pub const GSO_NONE: u8 = 0;
    /// TCP over IPv4.
    pub const GSO_TCPV4: u8 = 1;
    /// UDP over IPv4, to be cut by IP fragmentation (UFO; Linux makes no more of these).
    pub const GSO_UDP: u8 = 3;
    /// TCP over IPv6.
    pub const GSO_TCPV6: u8 = 4;
    /// UDP over either, to be cut into datagrams (USO).
    pub const GSO_UDP_L4: u8 = 5;
    /// Bit of `gso_type`: TCP with CWR set, which belongs in the first segment only.
    pub const ECN: u8 = 0x80;

    /// Reads one. Nothing is checked: a header from a container is as untrusted as its frame.
    #[inline]
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Self {
            flags: bytes[0],
            gso_type: bytes[1],
            hdr_len: half(2),
            gso_size: half(4),
            csum_start: half(6),
            csum_offset: half(8),
        }
    }

    /// Writes one.
    #[inline]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [self.flags, self.gso_type, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[2..4].copy_from_slice(&self.hdr_len.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.gso_size.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.csum_start.to_le_bytes());
        bytes[8..].copy_from_slice(&self.csum_offset.to_le_bytes());
        bytes
    }

    /// The checksum is not complete.
    #[inline]
    pub fn needs_csum(&self) -> bool {
        self.flags & Self::NEEDS_CSUM != 0
    }

    /// The frame is a super-packet, to be segmented before a port that takes none.
    #[inline]
    pub fn is_gso(&self) -> bool {
        self.gso_type & !Self::ECN != Self::GSO_NONE
    }

    /// Follows the headers when `bytes` are inserted before the network header (negative: removed), as for a VLAN tag.
    #[inline]
    pub fn shift(&mut self, bytes: i16) {
        if self.needs_csum() {
            self.csum_start = self.csum_start.saturating_add_signed(bytes);
        }
        if self.hdr_len != 0 {
            self.hdr_len = self.hdr_len.saturating_add_signed(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn layout_is_the_kernels() {
        let header = VnetHdr {
            flags: VnetHdr::NEEDS_CSUM,
            gso_type: VnetHdr::GSO_TCPV4 | VnetHdr::ECN,
            hdr_len: 66,
            gso_size: 1448,
            csum_start: 34,
            csum_offset: 16,
        };
        assert_eq!(header.to_bytes(), [1, 0x81, 66, 0, 0xa8, 5, 34, 0, 16, 0]);
        assert!(header.needs_csum() && header.is_gso());
        let plain = VnetHdr { gso_type: VnetHdr::ECN, ..VnetHdr::default() };
        assert!(!plain.needs_csum() && !plain.is_gso());
    }

    #[test]
    fn a_tag_moves_only_what_is_there() {
        let open = VnetHdr { flags: VnetHdr::NEEDS_CSUM, csum_start: 34, hdr_len: 54, ..VnetHdr::default() };
        let mut moved = open;
        moved.shift(4);
        assert_eq!((moved.csum_start, moved.hdr_len), (38, 58));
        moved.shift(-4);
        assert_eq!(moved, open);
        let mut plain = VnetHdr::default();
        plain.shift(4);
        assert_eq!(plain, VnetHdr::default());
    }

    proptest! {
        #[test]
        fn any_bytes_survive(bytes: [u8; VnetHdr::LEN]) {
            prop_assert_eq!(VnetHdr::from_bytes(&bytes).to_bytes(), bytes);
        }
    }
}
