//! `vxlan-encap`: generator → bridge → tunnels → null port. `vxlan-decap`: generator of tunnels' packets → tunnels → bridge →
//! null port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use paceline_graph::{
    Action, Adjacencies, Bridge, BridgeCounters, Capabilities, Interface, InterfaceCounters, IpVersion, L3,
    Link, Snapshot, Tunnel, TunnelEnds, UnknownUnicast, Vrf, Zone,
};
use paceline_nodes::Features;
use paceline_ports::{Addresses, GeneratorConfig, Order, Sizes, Span, StreamConfig};
use paceline_tables::{MacTable, Rib4, Rib6};
use paceline_wire::ethernet::Mac;
use paceline_wire::vxlan;
use serde_json::json;

use crate::measure::{Method, measure};
use crate::rig::{Rig, SINK, SOURCE};
use crate::{BenchError, Report, within};

/// Parameters of both scenarios.
#[derive(Clone, Copy, Debug)]
pub struct Vxlan {
    /// Version of the outer packets.
    pub version: IpVersion,
    /// Tunnels, each to another end: 1 to 1000; of `vxlan-decap`, 1 to 256.
    pub tunnels: u32,
    /// Pairs of source and destination address, 1 to 500 000, spread over the tunnels; of `vxlan-encap`.
    pub macs: u32,
    /// Bytes of an inner frame without its checksum, 60 to 1450.
    pub size: u16,
}

const VNI: u32 = 7;
const PORT: u16 = 4789;
/// The tunnels' interfaces, from this number on.
const FIRST: u16 = 2;
const SOURCES: Mac = Mac(0x0200_0000_0001);
const DESTINATIONS: Mac = Mac(0x0600_0000_0001);
/// The router that leads to all other ends.
const NEXT_HOP: Mac = Mac(0x0a00_0000_0001);
/// The address of the routed interface.
const OWN: Mac = Mac(0x0200_0000_00ff);

fn end(version: IpVersion, number: u32) -> IpAddr {
    match version {
        IpVersion::V4 => Ipv4Addr::from_bits(0xc612_0001 + number).into(),
        IpVersion::V6 => Ipv6Addr::from_bits((0xfd00 << 112) + 1 + u128::from(number)).into(),
    }
}

/// Runs `vxlan-encap`.
///
/// # Errors
/// A parameter out of range, no memory, or packets that were lost on the way.
pub fn encap(params: Vxlan, method: Method) -> Result<Report, BenchError> {
    within("tunnels", params.tunnels.into(), 1, 1000)?;
    within("macs", params.macs.into(), 1, 500_000)?;
    within("size", params.size.into(), 60, 1450)?;
    let macs = table(params.macs, SOURCES, |_| SOURCE, |n| FIRST + (n % params.tunnels) as u16)?;
    let stream = StreamConfig {
        sizes: Sizes::List(vec![params.size.into()]),
        source_mac: Span::new(SOURCES.octets(), params.macs),
        destination_mac: Span::new(DESTINATIONS.octets(), params.macs),
        order: Order::Random,
        ..StreamConfig::default()
    };
    let mut rig = Rig::mixed(
        &GeneratorConfig { streams: vec![stream], ..GeneratorConfig::default() },
        snapshot(params, SINK, macs)?,
        [None, Some(routed())],
        None,
    )?;
    let map = [
        ("version".to_string(), json!(number(params.version))),
        ("tunnels".to_string(), json!(params.tunnels)),
        ("macs".to_string(), json!(params.macs)),
        ("size".to_string(), json!(params.size)),
    ];
    measure(&mut rig, method, "vxlan-encap", map.into_iter().collect())
}

/// Runs `vxlan-decap`.
///
/// # Errors
/// A parameter out of range, no memory, or packets that were lost on the way.
pub fn decap(params: Vxlan, method: Method) -> Result<Report, BenchError> {
    within("tunnels", params.tunnels.into(), 1, 256)?;
    within("size", params.size.into(), 60, 1450)?;
    let macs = table(params.tunnels, SOURCES, |n| FIRST + n as u16, |_| SINK)?;
    // A stream for each tunnel, as the address of a host is behind one of them.
    let stream = |n: u32| {
        let local = end(params.version, 0);
        let (addresses, headers) = match (end(params.version, n + 1), local) {
            (IpAddr::V4(source), IpAddr::V4(local)) => {
                (Addresses::V4 { source: Span::one(source), destination: Span::one(local) }, Tunnel::LEN_V4)
            }
            (IpAddr::V6(source), IpAddr::V6(local)) => {
                (Addresses::V6 { source: Span::one(source), destination: Span::one(local) }, Tunnel::LEN_V6)
            }
            _ => unreachable!("both are of one version"),
        };
        let source = Mac(SOURCES.0 + u64::from(n)).octets();
        let mac = [Mac(DESTINATIONS.0 + u64::from(n)).octets(), source].concat();
        StreamConfig {
            sizes: Sizes::List(vec![usize::from(params.size) + headers]),
            source_mac: Span::one(NEXT_HOP.octets()),
            destination_mac: Span::one(OWN.octets()),
            addresses,
            destination_port: Span::one(PORT),
            payload: [&vxlan::header(VNI)[..], &mac, &[0x88, 0xb5]].concat(),
            ..StreamConfig::default()
        }
    };
    let mut rig = Rig::mixed(
        &GeneratorConfig { streams: (0..params.tunnels).map(stream).collect(), ..GeneratorConfig::default() },
        snapshot(params, SOURCE, macs)?,
        [Some(routed()), None],
        None,
    )?;
    let map = [
        ("version".to_string(), json!(number(params.version))),
        ("tunnels".to_string(), json!(params.tunnels)),
        ("size".to_string(), json!(params.size)),
    ];
    measure(&mut rig, method, "vxlan-decap", map.into_iter().collect())
}

fn number(version: IpVersion) -> u8 {
    if version == IpVersion::V4 { 4 } else { 6 }
}

fn routed() -> L3 {
    L3 { mac: OWN, address4: None, address6: None, mtu: 9000 }
}

/// A table of so many pairs: sources behind one interface, destinations behind the other.
fn table(
    pairs: u32,
    sources: Mac,
    source: impl Fn(u32) -> u16,
    destination: impl Fn(u32) -> u16,
) -> Result<Arc<MacTable>, BenchError> {
    // Room for some more, as a switch has.
    let macs = Arc::new(MacTable::new((pairs * 2).max(1000) / 8 * 9));
    for n in 0..pairs {
        for (first, port) in [(sources, source(n)), (DESTINATIONS, destination(n))] {
            let mac = first.0 + u64::from(n);
            macs.learn(mac, macs.hash(mac), port, macs.now());
        }
    }
    if macs.len() == pairs as usize * 2 {
        Ok(macs)
    } else {
        Err(BenchError::Table { want: pairs as usize * 2, got: macs.len() })
    }
}

/// A bridge of tunnels, and their underlay, of which `origin` is the interface.
fn snapshot(params: Vxlan, origin: u16, macs: Arc<MacTable>) -> Result<Snapshot, BenchError> {
    let (mut rib4, mut rib6) = (Rib4::new()?, Rib6::new()?);
    rib4.insert(ipnet::Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0), 1)?;
    rib6.insert(ipnet::Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0), 1)?;
    match end(params.version, 0) {
        IpAddr::V4(local) => _ = rib4.insert(local.into(), 2)?,
        IpAddr::V6(local) => _ = rib6.insert(local.into(), 2)?,
    }
    let adjacencies = Adjacencies::new(3);
    let link = Link { interface: origin, mtu: 9000, source: OWN, version: params.version };
    adjacencies.get(1).forward(link, NEXT_HOP);
    adjacencies.get(2).act(Action::Tunnel);
    let tunnel = |number| Tunnel {
        vni: VNI,
        vrf: 0,
        local: end(params.version, 0),
        remote: end(params.version, 1 + number),
        port: PORT,
        origin,
        origin_mac: OWN,
        group: None,
        ttl: Some(64),
        dscp: Some(0),
        // The generator fills them in over IPv6, and none is the usual case over IPv4.
        checksum: false,
        learns: false,
    };
    let tunnels: Vec<(u16, Tunnel)> = (FIRST..).zip((0..params.tunnels).map(tunnel)).collect();
    let mut snapshot = Snapshot {
        bridges: vec![Bridge {
            name: "bench".into(),
            vlan: 0,
            macs,
            learn: true,
            unknown_unicast: UnknownUnicast::Flood,
            members: [SOURCE, SINK]
                .into_iter()
                .filter(|port| *port != origin)
                .chain(tunnels.iter().map(|t| t.0))
                .collect(),
            neighbours: Arc::default(),
            multicast: None,
            counters: Arc::new(BridgeCounters::default()),
        }],
        vrfs: vec![Vrf { name: "bench".into(), fib4: Arc::clone(rib4.fib()), fib6: Arc::clone(rib6.fib()) }],
        adjacencies: Arc::new(adjacencies),
        tunnels: TunnelEnds::new(tunnels.iter().map(|(index, tunnel)| (*index, tunnel))),
        ..Snapshot::default()
    };
    for (index, tunnel) in tunnels {
        let features = Features { tunnel: true, capabilities: Capabilities::NONE, ..Features::default() };
        let (input, output) = paceline_nodes::arcs(index, features);
        let interface = Interface {
            name: format!("tunnel{index}").into(),
            mtu: 9000,
            input,
            output,
            domain: 0,
            l3: None,
            peer: None,
            tunnel: Some(Arc::new(tunnel)),
            sources: None,
            zone: Zone::new(1, false),
            vlan: None,
            capabilities: features.capabilities,
            filter: None,
            capture: None,
            counters: Arc::new([InterfaceCounters::default()]),
        };
        snapshot.set_interface(index, interface);
    }
    Ok(snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHOD: Method = Method { windows: 10, vectors: 5 };

    #[test]
    fn every_packet_goes_through_a_tunnel() {
        for version in [IpVersion::V4, IpVersion::V6] {
            for (tunnels, macs, size) in [(1, 1, 64), (10, 1000, 64), (200, 300, 1450)] {
                let params = Vxlan { version, tunnels, macs, size };
                for (report, node) in
                    [(encap(params, METHOD), "vxlan-encap"), (decap(params, METHOD), "vxlan-decap")]
                {
                    let report = report.expect("it runs");
                    assert_eq!((report.scenario, report.packets), (node, 10 * 5 * 256));
                    assert!(
                        report.nodes.iter().any(|n| n.name == node && n.packets_per_vector > 255.0),
                        "{report}"
                    );
                    assert!(report.nodes.iter().any(|n| n.name == "null-tx" && n.packets_per_vector > 255.0));
                }
            }
        }
    }

    #[test]
    fn parameters_are_checked() {
        let params = Vxlan { version: IpVersion::V4, tunnels: 257, macs: 1, size: 59 };
        assert!(matches!(encap(params, METHOD), Err(BenchError::Range { name: "size", .. })));
        assert!(matches!(decap(params, METHOD), Err(BenchError::Range { name: "tunnels", .. })));
    }
}
