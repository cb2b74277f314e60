//! Membership in multicast groups, as a host: what is said when groups are joined and left, and when routers ask (RFC 3376 §5, RFC 3810
//! §6).
//!
//! A report that was not asked for is sent twice, as it may be lost. A question is answered after a time by chance within what it
//! allows. Where a router knows only the old words, they are used for as long as the RFCs say. Other members' reports silence
//! nobody: that is only allowed, not asked for, and snooping switches do not let them be heard.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use paceline_wire::ethernet::Mac;
use paceline_wire::membership::{self, Dialect, MAX_LEN, Query, Say};

/// Times that a report is sent which nobody asked for ("robustness variable").
const ROBUSTNESS: u8 = 2;
/// Longest time between those.
const UNSOLICITED: Duration = Duration::from_secs(1);
/// How long a router with the old words is remembered: twice the usual time between its questions, and one for an answer.
const OLD_ROUTER: Duration = Duration::from_secs(2 * 125 + 10);
/// Longest delay that a question is granted: nobody sleeps for hours because a router said so.
const LONGEST: Duration = Duration::from_secs(60);

/// A frame to be sent by an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which.
    pub interface: u16,
    bytes: [u8; MAX_LEN],
    len: usize,
}

impl Report {
    /// The frame, without padding.
    pub fn frame(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// An interface and the groups that are wanted on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its IPv4 address, if it has one.
    pub address4: Option<IpAddr>,
    /// Its link-local IPv6 address.
    pub link_local: Ipv6Addr,
    /// The groups.
    pub groups: Vec<IpAddr>,
}

struct Group {
    /// Reports that are still to be sent without a question.
    unasked: u8,
    /// When the next one is due.
    due: Option<Duration>,
}

struct Link {
    member: Member,
    groups: BTreeMap<IpAddr, Group>,
    /// Until when routers are spoken to with the old words, of IPv4 and of IPv6.
    old_until: [Duration; 2],
}

/// The groups of all interfaces.
pub struct Groups {
    links: BTreeMap<u16, Link>,
    random: fastrand::Rng,
}

impl Groups {
    /// None yet. `seed`: what delays are drawn from.
    pub fn new(seed: u64) -> Groups {
        Groups { links: BTreeMap::new(), random: fastrand::Rng::with_seed(seed) }
    }

    /// Brings all memberships to what is wanted, by interface.
    pub fn set(&mut self, now: Duration, wanted: &BTreeMap<u16, Member>, out: &mut Vec<Report>) {
        let is_gone = |(interface, _): &(&u16, &Link)| !wanted.contains_key(interface);
        for (interface, link) in self.links.iter().filter(is_gone) {
            out.extend(link.groups.keys().filter_map(|group| link.say(now, *interface, *group, Say::Leave)));
        }
        self.links.retain(|interface, _| wanted.contains_key(interface));
        for (interface, member) in wanted {
            let link = self.links.entry(*interface).or_insert_with(|| Link {
                member: member.clone(),
                groups: BTreeMap::new(),
                old_until: [Duration::ZERO; 2],
            });
            let left = link.groups.keys().filter(|group| !member.groups.contains(group));
            out.extend(left.filter_map(|group| link.say(now, *interface, *group, Say::Leave)));
            link.groups.retain(|group, _| member.groups.contains(group));
            let is_new = link.member.mac != member.mac;
            link.member.clone_from(member);
            for group in &member.groups {
                if is_new || !link.groups.contains_key(group) {
                    link.groups.insert(*group, Group { unasked: ROBUSTNESS, due: Some(now) });
                }
            }
        }
    }

    /// Whether any group is wanted on an interface.
    pub fn is_member_on(&self, interface: u16) -> bool {
        self.links.contains_key(&interface)
    }

    /// Takes in a packet, from its IP header on, that an interface received.
    pub fn input(&mut self, now: Duration, interface: u16, packet: &[u8]) {
        let (Some(link), Some(Query { dialect, group, within, .. })) =
            (self.links.get_mut(&interface), membership::query(packet))
        else {
            return;
        };
        let is_v4 = packet.first().is_some_and(|first| first >> 4 == 4);
        if dialect == Dialect::Old {
            link.old_until[usize::from(!is_v4)] = now + OLD_ROUTER;
        }
        let wanted =
            |address: &IpAddr| address.is_ipv4() == is_v4 && group.is_none_or(|group| group == *address);
        for (_, group) in link.groups.iter_mut().filter(|(address, _)| wanted(address)) {
            let most = within.min(LONGEST).as_millis() as u64;
            let due = now + Duration::from_millis(self.random.u64(0..=most));
            group.due = Some(group.due.map_or(due, |earlier| earlier.min(due)));
        }
    }

    /// Sends what the time has come for.
    pub fn poll(&mut self, now: Duration, out: &mut Vec<Report>) {
        for (interface, link) in &mut self.links {
            let mut due = Vec::new();
            for (address, group) in &mut link.groups {
                if group.due.is_none_or(|due| due > now) {
                    continue;
                }
                due.push((*address, if group.unasked > 0 { Say::Join } else { Say::Member }));
                group.unasked = group.unasked.saturating_sub(1);
                let most = UNSOLICITED.as_millis() as u64;
                let later = Duration::from_millis(self.random.u64(1..=most));
                group.due = (group.unasked > 0).then_some(now + later);
            }
            for (address, say) in due {
                out.extend(link.say(now, *interface, address, say));
            }
        }
    }

    /// When [`poll`](Self::poll) has something to do; `None` if never.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.links.values().flat_map(|link| link.groups.values()).filter_map(|group| group.due).min()
    }
}

impl Link {
    fn say(&self, now: Duration, interface: u16, group: IpAddr, say: Say) -> Option<Report> {
        let is_old = self.old_until[usize::from(group.is_ipv6())] > now;
        let dialect = if is_old { Dialect::Old } else { Dialect::New };
        let source = match group {
            IpAddr::V4(_) => self.member.address4.unwrap_or(membership::unspecified(group)),
            IpAddr::V6(_) => self.member.link_local.into(),
        };
        let mut bytes = [0; MAX_LEN];
        let len = membership::write(self.member.mac, source, group, say, dialect, &mut bytes)?;
        Some(Report { interface, bytes, len })
    }
}

#[cfg(test)]
mod tests {
    use paceline_wire::checksum::Sum;
    use paceline_wire::ipv4;

    use super::*;

    fn member(groups: &[&str]) -> BTreeMap<u16, Member> {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let link_local = "fe80::1".parse().expect("an address");
        let groups = groups.iter().map(|group| ip(group)).collect();
        [(3, Member { mac: Mac(2), address4: Some(ip("192.0.2.1")), link_local, groups })].into()
    }

    /// All that is said until nothing is due, with the message types of it.
    fn run(groups: &mut Groups, now: &mut Duration) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(due) = groups.next_deadline() {
            *now = due.max(*now);
            groups.poll(*now, &mut all);
        }
        all.iter().map(kind).collect()
    }

    fn kind(report: &Report) -> u8 {
        report.frame()[if report.frame()[12] == 8 { 38 } else { 62 }]
    }

    /// A question of the old or the new version.
    fn question(new: bool) -> Vec<u8> {
        let mut message = vec![0x11, 50, 0, 0, 0, 0, 0, 0];
        if new {
            message.extend([2, 125, 0, 0]);
        }
        let sum = Sum::of(&message).finish();
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut header =
            vec![0x45, 0, 0, (20 + message.len()) as u8, 0, 0, 0, 0, 1, 2, 0, 0, 192, 0, 2, 9, 224, 0, 0, 1];
        ipv4::fill_checksum(&mut header);
        [header, message].concat()
    }

    #[test]
    fn groups_are_joined_twice_answered_for_and_left() {
        let (mut groups, mut now, mut out) = (Groups::new(7), Duration::from_secs(9), Vec::new());
        groups.set(now, &member(&["239.0.0.1", "ff15::1"]), &mut out);
        assert!(out.is_empty());
        let mut said = run(&mut groups, &mut now);
        said.sort_unstable();
        assert_eq!(said, [0x22, 0x22, 143, 143], "each twice");
        assert!(now <= Duration::from_secs(9) + 2 * UNSOLICITED);
        groups.set(now, &member(&["239.0.0.1", "ff15::1"]), &mut out);
        assert_eq!(groups.next_deadline(), None, "nothing is new");
        groups.input(now, 3, &question(true));
        let due = groups.next_deadline().expect("asked");
        assert!(due <= now + Duration::from_secs(5));
        assert_eq!(run(&mut groups, &mut now), [0x22], "IPv4 alone was asked for");
        groups.input(now, 4, &question(true));
        groups.input(now, 3, &question(true)[..30]);
        assert_eq!(groups.next_deadline(), None, "another interface, and half a question");
        groups.set(now, &member(&["ff15::1"]), &mut out);
        assert_eq!(out.iter().map(kind).collect::<Vec<_>>(), [0x22]);
        assert_eq!(out[0].frame()[46], 3, "changed to none");
        out.clear();
        groups.set(now, &BTreeMap::new(), &mut out);
        assert_eq!((out.iter().map(kind).collect::<Vec<_>>(), out[0].interface), (vec![143], 3));
    }

    #[test]
    fn an_old_router_hears_old_words_for_a_while() {
        let (mut groups, mut now, mut out) = (Groups::new(7), Duration::ZERO, Vec::new());
        groups.set(now, &member(&["239.0.0.1", "239.0.0.2"]), &mut out);
        run(&mut groups, &mut now);
        groups.input(now, 3, &question(false));
        assert_eq!(run(&mut groups, &mut now), [0x16, 0x16]);
        groups.set(now, &member(&["239.0.0.2"]), &mut out);
        assert_eq!(out.iter().map(kind).collect::<Vec<_>>(), [0x17]);
        now += OLD_ROUTER;
        groups.input(now, 3, &question(true));
        assert_eq!(run(&mut groups, &mut now), [0x22]);
    }
}
