//! `ip4` and `ip6`: generator → routing node → null port, with tables of any size.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use paceline_graph::{Adjacencies, IpVersion, Link, Vrf};
use paceline_ports::{Addresses, GeneratorConfig, Sizes, Span, StreamConfig};
use paceline_tables::{Rib4, Rib6};
use paceline_wire::ethernet::Mac;
use paceline_wire::input::{Reach, reach_v4};
use serde_json::json;

use crate::measure::{Method, measure};
use crate::rig::{Rig, Routing, SINK};
use crate::{BenchError, Report, within};

/// Parameters of the scenario.
#[derive(Clone, Copy, Debug)]
pub struct Ip {
    /// Version of the packets.
    pub version: IpVersion,
    /// Routes, 1 to 2 000 000.
    pub routes: u32,
    /// How long their prefixes are.
    pub lengths: Lengths,
    /// Destinations, drawn from the routes by chance: 1 to 1 048 576.
    pub destinations: u32,
    /// Bytes of a frame without its checksum, 64 to 1514.
    pub size: u16,
}

/// Prefix lengths of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lengths {
    /// All the same.
    One(u8),
    /// As routers on the internet have them (the "default-free zone").
    Internet,
    /// Each from 32 to 128 as often as any other; for IPv6.
    Even,
}

/// Of 1000 IPv4 routes on the internet how many have which length (BGP reports of 2024, rounded).
const INTERNET_4: [(u8, u32); 10] =
    [(24, 610), (22, 110), (23, 105), (21, 50), (20, 45), (19, 28), (18, 16), (16, 15), (17, 11), (12, 10)];
/// The same of IPv6.
const INTERNET_6: [(u8, u32); 10] =
    [(48, 480), (32, 130), (44, 110), (40, 90), (36, 45), (29, 45), (47, 35), (46, 30), (33, 20), (64, 15)];
/// Neighbours that the routes lead to.
const NEIGHBOURS: u32 = 16;
/// The same table every time.
const SEED: u64 = 7;

/// Runs the scenario.
///
/// # Errors
/// A parameter out of range, no memory, more routes than there are prefixes, or packets that were lost on the way.
pub fn ip(params: Ip, method: Method) -> Result<Report, BenchError> {
    let is_v4 = params.version == IpVersion::V4;
    within("routes", params.routes.into(), 1, 2_000_000)?;
    within("destinations", params.destinations.into(), 1, 1 << 20)?;
    within("size", params.size.into(), 64, 1514)?;
    let longest = match params.lengths {
        Lengths::One(length) => length,
        Lengths::Internet => 32,
        Lengths::Even => 128,
    };
    within("length", longest.into(), 8, if is_v4 { 32 } else { 128 })?;
    let mut rng = fastrand::Rng::with_seed(SEED);
    let prefixes = draw(params, &mut rng)?;
    let destinations: Vec<IpAddr> = (0..params.destinations)
        .map(|_| {
            let (network, length) = prefixes[rng.usize(0..prefixes.len())];
            within_prefix(network, length, is_v4, &mut rng)
        })
        .collect();
    let (mut rib4, mut rib6) = (Rib4::new()?, Rib6::new()?);
    for (number, (network, length)) in (0..).zip(&prefixes) {
        let value = 1 + number % NEIGHBOURS;
        match address(*network, is_v4) {
            IpAddr::V4(network) => {
                rib4.insert(ipnet::Ipv4Net::new_assert(network, *length), value)?;
            }
            IpAddr::V6(network) => {
                rib6.insert(ipnet::Ipv6Net::new_assert(network, *length), value)?;
            }
        }
    }
    let adjacencies = Adjacencies::new(NEIGHBOURS as usize + 1);
    for number in 1..=NEIGHBOURS {
        let source = Mac(0x0200_0000_0000 + u64::from(SINK));
        let link = Link { interface: SINK, mtu: 9000, source, version: params.version };
        adjacencies.get(number).forward(link, Mac(0x0600_0000_0000 + u64::from(number)));
    }
    let vrf = Vrf { name: "bench".into(), fib4: Arc::clone(rib4.fib()), fib6: Arc::clone(rib6.fib()) };
    let routing = Routing {
        vrf,
        adjacencies: Arc::new(adjacencies),
        mac: Mac(0x0200_0000_0000),
        nat: None,
        filtered: None,
    };
    let addresses = if is_v4 {
        let host = Span::one(Ipv4Addr::new(198, 18, 0, 1));
        Addresses::V4 { source: host, destination: host }
    } else {
        let host = Span::one(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
        Addresses::V6 { source: host, destination: host }
    };
    let stream = StreamConfig {
        sizes: Sizes::List(vec![params.size.into()]),
        destination_mac: Span::one(routing.mac.octets()),
        addresses,
        destinations,
        ..StreamConfig::default()
    };
    let mut rig =
        Rig::routed(&GeneratorConfig { streams: vec![stream], ..GeneratorConfig::default() }, routing)?;
    let lengths = match params.lengths {
        Lengths::One(length) => json!(length),
        Lengths::Internet => json!("dfz"),
        Lengths::Even => json!("mixed"),
    };
    let (routes, bytes) = if is_v4 { (rib4.len(), rib4.bytes()) } else { (rib6.len(), rib6.bytes()) };
    let map = [
        ("routes".to_string(), json!(routes)),
        ("length".to_string(), lengths),
        ("destinations".to_string(), json!(params.destinations)),
        ("size".to_string(), json!(params.size)),
        ("table_bytes".to_string(), json!(bytes)),
    ];
    measure(&mut rig, method, if is_v4 { "ip4" } else { "ip6" }, map.into_iter().collect())
}

/// Different prefixes: network, in the highest bits, and length.
fn draw(params: Ip, rng: &mut fastrand::Rng) -> Result<Vec<(u128, u8)>, BenchError> {
    let is_v4 = params.version == IpVersion::V4;
    let weights = if is_v4 { INTERNET_4 } else { INTERNET_6 };
    let mut seen = HashSet::new();
    let mut prefixes = Vec::with_capacity(params.routes as usize);
    for _ in 0..u64::from(params.routes) * 100 {
        if prefixes.len() == params.routes as usize {
            break;
        }
        let length = match params.lengths {
            Lengths::One(length) => length,
            Lengths::Even => rng.u8(32..=128),
            Lengths::Internet => {
                let mut at = rng.u32(0..1000);
                let fits = |(_, share): &&(u8, u32)| {
                    let here = at < *share;
                    at = at.saturating_sub(*share);
                    here
                };
                weights.iter().find(fits).map_or(24, |(length, _)| *length)
            }
        };
        let network = network(rng, is_v4) >> (128 - length) << (128 - length);
        if seen.insert((network, length)) {
            prefixes.push((network, length));
        }
    }
    let missing = params.routes as usize - prefixes.len();
    if missing > 0 { Err(BenchError::Prefixes { missing, routes: params.routes }) } else { Ok(prefixes) }
}

/// An address that is routed, in the highest bits.
fn network(rng: &mut fastrand::Rng, is_v4: bool) -> u128 {
    if !is_v4 {
        // Global unicast, 2000::/3.
        return rng.u128(..) >> 3 | 1 << 125;
    }
    loop {
        let address = rng.u32(0x0100_0000..0xdf00_0000);
        if reach_v4([198, 18, 0, 1], address.to_be_bytes()) == Ok(Reach::Routed) {
            return u128::from(address) << 96;
        }
    }
}

/// Any address of a prefix; of one that may travel.
fn within_prefix(network: u128, length: u8, is_v4: bool, rng: &mut fastrand::Rng) -> IpAddr {
    loop {
        let host = if length == 128 { 0 } else { rng.u128(..) >> length };
        let address = address(network | host, is_v4);
        let travels = |to: Ipv4Addr| reach_v4([198, 18, 0, 1], to.octets()) == Ok(Reach::Routed);
        match address {
            IpAddr::V4(to) if !travels(to) => {}
            _ => return address,
        }
    }
}

fn address(bits: u128, is_v4: bool) -> IpAddr {
    if is_v4 { Ipv4Addr::from((bits >> 96) as u32).into() } else { Ipv6Addr::from(bits).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(version: IpVersion, routes: u32, lengths: Lengths) -> Result<Report, BenchError> {
        let params = Ip { version, routes, lengths, destinations: 1000, size: 64 };
        ip(params, Method { windows: 10, vectors: 5 })
    }

    #[test]
    fn every_packet_finds_its_route() {
        for (version, lengths) in [
            (IpVersion::V4, Lengths::One(24)),
            (IpVersion::V4, Lengths::One(32)),
            (IpVersion::V4, Lengths::Internet),
            (IpVersion::V6, Lengths::One(64)),
            (IpVersion::V6, Lengths::Internet),
            (IpVersion::V6, Lengths::Even),
        ] {
            let report = run(version, 2000, lengths).expect("it runs");
            assert_eq!((report.packets, &report.params["routes"]), (10 * 5 * 256, &json!(2000)));
            let names: Vec<_> = report.nodes.iter().map(|node| node.name.as_str()).collect();
            assert!(
                names.ends_with(&["null-tx"])
                    && names.contains(&if version == IpVersion::V4 { "ip4-route" } else { "ip6-route" })
            );
        }
    }

    #[test]
    fn parameters_are_checked() {
        let range = |result: Result<Report, BenchError>| match result {
            Err(BenchError::Range { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(range(run(IpVersion::V4, 0, Lengths::One(24))), "routes");
        assert_eq!(range(run(IpVersion::V4, 1, Lengths::One(33))), "length");
        assert_eq!(range(run(IpVersion::V4, 1, Lengths::Even)), "length");
        let many = run(IpVersion::V4, 70_000, Lengths::One(16));
        assert!(matches!(many, Err(BenchError::Prefixes { .. })), "{many:?}");
    }
}
