//! Packets for the switch itself: echo requests are answered, everything else is refused, because nobody here listens.
//!
//! The switch speaks from whatever address a packet was sent to: that this is ours was the forwarding table's decision. So
//! one [`Local`] serves all interfaces of a routing table (VRF).
//!
//! This is less than a stack of TCP/IP, and on purpose. smoltcp was tried for it: it takes packets for any address only along
//! a route through one of its own, forbids routers to cut whatever it sends, so that the reply to a long ping is lost on a
//! short link, and neither reassembles nor cuts IPv6. What is left for it would be the refusal of TCP, which is one header.
//! It is the peer in the tests instead.
//!
//! - [`Reassembly`] puts fragments together, of both versions, with bounded memory.
//! - Replies to IPv4 may be cut by routers, our own included. IPv6 packets are cut here: no router may.
//! - Nothing is said to groups or broadcast addresses, about errors, or to what cannot be a host (RFC 1122 §3.2.2). Which
//!   addresses are broadcast on a subnet only the forwarding table knows: it must not send them here.
//! - Refusals are limited in number; echo replies are not, as their number is that of requests that control takes in.

mod cut;
mod piece;
mod ping;
mod reassembly;
mod refuse;
#[cfg(test)]
mod tests;
mod view;

use std::net::IpAddr;
use std::time::Duration;

use paceline_graph::Bucket;
use paceline_wire::icmp::IcmpHeader;
use paceline_wire::input::{Martian, Reach, check_v4, check_v6, is_host_v4, is_host_v6, reach_v4, reach_v6};
use paceline_wire::ipv4::{self, Ipv4Header};
use paceline_wire::{icmpv4, icmpv6, ipv6, tcp};

use cut::cut;
use ping::Pings;
pub use ping::{Answer, Outcome, Ping, PingRefused};
pub use reassembly::{Limits, PartRefused, Reassembly, Whole};
use view::View;

/// Refusals per second, and how many of them at once: what Linux allows for ICMP (`icmp_msgs_per_sec`, `icmp_msgs_burst`).
const PER_SECOND: u64 = 1000;
const BURST: u64 = 50;

/// What happened so far. Every packet that came in counts under exactly one of the first eight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Echo requests that were answered.
    pub echoed: u64,
    /// Packets that were refused, and their senders told.
    pub refused: u64,
    /// Packets whose senders were not told, as there were too many.
    pub limited: u64,
    /// Parts of packets that were taken in.
    pub parts: u64,
    /// Answers to own pings.
    pub answers: u64,
    /// Packets that are not sound: header, addresses, checksum, or a part that does not fit.
    pub malformed: u64,
    /// Packets to groups and broadcast addresses.
    pub groups: u64,
    /// Packets that need no answer: errors, replies to nobody, resets.
    pub ignored: u64,
    /// Packets that were given up before all their parts came, for time or for room.
    pub incomplete: u64,
}

/// The switch as a host, in one routing table.
pub struct Local {
    reassembly: Reassembly,
    pings: Pings,
    limit: Bucket,
    counters: Counters,
    /// Identification of the next packet that may be cut.
    next_id: u32,
    /// A packet that is being made.
    scratch: Vec<u8>,
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Echoed,
    Refused,
    Limited,
    Part,
    Answer,
    Malformed,
    Group,
    Ignored,
}

impl Local {
    /// A host that was sent nothing yet. `limits` bound the memory for parts of packets.
    pub fn new(now: Duration, limits: Limits) -> Local {
        Local {
            reassembly: Reassembly::new(limits),
            pings: Pings::default(),
            limit: Bucket::new(1_000_000_000 / PER_SECOND, BURST, nanos(now)),
            counters: Counters::default(),
            next_id: 1,
            scratch: Vec::new(),
        }
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A packet for the switch: an IP packet from its header on, all of it, with finished checksums. What it gives rise to is
    /// handed to `emit`, as IP packets for the routing node of the same table.
    pub fn input(&mut self, now: Duration, packet: &[u8], mut emit: impl FnMut(&[u8])) {
        let fate = self.take(now, packet, &mut emit);
        let counters = &mut self.counters;
        *(match fate {
            Fate::Echoed => &mut counters.echoed,
            Fate::Refused => &mut counters.refused,
            Fate::Limited => &mut counters.limited,
            Fate::Part => &mut counters.parts,
            Fate::Answer => &mut counters.answers,
            Fate::Malformed => &mut counters.malformed,
            Fate::Group => &mut counters.groups,
            Fate::Ignored => &mut counters.ignored,
        }) += 1;
        self.counters.incomplete = self.reassembly.given_up();
    }

    /// Gives up what has waited too long: parts of packets, whose senders are told, and pings.
    pub fn poll(&mut self, now: Duration, mut emit: impl FnMut(&[u8])) {
        self.limit.refill(nanos(now));
        while let Some(first) = self.reassembly.expire(now) {
            if self.limit.has() && refuse::too_late(&first, &mut self.scratch) {
                self.limit.spend();
                emit(&self.scratch);
            }
        }
        self.pings.expire(now);
        self.counters.incomplete = self.reassembly.given_up();
    }

    /// When [`poll`](Self::poll) has something to do; `None` if never.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.reassembly.next_deadline().into_iter().chain(self.pings.next_deadline()).min()
    }

    /// Sends an echo request. What becomes of it is among the [`answers`](Self::answers), sooner or later.
    ///
    /// # Errors
    /// The request cannot be sent.
    pub fn ping(&mut self, now: Duration, ping: Ping, emit: impl FnMut(&[u8])) -> Result<(), PingRefused> {
        self.pings.check(&ping)?;
        let id = self.id();
        ping.write(id, &mut self.scratch);
        let most = if ping.whole { usize::MAX } else { cut::LEAST_MTU };
        cut(&self.scratch, most, id, emit);
        self.pings.sent(now, ping);
        Ok(())
    }

    /// What became of pings since this was last asked.
    pub fn answers(&mut self) -> impl Iterator<Item = Answer> {
        self.pings.answers()
    }

    fn id(&mut self) -> u32 {
        self.next_id = self.next_id.wrapping_add(1);
        // Zero is what those say who may not be cut.
        if self.next_id as u16 == 0 {
            self.next_id = self.next_id.wrapping_add(1);
        }
        self.next_id
    }

    fn take(&mut self, now: Duration, packet: &[u8], emit: &mut impl FnMut(&[u8])) -> Fate {
        let part = match sound(packet) {
            Ok(is_part) => is_part,
            Err(fate) => return fate,
        };
        if !part {
            return self.whole(now, packet, packet.len(), emit);
        }
        match self.reassembly.add(now, packet) {
            Ok(None) => Fate::Part,
            Ok(Some(Whole { packet, longest })) => self.whole(now, &packet, longest, emit),
            Err(_) => Fate::Malformed,
        }
    }

    /// Treats a whole packet. It came in parts of at most `longest` bytes.
    fn whole(&mut self, now: Duration, packet: &[u8], longest: usize, emit: &mut impl FnMut(&[u8])) -> Fate {
        let Some(view) = View::read(packet) else { return Fate::Malformed };
        if !view.is_true() {
            return Fate::Malformed;
        }
        match view.protocol {
            icmpv4::PROTOCOL | icmpv6::PROTOCOL if view.is_icmp() => self.icmp(now, &view, longest, emit),
            tcp::PROTOCOL => self.say_no(now, &view, emit, refuse::reset),
            _ => self.say_no(now, &view, emit, refuse::unreachable),
        }
    }

    fn icmp(&mut self, now: Duration, view: &View<'_>, longest: usize, emit: &mut impl FnMut(&[u8])) -> Fate {
        let Some(&icmp) = IcmpHeader::read(view.payload()) else { return Fate::Malformed };
        let (request, reply) = match view.source {
            IpAddr::V4(_) => (icmpv4::ECHO_REQUEST, icmpv4::ECHO_REPLY),
            IpAddr::V6(_) => (icmpv6::ECHO_REQUEST, icmpv6::ECHO_REPLY),
        };
        if icmp.kind == request {
            return if self.echo(view, longest, emit) { Fate::Echoed } else { Fate::Ignored };
        }
        let is_ours = if icmp.kind == reply {
            self.pings.reply(now, view, icmp)
        } else {
            self.pings.error(now, view, icmp)
        };
        if is_ours { Fate::Answer } else { Fate::Ignored }
    }

    /// Answers an echo request with a packet that routers may cut. A reply is cut here if it is longer than what the request
    /// showed to fit.
    fn echo(&mut self, view: &View<'_>, longest: usize, emit: &mut impl FnMut(&[u8])) -> bool {
        self.scratch.clear();
        self.scratch.extend_from_slice(view.packet);
        let id = self.id();
        let is_answered = match view.destination {
            IpAddr::V4(_) => icmpv4::echo_reply(&mut self.scratch),
            IpAddr::V6(own) => icmpv6::echo_reply(&mut self.scratch, &own.octets()),
        };
        if !is_answered {
            return false;
        }
        if let Some(header) = Ipv4Header::read_mut(&mut self.scratch) {
            header.fragment.set(0);
            header.id.set(id as u16);
            let len = header.header_len();
            ipv4::fill_checksum(&mut self.scratch[..len]);
        }
        cut(&self.scratch, longest.max(cut::LEAST_MTU), id, emit);
        true
    }

    fn say_no(
        &mut self,
        now: Duration,
        view: &View<'_>,
        emit: &mut impl FnMut(&[u8]),
        write: impl FnOnce(&View<'_>, &mut Vec<u8>) -> bool,
    ) -> Fate {
        self.limit.refill(nanos(now));
        if !self.limit.has() {
            return Fate::Limited;
        }
        if !write(view, &mut self.scratch) {
            return Fate::Ignored;
        }
        self.limit.spend();
        emit(&self.scratch);
        Fate::Refused
    }
}

fn nanos(now: Duration) -> u64 {
    now.as_nanos() as u64
}

/// Whether a packet can be for us by its addresses. From us to us are errors about our own pings: routing lets no other pass.
fn possible(reach: Result<Reach, Martian>) -> Result<(), Fate> {
    match reach {
        Ok(_) | Err(Martian::Land) => Ok(()),
        Err(_) => Err(Fate::Malformed),
    }
}

/// Checks header and addresses. Whether the packet is a part of one.
fn sound(packet: &[u8]) -> Result<bool, Fate> {
    if packet.first().is_some_and(|first| first >> 4 == 4) {
        let header = check_v4(packet, packet.len()).map_err(|_| Fate::Malformed)?;
        possible(reach_v4(header.source, header.destination))?;
        if !is_host_v4(header.destination) {
            return Err(Fate::Group);
        }
        return if is_host_v4(header.source) { Ok(header.is_fragment()) } else { Err(Fate::Malformed) };
    }
    let header = check_v6(packet, packet.len()).map_err(|_| Fate::Malformed)?;
    possible(reach_v6(&header.source, &header.destination))?;
    if ipv6::is_multicast(&header.destination) {
        return Err(Fate::Group);
    }
    if !is_host_v6(&header.source) {
        return Err(Fate::Malformed);
    }
    let found = ipv6::transport(packet).ok_or(Fate::Malformed)?;
    // A source route through us is not followed, and its end is not ours to answer for (RFC 5095).
    if found.is_routed { Err(Fate::Ignored) } else { Ok(found.part.is_some()) }
}
