//! Echo requests of our own, and what becomes of them.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use paceline_wire::checksum::Sum;
use paceline_wire::fragment::Part;
use paceline_wire::icmp::{HEADER_LEN, IcmpHeader};
use paceline_wire::ipv4::{self, DONT_FRAGMENT, Ipv4Header};
use paceline_wire::ipv6;
use paceline_wire::{icmpv4, icmpv6};
use zerocopy::IntoBytes;

use super::refuse::write;
use super::view::{View, pseudo};

/// Most requests that are waited for, and answers that are not fetched yet.
const MOST: usize = 1024;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// An echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// The address to ask from: one of the switch's.
    pub source: IpAddr,
    /// Who is asked.
    pub destination: IpAddr,
    /// Number of the series.
    pub id: u16,
    /// Number within the series.
    pub sequence: u16,
    /// Bytes behind the ICMP header, at most 65 000.
    pub size: u16,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// No one may cut it on its way (with IPv6, not even we).
    pub whole: bool,
}

/// What became of an echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The request.
    pub ping: Ping,
    /// What became of it.
    pub outcome: Outcome,
    /// Time from the request to the answer, or to the end of our patience, 10 s.
    pub time: Duration,
}

/// How an echo request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Reply {
        /// Bytes behind the ICMP header.
        size: usize,
        /// Time to live or hop limit that the answer had left.
        ttl: u8,
    },
    /// Somebody on the way told that it cannot arrive.
    Error {
        /// Who.
        from: IpAddr,
        /// Type of the ICMP or ICMPv6 error.
        kind: u8,
        /// Its code.
        code: u8,
    },
    /// Nobody answered.
    Silence,
}

/// Why an echo request cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PingRefused {
    /// Source and destination are not of one family.
    #[error("source and destination are not both IPv4 or both IPv6")]
    Family,
    /// The request would be longer than a packet can be.
    #[error("the size is {0}: must be at most {most}", most = Ping::MAX_SIZE)]
    Size(u16),
    /// A request with the same addresses and numbers is waited for.
    #[error("a request with the same addresses, id and sequence number is under way")]
    Twice,
    /// Too many requests are under way, or too many answers were not fetched.
    #[error("{MOST} requests are under way, or their answers were not fetched")]
    TooMany,
}

impl Ping {
    /// Most bytes behind the ICMP header.
    pub const MAX_SIZE: u16 = 65_000;

    /// Writes the packet.
    pub(super) fn write(&self, id: u32, out: &mut Vec<u8>) {
        let ([i0, i1], [s0, s1]) = (self.id.to_be_bytes(), self.sequence.to_be_bytes());
        let (kind, protocol) = match self.source {
            IpAddr::V4(_) => (icmpv4::ECHO_REQUEST, icmpv4::PROTOCOL),
            IpAddr::V6(_) => (icmpv6::ECHO_REQUEST, icmpv6::PROTOCOL),
        };
        let icmp = IcmpHeader { kind, code: 0, checksum: 0.into(), rest: [i0, i1, s0, s1] };
        let mut message = icmp.as_bytes().to_vec();
        message.extend((0..self.size).map(|at| at as u8));
        let mut sum = match self.source {
            IpAddr::V4(_) => Sum::default(),
            IpAddr::V6(_) => pseudo(self.source, self.destination, protocol, message.len()),
        };
        sum.add(&message);
        if let Some(icmp) = IcmpHeader::read_mut(&mut message) {
            icmp.checksum.set(sum.finish());
        }
        // The size was checked.
        write(self.source, self.destination, protocol, &message, out);
        if let Some(header) = Ipv4Header::read_mut(out) {
            header.ttl = self.ttl;
            header.fragment.set(if self.whole { DONT_FRAGMENT } else { 0 });
            header.id.set(id as u16);
            ipv4::fill_checksum(&mut out[..ipv4::MIN_LEN]);
        } else if let Some(header) = ipv6::Ipv6Header::read_mut(out) {
            header.hop_limit = self.ttl;
        }
    }
}

/// Source and destination of a request, id and sequence number.
type Key = (IpAddr, IpAddr, u16, u16);

/// Requests that are waited for, and answers that are to be fetched: together at most [`MOST`].
#[derive(Default)]
pub(super) struct Pings {
    waiting: BTreeMap<Key, (Duration, Ping)>,
    answers: VecDeque<Answer>,
}

impl Pings {
    pub(super) fn check(&self, ping: &Ping) -> Result<(), PingRefused> {
        if ping.source.is_ipv4() != ping.destination.is_ipv4() {
            return Err(PingRefused::Family);
        }
        if ping.size > Ping::MAX_SIZE {
            return Err(PingRefused::Size(ping.size));
        }
        if self.waiting.contains_key(&key(ping)) {
            return Err(PingRefused::Twice);
        }
        if self.waiting.len() + self.answers.len() >= MOST { Err(PingRefused::TooMany) } else { Ok(()) }
    }

    pub(super) fn sent(&mut self, now: Duration, ping: Ping) {
        self.waiting.insert(key(&ping), (now, ping));
    }

    /// An echo reply. Whether it is one that is waited for.
    pub(super) fn reply(&mut self, now: Duration, view: &View<'_>, icmp: IcmpHeader) -> bool {
        let size = view.payload().len() - HEADER_LEN;
        let sequence = u16::from_be_bytes([icmp.rest[2], icmp.rest[3]]);
        let key = (view.destination, view.source, icmp.id(), sequence);
        self.end(now, key, Outcome::Reply { size, ttl: view.ttl })
    }

    /// Another message. Whether it is an error about a request that is waited for.
    pub(super) fn error(&mut self, now: Duration, view: &View<'_>, icmp: IcmpHeader) -> bool {
        let quoted = match view.source {
            IpAddr::V4(_) => icmpv4::quoted(view.packet),
            IpAddr::V6(_) => icmpv6::quoted(view.packet),
        };
        let Some(request) = quoted.and_then(|(_, at)| view.packet.get(at..)).and_then(quoted_request) else {
            return false;
        };
        self.end(now, request, Outcome::Error { from: view.source, kind: icmp.kind, code: icmp.code })
    }

    pub(super) fn expire(&mut self, now: Duration) {
        let is_late = |(sent, _): &(Duration, Ping)| now.saturating_sub(*sent) >= PATIENCE;
        let late: Vec<Key> =
            self.waiting.iter().filter(|(_, value)| is_late(value)).map(|(key, _)| *key).collect();
        for key in late {
            self.end(now, key, Outcome::Silence);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.waiting.values().map(|(sent, _)| sent.saturating_add(PATIENCE)).min()
    }

    pub(super) fn answers(&mut self) -> impl Iterator<Item = Answer> {
        self.answers.drain(..)
    }

    fn end(&mut self, now: Duration, key: Key, outcome: Outcome) -> bool {
        let Some((sent, ping)) = self.waiting.remove(&key) else { return false };
        self.answers.push_back(Answer { ping, outcome, time: now.saturating_sub(sent) });
        true
    }
}

fn key(ping: &Ping) -> Key {
    (ping.source, ping.destination, ping.id, ping.sequence)
}

/// The key of a request that an error quotes, which may have been cut on its way.
fn quoted_request(packet: &[u8]) -> Option<Key> {
    let (source, destination, request, message) = if let Some(header) = Ipv4Header::read(packet) {
        let is_first = header.part().is_none_or(Part::is_first);
        let message =
            packet.get(header.header_len()..).filter(|_| is_first && header.protocol == icmpv4::PROTOCOL)?;
        (header.source.into(), header.destination.into(), icmpv4::ECHO_REQUEST, message)
    } else {
        let header = ipv6::Ipv6Header::read(packet)?;
        let found = ipv6::transport(packet)
            .filter(|found| found.protocol == icmpv6::PROTOCOL && !found.is_later_part())?;
        (header.source.into(), header.destination.into(), icmpv6::ECHO_REQUEST, packet.get(found.offset..)?)
    };
    let icmp = IcmpHeader::read(message).filter(|icmp| icmp.kind == request)?;
    Some((source, destination, icmp.id(), u16::from_be_bytes([icmp.rest[2], icmp.rest[3]])))
}
