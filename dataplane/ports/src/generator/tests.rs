use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use paceline_buf::Pool;
use paceline_graph::Drops;
use proptest::prelude::*;

use super::*;

/// The frames of the first `calls` vectors.
fn frames(config: &GeneratorConfig, calls: usize) -> Vec<Vec<u8>> {
    let (pool, drops) = (Pool::small(2048), Drops::default());
    let mut cache = pool.cache();
    let mut port = GeneratorPort::open(config).expect("a good configuration");
    let (mut out, mut frames) = (Vector::new(), Vec::new());
    for _ in 0..calls {
        port.receive(&mut Io::new(&mut cache, &drops), &mut out);
        frames.extend(out.as_slice().iter().map(|p| p.segments().flatten().copied().collect::<Vec<u8>>()));
        cache.free_all(&mut out);
    }
    drop(cache);
    assert_eq!(pool.stats().free, 2048);
    frames
}

fn one(stream: StreamConfig) -> GeneratorConfig {
    GeneratorConfig { streams: vec![stream], seed: 7 }
}

fn fault(stream: StreamConfig) -> String {
    GeneratorPort::open(&one(stream)).err().expect("a fault").to_string()
}

/// Parses strictly, and checks every length and checksum.
fn check(frame: &[u8]) -> (Vec<u8>, Vec<u8>, u16, u16) {
    let packet = SlicedPacket::from_ethernet(frame).expect("well-formed");
    let Some(TransportSlice::Udp(udp)) = &packet.transport else { panic!("no UDP") };
    let (source, destination) = match packet.net.as_ref().expect("an IP header") {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            (header.source.to_vec(), header.destination.to_vec())
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header().to_header();
            let sum =
                udp.to_header().calc_checksum_ipv6_raw(header.source, header.destination, udp.payload());
            assert_eq!(udp.checksum(), sum.expect("a length"));
            (header.source.to_vec(), header.destination.to_vec())
        }
        NetSlice::Arp(_) => panic!("ARP"),
    };
    assert_eq!(usize::from(udp.length()), udp.payload().len() + 8);
    (source, destination, udp.source_port(), udp.destination_port())
}

fn span<T: std::fmt::Debug>(first: impl Strategy<Value = T>) -> impl Strategy<Value = Span<T>> {
    (first, 1_u32..40).prop_map(|(first, count)| Span { first, count })
}

fn addresses() -> impl Strategy<Value = Addresses> {
    let v4 = || span((0_u32..0xff00_0000).prop_map(std::net::Ipv4Addr::from));
    let v6 = || span(any::<u128>().prop_map(|bits| std::net::Ipv6Addr::from(bits & !0xff)));
    prop_oneof![
        (v4(), v4()).prop_map(|(source, destination)| Addresses::V4 { source, destination }),
        (v6(), v6()).prop_map(|(source, destination)| Addresses::V6 { source, destination }),
    ]
}

proptest! {
    #[test]
    fn every_frame_is_well_formed(
        addresses in addresses(),
        sizes in prop::collection::vec(66_usize..9100, 1..4),
        vlan in prop::option::of(0_u16..4095),
        (source_port, destination_port) in (span(0_u16..60_000), span(0_u16..60_000)),
        listed in prop::collection::vec(any::<u128>(), 0..20),
        random: bool,
    ) {
        let order = if random { Order::Random } else { Order::Sequential };
        let sizes = Sizes::List(sizes);
        let round = sizes.round();
        let is_v4 = matches!(addresses, Addresses::V4 { .. });
        let destinations: Vec<IpAddr> = listed
            .into_iter()
            .map(|bits| if is_v4 { Ipv4Addr::from(bits as u32).into() } else { Ipv6Addr::from(bits).into() })
            .collect();
        let config = StreamConfig {
            sizes, vlan, addresses, source_port, destination_port, order,
            destinations: destinations.clone(),
            ..StreamConfig::default()
        };
        for (at, frame) in frames(&one(config), 1).iter().enumerate() {
            prop_assert_eq!(frame.len(), round[at % round.len()]);
            check(frame);
            let l3 = if vlan.is_some() { 18 } else { 14 };
            let bytes = if is_v4 { &frame[l3 + 16..l3 + 20] } else { &frame[l3 + 24..l3 + 40] };
            let goes_to = |address: &IpAddr| match address {
                IpAddr::V4(address) => address.octets() == bytes,
                IpAddr::V6(address) => address.octets() == bytes,
            };
            prop_assert!(destinations.is_empty() || destinations.iter().any(goes_to));
        }
    }
}

#[test]
fn pairs_repeat_and_a_random_order_takes_each_destination_once() {
    for order in [Order::Sequential, Order::Random] {
        let config = StreamConfig {
            source_mac: Span::new([2, 0, 0, 0, 0, 0], 256),
            destination_mac: Span::new([2, 1, 0, 0, 0, 0xff], 256),
            order,
            ..StreamConfig::default()
        };
        let frames = frames(&one(config), 2);
        assert_eq!(frames.len(), 512);
        assert_eq!(frames[..256], frames[256..], "the same pairs again");
        let macs = |at: usize| frames[..256].iter().map(move |f| f[at..at + 6].to_vec());
        assert!(macs(6).eq((0..=255).map(|low| vec![2, 0, 0, 0, 0, low])), "sources come in sequence");
        assert_eq!(macs(0).collect::<HashSet<_>>().len(), 256);
        assert_eq!(macs(0).is_sorted(), order == Order::Sequential);
        assert!(macs(0).any(|mac| mac == [2, 1, 0, 0, 1, 0xfe]), "a carry goes into the next byte");
    }
}

#[test]
fn counts_end_streams_and_streams_share_a_vector() {
    let stream =
        |size, count| StreamConfig { sizes: Sizes::List(vec![size]), count, ..StreamConfig::default() };
    let config = GeneratorConfig { streams: vec![stream(64, Some(100)), stream(100, None)], seed: 0 };
    let frames = frames(&config, 3);
    assert_eq!(frames.iter().filter(|f| f.len() == 64).count(), 100);
    assert!(frames.iter().filter(|f| f.len() == 100).count() >= 3 * 128);
    let port = GeneratorPort::open(&one(stream(64, Some(0)))).expect("good");
    assert!(port.is_finished());
}

#[test]
fn imix_is_seven_to_four_to_one() {
    let frames = frames(&one(StreamConfig { sizes: Sizes::Imix, ..StreamConfig::default() }), 3);
    let count = |size| frames.iter().filter(|f| f.len() == size).count();
    assert_eq!((count(60), count(590), count(1514)), (7 * 64, 4 * 64, 64));
}

#[test]
fn an_exhausted_pool_is_counted() {
    let (pool, drops) = (Pool::small(64), Drops::default());
    let mut cache = pool.cache();
    for sizes in [64, 9000] {
        let config =
            StreamConfig { sizes: Sizes::List(vec![sizes]), count: Some(256), ..StreamConfig::default() };
        let (mut port, mut out) = (GeneratorPort::open(&one(config)).expect("good"), Vector::new());
        let before = drops.get(Reason::NoBuffers);
        port.receive(&mut Io::new(&mut cache, &drops), &mut out);
        assert_eq!(out.len() as u64 + drops.get(Reason::NoBuffers) - before, 256);
        assert!(!out.is_empty() && out.len() <= 64);
        cache.free_all(&mut out);
    }
    drop(cache);
    assert_eq!(pool.stats().free, 64);
}

#[test]
fn faults_name_the_field() {
    let base = StreamConfig::default;
    assert_eq!(
        fault(StreamConfig { vlan: Some(4095), ..base() }),
        "generator: stream 0: vlan is 4095: must lie between 0 and 4094"
    );
    assert!(fault(StreamConfig { sizes: Sizes::List(vec![41]), ..base() }).contains("sizes is 41"));
    assert!(fault(StreamConfig { payload: vec![0; 23], ..base() }).contains("payload is 23"));
    assert!(fault(StreamConfig { sizes: Sizes::List(vec![]), ..base() }).contains("a list of 0"));
    assert!(
        fault(StreamConfig { source_mac: Span::one([1, 0, 0, 0, 0, 0]), ..base() })
            .contains("01:00:00:00:00:00")
    );
    assert!(fault(StreamConfig { source_port: Span::new(65_535, 2), ..base() }).contains("source_port is 2"));
    assert!(
        fault(StreamConfig { destination_port: Span::new(1, 0), ..base() }).contains("destination_port is 0")
    );
    assert!(fault(StreamConfig { rate: Some(0), ..base() }).contains("rate is 0"));
}
