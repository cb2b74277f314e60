//! From policies and labels to the rules of each port.
//!
//! Addresses that no rule can tell from each other have one **identity**, a number: those of endpoints that the same selectors
//! select and the same prefixes hold. A rule names the identities of the other end, so that its size does not grow with the
//! number of endpoints. Endpoints that the same policies select share one list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use super::{Action, Direction, Labels, Parties, Party, Peer, Policy, PolicySet, Rule, Selector};
use crate::PortName;
use crate::filter::{ListRule, RuleList, RuleTier, Verdict};

/// What policies come to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Compiled {
    /// Identities of addresses, by the longest prefix. Others have 0.
    pub identities: Arc<BTreeMap<IpNet, u32>>,
    /// The lists of each port that is selected, for what its endpoint receives and sends.
    pub ports: BTreeMap<PortName, Lists>,
}

/// The lists of one port.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lists {
    /// For what its endpoint receives.
    pub ingress: Option<Arc<RuleList>>,
    /// For what it sends.
    pub egress: Option<Arc<RuleList>>,
}

/// The rules of all endpoints.
pub fn compile(set: &PolicySet, parties: &Parties) -> Compiled {
    let identities = Identities::new(set, parties);
    let (mut ports, mut made) = (BTreeMap::new(), BTreeMap::new());
    for (labels, alike) in by_labels(parties) {
        let mut list = |direction| {
            let selected = selected(set, labels, direction);
            let key: Vec<_> =
                selected.iter().flat_map(|(_, policies)| policies).map(|policy| &policy.name).collect();
            if key.is_empty() {
                return None;
            }
            let list = made.entry((direction, key));
            Some(Arc::clone(
                list.or_insert_with(|| Arc::new(self::list(&selected, direction, set, &identities))),
            ))
        };
        let lists = Lists { ingress: list(Direction::Ingress), egress: list(Direction::Egress) };
        if lists != Lists::default() {
            ports.extend(alike.iter().map(|party| (party.port.clone(), lists.clone())));
        }
    }
    // Without anybody who asks, nobody needs one.
    let identities = if ports.is_empty() { BTreeMap::new() } else { identities.of };
    Compiled { identities: Arc::new(identities), ports }
}

/// Endpoints by their labels, which those of one service share: selectors are asked once for all of them.
fn by_labels(parties: &Parties) -> BTreeMap<&Labels, Vec<&Party>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for party in &parties.0 {
        all.entry(&party.labels).or_default().push(party);
    }
    all
}

/// Tiers in which a policy selects who has these labels, each with those policies.
pub(super) fn selected<'s>(
    set: &'s PolicySet,
    labels: &Labels,
    direction: Direction,
) -> Vec<(&'s str, Vec<&'s Policy>)> {
    let selects = |policy: &&Policy| policy.rules(direction).is_some() && policy.selector.selects(labels);
    let tiers =
        set.tiers.iter().map(|tier| (tier.name.as_str(), tier.policies.iter().filter(selects).collect()));
    tiers.filter(|(_, policies): &(_, Vec<_>)| !policies.is_empty()).collect()
}

fn list(
    selected: &[(&str, Vec<&Policy>)],
    direction: Direction,
    set: &PolicySet,
    identities: &Identities<'_>,
) -> RuleList {
    let names = selected.iter().flat_map(|(_, policies)| policies).map(|policy| policy.name.as_str());
    let tier = |(name, policies): &(&str, Vec<&Policy>)| RuleTier {
        name: (*name).to_owned(),
        rules: rules(policies, direction, set, identities),
        default: Verdict::Deny,
    };
    RuleList {
        name: format!("{direction}: {}", names.collect::<Vec<_>>().join(",")),
        tiers: selected.iter().map(tier).collect(),
        // All of them passed.
        default: Verdict::Deny,
        stateful: true,
    }
}

/// The rules of one tier. Those that only log are gone: each rule after one of them stands twice, first for what both are about.
fn rules(
    policies: &[&Policy],
    direction: Direction,
    set: &PolicySet,
    identities: &Identities<'_>,
) -> Vec<ListRule> {
    let (mut rules, mut logs) = (Vec::new(), Vec::<ListRule>::new());
    for policy in policies {
        for (index, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
            let verdict = match rule.action {
                Action::Allow | Action::Audit => Verdict::Permit,
                Action::Reject => Verdict::Reject,
                Action::Pass => Verdict::Pass,
                Action::Deny | Action::Log => Verdict::Deny,
            };
            let own = ListRule {
                name: policy.rule_name(direction, index),
                verdict,
                peers: identities.peers(rule, direction, set).map(Arc::new),
                traffic: rule.traffic(),
                log: rule.log || matches!(rule.action, Action::Audit | Action::Log),
                ..ListRule::default()
            };
            // About nobody who is there.
            if own.peers.as_ref().is_some_and(|peers| peers.is_empty()) {
                continue;
            }
            if rule.action == Action::Log {
                logs.push(own);
                continue;
            }
            rules.extend(logs.iter().filter_map(|log| both(log, &own)));
            rules.push(own);
        }
    }
    // What is logged and then held by no rule is denied with the tier.
    rules.extend(logs);
    rules
}

/// `own`, for what a logging rule is about too.
fn both(log: &ListRule, own: &ListRule) -> Option<ListRule> {
    let peers = match (&log.peers, &own.peers) {
        (Some(a), Some(b)) => Some(Arc::new(a.intersection(b).copied().collect::<BTreeSet<_>>())),
        (one, None) | (None, one) => one.clone(),
    };
    if peers.as_ref().is_some_and(|peers| peers.is_empty()) {
        return None;
    }
    Some(ListRule { peers, traffic: log.traffic.meet(&own.traffic)?, log: true, ..own.clone() })
}

/// What all rules together can tell of an address: which selectors select its endpoint, and which prefixes hold it.
type Class<'s> = (BTreeSet<&'s Selector>, BTreeSet<IpNet>);

struct Identities<'s> {
    of: BTreeMap<IpNet, u32>,
    numbers: BTreeMap<Class<'s>, u32>,
}

impl<'s> Identities<'s> {
    fn new(set: &'s PolicySet, parties: &Parties) -> Self {
        let (mut nets, mut selectors) = (BTreeSet::new(), BTreeSet::new());
        for peer in peers(set) {
            match peer {
                Peer::Selector(selector) => drop(selectors.insert(selector)),
                other => nets.extend(set.prefixes(other).iter().copied()),
            }
        }
        let lengths: BTreeSet<_> = nets.iter().map(|net| (net.addr().is_ipv4(), net.prefix_len())).collect();
        let around = |net: IpNet| -> BTreeSet<IpNet> {
            let own = lengths
                .iter()
                .filter(|(ipv4, length)| *ipv4 == net.addr().is_ipv4() && *length <= net.prefix_len());
            let wider = own.filter_map(|(_, length)| Some(IpNet::new(net.addr(), *length).ok()?.trunc()));
            wider.filter(|wider| nets.contains(wider)).collect()
        };
        let mut identities = Self { of: BTreeMap::new(), numbers: BTreeMap::new() };
        for net in &nets {
            identities.add(*net, (BTreeSet::new(), around(*net)));
        }
        for (labels, alike) in by_labels(parties) {
            let own: BTreeSet<_> =
                selectors.iter().copied().filter(|selector| selector.selects(labels)).collect();
            for address in alike.iter().flat_map(|party| &party.addresses) {
                let net = IpNet::from(*address);
                identities.add(net, (own.clone(), around(net)));
            }
        }
        identities
    }

    fn add(&mut self, net: IpNet, class: Class<'s>) {
        if class.0.is_empty() && class.1.is_empty() {
            return;
        }
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX).saturating_add(1);
        let number = *self.numbers.entry(class).or_insert(next);
        self.of.insert(net, number);
    }

    /// Identities that a rule is about; none: all.
    fn peers(&self, rule: &Rule, direction: Direction, set: &PolicySet) -> Option<BTreeSet<u32>> {
        let peers = rule.peers(direction);
        if peers.is_empty() {
            return None;
        }
        let is = |peer: &Peer, (selectors, nets): &Class<'_>| match peer {
            Peer::Selector(selector) => selectors.contains(selector),
            other => set.prefixes(other).iter().any(|net| nets.contains(net)),
        };
        let of = self.numbers.iter().filter(|(class, _)| peers.iter().any(|peer| is(peer, class)));
        Some(of.map(|(_, number)| *number).collect())
    }
}

/// Everybody whom a rule names.
fn peers(set: &PolicySet) -> impl Iterator<Item = &Peer> {
    set.policies().flat_map(|(_, policy)| {
        Direction::ALL.into_iter().flat_map(move |direction| {
            policy.rules(direction).unwrap_or_default().iter().flat_map(move |rule| rule.peers(direction))
        })
    })
}
