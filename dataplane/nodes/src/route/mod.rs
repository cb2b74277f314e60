//! `ip4-route` and `ip6-route`: check packets, find their route, and send them on their way.
//!
//! Routed interfaces begin with `ip4-route`. Next: the output arc of the route's interface; `ip6-route` for IPv6; `ip4-fragment`
//! for what is too long; `icmp-error` for what cannot be routed; `punt` for what control must look at; `nat44-out2in` or
//! `nat66-out2in` for what inside hosts appear under, which comes back from there; `vxlan-decap` for the ends of tunnels.
//!
//! Cost: three passes over the vector. The first reads both headers (one line), checks them and takes the destination into a
//! column; the second looks all of them up, so that the misses in the forwarding table overlap; the third reads the adjacency,
//! and writes the time to live, its checksum and the new Ethernet header.

mod ip4;
mod ip6;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use paceline_buf::{Packet, VECTOR_SIZE, Vector};
use paceline_graph::{Action, Adjacencies, Context, Hop, L2Out, Node, Reason, Vrf, Zone};
use paceline_wire::ethernet::{self, ETHERTYPE_ARP, HEADER_LEN};
use paceline_wire::input::{Fault, Martian, Reach};

use crate::l2_size::fits;
use crate::{hop, refuse, vxlan_decap};
pub use ip4::Ip4;
pub use ip6::Ip6;

/// Adjacencies up to which all of them stay in the first-level cache by themselves.
const FEW: usize = 256;
/// Where a packet goes that goes to no interface: nothing is kept apart from that.
const NOWHERE: L2Out = L2Out { hop: Hop::NOWHERE, max_frame: u32::MAX, zone: Zone::new(0, false).open() };

/// What is different between IPv4 and IPv6.
pub trait Family: Send {
    /// An address, as the forwarding table takes it.
    type Address: Copy + Default + Send;
    /// The node.
    const NAME: &'static str;
    /// The node's own hop: that of packets that it has not decided about.
    const HOP: Hop;
    /// The type in the Ethernet header, as it is in memory.
    const ETHERTYPE: [u8; 2];
    /// The node that finds out what packets for outside addresses of a NAT are for.
    const TRANSLATE: Hop;
    /// Another type, and the node that its packets go to.
    const OTHER: Option<([u8; 2], Hop)>;

    /// Checks the header, which is at the start of `packet`; `total` are the bytes of all segments. The destination.
    ///
    /// # Errors
    /// Why the packet is to be dropped.
    fn check(packet: &[u8], total: usize) -> Result<Self::Address, Reason>;

    /// Looks up many destinations.
    fn lookup(vrf: &Vrf, addresses: &[Self::Address], values: &mut [u32]);

    /// Notes in the header that one more router was passed. `false` if that was one too many.
    fn pass(packet: &mut [u8]) -> bool;

    /// Whether it is of those that no router passes on, though their addresses are.
    fn is_of_link(packet: &[u8]) -> bool;

    /// Whether one more router would be one too many.
    fn is_expired(packet: &[u8]) -> bool;

    /// The address in its usual form.
    fn address(address: Self::Address) -> IpAddr;

    /// Whether a packet that is not routed may be for control: neighbour discovery, membership in groups, or something for a link-local
    /// address.
    fn is_for_control(packet: &[u8]) -> bool;

    /// Whether a router may cut the packet into fragments.
    fn may_be_cut(packet: &[u8]) -> bool;

    /// A hash of the packet's flow.
    fn flow(packet: &[u8], total: usize) -> u32;
}

/// The node, for one version of IP. Its arrays are columns of the vector in work.
pub struct Route<F: Family> {
    addresses: Box<[F::Address; VECTOR_SIZE]>,
    values: Box<[u32; VECTOR_SIZE]>,
    hops: Box<[Hop; VECTOR_SIZE]>,
}

impl<F: Family> Default for Route<F> {
    fn default() -> Self {
        Route {
            addresses: Box::new([F::Address::default(); VECTOR_SIZE]),
            values: Box::new([0; VECTOR_SIZE]),
            hops: Box::new([Hop::DROP; VECTOR_SIZE]),
        }
    }
}

impl<F: Family> Node for Route<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let mut at = 0;
        for packets in vector.as_mut_slice().chunk_by_mut(|a, b| a.rx == b.rx && a.domain == b.domain) {
            self.run(cx, packets, at);
            at += packets.len();
        }
        if cx.is_tracing() {
            self.trace(cx, vector);
        }
        cx.dispatch(vector, &self.hops[..]);
    }
}

impl<F: Family> Route<F> {
    /// Packets of one interface and VRF; `at` is where their columns start.
    #[inline]
    fn run(&mut self, cx: &Context<'_>, packets: &mut [Packet], at: usize) {
        let addresses = &mut self.addresses[at..][..packets.len()];
        let values = &mut self.values[at..][..packets.len()];
        let hops = &mut self.hops[at..][..packets.len()];
        let Some(first) = packets.first() else { return };
        let snapshot = cx.snapshot;
        let l3 = snapshot.interface(first.rx).and_then(|interface| interface.l3);
        let (Some(l3), Some(vrf)) = (l3, snapshot.vrfs.get(first.domain as usize)) else {
            for (packet, hop) in packets.iter_mut().zip(hops) {
                *hop = refuse(packet, Reason::NoVrf);
            }
            return;
        };
        let (own, first_rx, mut any) = (l3.mac.octets(), first.rx, false);
        let has_groups = snapshot.tunnels.has_groups();
        for ((packet, address), hop) in packets.iter_mut().zip(addresses.iter_mut()).zip(hops.iter_mut()) {
            (*address, *hop) = match read::<F>(packet, own, has_groups) {
                Ok(destination) => {
                    any = true;
                    (destination, F::HOP)
                }
                Err(hop) => (F::Address::default(), hop),
            };
        }
        if !any {
            return;
        }
        F::lookup(vrf, addresses, values);
        let (adjacencies, outs) = (&*snapshot.adjacencies, &snapshot.l2_out[..]);
        let zone = outs.get(first_rx as usize).copied().unwrap_or_default().zone;
        if adjacencies.capacity() > FEW {
            for value in values.iter() {
                adjacencies.prefetch(*value);
            }
        }
        for ((packet, value), hop) in packets.iter_mut().zip(values).zip(hops) {
            if *hop == F::HOP {
                *hop = forward::<F>(packet, adjacencies, outs, zone, *value)
                    .unwrap_or_else(|reason| fail(packet, reason));
            }
        }
    }

    #[cold]
    fn trace(&self, cx: &mut Context<'_>, vector: &Vector) {
        let columns = self.addresses.iter().zip(self.values.iter()).zip(self.hops.iter());
        for (packet, ((address, value), hop)) in vector.as_slice().iter().zip(columns) {
            if packet.trace().is_none() || *hop == Hop::DROP {
                continue;
            }
            let snapshot = cx.snapshot;
            if F::OTHER.is_some_and(|(_, other)| *hop == other) {
                cx.trace(packet, format_args!("not IPv4"));
                continue;
            }
            let address = F::address(*address);
            let vrf = snapshot.vrfs.get(packet.domain as usize).map_or("?", |vrf| &vrf.name);
            let tx = snapshot.name(packet.tx);
            cx.trace(packet, format_args!("{vrf}: {address} by adjacency {value} on {tx}"));
        }
    }
}

/// Checks what a router looks at first. The destination; or where else the packet goes.
#[inline(always)]
fn read<F: Family>(packet: &mut Packet, own: [u8; 6], has_groups: bool) -> Result<F::Address, Hop> {
    let (total, frame) = (packet.total_len(), packet.data());
    let Some((ethernet, ip)) = frame.split_first_chunk::<HEADER_LEN>() else {
        return Err(refuse(packet, Reason::Runt));
    };
    let ethertype = [ethernet[12], ethernet[13]];
    if let Some((other, hop)) = F::OTHER
        && ethertype == other
    {
        return Err(hop);
    }
    if ethernet[..6] != own {
        let hop = aside::<F>(packet, Reason::NotForUs);
        return Err(if has_groups && hop == Hop::DROP { to_group::<F>(packet).unwrap_or(hop) } else { hop });
    }
    if ethertype != F::ETHERTYPE {
        return Err(aside::<F>(packet, Reason::UnknownEthertype));
    }
    F::check(ip, total - HEADER_LEN).map_err(|reason| aside::<F>(packet, reason))
}

/// Where a frame goes that is not routed: control wants to see ARP and neighbour discovery, which go to groups, too.
#[cold]
fn aside<F: Family>(packet: &mut Packet, reason: Reason) -> Hop {
    let frame = packet.data();
    let is_for_all = matches!(reason, Reason::NotForUs) && frame.first().is_some_and(|first| first & 1 != 0);
    let is_wanted = match ethernet::ethertype(frame) {
        Some(ETHERTYPE_ARP) => is_for_all || reason == Reason::UnknownEthertype,
        _ if is_for_all || matches!(reason, Reason::LinkLocal | Reason::Multicast) => {
            frame.get(HEADER_LEN..).is_some_and(F::is_for_control)
        }
        _ => false,
    };
    let drop = refuse(packet, reason);
    if is_wanted { hop::PUNT } else { drop }
}

/// Where a sound packet for a group goes, which may be one of tunnels; `None` of any other.
#[cold]
fn to_group<F: Family>(packet: &mut Packet) -> Option<Hop> {
    let (total, frame) = (packet.total_len(), packet.data());
    let (ethernet, ip) = frame.split_first_chunk::<HEADER_LEN>()?;
    let is_group = ethernet[0] & 1 != 0
        && ethernet[12..] == F::ETHERTYPE
        && F::check(ip, total - HEADER_LEN).is_err_and(|reason| reason == Reason::Multicast);
    packet.aux = vxlan_decap::GROUP;
    is_group.then_some(hop::VXLAN_DECAP)
}

/// Gives a packet the header of its route's next hop.
#[inline(always)]
fn forward<F: Family>(
    packet: &mut Packet,
    adjacencies: &Adjacencies,
    outs: &[L2Out],
    zone: Zone,
    value: u32,
) -> Result<Hop, Reason> {
    let (mut value, mut adjacency) = (value, adjacencies.get(value));
    let mut target = adjacency.target();
    if target.action() == Action::Balance {
        value = adjacency.path(flow::<F>(packet));
        adjacency = adjacencies.get(value);
        target = adjacency.target();
    }
    let out = outs.get(target.interface() as usize).copied().unwrap_or(NOWHERE);
    // Before anything is asked for: who is kept apart may not even make the switch look for neighbours there.
    if zone.apart(out.zone) && packet.rx != target.interface() {
        return Err(Reason::SplitHorizon);
    }
    if target.action() != Action::Forward {
        // It comes back with another destination, and passes a router only then.
        match target.action() {
            Action::Translate => return Ok(F::TRANSLATE),
            Action::Tunnel | Action::TunnelTranslate => return Ok(to_tunnel(packet, target.action())),
            _ => {}
        }
        // For control, which asks for the neighbour.
        (packet.tx, packet.aux) = (target.interface(), value);
        return Err(no_way(target.action()));
    }
    let most = HEADER_LEN as u32 + u32::from(target.mtu());
    // Of a packet that is not plain the length says little: then what it will become is looked at.
    let is_plain = packet.is_plain();
    let is_own = !is_plain && packet.is_own();
    let is_long = (packet.len() as u32 > most || !is_plain) && !fits(packet, most);
    if is_long {
        packet.aux = target.mtu().into();
        let ip = packet.data().get(HEADER_LEN..).unwrap_or_default();
        if !F::may_be_cut(ip) {
            // A shorter one would come no further.
            return Err(if !is_own && F::is_expired(ip) {
                Reason::TtlExpired
            } else {
                Reason::NeedsFragmentation
            });
        }
        // Of a super-packet the segments are too long. Its sender would not heed a message, as it allows fragments.
        if packet.offload().is_some_and(|offload| offload.is_gso()) {
            return Err(Reason::TxTooLong);
        }
    }
    let Some((ethernet, ip)) = packet.data_mut().split_first_chunk_mut::<HEADER_LEN>() else {
        return Err(Reason::Runt);
    };
    // What the switch sends leaves as it was made: only who passes a packet on is a router on its way (RFC 1812 §5.3.1).
    if !is_own {
        // It passed any policy as what goes no further than its link.
        if F::is_of_link(ip) {
            return Err(Reason::LinkLocal);
        }
        if !F::pass(ip) {
            return Err(Reason::TtlExpired);
        }
    }
    let (first, rest) = adjacency.header();
    ethernet[..8].copy_from_slice(&first);
    ethernet[8..].copy_from_slice(&rest);
    packet.tx = target.interface();
    packet.feature = 0;
    if is_own {
        packet.clear_own();
    }
    Ok(if is_long { hop::IP4_FRAGMENT } else { out.hop })
}

/// Where a packet for the end of a tunnel goes.
#[inline(always)]
fn to_tunnel(packet: &mut Packet, action: Action) -> Hop {
    let is_nat = action == Action::TunnelTranslate;
    packet.aux = if is_nat { vxlan_decap::TRANSLATE } else { vxlan_decap::OWN };
    hop::VXLAN_DECAP
}

#[cold]
fn flow<F: Family>(packet: &Packet) -> u32 {
    F::flow(packet.data().get(HEADER_LEN..).unwrap_or_default(), packet.total_len() - HEADER_LEN)
}

/// Where a packet goes that cannot be routed: its sender is told, where that makes sense.
#[cold]
fn fail(packet: &mut Packet, reason: Reason) -> Hop {
    let drop = refuse(packet, reason);
    match reason {
        Reason::TtlExpired
        | Reason::NoRoute
        | Reason::Unreachable
        | Reason::Prohibited
        | Reason::NeedsFragmentation => hop::ICMP_ERROR,
        Reason::NoNeighbour | Reason::NobodyHome => hop::PUNT,
        _ => drop,
    }
}

/// Why a packet with such a route goes no further.
#[cold]
fn no_way(action: Action) -> Reason {
    match action {
        Action::Resolve => Reason::NoNeighbour,
        Action::Blackhole => Reason::Blackhole,
        Action::Unreachable => Reason::Unreachable,
        Action::Prohibit => Reason::Prohibited,
        Action::Local => Reason::NobodyHome,
        // An adjacency of paths that leads to another one is a mistake of control's, and no route.
        Action::None
        | Action::Forward
        | Action::Balance
        | Action::Translate
        | Action::Tunnel
        | Action::TunnelTranslate => Reason::NoRoute,
    }
}

/// The reason that stands for a fault of a header.
#[cold]
fn fault(fault: Fault) -> Reason {
    match fault {
        Fault::Truncated | Fault::Version | Fault::HeaderLength => Reason::IpHeader,
        Fault::TotalLength => Reason::IpLength,
        Fault::Checksum => Reason::IpChecksum,
    }
}

/// Whether a router may forward between two addresses, by what the addresses are.
#[inline(always)]
fn routed(reach: Result<Reach, Martian>) -> Result<(), Reason> {
    if reach == Ok(Reach::Routed) { Ok(()) } else { Err(unrouted(reach)) }
}

#[cold]
fn unrouted(reach: Result<Reach, Martian>) -> Reason {
    match reach {
        Ok(_) => Reason::LinkLocal,
        Err(Martian::Source | Martian::Land) => Reason::MartianSource,
        Err(Martian::Destination) => Reason::MartianDestination,
    }
}
