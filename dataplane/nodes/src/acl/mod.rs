//! `acl-input` and `acl-output`: let packets in and out of an interface by its policies.
//!
//! Next: the rest of the arc; `reject` for what is refused with a word; the output of another interface for what a rule leads there.
//!
//! A policy is a list of rules in tiers, of which the first that matches decides. With a stateful policy on either arc of an
//! interface, flows that are permitted are remembered, and all further packets of both directions are decided by one lookup; what no
//! policy says anything about is permitted and remembered as well. A flow is held against a new configuration by its next packet:
//! one that is forbidden now ends, and all others go on. TCP connections are found in the middle, so that they outlive a restart.
//!
//! Flows belong to the worker that a hash of both addresses says, and packets that come to another one are handed over. So are the
//! parts of packets, with or without a stateful policy: the first part has the ports, and later ones follow it.
//!
//! Cost: one pass for stateless policies, three over 64 packets at a time for others (flows and their buckets, sessions, decisions).
//! What is not whole TCP or UDP, begins a flow, or meets a rule that does more than permit, takes a slow and thorough way packet by
//! packet: see `judge.rs`.
//!
//! Tags that only give a priority are taken off, as what is behind them is what a receiver sees (IEEE 802.1Q §6.9). Behind the tag of
//! a VLAN nothing is seen: unless a rule for MAC addresses or VLANs decides, such a frame is for the policy's default.

mod effects;
mod flow;
mod judge;
#[cfg(test)]
mod tests;

use paceline_buf::{Packet, VECTOR_SIZE, Vector};
use paceline_graph::filter::{Facts, Filter, FlowTable, Flows, JUDGED, PolicyAddress, RuleCounters, scope};
use paceline_graph::{Context, Hop, Node, Reason, Snapshot};
use paceline_tables::{Reader, State, Tuple};
use paceline_wire::ethernet::{self, HEADER_LEN, Mac};
use paceline_wire::tcp;
use paceline_wire::vlan::{self, TAG_LEN};

use crate::nat::NatFamily;
use crate::{Ip4, Ip6, hop, refuse, track};
pub(crate) use effects::{copy, past_filters, set_dscp};
use judge::Slow;

/// Packets that the passes go over at a time, whose lines then stay in the first-level cache.
const STEP: usize = 64;

/// Tags without a VLAN that are taken off a frame; one with more of them is dropped.
const PRIORITY_TAGS: usize = 2;

/// A version of IP as filters see it.
pub(crate) trait AclFamily: NatFamily<Address: PolicyAddress> {
    /// Each worker's sessions.
    fn tables(flows: &Flows) -> &[FlowTable<Self::Address>];
}

impl AclFamily for Ip4 {
    fn tables(flows: &Flows) -> &[FlowTable<u32>] {
        flows.v4()
    }
}

impl AclFamily for Ip6 {
    fn tables(flows: &Flows) -> &[FlowTable<u128>] {
        flows.v6()
    }
}

/// Either of the two nodes.
pub struct Acl<const OUT: bool> {
    v4: Lane<Ip4, OUT>,
    v6: Lane<Ip6, OUT>,
    hops: Box<[Hop; VECTOR_SIZE]>,
    slow: Slow,
}

/// What is one version's: columns of the packets in work.
struct Lane<F: AclFamily, const OUT: bool> {
    flows: [Tuple<F::Address>; STEP],
    references: [u32; STEP],
    parts: crate::fragments::Fragments<F::Address>,
}

/// What the passes over packets of one interface share.
#[derive(Clone, Copy)]
struct Work<'a> {
    snapshot: &'a Snapshot,
    flows: &'a Flows,
    filter: &'a Filter,
    /// The interface.
    index: u16,
    /// The scope of flows here.
    scope: u16,
    worker: usize,
    now: u32,
    /// What a session has that was used in this second and under this configuration.
    stamp: u64,
    is_tracing: bool,
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// On.
    On,
    /// To a node or port, away from its arc.
    To(Hop),
    /// To the worker that knows its flow.
    Worker(usize),
    /// To its end.
    Drop(Reason),
}

impl<const OUT: bool> Default for Acl<OUT> {
    fn default() -> Self {
        Acl {
            v4: Lane::default(),
            v6: Lane::default(),
            hops: Box::new([Hop::DROP; VECTOR_SIZE]),
            slow: Slow::default(),
        }
    }
}

impl<F: AclFamily, const OUT: bool> Default for Lane<F, OUT> {
    fn default() -> Self {
        let parts = crate::fragments::Fragments::default();
        Lane { flows: [Tuple::default(); STEP], references: [0; STEP], parts }
    }
}

impl<const OUT: bool> Node for Acl<OUT> {
    fn name(&self) -> &'static str {
        if OUT { "acl-output" } else { "acl-input" }
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let (snapshot, worker) = (cx.snapshot, cx.worker());
        let Some(flows) = snapshot.flows.as_deref() else { return self.pass_all(cx, vector) };
        let now = flows.now();
        if let Some(table) = flows.v4().get(worker) {
            flows.tidy(table, now);
        }
        if let Some(table) = flows.v6().get(worker) {
            flows.tidy(table, now);
        }
        let stamp = State { seen: now, generation: flows.generation, ..State::default() }.stamp();
        let (mut start, mut is_far) = (0, false);
        while let Some(first) = vector.as_slice().get(start) {
            // Packets of one interface come one after the other, or nearly so.
            let index = interface::<OUT>(first);
            let packets = &mut vector.as_mut_slice()[start..];
            let same = packets.iter().take(STEP).take_while(|packet| interface::<OUT>(packet) == index);
            let len = same.count();
            let (packets, hops) = (&mut packets[..len], start..start + len);
            match snapshot.interface(index).and_then(|interface| interface.filter.as_deref()) {
                Some(filter) => {
                    let is_tracing = cx.is_tracing();
                    let scope = scope(index, OUT);
                    let work = Work { snapshot, flows, filter, index, scope, worker, now, stamp, is_tracing };
                    is_far |= self.run(cx, &work, packets, hops.start);
                }
                None => {
                    for (packet, hop) in packets.iter_mut().zip(&mut self.hops[hops]) {
                        *hop = next::<OUT>(cx, packet);
                    }
                }
            }
            start += len;
        }
        if is_far { self.part(cx, vector) } else { cx.dispatch(vector, &self.hops[..]) }
    }
}

/// The interface whose policy a packet meets.
#[inline(always)]
const fn interface<const OUT: bool>(packet: &Packet) -> u16 {
    if OUT { packet.tx } else { packet.rx }
}

/// In place of the place in an arc: on the way to another worker the arc may have become another one.
const HANDED: u8 = u8::MAX;

/// Where a packet goes on.
#[inline(always)]
fn next<const OUT: bool>(cx: &Context<'_>, packet: &mut Packet) -> Hop {
    if packet.feature == HANDED {
        return resume::<OUT>(cx, packet);
    }
    let next = if OUT { cx.next_output(packet) } else { cx.next_input(packet) };
    next.unwrap_or(Hop::NOWHERE)
}

/// Where a packet goes on that was handed over: at the first feature behind this node, which may have left the arc meanwhile. Features
/// of an arc are in the order of their nodes, and a port is the last.
#[cold]
fn resume<const OUT: bool>(cx: &Context<'_>, packet: &mut Packet) -> Hop {
    let Some(interface) = cx.snapshot.interface(interface::<OUT>(packet)) else { return Hop::NOWHERE };
    let arc = if OUT { &interface.output } else { &interface.input };
    let is_behind = |hop: &Hop| hop.as_node().is_none_or(|node| Some(node) > Acl::<OUT>::SELF.as_node());
    let Some(at) = arc.iter().position(is_behind) else { return Hop::NOWHERE };
    packet.feature = at as u8;
    arc.get(at).copied().unwrap_or(Hop::NOWHERE)
}

/// Bits for the first packets of a step.
const fn bits(count: usize) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

impl<const OUT: bool> Acl<OUT> {
    /// The node itself. As no packet goes there from here, it stands for the same node of another worker, whose number is then in
    /// the packet's `reason`: its `aux` may hold a priority for `vlan-output`.
    const SELF: Hop = if OUT { hop::ACL_OUTPUT } else { hop::ACL_INPUT };

    /// Writes a hop for each of some packets of one interface, from a place on. Whether some go to other workers.
    fn run(&mut self, cx: &mut Context<'_>, work: &Work<'_>, packets: &mut [Packet], at: usize) -> bool {
        let hops = &mut self.hops[at..at + packets.len()];
        let mut todo = bits(packets.len());
        // A trace is written by the slow way alone.
        if !work.is_tracing {
            todo = self.v4.quick(work, packets, todo);
            if todo != 0 {
                todo = self.v6.quick(work, packets, todo);
            }
        }
        let done = !todo & bits(packets.len());
        let mut walk = Walk::default();
        for (i, (packet, hop)) in packets.iter_mut().zip(hops.iter_mut()).enumerate() {
            if done >> i & 1 != 0 {
                *hop = walk.next::<OUT>(cx, packet);
            }
        }
        let mut is_far = false;
        while todo != 0 {
            let i = todo.trailing_zeros() as usize;
            todo &= todo - 1;
            if let (Some(packet), Some(hop)) = (packets.get_mut(i), hops.get_mut(i)) {
                let way = match kind(packet) {
                    Err(reason) => Way::Drop(reason),
                    Ok(kind) if kind == <Ip4 as NatFamily>::ETHERTYPE => {
                        self.slow.packet(cx, work, &mut self.v4, packet)
                    }
                    Ok(kind) if kind == <Ip6 as NatFamily>::ETHERTYPE => {
                        self.slow.packet(cx, work, &mut self.v6, packet)
                    }
                    Ok(_) => judge::other::<OUT>(cx, work, packet),
                };
                is_far |= matches!(way, Way::Worker(_));
                *hop = match way {
                    Way::On => next::<OUT>(cx, packet),
                    Way::To(hop) => hop,
                    Way::Worker(worker) => {
                        (packet.reason, packet.feature) = (worker as u16, HANDED);
                        Self::SELF
                    }
                    Way::Drop(reason) => refuse(packet, reason),
                };
            }
        }
        is_far
    }

    /// Sends packets on of which some go to other workers.
    #[cold]
    fn part(&self, cx: &mut Context<'_>, vector: &mut Vector) {
        let mut hops = self.hops.iter();
        vector.drain(|packet| match hops.next() {
            Some(hop) if *hop == Self::SELF => {
                let worker = usize::from(packet.reason);
                cx.hand_over(packet, worker, *hop);
            }
            Some(hop) => cx.send(packet, *hop),
            None => cx.drop(packet, Reason::NodeLeft),
        });
    }

    /// Sends packets on as they are, where nothing is configured any more.
    #[cold]
    fn pass_all(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        for (packet, hop) in vector.as_mut_slice().iter_mut().zip(self.hops.iter_mut()) {
            *hop = next::<OUT>(cx, packet);
        }
        cx.dispatch(vector, &self.hops[..]);
    }
}

/// Where packets of one interface go on: most are at the same place of the arc.
#[derive(Default)]
struct Walk(Option<(u8, Hop)>);

impl Walk {
    #[inline(always)]
    fn next<const OUT: bool>(&mut self, cx: &Context<'_>, packet: &mut Packet) -> Hop {
        if let Some((feature, hop)) = self.0
            && packet.feature == feature
        {
            packet.feature += 1;
            return hop;
        }
        let feature = packet.feature;
        let hop = next::<OUT>(cx, packet);
        // What was handed over was at no place yet.
        if feature != HANDED {
            self.0 = Some((feature, hop));
        }
        hop
    }
}

impl<F: AclFamily, const OUT: bool> Lane<F, OUT> {
    /// Lets packets pass that are like most, of those in `todo`, a bit each. Those that are left.
    #[inline(always)]
    fn quick(&mut self, work: &Work<'_>, packets: &[Packet], todo: u64) -> u64 {
        match F::tables(work.flows).get(work.worker) {
            Some(table) if work.filter.stateful => self.known(work, &table.sessions.reader(), packets, todo),
            None if work.filter.stateful => todo,
            _ => Self::ruled(work, packets, todo),
        }
    }

    /// Lets packets of flows pass that go on as they did.
    fn known(
        &mut self,
        work: &Work<'_>,
        reader: &Reader<'_, F::Address>,
        packets: &[Packet],
        todo: u64,
    ) -> u64 {
        for ((packet, flow), hash) in packets.iter().zip(&mut self.flows).zip(&mut self.references) {
            let Some(found) = plain::<F>(packet.data()) else {
                // A flow of nothing but zeros is nobody's.
                (*flow, *hash) = (Tuple::default(), 0);
                continue;
            };
            *flow = Tuple { scope: work.scope, ..found };
            *hash = reader.hash(flow);
            reader.prefetch(*hash);
        }
        for (reference, _) in self.references.iter_mut().zip(packets) {
            *reference = reader.candidate(*reference);
        }
        let mut done = 0;
        for (i, (packet, (flow, reference))) in
            packets.iter().zip(self.flows.iter().zip(&self.references)).enumerate()
        {
            let Some(session) = reader.check(*reference, flow) else { continue };
            let (state, back) = (session.state(), session.is_reverse());
            let ip = packet.data().get(HEADER_LEN..).unwrap_or_default();
            let flags = if flow.protocol == tcp::PROTOCOL { F::flags(ip) } else { 0 };
            let is_judged = !back && session.flags() & JUDGED != 0;
            if state.stamp() == work.stamp
                && track::is_steady(state, flow.protocol, flags, back)
                && !is_judged
            {
                session.count();
                done |= 1 << i;
            }
        }
        todo & !done
    }

    /// Lets packets pass that a rule permits.
    fn ruled(work: &Work<'_>, packets: &[Packet], todo: u64) -> u64 {
        let Some(policy) = &work.filter.policies[usize::from(OUT)] else { return todo };
        let groups = work.filter.groups.as_deref().filter(|_| policy.uses_groups);
        let counters = policy.counters(work.worker);
        let (mut done, mut run) = (0, Run::default());
        for (i, packet) in packets.iter().enumerate() {
            let Some(flow) = plain::<F>(packet.data()) else { continue };
            let identity = groups.map_or(0, |groups| F::Address::identity(groups, peer::<F, OUT>(&flow)));
            let rule = F::Address::find(policy, &flow, identity, 0, || {
                let ip = packet.data().get(HEADER_LEN..).unwrap_or_default();
                facts(work, packet, if flow.protocol == tcp::PROTOCOL { F::flags(ip) } else { 0 })
            });
            if !policy.is_plain(rule) {
                continue;
            }
            done |= 1 << i;
            if rule != run.rule {
                run.end(counters);
                run = Run { rule, packets: 0, bytes: 0 };
            }
            run.packets += 1;
            run.bytes += if packet.is_plain() { packet.len() } else { packet.total_len() } as u64;
        }
        run.end(counters);
        todo & !done
    }
}

/// Packets of one rule that follow each other, which are counted at once: one rule's counters would else be stored and loaded again
/// for each packet.
#[derive(Default)]
struct Run {
    rule: u32,
    packets: u64,
    bytes: u64,
}

impl Run {
    #[inline(always)]
    fn end(&self, counters: &[RuleCounters]) {
        if let Some(counters) = counters.get(self.rule as usize) {
            counters.packets.add(self.packets);
            counters.bytes.add(self.bytes);
        }
    }
}

/// What rules may look at besides the flow.
#[cold]
fn facts(work: &Work<'_>, packet: &Packet, tcp: u8) -> Facts {
    let frame = packet.data();
    let macs = ethernet::addresses(frame).unwrap_or((Mac(0), Mac(0)));
    let ethertype = ethernet::ethertype(frame).unwrap_or_default();
    let is_routed = work.snapshot.interface(work.index).is_some_and(|interface| interface.l3.is_some());
    let bridge = work.snapshot.bridges.get(packet.domain as usize).filter(|_| !is_routed);
    Facts { macs, ethertype, vlan: bridge.map_or(0, |bridge| bridge.vlan), tcp }
}

/// What is in a frame, from which tags are taken that only give a priority: receivers see through them, and so must policies.
#[cold]
fn kind(packet: &mut Packet) -> Result<[u8; 2], Reason> {
    for _ in 0..PRIORITY_TAGS {
        if !vlan::is_priority_tagged(packet.data()) {
            break;
        }
        if !vlan::pop(packet.data_mut()) {
            return Err(Reason::Runt);
        }
        packet.trim_front(TAG_LEN);
    }
    if vlan::is_priority_tagged(packet.data()) {
        return Err(Reason::AclUnreadable);
    }
    Ok(ethernet::ethertype(packet.data()).unwrap_or_default().to_be_bytes())
}

/// The other end, as the interface sees it.
#[inline(always)]
const fn peer<F: AclFamily, const OUT: bool>(flow: &Tuple<F::Address>) -> F::Address {
    if OUT { flow.source } else { flow.destination }
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
