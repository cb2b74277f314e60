//! Packets to the switch, and what it says to them. Here is what makes packets.

mod echo;
mod refusals;

use std::net::IpAddr;
use std::time::Duration;

use paceline_wire::fragment::Plan;
use paceline_wire::ipv4::Ipv4Header;
use paceline_wire::udp;

use super::*;

const NOW: Duration = Duration::from_secs(1);
const PAIRS: [(&str, &str); 2] = [("10.0.0.2", "192.168.7.7"), ("fd00::2", "fd77::7")];

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn local() -> Local {
    Local::new(NOW, Limits::default())
}

fn ping((source, destination): (&str, &str), size: u16) -> Ping {
    Ping { source: ip(source), destination: ip(destination), id: 7, sequence: 1, size, ttl: 64, whole: false }
}

/// What comes out for a packet.
fn input(local: &mut Local, packet: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    local.input(NOW, packet, |packet| out.push(packet.to_vec()));
    for packet in &out {
        etherparse::SlicedPacket::from_ip(packet).expect("a sound packet");
    }
    out
}

/// A packet as it is after a link of 576 bytes.
fn parts_v4(packet: &[u8]) -> Vec<Vec<u8>> {
    let plan = Plan::new(packet, packet.len(), 576).expect("it may be cut");
    let part = |index| {
        let mut header = [0; 60];
        let len = plan.write_header(index, &mut header).expect("room");
        [&header[..len], &packet[plan.payload_range(index)]].concat()
    };
    (0..plan.count()).map(part).collect()
}

/// The parts of a ping of our own, as they leave the last link.
fn request(pair: (&str, &str), size: u16) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    local().ping(NOW, ping(pair, size), |packet| parts.push(packet.to_vec())).expect("it can be sent");
    if parts[0][0] >> 4 == 4 { parts_v4(&parts[0]) } else { parts }
}

/// A packet of a protocol with its payload, whose checksum is at an offset.
fn packet(pair: (&str, &str), protocol: u8, mut payload: Vec<u8>, checksum: Option<usize>) -> Vec<u8> {
    let (source, destination) = (ip(pair.0), ip(pair.1));
    if let Some(at) = checksum {
        let mut sum = view::pseudo(source, destination, protocol, payload.len());
        sum.add(&payload);
        payload[at..at + 2].copy_from_slice(&sum.finish().to_be_bytes());
    }
    let mut out = Vec::new();
    assert!(refuse::write(source, destination, protocol, &payload, &mut out));
    out
}

fn datagram(pair: (&str, &str)) -> Vec<u8> {
    packet(pair, udp::PROTOCOL, [&[0, 99, 0, 53, 0, 12, 0, 0][..], &[1; 4]].concat(), Some(6))
}

fn segment(pair: (&str, &str), flags: u8, payload: usize) -> Vec<u8> {
    let header = [0, 99, 0, 80, 0, 0, 0, 5, 0, 0, 0, 77, 0x50, flags, 1, 0, 0, 0, 0, 0];
    packet(pair, tcp::PROTOCOL, [&header[..], &vec![0; payload]].concat(), Some(16))
}
