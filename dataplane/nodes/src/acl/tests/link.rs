//! What passes any policy, as no link works without it, and what only looks like that.

use super::*;

/// A packet between the tenants, made one of a protocol without ports: its hop limit, protocol, destination, and what is behind.
struct Message {
    is_v4: bool,
    limit: u8,
    protocol: u8,
    destination: &'static str,
    bytes: [u8; 8],
}

const IGMP: u8 = 2;
const ICMP6: u8 = 58;

impl Message {
    fn v4(limit: u8, destination: &'static str) -> Message {
        Message { is_v4: true, limit, protocol: IGMP, destination, bytes: [0x16, 0, 0, 0, 239, 1, 1, 1] }
    }

    fn v6(limit: u8, kind: u8, destination: &'static str) -> Message {
        let bytes = [kind, 0, 0, 0, 0, 0, 0, 0];
        Message { is_v4: false, limit, protocol: ICMP6, destination, bytes }
    }

    /// The frame of a sender.
    fn from(&self, source: &str) -> Vec<u8> {
        let (head, sender) = if self.is_v4 {
            (packet("udp 10.0.0.1:5 > 10.0.0.2:6"), octets(source))
        } else {
            (packet("udp [fd00::1]:5 > [fd00::2]:6"), octets(source))
        };
        let len = 14 + if self.is_v4 { 20 } else { 40 };
        let mut frame = [&head[..len], &self.bytes, &[7; 16]].concat();
        let (ip, to) = (&mut frame[14..], octets(self.destination));
        if self.is_v4 {
            ip[2..4].copy_from_slice(&44_u16.to_be_bytes());
            (ip[8], ip[9]) = (self.limit, self.protocol);
            ip[12..16].copy_from_slice(&sender);
            ip[16..20].copy_from_slice(&to);
            paceline_wire::ipv4::fill_checksum(&mut ip[..20]);
        } else {
            ip[4..6].copy_from_slice(&24_u16.to_be_bytes());
            (ip[6], ip[7]) = (self.protocol, self.limit);
            ip[8..24].copy_from_slice(&sender);
            ip[24..40].copy_from_slice(&to);
        }
        frame
    }
}

fn octets(address: &str) -> Vec<u8> {
    match address.parse().expect("an address") {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Two tenants that nothing may pass between.
fn tenants() -> Wall {
    let nothing = || Some(policy(Vec::new(), Verdict::Deny, true));
    Wall::new(nothing(), nothing())
}

#[test]
fn groups_and_neighbours_are_spoken_of() {
    let mut wall = tenants();
    for (message, source) in [
        (Message::v4(1, "224.0.0.22"), "10.0.0.1"),
        (Message::v4(1, "239.1.1.1"), "0.0.0.0"),
        (Message::v6(1, 130, "ff02::1"), "fe80::1"),
        (Message::v6(1, 131, "ff0e::7"), "fe80::1"),
        (Message::v6(1, 143, "ff02::16"), "::"),
        (Message::v6(255, 135, "ff02::1:ff00:2"), "fd00::1"),
        (Message::v6(255, 135, "fd00::2"), "fd00::1"),
        (Message::v6(255, 136, "fe80::2"), "fe80::1"),
        (Message::v6(255, 137, "fd00::2"), "fe80::1"),
    ] {
        let frame = message.from(source);
        for (from, to) in [(HOST, PEER), (PEER, HOST)] {
            // A flood, or to whom the bridge knows.
            assert_eq!(wall.rig.ports(from, &frame), [to], "{source} to {}", message.destination);
        }
    }
    assert_eq!(wall.drops(Reason::AclDeny), 0);
}

#[test]
fn nothing_leaks_from_tenant_to_tenant_that_only_looks_like_it() {
    let mut wall = tenants();
    let mut leaks: Vec<(Message, &str)> = Vec::new();
    // To one host, however far it may go: it may also have come by a router that took the last but one of its hops.
    leaks.extend([1, 2, 255].map(|limit| (Message::v4(limit, "10.0.0.2"), "10.0.0.1")));
    leaks.push((Message::v4(2, "239.1.1.1"), "10.0.0.1"));
    for kind in [130, 131, 132, 143] {
        leaks.push((Message::v6(1, kind, "fd00::2"), "fe80::1"));
        leaks.push((Message::v6(1, kind, "fe80::2"), "fe80::1"));
        leaks.push((Message::v6(1, kind, "ff02::16"), "fd00::1"));
        leaks.push((Message::v6(2, kind, "ff02::16"), "fe80::1"));
    }
    for kind in 133..=137 {
        leaks.push((Message::v6(254, kind, "fd00::2"), "fe80::1"));
    }
    // Behind an extension header, where nobody sends it: what a router looks at is not there.
    let hidden =
        Message { protocol: 0, bytes: [ICMP6, 0, 1, 4, 0, 0, 0, 0], ..Message::v6(255, 0, "fd00::2") };
    let mut frame = hidden.from("fe80::1");
    frame[62] = 135;
    assert_eq!(wall.rig.ports(HOST, &frame), []);
    for (message, source) in &leaks {
        let frame = message.from(source);
        for from in [HOST, PEER] {
            assert_eq!(wall.rig.ports(from, &frame), [], "{source} to {}", message.destination);
        }
    }
    assert_eq!(wall.drops(Reason::AclDeny), 1 + 2 * leaks.len() as u64);
}
