//! `vxlan-decap`: takes the headers of tunnels off, and gives the frames inside to the tunnel's interface (RFC 7348 §4).
//!
//! Routes to the address of a tunnel's end lead here, and packets for the groups of tunnels. Next: the input arc of the tunnel's
//! interface. What is no packet of a tunnel goes on as if there were none: `punt` for what is for the switch itself, `nat44-out2in`
//! or `nat66-out2in` if the address is the NAT's, too.
//!
//! Cost: the outer headers and the inner Ethernet header are one line over IPv4, which the routing node has in its cache. A packet of the
//! same tunnel as the one before it takes that one's answer; others cost one look into a small hash table.

mod arrival;
mod bypass;
mod packet;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use paceline_buf::{Packet, VECTOR_SIZE, Vector, VnetHdr};
use paceline_graph::{Context, Found, Hop, Interface, Network, Node, Reason, TunnelKey};
use paceline_wire::ecn;
use paceline_wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN};
use paceline_wire::ipv4::DONT_FRAGMENT;
use paceline_wire::segment::MAX_SEGMENTS;
use paceline_wire::{ipv4, ipv6, udp, vxlan};

use crate::offload::cut_up;
use crate::{hop, refuse};
pub use bypass::VxlanBypass;
use packet::{Origin, Outer};

/// What the routing node leaves in `aux`: the address is the switch's own.
pub(crate) const OWN: u32 = 0;
/// The address is the NAT's as well.
pub(crate) const TRANSLATE: u32 = 1;
/// The address is a group's.
pub(crate) const GROUP: u32 = 2;

/// The node.
pub struct VxlanDecap {
    hops: Box<[Hop; VECTOR_SIZE]>,
    /// Datagrams of the super-packet in work.
    datagrams: Vec<Packet>,
}

impl Default for VxlanDecap {
    fn default() -> Self {
        VxlanDecap { hops: Box::new([Hop::DROP; VECTOR_SIZE]), datagrams: Vec::with_capacity(MAX_SEGMENTS) }
    }
}

/// The tunnel of the packets before, and what was counted of it.
struct Run<'a> {
    v4: TunnelKey<u32>,
    v6: TunnelKey<u128>,
    index: u16,
    /// Where they came in.
    rx: u16,
    interface: Option<&'a Interface>,
    /// Its first hop.
    hop: Hop,
    packets: u64,
    bytes: u64,
    /// There are super-packets, which are left as they were, with the hop [`TO_CUT`].
    any_to_cut: bool,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Run {
            v4: TunnelKey::default(),
            v6: TunnelKey::default(),
            index: u16::MAX,
            rx: u16::MAX,
            interface: None,
            hop: Hop::NOWHERE,
            packets: 0,
            bytes: 0,
            any_to_cut: false,
        }
    }
}

/// The hop of a packet that must be cut first.
const TO_CUT: Hop = hop::VXLAN_DECAP;

impl Node for VxlanDecap {
    fn name(&self) -> &'static str {
        "vxlan-decap"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let mut run = Run::default();
        let is_tracing = cx.is_tracing();
        for (packet, hop) in vector.as_mut_slice().iter_mut().zip(self.hops.iter_mut()) {
            *hop = match run.take(cx, packet) {
                Ok(hop) => hop,
                Err(reason) => refuse(packet, reason),
            };
            if is_tracing && *hop == run.hop {
                trace(cx, packet);
            }
        }
        if run.any_to_cut {
            // One by one, so that a flow's packets stay in order.
            let mut hops = self.hops.iter();
            vector.drain(|packet| match hops.next() {
                Some(&TO_CUT) => run.take_apart(cx, packet, &mut self.datagrams),
                hop => cx.send(packet, hop.copied().unwrap_or(Hop::NOWHERE)),
            });
            return run.count(cx);
        }
        run.count(cx);
        cx.dispatch(vector, &self.hops[..]);
    }
}

impl<'a> Run<'a> {
    /// Takes the headers off a packet; where it goes on.
    #[inline(always)]
    fn take(&mut self, cx: &Context<'a>, packet: &mut Packet) -> Result<Hop, Reason> {
        if let Some((key, outer)) = plain_v4(packet) {
            if key != self.v4 || packet.rx != self.rx || self.interface.is_none() {
                let Some(found) = cx.snapshot.tunnels.v4().tunnel(&key) else { return self.slow(cx, packet) };
                self.turn_to(cx, found);
                (self.v4, self.v6) = (key, TunnelKey::default());
                self.admit(cx, packet, || (cx.snapshot.tunnels.v4().network(&key), v4(key.source())))?;
            }
            return self.open::<{ HEADER_LEN + ipv4::MIN_LEN }>(packet, &outer);
        }
        if let Some((key, outer)) = plain_v6(packet) {
            if key != self.v6 || packet.rx != self.rx || self.interface.is_none() {
                let Some(found) = cx.snapshot.tunnels.v6().tunnel(&key) else { return self.slow(cx, packet) };
                self.turn_to(cx, found);
                (self.v4, self.v6) = (TunnelKey::default(), key);
                self.admit(cx, packet, || (cx.snapshot.tunnels.v6().network(&key), v6(key.source())))?;
            }
            return self.open::<{ HEADER_LEN + ipv6::HEADER_LEN }>(packet, &outer);
        }
        self.slow(cx, packet)
    }

    /// Goes over to another tunnel.
    #[inline(always)]
    fn turn_to(&mut self, cx: &Context<'a>, index: u16) {
        if index == self.index {
            return;
        }
        self.count(cx);
        self.index = index;
        self.interface = cx.snapshot.interface(index);
        self.hop = self.interface.and_then(|i| i.input.first().copied()).unwrap_or(Hop::NOWHERE);
    }

    /// Checks where a packet of the tunnel came in, of whose network and sender is asked only if it must be.
    #[inline(always)]
    fn admit(
        &mut self,
        cx: &Context<'_>,
        packet: &Packet,
        of: impl FnOnce() -> (Option<Network>, IpAddr),
    ) -> Result<(), Reason> {
        self.rx = u16::MAX;
        let is_origin =
            |interface: &Interface| interface.tunnel.as_ref().is_some_and(|t| t.origin == packet.rx);
        if !self.interface.is_some_and(is_origin) {
            check(cx, packet, of())?;
        }
        self.rx = packet.rx;
        Ok(())
    }

    /// Counts what came by the tunnel.
    #[inline(always)]
    fn count(&mut self, cx: &Context<'_>) {
        if let Some(counters) = self.interface.and_then(|i| i.counters.get(cx.worker())) {
            counters.rx_packets.add(self.packets);
            counters.rx_bytes.add(self.bytes);
        }
        (self.packets, self.bytes) = (0, 0);
    }

    /// Checks the headers of a packet of the tunnel, and takes them off. `L4`: where the UDP header starts.
    #[inline(always)]
    fn open<const L4: usize>(&mut self, packet: &mut Packet, outer: &Outer) -> Result<Hop, Reason> {
        let headers = L4 + udp::HEADER_LEN + vxlan::HEADER_LEN;
        let Some(interface) = self.interface else { return Err(Reason::NoPort) };
        let inner = outer.inner_len()?;
        if outer.flags & 0x08 == 0 {
            return Err(Reason::VxlanFlags);
        }
        if outer.checksum != 0 || L4 != HEADER_LEN + ipv4::MIN_LEN {
            outer.verify(packet, L4, interface)?;
        }
        if !packet.is_plain() {
            if packet::is_joined(packet, L4) {
                self.any_to_cut = true;
                return Ok(TO_CUT);
            }
            packet::finish(packet, L4, headers)?;
        }
        packet.trim_front(headers);
        if packet.total_len() != inner {
            packet::shorten(packet, inner)?;
        }
        if outer.class & ecn::MASK != ecn::NOT_ECT && !ecn::leave_tunnel(packet.data_mut(), outer.class) {
            return Err(Reason::EcnMismatch);
        }
        self.packets += 1;
        self.bytes += inner as u64;
        (packet.rx, packet.domain, packet.feature) = (self.index, interface.domain, 0);
        Ok(self.hop)
    }

    /// Cuts a super-packet into its datagrams, and sends on what is in them.
    #[cold]
    fn take_apart(&mut self, cx: &mut Context<'a>, packet: Packet, datagrams: &mut Vec<Packet>) {
        cut_up(cx, packet, datagrams);
        for mut datagram in datagrams.drain(..) {
            // The checksum is new.
            datagram.set_offload(VnetHdr { flags: VnetHdr::DATA_VALID, ..VnetHdr::default() });
            let hop = match self.take(cx, &mut datagram) {
                Ok(hop) => {
                    trace(cx, &datagram);
                    hop
                }
                Err(reason) => refuse(&mut datagram, reason),
            };
            cx.send(datagram, hop);
        }
    }

    /// A packet that is not like most: with options, of no known tunnel, or of none at all.
    #[cold]
    fn slow(&mut self, cx: &Context<'a>, packet: &mut Packet) -> Result<Hop, Reason> {
        let Some(read) = packet::read(packet) else { return otherwise(packet) };
        let tunnels = &cx.snapshot.tunnels;
        let (found, is_end, from) = match &read.key {
            Origin::V4(key) => {
                let from = (tunnels.v4().network(key), v4(key.source()));
                (tunnels.v4().find(key), tunnels.v4().is_end(key), from)
            }
            Origin::V6(key) => {
                let from = (tunnels.v6().network(key), v6(key.source()));
                (tunnels.v6().find(key), tunnels.v6().is_end(key), from)
            }
        };
        if !is_end {
            return otherwise(packet);
        }
        if read.is_fragment {
            return Err(Reason::TunnelFragment);
        }
        let outer = read.outer.ok_or(Reason::TunnelHeader)?;
        if outer.flags & 0x08 == 0 {
            return Err(Reason::VxlanFlags);
        }
        if from.0.is_some() {
            check(cx, packet, from)?;
        }
        match found {
            Found::Tunnel(index) => {
                self.turn_to(cx, index);
                (self.v4, self.v6) = (TunnelKey::default(), TunnelKey::default());
                if packet::is_joined(packet, read.l4) {
                    self.any_to_cut = true;
                    return Ok(TO_CUT);
                }
                // Options and extensions say nothing to us: without them it is like most.
                packet::without_options(packet, read.l4)?;
                if read.is_v4() {
                    self.open::<{ HEADER_LEN + ipv4::MIN_LEN }>(packet, &outer)
                } else {
                    self.open::<{ HEADER_LEN + ipv6::HEADER_LEN }>(packet, &outer)
                }
            }
            Found::NoPeer { learns: true } => {
                packet.reason = Reason::UnknownPeer as u16;
                Ok(hop::PUNT)
            }
            Found::NoPeer { learns: false } => Err(Reason::UnknownPeer),
            Found::NoNetwork | Found::NoEnd => Err(Reason::UnknownVni),
        }
    }
}

fn v4(address: u32) -> IpAddr {
    Ipv4Addr::from_bits(address).into()
}

fn v6(address: u128) -> IpAddr {
    Ipv6Addr::from_bits(address).into()
}

/// Checks where a packet came in, by its network and sender.
#[cold]
fn check(
    cx: &Context<'_>,
    packet: &Packet,
    (network, source): (Option<Network>, IpAddr),
) -> Result<(), Reason> {
    let is_right = network
        .is_some_and(|network| arrival::is_right(cx.snapshot, packet.rx, packet.domain, network, source));
    if is_right { Ok(()) } else { Err(Reason::TunnelIngress) }
}

/// Where a packet goes that is no tunnel's.
#[cold]
fn otherwise(packet: &mut Packet) -> Result<Hop, Reason> {
    let is_v6 = packet.data().get(12..14) == Some(&ETHERTYPE_IPV6.to_be_bytes()[..]);
    match packet.aux {
        TRANSLATE => Ok(if is_v6 { hop::NAT66_OUT2IN } else { hop::NAT44_OUT2IN }),
        OWN => {
            packet.reason = Reason::NobodyHome as u16;
            Ok(hop::PUNT)
        }
        _ => Err(Reason::NotForUs),
    }
}

/// The key and the outer headers of a packet over IPv4 that may be a tunnel's, if it has no options and is whole.
#[inline(always)]
fn plain_v4(packet: &Packet) -> Option<(TunnelKey<u32>, Outer)> {
    let head: &[u8; 50] = packet.data().first_chunk()?;
    let half = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let is_plain = half(12) == ETHERTYPE_IPV4
        && head[14] == 0x45
        && matches!(half(20), 0 | DONT_FRAGMENT)
        && head[23] == udp::PROTOCOL;
    if !is_plain {
        return None;
    }
    let key = TunnelKey::new(word(26), word(30), packet.domain, half(36), word(46) >> 8);
    let available = usize::from(half(16)).wrapping_sub(ipv4::MIN_LEN);
    Some((key, Outer { class: head[15], available, len: half(38), checksum: half(40), flags: head[42] }))
}

/// The same over IPv6, without extensions.
#[inline(always)]
fn plain_v6(packet: &Packet) -> Option<(TunnelKey<u128>, Outer)> {
    let head: &[u8; 70] = packet.data().first_chunk()?;
    let half = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let is_plain = half(12) == ETHERTYPE_IPV6 && head[14] >> 4 == 6 && head[20] == udp::PROTOCOL;
    if !is_plain {
        return None;
    }
    let address = |at: usize| head[at..at + 16].try_into().map_or(0, u128::from_be_bytes);
    let vni = u32::from_be_bytes([0, head[66], head[67], head[68]]);
    let key = TunnelKey::new(address(22), address(38), packet.domain, half(56), vni);
    let class = head[14] << 4 | head[15] >> 4;
    let available = usize::from(half(18));
    Some((key, Outer { class, available, len: half(58), checksum: half(60), flags: head[62] }))
}

#[cold]
fn trace(cx: &mut Context<'_>, packet: &Packet) {
    let name = cx.snapshot.name(packet.rx);
    cx.trace(packet, format_args!("came by {name}"));
}
