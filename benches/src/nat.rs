//! `nat44` and `nat66`: generator → routing node → `in2out` → null port, with any number of flows.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use paceline_graph::SessionClass;
use paceline_graph::nat::NatSide;
use paceline_graph::{Adjacencies, IpVersion, Link, Nat, NatConfig, NatLimits, Vrf};
use paceline_ports::{Addresses, GeneratorConfig, Sizes, Span, StreamConfig};
use paceline_tables::{Address, Rib4, Rib6, State, Tuple};
use paceline_wire::ethernet::Mac;
use serde_json::json;

use crate::measure::{Method, measure};
use crate::rig::{Rig, Routing, SINK};
use crate::{BenchError, Report, within};

/// Parameters of the scenario.
#[derive(Clone, Copy, Debug)]
pub struct NatFlows {
    /// Version of the packets.
    pub version: IpVersion,
    /// Inside hosts, each with one UDP flow to the same remote port: 1 to 1 000 000.
    pub flows: u32,
    /// Bytes of a frame without its checksum, 64 to 1514.
    pub size: u16,
}

/// Addresses of the NAT: enough for the ports of all flows.
const OUTSIDE: u32 = 16;
/// Ports that are taken of each address.
const PORTS: u32 = 64_000;
/// First inside host, first outside address, and the remote host.
const V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(11, 0, 0, 1), Ipv4Addr::new(198, 19, 0, 1)];
const V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x2600, 0xff, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, 9),
];
const HOST_PORT: u16 = 49_152;
const REMOTE_PORT: u16 = 9;
/// The same order every time.
const SEED: u64 = 7;

/// Runs the scenario.
///
/// # Errors
/// A parameter out of range, no memory, or packets that were lost on the way.
pub fn nat(params: NatFlows, method: Method) -> Result<Report, BenchError> {
    let is_v4 = params.version == IpVersion::V4;
    within("flows", params.flows.into(), 1, 1_000_000)?;
    within("size", params.size.into(), 64, 1514)?;
    let defaults = NatLimits::default();
    let nat = Nat::new(&NatConfig {
        addresses4: (0..OUTSIDE).map(|n| Ipv4Addr::from(u32::from(V4[1]) + n)).collect(),
        addresses6: (0..OUTSIDE).map(|n| Ipv6Addr::from(u128::from(V6[1]) + u128::from(n))).collect(),
        limits: NatLimits { sessions: params.flows.max(defaults.sessions), ..defaults },
        vrfs: BTreeMap::from([("bench".into(), 0)]),
        ..NatConfig::default()
    })?;
    let bytes = if is_v4 {
        fill(&nat, nat.v4(), V4.map(IpAddr::from), params.flows, |address, by| address + by)?
    } else {
        fill(&nat, nat.v6(), V6.map(IpAddr::from), params.flows, |address, by| address + u128::from(by))?
    };
    let (mut rib4, mut rib6) = (Rib4::new()?, Rib6::new()?);
    rib4.insert(ipnet::Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0), 1)?;
    rib6.insert(ipnet::Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0), 1)?;
    let adjacencies = Adjacencies::new(2);
    let source = Mac(0x0200_0000_0000 + u64::from(SINK));
    let link = Link { interface: SINK, mtu: 9000, source, version: params.version };
    adjacencies.get(1).forward(link, Mac(0x0600_0000_0001));
    let vrf = Vrf { name: "bench".into(), fib4: Arc::clone(rib4.fib()), fib6: Arc::clone(rib6.fib()) };
    let mac = Mac(0x0200_0000_0000);
    let routing =
        Routing { vrf, adjacencies: Arc::new(adjacencies), mac, nat: Some(Arc::clone(&nat)), filtered: None };
    let addresses = if is_v4 {
        Addresses::V4 { source: Span::new(V4[0], params.flows), destination: Span::one(V4[2]) }
    } else {
        Addresses::V6 { source: Span::new(V6[0], params.flows), destination: Span::one(V6[2]) }
    };
    let stream = StreamConfig {
        sizes: Sizes::List(vec![params.size.into()]),
        destination_mac: Span::one(mac.octets()),
        addresses,
        source_port: Span::one(HOST_PORT),
        destination_port: Span::one(REMOTE_PORT),
        ..StreamConfig::default()
    };
    let generator = GeneratorConfig { streams: vec![stream], ..GeneratorConfig::default() };
    let mut rig = Rig::routed(&generator, routing)?;
    let map = [
        ("flows".to_string(), json!(params.flows)),
        ("size".to_string(), json!(params.size)),
        ("table_bytes".to_string(), json!(bytes)),
    ];
    let report = measure(&mut rig, method, if is_v4 { "nat44" } else { "nat66" }, map.into_iter().collect())?;
    let got = nat.sessions().len();
    if got == params.flows as usize {
        Ok(report)
    } else {
        Err(BenchError::Sessions { want: params.flows, got })
    }
}

/// Begins the sessions of all flows, in an order of chance: hosts that follow each other in the traffic are not neighbours in
/// the table. Returns the bytes that the table can take.
fn fill<T: Address>(
    nat: &Nat,
    side: &NatSide<T>,
    [host, outside, remote]: [IpAddr; 3],
    flows: u32,
    add: impl Fn(T, u32) -> T,
) -> Result<usize, BenchError> {
    let lost = BenchError::Sessions { want: flows, got: 0 };
    let (Some(table), Some(host), Some(outside), Some(remote)) =
        (side.table(0), T::from_ip(host), T::from_ip(outside), T::from_ip(remote))
    else {
        return Err(lost);
    };
    let mut order: Vec<u32> = (0..flows).collect();
    fastrand::Rng::with_seed(SEED).shuffle(&mut order);
    let state =
        State { seen: nat.now(), generation: nat.generation, class: SessionClass::UdpNew as u8, track: 0 };
    for flow in order {
        let ports = Tuple::<T>::join(HOST_PORT, REMOTE_PORT);
        let before = Tuple { source: add(host, flow), destination: remote, ports, protocol: 17, scope: 0 };
        let ports = Tuple::<T>::join((1024 + flow % PORTS) as u16, REMOTE_PORT);
        let after = Tuple { source: add(outside, flow / PORTS), ports, ..before };
        if table.sessions.insert(&before, &after, 0, state).is_err() {
            return Err(BenchError::Sessions { want: flows, got: table.sessions.len() });
        }
    }
    Ok(table.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_is_translated() {
        for (version, node) in [(IpVersion::V4, "nat44-in2out"), (IpVersion::V6, "nat66-in2out")] {
            for flows in [1, 1000, 70_000] {
                let params = NatFlows { version, flows, size: 64 };
                let report = nat(params, Method { windows: 10, vectors: 5 }).expect("it runs");
                assert_eq!(report.packets, 10 * 5 * 256);
                assert!(report.nodes.iter().any(|n| n.name == node), "{report}");
            }
        }
    }

    #[test]
    fn parameters_are_checked() {
        let params = NatFlows { version: IpVersion::V4, flows: 0, size: 64 };
        assert!(matches!(nat(params, Method::default()), Err(BenchError::Range { name: "flows", .. })));
    }
}
