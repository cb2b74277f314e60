//! Frames through tunnels: encapsulation judged by `etherparse`, decapsulation by what went in.

mod bypass;
mod decap;
mod encap;
mod super_packets;
mod suppress;

use std::net::IpAddr;
use std::sync::Arc;

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use paceline_graph::{Action, Adjacencies, Capabilities, IpVersion, L3, Link, Tunnel, TunnelEnds, Vrf, Zone};
use paceline_tables::{Rib4, Rib6};
use paceline_wire::ethernet::{HEADER_LEN, Mac};

use crate::Features;
use crate::testing::Rig;

/// Ports of a rig: a bridged one, the tunnel beside it, the way to the other end, and another such way.
const PORT: u16 = 0;
const TUNNEL: u16 = 1;
const UNDERLAY: u16 = 2;
const SECOND: u16 = 3;
const VNI: u32 = 0x1234;

fn end(v6: bool, last: u8) -> IpAddr {
    let text = if v6 { format!("fd00::{last:x}") } else { format!("192.0.2.{last}") };
    text.parse().expect("an address")
}

fn mac(last: u8) -> Mac {
    Mac(0x02ee_0000_0000 + u64::from(last))
}

fn tunnel(v6: bool, own: u8, other: u8) -> Tunnel {
    Tunnel {
        vni: VNI,
        vrf: 0,
        local: end(v6, own),
        remote: end(v6, other),
        port: 4789,
        origin: UNDERLAY,
        origin_mac: mac(own),
        group: None,
        ttl: Some(64),
        dscp: Some(0),
        checksum: false,
        learns: false,
    }
}

/// A switch with the addresses `own`, and a tunnel to that of `other`. In its routing table, 3 must be asked for, 4 is reached by
/// two ways, 5 is the switch's own, 6 by the second port, which is isolated, 7 nowhere.
fn switch(v6: bool, own: u8, other: u8) -> Rig {
    let mut rig = Rig::bridge(1);
    let features = Features { capabilities: Capabilities::ALL, ..Features::default() };
    rig.interface(TUNNEL, Features { tunnel: true, ..Features::default() }, |_| ());
    rig.snapshot.bridges[0].members.push(TUNNEL);
    let (mut rib4, mut rib6) = (Rib4::new().expect("room"), Rib6::new().expect("room"));
    let lines = Adjacencies::new(16);
    let version = if v6 { IpVersion::V6 } else { IpVersion::V4 };
    for port in [UNDERLAY, SECOND] {
        rig.interface(port, Features { routed: true, ..features }, |i| {
            let l3 = L3 { mac: mac(own), address4: None, address6: None, mtu: 1600 };
            (i.l3, i.mtu, i.zone) = (Some(l3), 1600, Zone::new(0, port == SECOND));
        });
    }
    let link = |interface| Link { interface, mtu: 1600, source: mac(own), version };
    lines.get(1).act(Action::Tunnel);
    lines.get(2).forward(link(UNDERLAY), mac(other));
    lines.get(3).resolve(link(UNDERLAY));
    lines.get(5).forward(link(SECOND), mac(other));
    lines.get(4).balance(&[2, 5]);
    lines.get(6).act(Action::TunnelTranslate);
    for (last, line) in [(own, 1), (other, 2), (13, 3), (14, 4), (15, 1), (16, 5), (18, 6)] {
        match end(v6, last) {
            IpAddr::V4(address) => _ = rib4.insert(address.into(), line).expect("room"),
            IpAddr::V6(address) => _ = rib6.insert(address.into(), line).expect("room"),
        }
    }
    let (fib4, fib6) = (Arc::clone(rib4.fib()), Arc::clone(rib6.fib()));
    rig.snapshot.vrfs.push(Vrf { name: "under".into(), fib4, fib6 });
    rig.snapshot.adjacencies = Arc::new(lines);
    set(&mut rig, &tunnel(v6, own, other));
    rig
}

/// Gives the tunnel's interface another tunnel.
fn set(rig: &mut Rig, tunnel: &Tunnel) {
    let interface = rig.snapshot.interfaces[TUNNEL as usize].as_mut().expect("there");
    interface.tunnel = Some(Arc::new(tunnel.clone()));
    rig.snapshot.tunnels = TunnelEnds::new([(TUNNEL, tunnel)].into_iter());
}

/// What leaves by the underlay when a frame comes in by the port.
fn encapsulated(rig: &mut Rig, frame: &[u8]) -> Vec<u8> {
    let mut out = rig.send(PORT, frame);
    assert_eq!(out.len(), 1, "one packet");
    let (port, bytes) = out.remove(0);
    assert!(port == UNDERLAY || port == SECOND, "{port}");
    bytes
}

/// An IP packet from host 1 to host 2, neither of which is known.
fn ip(v6: bool, class: u8, ttl: u8, ports: (u16, u16), payload: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let ip = if v6 {
        ethernet.ip(etherparse::IpHeaders::Ipv6(
            etherparse::Ipv6Header {
                traffic_class: class,
                hop_limit: ttl,
                source: [1; 16],
                destination: [2; 16],
                ..Default::default()
            },
            etherparse::Ipv6Extensions::default(),
        ))
    } else {
        let mut header =
            etherparse::Ipv4Header::new(0, ttl, etherparse::IpNumber::UDP, [1; 4], [2; 4]).expect("short");
        header.dscp = etherparse::IpDscp::try_new(class >> 2).expect("6 bits");
        header.ecn = etherparse::IpEcn::try_new(class & 3).expect("2 bits");
        ethernet.ip(etherparse::IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default()))
    };
    ip.udp(ports.0, ports.1).write(&mut bytes, &vec![7; payload]).expect("written");
    bytes
}

/// What the outer headers say.
struct Outer {
    class: u8,
    ttl: u8,
    source_port: u16,
    checksum: u16,
    inner: Vec<u8>,
}

/// Takes a packet apart and checks everything that is the same for all.
fn outer(v6: bool, bytes: &[u8], own: u8, other: u8) -> Outer {
    let parsed = SlicedPacket::from_ethernet(bytes).expect("a packet");
    let (class, ttl) = match parsed.net.expect("IP") {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert!(header.dont_fragment && !v6);
            assert_eq!(usize::from(header.total_len), bytes.len() - HEADER_LEN);
            assert_eq!([header.source, header.destination].map(IpAddr::from), [end(v6, own), end(v6, other)]);
            (bytes[15], header.time_to_live)
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header().to_header();
            assert!(v6 && usize::from(header.payload_length) == bytes.len() - HEADER_LEN - 40);
            assert_eq!([header.source, header.destination].map(IpAddr::from), [end(v6, own), end(v6, other)]);
            (header.traffic_class, header.hop_limit)
        }
        NetSlice::Arp(_) => panic!("no IP"),
    };
    let Some(TransportSlice::Udp(udp)) = parsed.transport else { panic!("no UDP") };
    assert_eq!((udp.destination_port(), usize::from(udp.length())), (4789, udp.slice().len()));
    assert_eq!(udp.payload()[..8], [8, 0, 0, 0, 0, 0x12, 0x34, 0]);
    Outer {
        class,
        ttl,
        source_port: udp.source_port(),
        checksum: udp.checksum(),
        inner: udp.payload()[8..].to_vec(),
    }
}
