//! `vxlan-encap`: puts the headers of a tunnel in front of frames (RFC 7348 §5), and finds their way to its other end.
//!
//! Next: the output arc of the interface that leads there. `ip4-route` or `ip6-route` find the way where it is not plain: to a
//! neighbour that must be asked for, or nowhere.
//!
//! A packet is the switch's own from here on, as if it had come in by the interface that has the tunnel's address. It may not
//! be cut: what is too long for its way is dropped (RFC 7348 §4.3). Marks of congestion are copied outwards (RFC 6040 §4.1).
//!
//! Cost: the way is looked up and the headers are made ready once for each run of one tunnel. For a packet it is one hash of the
//! inner flow, the copy of the headers into a line that was fetched ahead, and a handful of stores into them.

mod inner;

use std::net::IpAddr;

use paceline_buf::{Packet, VECTOR_SIZE, Vector};
use paceline_graph::{Action, Adjacencies, Context, Hop, L2Out, Node, Reason, Tunnel, Zone};
use paceline_wire::checksum::{Sum, pseudo_v4, pseudo_v6};
use paceline_wire::ecn;
use paceline_wire::ethernet::HEADER_LEN;
use paceline_wire::flow::Key;
use paceline_wire::{udp, vxlan};

use crate::{hop, refuse};
use inner::Inner;

/// Tunnels that a packet may enter one after the other inside the switch: as many as there is headroom for, and one more. More of
/// them are a loop.
const MOST_TUNNELS: u8 = 3;
/// Packets ahead of the one in work whose headroom is fetched.
const AHEAD: usize = 6;
/// Time to live of frames that have none to inherit.
const DEFAULT_TTL: u8 = 64;

/// The node.
pub struct VxlanEncap {
    hops: Box<[Hop; VECTOR_SIZE]>,
}

impl Default for VxlanEncap {
    fn default() -> Self {
        VxlanEncap { hops: Box::new([Hop::DROP; VECTOR_SIZE]) }
    }
}

impl Node for VxlanEncap {
    fn name(&self) -> &'static str {
        "vxlan-encap"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let mut at = 0;
        for packets in vector.as_mut_slice().chunk_by_mut(|a, b| a.tx == b.tx) {
            let hops = &mut self.hops[at..][..packets.len()];
            if cx.is_tracing() {
                trace(cx, packets);
            }
            run(cx, packets, hops);
            at += packets.len();
        }
        cx.dispatch(vector, &self.hops[..]);
    }
}

/// Packets of one tunnel.
fn run(cx: &Context<'_>, packets: &mut [Packet], hops: &mut [Hop]) {
    let Some(first) = packets.first() else { return };
    let interface = cx.snapshot.interface(first.tx);
    let Some((interface, tunnel)) = interface.and_then(|i| Some((i, i.tunnel.as_deref()?))) else {
        return refuse_all(packets, hops, Reason::TunnelDown);
    };
    let sent = match Way::of(cx, tunnel) {
        Ok(way) if tunnel.local.is_ipv4() => {
            encapsulate::<{ Tunnel::LEN_V4 }>(cx, tunnel, &way, packets, hops)
        }
        Ok(way) => encapsulate::<{ Tunnel::LEN_V6 }>(cx, tunnel, &way, packets, hops),
        Err(reason) => return refuse_all(packets, hops, reason),
    };
    if let Some(counters) = interface.counters.get(cx.worker()) {
        counters.tx_packets.add(sent.packets);
        counters.tx_bytes.add(sent.bytes);
    }
}

/// What went into a tunnel.
#[derive(Default)]
struct Sent {
    packets: u64,
    /// Of the frames inside.
    bytes: u64,
}

/// Where packets of a tunnel go.
enum Way {
    /// All of them to one neighbour.
    One(Onward),
    /// Each by the hash of its flow to one of several: the adjacency that chooses.
    Spread(u32),
}

/// What packets get on their way.
#[derive(Clone, Copy)]
struct Onward {
    ethernet: [u8; HEADER_LEN],
    tx: u16,
    hop: Hop,
    /// Longest outer IP packet.
    mtu: usize,
    /// Routers on the way inside the switch, which take from the time to live.
    routers: u8,
}

impl Way {
    fn of(cx: &Context<'_>, tunnel: &Tunnel) -> Result<Way, Reason> {
        let snapshot = cx.snapshot;
        if let Some(group) = &tunnel.group {
            let out = snapshot.l2_out.get(group.interface as usize).ok_or(Reason::TunnelDown)?;
            return Ok(Way::One(Onward {
                ethernet: tunnel.to_group(group),
                tx: group.interface,
                hop: out.hop,
                mtu: group.mtu.into(),
                routers: 0,
            }));
        }
        let vrf = snapshot.vrfs.get(tunnel.vrf as usize).ok_or(Reason::NoVrf)?;
        let value = match tunnel.remote {
            IpAddr::V4(remote) => vrf.fib4.lookup(remote.to_bits()),
            IpAddr::V6(remote) => vrf.fib6.lookup(remote.to_bits()),
        };
        let adjacencies = &*snapshot.adjacencies;
        match adjacencies.get(value).target().action() {
            Action::Balance => Ok(Way::Spread(value)),
            // It would come out of the tunnel where it went in.
            Action::Local | Action::Translate | Action::Tunnel | Action::TunnelTranslate => {
                Err(Reason::TunnelLoop)
            }
            _ => Ok(Way::One(Onward::of(tunnel, adjacencies, &snapshot.l2_out, value))),
        }
    }
}

impl Onward {
    /// The way by an adjacency: straight to its neighbour, or by the routing node.
    #[inline]
    fn of(tunnel: &Tunnel, adjacencies: &Adjacencies, outs: &[L2Out], value: u32) -> Onward {
        let adjacency = adjacencies.get(value);
        let target = adjacency.target();
        let zone = |interface: u16| outs.get(interface as usize).map_or_else(Zone::default, |out| out.zone);
        let tx = target.interface();
        let is_apart = zone(tunnel.origin).apart(zone(tx)) && tunnel.origin != tx;
        let (Action::Forward, Some(out), false) = (target.action(), outs.get(tx as usize), is_apart) else {
            let hop = if tunnel.local.is_ipv4() { hop::IP4_ROUTE } else { hop::IP6_ROUTE };
            let mtu = u16::MAX.into();
            return Onward { ethernet: tunnel.to_router(), tx: tunnel.origin, hop, mtu, routers: 1 };
        };
        let (first, rest) = adjacency.header();
        let mut ethernet = [0; HEADER_LEN];
        ethernet[..8].copy_from_slice(&first);
        ethernet[8..].copy_from_slice(&rest);
        Onward { ethernet, tx, hop: out.hop, mtu: target.mtu().into(), routers: 0 }
    }
}

/// Puts `LEN` bytes of headers in front of packets. Those that had no fault.
#[inline(always)]
fn encapsulate<const LEN: usize>(
    cx: &Context<'_>,
    tunnel: &Tunnel,
    way: &Way,
    packets: &mut [Packet],
    hops: &mut [Hop],
) -> Sent {
    let mut sent = Sent::default();
    let (adjacencies, outs) = (&*cx.snapshot.adjacencies, &cx.snapshot.l2_out[..]);
    let mut onward = match way {
        Way::One(onward) => *onward,
        Way::Spread(value) => Onward::of(tunnel, adjacencies, outs, adjacencies.get(*value).path(0)),
    };
    let headers = Headers::<LEN>::new(tunnel, onward.ethernet);
    packets.iter().take(AHEAD).for_each(Packet::prefetch_front);
    for at in 0..packets.len() {
        if let Some(ahead) = packets.get(at + AHEAD) {
            ahead.prefetch_front();
        }
        let (packet, hop) = (&mut packets[at], &mut hops[at]);
        let inner = Inner::of(packet.data());
        let source_port = vxlan::source_port(inner.hash);
        if let Way::Spread(value) = way {
            let path = adjacencies.get(*value).path(flow(tunnel, source_port));
            onward = Onward::of(tunnel, adjacencies, outs, path);
        }
        *hop = match headers.put(packet, tunnel, &inner, source_port, &onward) {
            Ok(bytes) => {
                sent.packets += 1;
                sent.bytes += bytes as u64;
                onward.hop
            }
            Err(reason) => refuse(packet, reason),
        };
    }
    sent
}

/// The hash of an outer flow, by which a routing node would choose its path.
fn flow(tunnel: &Tunnel, source_port: u16) -> u32 {
    let (destination_port, protocol) = (tunnel.port, udp::PROTOCOL);
    let hash = match (tunnel.local, tunnel.remote) {
        (IpAddr::V4(local), IpAddr::V4(remote)) => {
            let (source, destination) = (local.octets(), remote.octets());
            Key { source, destination, source_port, destination_port, protocol }.hash64(0)
        }
        (IpAddr::V6(local), IpAddr::V6(remote)) => {
            let (source, destination) = (local.octets(), remote.octets());
            Key { source, destination, source_port, destination_port, protocol }.hash64(0)
        }
        _ => 0,
    };
    hash as u32
}

/// The headers of a tunnel, made ready.
struct Headers<const LEN: usize> {
    bytes: [u8; LEN],
    /// The sum over the IPv4 header as it is in them.
    sum: u32,
}

impl<const LEN: usize> Headers<LEN> {
    /// Where the UDP header starts.
    const L4: usize = LEN - vxlan::HEADER_LEN - udp::HEADER_LEN;

    fn new(tunnel: &Tunnel, ethernet: [u8; HEADER_LEN]) -> Self {
        let all = tunnel.headers(ethernet);
        let mut bytes = [0; LEN];
        bytes.copy_from_slice(&all[..LEN]);
        Headers { bytes, sum: Tunnel::sum_v4(&all).into() }
    }

    /// Puts them in front of a packet, with what is its own. How long it was before.
    #[inline(always)]
    fn put(
        &self,
        packet: &mut Packet,
        tunnel: &Tunnel,
        inner: &Inner,
        source_port: u16,
        onward: &Onward,
    ) -> Result<usize, Reason> {
        let inner_len = packet.total_len();
        let total = inner_len + LEN - HEADER_LEN;
        if total > onward.mtu {
            return Err(Reason::TooBig);
        }
        packet.tunnels += 1;
        if packet.tunnels > MOST_TUNNELS {
            return Err(Reason::TunnelLoop);
        }
        let room = packet.prepend(LEN).map_err(|_| Reason::NoHeadroom)?;
        let out: &mut [u8; LEN] = room.first_chunk_mut().ok_or(Reason::NoHeadroom)?;
        *out = self.bytes;
        out[..HEADER_LEN].copy_from_slice(&onward.ethernet);
        let class = match tunnel.dscp {
            Some(dscp) => dscp << 2 | inner.class & ecn::MASK,
            None => inner.class,
        };
        let ttl = tunnel.ttl.unwrap_or(inner.ttl).saturating_add(onward.routers);
        if LEN == Tunnel::LEN_V4 {
            // Of all that the sum is over, these are zero in it. Two steps fold the carries of four words.
            let sum = self.sum + u32::from(class) + total as u32 + (u32::from(ttl) << 8);
            let sum = (sum >> 16) + (sum & 0xffff);
            let sum = !((sum >> 16) + sum) as u16;
            out[HEADER_LEN + 1] = class;
            out[HEADER_LEN + 2..HEADER_LEN + 4].copy_from_slice(&(total as u16).to_be_bytes());
            out[HEADER_LEN + 8] = ttl;
            out[HEADER_LEN + 10..HEADER_LEN + 12].copy_from_slice(&sum.to_be_bytes());
        } else {
            let payload = (total + HEADER_LEN - Self::IPV6_END) as u16;
            // The flow label tells flows apart as the source port does (RFC 6438).
            let word = 6 << 28 | u32::from(class) << 20 | u32::from(source_port);
            out[HEADER_LEN..HEADER_LEN + 4].copy_from_slice(&word.to_be_bytes());
            out[HEADER_LEN + 4..HEADER_LEN + 6].copy_from_slice(&payload.to_be_bytes());
            out[HEADER_LEN + 7] = ttl;
        }
        let datagram = (total + HEADER_LEN - Self::L4) as u16;
        out[Self::L4..Self::L4 + 2].copy_from_slice(&source_port.to_be_bytes());
        out[Self::L4 + 4..Self::L4 + 6].copy_from_slice(&datagram.to_be_bytes());
        (packet.rx, packet.domain) = (tunnel.origin, tunnel.vrf);
        (packet.tx, packet.feature) = (onward.tx, 0);
        if tunnel.checksum {
            fill_checksum(packet, tunnel, Self::L4);
        }
        Ok(inner_len)
    }

    const IPV6_END: usize = HEADER_LEN + paceline_wire::ipv6::HEADER_LEN;
}

/// Fills in the UDP checksum of an outer packet, in which it is zero.
#[cold]
fn fill_checksum(packet: &mut Packet, tunnel: &Tunnel, l4: usize) {
    let len = packet.total_len() - l4;
    let mut sum = match (tunnel.local, tunnel.remote) {
        (IpAddr::V4(local), IpAddr::V4(remote)) => {
            pseudo_v4(local.octets(), remote.octets(), udp::PROTOCOL, len as u16)
        }
        (IpAddr::V6(local), IpAddr::V6(remote)) => {
            pseudo_v6(&local.octets(), &remote.octets(), udp::PROTOCOL, len as u32)
        }
        _ => Sum::default(),
    };
    let mut skip = l4;
    for segment in packet.segments() {
        sum.add(segment.get(skip..).unwrap_or_default());
        skip -= skip.min(segment.len());
    }
    let at = l4 + udp::CHECKSUM_OFFSET;
    if let Some(field) = packet.data_mut().get_mut(at..at + 2) {
        field.copy_from_slice(&sum.finish_nonzero().to_be_bytes());
    }
}

#[cold]
fn refuse_all(packets: &mut [Packet], hops: &mut [Hop], reason: Reason) {
    for (packet, hop) in packets.iter_mut().zip(hops) {
        *hop = refuse(packet, reason);
    }
}

#[cold]
fn trace(cx: &mut Context<'_>, packets: &[Packet]) {
    let snapshot = cx.snapshot;
    for packet in packets.iter().filter(|packet| packet.trace().is_some()) {
        let Some(tunnel) = snapshot.interface(packet.tx).and_then(|i| i.tunnel.as_deref()) else { continue };
        let (name, vni, to) = (snapshot.name(packet.tx), tunnel.vni, tunnel.remote);
        cx.trace(packet, format_args!("{name}: network {vni}, to {to}"));
    }
}
