//! One routing table (VRF): the routes that there should be, and those that there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use paceline_graph::{Action, IpVersion, Vrf};
use paceline_tables::{Mark, Rib4, Rib6, RouteError};
use paceline_wire::ethernet::Mac;

use super::leg::Leg;
use super::lines::{Lines, Target, version};
use crate::spec::{PathSpec, RouteSpec, VrfSpec};

/// Where a route leads, in adjacencies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Want {
    One(Target),
    /// Flows are spread over these.
    Spread(Vec<Target>),
}

impl Want {
    /// Neighbours that it needs, each with the interface it is behind.
    pub(crate) fn next_hops(&self) -> impl Iterator<Item = (u16, IpAddr)> {
        let targets = match self {
            Want::One(target) => std::slice::from_ref(target),
            Want::Spread(targets) => targets,
        };
        targets.iter().filter_map(|target| match target {
            Target::Neighbour(link, address) => Some((link.interface, *address)),
            _ => None,
        })
    }

    /// Adjacencies that it needs at most.
    pub(crate) fn lines(&self) -> usize {
        match self {
            Want::One(_) => 1,
            Want::Spread(targets) => 1 + targets.len(),
        }
    }
}

/// A routing table. Its routes hold one use of their adjacency each.
pub(crate) struct Table {
    pub name: Arc<str>,
    rib4: Rib4,
    rib6: Rib6,
    /// Neighbours that were found, which have a route of their own where no other has their prefix; and their interfaces.
    pub found: HashMap<IpAddr, u16>,
}

/// A moment in the life of a table.
pub(crate) type Marks = (Mark, Mark);

impl Table {
    pub(crate) fn new(name: &str) -> Result<Table, RouteError> {
        let (rib4, rib6) = (Rib4::new()?, Rib6::new()?);
        Ok(Table { name: name.into(), rib4, rib6, found: HashMap::new() })
    }

    /// What workers look up in.
    pub(crate) fn vrf(&self) -> Vrf {
        let (fib4, fib6) = (Arc::clone(self.rib4.fib()), Arc::clone(self.rib6.fib()));
        Vrf { name: Arc::clone(&self.name), fib4, fib6 }
    }

    /// The adjacency of exactly this prefix.
    pub(crate) fn get(&self, prefix: IpNet) -> Option<u32> {
        match prefix {
            IpNet::V4(prefix) => self.rib4.get(prefix),
            IpNet::V6(prefix) => self.rib6.get(prefix),
        }
    }

    /// The best route of an address.
    pub(crate) fn find(&self, address: IpAddr) -> Option<(IpNet, u32)> {
        match IpNet::from(address) {
            IpNet::V4(host) => self.rib4.covering(host).map(|(prefix, number)| (prefix.into(), number)),
            IpNet::V6(host) => self.rib6.covering(host).map(|(prefix, number)| (prefix.into(), number)),
        }
    }

    /// Adds a route, which takes one use of its adjacency over from the caller, or gives it another adjacency.
    ///
    /// # Errors
    /// No room. The use is given back.
    pub(crate) fn insert(&mut self, prefix: IpNet, number: u32, lines: &mut Lines) -> Result<(), RouteError> {
        let done = match prefix {
            IpNet::V4(prefix) => self.rib4.insert(prefix, number),
            IpNet::V6(prefix) => self.rib6.insert(prefix, number),
        };
        match done {
            Ok(old) => {
                if let Some(old) = old {
                    lines.give(old);
                }
                Ok(())
            }
            Err(error) => {
                lines.give(number);
                Err(error)
            }
        }
    }

    /// Takes a route out.
    pub(crate) fn remove(&mut self, prefix: IpNet, lines: &mut Lines) {
        let number = match prefix {
            IpNet::V4(prefix) => self.rib4.remove(prefix),
            IpNet::V6(prefix) => self.rib6.remove(prefix),
        };
        if let Some(number) = number {
            lines.give(number);
        }
    }

    /// All routes with their adjacencies.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpNet, u32)> + '_ {
        let v4 = self.rib4.iter().map(|(prefix, number)| (IpNet::V4(prefix), number));
        v4.chain(self.rib6.iter().map(|(prefix, number)| (IpNet::V6(prefix), number)))
    }

    /// Number of routes.
    pub(crate) fn len(&self) -> usize {
        self.rib4.len() + self.rib6.len()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.rib4.bytes() + self.rib6.bytes()
    }

    pub(crate) fn mark(&self) -> Marks {
        (self.rib4.mark(), self.rib6.mark())
    }

    pub(crate) fn quiet(&mut self, before: Marks) {
        self.rib4.quiet(before.0);
        self.rib6.quiet(before.1);
    }

    /// All routes that there should be, by what wins: those of the configuration, those of addresses and neighbours that do not
    /// change, neighbours that were found where nothing else leads. Routes by interfaces that are not there are left out.
    /// `ends`: addresses at which tunnels end.
    pub(crate) fn wanted(
        &self,
        legs: &BTreeMap<u16, Leg>,
        spec: &VrfSpec,
        ends: &BTreeSet<IpAddr>,
    ) -> BTreeMap<IpNet, Want> {
        let everywhere: Vec<&Leg> = legs.values().collect();
        let legs: Vec<&Leg> = everywhere.iter().copied().filter(|leg| *leg.vrf == *self.name).collect();
        let mut all = BTreeMap::new();
        for leg in &legs {
            subnets(leg, &mut all);
        }
        for leg in &legs {
            for address in leg.statics.keys() {
                let target = Target::Neighbour(leg.link(version(*address)), *address);
                all.insert(IpNet::from(*address), Want::One(target));
            }
            for net in &leg.addresses {
                let action = if ends.contains(&net.addr()) { Action::Tunnel } else { Action::Local };
                all.insert(IpNet::from(net.addr()), Want::One(Target::Act(action)));
            }
            for address in &leg.outside {
                let action = if ends.contains(address) { Action::TunnelTranslate } else { Action::Translate };
                all.insert(IpNet::from(*address), Want::One(Target::Act(action)));
            }
        }
        for (prefix, route) in &spec.routes {
            if let Some(want) = resolve(*prefix, route, &legs, &everywhere) {
                all.insert(*prefix, want);
            }
        }
        let found: Vec<(IpNet, Want)> = self.still_found(&legs, &all).collect();
        all.extend(found);
        all
    }

    /// The routes of neighbours that were found, and that the others still ask for on the link they are on.
    fn still_found<'a>(
        &'a self,
        legs: &'a [&Leg],
        all: &'a BTreeMap<IpNet, Want>,
    ) -> impl Iterator<Item = (IpNet, Want)> + 'a {
        let lengths: BTreeSet<(bool, u8)> = if self.found.is_empty() {
            BTreeSet::new()
        } else {
            all.keys().map(|prefix| (prefix.addr().is_ipv4(), prefix.prefix_len())).collect()
        };
        let best = move |address: IpAddr| {
            let of_family = lengths.iter().rev().filter(|(is_v4, _)| *is_v4 == address.is_ipv4());
            let mut prefixes = of_family.filter_map(|(_, length)| IpNet::new(address, *length).ok());
            prefixes.find_map(|prefix| all.get(&prefix.trunc()))
        };
        self.found.iter().filter_map(move |(address, interface)| {
            let leg = legs.iter().find(|leg| leg.number == *interface)?;
            let link = leg.link(version(*address));
            let is_asked_for = best(*address) == Some(&Want::One(Target::Glean(link)));
            is_asked_for.then(|| (IpNet::from(*address), Want::One(Target::Neighbour(link, *address))))
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

/// What a configured route comes to; nothing if no path has an interface. One that is named may be of another table than `legs`.
fn resolve(prefix: IpNet, route: &RouteSpec, legs: &[&Leg], everywhere: &[&Leg]) -> Option<Want> {
    let action = match route {
        RouteSpec::Via(paths) => {
            let mut targets: Vec<Target> =
                paths.iter().filter_map(|p| path(prefix, p, legs, everywhere)).collect();
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

fn path(prefix: IpNet, path: &PathSpec, legs: &[&Leg], everywhere: &[&Leg]) -> Option<Target> {
    let leg = match (&path.interface, path.via) {
        (Some(name), _) => everywhere.iter().find(|leg| *leg.name == **name),
        (None, Some(via)) => legs.iter().find(|leg| leg.covers(via)),
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

/// The adjacency of what is wanted, used once more; `mac` knows neighbours. `None` if there is no number left.
pub(crate) fn take(want: &Want, lines: &mut Lines, mac: impl Fn(u16, IpAddr) -> Option<Mac>) -> Option<u32> {
    let known = |target: &Target| match target {
        Target::Neighbour(link, address) => mac(link.interface, *address),
        _ => None,
    };
    match want {
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
