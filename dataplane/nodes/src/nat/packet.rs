//! The slow and thorough way of a packet through translation: any protocol, any part, any state.

use paceline_buf::Packet;
use paceline_graph::{Context, Reason};
use paceline_tables::{Address, Session, State, Tuple};
use paceline_wire::ethernet::HEADER_LEN;
use paceline_wire::flow::Kind;
use paceline_wire::tcp;

use super::begin::seed;
use super::family::{NatFamily, Seen};
use super::{Way, Work, field};
use crate::fragments::Fragments;
use crate::track;

/// The session of a packet, or where the packet goes without one.
pub(super) enum Found<'a, T: Address> {
    Session(Session<'a, T>),
    Way(Way),
}

/// What the slow way remembers from packet to packet.
pub(super) struct Slow<F: NatFamily, const OUT: bool> {
    fragments: Fragments<F::Address>,
    /// What the next random number is made of.
    pub random: u64,
}

impl<F: NatFamily, const OUT: bool> Default for Slow<F, OUT> {
    fn default() -> Self {
        Slow { fragments: Fragments::default(), random: seed() }
    }
}

impl<F: NatFamily, const OUT: bool> Slow<F, OUT> {
    /// Translates a packet, if it is to be; where it goes.
    #[cold]
    pub(super) fn packet(&mut self, cx: &mut Context<'_>, work: &Work<'_, F>, packet: &mut Packet) -> Way {
        self.judge(cx, work, packet).unwrap_or_else(Way::Drop)
    }

    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        work: &Work<'_, F>,
        packet: &mut Packet,
    ) -> Result<Way, Reason> {
        let total = packet.total_len();
        let (ethernet, ip) = packet.data().split_first_chunk::<HEADER_LEN>().ok_or(Reason::Runt)?;
        let ethertype = [ethernet[12], ethernet[13]];
        if ethertype != F::ETHERTYPE {
            let other = F::OTHER.filter(|(other, _)| *other == ethertype && OUT);
            return Ok(other.map_or(if OUT { Way::On } else { Way::Own }, |(_, hop)| Way::To(hop)));
        }
        let total = total - HEADER_LEN;
        let mut seen = F::see(ip, total)?;
        (seen.flow.scope, seen.outer.scope) = (packet.domain, packet.domain);
        let has_ports = self.parts(work, &mut seen);
        let known = if has_ports { known(work, &seen.flow) } else { None };
        let found = match known {
            Some(session) => Found::Session(session),
            None if OUT => self.outbound(cx, work, packet, &seen, has_ports)?,
            None => self.inbound(cx, work, packet, &seen, has_ports)?,
        };
        let session = match found {
            Found::Session(session) => session,
            Found::Way(way) => return Ok(way),
        };
        // An error says nothing about whether its flow goes on, and anyone may have made it up (RFC 5508 REQ-7).
        if seen.kind != Kind::Error {
            let state = State { seen: work.now, generation: work.nat.generation, ..session.state() };
            let next = track::next(state, seen.flow.protocol, seen.tcp, session.is_reverse());
            if next != session.state() {
                work.table.sessions.update(session, next);
            }
        }
        session.count();
        let (to, field) = (session.target(), field(packet));
        packet.domain = to.scope;
        let snapshot = cx.snapshot;
        let vrf = snapshot.vrfs.get(usize::from(to.scope)).map_or("?", |vrf| &vrf.name);
        cx.trace(packet, format_args!("{} becomes {to} in {vrf}", seen.flow));
        let ip = packet.data_mut().get_mut(HEADER_LEN..).ok_or(Reason::Runt)?;
        F::rewrite(ip, total, &seen, &to, field)?;
        if OUT && seen.tcp & tcp::SYN != 0 {
            let mtu = cx.snapshot.interface(packet.tx).map_or(u32::MAX, |tx| tx.mtu);
            let ip = packet.data_mut().get_mut(HEADER_LEN..).ok_or(Reason::Runt)?;
            F::clamp(ip, mtu.min(u16::MAX.into()) as u16, field);
        }
        Ok(Way::On)
    }

    /// Notes the ports of a first part, and gives them to later ones. Whether the packet has what it takes to be told.
    fn parts(&mut self, work: &Work<'_, F>, seen: &mut Seen<F::Address>) -> bool {
        let Some(part) = seen.part else { return true };
        if part.is_first() {
            if part.more && seen.kind != Kind::Error {
                self.fragments.note(&seen.flow, part.id, work.now);
            }
            return true;
        }
        let ports = self.fragments.ports(&seen.flow, part.id, work.now);
        seen.flow.ports = ports.unwrap_or_default();
        ports.is_some()
    }
}

/// The session of a flow, if it is alive and the configuration allows it.
pub(super) fn known<'a, F: NatFamily>(
    work: &Work<'a, F>,
    flow: &Tuple<F::Address>,
) -> Option<Session<'a, F::Address>> {
    let session = work.table.sessions.find(flow)?;
    let state = session.state();
    if work.nat.left(state, work.now).is_none() {
        work.nat.end(work.side, work.table, session);
        work.table.counters.expired.add(1);
        return None;
    }
    let is_held = state.generation == work.nat.generation || work.nat.recheck(work.side, work.table, session);
    is_held.then_some(session)
}
