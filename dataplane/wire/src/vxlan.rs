//! The VXLAN header (RFC 7348 §5): which virtual network an Ethernet frame in a UDP datagram belongs to.

/// Bytes of a header.
pub const HEADER_LEN: usize = 8;
/// First of the UDP source ports that tell flows apart (RFC 7348 §5); they go up to 65535.
pub const FIRST_SOURCE_PORT: u16 = 49_152;
/// Identifiers of networks are below this.
pub const VNI_LIMIT: u32 = 1 << 24;

/// The flag that says that there is an identifier.
const VALID: u8 = 0x08;

/// The header of a network; bits above the 24 of an identifier are cut off.
pub const fn header(vni: u32) -> [u8; HEADER_LEN] {
    let [_, a, b, c] = vni.to_be_bytes();
    [VALID, 0, 0, 0, a, b, c, 0]
}

/// The network that a header names; `None` if it says that it names none. All other flags and reserved bits are ignored, as they
/// must be.
#[inline(always)]
pub const fn network(header: [u8; HEADER_LEN]) -> Option<u32> {
    let [flags, _, _, _, a, b, c, _] = header;
    if flags & VALID == 0 { None } else { Some(u32::from_be_bytes([0, a, b, c])) }
}

/// The UDP source port of a flow with this hash, whose upper bits count.
#[inline(always)]
pub const fn source_port(hash: u64) -> u16 {
    FIRST_SOURCE_PORT | (hash >> 50) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_named_by_24_bits_and_a_flag() {
        for vni in [0, 1, 0x12_3456, VNI_LIMIT - 1] {
            let mut header = header(vni);
            assert_eq!(network(header), Some(vni));
            (header[0], header[3], header[7]) = (0xff, 0xff, 0xff);
            assert_eq!(network(header), Some(vni), "reserved bits are ignored");
            header[0] = !VALID;
            assert_eq!(network(header), None);
        }
        assert_eq!(source_port(0), FIRST_SOURCE_PORT);
        assert_eq!(source_port(u64::MAX), u16::MAX);
    }
}
