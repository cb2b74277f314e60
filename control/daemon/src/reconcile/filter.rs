//! What interfaces let in and out, in the words of the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use paceline_model::policy::IcmpKind;
use paceline_model::{
    Desired, DesiredFilter, Guard, Interval, ListRule, PortName, Rate, RuleList, Storm, Verdict,
};
use paceline_worker::{
    FilterSpec, GuardSpec, MatchSpec, PolicerSpec, PolicySpec, RuleSpec, StormSpec, TierSpec,
    Verdict as Engine,
};

use super::topology::mac;

/// Name of the identities that policies go by.
const GROUPS: &str = "policies";

/// What came of lists in the last pass, by their name. Passes are many and changes few: a list of a hundred thousand rules is written
/// out once, and is told to be the same by its address.
#[derive(Default)]
pub struct Made(BTreeMap<String, Vec<Pair>>);

/// A list, and what came of it.
type Pair = (Arc<RuleList>, Arc<PolicySpec>);

impl Made {
    /// The same list, if it was there before.
    fn find(&self, list: &Arc<RuleList>) -> Option<Arc<PolicySpec>> {
        let same = self.0.get(&list.name)?;
        same.iter().find(|(own, _)| own == list).map(|(_, spec)| Arc::clone(spec))
    }

    fn add(&mut self, list: &Arc<RuleList>, spec: &Arc<PolicySpec>) {
        self.0.entry(list.name.clone()).or_default().push((Arc::clone(list), Arc::clone(spec)));
    }
}

/// All filters by interface. Interfaces that share a list share what comes of it.
pub fn filters(desired: &Desired, made: &mut Made) -> BTreeMap<String, FilterSpec> {
    let before = std::mem::take(made);
    let mut policy = |list: &Arc<RuleList>| {
        made.find(list).unwrap_or_else(|| {
            let spec = before.find(list).unwrap_or_else(|| Arc::new(self::policy(list)));
            made.add(list, &spec);
            spec
        })
    };
    let mut filter = |filter: &DesiredFilter| FilterSpec {
        input: filter.input.as_ref().map(&mut policy),
        output: filter.output.as_ref().map(&mut policy),
        groups: uses_identities(filter).then(|| GROUPS.into()),
        guard: filter.guard.as_ref().map(guard),
        police_input: filter.police_input.map(police),
        police_output: filter.police_output.map(police),
        storm: filter.storm.map(storm),
        dscp: filter.dscp,
        mirror: filter.mirror.as_ref().map(ToString::to_string),
    };
    desired.filters.iter().map(|(name, own)| (name.to_string(), filter(own))).collect()
}

/// Identities of addresses, by the name that filters use.
pub fn groups(desired: &Desired) -> BTreeMap<String, BTreeMap<IpNet, u32>> {
    let used = desired.filters.values().any(uses_identities);
    used.then(|| (GROUPS.into(), desired.identities.clone())).into_iter().collect()
}

fn uses_identities(filter: &DesiredFilter) -> bool {
    let lists = [&filter.input, &filter.output].into_iter().flatten();
    let mut rules = lists.flat_map(|list| &list.tiers).flat_map(|tier| &tier.rules);
    rules.any(|rule| rule.peers.is_some())
}

fn police(rate: Rate) -> PolicerSpec {
    PolicerSpec { rate: rate.bits, burst: rate.burst }
}

fn storm(Storm { broadcast, multicast, unknown_unicast }: Storm) -> StormSpec {
    StormSpec { broadcast, multicast, unknown: unknown_unicast }
}

fn guard(guard: &Guard) -> GuardSpec {
    GuardSpec {
        macs: guard.macs.iter().copied().map(mac).collect(),
        addresses: guard.addresses.clone(),
        router: guard.router,
    }
}

fn policy(list: &RuleList) -> PolicySpec {
    let tier = |tier: &paceline_model::RuleTier| TierSpec {
        name: tier.name.clone(),
        rules: tier.rules.iter().flat_map(rules).collect(),
        default: verdict(tier.default),
    };
    PolicySpec {
        name: list.name.clone(),
        tiers: list.tiers.iter().map(tier).collect(),
        default: verdict(list.default),
        stateful: list.stateful,
    }
}

fn verdict(verdict: Verdict) -> Engine {
    match verdict {
        Verdict::Permit => Engine::Permit,
        Verdict::Deny => Engine::Deny,
        Verdict::Reject => Engine::Reject,
        Verdict::Pass => Engine::Pass,
    }
}

/// A rule for each combination of what is in the lists of one.
fn rules(rule: &ListRule) -> Vec<RuleSpec> {
    let mut rules = Vec::new();
    for (source, destination) in ends(rule) {
        for source_ports in ports(&rule.traffic.from_ports) {
            for destination_ports in ports(&rule.traffic.ports) {
                for icmp in or_none(&rule.traffic.icmp) {
                    let matches = MatchSpec {
                        source,
                        destination,
                        source_ports: source_ports.clone(),
                        destination_ports: destination_ports.clone(),
                        icmp: icmp.map(|IcmpKind { kind, code }| (kind, code)),
                        protocol: rule.traffic.protocol.map(|protocol| protocol.0),
                        tcp_flags: rule.tcp_flags,
                        source_mac: rule.mac.map(|own| (mac(own), mac(paceline_model::MacAddr::BROADCAST))),
                        vlan: rule.vlan.map(Into::into),
                        peer: rule.peers.as_ref().map(Arc::<BTreeSet<u32>>::clone),
                        ..MatchSpec::default()
                    };
                    rules.push(spec(rule, matches));
                }
            }
        }
    }
    rules
}

fn spec(rule: &ListRule, matches: MatchSpec) -> RuleSpec {
    let name = |port: &Option<PortName>| port.as_ref().map(ToString::to_string);
    RuleSpec {
        name: rule.name.clone(),
        matches,
        action: verdict(rule.verdict),
        log: rule.log,
        mirror: name(&rule.mirror),
        police: rule.police.map(police),
        dscp: rule.dscp,
        redirect: name(&rule.redirect),
    }
}

/// Pairs of source and destination of one version of IP.
fn ends(rule: &ListRule) -> Vec<(Option<IpNet>, Option<IpNet>)> {
    let same = |a: &Option<IpNet>, b: &Option<IpNet>| {
        a.zip(*b).is_none_or(|(a, b)| a.addr().is_ipv4() == b.addr().is_ipv4())
    };
    let (sources, destinations) = (or_none(&rule.sources), or_none(&rule.destinations));
    let pairs = sources.into_iter().flat_map(|source| destinations.iter().map(move |other| (source, *other)));
    pairs.filter(|(source, destination)| same(source, destination)).collect()
}

fn ports(ports: &[Interval<u16>]) -> Vec<Option<RangeInclusive<u16>>> {
    or_none(ports).into_iter().map(|ports| ports.map(|ports| ports.first()..=ports.last())).collect()
}

/// The values of a list; of an empty one, that there is no condition.
fn or_none<T: Copy>(values: &[T]) -> Vec<Option<T>> {
    if values.is_empty() { vec![None] } else { values.iter().copied().map(Some).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paceline_model::config::Host;
    use paceline_model::{Config, Model};

    #[test]
    fn lists_in_a_rule_are_written_out() {
        let text = r#"
            port = [{ name = "p", kind = "null", input_acl = ["a"], stateful = true, rate = "1mbit", dscp = "ef", storm = { broadcast = 9, unknown_unicast = 7 } }]
            group = [{ name = "office", prefixes = ["192.0.2.0/24", "2001:db8::/64"] }]
            [[acl]]
            name = "a"
            rules = [
                { action = "permit", from = ["office", "10.0.0.1"], to = "10.0.0.0/8", protocol = "tcp", ports = [80, "8000-8080"] },
                { name = "rest", action = "reject", log = true, mac = "02:00:00:00:00:01" },
            ]
        "#;
        let config = Config::parse("test", text, &Host::default()).unwrap();
        let desired = paceline_model::desired(&config, &Model::default());
        let mut made = Made::default();
        let filters = filters(&desired, &mut made);
        let filter = &filters["p"];
        // The next pass has the same.
        let again = super::filters(&paceline_model::desired(&config, &Model::default()), &mut made);
        assert!(Arc::ptr_eq(again["p"].input.as_ref().unwrap(), filter.input.as_ref().unwrap()));
        let input = filter.input.as_ref().unwrap();
        assert!(input.stateful && filter.output.is_none() && filter.groups.is_none());
        assert_eq!((input.default, input.tiers[0].default), (Engine::Deny, Engine::Pass));
        let rules = &input.tiers[0].rules;
        // Two sources of IPv4 and two ranges of ports; the source of IPv6 goes with no destination of IPv4.
        assert_eq!(
            rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(),
            ["a/1", "a/1", "a/1", "a/1", "a/rest"]
        );
        assert_eq!(rules[1].matches.destination_ports, Some(8000..=8080));
        assert_eq!((rules[4].action, rules[4].log), (Engine::Reject, true));
        assert_eq!(filter.police_input, Some(PolicerSpec { rate: 1_000_000, burst: 131_072 }));
        assert_eq!((filter.dscp, filter.police_output), (Some(46), filter.police_input));
        assert_eq!(filter.storm, Some(StormSpec { broadcast: Some(9), multicast: None, unknown: Some(7) }));
        assert!(groups(&desired).is_empty());
    }
}
