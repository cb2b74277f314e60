use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;
use crate::ipv4::fill_checksum;

fn header(options: usize) -> Vec<u8> {
    let mut packet = Ipv4Header::new(6, [10, 0, 0, 1], [10, 0, 1, 1], 100).as_bytes().to_vec();
    packet.resize(20 + options, 1);
    packet[0] = 0x45 + (options / 4) as u8;
    fill_checksum(&mut packet);
    packet
}

#[test]
fn a_sound_ipv4_header_passes() {
    for options in [0, 4, 40] {
        let packet = header(options);
        assert_eq!(check_v4(&packet, 100).map(|h| h.protocol), Ok(6));
        assert!(check_v4(&packet, 1500).is_ok(), "padding");
        assert_eq!(check_v4(&packet, 99).map(|_| ()), Err(Fault::TotalLength));
        assert_eq!(check_v4(&packet[..19 + options], 100).map(|_| ()), Err(Fault::Truncated));
    }
    assert_eq!(check_v4(&[], 0).map(|_| ()), Err(Fault::Truncated));
}

#[test]
fn each_fault_of_ipv4_is_named() {
    let fault = |at: usize, value: u8| {
        let mut packet = header(0);
        packet[at] = value;
        if at != 10 {
            packet[10..12].fill(0);
            let sum = Sum::of(&packet).finish();
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        check_v4(&packet, 100).map(|_| ()).expect_err("a fault")
    };
    assert_eq!(fault(0, 0x65), Fault::Version);
    assert_eq!(fault(0, 0x44), Fault::HeaderLength);
    assert_eq!(fault(0, 0x46), Fault::Truncated);
    assert_eq!(fault(3, 19), Fault::TotalLength);
    assert_eq!(fault(3, 101), Fault::TotalLength);
    assert_eq!(fault(10, 0xaa), Fault::Checksum);
}

#[test]
fn each_fault_of_ipv6_is_named() {
    let mut packet = Ipv6Header::new(6, [1; 16], [2; 16], 60).as_bytes().to_vec();
    assert!(check_v6(&packet, 100).is_ok());
    assert_eq!(check_v6(&packet, 99).map(|_| ()), Err(Fault::TotalLength));
    assert_eq!(check_v6(&packet[..39], 100).map(|_| ()), Err(Fault::Truncated));
    packet[0] = 0x45;
    assert_eq!(check_v6(&packet, 100).map(|_| ()), Err(Fault::Version));
}

#[test]
fn the_hop_limit_goes_down_to_one() {
    let mut header = Ipv6Header::new(6, [1; 16], [2; 16], 60);
    header.hop_limit = 2;
    assert!(header.decrement_hop_limit());
    assert!(!header.decrement_hop_limit());
    assert_eq!(header.hop_limit, 1);
}

#[test]
fn ipv4_addresses_have_their_reach() {
    let reach = |source: &str, destination: &str| {
        let octets = |text: &str| text.parse::<Ipv4Addr>().expect("an address").octets();
        reach_v4(octets(source), octets(destination))
    };
    let host = "10.1.2.3";
    for other in ["1.0.0.0", "126.255.255.255", "128.0.0.1", "169.253.1.1", "192.0.2.1", "223.255.255.255"] {
        assert_eq!(reach(host, other), Ok(Reach::Routed), "{other}");
        assert_eq!(reach(other, host), Ok(Reach::Routed), "{other}");
    }
    for bad in ["0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "240.0.0.1", "255.255.255.254"] {
        assert_eq!(reach(host, bad), Err(Martian::Destination), "{bad}");
        assert_eq!(reach(bad, host), Err(Martian::Source), "{bad}");
    }
    assert_eq!(reach("224.0.0.1", host), Err(Martian::Source));
    assert_eq!(reach("255.255.255.255", host), Err(Martian::Source));
    assert_eq!(reach(host, host), Err(Martian::Land));
    assert_eq!(reach("0.0.0.0", "255.255.255.255"), Ok(Reach::Link), "a host without an address");
    assert_eq!(reach("0.0.0.1", "255.255.255.255"), Err(Martian::Source));
    for local in ["169.254.0.1", "224.0.0.251", "255.255.255.255"] {
        assert_eq!(reach(host, local), Ok(Reach::Link), "{local}");
    }
    assert_eq!(reach("169.254.0.1", host), Ok(Reach::Link));
    assert_eq!(reach(host, "239.1.1.1"), Ok(Reach::Routed), "a group of more than a link");
}

#[test]
fn ipv6_addresses_have_their_reach() {
    let reach = |source: &str, destination: &str| {
        let octets = |text: &str| text.parse::<Ipv6Addr>().expect("an address").octets();
        reach_v6(&octets(source), &octets(destination))
    };
    let host = "2001:db8::1";
    for other in ["fd00::1", "2001:db8::2", "fec0::1", "64:ff9b::1.2.3.4"] {
        assert_eq!(reach(host, other), Ok(Reach::Routed), "{other}");
        assert_eq!(reach(other, host), Ok(Reach::Routed), "{other}");
    }
    for bad in ["::1", "::ffff:10.0.0.1", "ff00::1", "ff01::1"] {
        assert_eq!(reach(host, bad), Err(Martian::Destination), "{bad}");
        assert_eq!(reach(bad, host), Err(Martian::Source), "{bad}");
    }
    assert_eq!(reach("ff0e::1", host), Err(Martian::Source));
    assert_eq!(reach(host, "::"), Err(Martian::Destination));
    assert_eq!(reach(host, host), Err(Martian::Land));
    for local in ["fe80::1", "febf::1", "ff02::1"] {
        assert_eq!(reach(host, local), Ok(Reach::Link), "{local}");
    }
    assert_eq!(reach("fe80::1", host), Ok(Reach::Link));
    assert_eq!(reach("::", "ff02::1:ff00:1"), Ok(Reach::Link), "asks whether its address is free");
    assert_eq!(reach(host, "ff05::1"), Ok(Reach::Routed));
}

proptest! {
    #[test]
    fn any_bytes_are_judged(packet in prop::collection::vec(any::<u8>(), 0..80), total in 0_usize..2000) {
        if let Ok(header) = check_v4(&packet, total) {
            prop_assert!(header.total_len.get() as usize <= total);
        }
        let _ = check_v6(&packet, total);
    }

    #[test]
    fn one_wrong_bit_is_seen(bit in 0_usize..160, ttl: u8) {
        let mut packet = header(0);
        packet[8] = ttl;
        fill_checksum(&mut packet);
        prop_assert!(check_v4(&packet, 1500).is_ok());
        packet[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(check_v4(&packet, 1500).is_err());
    }
}
