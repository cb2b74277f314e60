//! A policy, compiled: which of its rules decides about a packet.

use std::sync::Arc;

use paceline_tables::{Acl, AclAddress, AclError, AclFields, AclRule, Tuple, acl_word};
use paceline_wire::vlan;

use super::config::{PolicySpec, Verdict};
use super::counts::Counts;
use super::groups::Groups;
use super::rule::{Facts, Rule, RuleCounters, entries, fault, is_for_others};

/// Most rules of a policy.
pub const MAX_RULES: usize = 1 << 18;

/// Rules as workers see them. Shared by all interfaces that have the same policy, and never changed.
pub struct Policy {
    /// Its name.
    pub name: Arc<str>,
    /// Whether flows are remembered.
    pub stateful: bool,
    /// Whether it asks who the peer is.
    pub uses_groups: bool,
    v4: Acl<2>,
    v6: Acl<5>,
    /// All rules in their order, with the ends of tiers among them, and the end of the policy last.
    rules: Box<[Rule]>,
    /// Which of them do no more than permit.
    plain: Box<[bool]>,
    /// Rules that frames meet which are not IP.
    others: Box<[u32]>,
    /// What each worker counts of each rule.
    counters: Box<[Box<[RuleCounters]>]>,
    /// What policies before this one had counted of each rule.
    before: Box<[(u64, u64)]>,
}

/// Why a policy cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A rule makes no sense.
    #[error("policy {policy}: rule {rule} of tier {tier} {fault}")]
    Rule {
        /// Name of the policy.
        policy: String,
        /// Name of the tier.
        tier: String,
        /// Name of the rule.
        rule: String,
        /// What is wrong, as the end of a sentence.
        fault: String,
    },
    /// Behind the last tier there is nothing that a packet could be left to.
    #[error("policy {0}: its default is to be permit, deny or reject, not pass")]
    Default(String),
    /// More rules than a policy may have.
    #[error("policy {policy} has {rules} rules: there may be {MAX_RULES}")]
    Rules {
        /// Name of the policy.
        policy: String,
        /// How many it has.
        rules: usize,
    },
    /// More entries than a classifier takes.
    #[error("policy {policy} has {error}")]
    Entries {
        /// Name of the policy.
        policy: String,
        /// What the classifier says.
        error: AclError,
    },
}

/// A version of IP, as policies see it.
pub trait PolicyAddress: AclAddress {
    /// The lowest rule from `from` on that matches.
    fn find(policy: &Policy, flow: &Tuple<Self>, identity: u32, from: u32, facts: impl Fn() -> Facts) -> u32;

    /// The identity of an address.
    fn identity(groups: &Groups, address: Self) -> u32;
}

impl PolicyAddress for u32 {
    #[inline(always)]
    fn find(policy: &Policy, flow: &Tuple<u32>, identity: u32, from: u32, facts: impl Fn() -> Facts) -> u32 {
        let key = u32::key(flow.source, flow.destination, acl_word(flow.ports, identity, flow.protocol));
        policy.v4.find(&key, from, |number| policy.looks(number, &facts))
    }

    #[inline(always)]
    fn identity(groups: &Groups, address: u32) -> u32 {
        groups.v4.lookup(address)
    }
}

impl PolicyAddress for u128 {
    #[inline(always)]
    fn find(policy: &Policy, flow: &Tuple<u128>, identity: u32, from: u32, facts: impl Fn() -> Facts) -> u32 {
        let key = u128::key(flow.source, flow.destination, acl_word(flow.ports, identity, flow.protocol));
        policy.v6.find(&key, from, |number| policy.looks(number, &facts))
    }

    fn identity(groups: &Groups, address: u128) -> u32 {
        let mut found = [0];
        groups.v6.lookup_batch(&[address], &mut found);
        found[0]
    }
}

impl Policy {
    /// Compiles a policy for a number of workers. Nothing is counted yet.
    ///
    /// # Errors
    /// A rule that makes no sense, or too many of them.
    pub fn new(spec: &PolicySpec, workers: usize) -> Result<Policy, PolicyError> {
        let policy = || spec.name.clone();
        if spec.default == Verdict::Pass {
            return Err(PolicyError::Default(policy()));
        }
        let count: usize = spec.tiers.iter().map(|tier| tier.rules.len() + 1).sum::<usize>() + 1;
        if count > MAX_RULES {
            return Err(PolicyError::Rules { policy: policy(), rules: count });
        }
        let (mut rules, mut others) = (Vec::with_capacity(count), Vec::new());
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let mut uses_groups = false;
        for tier in &spec.tiers {
            let name: Arc<str> = tier.name.as_str().into();
            let next = (rules.len() + tier.rules.len() + 1) as u32;
            for rule in &tier.rules {
                if let Some(fault) = fault(rule) {
                    let (tier, rule) = (tier.name.clone(), rule.name.clone());
                    return Err(PolicyError::Rule { policy: policy(), tier, rule, fault });
                }
                let number = rules.len() as u32;
                entries::<2, u32>(number, &rule.matches, &mut v4);
                entries::<5, u128>(number, &rule.matches, &mut v6);
                if is_for_others(&rule.matches) {
                    others.push(number);
                }
                uses_groups |= rule.matches.peer.is_some();
                rules.push(Rule::new(&name, rule, next));
            }
            // A tier that leaves packets to the next one has no end of its own in the classifier.
            if tier.default != Verdict::Pass {
                v4.push(AclRule::new(rules.len() as u32, false, &AclFields::<u32>::default()));
                v6.push(AclRule::new(rules.len() as u32, false, &AclFields::<u128>::default()));
            }
            rules.push(Rule::end(&name, tier.default, next));
        }
        let end = rules.len() as u32;
        v4.push(AclRule::new(end, false, &AclFields::<u32>::default()));
        v6.push(AclRule::new(end, false, &AclFields::<u128>::default()));
        rules.push(Rule::end(&"".into(), spec.default, end));
        let too_many = |error| PolicyError::Entries { policy: policy(), error };
        let counters = || rules.iter().map(|_| RuleCounters::default()).collect();
        Ok(Policy {
            name: spec.name.as_str().into(),
            stateful: spec.stateful,
            uses_groups,
            v4: Acl::new(&v4).map_err(too_many)?,
            v6: Acl::new(&v6).map_err(too_many)?,
            plain: rules.iter().map(Rule::is_plain).collect(),
            others: others.into(),
            counters: (0..workers).map(|_| counters()).collect(),
            before: Box::default(),
            rules: rules.into(),
        })
    }

    /// Counts go on from what a policy that is no more had counted, for rules of the same tier and name. To be called for each of those
    /// that it is in place of.
    pub fn go_on(&mut self, from: &mut Counts) {
        let add = |(number, rule): (usize, &Rule)| {
            let (own, more) = (self.before.get(number).copied().unwrap_or_default(), from.take(rule));
            (own.0 + more.0, own.1 + more.1)
        };
        self.before = self.rules.iter().enumerate().map(add).collect();
    }

    fn looks(&self, number: u32, facts: impl Fn() -> Facts) -> bool {
        self.rules.get(number as usize).is_some_and(|rule| rule.more.is(&facts()))
    }

    /// Whether a rule does no more than permit.
    #[inline(always)]
    pub fn is_plain(&self, number: u32) -> bool {
        self.plain.get(number as usize).copied().unwrap_or(false)
    }

    /// What a worker counts of each rule.
    #[inline(always)]
    pub fn counters(&self, worker: usize) -> &[RuleCounters] {
        self.counters.get(worker).map_or(&[], |counters| counters)
    }

    /// Counts a packet under a rule.
    fn count(&self, worker: usize, number: u32, bytes: usize) {
        if let Some(counters) = self.counters(worker).get(number as usize) {
            counters.packets.add(1);
            counters.bytes.add(bytes as u64);
        }
    }

    /// The rule that decides, of those that `find` finds from a number on. With the bytes of a packet, that is counted, also under
    /// rules that leave it to the next tier.
    pub fn decide(
        &self,
        worker: usize,
        bytes: Option<usize>,
        find: impl Fn(u32) -> u32,
    ) -> Option<(u32, &Rule)> {
        let mut from = 0;
        loop {
            let number = find(from);
            let rule = self.rules.get(number as usize)?;
            if let Some(bytes) = bytes {
                self.count(worker, number, bytes);
            }
            if rule.verdict != Verdict::Pass || rule.next <= number {
                return Some((number, rule));
            }
            from = rule.next;
        }
    }

    /// The lowest rule from `from` on for a frame that is not IP. What is behind the tag of a VLAN is not seen, and so is for the
    /// policy's default if no rule is for it.
    pub fn find_other(&self, from: u32, facts: &Facts) -> u32 {
        let is = |number: &&u32| {
            **number >= from && self.rules.get(**number as usize).is_some_and(|rule| rule.more.is(facts))
        };
        let end = self.rules.len().saturating_sub(1) as u32;
        let otherwise = if vlan::is_tpid(facts.ethertype) { end } else { u32::MAX };
        self.others.iter().find(is).copied().unwrap_or(otherwise)
    }

    /// All rules in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Packets and bytes that a rule decided about.
    pub fn counts(&self, number: usize) -> (u64, u64) {
        let of_workers = self.counters.iter().filter_map(|all| all.get(number));
        let sum = of_workers.map(|c| (c.packets.get(), c.bytes.get()));
        let before = self.before.get(number).copied().unwrap_or_default();
        sum.fold(before, |all, one| (all.0 + one.0, all.1 + one.1))
    }

    /// Bytes of memory for looking up.
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes()
    }

    /// Hash tables that a lookup may have to ask: of IPv4, of IPv6.
    pub fn tables(&self) -> (usize, usize) {
        (self.v4.tables(), self.v6.tables())
    }
}
