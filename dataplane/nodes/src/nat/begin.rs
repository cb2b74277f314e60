//! Flows without a session: which worker begins one, with which address and port, and what makes way for it.

use std::hash::{BuildHasher, RandomState};

use paceline_buf::Packet;
use paceline_graph::nat::{INBOUND, STATIC, TWICE};
use paceline_graph::session::{over, weakest};
use paceline_graph::{Context, NO_DOMAIN, Reason, SessionClass};
use paceline_tables::{Address, Session, Tuple};
use paceline_wire::flow::{Kind, SCTP};
use paceline_wire::{icmpv4, icmpv6};

use super::family::{NatFamily, Seen, has_ports};
use super::packet::{Found, Slow, known};
use super::{Way, Work};
use crate::{hop, track};

/// Ports that are tried for one session. A packet that finds none is dropped, and its sender's next one tries others; so
/// whoever has taken all ports cannot keep a worker busy with looking.
const TRIES: u32 = 256;

/// A number that nobody outside knows.
pub(super) fn seed() -> u64 {
    RandomState::new().hash_one(2_u64)
}

impl<F: NatFamily, const OUT: bool> Slow<F, OUT> {
    /// A packet that leaves, whose flow has no session here.
    pub(super) fn outbound<'a>(
        &mut self,
        cx: &Context<'_>,
        work: &Work<'a, F>,
        packet: &Packet,
        seen: &Seen<F::Address>,
        is_whole: bool,
    ) -> Result<Found<'a, F::Address>, Reason> {
        let (side, flow) = (work.side, &seen.flow);
        if !side.is_inside(flow.source) || is_switch::<F>(cx, work, packet, flow.source) {
            return Ok(Found::Way(Way::On));
        }
        if !is_whole {
            return Err(Reason::NatFragment);
        }
        let mapped = side.outward(flow);
        let owner = match mapped {
            Some((_, port)) if has_ports(flow.protocol) => work.nat.ports.owner(port),
            _ if has_ports(flow.protocol) => work.nat.ports.spread(side.host_hash(flow.scope, flow.source)),
            _ if flow.protocol == SCTP => work.nat.ports.owner(flow.source_port()),
            _ => work.nat.ports.spread(side.remote_hash(flow.destination)),
        };
        if owner != work.worker {
            return Ok(Found::Way(Way::Worker(owner)));
        }
        match seen.kind {
            Kind::LaterPart => return Err(Reason::NatFragment),
            // What the switch says of itself about packets that were never translated.
            Kind::Error if is_switch::<F>(cx, work, packet, seen.outer.source) => {
                return Ok(Found::Way(Way::On));
            }
            Kind::Ports | Kind::Query | Kind::Other if seen.begins => {}
            _ => return Err(Reason::NatNoSession),
        }
        let outside = cx.snapshot.interface(packet.tx).map_or(NO_DOMAIN, |tx| tx.domain);
        let mut after = Tuple { scope: outside, ..*flow };
        let flags = if let Some((address, port)) = mapped {
            after.source = address;
            set_source_port(&mut after, port);
            STATIC
        } else {
            after.source = side.address_of(flow.scope, flow.source).ok_or(Reason::NatNoPort)?;
            if has_ports(flow.protocol) {
                self.pick_port(cx, work, &mut after)?;
            }
            0
        };
        begin(work, seen, &after, flags).map(Found::Session)
    }

    /// A packet for an outside address, whose flow has no session here.
    pub(super) fn inbound<'a>(
        &mut self,
        cx: &Context<'_>,
        work: &Work<'a, F>,
        packet: &Packet,
        seen: &Seen<F::Address>,
        is_whole: bool,
    ) -> Result<Found<'a, F::Address>, Reason> {
        let (side, flow) = (work.side, &seen.flow);
        if !is_whole {
            return Err(Reason::NatFragment);
        }
        let owner = if has_ports(flow.protocol) || flow.protocol == SCTP {
            work.nat.ports.owner(flow.destination_port())
        } else {
            work.nat.ports.spread(side.remote_hash(flow.source))
        };
        if owner != work.worker {
            return Ok(Found::Way(Way::Worker(owner)));
        }
        let mapped = side.inward(flow.protocol, flow.destination, flow.destination_port());
        // An error about no session of ours may be about a packet of the switch's own.
        let Some((vrf, host, port)) = mapped.filter(|_| seen.kind != Kind::Error) else {
            return Ok(Found::Way(Way::Own));
        };
        if seen.kind == Kind::LaterPart {
            return Err(Reason::NatFragment);
        }
        if !seen.begins {
            return Err(Reason::NatNoSession);
        }
        let ports = Tuple::<F::Address>::join(flow.source_port(), port);
        let mut after = Tuple { destination: host, ports, scope: vrf, ..*flow };
        let mut flags = INBOUND | STATIC;
        if !is_outside(cx, packet) {
            // Without a port of its own the answer could not be told to which worker it is to come.
            if !has_ports(flow.protocol) {
                return Err(Reason::NatProtocol);
            }
            after.source = flow.destination;
            self.pick_port(cx, work, &mut after)?;
            flags |= TWICE;
        }
        begin(work, seen, &after, flags).map(Found::Session)
    }

    /// Gives a flow a source port from this worker's part: that which it has, if it is free, else the first free one from a
    /// random one on (RFC 6056 §3.3.2). Free is a port to which the remote end has no session. If none is, the longest unused
    /// session that makes way loses its port.
    fn pick_port(
        &mut self,
        cx: &Context<'_>,
        work: &Work<'_, F>,
        flow: &mut Tuple<F::Address>,
    ) -> Result<(), Reason> {
        let (first, count) = work.nat.ports.part(work.worker);
        let sessions = &work.table.sessions;
        let wish = u32::from(flow.source_port()).wrapping_sub(first.into());
        let start = (((self.draw() >> 32) * u64::from(count)) >> 32) as u32;
        // The port that it has comes first, if it is one of ours; then come as many as there are, wherever that lies.
        let wish = (wish < count).then_some(wish);
        let others = (start..count).chain(0..start).take(TRIES as usize);
        let mut weakest: Option<(u32, Session<'_, F::Address>)> = None;
        for offset in wish.into_iter().chain(others) {
            let port = first.wrapping_add(offset as u16);
            set_source_port(flow, port);
            let is_taken = work.side.inward(flow.protocol, flow.source, port).is_some()
                || F::is_tunnel_s(&cx.snapshot.tunnels, flow);
            if is_taken {
                continue;
            }
            let Some(session) = sessions.find(&flow.reversed()) else { return Ok(()) };
            let state = session.state();
            if work.nat.left(state, work.now).is_none() {
                work.nat.end(work.side, work.table, session);
                work.table.counters.expired.add(1);
                return Ok(());
            }
            if SessionClass::makes_way(state.class) && weakest.is_none_or(|(seen, _)| state.seen < seen) {
                weakest = Some((state.seen, session));
            }
        }
        let Some((_, session)) = weakest else {
            work.table.counters.no_port.add(1);
            return Err(Reason::NatNoPort);
        };
        // It was found by the answers to the flow.
        let port = if session.is_reverse() { session.flows().1 } else { session.flows().0.reversed() };
        set_source_port(flow, port.source_port());
        work.nat.end(work.side, work.table, session);
        work.table.counters.reclaimed.add(1);
        Ok(())
    }

    /// A random number.
    fn draw(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// Makes the session of a flow.
fn begin<'a, F: NatFamily>(
    work: &Work<'a, F>,
    seen: &Seen<F::Address>,
    after: &Tuple<F::Address>,
    flags: u8,
) -> Result<Session<'a, F::Address>, Reason> {
    let Work { nat, side, table, .. } = *work;
    let (before, counters) = (&seen.flow, &table.counters);
    let of_host = || table.of_host(side.inside_hash(before, after, flags));
    if nat.per_host > 0 && of_host() >= nat.per_host {
        counters.host_limit.add(1);
        return Err(Reason::NatHostLimit);
    }
    // Where no port was picked the answers may be those of another session.
    if known(work, &after.reversed()).is_some() {
        return Err(Reason::NatProtocol);
    }
    if table.sessions.len() >= table.sessions.limit() {
        make_way(work)?;
    }
    let state = track::first(before.protocol, seen.tcp, work.now, nat.generation);
    let Ok(session) = table.sessions.insert(before, after, flags, state) else {
        counters.table_full.add(1);
        return Err(Reason::NatTableFull);
    };
    side.count_host(table, before, after, flags, true);
    counters.created.add(1);
    Ok(session)
}

/// Ends a session that is over, or else the weakest one.
fn make_way<F: NatFamily>(work: &Work<'_, F>) -> Result<(), Reason> {
    let Work { nat, side, table, .. } = *work;
    if let Some(session) = over(&table.sessions, nat.timeouts(), work.now) {
        nat.end(side, table, session);
        table.counters.expired.add(1);
        return Ok(());
    }
    let Some(session) = weakest(&table.sessions, |_| true) else {
        table.counters.table_full.add(1);
        return Err(Reason::NatTableFull);
    };
    nat.end(side, table, session);
    table.counters.reclaimed.add(1);
    Ok(())
}

/// Changes the source port of a flow. An ICMP query has one identifier, which stands for both of its ports.
fn set_source_port<T: Address>(flow: &mut Tuple<T>, port: u16) {
    let is_query = matches!(flow.protocol, icmpv4::PROTOCOL | icmpv6::PROTOCOL);
    let destination = if is_query { port } else { flow.destination_port() };
    flow.ports = Tuple::<T>::join(port, destination);
}

/// Whether an address is one that the switch itself speaks from.
fn is_switch<F: NatFamily>(
    cx: &Context<'_>,
    work: &Work<'_, F>,
    packet: &Packet,
    address: F::Address,
) -> bool {
    let own = |interface: u16| F::own(&cx.snapshot.interface(interface)?.l3?);
    work.side.is_own(address) || own(packet.tx) == Some(address) || own(packet.rx) == Some(address)
}

/// Whether a packet came in from outside.
fn is_outside(cx: &Context<'_>, packet: &Packet) -> bool {
    let interface = cx.snapshot.interface(packet.rx);
    interface.and_then(|rx| rx.output.first()).is_some_and(|first| *first == hop::NAT44_IN2OUT)
}
