//! Fragments are read and put together again by `etherparse`.

use etherparse::Ipv4HeaderSlice;
use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;

/// A packet with options, not a fragment.
fn packet(options: &[u8], payload: usize) -> Vec<u8> {
    let len = MIN_LEN + options.len();
    let mut header = Ipv4Header::new(17, [10, 0, 0, 1], [10, 0, 1, 1], (len + payload) as u16);
    header.id.set(0xbeef);
    header.fragment.set(0);
    header.set_header_len(len);
    let mut packet = [header.as_bytes(), options].concat();
    fill_checksum(&mut packet);
    packet.extend((0..payload).map(|i| (i * 7 + i / 256) as u8));
    packet
}

fn cut(packet: &[u8], mtu: usize) -> Result<Vec<Vec<u8>>, Refused> {
    let plan = Plan::new(&packet[..packet.len().min(MAX_HEADER)], packet.len(), mtu)?;
    Ok((0..plan.count())
        .map(|index| {
            let mut out = [0; MAX_HEADER];
            let len = plan.write_header(index, &mut out).expect("room");
            [&out[..len], &packet[plan.payload_range(index)]].concat()
        })
        .collect())
}

/// Checks each fragment and puts the payload together: where it starts, whether it ends, and the bytes.
fn join(fragments: &[Vec<u8>], mtu: usize) -> (u16, bool, Vec<u8>) {
    let (mut start, mut more, mut payload) = (None, true, Vec::new());
    for fragment in fragments {
        assert!(fragment.len() <= mtu);
        let header = Ipv4HeaderSlice::from_slice(fragment).expect("a header").to_header();
        assert_eq!(header.total_len as usize, fragment.len());
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(header.identification, 0xbeef);
        let offset = header.fragment_offset.value();
        let base = *start.get_or_insert(offset);
        assert_eq!((offset - base) as usize * 8, payload.len());
        assert!(more, "something behind the last part");
        more = header.more_fragments;
        payload.extend(&fragment[header.header_len()..]);
    }
    (start.expect("at least one"), more, payload)
}

#[test]
fn a_packet_that_fits_is_its_own_plan() {
    let mut whole = packet(&[], 1480);
    assert_eq!(cut(&whole, 1500), Ok(vec![whole.clone()]));
    whole[6] = 0x40;
    fill_checksum(&mut whole[..20]);
    assert_eq!(cut(&whole, 1500), Ok(vec![whole.clone()]));
    assert_eq!(cut(&whole, 1499), Err(Refused::DontFragment));
    // Padding is none of the packet.
    let padded = [&packet(&[], 10)[..], &[0; 2000]].concat();
    assert_eq!(cut(&padded, 68).map(|f| (f.len(), f[0].len())), Ok((1, 30)));
}

#[test]
fn options_are_copied_by_their_flag() {
    // No-operation, a security option (copied), a record of routes (not copied), end.
    let options = [1, 0x82, 3, 9, 7, 7, 4, 0, 0, 0, 0, 0x83, 3, 4, 0, 0xff];
    let fragments = cut(&packet(&options, 3000), 1500).expect("cut");
    assert_eq!(fragments[0][20..36], options);
    assert_eq!(fragments[1][20..28], [0x82, 3, 9, 0x83, 3, 4, 0, 0]);
    assert_eq!((fragments[0][0], fragments[1][0]), (0x49, 0x47));
    assert_eq!(fragments[0].len(), 36 + 1464);
    assert_eq!(fragments[1].len(), 28 + 1472);
    for bad in [[7, 1, 0, 0], [7, 0, 0, 0], [7, 5, 0, 0], [1, 1, 1, 0x83]] {
        assert_eq!(cut(&packet(&bad, 3000), 1500), Err(Refused::Options), "{bad:?}");
    }
}

#[test]
fn a_fragment_is_cut_again() {
    let whole = packet(&[], 4000);
    let once = cut(&whole, 2000).expect("cut");
    let again: Vec<Vec<u8>> = once.iter().flat_map(|f| cut(f, 576).expect("cut")).collect();
    assert_eq!(again.len(), 4 + 4 + 1);
    assert_eq!(join(&again, 576), (0, false, whole[20..].to_vec()));
}

#[test]
fn hostile_packets_are_refused() {
    let whole = packet(&[], 3000);
    assert_eq!(cut(&whole, 67), Err(Refused::Mtu(67)));
    assert_eq!(cut(&whole[..19], 1500), Err(Refused::Header));
    assert_eq!(cut(&whole[..2000], 1500), Err(Refused::Header), "claims more");
    let mut far = whole;
    (far[6], far[7]) = (0x1f, 0xff);
    assert_eq!(cut(&far, 1500), Err(Refused::Length));
    let longest = packet(&[1; 40], 65535 - 60);
    assert!(cut(&longest, MIN_MTU).expect("cut").len() <= 8190);
    let mut copied = vec![0x82; 40];
    copied[1] = 40;
    assert_eq!(cut(&packet(&copied, 65475), MIN_MTU).expect("cut").len(), 8185);
}

#[test]
fn there_is_no_fragment_behind_the_last() {
    let whole = packet(&[], 3000);
    let plan = Plan::new(&whole, whole.len(), 1500).expect("a plan");
    assert_eq!(plan.count(), 3);
    assert_eq!(plan.write_header(3, &mut [0; 60]), None);
    assert_eq!(plan.write_header(0, &mut [0; 19]), None);
    assert!(plan.payload_range(3).is_empty() && plan.payload_range(usize::MAX).is_empty());
}

proptest! {
    #[test]
    fn fragments_make_the_packet_again(
        options in 0_usize..11,
        payload in 0_usize..9000,
        mtu in 68_usize..2000,
        offset in 0_u16..6000,
        more: bool,
    ) {
        // Only a last part may have a length that is no multiple of 8.
        let payload = if more { payload & !7 } else { payload };
        let mut whole = packet(&vec![1; options * 4], payload);
        whole[6..8].copy_from_slice(&(offset | u16::from(more) << 13).to_be_bytes());
        fill_checksum(&mut whole[..20 + options * 4]);
        let fragments = cut(&whole, mtu).expect("cut");
        prop_assert_eq!(join(&fragments, mtu), (offset, more, whole[20 + options * 4..].to_vec()));
    }
}
