//! Streams of the configuration as the generator port takes them.

use std::net::IpAddr;

use paceline_model::config::{Generator, Stream};
use paceline_model::{Interval, MacAddr};
use paceline_ports::{Addresses, GeneratorConfig, Order, Sizes, Span, StreamConfig};

/// The generator's configuration.
pub fn config(config: &Generator) -> GeneratorConfig {
    GeneratorConfig { streams: config.streams.iter().map(stream).collect(), seed: 0 }
}

fn stream(stream: &Stream) -> StreamConfig {
    StreamConfig {
        sizes: Sizes::List(stream.sizes.iter().map(|size| (*size).into()).collect()),
        source_mac: mac(&stream.src_mac),
        destination_mac: mac(&stream.dst_mac),
        vlan: stream.vlan.map(Into::into),
        addresses: addresses(&stream.src_ip, &stream.dst_ip),
        destinations: Vec::new(),
        source_port: port(stream.src_port),
        destination_port: port(stream.dst_port),
        payload: Vec::new(),
        order: Order::Sequential,
        rate: stream.rate_pps,
        count: stream.count,
    }
}

/// `count` values from `first` on. What exceeds 32 bits the port refuses all the same.
fn span<T>(first: T, distance: u128) -> Span<T> {
    Span::new(first, u32::try_from(distance + 1).unwrap_or(u32::MAX))
}

fn mac(range: &Interval<MacAddr>) -> Span<[u8; 6]> {
    span(range.first().octets(), (u64::from(range.last()) - u64::from(range.first())).into())
}

fn port(range: Interval<u16>) -> Span<u16> {
    span(range.first(), (range.last() - range.first()).into())
}

/// Both are of one family: the configuration was checked.
fn addresses(source: &Interval<IpAddr>, destination: &Interval<IpAddr>) -> Addresses {
    let distance = |range: &Interval<IpAddr>| number(range.last()) - number(range.first());
    match (source.first(), destination.first()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Addresses::V4 {
            source: span(from, distance(source)),
            destination: span(to, distance(destination)),
        },
        (from, to) => Addresses::V6 {
            source: span(v6(from), distance(source)),
            destination: span(v6(to), distance(destination)),
        },
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn v6(address: IpAddr) -> std::net::Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_become_spans() {
        let stream = Stream {
            src_mac: "02:00:00:00:00:fe-02:00:00:00:01:01".parse().unwrap(),
            src_ip: "fd00::1-fd00::ff".parse().unwrap(),
            dst_ip: "fd01::1".parse().unwrap(),
            dst_port: "0-65535".parse().unwrap(),
            ..Stream::default()
        };
        let made = config(&Generator { streams: vec![stream] });
        let made = &made.streams[0];
        assert_eq!(made.source_mac, Span::new([2, 0, 0, 0, 0, 0xfe], 4));
        assert_eq!(made.destination_port, Span::new(0, 65536));
        let Addresses::V6 { source, destination } = made.addresses else { panic!("IPv6") };
        assert_eq!((source.count, destination.count), (255, 1));
        assert!(paceline_ports::GeneratorPort::open(&config(&Generator::default())).is_ok());
    }
}
