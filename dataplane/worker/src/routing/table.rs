//! One routing table (VRF): the routes that there are, and what of those that there should be has changed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use ipnet::IpNet;
use paceline_graph::Vrf;
use paceline_tables::{Mark, Rib4, Rib6, RouteError};

use super::lines::{Lines, Target, version};
use super::want::{Want, Ways};
use crate::spec::RouteSpec;

/// A routing table. Its routes hold one use of their adjacency each.
pub(crate) struct Table {
    /// Its name; none if nobody names it any more.
    pub name: Arc<str>,
    rib4: Rib4,
    rib6: Rib6,
    /// Routes of the configuration, as it was told last.
    pub routes: OrdMap<IpNet, RouteSpec>,
    /// Routes of its interfaces. Those of the configuration win.
    connected: BTreeMap<IpNet, Want>,
    /// Neighbours that were found, which have a route of their own where nothing else leads but to a question; and their interfaces.
    pub found: BTreeMap<IpAddr, u16>,
}

/// A moment in the life of a table.
pub(crate) type Marks = (Mark, Mark);

impl Table {
    pub(crate) fn new(name: &str) -> Result<Table, RouteError> {
        let (rib4, rib6) = (Rib4::new()?, Rib6::new()?);
        Ok(Table {
            name: name.into(),
            rib4,
            rib6,
            routes: OrdMap::new(),
            connected: BTreeMap::new(),
            found: BTreeMap::new(),
        })
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
        self.covering(address.into())
    }

    /// The longest route that covers a prefix whole.
    fn covering(&self, prefix: IpNet) -> Option<(IpNet, u32)> {
        match prefix {
            IpNet::V4(prefix) => self.rib4.covering(prefix).map(|(prefix, number)| (prefix.into(), number)),
            IpNet::V6(prefix) => self.rib6.covering(prefix).map(|(prefix, number)| (prefix.into(), number)),
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
                lines.lead(prefix, number);
                if let Some(old) = old {
                    lines.leave(prefix, old);
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
            lines.leave(prefix, number);
        }
    }

    /// Takes all routes out, and its name.
    pub(crate) fn end(&mut self, lines: &mut Lines) {
        let prefixes: Vec<IpNet> = self.iter().map(|(prefix, _)| prefix).collect();
        // They give their adjacencies back.
        for prefix in prefixes {
            self.remove(prefix, lines);
        }
        self.routes.clear();
        self.connected.clear();
        self.found.clear();
        self.name = "".into();
    }

    /// Whether nobody names it any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.name.is_empty()
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

    /// Takes over what there should be, by these interfaces and by configuration. The prefixes whose route may have to be another one
    /// because of that, beside `further` ones, in order; all of them if no interface is where it was (`anew`).
    pub(crate) fn follow(
        &mut self,
        ways: &Ways<'_>,
        routes: &OrdMap<IpNet, RouteSpec>,
        anew: bool,
        further: impl IntoIterator<Item = IpNet>,
    ) -> Vec<IpNet> {
        let (was, connected) = (std::mem::replace(&mut self.routes, routes.clone()), ways.connected());
        let mut prefixes: Vec<IpNet> = further.into_iter().collect();
        if anew {
            prefixes.extend(self.iter().map(|(prefix, _)| prefix));
            prefixes.extend(routes.keys().chain(connected.keys()));
        } else {
            let is_other = |prefix: &&IpNet| self.connected.get(*prefix) != connected.get(*prefix);
            prefixes.extend(self.connected.keys().chain(connected.keys()).filter(is_other));
            prefixes.extend(was.diff(routes).map(|change| match change {
                DiffItem::Add(prefix, _)
                | DiffItem::Remove(prefix, _)
                | DiffItem::Update { new: (prefix, _), .. } => *prefix,
            }));
            let hosts: Vec<IpNet> = prefixes.iter().flat_map(|prefix| self.found_by(*prefix)).collect();
            prefixes.extend(hosts);
        }
        self.connected = connected;
        prefixes.sort_unstable();
        prefixes.dedup();
        prefixes
    }

    /// Neighbours that were found, and that a route of this prefix, gone or to come, may lead to instead.
    fn found_by(&self, prefix: IpNet) -> impl Iterator<Item = IpNet> + '_ {
        let within = self.found.range(prefix.network()..=prefix.broadcast());
        let hosts = within.map(|(address, _)| IpNet::from(*address));
        // A longer one goes first, as it did before.
        hosts.filter(move |host| {
            self.around(*host).is_none_or(|(other, _)| other.prefix_len() <= prefix.prefix_len())
        })
    }

    /// The best route of a host but its own.
    fn around(&self, host: IpNet) -> Option<(IpNet, u32)> {
        self.covering(host.supernet()?)
    }

    /// Where a prefix should lead, by what wins: the configuration; addresses of interfaces, and neighbours that do not change; neighbours
    /// that were found where nothing else leads, and are forgotten where something does. Routes by interfaces that are not there are
    /// left out.
    pub(crate) fn wanted(&mut self, ways: &Ways<'_>, prefix: IpNet) -> Option<Want> {
        let said = self.said(ways, prefix);
        let found = if said.is_none() { self.still_found(ways, prefix) } else { None };
        if found.is_none() && prefix == IpNet::from(prefix.addr()) {
            self.found.remove(&prefix.addr());
        }
        said.or(found)
    }

    fn said(&self, ways: &Ways<'_>, prefix: IpNet) -> Option<Want> {
        let configured = self.routes.get(&prefix).and_then(|route| ways.resolve(prefix, route));
        configured.or_else(|| self.connected.get(&prefix).cloned())
    }

    /// The route of a neighbour that was found, if the others still ask for it on the link it is on.
    fn still_found(&self, ways: &Ways<'_>, host: IpNet) -> Option<Want> {
        let address = host.addr();
        if IpNet::from(address) != host {
            return None;
        }
        let leg = ways.leg(*self.found.get(&address)?)?;
        let link = leg.link(version(address));
        let mut around = std::iter::successors(host.supernet(), IpNet::supernet);
        let best = around.find_map(|prefix| self.said(ways, prefix));
        let is_asked_for = best == Some(Want::One(Target::Glean(link)));
        is_asked_for.then_some(Want::One(Target::Neighbour(link, address)))
    }
}
