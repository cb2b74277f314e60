//! Ethernet headers and addresses (IEEE 802.3 clause 3).

use std::fmt;

use crate::vlan;

/// Bytes of a header without tags: destination, source, EtherType.
pub const HEADER_LEN: usize = 14;

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// EtherType of a customer VLAN tag (IEEE 802.1Q).
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// EtherType of a service VLAN tag (IEEE 802.1ad, Q-in-Q).
pub const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
/// EtherType that was used for outer tags before 802.1ad.
pub const ETHERTYPE_OLD_SERVICE_VLAN: u16 = 0x9100;

/// A 48-bit address as a number: the first octet on the wire is the most significant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub u64);

impl Mac {
    /// ff:ff:ff:ff:ff:ff
    pub const BROADCAST: Mac = Mac(0xffff_ffff_ffff);

    /// The address whose octets stand in this order on the wire.
    #[inline(always)]
    pub const fn from_octets(octets: [u8; 6]) -> Mac {
        let mut number = [0; 8];
        number.split_at_mut(2).1.copy_from_slice(&octets);
        Mac(u64::from_be_bytes(number))
    }

    /// The octets in the order of the wire.
    #[inline(always)]
    pub const fn octets(self) -> [u8; 6] {
        let [_, _, octets @ ..] = self.0.to_be_bytes();
        octets
    }

    /// The group that IPv4 multicast is sent to on Ethernet (RFC 1112 §6.4).
    #[inline]
    pub const fn of_group_v4([_, b, c, d]: [u8; 4]) -> Mac {
        Mac::from_octets([1, 0, 0x5e, b & 0x7f, c, d])
    }

    /// The group that IPv6 multicast is sent to on Ethernet (RFC 2464 §7).
    #[inline]
    pub const fn of_group_v6(group: &[u8; 16]) -> Mac {
        let [.., a, b, c, d] = *group;
        Mac::from_octets([0x33, 0x33, a, b, c, d])
    }

    /// Whether it can be the address of one station: neither of a group nor all zero.
    #[inline(always)]
    pub const fn is_station(self) -> bool {
        !self.is_group() && self.0 != 0
    }

    /// Whether it addresses a group, broadcast included (the I/G bit, IEEE 802 §8.2.2).
    #[inline(always)]
    pub const fn is_group(self) -> bool {
        self.0 & 1 << 40 != 0
    }

    /// Whether IP groups have it: 01:00:5e:00:00:00 to 01:00:5e:7f:ff:ff (RFC 1112 §6.4), or 33:33:… (RFC 2464 §7).
    #[inline]
    pub const fn is_ip_group(self) -> bool {
        self.0 >> 32 == 0x3333 || self.0 >> 23 == 0x0100_5e00_0000 >> 23
    }

    /// Whether it is one of 01:80:c2:00:00:00 to :0f, which bridges do not forward (IEEE 802.1Q §8.6.3).
    #[inline(always)]
    pub const fn is_link_local_control(self) -> bool {
        self.0 & !0xf == 0x0180_c200_0000
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.octets();
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|octet| write!(f, ":{octet:02x}"))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Destination and source address, or `None` if the frame is shorter than a header: two loads for both.
#[inline(always)]
pub fn addresses(frame: &[u8]) -> Option<(Mac, Mac)> {
    let header = frame.first_chunk::<HEADER_LEN>()?;
    // Eight bytes each: the address and the two behind it.
    let (first, last) = (header.first_chunk::<8>()?, header.last_chunk::<8>()?);
    Some((Mac(u64::from_be_bytes(*first) >> 16), Mac(u64::from_be_bytes(*last) >> 16)))
}

/// Writes a header without tags. `None`, and nothing written, if the frame is shorter than that.
#[inline]
pub fn write_header(frame: &mut [u8], destination: Mac, source: Mac, ethertype: u16) -> Option<()> {
    let header = frame.first_chunk_mut::<HEADER_LEN>()?;
    header[..6].copy_from_slice(&destination.octets());
    header[6..12].copy_from_slice(&source.octets());
    header[12..].copy_from_slice(&ethertype.to_be_bytes());
    Some(())
}

/// The type behind the addresses, which is the TPID of a tagged frame; `None` if the frame is shorter than a header.
#[inline(always)]
pub fn ethertype(frame: &[u8]) -> Option<u16> {
    half(frame, HEADER_LEN - 2)
}

/// An Ethernet header with up to two VLAN tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// Destination address.
    pub destination: Mac,
    /// Source address.
    pub source: Mac,
    /// The type of what follows the tags. A third tag is not looked into: its TPID stands here.
    pub ethertype: u16,
    /// Where that starts, in bytes from the start of the frame: 14, 18 or 22. It may be the end of the frame.
    pub l3: usize,
}

/// Reads an Ethernet header; `None` if the frame ends inside it or inside a tag.
#[inline]
pub fn parse(frame: &[u8]) -> Option<Ethernet> {
    let (destination, source) = addresses(frame)?;
    let (mut kind, mut l3) = (ethertype(frame)?, HEADER_LEN);
    for _ in 0..2 {
        if vlan::is_tpid(kind) {
            l3 += vlan::TAG_LEN;
            kind = half(frame, l3 - 2)?;
        }
    }
    Some(Ethernet { destination, source, ethertype: kind, l3 })
}

/// The 16 bits at an offset.
#[inline(always)]
pub(crate) fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: [u8; 24] =
        [1, 0x80, 0xc2, 0, 0, 0xe, 0xfe, 2, 3, 4, 5, 6, 0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 8, 0, 0x45, 0];

    #[test]
    fn addresses_are_numbers_in_the_order_of_the_wire() {
        let (destination, source) = addresses(&FRAME).expect("long enough");
        assert_eq!((destination.0, source.0), (0x0180_c200_000e, 0xfe02_0304_0506));
        assert_eq!(source.to_string(), "fe:02:03:04:05:06");
        assert!(destination.is_group() && destination.is_link_local_control());
        assert!(!source.is_group() && !source.is_link_local_control());
        assert!(!Mac(0x0180_c200_0010).is_link_local_control());
        assert!(Mac::BROADCAST.is_group());
        assert_eq!(addresses(&FRAME[..13]), None);
    }

    #[test]
    fn a_header_that_is_written_is_read() {
        let mut frame = [0; 15];
        let (destination, source) = (Mac(0x0200_0000_0001), Mac(0x0200_0000_0002));
        assert_eq!(write_header(&mut frame, destination, source, ETHERTYPE_ARP), Some(()));
        assert_eq!(parse(&frame), Some(Ethernet { destination, source, ethertype: ETHERTYPE_ARP, l3: 14 }));
        assert_eq!(write_header(&mut frame[..13], source, source, 0), None);
        assert_eq!(Mac::from_octets(source.octets()), source);
    }

    #[test]
    fn groups_have_their_addresses() {
        assert_eq!(Mac::of_group_v4([239, 0x81, 2, 3]).to_string(), "01:00:5e:01:02:03");
        let mut group = [0xff; 16];
        group[12..].copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(Mac::of_group_v6(&group).to_string(), "33:33:01:02:03:04");
        assert!(Mac::of_group_v6(&group).is_ip_group() && Mac::of_group_v4([239, 0x81, 2, 3]).is_ip_group());
        for other in [0x0100_5e80_0000, 0x0180_c200_000e, 0x0033_3300_0000] {
            assert!(!Mac(other).is_ip_group() && !Mac::BROADCAST.is_ip_group());
        }
        assert!(!Mac::of_group_v6(&group).is_station() && !Mac(0).is_station() && Mac(1).is_station());
    }

    #[test]
    fn up_to_two_tags_are_skipped() {
        let parsed = parse(&FRAME).expect("whole");
        assert_eq!((parsed.ethertype, parsed.l3), (ETHERTYPE_IPV4, 22));
        let mut frame = FRAME;
        frame[20..22].copy_from_slice(&[0x81, 0]);
        assert_eq!(parse(&frame).map(|p| (p.ethertype, p.l3)), Some((ETHERTYPE_VLAN, 22)));
        frame[16..18].copy_from_slice(&[0x86, 0xdd]);
        assert_eq!(parse(&frame).map(|p| (p.ethertype, p.l3)), Some((ETHERTYPE_IPV6, 18)));
        frame[12..14].copy_from_slice(&[0x08, 0x06]);
        assert_eq!(parse(&frame).map(|p| (p.ethertype, p.l3)), Some((ETHERTYPE_ARP, 14)));
        for len in 0..22 {
            assert_eq!(parse(&FRAME[..len]), None, "{len} bytes");
        }
    }
}
