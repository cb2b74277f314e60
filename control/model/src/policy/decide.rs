//! What becomes of one packet, and why: from the policies themselves, one after the other.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use super::{Action, Direction, Labels, Parties, Peer, Policy, PolicySet, Probe, Rule};
use crate::{PolicyName, TierName};

/// One end of a packet's way.
#[derive(Debug, Clone, Copy)]
pub struct End<'m> {
    /// Its address.
    pub address: IpAddr,
    /// The labels of its endpoint; none: it is no endpoint.
    pub labels: Option<&'m Labels>,
}

/// What becomes of a packet at both ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Where it is sent; none: no policy selects the sender.
    pub egress: Option<Decided>,
    /// Where it is received; none: no policy selects the receiver.
    pub ingress: Option<Decided>,
}

impl Decision {
    /// Whether it arrives.
    pub fn allowed(&self) -> bool {
        [&self.egress, &self.ingress].into_iter().flatten().all(|decided| decided.action.lets_through())
    }
}

/// What decides about a packet at one end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// What becomes of it: `allow`, `audit`, `deny` or `reject`.
    pub action: Action,
    /// Rules before that only log it.
    pub logged: Vec<String>,
    /// Who says so.
    pub by: By,
}

/// Who decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// A rule.
    Rule {
        /// Its tier.
        tier: TierName,
        /// Its policy.
        policy: PolicyName,
        /// What it is called.
        name: String,
        /// The rule in words.
        rule: String,
    },
    /// The end of a tier in which no rule holds.
    Tier(TierName),
    /// The end of all tiers: each one passed.
    End,
}

/// Prefixes and endpoints within `net` that rules may tell from the rest of it.
pub fn parts(set: &PolicySet, parties: &Parties, net: IpNet) -> Vec<IpNet> {
    let rules = |policy: &'_ Policy| {
        let rules =
            Direction::ALL.map(|direction| (direction, policy.rules(direction).unwrap_or_default().to_vec()));
        rules.into_iter().flat_map(|(direction, rules)| {
            rules.into_iter().flat_map(move |rule| rule.peers(direction).to_vec())
        })
    };
    let peers = set.policies().flat_map(|(_, policy)| rules(policy));
    let named = peers.flat_map(|peer| set.prefixes(&peer).to_vec());
    let own = parties.0.iter().flat_map(|party| party.addresses.iter().map(|address| IpNet::from(*address)));
    let mut parts: Vec<_> = named.chain(own).filter(|part| *part != net && net.contains(part)).collect();
    parts.sort();
    parts.dedup();
    parts
}

/// What becomes of a packet.
pub fn decide(set: &PolicySet, from: End<'_>, to: End<'_>, probe: Probe) -> Decision {
    Decision {
        egress: from.labels.and_then(|labels| at(set, Direction::Egress, labels, to, probe)),
        ingress: to.labels.and_then(|labels| at(set, Direction::Ingress, labels, from, probe)),
    }
}

fn at(set: &PolicySet, direction: Direction, own: &Labels, other: End<'_>, probe: Probe) -> Option<Decided> {
    let (mut logged, mut any) = (Vec::new(), false);
    for tier in &set.tiers {
        let mut selected = false;
        let mut passed = false;
        'tier: for policy in &tier.policies {
            let Some(rules) = policy.rules(direction).filter(|_| policy.selector.selects(own)) else {
                continue;
            };
            selected = true;
            for (index, rule) in rules.iter().enumerate() {
                if !holds(set, rule, direction, other, probe) {
                    continue;
                }
                match rule.action {
                    Action::Log => logged.push(policy.rule_name(direction, index)),
                    Action::Pass => {
                        passed = true;
                        break 'tier;
                    }
                    action => {
                        let by = by(&tier.name, policy, direction, index, rule);
                        return Some(Decided { action, logged, by });
                    }
                }
            }
        }
        if selected && !passed {
            return Some(Decided { action: Action::Deny, logged, by: By::Tier(tier.name.clone()) });
        }
        any |= selected;
    }
    any.then_some(Decided { action: Action::Deny, logged, by: By::End })
}

fn by(tier: &TierName, policy: &Policy, direction: Direction, index: usize, rule: &Rule) -> By {
    By::Rule {
        tier: tier.clone(),
        policy: policy.name.clone(),
        name: policy.rule_name(direction, index),
        rule: rule.to_string(),
    }
}

fn holds(set: &PolicySet, rule: &Rule, direction: Direction, other: End<'_>, probe: Probe) -> bool {
    let is = |peer: &Peer| match peer {
        Peer::Selector(selector) => other.labels.is_some_and(|labels| selector.selects(labels)),
        prefixes => set.prefixes(prefixes).iter().any(|net| net.contains(&other.address)),
    };
    let peers = rule.peers(direction);
    (peers.is_empty() || peers.iter().any(is)) && rule.traffic().holds(probe)
}
