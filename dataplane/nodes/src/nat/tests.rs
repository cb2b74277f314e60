//! Packets through a router that translates, for both versions of IP: a line says what goes in and what must come out.

mod flows;
mod hostile;
mod limits;
mod rare;
mod tenants;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use etherparse::{IpNumber, PacketBuilder};
use paceline_buf::VnetHdr;
use paceline_graph::SessionClock;
use paceline_graph::nat::NatSession;
use paceline_graph::{
    Action, Adjacencies, Capabilities, IpVersion, L3, Link, Nat, NatConfig, NatMapping, Reason, Vrf,
};
use paceline_tables::{Rib4, Rib6};
use paceline_wire::ethernet::Mac;

use crate::Features;
use crate::testing::Rig;

/// What the router's interfaces have for an address, but for the last byte; and the next hops behind them.
const OWN: u64 = 0x02ee_0000_0000;
const NEXT: u64 = 0x06ee_0000_0000;
/// The inside interface, and the outside one.
const IN: u16 = 0;
const OUT: u16 = 1;

/// What addresses are called in tests: inside hosts, remote ones, the address of the NAT, those of the router's interfaces.
const NAMES: [(&str, [&str; 2]); 8] = [
    ("A", ["10.0.0.5", "fd00::5"]),
    ("B", ["10.0.0.6", "fd00::6"]),
    ("R", ["9.9.9.9", "2600::9"]),
    ("S", ["8.8.8.8", "2600::8"]),
    ("N", ["11.0.0.1", "2600:ff::1"]),
    ("M", ["11.0.0.2", "2600:ff::2"]),
    ("I", ["10.0.255.254", "fd00::fffe"]),
    ("O", ["12.0.0.1", "2600:fe::1"]),
];

/// A router with an inside and an outside interface, and a clock to set. Workers are one, unless told otherwise.
struct Router {
    rig: Rig,
    clock: Arc<AtomicU32>,
    is_v6: bool,
}

/// Runs a test for both versions.
fn both(edit: impl Fn(&mut NatConfig, bool), test: impl Fn(&mut Router)) {
    for is_v6 in [false, true] {
        let mut config = NatConfig { ports: 1000..=1999, ..config() };
        edit(&mut config, is_v6);
        test(&mut Router::new(&config, is_v6));
    }
}

fn config() -> NatConfig {
    NatConfig {
        addresses4: vec![Ipv4Addr::new(11, 0, 0, 1)],
        addresses6: vec!["2600:ff::1".parse().expect("an address")],
        inside: vec!["10.0.0.0/16".parse().expect("a prefix"), "fd00::/16".parse().expect("a prefix")],
        vrfs: (0..).zip(["main", "red", "blue"]).map(|(number, name)| (name.into(), number)).collect(),
        ..NatConfig::default()
    }
}

fn address(name: &str, is_v6: bool) -> IpAddr {
    let known = NAMES.iter().find(|(known, _)| *known == name);
    let text = known.map_or(name, |(_, both)| both[usize::from(is_v6)]);
    text.parse().unwrap_or_else(|_| panic!("{name} is no address"))
}

fn name(address: IpAddr) -> String {
    let text = address.to_string();
    let known = NAMES.iter().find(|(_, both)| both.contains(&text.as_str()));
    known.map_or(text.clone(), |(name, _)| (*name).to_string())
}

/// A mapping of a port of the NAT's addresses to one of a host.
fn mapping(protocol: u8, outside_port: u16, host: &str, inside_port: u16, is_v6: bool) -> NatMapping {
    let inside = address(host, is_v6);
    NatMapping { protocol, outside: None, outside_port, inside, inside_port, vrf: "main".into() }
}

impl Router {
    fn new(config: &NatConfig, is_v6: bool) -> Router {
        let clock = Arc::new(AtomicU32::new(1000));
        let nat = Nat::with_clock(config, SessionClock::Set(Arc::clone(&clock))).expect("a configuration");
        let mut rig = Rig::bridge(0);
        rig.snapshot.nat = Some(nat);
        for port in [IN, OUT] {
            let nat = port == OUT;
            let features =
                Features { routed: true, nat, capabilities: Capabilities::ALL, ..Features::default() };
            let own = if nat { "O" } else { "I" };
            rig.interface(port, features, |interface| {
                let address = |is_v6| match address(own, is_v6) {
                    IpAddr::V4(address) => (Some(address), None),
                    IpAddr::V6(address) => (None, Some(address)),
                };
                let (address4, address6) = (address(false).0, address(true).1);
                interface.l3 = Some(L3 { mac: Mac(OWN + u64::from(port)), address4, address6, mtu: 1500 });
            });
        }
        let (mut rib4, mut rib6) = (Rib4::new().expect("room"), Rib6::new().expect("room"));
        let lines = Adjacencies::new(16);
        for port in [IN, OUT] {
            for (version, number) in [(IpVersion::V4, 1), (IpVersion::V6, 3)] {
                let source = Mac(OWN + u64::from(port));
                let link = Link { interface: port, mtu: 1500, source, version };
                lines.get(number + u32::from(port)).forward(link, Mac(NEXT + u64::from(port)));
            }
        }
        lines.get(5).act(Action::Translate);
        for (net, number) in [("10.0.0.0/16", 1), ("0.0.0.0/0", 2), ("11.0.0.0/30", 5)] {
            rib4.insert(net.parse().expect("a prefix"), number).expect("room");
        }
        for (net, number) in [("fd00::/16", 3), ("::/0", 4), ("2600:ff::/64", 5)] {
            rib6.insert(net.parse().expect("a prefix"), number).expect("room");
        }
        let (fib4, fib6) = (Arc::clone(rib4.fib()), Arc::clone(rib6.fib()));
        rig.snapshot.vrfs.push(Vrf { name: "main".into(), fib4, fib6 });
        rig.snapshot.adjacencies = Arc::new(lines);
        Router { rig, clock, is_v6 }
    }

    fn nat(&self) -> &Arc<Nat> {
        self.rig.snapshot.nat.as_ref().expect("a NAT")
    }

    fn sessions(&self) -> Vec<NatSession> {
        self.nat().sessions()
    }

    /// Lets some seconds pass.
    fn wait(&self, seconds: u32) {
        self.clock.fetch_add(seconds, Relaxed);
    }

    /// Takes another configuration, with a change to the usual one.
    fn configure(&mut self, edit: impl FnOnce(&mut NatConfig, bool)) {
        let mut config = NatConfig { ports: 1000..=1999, ..config() };
        edit(&mut config, self.is_v6);
        let next = self.nat().succeed(&config).expect("a configuration");
        self.rig.snapshot.nat = Some(next);
    }

    /// A frame for the router's interface: `udp A:1000 > R:53`, `tcp.syn A:5 > R:80`, `echo A:7 > R`, `reply …`, `gre A > R`,
    /// `sctp A:5 > R:6`.
    fn frame(&self, rx: u16, text: &str) -> Vec<u8> {
        self.frame_with(rx, text, &[7; 50])
    }

    fn frame_with(&self, rx: u16, text: &str, payload: &[u8]) -> Vec<u8> {
        let words: Vec<&str> = text.split(' ').collect();
        let [kind, from, ">", to] = words[..] else { panic!("{text}") };
        let end = |text: &str| {
            let (host, port) = text.split_once(':').unwrap_or((text, "0"));
            (address(host, self.is_v6), port.parse::<u16>().expect("a port"))
        };
        let ((source, source_port), (destination, port)) = (end(from), end(to));
        let mac = |base: u64| Mac(base + u64::from(rx)).octets();
        let builder = PacketBuilder::ethernet2(mac(NEXT), mac(OWN));
        let builder = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(to)) => builder.ipv4(source.octets(), to.octets(), 64),
            (IpAddr::V6(source), IpAddr::V6(to)) => builder.ipv6(source.octets(), to.octets(), 64),
            _ => panic!("{text}"),
        };
        let mut frame = Vec::new();
        let (kind, flags) = kind.split_once('.').unwrap_or((kind, ""));
        let done = match kind {
            "udp" => builder.udp(source_port, port).write(&mut frame, payload),
            "tcp" => {
                let mut builder = builder.tcp(source_port, port, 1, 1000);
                for flag in flags.split('.') {
                    builder = match flag {
                        "syn" => builder.syn(),
                        "ack" => builder.ack(1),
                        "fin" => builder.fin(),
                        "rst" => builder.rst(),
                        "mss" => builder
                            .options(&[etherparse::TcpOptionElement::MaximumSegmentSize(9000)])
                            .expect("room"),
                        _ => builder,
                    };
                }
                builder.write(&mut frame, payload)
            }
            "echo" if self.is_v6 => builder.icmpv6_echo_request(source_port, 1).write(&mut frame, payload),
            "reply" if self.is_v6 => builder.icmpv6_echo_reply(source_port, 1).write(&mut frame, payload),
            "echo" => builder.icmpv4_echo_request(source_port, 1).write(&mut frame, payload),
            "reply" => builder.icmpv4_echo_reply(source_port, 1).write(&mut frame, payload),
            "gre" => builder.write(&mut frame, IpNumber(47), payload),
            "sctp" => {
                let ports = [source_port.to_be_bytes(), port.to_be_bytes()].concat();
                builder.write(&mut frame, IpNumber(132), &[&ports, payload].concat())
            }
            _ => panic!("{text}"),
        };
        done.expect("written");
        frame
    }

    /// Sends a packet in. What comes out, with the interface in front; or the reason of its end.
    fn send(&mut self, rx: u16, text: &str) -> String {
        let frame = self.frame(rx, text);
        self.send_frame(rx, &frame)
    }

    fn send_frame(&mut self, rx: u16, frame: &[u8]) -> String {
        self.send_all(rx, &[frame]).join(", ")
    }

    fn send_all(&mut self, rx: u16, frames: &[&[u8]]) -> Vec<String> {
        let before = self.drops();
        let frames: Vec<_> = frames.iter().map(|frame| (*frame, None::<VnetHdr>)).collect();
        let mut out: Vec<_> = self.rig.send_all(rx, &frames).iter().map(|o| describe(o.0, &o.1)).collect();
        let drops = self.drops().into_iter().zip(before).filter(|(now, then)| now.1 > then.1);
        out.extend(drops.map(|(now, _)| now.0.name().to_string()));
        out
    }

    fn drops(&self) -> Vec<(Reason, u64)> {
        let nodes = || self.rig.graph.counters().iter().chain(self.rig.second.counters().iter());
        Reason::ALL.iter().map(|r| (*r, nodes().map(|node| node.drops.get(*r)).sum())).collect()
    }
}

/// A frame in the words of [`Router::frame`], with the interface in front. All checksums must be right.
fn describe(port: u16, frame: &[u8]) -> String {
    assert_eq!(
        frame[..12],
        [Mac(NEXT + u64::from(port)).octets(), Mac(OWN + u64::from(port)).octets()].concat()
    );
    format!("{port} {}", describe_ip(&frame[14..]))
}

/// The parts of an IP packet without options: protocol, addresses, transport header and what is behind.
fn split(ip: &[u8]) -> (u8, IpAddr, IpAddr, &[u8]) {
    if ip[0] >> 4 == 4 {
        assert_eq!(sum(&[&ip[..20]]), 0xffff, "header checksum");
        let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]).into();
        let len = usize::from(u16::from_be_bytes([ip[2], ip[3]])).min(ip.len());
        return (ip[9], address(12), address(16), &ip[20..len]);
    }
    let address = |at: usize| {
        let bytes: [u8; 16] = ip[at..at + 16].try_into().expect("16 bytes");
        Ipv6Addr::from(bytes).into()
    };
    let len = (usize::from(u16::from_be_bytes([ip[4], ip[5]])) + 40).min(ip.len());
    (ip[6], address(8), address(24), &ip[40..len])
}

fn describe_ip(ip: &[u8]) -> String {
    let (protocol, source, destination, transport) = split(ip);
    let is_v4 = ip[0] >> 4 == 4;
    if if is_v4 { ip[6] & 0x3f != 0 || ip[7] != 0 } else { protocol == 44 } {
        return format!("part {} > {}", name(source), name(destination));
    }
    if protocol != 132 && protocol != 47 {
        let is_icmp4 = protocol == 1;
        let addresses = if is_v4 { &ip[12..20] } else { &ip[8..40] };
        let pseudo = if is_icmp4 { &[][..] } else { addresses };
        let len = if is_icmp4 { 0 } else { transport.len() as u16 + u16::from(protocol) };
        assert_eq!(sum(&[pseudo, &len.to_be_bytes(), transport]), 0xffff, "transport checksum");
    }
    let port = |at: usize| u16::from_be_bytes([transport[at], transport[at + 1]]);
    let (from, to) = (name(source), name(destination));
    match (protocol, transport[0]) {
        (17, _) => format!("udp {from}:{} > {to}:{}", port(0), port(2)),
        (6, _) => {
            let flags = [(2, ".syn"), (16, ".ack"), (1, ".fin"), (4, ".rst")];
            let flags: String =
                flags.iter().filter(|(bit, _)| transport[13] & bit != 0).map(|(_, name)| *name).collect();
            format!("tcp{flags} {from}:{} > {to}:{}", port(0), port(2))
        }
        (132, _) => format!("sctp {from}:{} > {to}:{}", port(0), port(2)),
        (47, _) => format!("gre {from} > {to}"),
        (1, 8) | (58, 128) => format!("echo {from}:{} > {to}", port(4)),
        (1, 0) | (58, 129) => format!("reply {from}:{} > {to}", port(4)),
        (1, 3 | 11) | (58, 1..=4) => {
            format!("error {from} > {to} about {}", describe_quote(&transport[8..]))
        }
        other => panic!("{other:?}"),
    }
}

/// What an error quotes. Of its transport header no more than ports are there.
fn describe_quote(ip: &[u8]) -> String {
    let (_, source, destination, transport) = split(ip);
    let port = |at: usize| u16::from_be_bytes([transport[at], transport[at + 1]]);
    format!("{}:{} > {}:{}", name(source), port(0), name(destination), port(2))
}

/// An ICMP error from a host about a packet, as it is in a frame that was sent.
fn error(router: &Router, rx: u16, from: &str, about: &[u8]) -> Vec<u8> {
    let quote = &about[14..];
    let (_, source, _, _) = split(quote);
    let mac = |base: u64| Mac(base + u64::from(rx)).octets();
    let builder = PacketBuilder::ethernet2(mac(NEXT), mac(OWN));
    let mut frame = Vec::new();
    match (address(from, router.is_v6), source) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let kind = etherparse::icmpv4::DestUnreachableHeader::Port;
            let kind = etherparse::Icmpv4Type::DestinationUnreachable(kind);
            builder.ipv4(from.octets(), to.octets(), 64).icmpv4(kind).write(&mut frame, quote)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let kind = etherparse::icmpv6::DestUnreachableCode::Port;
            let kind = etherparse::Icmpv6Type::DestinationUnreachable(kind);
            builder.ipv6(from.octets(), to.octets(), 64).icmpv6(kind).write(&mut frame, quote)
        }
        _ => panic!("versions"),
    }
    .expect("written");
    frame
}

/// The ones' complement sum of 16-bit words, piece by piece; all but the last piece are of even length.
fn sum(pieces: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for word in pieces.iter().flat_map(|piece| piece.chunks(2)) {
        sum += u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0));
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// The endpoint that a line names second, as a socket address.
fn end(router: &Router, host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address(host, router.is_v6), port)
}
