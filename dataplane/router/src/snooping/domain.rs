//! One bridge domain: members, routers and queriers, each with its time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use paceline_tables::{MulticastMode, MulticastTable};
use paceline_wire::membership::{Query, Say, is_link_group};

use super::{
    HOLDS, INTERVAL, LAST, LONGEST, Listener, MEMBER, QUERIER, Question, RESPONSE, ROBUSTNESS, Role,
};

/// Time between the first questions of a querier, which are as many as losses are made good ("startup query interval").
const STARTUP: Duration = Duration::from_secs(31);

/// What the domain knows of one version of IP.
#[derive(Default)]
struct Version {
    /// Until when somebody else asks.
    heard_until: Option<Duration>,
    /// How long what is known of members holds by his questions, if that is longer than is usual.
    holds: Duration,
    /// When all had the time to answer the first question.
    known_from: Option<Duration>,
    /// Until when a group that found no place may have members.
    crowded_until: Option<Duration>,
    /// When the domain asks next, if it does.
    ask_at: Option<Duration>,
    /// First questions that are still to be asked.
    first: u32,
    mode: MulticastMode,
}

pub(super) struct Domain {
    listener: Listener,
    /// By what it is and port, until when it is so.
    roles: BTreeMap<(Role, u16), Duration>,
    /// The same by time.
    ends: BTreeSet<(Duration, Role, u16)>,
    /// Groups that were left and are asked for once more: when.
    again: BTreeMap<IpAddr, Duration>,
    versions: [Version; 2],
    refused: u64,
}

impl Domain {
    pub fn new(now: Duration, listener: Listener) -> Domain {
        let mut domain = Domain {
            listener: Listener { querier: None, ..listener.clone() },
            roles: BTreeMap::new(),
            ends: BTreeSet::new(),
            again: BTreeMap::new(),
            versions: Default::default(),
            refused: 0,
        };
        domain.set(now, listener);
        domain
    }

    /// Whether this is its table.
    pub fn has(&self, table: &Arc<MulticastTable>) -> bool {
        Arc::ptr_eq(&self.listener.table, table)
    }

    pub fn is_member(&self, port: u16) -> bool {
        self.listener.members.contains(&port)
    }

    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The same domain from now on.
    pub fn set(&mut self, now: Duration, listener: Listener) {
        let left: Vec<(Role, u16)> =
            self.roles.keys().filter(|(_, port)| !listener.members.contains(port)).copied().collect();
        for (role, port) in left {
            self.end(role, port);
        }
        let was_querier = self.listener.querier.is_some();
        self.listener = listener;
        if self.listener.querier.is_some() != was_querier {
            for version in &mut self.versions {
                (version.ask_at, version.first) = (None, 0);
                if !was_querier {
                    (version.ask_at, version.first) = (version.heard_until.or(Some(now)), ROBUSTNESS);
                }
            }
        }
        self.settle(now);
    }

    /// A question came in by a port.
    pub fn query(&mut self, now: Duration, port: u16, query: &Query, source: IpAddr) {
        let is_ipv6 = source.is_ipv6();
        let within = query.within.min(LONGEST);
        if let Some(group) = query.group {
            // Who does not answer the question, nor its repetition, is out.
            let last = now + within.max(LAST) * ROBUSTNESS;
            if query.is_last && group.is_ipv6() == is_ipv6 {
                self.shorten(group, last);
            }
            return;
        }
        self.settle(now);
        let version = &mut self.versions[usize::from(is_ipv6)];
        let rounds = query.holds.min(HOLDS);
        let holds = rounds + within;
        version.holds = holds;
        let until = now + QUERIER.max(rounds + within / 2);
        version.heard_until = Some(until);
        version.known_from.get_or_insert(now + within.max(LAST));
        // It asks in this domain's place.
        version.ask_at = version.ask_at.map(|_| until);
        self.begin(Role::Router { is_ipv6 }, port, now + MEMBER.max(holds));
        self.settle(now);
    }

    /// A host said something of a group. What the domain asks about that.
    pub fn report(
        &mut self,
        now: Duration,
        number: u16,
        port: u16,
        group: IpAddr,
        say: Say,
    ) -> Option<Question> {
        if is_link_group(group) {
            return None;
        }
        if say != Say::Leave {
            self.join(now, port, group);
            return None;
        }
        let mac = self.listener.querier?;
        let version = &self.versions[usize::from(group.is_ipv6())];
        let is_known = self.roles.contains_key(&(Role::Member(group), port));
        if version.heard_until.is_some() || !is_known || self.again.contains_key(&group) {
            return None;
        }
        self.shorten(group, now + LAST * ROBUSTNESS);
        self.again.insert(group, now + LAST);
        Question::new(number, mac, group.is_ipv6(), Some(group))
    }

    fn join(&mut self, now: Duration, port: u16, group: IpAddr) {
        let version = &mut self.versions[usize::from(group.is_ipv6())];
        let until = now + MEMBER.max(version.holds);
        if self.listener.table.join(group, port).is_ok() {
            return self.begin(Role::Member(group), port, until);
        }
        self.refused += 1;
        version.crowded_until = Some(until);
        self.settle(now);
    }

    /// All members of a group are in it no longer than until then.
    fn shorten(&mut self, group: IpAddr, until: Duration) {
        let role = Role::Member(group);
        let members: Vec<u16> =
            self.roles.range((role, 0)..=(role, u16::MAX)).map(|((_, port), _)| *port).collect();
        for port in members {
            if self.roles.get(&(role, port)).is_some_and(|end| *end > until) {
                self.begin(role, port, until);
            }
        }
    }

    fn begin(&mut self, role: Role, port: u16, until: Duration) {
        if let Some(before) = self.roles.insert((role, port), until) {
            self.ends.remove(&(before, role, port));
        }
        self.ends.insert((until, role, port));
        if let Role::Router { is_ipv6 } = role {
            self.listener.table.set_router(is_ipv6, port, true);
        }
    }

    fn end(&mut self, role: Role, port: u16) {
        if let Some(until) = self.roles.remove(&(role, port)) {
            self.ends.remove(&(until, role, port));
        }
        match role {
            Role::Member(group) => self.listener.table.leave(group, port),
            Role::Router { is_ipv6 } => self.listener.table.set_router(is_ipv6, port, false),
        }
    }

    /// Tells workers how to forward by now.
    fn settle(&mut self, now: Duration) {
        for (version, is_ipv6) in self.versions.iter_mut().zip([false, true]) {
            let has_passed = |time: Option<Duration>| time.is_some_and(|time| time <= now);
            let is_asked =
                self.listener.querier.is_some() || version.heard_until.is_some_and(|until| until > now);
            // Who asks next begins anew: some members may be out before they have answered that one.
            if has_passed(version.heard_until) || !is_asked {
                (version.heard_until, version.known_from) = (None, None);
                version.holds = Duration::ZERO;
            }
            version.crowded_until = version.crowded_until.filter(|until| *until > now);
            let mode = MulticastMode {
                is_asked,
                is_known: has_passed(version.known_from),
                is_crowded: version.crowded_until.is_some(),
            };
            if mode != version.mode {
                version.mode = mode;
                self.listener.table.set_mode(is_ipv6, mode);
            }
        }
    }

    pub fn poll(&mut self, now: Duration, number: u16, out: &mut Vec<Question>) {
        while let Some(&(until, role, port)) = self.ends.first()
            && until <= now
        {
            self.end(role, port);
        }
        self.settle(now);
        if let Some(mac) = self.listener.querier {
            for (version, is_ipv6) in self.versions.iter_mut().zip([false, true]) {
                if version.ask_at.is_some_and(|at| at <= now) {
                    out.extend(Question::new(number, mac, is_ipv6, None));
                    version.first = version.first.saturating_sub(1);
                    version.ask_at = Some(now + if version.first > 0 { STARTUP } else { INTERVAL });
                    version.known_from.get_or_insert(now + RESPONSE);
                }
            }
            let due: Vec<IpAddr> =
                self.again.iter().filter(|(_, at)| **at <= now).map(|(group, _)| *group).collect();
            for group in due {
                self.again.remove(&group);
                out.extend(Question::new(number, mac, group.is_ipv6(), Some(group)));
            }
        } else {
            self.again.clear();
        }
    }

    pub fn next_deadline(&self) -> Option<Duration> {
        let mut times: Vec<Duration> = self.again.values().copied().collect();
        times.extend(self.ends.first().map(|(end, ..)| *end));
        for version in &self.versions {
            let known_from = version.known_from.filter(|_| !version.mode.is_known);
            times.extend(
                [version.heard_until, known_from, version.crowded_until, version.ask_at]
                    .into_iter()
                    .flatten(),
            );
        }
        times.into_iter().min()
    }

    pub fn view(&self, now: Duration) -> Vec<(Role, u16, Duration)> {
        let view = |(&(role, port), end): (&(Role, u16), &Duration)| (role, port, end.saturating_sub(now));
        self.roles.iter().map(view).collect()
    }
}
