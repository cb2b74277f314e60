//! VXLAN tunnels as nodes know them: what goes in front of a frame, and which tunnel a packet comes by.

use std::net::IpAddr;
use std::sync::Arc;

use paceline_wire::checksum::Sum;
use paceline_wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN, Mac, write_header};
use paceline_wire::ipv4::{self, Ipv4Header};
use paceline_wire::ipv6::{self, Ipv6Header};
use paceline_wire::{udp, vxlan};
use zerocopy::IntoBytes;

/// One end of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Identifier of its network, below 2²⁴.
    pub vni: u32,
    /// Routing table of the outer packets.
    pub vrf: u16,
    /// This end.
    pub local: IpAddr,
    /// The other end, of the same version of IP, or the group.
    pub remote: IpAddr,
    /// UDP port of both ends.
    pub port: u16,
    /// The routed interface that has the address of this end: outer packets are as if they had come in by it.
    pub origin: u16,
    /// The origin's Ethernet address.
    pub origin_mac: Mac,
    /// Where packets leave for a group, if the other end is one.
    pub group: Option<Group>,
    /// Time to live of outer packets; none: that of the inner one.
    pub ttl: Option<u8>,
    /// Code point of outer packets; none: that of the inner one.
    pub dscp: Option<u8>,
    /// Whether outer packets have a UDP checksum.
    pub checksum: bool,
    /// Whether packets of other ends of its network are for control, which makes tunnels for them.
    pub learns: bool,
}

/// The way of packets for a group of ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// The routed interface that they leave by.
    pub interface: u16,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Longest IP packet that leaves by it, in bytes.
    pub mtu: u16,
}

impl Tunnel {
    /// Bytes of all headers in front of an inner frame.
    pub const LEN_V4: usize = HEADER_LEN + ipv4::MIN_LEN + udp::HEADER_LEN + vxlan::HEADER_LEN;
    /// The same over IPv6.
    pub const LEN_V6: usize = HEADER_LEN + ipv6::HEADER_LEN + udp::HEADER_LEN + vxlan::HEADER_LEN;

    /// The headers in front of an inner frame, but for what is each packet's own: lengths, source port, class, time to live and
    /// checksums, which are zero. `ethernet` is the header in front of them. Over IPv4 only [`LEN_V4`](Self::LEN_V4) bytes count.
    pub fn headers(&self, ethernet: [u8; HEADER_LEN]) -> [u8; Self::LEN_V6] {
        let mut out = [0; Self::LEN_V6];
        out[..HEADER_LEN].copy_from_slice(&ethernet);
        let l4 = match (self.local, self.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                let mut header = Ipv4Header::new(udp::PROTOCOL, local.octets(), remote.octets(), 0);
                header.ttl = 0;
                out[HEADER_LEN..][..ipv4::MIN_LEN].copy_from_slice(header.as_bytes());
                HEADER_LEN + ipv4::MIN_LEN
            }
            (local, remote) => {
                let mut header = Ipv6Header::new(udp::PROTOCOL, octets(local), octets(remote), 0);
                header.hop_limit = 0;
                out[HEADER_LEN..][..ipv6::HEADER_LEN].copy_from_slice(header.as_bytes());
                HEADER_LEN + ipv6::HEADER_LEN
            }
        };
        out[l4 + 2..l4 + 4].copy_from_slice(&self.port.to_be_bytes());
        out[l4 + udp::HEADER_LEN..][..vxlan::HEADER_LEN].copy_from_slice(&vxlan::header(self.vni));
        out
    }

    /// The sum over the IPv4 header that [`headers`](Self::headers) gives.
    pub fn sum_v4(headers: &[u8; Self::LEN_V6]) -> u16 {
        Sum::of(&headers[HEADER_LEN..HEADER_LEN + ipv4::MIN_LEN]).partial()
    }

    /// The Ethernet header of packets that a routing node is to route, as if they had come in by the origin.
    pub fn to_router(&self) -> [u8; HEADER_LEN] {
        self.ethernet(self.origin_mac, self.origin_mac)
    }

    /// The Ethernet header of packets for the group.
    pub fn to_group(&self, group: &Group) -> [u8; HEADER_LEN] {
        let to = match self.remote {
            IpAddr::V4(remote) => Mac::of_group_v4(remote.octets()),
            IpAddr::V6(remote) => Mac::of_group_v6(&remote.octets()),
        };
        self.ethernet(to, group.mac)
    }

    fn ethernet(&self, destination: Mac, source: Mac) -> [u8; HEADER_LEN] {
        let ethertype = if self.local.is_ipv4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
        let mut header = [0; HEADER_LEN];
        // There is room for it.
        let _ = write_header(&mut header, destination, source, ethertype);
        header
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// What tells tunnels apart when a packet comes: an outer source and destination, and what else is in `rest`. `A` is an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelKey<A> {
    source: A,
    destination: A,
    /// Routing table 16, port 16, network 24, and what is asked 8.
    rest: u64,
}

/// In a key: all tunnels of a network at an address.
const NETWORK: u64 = 1;
/// In a key: all tunnels at an address and port.
const END: u64 = 2;

/// Addresses as keys hold them.
pub trait Bits: Copy + Default + Eq {
    /// 64 bits that depend on all of them.
    fn fold(self) -> u64;
}

impl Bits for u32 {
    #[inline(always)]
    fn fold(self) -> u64 {
        self.into()
    }
}

impl Bits for u128 {
    #[inline(always)]
    fn fold(self) -> u64 {
        (self >> 64) as u64 ^ (self as u64).rotate_left(23)
    }
}

impl<A: Bits> TunnelKey<A> {
    /// The key of a packet that came from `source` for `destination`, which is an address in the routing table `vrf`.
    #[inline(always)]
    pub fn new(source: A, destination: A, vrf: u16, port: u16, vni: u32) -> Self {
        let rest = u64::from(vrf) << 48 | u64::from(port) << 32 | u64::from(vni & 0xff_ffff) << 8;
        TunnelKey { source, destination, rest }
    }

    /// Where the packet came from.
    #[inline(always)]
    pub fn source(&self) -> A {
        self.source
    }

    fn of_network(self) -> Self {
        TunnelKey { source: A::default(), rest: self.rest | NETWORK, ..self }
    }

    fn of_end(self) -> Self {
        TunnelKey { source: A::default(), rest: self.rest & !0xffff_ffff | END, ..self }
    }

    #[inline(always)]
    fn hash(&self) -> u64 {
        // The golden ratio as a fraction of 2^64, as in Fibonacci hashing.
        const RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
        let addresses = self.source.fold().wrapping_mul(RATIO) ^ self.destination.fold().rotate_left(32);
        let product = u128::from(addresses ^ self.rest.rotate_left(17)) * u128::from(RATIO);
        (product >> 64) as u64 ^ product as u64
    }
}

/// What is known of a packet for an end of tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It came by the tunnel of this interface.
    Tunnel(u16),
    /// Its network has no tunnel to its sender; whether control makes one.
    NoPeer {
        /// Whether it does.
        learns: bool,
    },
    /// No tunnel at the address is of its network.
    NoNetwork,
    /// No tunnel ends at the address and port.
    NoEnd,
}

/// All tunnels by what their packets have. Built anew with each snapshot.
#[derive(Clone, Default)]
pub struct TunnelEnds {
    v4: Arc<Table<u32>>,
    v6: Arc<Table<u128>>,
    groups: bool,
}

impl TunnelEnds {
    /// A table of the tunnels of interfaces. Of two that the same packets would come by, the first one gets them.
    pub fn new<'a>(tunnels: impl Iterator<Item = (u16, &'a Tunnel)> + Clone) -> TunnelEnds {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let groups: Vec<&Tunnel> =
            tunnels.clone().map(|(_, tunnel)| tunnel).filter(|t| t.group.is_some()).collect();
        for (interface, tunnel) in tunnels {
            // Nobody sends from a group's address, but to it.
            let mine = || groups.iter().filter(|group| group.is_beside(tunnel));
            let heard = mine().find_map(|group| group.group).map_or(tunnel.origin, |group| group.interface);
            let network = Network { origin: tunnel.origin, group: heard, learns: tunnel.learns }.value();
            let values = (interface.into(), network);
            for destination in std::iter::once(tunnel.local).chain(mine().map(|group| group.remote)) {
                match (tunnel.remote, destination) {
                    (IpAddr::V4(remote), IpAddr::V4(destination)) => {
                        add(&mut v4, values, tunnel, remote.to_bits(), destination.to_bits());
                    }
                    (IpAddr::V6(remote), IpAddr::V6(destination)) => {
                        add(&mut v6, values, tunnel, remote.to_bits(), destination.to_bits());
                    }
                    _ => {}
                }
            }
        }
        TunnelEnds {
            v4: Arc::new(Table::new(&v4)),
            v6: Arc::new(Table::new(&v6)),
            groups: !groups.is_empty(),
        }
    }

    /// Whether packets for groups may be some tunnel's.
    #[inline(always)]
    pub fn has_groups(&self) -> bool {
        self.groups
    }

    /// Where IPv4 packets belong.
    #[inline(always)]
    pub fn v4(&self) -> &Table<u32> {
        &self.v4
    }

    /// Where IPv6 packets belong.
    #[inline(always)]
    pub fn v6(&self) -> &Table<u128> {
        &self.v6
    }
}

impl Tunnel {
    /// Whether another one is of the same network and end.
    pub fn is_beside(&self, other: &Tunnel) -> bool {
        (self.vrf, self.local, self.port, self.vni) == (other.vrf, other.local, other.port, other.vni)
    }
}

/// What all tunnels of a network at an address have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The interface that has the address.
    pub origin: u16,
    /// The one that the network's group is on; without a group the origin.
    pub group: u16,
    /// Whether control makes tunnels for unknown peers.
    pub learns: bool,
}

/// In the value of a network, of which the origin and the group's interface have 16 bits each: whether it learns.
const LEARNS: u64 = 1 << 32;

impl Network {
    fn value(self) -> u64 {
        u64::from(self.origin) | u64::from(self.group) << 16 | if self.learns { LEARNS } else { 0 }
    }

    fn of(value: u64) -> Network {
        Network { origin: value as u16, group: (value >> 16) as u16, learns: value & LEARNS != 0 }
    }
}

/// Adds the keys of a tunnel, whose interface and network have these values.
fn add<A: Bits>(
    to: &mut Vec<(TunnelKey<A>, u64)>,
    (interface, network): (u64, u64),
    tunnel: &Tunnel,
    source: A,
    destination: A,
) {
    let key = TunnelKey::new(source, destination, tunnel.vrf, tunnel.port, tunnel.vni);
    to.push((key, interface));
    to.push((key.of_network(), network));
    to.push((key.of_end(), 0));
}

/// A hash table with open addressing, at most half full.
#[derive(Debug)]
pub struct Table<A> {
    slots: Box<[(TunnelKey<A>, u64)]>,
    shift: u32,
}

/// The value of a slot without a key.
const EMPTY: u64 = u64::MAX;

impl<A: Bits> Default for Table<A> {
    fn default() -> Self {
        Table::new(&[])
    }
}

impl<A: Bits> Table<A> {
    fn new(entries: &[(TunnelKey<A>, u64)]) -> Table<A> {
        let size = (entries.len() * 2).next_power_of_two().max(2);
        let mut table = Table {
            slots: vec![(TunnelKey::default(), EMPTY); size].into(),
            shift: 64 - size.trailing_zeros(),
        };
        for (key, value) in entries {
            let at = table.place(key);
            let slot = &mut table.slots[at];
            if slot.1 == EMPTY {
                *slot = (*key, *value);
            } else if key.rest & NETWORK != 0 {
                slot.1 |= value & LEARNS;
            }
        }
        table
    }

    /// Where a key is, or would be. There is always an empty slot, at which the search ends.
    #[inline(always)]
    fn place(&self, key: &TunnelKey<A>) -> usize {
        let last = self.slots.len() - 1;
        let mut at = (key.hash() >> self.shift) as usize & last;
        while self.slots[at].1 != EMPTY && self.slots[at].0 != *key {
            at = (at + 1) & last;
        }
        at
    }

    #[inline(always)]
    fn value(&self, key: &TunnelKey<A>) -> Option<u64> {
        Some(self.slots[self.place(key)].1).filter(|value| *value != EMPTY)
    }

    /// The interface of the tunnel that a packet comes by.
    #[inline(always)]
    pub fn tunnel(&self, key: &TunnelKey<A>) -> Option<u16> {
        self.value(key).map(|value| value as u16)
    }

    /// What tunnels of a key's network at its address have in common, if there are any.
    pub fn network(&self, key: &TunnelKey<A>) -> Option<Network> {
        self.value(&key.of_network()).map(Network::of)
    }

    /// Whether tunnels end at the address and port of a key.
    pub fn is_end(&self, key: &TunnelKey<A>) -> bool {
        self.value(&key.of_end()).is_some()
    }

    /// What is known of a packet, in full.
    pub fn find(&self, key: &TunnelKey<A>) -> Found {
        if let Some(interface) = self.tunnel(key) {
            return Found::Tunnel(interface);
        }
        match self.network(key) {
            Some(network) => Found::NoPeer { learns: network.learns },
            None if self.is_end(key) => Found::NoNetwork,
            None => Found::NoEnd,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn tunnel(vni: u32, vrf: u16, local: &str, remote: &str) -> Tunnel {
        let ip = |text: &str| text.parse().expect(text);
        let (local, remote): (IpAddr, IpAddr) = (ip(local), ip(remote));
        Tunnel {
            vni,
            vrf,
            local,
            remote,
            port: 4789,
            origin: 0,
            origin_mac: Mac(1),
            group: remote.is_multicast().then_some(Group { interface: 3, mac: Mac(1), mtu: 1500 }),
            ttl: Some(64),
            dscp: Some(0),
            checksum: false,
            learns: false,
        }
    }

    fn key(source: [u8; 4], destination: [u8; 4], vrf: u16, port: u16, vni: u32) -> TunnelKey<u32> {
        TunnelKey::new(u32::from_be_bytes(source), u32::from_be_bytes(destination), vrf, port, vni)
    }

    #[test]
    fn every_answer_is_told_apart() {
        let learner = Tunnel { learns: true, ..tunnel(9, 0, "10.0.0.1", "10.0.0.3") };
        let all = [
            tunnel(7, 0, "10.0.0.1", "10.0.0.2"),
            tunnel(7, 0, "10.0.0.1", "239.0.0.7"),
            tunnel(8, 1, "10.0.0.1", "10.0.0.2"),
            learner,
        ];
        let ends = TunnelEnds::new((5..).zip(&all));
        let find = |key| ends.v4().find(&key);
        let (own, peer) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        assert_eq!(find(key(peer, own, 0, 4789, 7)), Found::Tunnel(5));
        assert_eq!(find(key(peer, [239, 0, 0, 7], 0, 4789, 7)), Found::Tunnel(5), "by way of the group");
        assert_eq!(find(key(peer, [239, 0, 0, 7], 0, 4789, 9)), Found::NoNetwork);
        assert_eq!(find(key(peer, own, 1, 4789, 8)), Found::Tunnel(7));
        assert_eq!(find(key([10, 0, 0, 9], own, 0, 4789, 7)), Found::NoPeer { learns: false });
        assert_eq!(find(key([10, 0, 0, 9], own, 0, 4789, 9)), Found::NoPeer { learns: true });
        assert_eq!(find(key(peer, own, 0, 4789, 8)), Found::NoNetwork);
        assert_eq!(find(key(peer, own, 0, 4790, 7)), Found::NoEnd);
        assert_eq!(find(key(peer, [10, 0, 0, 4], 0, 4789, 7)), Found::NoEnd);
        assert_eq!(find(key(peer, own, 2, 4789, 7)), Found::NoEnd);
        let network = |vni| ends.v4().network(&key(peer, own, 0, 4789, vni));
        assert_eq!(network(7), Some(Network { origin: 0, group: 3, learns: false }));
        assert_eq!(network(9), Some(Network { origin: 0, group: 0, learns: true }));
        assert_eq!(network(8), None);
        assert!(ends.has_groups() && !TunnelEnds::default().has_groups());
        assert_eq!(TunnelEnds::default().v4().find(&key(peer, own, 0, 4789, 7)), Found::NoEnd);
    }

    proptest! {
        #[test]
        fn a_table_finds_what_a_list_finds(
            entries in prop::collection::vec((0..4_u32, 0..40_u8, any::<bool>()), 0..200),
            asked in prop::collection::vec((0..4_u32, 0..44_u8, any::<bool>()), 0..100),
        ) {
            let of = |(vni, last, v6): (u32, u8, bool)| {
                if v6 {
                    tunnel(vni, 3, "fd00::1", &format!("fd00::{last:x}"))
                } else {
                    tunnel(vni, 3, "10.0.0.1", &Ipv4Addr::new(10, 1, 0, last).to_string())
                }
            };
            let all: Vec<Tunnel> = entries.iter().map(|entry| of(*entry)).collect();
            let ends = TunnelEnds::new((0..).zip(&all));
            for asked in asked {
                let asked = of(asked);
                let want = all.iter().position(|t| (t.vni, t.remote) == (asked.vni, asked.remote));
                let got = match (asked.remote, asked.local) {
                    (IpAddr::V4(from), IpAddr::V4(to)) => ends.v4().find(&TunnelKey::new(from.to_bits(), to.to_bits(), 3, 4789, asked.vni)),
                    (IpAddr::V6(from), IpAddr::V6(to)) => ends.v6().find(&TunnelKey::new(from.to_bits(), to.to_bits(), 3, 4789, asked.vni)),
                    _ => unreachable!("of one version"),
                };
                match (got, want) {
                    (Found::Tunnel(got), Some(want)) => prop_assert_eq!(usize::from(got), want),
                    (Found::NoPeer { .. }, None) => prop_assert!(all.iter().any(|t| t.vni == asked.vni && t.local == asked.local)),
                    (Found::NoNetwork, None) => prop_assert!(!all.iter().any(|t| t.vni == asked.vni && t.local == asked.local)),
                    (Found::NoEnd, None) => prop_assert!(!all.iter().any(|t| t.local == asked.local)),
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }
}
