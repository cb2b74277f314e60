//! Who is in which multicast group, as a bridge overhears it (RFC 4541): what hosts and routers tell each other decides where
//! [`MulticastTable`]s send groups.
//!
//! Groups are held back only where somebody asks for members (a querier), and once all had the time to answer: where nobody asks,
//! nobody answers, and all is flooded, as a bridge of Linux does it. A member lives as long as routers let it (RFC 2236 §8, RFC
//! 3810 §9): longer than the querier that is not heard any more, after which all is flooded again.
//!
//! Who leaves is not taken out at once, as others behind its port may stay: the querier asks for the group then, and who does not
//! answer is out. Where the bridge is the querier itself, it asks.
//!
//! Whoever asks is taken for a router, which all groups go to. RFC 4541 §2.1.1 would not have it so of a switch that asks with an
//! unspecified address; but behind that may be members whom it alone hears.
//!
//! Everything is kept by group; which sources a host wants to hear is for routers.

mod domain;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use paceline_tables::MulticastTable;
use paceline_wire::ethernet::{HEADER_LEN, Mac};
use paceline_wire::ipv4::Ipv4Header;
use paceline_wire::ipv6::Ipv6Header;
use paceline_wire::membership::{self, Heard, MAX_LEN};

use domain::Domain;

/// Seconds between two general questions, as all routers ask by default.
const INTERVAL: Duration = Duration::from_secs(125);
/// Within what time answers to them are wanted by default.
const RESPONSE: Duration = Duration::from_secs(10);
/// Losses of one message that are made good.
const ROBUSTNESS: u32 = 2;
/// How long a host is in a group, and a port leads to a router, from the last word of it on, unless who asks takes longer from one question
/// to the next.
const MEMBER: Duration = INTERVAL.saturating_mul(ROBUSTNESS).saturating_add(RESPONSE);
/// How long somebody asks, from his last question on, if he takes no longer than is usual ("other querier present interval").
const QUERIER: Duration = INTERVAL.saturating_mul(ROBUSTNESS).saturating_add(Duration::from_secs(5));
/// Within what time answers to a question after a group that was left are wanted.
const LAST: Duration = Duration::from_secs(1);
/// Time that answers are waited for at most, whatever a question says.
const LONGEST: Duration = Duration::from_secs(60);
/// Time that what is known of members holds at most, whatever a question says.
const HOLDS: Duration = Duration::from_secs(3600);

/// A bridge domain that listens.
#[derive(Clone)]
pub struct Listener {
    /// Where it is written what is heard.
    pub table: Arc<MulticastTable>,
    /// Its ports.
    pub members: BTreeSet<u16>,
    /// The address that it asks from where nobody else does; none: it does not ask.
    pub querier: Option<Mac>,
}

/// A question that a domain asks all of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Number of the domain.
    pub domain: u16,
    bytes: [u8; MAX_LEN],
    len: usize,
}

impl Question {
    fn new(domain: u16, mac: Mac, is_ipv6: bool, group: Option<IpAddr>) -> Option<Question> {
        // An unspecified source gives way to any router (RFC 4541 §2.1.1); of IPv6 there must be one.
        let source = if is_ipv6 { mac.link_local().into() } else { IpAddr::from([0; 4]) };
        let mut bytes = [0; MAX_LEN];
        let within = if group.is_some() { LAST } else { RESPONSE };
        let len = membership::ask(mac, source, group, within, &mut bytes)?;
        Some(Question { domain, bytes, len })
    }

    /// The frame, without padding.
    pub fn frame(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Whether a frame's Ethernet address is that of the group that its packet is for. Those who are to answer would not hear it else.
fn is_to_its_group(ethernet: &[u8; HEADER_LEN], packet: &[u8]) -> bool {
    let v4 = Ipv4Header::read(packet).map(|header| Mac::of_group_v4(header.destination));
    let v6 = || Ipv6Header::read(packet).map(|header| Mac::of_group_v6(&header.destination));
    v4.or_else(v6).is_some_and(|mac| ethernet[..6] == mac.octets())
}

/// What a port is to multicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A host behind it is in a group.
    Member(IpAddr),
    /// It leads to somebody who asks, as routers do, in IPv4 or in IPv6.
    Router {
        /// Which.
        is_ipv6: bool,
    },
}

/// All domains that listen.
#[derive(Default)]
pub struct Snooping {
    domains: BTreeMap<u16, Domain>,
}

impl Snooping {
    /// Brings the domains to what is wanted, by their numbers. One that stays keeps what it knows of ports that it still has. To be
    /// called before packets go by it: nothing goes to a port that has left, and what a new one says finds its domain.
    pub fn set(&mut self, now: Duration, wanted: BTreeMap<u16, Listener>) {
        let is_same = |domain: &Domain, listener: &Listener| domain.has(&listener.table);
        self.domains.retain(|number, domain| wanted.get(number).is_some_and(|new| is_same(domain, new)));
        for (number, listener) in wanted {
            match self.domains.get_mut(&number) {
                Some(domain) => domain.set(now, listener),
                None => _ = self.domains.insert(number, Domain::new(now, listener)),
            }
        }
    }

    /// Takes in a frame that a port of a domain received. What is not to be believed changes nothing.
    pub fn input(&mut self, now: Duration, number: u16, port: u16, frame: &[u8], out: &mut Vec<Question>) {
        let Some(domain) = self.domains.get_mut(&number).filter(|domain| domain.is_member(port)) else {
            return;
        };
        let Some((ethernet, packet)) = frame.split_first_chunk::<HEADER_LEN>() else { return };
        let heard = membership::hear(packet).filter(|_| is_to_its_group(ethernet, packet));
        match heard {
            Some(Heard::Query { query, source }) => domain.query(now, port, &query, source),
            Some(Heard::Report(records)) => {
                for (group, say) in records {
                    out.extend(domain.report(now, number, port, group, say));
                }
            }
            None => {}
        }
    }

    /// Forgets what is old, and asks what is due.
    pub fn poll(&mut self, now: Duration, out: &mut Vec<Question>) {
        for (number, domain) in &mut self.domains {
            domain.poll(now, *number, out);
        }
    }

    /// When [`poll`](Self::poll) has something to do; `None` if never.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.domains.values().filter_map(Domain::next_deadline).min()
    }

    /// What is known of a domain: its ports, what each is, and for how long.
    pub fn view(&self, now: Duration, number: u16) -> Vec<(Role, u16, Duration)> {
        self.domains.get(&number).map_or_else(Vec::new, |domain| domain.view(now))
    }

    /// Times that somebody joined a group of a domain for which there was no place, since it listens.
    pub fn refused(&self, number: u16) -> u64 {
        self.domains.get(&number).map_or(0, Domain::refused)
    }
}
