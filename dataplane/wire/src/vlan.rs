//! VLAN tags (IEEE 802.1Q clause 9): reading, taking off and putting on the outer one.

use crate::ethernet::{
    ETHERTYPE_OLD_SERVICE_VLAN, ETHERTYPE_SERVICE_VLAN, ETHERTYPE_VLAN, HEADER_LEN, ethertype, half,
};

/// Bytes of a tag: TPID and TCI.
pub const TAG_LEN: usize = 4;
/// Bytes of both addresses, which a tag stands behind.
const ADDRESSES: usize = HEADER_LEN - 2;

/// Whether an EtherType announces a tag.
#[inline(always)]
pub const fn is_tpid(ethertype: u16) -> bool {
    matches!(ethertype, ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN | ETHERTYPE_OLD_SERVICE_VLAN)
}

/// Tag control information: priority, drop eligibility, VLAN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tci(pub u16);

impl Tci {
    /// The bits that are not the VLAN: PCP (3 bits) and DEI.
    pub const PRIORITY: u16 = 0xf000;

    /// A VLAN's tag with the priority bits of another. Of both, bits that do not belong there are ignored.
    #[inline(always)]
    pub const fn new(vlan: u16, priority: u16) -> Tci {
        Tci(vlan & !Self::PRIORITY | priority & Self::PRIORITY)
    }

    /// The VLAN: 1 to 4094, 0 if the tag only gives a priority, 4095 is reserved.
    #[inline(always)]
    pub const fn vlan(self) -> u16 {
        self.0 & !Self::PRIORITY
    }

    /// PCP and DEI, where they are in the tag.
    #[inline(always)]
    pub const fn priority(self) -> u16 {
        self.0 & Self::PRIORITY
    }
}

/// The TCI of the outer tag of a frame that is known to carry one; `None` if the frame ends before the EtherType behind the
/// tag.
#[inline(always)]
pub fn tci(frame: &[u8]) -> Option<Tci> {
    half(frame, HEADER_LEN + 2)?;
    half(frame, HEADER_LEN).map(Tci)
}

/// Whether the outer tag of a frame names no VLAN, and only gives a priority (IEEE 802.1Q §6.9): receivers see through it.
#[inline]
pub fn is_priority_tagged(frame: &[u8]) -> bool {
    ethertype(frame).is_some_and(is_tpid) && tci(frame).is_some_and(|tci| tci.vlan() == 0)
}

/// Moves the addresses over the outer tag: the untagged frame then starts [`TAG_LEN`] bytes into the slice, and the caller
/// trims what is in front. `false`, and nothing changed, if the frame is too short for a tag.
#[inline]
#[must_use]
pub fn pop(frame: &mut [u8]) -> bool {
    if frame.len() < HEADER_LEN + TAG_LEN {
        return false;
    }
    frame.copy_within(..ADDRESSES, TAG_LEN);
    true
}

/// Moves the addresses to the front of the slice, whose first [`TAG_LEN`] bytes are room that was added in front of the
/// frame, and puts a tag behind them. `false`, and nothing changed, if there is no whole header behind the room.
#[inline]
#[must_use]
pub fn push(frame: &mut [u8], tpid: u16, tci: Tci) -> bool {
    if frame.len() < HEADER_LEN + TAG_LEN {
        return false;
    }
    frame.copy_within(TAG_LEN..TAG_LEN + ADDRESSES, 0);
    let ([t0, t1], [c0, c1]) = (tpid.to_be_bytes(), tci.0.to_be_bytes());
    frame[ADDRESSES..ADDRESSES + TAG_LEN].copy_from_slice(&[t0, t1, c0, c1]);
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ethernet::parse;

    #[test]
    fn a_tag_is_put_between_addresses_and_type() {
        let mut frame: Vec<u8> = (0..20).collect();
        frame[16..18].copy_from_slice(&[8, 0]);
        assert!(push(&mut frame, 0x88a8, Tci::new(0x123, 0xe000)));
        assert_eq!(frame, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x88, 0xa8, 0xe1, 0x23, 8, 0, 18, 19]);
        let read = tci(&frame).expect("a tag");
        assert_eq!((read.vlan(), read.priority()), (0x123, 0xe000));
        assert_eq!(parse(&frame).map(|p| p.l3), Some(18));
        assert!(pop(&mut frame));
        assert_eq!(frame[4..16], [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(tci(&frame[..17]), None);
    }

    #[test]
    fn a_priority_tag_has_no_vlan() {
        let mut frame = [0; 20];
        assert!(!is_priority_tagged(&frame));
        for tpid in [0x8100_u16, 0x88a8, 0x9100] {
            frame[12..14].copy_from_slice(&tpid.to_be_bytes());
            frame[14..16].copy_from_slice(&[0xf0, 0]);
            assert!(is_priority_tagged(&frame) && !is_priority_tagged(&frame[..17]));
            frame[15] = 1;
            assert!(!is_priority_tagged(&frame));
        }
    }

    proptest! {
        #[test]
        fn push_then_pop_is_nothing(frame in prop::collection::vec(any::<u8>(), 0..64), tag: u16) {
            let mut tagged = [&[0; TAG_LEN], &frame[..]].concat();
            let done = push(&mut tagged, ETHERTYPE_VLAN, Tci(tag));
            prop_assert_eq!(done, frame.len() >= HEADER_LEN);
            if done {
                prop_assert_eq!((ethertype(&tagged), tci(&tagged)), (Some(ETHERTYPE_VLAN), Some(Tci(tag))));
                prop_assert!(pop(&mut tagged));
            }
            prop_assert_eq!(&tagged[TAG_LEN..], &frame[..]);
        }
    }
}
