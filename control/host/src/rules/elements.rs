//! Published ports as elements of maps and sets.

use std::collections::BTreeMap;
use std::fmt::Write;

use paceline_model::{GatewayMode, HostPlan, HostPort};

use crate::plan::Family;

/// A map or set of published ports: its name and its type.
///
/// `at` is for ports of one host address, `any` for those of all; `open` has the containers' own addresses and ports, for
/// networks whose addresses others know.
const KINDS: [(&str, &str); 6] = [
    ("at4", "map at4 { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service;"),
    ("any4", "map any4 { type inet_proto . inet_service : ipv4_addr . inet_service;"),
    ("open4", "set open4 { type ipv4_addr . inet_proto . inet_service;"),
    ("at6", "map at6 { type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service;"),
    ("any6", "map any6 { type inet_proto . inet_service : ipv6_addr . inet_service;"),
    ("open6", "set open6 { type ipv6_addr . inet_proto . inet_service;"),
];

/// The elements of all of them: by the map's name, keys and what they are mapped to, if to anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elements(BTreeMap<&'static str, BTreeMap<String, String>>);

impl Elements {
    /// Those of a plan.
    pub fn new(plan: &HostPlan) -> Self {
        let mut all = Self(KINDS.iter().map(|(name, _)| (*name, BTreeMap::new())).collect());
        for port in &plan.ports {
            for family in Family::BOTH {
                if let Some((set, key, value)) = element(plan, port, family) {
                    all.0.entry(set).or_default().insert(key, value);
                }
            }
        }
        all
    }

    /// Definitions of the maps and sets, with all elements.
    pub fn definitions(&self) -> String {
        let mut text = String::new();
        for (name, kind) in KINDS {
            let list = self.0.get(name).map(|elements| listed(elements.iter())).unwrap_or_default();
            let elements = if list.is_empty() { list } else { format!(" elements = {{ {list} }};") };
            let _ = writeln!(text, "\t{kind}{elements} }}");
        }
        text
    }

    /// What makes these of others, in a table.
    pub fn since(&self, before: &Self, table: &str) -> String {
        let mut text = String::new();
        for (name, now) in &self.0 {
            let Some(then) = before.0.get(name) else { continue };
            let gone = listed(then.iter().filter(|(key, value)| now.get(*key) != Some(*value)));
            let new = listed(now.iter().filter(|(key, value)| then.get(*key) != Some(*value)));
            for (verb, list) in [("delete", gone), ("add", new)] {
                if !list.is_empty() {
                    let _ = writeln!(text, "{verb} element inet {table} {name} {{ {list} }}");
                }
            }
        }
        text
    }
}

/// What one published port is in one family, if it is anything.
fn element(plan: &HostPlan, port: &HostPort, family: Family) -> Option<(&'static str, String, String)> {
    let network = plan.networks.get(&port.network).filter(|network| family.leaves(network))?;
    let container = family.container(port)?;
    let [at, any, open] = match family {
        Family::V4 => ["at4", "any4", "open4"],
        Family::V6 => ["at6", "any6", "open6"],
    };
    let published = &port.port;
    let (protocol, inner, outer) = (published.protocol, published.port, published.host_port);
    if family.mode(network) == GatewayMode::Routed {
        return Some((open, format!("{container} . {protocol} . {inner}"), String::new()));
    }
    let to = format!("{container} . {inner}");
    match published.host_ip {
        Some(ip) if Family::of(ip) != family => None,
        Some(ip) if !ip.is_unspecified() => Some((at, format!("{protocol} . {ip} . {outer}"), to)),
        _ => Some((any, format!("{protocol} . {outer}"), to)),
    }
}

fn listed<'a>(elements: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let written =
        elements.map(|(key, value)| if value.is_empty() { key.clone() } else { format!("{key} : {value}") });
    written.collect::<Vec<_>>().join(", ")
}
