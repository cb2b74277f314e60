//! What a routing table should have: where each prefix leads, by addresses of interfaces and by configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use paceline_graph::{Action, IpVersion};
use paceline_wire::ethernet::Mac;

use super::Ends;
use super::leg::Leg;
use super::lines::{Lines, Target, version};
use crate::spec::{PathSpec, RouteSpec};

/// Where a route leads, in adjacencies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Want {
    One(Target),
    /// Flows are spread over these.
    Spread(Vec<Target>),
}

impl Want {
    /// Adjacencies that it needs at most.
    pub(crate) fn lines(&self) -> usize {
        match self {
            Want::One(_) => 1,
            Want::Spread(targets) => 1 + targets.len(),
        }
    }

    /// Its adjacency, used once more; `mac` knows neighbours. `None` if there is no number left.
    pub(crate) fn take(&self, lines: &mut Lines, mac: impl Fn(u16, IpAddr) -> Option<Mac>) -> Option<u32> {
        let known = |target: &Target| match target {
            Target::Neighbour(link, address) => mac(link.interface, *address),
            _ => None,
        };
        match self {
            Want::One(target) => lines.take(target.clone(), known(target)),
            Want::Spread(targets) => {
                let mut paths = Vec::new();
                for target in targets {
                    match lines.take(target.clone(), known(target)) {
                        Some(path) => paths.push(path),
                        None => break,
                    }
                }
                let all = paths.len() == targets.len();
                let number = if all { lines.take(Target::Balance(paths.clone()), None) } else { None };
                // The balancing line holds its own uses of them.
                for path in paths {
                    lines.give(path);
                }
                number
            }
        }
    }
}

/// The interfaces that routes of one table may lead by.
pub(crate) struct Ways<'a> {
    /// Those of the table.
    legs: Vec<&'a Leg>,
    /// Those of all tables.
    everywhere: &'a BTreeMap<u16, Leg>,
    /// Addresses at which tunnels of the table end.
    ends: Option<&'a BTreeSet<IpAddr>>,
    /// Addresses of address translation that hosts of the table reach each other by.
    outside: Option<&'a BTreeSet<IpAddr>>,
}

impl<'a> Ways<'a> {
    pub(crate) fn new(everywhere: &'a BTreeMap<u16, Leg>, ends: &'a Ends, vrf: &str) -> Ways<'a> {
        let legs = everywhere.values().filter(|leg| *leg.vrf == *vrf).collect();
        Ways { legs, everywhere, ends: ends.local.get(vrf), outside: ends.outside.get(vrf) }
    }

    /// An interface of the table.
    pub(crate) fn leg(&self, number: u16) -> Option<&'a Leg> {
        self.legs.iter().find(|leg| leg.number == number).copied()
    }

    /// The routes of the interfaces' own addresses, subnets, and neighbours that do not change.
    pub(crate) fn connected(&self) -> BTreeMap<IpNet, Want> {
        let mut all = BTreeMap::new();
        let is_end = |address: &IpAddr| self.ends.is_some_and(|ends| ends.contains(address));
        for address in self.outside.into_iter().flatten() {
            all.insert(IpNet::from(*address), Want::One(Target::Act(Action::Translate)));
        }
        for leg in &self.legs {
            subnets(leg, &mut all);
        }
        for leg in &self.legs {
            for address in leg.statics.keys() {
                let target = Target::Neighbour(leg.link(version(*address)), *address);
                all.insert(IpNet::from(*address), Want::One(target));
            }
            for net in &leg.addresses {
                let action = if is_end(&net.addr()) { Action::Tunnel } else { Action::Local };
                all.insert(IpNet::from(net.addr()), Want::One(Target::Act(action)));
            }
            for address in &leg.outside {
                let action = if is_end(address) { Action::TunnelTranslate } else { Action::Translate };
                all.insert(IpNet::from(*address), Want::One(Target::Act(action)));
            }
        }
        all
    }

    /// What a configured route comes to; nothing if no path has an interface. One that is named may be of another table.
    pub(crate) fn resolve(&self, prefix: IpNet, route: &RouteSpec) -> Option<Want> {
        let action = match route {
            RouteSpec::Via(paths) => {
                let mut targets: Vec<Target> = paths.iter().filter_map(|p| self.path(prefix, p)).collect();
                targets.dedup();
                return match targets.len() {
                    0 => None,
                    1 => targets.pop().map(Want::One),
                    _ => Some(Want::Spread(targets)),
                };
            }
            RouteSpec::Blackhole => Action::Blackhole,
            RouteSpec::Unreachable => Action::Unreachable,
            RouteSpec::Prohibit => Action::Prohibit,
        };
        Some(Want::One(Target::Act(action)))
    }

    fn path(&self, prefix: IpNet, path: &PathSpec) -> Option<Target> {
        let leg = match (&path.interface, path.via) {
            (Some(name), _) => self.everywhere.values().find(|leg| *leg.name == **name),
            (None, Some(via)) => self.legs.iter().find(|leg| leg.covers(via)).copied(),
            (None, None) => None,
        }?;
        let version = if matches!(prefix, IpNet::V4(_)) { IpVersion::V4 } else { IpVersion::V6 };
        let link = leg.link(version);
        Some(match (leg.peer, path.via) {
            (Some(peer), _) => Target::Peer(link, peer),
            (None, Some(via)) => Target::Neighbour(link, via),
            // A route to one address needs no other one for its neighbour.
            (None, None) if prefix == IpNet::from(prefix.addr()) => Target::Neighbour(link, prefix.addr()),
            (None, None) => Target::Glean(link),
        })
    }
}

/// The routes of an interface's subnets.
fn subnets(leg: &Leg, all: &mut BTreeMap<IpNet, Want>) {
    for net in &leg.addresses {
        let link = leg.link(version(net.addr()));
        let on_link = leg.peer.map_or(Target::Glean(link), |peer| Target::Peer(link, peer));
        all.insert(net.trunc(), Want::One(on_link));
        // Nobody has the first and the last address of a subnet (RFC 1812 §4.2.3.1; RFC 3021 for two addresses), and what is
        // for all of it is not routed (RFC 2644).
        if let IpNet::V4(net) = net
            && net.prefix_len() < 31
        {
            for address in [net.network(), net.broadcast()] {
                all.insert(IpNet::from(IpAddr::from(address)), Want::One(Target::Act(Action::Blackhole)));
            }
        }
    }
}
