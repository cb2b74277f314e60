//! `[[acl]]`, `[[group]]`, and what ports and interfaces have of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checks, Step};
use crate::config::Config;
use crate::config::acl::{Acl, AclRule, Addresses, Filters};
use crate::modes::acl::{clash, prefixes};
use crate::policy::IpProtocol;
use crate::{AclName, PortName};

/// Most rules of a list, where each combination of the lists in a rule counts as one.
pub const MAX_RULES: usize = 100_000;
/// Most addresses of a guard.
const MAX_GUARDED: usize = 1024;
/// Most MAC addresses of a guard.
const MAX_GUARDED_MACS: usize = 64;

/// Checks all of them.
pub(super) fn acls(config: &Config, checks: &mut Checks<'_>) {
    let mut seen = BTreeSet::new();
    for (index, group) in config.groups.iter().enumerate() {
        let name = group.name.as_str();
        checks.expect(seen.insert(name), at!["group", index, "name"], || {
            format!("group {name:?}: is there twice")
        });
    }
    let (mut seen, mut sizes) = (BTreeSet::new(), BTreeMap::new());
    for (index, acl) in config.acls.iter().enumerate() {
        let name = acl.name.as_str();
        checks
            .expect(seen.insert(name), at!["acl", index, "name"], || format!("ACL {name:?}: is there twice"));
        sizes.insert(&acl.name, self::acl(acl, index, config, checks));
    }
    for (index, port) in config.ports.iter().enumerate() {
        filters("port", &port.name, &port.filters, index, config, &sizes, checks);
    }
    for (index, interface) in config.interfaces.iter().enumerate() {
        filters("interface", &interface.name, &interface.filters, index, config, &sizes, checks);
        let both = interface.filters != Filters::default() && clash(config, &interface.name).is_some();
        checks.expect(!both, at!["interface", index, "port"], || {
            let name = interface.name.as_str();
            format!("interface {name:?}: its port has filters too: give all of them at one of the two")
        });
    }
}

/// How many rules it is when they are written out.
fn acl(acl: &Acl, index: usize, config: &Config, checks: &mut Checks<'_>) -> usize {
    let (mut names, mut combinations) = (BTreeSet::new(), 0usize);
    for (number, rule) in acl.rules.iter().enumerate() {
        let path = |field: &'static str| {
            [Step::from("acl"), index.into(), "rules".into(), number.into(), field.into()]
        };
        let of = || format!("ACL {:?}, rule {}", acl.name.as_str(), number + 1);
        if let Some(name) = rule.name.as_ref().map(crate::RuleName::as_str) {
            checks.expect(names.insert(name), &path("name"), || {
                format!("{}: name {name:?} is there twice", of())
            });
            checks.expect(name.contains(|char: char| !char.is_ascii_digit()), &path("name"), || {
                format!("{}: name {name:?} is a number, as those without a name have", of())
            });
        }
        for (field, addresses) in [("from", &rule.from), ("to", &rule.to)] {
            for address in addresses {
                let Addresses::Group(group) = address else { continue };
                checks.expect(config.groups.iter().any(|own| own.name == *group), &path(field), || {
                    let known = list(config.groups.iter().map(|group| group.name.as_str()));
                    format!("{}: there is no group {:?}; there are {known}", of(), group.as_str())
                });
            }
        }
        if let Some((field, why)) = rule.traffic().problem() {
            checks.expect(false, &path(field), || format!("{}: {why}", of()));
        }
        let tcp = rule.protocol == Some(IpProtocol::TCP);
        checks.expect(rule.tcp_flags.is_none() || tcp, &path("tcp_flags"), || {
            format!("{}: tcp_flags: must be protocol = \"tcp\"", of())
        });
        checks.expect(rule.burst.is_none() || rule.rate.is_some(), &path("burst"), || {
            format!("{}: burst: goes with a rate", of())
        });
        for (field, port) in [("mirror", &rule.mirror), ("redirect", &rule.redirect)] {
            known_port(port.as_ref(), &path(field), of, config, checks);
        }
        let ways = ways(config, rule);
        let is_known = |address: &Addresses| match address {
            Addresses::Prefix(_) => true,
            Addresses::Group(group) => config.groups.iter().any(|own| own.name == *group),
        };
        let known = rule.from.iter().chain(&rule.to).all(is_known);
        checks.expect(ways > 0 || !known, &path("to"), || {
            format!("{}: from and to must be of one version of IP, and groups in them not empty", of())
        });
        combinations = combinations.saturating_add(ways);
    }
    checks.expect(combinations <= MAX_RULES, at!["acl", index, "rules"], || {
        format!(
            "ACL {:?}: {combinations} rules, each combination of the lists in a rule counted as one: there can be {MAX_RULES} at most",
            acl.name.as_str()
        )
    });
    combinations
}

/// In how many ways the lists of a rule can be combined.
fn ways(config: &Config, rule: &AclRule) -> usize {
    let count = |addresses: &[Addresses]| {
        if addresses.is_empty() {
            return None;
        }
        let prefixes = prefixes(config, addresses);
        let ipv4 = prefixes.iter().filter(|net| net.addr().is_ipv4()).count();
        Some((ipv4, prefixes.len() - ipv4))
    };
    let ends = match (count(&rule.from), count(&rule.to)) {
        (None, None) => 1,
        (Some((ipv4, ipv6)), None) | (None, Some((ipv4, ipv6))) => ipv4 + ipv6,
        (Some(from), Some(to)) => from.0.saturating_mul(to.0).saturating_add(from.1.saturating_mul(to.1)),
    };
    let lists = [rule.ports.len(), rule.from_ports.len(), rule.icmp.len()];
    lists.iter().fold(ends, |ways, length| ways.saturating_mul((*length).max(1)))
}

fn filters(
    section: &'static str,
    name: &PortName,
    filters: &Filters,
    index: usize,
    config: &Config,
    sizes: &BTreeMap<&AclName, usize>,
    checks: &mut Checks<'_>,
) {
    let of = || format!("{section} {:?}", name.as_str());
    for (field, acls) in [("input_acl", &filters.input_acl), ("output_acl", &filters.output_acl)] {
        for (number, acl) in acls.iter().enumerate() {
            checks.expect(
                config.acls.iter().any(|own| own.name == *acl),
                at![section, index, field, number],
                || {
                    let known = list(config.acls.iter().map(|acl| acl.name.as_str()));
                    format!("{}: {field}: there is no ACL {:?}; there are {known}", of(), acl.as_str())
                },
            );
        }
        let rules =
            acls.iter().filter_map(|acl| sizes.get(acl)).fold(0usize, |all, own| all.saturating_add(*own));
        // One that is too long for itself was told.
        let told = acls.iter().filter_map(|acl| sizes.get(acl)).any(|own| *own > MAX_RULES);
        checks.expect(rules <= MAX_RULES || told, at![section, index, field], || {
            format!("{}: {field}: has lists of {rules} rules in all: there can be {MAX_RULES} at most", of())
        });
    }
    let lists = !filters.input_acl.is_empty() || !filters.output_acl.is_empty();
    checks.expect(lists || !filters.stateful, at![section, index, "stateful"], || {
        format!("{}: stateful: goes with input_acl or output_acl", of())
    });
    checks.expect(filters.burst.is_none() || filters.rate.is_some(), at![section, index, "burst"], || {
        format!("{}: burst: goes with a rate", of())
    });
    if let Some(guard) = &filters.guard {
        let few = guard.addresses.len() <= MAX_GUARDED && guard.macs.len() <= MAX_GUARDED_MACS;
        checks.expect(few, at![section, index, "guard"], || {
            format!("{}: guard: there can be {MAX_GUARDED} addresses and {MAX_GUARDED_MACS} MAC addresses at most", of())
        });
    }
    checks.expect(!filters.storm.is_some_and(|storm| storm.is_empty()), at![section, index, "storm"], || {
        format!("{}: storm: must limit broadcast, multicast or unknown_unicast", of())
    });
    known_port(filters.mirror.as_ref(), at![section, index, "mirror"], of, config, checks);
    let own = filters.mirror.as_ref() == Some(name);
    checks.expect(!own, at![section, index, "mirror"], || format!("{}: mirror: must be another port", of()));
}

fn known_port(
    port: Option<&PortName>,
    path: &[Step],
    of: impl Fn() -> String,
    config: &Config,
    checks: &mut Checks<'_>,
) {
    let Some(port) = port else { return };
    checks.expect(config.ports.iter().any(|own| own.name == *port), path, || {
        let known = list(config.ports.iter().map(|port| port.name.as_str()));
        format!("{}: there is no port {:?}; there are {known}", of(), port.as_str())
    });
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
