//! The slow and thorough way of a packet through a policy: any protocol, any part, any rule.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use paceline_buf::Packet;
use paceline_graph::filter::{
    Facts, FlowEvent, FlowTable, JUDGED, Policy, PolicyAddress, Rule, Verdict, of_scope,
};
use paceline_graph::session::weakest;
use paceline_graph::{Bucket, Context, Reason};
use paceline_sys::cpu::{tsc, tsc_hz};
use paceline_tables::{Address, Session, State, Tuple};
use paceline_wire::ethernet::HEADER_LEN;
use paceline_wire::flow::Kind;
use paceline_wire::{icmpv4, icmpv6, tcp};

use super::flow::{is_of_link, rule_key};
use super::{AclFamily, Lane, Way, Work, effects, facts, peer};
use crate::nat::Seen;
use crate::{hop, track};

/// Events that a worker tells in a second, and how many at once.
const PER_SECOND: u64 = 1000;
const BURST: u64 = 200;

/// What the slow way remembers from packet to packet.
pub(super) struct Slow {
    /// How many events may be told, by cycles.
    log: Bucket,
}

impl Default for Slow {
    fn default() -> Self {
        Slow { log: Bucket::new(tsc_hz() / PER_SECOND, BURST, tsc()) }
    }
}

/// What a policy says about a packet.
#[derive(Clone, Copy)]
struct Sentence<'a> {
    /// The policy, the number of the rule and the rule; none where there is no policy.
    by: Option<(&'a Arc<Policy>, u32, &'a Rule)>,
    verdict: Verdict,
}

impl Sentence<'_> {
    /// Whether each further packet of the flow is to be judged too.
    fn has_effects(&self) -> bool {
        self.by.is_some_and(|(_, _, rule)| rule.has_effects())
    }
}

impl Slow {
    /// Judges an IP packet; where it goes.
    #[cold]
    pub(super) fn packet<F: AclFamily, const OUT: bool>(
        &mut self,
        cx: &mut Context<'_>,
        work: &Work<'_>,
        lane: &mut Lane<F, OUT>,
        packet: &mut Packet,
    ) -> Way {
        self.judge(cx, work, lane, packet).unwrap_or_else(Way::Drop)
    }

    fn judge<F: AclFamily, const OUT: bool>(
        &mut self,
        cx: &mut Context<'_>,
        work: &Work<'_>,
        lane: &mut Lane<F, OUT>,
        packet: &mut Packet,
    ) -> Result<Way, Reason> {
        let total = packet.total_len().checked_sub(HEADER_LEN).ok_or(Reason::Runt)?;
        let ip = packet.data().get(HEADER_LEN..).ok_or(Reason::Runt)?;
        let mut seen = F::see(ip, total).map_err(unreadable)?;
        if is_of_link(ip) {
            cx.trace(packet, format_args!("of the link alone: no policy is asked"));
            return Ok(Way::On);
        }
        let is_mine = work.flows.owner(seen.flow.source, seen.flow.destination);
        if (seen.part.is_some() || work.filter.stateful) && is_mine != work.worker {
            return Ok(Way::Worker(is_mine));
        }
        (seen.flow.scope, seen.outer.scope) = (work.scope, work.scope);
        lane.follow(work, &mut seen)?;
        if !work.filter.stateful {
            let facts = facts(work, packet, seen.tcp);
            let sentence = sentence::<F>(work, OUT, &rule_key(&seen), &facts, Some(packet.total_len()));
            return self.carry_out::<F, OUT>(cx, work, packet, &seen, sentence);
        }
        let table = F::tables(work.flows).get(work.worker).ok_or(Reason::AclTableFull)?;
        // An error goes to who sent what it quotes: else anyone might be sent one about a flow that is known.
        let is_quoted = seen.kind != Kind::Error || seen.outer.destination == seen.flow.destination;
        let session = if is_quoted {
            known::<F>(work, table, &seen.flow, &facts(work, packet, seen.tcp))
        } else {
            None
        };
        let is_icmp = matches!(seen.flow.protocol, icmpv4::PROTOCOL | icmpv6::PROTOCOL);
        if session.is_none() && seen.kind == Kind::LaterPart && is_icmp {
            // Its type was in the first part, which began no flow.
            return Err(Reason::AclFragment);
        }
        let is_forth = session.is_some_and(|session| !session.is_reverse());
        // An error says nothing about whether its flow goes on, and anyone may have made it up.
        if let Some(session) = session.filter(|_| seen.kind != Kind::Error) {
            let state = State { seen: work.now, generation: work.flows.generation, ..session.state() };
            let next = track::next(state, seen.flow.protocol, seen.tcp, session.is_reverse());
            if next != session.state() {
                table.sessions.update(session, next);
            }
        }
        if let Some(session) = session {
            session.count();
            if !(is_forth && session.flags() & JUDGED != 0) {
                cx.trace(packet, format_args!("{}: its flow is permitted", seen.flow));
                return Ok(Way::On);
            }
        }
        let facts = facts(work, packet, seen.tcp);
        let sentence = sentence::<F>(work, OUT, &rule_key(&seen), &facts, Some(packet.total_len()));
        if session.is_none() && seen.begins && sentence.verdict == Verdict::Permit {
            let flags = if sentence.has_effects() { JUDGED } else { 0 };
            let state = track::first(seen.flow.protocol, seen.tcp, work.now, work.flows.generation);
            begin(work, table, &seen.flow, flags, state)?;
            table.counters.created.add(1);
        }
        self.carry_out::<F, OUT>(cx, work, packet, &seen, sentence)
    }

    /// Does with a packet what a policy says.
    fn carry_out<F: AclFamily, const OUT: bool>(
        &mut self,
        cx: &mut Context<'_>,
        work: &Work<'_>,
        packet: &mut Packet,
        seen: &Seen<F::Address>,
        sentence: Sentence<'_>,
    ) -> Result<Way, Reason> {
        let Some((policy, number, rule)) = sentence.by else {
            cx.trace(packet, format_args!("{}: no policy", seen.flow));
            return Ok(Way::On);
        };
        trace(cx, packet, policy, rule);
        if rule.log {
            self.tell::<F, OUT>(work, packet, seen, policy, number, rule);
        }
        match sentence.verdict {
            Verdict::Permit => effects::carry_out(cx, work, packet, rule, true),
            Verdict::Deny | Verdict::Pass => Err(Reason::AclDeny),
            Verdict::Reject => {
                // An answer goes back by the interface, or to where the packet came from.
                packet.reason = Reason::AclReject as u16;
                packet.feature = u8::from(OUT);
                Ok(Way::To(hop::REJECT))
            }
        }
    }

    /// Tells control, as long as not too much is told.
    fn tell<F: AclFamily, const OUT: bool>(
        &mut self,
        work: &Work<'_>,
        packet: &Packet,
        seen: &Seen<F::Address>,
        policy: &Arc<Policy>,
        rule: u32,
        by: &Rule,
    ) {
        let log = &work.flows.log;
        let key = rule_key(seen);
        let event = || FlowEvent {
            interface: work.index,
            outbound: OUT,
            verdict: by.verdict,
            policy: Arc::clone(policy),
            rule,
            protocol: key.protocol,
            source: (key.source.ip(), key.source_port()),
            destination: (key.destination.ip(), key.destination_port()),
            bytes: packet.total_len(),
        };
        if !self.log.take(tsc()) || log.events.push(event()).is_err() {
            log.lost.fetch_add(1, Relaxed);
        }
    }
}

/// Judges a frame that is not IP.
#[cold]
pub(super) fn other<const OUT: bool>(cx: &mut Context<'_>, work: &Work<'_>, packet: &mut Packet) -> Way {
    let Some(policy) = &work.filter.policies[usize::from(OUT)] else { return Way::On };
    if packet.data().len() < HEADER_LEN {
        return Way::Drop(Reason::Runt);
    }
    let facts = facts(work, packet, 0);
    let find = |from| policy.find_other(from, &facts);
    let Some((_, rule)) = policy.decide(work.worker, Some(packet.total_len()), find) else { return Way::On };
    trace(cx, packet, policy, rule);
    match rule.verdict {
        Verdict::Permit => effects::carry_out(cx, work, packet, rule, false).unwrap_or_else(Way::Drop),
        // Nobody would know what to make of a word.
        Verdict::Deny | Verdict::Reject | Verdict::Pass => Way::Drop(Reason::AclDeny),
    }
}

#[cold]
fn trace(cx: &mut Context<'_>, packet: &Packet, policy: &Policy, rule: &Rule) {
    let verdict = rule.verdict.name();
    match &*rule.tier {
        "" => cx.trace(packet, format_args!("policy {}: {verdict} by default", policy.name)),
        tier => cx.trace(
            packet,
            format_args!("policy {}, tier {tier}, rule {}: {verdict}", policy.name, rule.name),
        ),
    }
}

/// Why a packet cannot be judged.
fn unreadable(reason: Reason) -> Reason {
    match reason {
        Reason::IpHeader | Reason::IpLength => reason,
        _ => Reason::AclUnreadable,
    }
}

impl<F: AclFamily, const OUT: bool> Lane<F, OUT> {
    /// Notes the ports of a first part, and gives them to later ones.
    fn follow(&mut self, work: &Work<'_>, seen: &mut Seen<F::Address>) -> Result<(), Reason> {
        let Some(part) = seen.part else { return Ok(()) };
        if part.is_first() {
            if part.more && seen.kind != Kind::Error {
                // Sessions of ICMP are told by an identifier, and rules by type and code.
                let ports = if work.filter.stateful { seen.flow.ports } else { rule_key(seen).ports };
                self.parts.note(&Tuple { ports, ..seen.flow }, part.id, work.now);
            }
            return Ok(());
        }
        let ports = self.parts.ports(&seen.flow, part.id, work.now).ok_or(Reason::AclFragment)?;
        seen.flow.ports = ports;
        seen.outer.ports = if work.filter.stateful { first_key(&seen.flow).ports } else { ports };
        Ok(())
    }
}

/// What rules are asked about the first packet of a flow: of ICMP, that is an echo request.
fn first_key<T: Address>(flow: &Tuple<T>) -> Tuple<T> {
    match flow.protocol {
        icmpv4::PROTOCOL => Tuple { ports: u32::from(icmpv4::ECHO_REQUEST) << 16, ..*flow },
        icmpv6::PROTOCOL => Tuple { ports: u32::from(icmpv6::ECHO_REQUEST) << 16, ..*flow },
        _ => *flow,
    }
}

/// What the policy of a direction says; what there is none for is permitted.
fn sentence<'a, F: AclFamily>(
    work: &Work<'a>,
    out: bool,
    key: &Tuple<F::Address>,
    facts: &Facts,
    bytes: Option<usize>,
) -> Sentence<'a> {
    let nothing = Sentence { by: None, verdict: Verdict::Permit };
    let Some(policy) = &work.filter.policies[usize::from(out)] else { return nothing };
    let groups = work.filter.groups.as_deref().filter(|_| policy.uses_groups);
    let peer = if out { peer::<F, true>(key) } else { peer::<F, false>(key) };
    let identity = groups.map_or(0, |groups| F::Address::identity(groups, peer));
    let find = |from| F::Address::find(policy, key, identity, from, || *facts);
    match policy.decide(work.worker, bytes, find) {
        Some((number, rule)) => Sentence { by: Some((policy, number, rule)), verdict: rule.verdict },
        None => Sentence { by: None, verdict: Verdict::Deny },
    }
}

/// The session of a flow, if it is alive and the policies allow it.
fn known<'a, F: AclFamily>(
    work: &Work<'a>,
    table: &'a FlowTable<F::Address>,
    flow: &Tuple<F::Address>,
    facts: &Facts,
) -> Option<Session<'a, F::Address>> {
    let session = work.flows.find(table, flow, work.now)?;
    let state = session.state();
    if state.generation == work.flows.generation {
        return Some(session);
    }
    // What its first packet would be told now, as far as that is known from this one.
    let (first, _) = session.flows();
    let (to, from) = facts.macs;
    let macs = if session.is_reverse() { (from, to) } else { (to, from) };
    let facts = Facts { macs, tcp: if flow.protocol == tcp::PROTOCOL { tcp::SYN } else { 0 }, ..*facts };
    let key = first_key(&first);
    let (_, has_left) = of_scope(first.scope);
    let sentence = sentence::<F>(work, has_left, &key, &facts, None);
    if sentence.verdict != Verdict::Permit {
        work.flows.end(table, session);
        table.counters.flushed.add(1);
        return None;
    }
    let flags = if sentence.has_effects() { JUDGED } else { 0 };
    if flags == session.flags() {
        return Some(session);
    }
    work.flows.end(table, session);
    work.flows.begin(table, &first, flags, state).ok()?;
    table.sessions.find(flow)
}

/// Remembers a flow.
fn begin<T: PolicyAddress>(
    work: &Work<'_>,
    table: &FlowTable<T>,
    flow: &Tuple<T>,
    flags: u8,
    state: State,
) -> Result<(), Reason> {
    let sessions = &table.sessions;
    let is_full = || sessions.len() >= sessions.limit();
    let is_at_limit = || work.flows.is_at_limit(table, work.index);
    if is_full() || is_at_limit() {
        work.flows.tidy(table, work.now);
    }
    let makes_way = if is_at_limit() {
        // Who has its share takes no place of another one.
        let own = weakest(sessions, |session| of_scope(session.flows().0.scope).0 == work.index);
        if own.is_none() {
            table.counters.interface_limit.add(1);
            return Err(Reason::AclInterfaceLimit);
        }
        own
    } else if is_full() {
        weakest(sessions, |_| true)
    } else {
        None
    };
    if let Some(session) = makes_way {
        work.flows.end(table, session);
        table.counters.reclaimed.add(1);
    }
    if work.flows.begin(table, flow, flags, state).is_err() {
        table.counters.table_full.add(1);
        return Err(Reason::AclTableFull);
    }
    Ok(())
}
