//! Checksums after clamping are judged by `etherparse`.

use etherparse::{PacketBuilder, SlicedPacket};
use proptest::prelude::*;

use super::*;

/// A SYN with options, from its IP header on.
fn syn(v6: bool, options: &[u8]) -> Vec<u8> {
    let step = if v6 {
        PacketBuilder::ipv6([0xfd; 16], [0xfe; 16], 64)
    } else {
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
    };
    let mut packet = Vec::new();
    let tcp = step.tcp(1000, 80, 7, 512).syn().options_raw(options).expect("it fits");
    tcp.write(&mut packet, &[]).expect("it fits");
    packet
}

fn clamp_any(packet: &mut [u8], most: u16, sum: Field) -> bool {
    if packet[0] >> 4 == 6 { clamp_v6(packet, most, sum) } else { clamp_v4(packet, most, sum) }
}

/// Whether the checksum is right, and the options.
fn check(packet: &[u8]) -> (bool, Vec<u8>) {
    let sliced = SlicedPacket::from_ip(packet).expect("a packet");
    let Some(etherparse::TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("TCP") };
    let right = match sliced.net.expect("IP") {
        etherparse::NetSlice::Ipv4(ip) => {
            tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination())
        }
        etherparse::NetSlice::Ipv6(ip) => {
            tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination())
        }
        etherparse::NetSlice::Arp(_) => panic!("IP"),
    };
    (right.expect("in range") == tcp.checksum(), tcp.options().to_vec())
}

#[test]
fn an_offer_is_lowered_and_never_raised() {
    for v6 in [false, true] {
        for (options, after) in [
            ([2, 4, 5, 0xb4], [2, 4, 5, 0x78]),
            ([2, 4, 5, 0x78], [2, 4, 5, 0x78]),
            ([2, 4, 1, 0], [2, 4, 1, 0]),
        ] {
            let mut packet = syn(v6, &options);
            assert_eq!(clamp_any(&mut packet, 1400, Field::Full), options != after);
            assert_eq!(check(&packet), (true, after.to_vec()));
        }
    }
    assert_eq!((of_mtu_v4(1500), of_mtu_v6(1500), of_mtu_v4(10)), (1460, 1440, 0));
}

#[test]
fn at_an_odd_place_the_checksum_stays_right() {
    let mut packet = syn(false, &[1, 2, 4, 5, 0xb4, 3, 3, 7]);
    assert!(clamp_v4(&mut packet, 1400, Field::Full));
    assert_eq!(check(&packet), (true, vec![1, 2, 4, 5, 0x78, 3, 3, 7]));
}

#[test]
fn a_partial_checksum_is_not_touched() {
    let mut packet = syn(false, &[2, 4, 5, 0xb4]);
    let before = packet.clone();
    assert!(clamp_v4(&mut packet, 1400, Field::Partial));
    assert_eq!(packet[36..38], before[36..38]);
    assert_eq!(packet[40..], [2, 4, 5, 0x78]);
}

#[test]
fn only_a_handshake_is_looked_at() {
    let options = [2, 4, 5, 0xb4];
    for (at, value) in [(33, 0x10), (9, 17), (7, 1)] {
        let mut packet = syn(false, &options);
        packet[at] = value;
        assert!(!clamp_v4(&mut packet, 1400, Field::Full), "byte {at}");
    }
}

#[test]
fn malformed_options_end_the_walk() {
    let kept: [&[u8]; 6] = [
        &[0, 0, 0, 0, 2, 4, 5, 0xb4],
        &[3, 0, 2, 4, 5, 0xb4, 0, 0],
        &[3, 1, 2, 4, 5, 0xb4, 0, 0],
        &[3, 99, 2, 4, 5, 0xb4, 0, 0],
        &[2, 3, 5, 2, 6, 5, 5, 5],
        &[1, 1, 1, 1, 1, 1, 2, 4],
    ];
    for options in kept {
        let mut packet = syn(false, options);
        assert!(!clamp_v4(&mut packet, 1400, Field::Full), "{options:?}");
        assert_eq!(check(&packet), (true, options.to_vec()));
    }
}

proptest! {
    #[test]
    fn any_options_leave_a_right_checksum(
        v6: bool, options in prop::collection::vec(prop_oneof![0_u8..6, any::<u8>()], 10), most: u16,
    ) {
        let options = [&options[..], &[2, 4, 5, 0xb4, 0, 0]].concat();
        let mut packet = syn(v6, &options);
        clamp_any(&mut packet, most, Field::Full);
        prop_assert!(check(&packet).0);
        prop_assert!(!clamp_any(&mut packet, most, Field::Full), "twice is once");
    }
}
