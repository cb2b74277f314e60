//! What a new set of policies changes, and what in it is probably not meant.

use std::collections::BTreeSet;
use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Direction, Labels, Parties, Party, Peer, Policy, PolicySet, Rule, Selector, compile};
use crate::PortName;

/// One line of a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What happens to it.
    pub kind: Kind,
    /// What it is, in words.
    pub what: String,
}

/// What happens to a part of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It is new.
    Added,
    /// It is there as before, but for what the next lines say.
    Changed,
    /// It is gone.
    Removed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            Kind::Added => '+',
            Kind::Changed => '~',
            Kind::Removed => '-',
        };
        write!(f, "{sign} {}", self.what)
    }
}

/// What has to happen to `before` to become `after`, in the order of that; what is gone comes last.
pub fn difference(before: &PolicySet, after: &PolicySet) -> Vec<Change> {
    let mut changes = Changes(Vec::new());
    let tiers = |set: &PolicySet| set.tiers.iter().map(|tier| tier.name.to_string()).collect::<Vec<_>>();
    if tiers(before) != tiers(after) && !before.tiers.is_empty() && !after.tiers.is_empty() {
        changes.add(Kind::Changed, format!("tiers: {}", tiers(after).join(", ")));
    }
    for (name, prefixes) in &after.groups {
        match before.groups.get(name) {
            Some(old) if old == prefixes => {}
            Some(_) => changes.add(Kind::Changed, format!("group {name}: {}", list(prefixes))),
            None => changes.add(Kind::Added, format!("group {name}: {}", list(prefixes))),
        }
    }
    let places = |set: &PolicySet| -> Vec<(String, Policy)> {
        set.policies().map(|(tier, policy)| (tier.to_string(), policy.clone())).collect()
    };
    let (old, new) = (places(before), places(after));
    let find = |places: &[(String, Policy)], name: &str| {
        places.iter().find(|(_, one)| one.name.as_str() == name).cloned()
    };
    for (tier, policy) in &new {
        match find(&old, policy.name.as_str()) {
            None => changes.policy(Kind::Added, tier, policy),
            Some((was, own)) if was == *tier && own == *policy => {}
            Some((was, own)) => changes.between(&was, &own, tier, policy),
        }
    }
    let order = |places: &[(String, Policy)], others: &[(String, Policy)]| -> Vec<String> {
        let both = places
            .iter()
            .filter(|(tier, one)| find(others, one.name.as_str()).is_some_and(|(was, _)| was == *tier));
        both.map(|(_, policy)| policy.name.to_string()).collect()
    };
    if order(&new, &old) != order(&old, &new) {
        changes.add(Kind::Changed, format!("order: {}", order(&new, &old).join(", ")));
    }
    for (tier, policy) in old.iter().filter(|(_, policy)| find(&new, policy.name.as_str()).is_none()) {
        changes.policy(Kind::Removed, tier, policy);
    }
    for (name, prefixes) in before.groups.iter().filter(|(name, _)| !after.groups.contains_key(*name)) {
        changes.add(Kind::Removed, format!("group {name}: {}", list(prefixes)));
    }
    changes.0
}

fn list(prefixes: &[IpNet]) -> String {
    prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

struct Changes(Vec<Change>);

impl Changes {
    fn add(&mut self, kind: Kind, what: String) {
        self.0.push(Change { kind, what });
    }

    /// All of a policy that comes or goes.
    fn policy(&mut self, kind: Kind, tier: &str, policy: &Policy) {
        self.add(kind, format!("policy {} in tier {tier}, for {}", policy.name, policy.selector));
        for direction in Direction::ALL {
            let Some(rules) = policy.rules(direction) else { continue };
            if rules.is_empty() {
                self.add(kind, format!("  {direction}: nothing is allowed"));
            }
            for (index, rule) in rules.iter().enumerate() {
                self.add(kind, format!("  {}: {rule}", policy.rule_name(direction, index)));
            }
        }
    }

    fn between(&mut self, was: &str, old: &Policy, tier: &str, new: &Policy) {
        self.add(Kind::Changed, format!("policy {} in tier {tier}, for {}", new.name, new.selector));
        if was != tier {
            self.add(Kind::Removed, format!("  tier: {was}"));
        }
        if old.selector != new.selector {
            self.add(Kind::Removed, format!("  selector: {}", old.selector));
        }
        for direction in Direction::ALL {
            let (before, after) = (old.rules(direction), new.rules(direction));
            match (before, after) {
                (Some(_), None) => {
                    self.add(Kind::Removed, format!("  {direction}: says nothing of it any more"));
                }
                (None, Some([])) => self.add(Kind::Added, format!("  {direction}: nothing is allowed")),
                _ => {}
            }
            let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
            // A rule that only moved is said to go and to come.
            let alike = before.iter().zip(after).take_while(|(a, b)| a == b).count();
            let tail = before[alike..]
                .iter()
                .rev()
                .zip(after[alike..].iter().rev())
                .take_while(|(a, b)| a == b)
                .count();
            for (index, rule) in before.iter().enumerate().take(before.len() - tail).skip(alike) {
                self.add(Kind::Removed, format!("  {}: {rule}", old.rule_name(direction, index)));
            }
            for (index, rule) in after.iter().enumerate().take(after.len() - tail).skip(alike) {
                self.add(Kind::Added, format!("  {}: {rule}", new.rule_name(direction, index)));
            }
        }
    }
}

/// Ports of endpoints for which something changes: other rules, or other prefixes in groups that their rules name.
pub fn affected(before: &PolicySet, after: &PolicySet, parties: &Parties) -> Vec<PortName> {
    let differs = |party: &&Party| says(before, &party.labels) != says(after, &party.labels);
    parties.0.iter().filter(differs).map(|party| party.port.clone()).collect()
}

/// All that a set says of who has these labels.
fn says(set: &PolicySet, labels: &Labels) -> Vec<(Direction, String, Vec<Rule>, Vec<IpNet>)> {
    let mut all = Vec::new();
    for direction in Direction::ALL {
        for (tier, policies) in compile::selected(set, labels, direction) {
            let rules: Vec<Rule> = policies
                .iter()
                .flat_map(|policy| policy.rules(direction).unwrap_or_default())
                .cloned()
                .collect();
            let peers = rules.iter().flat_map(|rule| rule.peers(direction));
            let groups = peers.filter(|peer| matches!(peer, Peer::Group(_)));
            let nets = groups.flat_map(|group| set.prefixes(group).iter().copied()).collect();
            all.push((direction, tier.to_owned(), rules, nets));
        }
    }
    all
}

/// What is probably not meant: selectors with labels that nobody has, and rules that are never reached.
pub fn warnings(set: &PolicySet, parties: &Parties) -> Vec<String> {
    let keys: BTreeSet<&str> =
        parties.0.iter().flat_map(|party| party.labels.iter()).map(|(key, _)| key).collect();
    let mut warnings = Vec::new();
    let mut check = |whose: String, selector: &Selector| {
        for key in selector.keys().into_iter().filter(|key| !keys.contains(key.as_str())) {
            warnings.push(format!("{whose}: no endpoint has a label {:?}", key.as_str()));
        }
        if parties.0.iter().all(|party| !selector.selects(&party.labels)) {
            warnings.push(format!("{whose}: {selector} selects no endpoint"));
        }
    };
    for (_, policy) in set.policies() {
        check(format!("policy {}", policy.name), &policy.selector);
        for direction in Direction::ALL {
            for (index, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
                for peer in rule.peers(direction) {
                    if let Peer::Selector(selector) = peer {
                        check(format!("rule {}", policy.rule_name(direction, index)), selector);
                    }
                }
            }
        }
    }
    warnings.extend(set.policies().flat_map(|(_, policy)| shadowed(set, policy)));
    warnings
}

/// Rules of a policy that an earlier one of it always goes before.
fn shadowed(set: &PolicySet, policy: &Policy) -> Vec<String> {
    let mut found = Vec::new();
    for direction in Direction::ALL {
        let rules = policy.rules(direction).unwrap_or_default();
        for (index, rule) in rules.iter().enumerate() {
            let covers = |earlier: &Rule| {
                earlier.action != super::Action::Log
                    && earlier.traffic().covers(&rule.traffic())
                    && covers(set, earlier.peers(direction), rule.peers(direction))
            };
            let Some(first) = rules[..index].iter().position(covers) else { continue };
            let (own, earlier) = (policy.rule_name(direction, index), policy.rule_name(direction, first));
            let action = rules[first].action;
            let other = if action == rule.action { "" } else { ", with another action" };
            found.push(format!(
                "rule {own} ({rule}) is never reached: {earlier} ({}) holds for all its packets{other}",
                rules[first]
            ));
        }
    }
    found
}

/// Whether everybody among `others` is among `own`, as far as names and prefixes tell.
fn covers(set: &PolicySet, own: &[Peer], others: &[Peer]) -> bool {
    let within =
        |net: &IpNet| own.iter().flat_map(|peer| set.prefixes(peer)).any(|wider| wider.contains(net));
    let is_in = |peer: &Peer| {
        let prefixes = set.prefixes(peer);
        own.contains(peer) || !prefixes.is_empty() && prefixes.iter().all(within)
    };
    own.is_empty() || !others.is_empty() && others.iter().all(is_in)
}
