//! `nat44-in2out`, `nat44-out2in`, `nat66-in2out` and `nat66-out2in`: give inside hosts the addresses and ports that they
//! appear under, and lead what comes for those back to them (RFC 4787, RFC 5382, RFC 5508).
//!
//! `in2out` is a feature of an outside interface's output arc. Next: the rest of the arc; `nat66-in2out` for IPv6.
//! `out2in` takes what the forwarding table leads to [`Action::Translate`](paceline_graph::Action). Next: the routing node
//! again, which then finds the inside host; `punt` for what is no inside host's, and so the switch's own.
//!
//! A packet's routing table is part of its flow, and is translated with it: inside hosts of different tables may have one address,
//! and what comes back for one of them is routed in its table, without a way to it in that of the outside interface.
//!
//! Two inside hosts that talk to each other by an outside address (hairpinning, RFC 4787 REQ-9): the source is translated as
//! well as the destination, so that the answers come back here. A packet that did not come in by an outside interface is
//! such a one. A table has the way back here if a mapping leads to it.
//!
//! What has no ports that could be changed (GRE, ESP, and SCTP, whose checksum is over everything) keeps what it has: of such
//! a protocol one inside host at a time can talk to a remote one under one address (of SCTP, from one port), and others are
//! refused. Of fragments, later parts follow their first; those that come before it are dropped.
//!
//! Cost: three passes over 64 packets at a time. The first reads headers into a column of flows and fetches their buckets, the
//! second fetches sessions, the third writes addresses, ports and checksums. What is not plain TCP or UDP of a session that goes
//! on as it did, takes a slow and thorough way packet by packet: see `packet.rs`. Flows whose session is at another worker go
//! there.

mod begin;
mod family;
mod ip4;
mod ip6;
mod packet;
#[cfg(test)]
mod tests;

use paceline_buf::{Packet, VECTOR_SIZE, Vector};
use paceline_graph::nat::{Nat, NatSide, NatTable};
use paceline_graph::{Context, Hop, Node, Reason};
use paceline_tables::{Reader, State, Tuple};
use paceline_wire::checksum::Field;
use paceline_wire::ethernet::HEADER_LEN;
use paceline_wire::tcp;

use crate::{hop, refuse, track};
use packet::Slow;

pub use family::NatFamily;
pub(crate) use family::Seen;

/// Packets that the passes go over at a time. The lines that they fetch, three for each, then stay in the first-level cache until
/// they are used; those of a whole vector do not.
const STEP: usize = 64;

/// The node, for one version of IP and one direction. Flows and references are columns of the packets in work.
pub struct Translate<F: NatFamily, const OUT: bool> {
    flows: [Tuple<F::Address>; STEP],
    references: [u32; STEP],
    hops: Box<[Hop; VECTOR_SIZE]>,
    slow: Slow<F, OUT>,
}

/// What the passes over a vector share.
struct Work<'a, F: NatFamily> {
    nat: &'a Nat,
    side: &'a NatSide<F::Address>,
    table: &'a NatTable<F::Address>,
    worker: usize,
    now: u32,
    /// What a session has that was used in this second and under this configuration.
    stamp: u64,
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// On, as it now is.
    On,
    /// To another node.
    To(Hop),
    /// To the switch itself.
    Own,
    /// To the worker that has its session.
    Worker(usize),
    /// To its end.
    Drop(Reason),
}

/// Where packets go on that leave by an interface: most leave by the one that the packet before them left by.
struct Arc {
    tx: u16,
    next: Hop,
}

impl Arc {
    #[inline(always)]
    fn walk(&mut self, cx: &Context<'_>, packet: &mut Packet) {
        if packet.tx == self.tx && packet.feature == 0 {
            packet.feature = 1;
            return;
        }
        self.tx = if packet.feature == 0 { packet.tx } else { u16::MAX };
        self.next = cx.next_output(packet).unwrap_or(Hop::NOWHERE);
    }
}

impl<F: NatFamily, const OUT: bool> Default for Translate<F, OUT> {
    fn default() -> Self {
        Translate {
            flows: [Tuple::default(); STEP],
            references: [0; STEP],
            hops: Box::new([Hop::DROP; VECTOR_SIZE]),
            slow: Slow::default(),
        }
    }
}

impl<F: NatFamily, const OUT: bool> Node for Translate<F, OUT> {
    fn name(&self) -> &'static str {
        F::NAMES[usize::from(!OUT)]
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let (snapshot, worker) = (cx.snapshot, cx.worker());
        let nat = snapshot.nat.as_deref().filter(|nat| F::side(nat).is_on());
        let Some(nat) = nat else { return Self::pass_all(cx, vector) };
        let side = F::side(nat);
        // With fewer workers configured than there are, what the others get must not leave as it is.
        let Some(table) = side.table(worker) else { return cx.drop_all(vector, Reason::NatTableFull) };
        let now = nat.now();
        let stamp = State { seen: now, generation: nat.generation, ..State::default() }.stamp();
        let work = Work::<F> { nat, side, table, worker, now, stamp };
        work.nat.tidy(work.side, work.table, work.now);
        if let Some((ethertype, hop)) = F::OTHER.filter(|_| OUT)
            && vector.as_slice().iter().all(|packet| packet.data().get(12..14) == Some(&ethertype))
        {
            return cx.dispatch_all(vector, hop);
        }
        let is_far = self.translate(cx, &work, vector.as_mut_slice());
        if is_far { self.part(cx, vector) } else { cx.dispatch(vector, &self.hops[..]) }
    }
}

impl<F: NatFamily, const OUT: bool> Translate<F, OUT> {
    /// The node itself. As no packet goes there from here, it stands for the same node of another worker, whose number is
    /// then in the packet's `aux`.
    const SELF: Hop = F::HOPS[OUT as usize ^ 1];

    /// Writes a hop for each packet. Whether some go to other workers.
    fn translate(&mut self, cx: &mut Context<'_>, work: &Work<'_, F>, packets: &mut [Packet]) -> bool {
        let reader = work.table.sessions.reader();
        let is_tracing = cx.is_tracing();
        let (mut arc, mut is_far) = (Arc { tx: u16::MAX, next: F::ROUTE }, false);
        for (packets, hops) in packets.chunks_mut(STEP).zip(self.hops.chunks_mut(STEP)) {
            for ((packet, flow), hash) in packets.iter().zip(&mut self.flows).zip(&mut self.references) {
                let Some(found) = plain::<F>(packet.data()) else {
                    // A flow of nothing but zeros is nobody's.
                    (*flow, *hash) = (Tuple::default(), 0);
                    continue;
                };
                *flow = Tuple { scope: packet.domain, ..found };
                *hash = reader.hash(flow);
                reader.prefetch(*hash);
            }
            for (reference, _) in self.references.iter_mut().zip(packets.iter()) {
                *reference = reader.candidate(*reference);
            }
            let columns = self.flows.iter().zip(&self.references);
            for ((packet, (flow, reference)), hop) in packets.iter_mut().zip(columns).zip(hops) {
                if OUT {
                    arc.walk(cx, packet);
                }
                *hop = arc.next;
                let quick = !is_tracing && quick::<F>(work, &reader, packet, *reference, flow);
                if !quick {
                    let way = self.slow.packet(cx, work, packet);
                    is_far |= matches!(way, Way::Worker(_));
                    *hop = Self::hop(way, packet, arc.next);
                }
            }
        }
        is_far
    }

    /// The hop of a way.
    #[cold]
    fn hop(way: Way, packet: &mut Packet, next: Hop) -> Hop {
        match way {
            Way::On => next,
            Way::To(hop) => {
                packet.feature = 0;
                hop
            }
            Way::Own => punt(packet),
            Way::Worker(worker) => {
                (packet.feature, packet.aux) = (0, worker as u32);
                Self::SELF
            }
            Way::Drop(reason) => refuse(packet, reason),
        }
    }

    /// Sends packets on of which some go to other workers.
    #[cold]
    fn part(&self, cx: &mut Context<'_>, vector: &mut Vector) {
        let mut hops = self.hops.iter();
        vector.drain(|packet| match hops.next() {
            Some(hop) if *hop == Self::SELF => {
                let worker = packet.aux as usize;
                cx.hand_over(packet, worker, *hop);
            }
            Some(hop) => cx.send(packet, *hop),
            None => cx.drop(packet, Reason::NodeLeft),
        });
    }

    /// Sends packets on as they are, where nothing is configured.
    #[cold]
    fn pass_all(cx: &mut Context<'_>, vector: &mut Vector) {
        vector.drain(|mut packet| {
            let is_other =
                |(other, _): &([u8; 2], Hop)| packet.data().get(12..14).is_some_and(|t| t == other);
            let hop = match F::OTHER.filter(is_other) {
                Some((_, hop)) if OUT => Some(hop),
                _ if OUT => cx.next_output(&mut packet),
                _ => Some(punt(&mut packet)),
            };
            cx.send(packet, hop.unwrap_or(Hop::NOWHERE));
        });
    }
}

/// The flow of a frame that is like most.
#[inline(always)]
fn plain<F: NatFamily>(frame: &[u8]) -> Option<Tuple<F::Address>> {
    let (ethernet, ip) = frame.split_first_chunk::<HEADER_LEN>()?;
    if [ethernet[12], ethernet[13]] != F::ETHERTYPE {
        return None;
    }
    F::plain(ip)
}

/// Translates a packet whose session goes on as it did. `false`, and nothing done, if it is not such a one.
#[inline(always)]
fn quick<F: NatFamily>(
    work: &Work<'_, F>,
    reader: &Reader<'_, F::Address>,
    packet: &mut Packet,
    candidate: u32,
    flow: &Tuple<F::Address>,
) -> bool {
    let Some(session) = reader.check(candidate, flow) else { return false };
    let field = if packet.is_plain() { Field::Full } else { field(packet) };
    let Some(ip) = packet.data_mut().get_mut(HEADER_LEN..) else { return false };
    let flags = if flow.protocol == tcp::PROTOCOL { F::flags(ip) } else { 0 };
    let (state, back) = (session.state(), session.is_reverse());
    if state.stamp() != work.stamp || !track::is_steady(state, flow.protocol, flags, back) {
        return false;
    }
    let to = session.target();
    F::apply(ip, &to, session.sums(), field);
    packet.domain = to.scope;
    session.count();
    true
}

/// What is in the transport checksum of a packet.
fn field(packet: &Packet) -> Field {
    let is_partial = packet.offload().is_some_and(|offload| offload.needs_csum());
    if is_partial { Field::Partial } else { Field::Full }
}

/// Where a packet for the switch itself goes; without anybody there, it is dropped under that reason.
#[cold]
fn punt(packet: &mut Packet) -> Hop {
    packet.reason = Reason::NobodyHome as u16;
    hop::PUNT
}
