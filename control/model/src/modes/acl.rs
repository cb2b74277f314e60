//! What ports and interfaces of the configuration file let in and out.

use std::sync::Arc;

use ipnet::IpNet;

use crate::config::acl::{Acl, AclAction, AclRule, Addresses, Filters};
use crate::config::{BitRate, Bytes, On};
use crate::filter::{ListRule, RuleList, RuleTier, Verdict};
use crate::options::link::default_burst;
use crate::{AclName, Config, Desired, DesiredFilter, PortName, Rate};

/// Adds it. An interface on a port has that port's name, and one of both has filters. They are made once: lists may be long.
pub(super) fn add(config: &Config, desired: &mut Desired) {
    let filters = config.filters.0.get_or_init(|| {
        let ports = config.ports.iter().map(|port| (&port.name, &port.filters));
        let interfaces = config.interfaces.iter().map(|interface| (&interface.name, &interface.filters));
        let of = ports.chain(interfaces).filter(|(_, filters)| **filters != Filters::default());
        of.map(|(name, filters)| (name.clone(), filter(config, filters))).collect()
    });
    desired.filters.extend(filters.iter().cloned());
}

/// The filters of an interface on a port are those of the port.
pub(crate) fn clash<'c>(config: &'c Config, name: &PortName) -> Option<&'c Filters> {
    let on_port = |on: &On| matches!(on, On::Port(_));
    let port = config.ports.iter().find(|port| port.name == *name).map(|port| &port.filters);
    let interface = config.interfaces.iter().any(|own| own.name == *name && on_port(&own.on));
    port.filter(|filters| interface && **filters != Filters::default())
}

fn filter(config: &Config, filters: &Filters) -> DesiredFilter {
    let rate = rate(filters.rate, filters.burst);
    DesiredFilter {
        input: list(config, &filters.input_acl, filters.stateful),
        output: list(config, &filters.output_acl, filters.stateful),
        guard: filters.guard.clone(),
        police_input: rate,
        police_output: rate,
        storm: filters.storm,
        dscp: filters.dscp.map(|dscp| dscp.0),
        mirror: filters.mirror.clone(),
    }
}

fn rate(rate: Option<BitRate>, burst: Option<Bytes>) -> Option<Rate> {
    let BitRate(bits) = rate?;
    Some(Rate { bits, burst: burst.map_or_else(|| default_burst(bits), |burst| burst.0) })
}

/// Lists, one after the other.
fn list(config: &Config, names: &[AclName], stateful: bool) -> Option<Arc<RuleList>> {
    if names.is_empty() {
        return None;
    }
    let acls = names.iter().filter_map(|name| config.acls.iter().find(|acl| acl.name == *name));
    let tier = |acl: &Acl| RuleTier {
        name: acl.name.to_string(),
        rules: (0..).zip(&acl.rules).map(|(index, rule)| self::rule(config, acl, index, rule)).collect(),
        default: Verdict::Pass,
    };
    let name = names.iter().map(AclName::as_str).collect::<Vec<_>>().join(",");
    Some(Arc::new(RuleList { name, tiers: acls.map(tier).collect(), default: Verdict::Deny, stateful }))
}

fn rule(config: &Config, acl: &Acl, index: usize, rule: &AclRule) -> ListRule {
    ListRule {
        name: acl.rule_name(index),
        verdict: match rule.action {
            AclAction::Permit => Verdict::Permit,
            AclAction::Deny => Verdict::Deny,
            AclAction::Reject => Verdict::Reject,
        },
        sources: prefixes(config, &rule.from),
        destinations: prefixes(config, &rule.to),
        peers: None,
        traffic: rule.traffic(),
        tcp_flags: rule.tcp_flags.map(|flags| (flags.mask, flags.set)),
        mac: rule.mac,
        vlan: rule.vlan,
        log: rule.log,
        dscp: rule.dscp.map(|dscp| dscp.0),
        police: rate(rule.rate, rule.burst),
        mirror: rule.mirror.clone(),
        redirect: rule.redirect.clone(),
    }
}

/// All prefixes of a list, those of its groups in their place.
pub(crate) fn prefixes(config: &Config, addresses: &[Addresses]) -> Vec<IpNet> {
    let of = |one: &Addresses| match one {
        Addresses::Prefix(net) => vec![*net],
        Addresses::Group(name) => {
            let group = config.groups.iter().find(|group| group.name == *name);
            group.map(|group| group.prefixes.iter().map(|prefix| prefix.0).collect()).unwrap_or_default()
        }
    };
    addresses.iter().flat_map(of).collect()
}
