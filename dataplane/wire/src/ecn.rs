//! Congestion marks and traffic classes of packets in tunnels (RFC 3168, RFC 6040).
//!
//! Slices here are whole Ethernet frames with up to two VLAN tags.

use crate::checksum::update;
use crate::ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use crate::ipv4::Ipv4Header;
use crate::ipv6::Ipv6Header;

/// The two bits of a traffic class that are ECN's.
pub const MASK: u8 = 3;
/// The sender does not understand marks.
pub const NOT_ECT: u8 = 0;
/// The sender understands marks; the other of two words for that.
pub const ECT_1: u8 = 1;
/// The sender understands marks.
pub const ECT_0: u8 = 2;
/// Somebody on the way was congested.
pub const CE: u8 = 3;

/// What an IP packet says of how it is to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Treatment {
    /// Differentiated services code point (6 bits) and ECN (2 bits).
    pub class: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
}

/// What the IP packet in a frame says; `None` if there is none.
pub fn treatment(frame: &[u8]) -> Option<Treatment> {
    let ethernet = ethernet::parse(frame)?;
    let ip = frame.get(ethernet.l3..)?;
    match ethernet.ethertype {
        ETHERTYPE_IPV4 => Ipv4Header::read(ip).map(|header| Treatment { class: header.tos, ttl: header.ttl }),
        ETHERTYPE_IPV6 => Ipv6Header::read(ip).map(|header| Treatment {
            class: (header.version_class_flow.get() >> 20) as u8,
            ttl: header.hop_limit,
        }),
        _ => None,
    }
}

/// What a packet's mark becomes at the end of a tunnel (RFC 6040 §4.2); `None`: it is to be dropped, as congestion can be told to
/// its receiver in no other way.
pub const fn out_of_tunnel(inner: u8, outer: u8) -> Option<u8> {
    match (inner & MASK, outer & MASK) {
        (NOT_ECT, CE) => None,
        (NOT_ECT, _) => Some(NOT_ECT),
        (_, CE) => Some(CE),
        (ECT_0, ECT_1) => Some(ECT_1),
        (inner, _) => Some(inner),
    }
}

/// Carries the mark of an outer header over into the IP packet of an inner frame. `false`, and nothing changed, if that is to be
/// dropped. A frame without IP has no marks, and stays as it is.
#[must_use]
pub fn leave_tunnel(frame: &mut [u8], outer: u8) -> bool {
    let Some(Treatment { class, .. }) = treatment(frame) else { return true };
    let Some(mark) = out_of_tunnel(class, outer) else { return false };
    if mark != class & MASK {
        set_class(frame, class & !MASK | mark);
    }
    true
}

/// Writes the traffic class of the IP packet in a frame, and keeps the checksum true.
fn set_class(frame: &mut [u8], class: u8) {
    let Some(ethernet) = ethernet::parse(frame) else { return };
    let Some(ip) = frame.get_mut(ethernet.l3..) else { return };
    if ethernet.ethertype == ETHERTYPE_IPV4 {
        let Some(header) = Ipv4Header::read_mut(ip) else { return };
        // The other byte of the word stays as it is.
        let checksum = update(header.checksum.get(), header.tos.into(), class.into());
        header.tos = class;
        header.checksum.set(checksum);
    } else if let Some(header) = Ipv6Header::read_mut(ip) {
        let word = header.version_class_flow.get();
        header.version_class_flow.set(word & !(0xff << 20) | u32::from(class) << 20);
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    /// The table of RFC 6040, figure 4: a row for each inner mark, a column for each outer one, both in the order Not-ECT,
    /// ECT(0), ECT(1), CE.
    const TABLE: [[Option<u8>; 4]; 4] = [
        [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None],
        [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)],
        [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)],
        [Some(CE), Some(CE), Some(CE), Some(CE)],
    ];

    fn frame(v6: bool, class: u8, tagged: bool) -> Vec<u8> {
        let (mut bytes, ethernet) = (Vec::new(), PacketBuilder::ethernet2([2; 6], [4; 6]));
        if v6 {
            ethernet.ipv6([1; 16], [2; 16], 9).udp(1, 2).write(&mut bytes, &[7; 9]).expect("written");
        } else {
            ethernet.ipv4([1; 4], [2; 4], 9).udp(1, 2).write(&mut bytes, &[7; 9]).expect("written");
        }
        set_class(&mut bytes, class);
        if tagged {
            bytes.splice(12..12, [0x81, 0, 0, 5]);
        }
        bytes
    }

    #[test]
    fn marks_leave_a_tunnel_by_the_table() {
        let order = [NOT_ECT, ECT_0, ECT_1, CE];
        for (inner, row) in order.into_iter().zip(TABLE) {
            for (outer, want) in order.into_iter().zip(row) {
                assert_eq!(out_of_tunnel(inner, outer), want, "{inner} in {outer}");
                for (v6, tagged) in [(false, false), (false, true), (true, false), (true, true)] {
                    let before = frame(v6, 0xb8 | inner, tagged);
                    let mut after = before.clone();
                    assert_eq!(leave_tunnel(&mut after, 0x10 | outer), want.is_some());
                    let class = want.map_or(0xb8 | inner, |mark| 0xb8 | mark);
                    assert_eq!(after, frame(v6, class, tagged), "v6 {v6}, {inner} in {outer}");
                    assert_eq!(treatment(&after), Some(Treatment { class, ttl: 9 }));
                    if !v6 && !tagged {
                        let header = etherparse::Ipv4HeaderSlice::from_slice(&after[14..34]).expect("whole");
                        let header = header.to_header();
                        assert_eq!(header.header_checksum, header.calc_header_checksum());
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_ip_has_no_marks() {
        for bytes in [&[][..], &[2; 14], &[2; 60], &frame(false, 3, false)[..20]] {
            let mut frame = bytes.to_vec();
            assert!(treatment(&frame).is_none() && leave_tunnel(&mut frame, CE));
            assert_eq!(frame, bytes);
        }
    }
}
