//! Pings of the switch's own.

use std::net::IpAddr;
use std::time::Duration;

use paceline_router::local::{Answer, Limits, Local, Outcome, Ping, PingRefused};

use super::exit::Exit;
use super::serve::is_link_local;
use super::{Leg, Routing, Table, Way};
use crate::view::PingView;

/// An echo request that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingRequest {
    /// Who is asked.
    pub destination: IpAddr,
    /// The routing table that leads there.
    pub vrf: String,
    /// The interface of that table to ask by; none: the one that a route leads by. A link-local address needs one.
    pub interface: Option<String>,
    /// The address to ask from; none: that of the interface that leads there.
    pub source: Option<IpAddr>,
    /// Bytes behind the ICMP header, at most 65 000.
    pub size: u16,
    /// Time to live or hop limit, 1 to 255.
    pub ttl: u8,
    /// Whether routers may not cut it.
    pub whole: bool,
}

/// Why no echo request was sent.
#[derive(Debug, thiserror::Error)]
pub enum PingError {
    /// There is no such routing table.
    #[error("there is no VRF {0}; `paceline show vrfs` lists them")]
    Vrf(String),
    /// There is no such routed interface in the table.
    #[error("there is no routed interface {0} in VRF {1}; `paceline show vrfs` lists them")]
    Interface(String, String),
    /// A link-local address is one of a link.
    #[error("{0} is link-local: say by which interface of VRF {1}")]
    LinkLocal(IpAddr, String),
    /// Routes to the address lead by others, too.
    #[error("no route leads to {0} by interface {1} alone")]
    NotBy(IpAddr, String),
    /// Nothing leads to the address.
    #[error("no route leads to {0} in VRF {1}")]
    NoRoute(IpAddr, String),
    /// No interface of the table has an address of the family.
    #[error("no interface of VRF {0} has another address to ask from")]
    NoSource(String),
    /// The address to ask from is not the switch's.
    #[error("source {0} is no address of an interface of VRF {1}")]
    Source(IpAddr, String),
    /// An answer would not come back to the switch.
    #[error(
        "the answer to {own} would leave by interface {interface}, as VRF {vrf} has a route for that address: it is that of who is          there, too. Ask from there: from the host itself with ping(8), if that is the interface `host`; or with another --source"
    )]
    LedAway {
        /// The address to ask from.
        own: IpAddr,
        /// Where it is led.
        interface: String,
        /// The routing table.
        vrf: String,
    },
    /// It cannot be sent.
    #[error(transparent)]
    Refused(#[from] PingRefused),
}

/// A request that is under way: its identifier and sequence number.
pub type PingTicket = (u16, u16);

/// Requests to be sent by the thread that serves packets, and what became of those that were.
#[derive(Default)]
pub(crate) struct Pings {
    waiting: Vec<(u16, u16, Ping)>,
    done: Vec<Answer>,
    next: u16,
}

impl Routing {
    /// Has an echo request sent.
    ///
    /// # Errors
    /// See [`PingError`].
    pub(crate) fn ping(&mut self, request: &PingRequest) -> Result<PingTicket, PingError> {
        let PingRequest { destination, vrf, interface, source, size, ttl, whole } = request.clone();
        let at = self.named(&vrf).ok_or_else(|| PingError::Vrf(vrf.clone()))?;
        let table = &self.tables[at];
        let named = |name: String| {
            let found = self.legs_of(table).find(|leg| *leg.name == *name);
            found.ok_or_else(|| PingError::Interface(name, vrf.clone()))
        };
        let by = interface.map(named).transpose()?;
        let out = self.way_out(table, destination, by)?;
        let (leg, source) = if let Some(source) = source {
            let has = |leg: &&Leg| {
                by.map_or_else(|| leg.has(source), |by| by.number == leg.number && leg.answers(source))
            };
            let owner = self.legs_of(table).find(has);
            (owner.ok_or_else(|| PingError::Source(source, vrf.clone()))?, source)
        } else {
            // A packet from an address to itself is one that no router takes.
            let source = |leg: &Leg| leg.speaks_from(destination).filter(|source| *source != destination);
            let others = || self.legs_of(table).filter(|_| by.is_none());
            let mut found =
                out.into_iter().chain(others()).filter_map(|leg| Some((leg, source(leg)?))).peekable();
            let first = found.peek().copied();
            let heard = found.find(|(_, source)| self.led_away(table, *source).is_none());
            heard.or(first).ok_or_else(|| PingError::NoSource(vrf.clone()))?
        };
        if let Some(interface) = self.led_away(table, source) {
            return Err(PingError::LedAway { own: source, interface, vrf });
        }
        if size > Ping::MAX_SIZE {
            return Err(PingRefused::Size(size).into());
        }
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(PingRefused::Family.into());
        }
        let leg = out.unwrap_or(leg).number;
        self.pings.next = self.pings.next.wrapping_add(1);
        let (id, sequence) = (std::process::id() as u16, self.pings.next);
        let ping = Ping { source, destination, id, sequence, size, ttl, whole };
        self.pings.waiting.push((at as u16, leg, ping));
        Ok((id, sequence))
    }

    /// The interface that a ping leaves by: that of the route, or the one that is named. `None` for an own address.
    fn way_out(&self, table: &Table, to: IpAddr, by: Option<&'_ Leg>) -> Result<Option<&Leg>, PingError> {
        let vrf = || table.name.to_string();
        if is_link_local(to) {
            let by = by.ok_or_else(|| PingError::LinkLocal(to, vrf()))?;
            return Ok(self.legs.get(&by.number));
        }
        let (_, number) = table.find(to).ok_or_else(|| PingError::NoRoute(to, vrf()))?;
        let all = self.lines.interfaces(number);
        if let Some(by) = by
            && all.iter().flatten().any(|number| *number != by.number)
        {
            return Err(PingError::NotBy(to, by.name.to_string()));
        }
        Ok(all.and_then(|all| self.legs.get(all.first()?)))
    }

    /// What became of an echo request; nothing yet if it is under way.
    pub(crate) fn ping_answer(&mut self, ticket: PingTicket) -> Option<PingView> {
        let is_it = |answer: &Answer| (answer.ping.id, answer.ping.sequence) == ticket;
        let at = self.pings.done.iter().position(is_it)?;
        Some(view(&self.pings.done.swap_remove(at)))
    }

    /// Sends the requests that wait, and fetches what became of others.
    pub(super) fn serve_pings(&mut self, way: &mut Way) {
        let now = self.now();
        for (domain, leg, ping) in std::mem::take(&mut self.pings.waiting) {
            let local = self.locals.entry(domain).or_insert_with(|| Local::new(now, Limits::default()));
            let leg = self.legs.get(&leg);
            let mut exit = Exit { now, way, neighbours: &mut self.neighbours, actions: &mut self.actions };
            let sent = local.ping(now, ping, |packet| {
                if let Some(leg) = leg {
                    exit.send(leg, domain, packet);
                }
            });
            if let Err(error) = sent {
                tracing::warn!(destination = %ping.destination, "ping not sent: {error}");
                self.pings.done.push(Answer { ping, outcome: Outcome::Silence, time: Duration::ZERO });
            }
        }
        for local in self.locals.values_mut() {
            self.pings.done.extend(local.answers());
        }
        // Who asked and went away leaves answers behind.
        let old = self.pings.done.len().saturating_sub(KEPT);
        self.pings.done.drain(..old);
    }

    /// The interface that leads to an address of ours, if somebody else has it too: what is sent to it does not come to us.
    fn led_away(&self, table: &Table, own: IpAddr) -> Option<String> {
        let (_, number) = table.find(own)?;
        let out = self.lines.interfaces(number)?;
        Some(self.legs.get(out.first()?)?.name.to_string())
    }

    fn legs_of<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = &'a Leg> {
        self.legs.values().filter(|leg| *leg.vrf == *table.name)
    }
}

/// Answers that are kept for who asked.
const KEPT: usize = 4096;

fn view(answer: &Answer) -> PingView {
    let (outcome, from, bytes, ttl, icmp) = match answer.outcome {
        Outcome::Reply { size, ttl } => ("reply", Some(answer.ping.destination), size, Some(ttl), None),
        Outcome::Error { from, kind, code } => ("error", Some(from), 0, None, Some((kind, code))),
        Outcome::Silence => ("silence", None, 0, None, None),
    };
    PingView {
        outcome,
        source: answer.ping.source.to_string(),
        from: from.map(|from| from.to_string()),
        bytes,
        ttl,
        icmp,
        time_us: answer.time.as_micros() as u64,
    }
}
