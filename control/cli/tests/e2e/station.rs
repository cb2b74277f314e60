//! Hosts of a router, each on a network of its own, and the packets that they would not send by themselves.
//!
//! Network N is 10.N.0.0/24 and fd0N::/64. The switch has .1 and ::1 there, the host .2 and ::2.

use std::net::IpAddr;
use std::time::Duration;

use crate::cases::operator::tap;
use crate::engine::Engine;
use crate::host::{Host, Veth};
use crate::wire::Wire;

/// A host, and the number of its network.
pub struct Station {
    /// The host.
    pub host: Host,
    number: u8,
}

impl Station {
    /// A new one in network `number`, 1 to 9.
    pub fn new(number: u8) -> Self {
        Self { host: Host::with_ipv6(), number }
    }

    /// The name of its device, of its port and of the port's interface.
    pub fn name(&self) -> String {
        format!("h{}", self.number)
    }

    /// The address of the switch there, and that of the host.
    pub fn macs(&self) -> [[u8; 6]; 2] {
        [1, 2].map(|last| [2, 0, 0, 0, self.number, last])
    }

    /// Its IPv4 and IPv6 address.
    pub fn own(&self) -> [String; 2] {
        [format!("10.{}.0.2", self.number), format!("fd0{}::2", self.number)]
    }

    /// The addresses of the switch there.
    pub fn router(&self) -> [String; 2] {
        [format!("10.{}.0.1", self.number), format!("fd0{}::1", self.number)]
    }

    /// `[[port]]` and `[[interface]]`, the port being a TAP.
    pub fn on_tap(&self, port: &str, interface: &str) -> String {
        tap(&self.name(), &self.host, port) + &self.interface(interface)
    }

    /// `[[port]]` and `[[interface]]` for a port of some kind over the switch's end of a veth.
    pub fn on_veth(&self, kind: &str, interface: &str) -> String {
        let name = self.name();
        let port = format!("[[port]]\nname = \"{name}\"\nkind = \"{kind}\"\ndevice = \"{name}-s\"\n");
        port + &self.interface(interface)
    }

    /// The veth of [`on_veth`](Self::on_veth).
    pub fn veth<'e>(&self, engine: &'e Engine) -> Veth<'e> {
        let name = self.name();
        Veth::new(engine, &format!("{name}-s"), &self.host, &name)
    }

    /// `[[interface]]` on its port, with further lines.
    pub fn interface(&self, more: &str) -> String {
        let [v4, v6] = self.router();
        let (name, mac) = (self.name(), text(self.macs()[0]));
        format!(
            "[[interface]]\nport = \"{name}\"\nmac = \"{mac}\"\naddresses = [\"{v4}/24\", \"{v6}/64\"]\n{more}\n"
        )
    }

    /// Gives the host its MAC and IP addresses, and the switch for a router.
    pub fn up(&self) {
        let (name, [router4, router6]) = (self.name(), self.router());
        self.host.ip(&format!("link set dev {name} address {}", text(self.macs()[1])));
        self.host.address(&name, &format!("10.{}.0.2/24", self.number));
        self.host.ip(&format!("address add fd0{}::2/64 dev {name} nodad", self.number));
        self.host.ip(&format!("route add default via {router4}"));
        self.host.ip(&format!("-6 route add default via {router6}"));
    }

    /// Its device, for frames as they are.
    pub fn wire(&self) -> Wire {
        self.host.wire(&self.name())
    }

    /// A packet in a frame from the host to the switch.
    pub fn frame(&self, packet: &[u8]) -> Vec<u8> {
        let [router, own] = self.macs();
        framed(router, own, packet)
    }
}

/// Reaches both addresses of another, and is reached by it.
#[track_caller]
pub fn reach_each_other(a: &Station, b: &Station) {
    for (from, to) in [(a, b), (b, a)] {
        for own in to.own() {
            from.host.reaches(&own);
        }
    }
}

/// An Ethernet address in words.
pub fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// An IP packet in a frame.
pub fn framed(to: [u8; 6], from: [u8; 6], packet: &[u8]) -> Vec<u8> {
    let ethertype = if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
    [&to[..], &from, &ethertype, packet].concat()
}

/// An ARP frame: who says of itself what, and whom it asks for. From the station that says so to all.
pub fn arp(operation: u8, mac: [u8; 6], sender: &str, target: &str) -> Vec<u8> {
    let (sender, target) = (octets(sender), octets(target));
    let head = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, operation];
    [&[0xff; 6][..], &mac, &head, &mac, &sender, &[0; 6], &target].concat()
}

/// An IP packet of a protocol for experiments (RFC 3692), which nobody answers but with an error.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    /// Its sender.
    pub source: &'a str,
    /// Its destination, of the same family.
    pub destination: &'a str,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// IPv4: flags and place of the fragment.
    pub fragment: u16,
    /// IPv4: options, a multiple of four bytes. IPv6: extension headers; the number of the first is `first`.
    pub between: &'a [u8],
    /// Number of what follows the fixed header.
    pub first: u8,
    /// What it carries.
    pub payload: &'a [u8],
}

/// For experiments and testing (RFC 3692).
pub const PROTOCOL: u8 = 253;

/// The flag that forbids routers to cut an IPv4 packet.
pub const DONT_FRAGMENT: u16 = 0x4000;

impl<'a> Packet<'a> {
    /// An ordinary one.
    pub fn new(source: &'a str, destination: &'a str, payload: &'a [u8]) -> Self {
        Self { source, destination, ttl: 64, fragment: 0, between: &[], first: PROTOCOL, payload }
    }

    /// It as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let length = |length: usize| u16::try_from(length).expect("a short packet").to_be_bytes();
        let (source, destination) = (octets(self.source), octets(self.destination));
        let body = [self.between, self.payload].concat();
        if source.len() == 16 {
            let head = [&[0x60, 0, 0, 0][..], &length(body.len()), &[self.first, self.ttl]].concat();
            return [head, source, destination, body].concat();
        }
        let words = 5 + u8::try_from(self.between.len() / 4).expect("few options");
        let mut packet = vec![0x40 | words, 0];
        packet.extend(length(20 + body.len()));
        packet.extend([0x12, 0x34]);
        packet.extend(self.fragment.to_be_bytes());
        packet.extend([self.ttl, self.first, 0, 0]);
        packet.extend([source, destination, body].concat());
        let header = usize::from(words) * 4;
        let sum = checksum(&packet[..header]);
        packet[10..12].copy_from_slice(&sum);
        packet
    }

    /// It as bytes, as it leaves a router.
    pub fn forwarded(&self) -> Vec<u8> {
        Packet { ttl: self.ttl - 1, ..self.clone() }.bytes()
    }
}

/// The checksum of the internet (RFC 1071).
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).expect("folded")).to_be_bytes()
}

fn octets(address: &str) -> Vec<u8> {
    match address.parse().expect("an address") {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// An ICMP error: who says it, type, code, the word that may be an MTU, and about which packet.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// Its sender.
    pub by: IpAddr,
    /// Type and code.
    pub icmp: (u8, u8),
    /// The four bytes behind the checksum.
    pub word: u32,
    /// So much of the packet as it quotes.
    pub about: Vec<u8>,
}

/// Reads the ICMP error in a frame.
pub fn told(frame: &[u8]) -> Option<Told> {
    let packet = frame.get(14..)?;
    let (by, icmp) = match frame.get(12..14)? {
        [0x08, 0x00] if *packet.get(9)? == 1 => {
            (IpAddr::from(<[u8; 4]>::try_from(packet.get(12..16)?).ok()?), packet.get(20..)?)
        }
        [0x86, 0xdd] if *packet.get(6)? == 58 => {
            (IpAddr::from(<[u8; 16]>::try_from(packet.get(8..24)?).ok()?), packet.get(40..)?)
        }
        _ => return None,
    };
    let kinds: &[u8] = if by.is_ipv4() { &[3, 11, 12] } else { &[1, 2, 3, 4] };
    let kind = kinds.contains(icmp.first()?).then_some(icmp[0])?;
    let word = u32::from_be_bytes(icmp.get(4..8)?.try_into().ok()?);
    Some(Told { by, icmp: (kind, icmp[1]), word, about: icmp[8..].to_vec() })
}

/// How long something may take that comes at once.
pub const SOON: Duration = Duration::from_secs(5);
