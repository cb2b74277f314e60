//! A change of the topology, in two steps around the moment when workers go over to the new snapshot.
//!
//! Before it, routes go that would lead nowhere, and everything is made that new routes will lead to; after it, those are written.
//! A new interface is closed until then, so that nothing comes in by it that finds no route: a further snapshot opens it.
//!
//! Only prefixes are looked at for which something is different: a route more among a million costs what it costs among ten. An
//! interface that comes, goes or moves may be what any route leads by, and so has all of them looked at.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use imbl::OrdMap;
use ipnet::IpNet;
use paceline_buf::Packet;
use paceline_graph::{Adjacencies, L3, Vrf};
use paceline_router::neighbour::Neighbours;
use paceline_wire::ethernet::Mac;

use super::want::{Want, Ways};
use super::{Ends, Leg, Routing, SPARE_LINES, Table};
use crate::spec::{RouteSpec, Topology};

/// A route for which there was no room.
pub(super) struct Missing {
    /// Its table, by number.
    pub table: usize,
    pub prefix: IpNet,
    pub why: String,
}

/// What routing adds to a snapshot.
pub(crate) struct Part {
    pub vrfs: Vec<Vrf>,
    pub adjacencies: Arc<Adjacencies>,
    /// Of each leg: the number of its table, and what nodes know of it.
    pub legs: BTreeMap<u16, (u16, L3)>,
    /// Legs that nothing may come in by yet.
    pub closed: BTreeSet<u16>,
}

impl Routing {
    /// First step of a change: to these legs, by number, to the routes of `topology`, and to the ends of tunnels. Nothing leads any
    /// more to what will not be there.
    pub(crate) fn prepare(&mut self, legs: BTreeMap<u16, Leg>, topology: &Topology, ends: Ends) -> Part {
        if legs != self.legs || ends != self.ends || !self.has_routes_of(topology) {
            self.ends = ends;
            let was = std::mem::replace(&mut self.legs, legs);
            let is_new = |leg: &&Leg| {
                was.get(&leg.number).is_none_or(|old| (&old.name, &old.vrf) != (&leg.name, &leg.vrf))
            };
            self.closed.extend(self.legs.values().filter(is_new).map(|leg| leg.number));
            self.closed.retain(|number| self.legs.contains_key(number));
            self.name_tables(topology);
            self.rewrite(&was, topology);
        }
        self.lines.reserve(SPARE_LINES);
        self.opens = false;
        self.marks = Some((self.lines.mark(), self.tables.iter().map(Table::mark).collect()));
        let number = |leg: &Leg| self.number_of(leg).unwrap_or(paceline_graph::NO_DOMAIN);
        Part {
            vrfs: self.tables.iter().map(Table::vrf).collect(),
            adjacencies: Arc::clone(self.lines.table()),
            legs: self.legs.iter().map(|(at, leg)| (*at, (number(leg), leg.l3()))).collect(),
            closed: self.closed.clone(),
        }
    }

    /// Second step: every worker uses the new snapshot. Whether legs were closed in it, for which the same steps are to be gone through
    /// once more, now that their routes are there.
    pub(crate) fn complete(&mut self) -> bool {
        if let Some((mark, marks)) = self.marks.take() {
            self.lines.quiet(mark);
            for (table, mark) in self.tables.iter_mut().zip(marks) {
                table.quiet(mark);
            }
        }
        self.numbers.quiet();
        for (at, prefix, number) in std::mem::take(&mut self.pending) {
            let Some(table) = self.tables.get_mut(at) else { continue };
            if let Err(error) = table.insert(prefix, number, &mut self.lines) {
                tracing::error!(vrf = &*table.name, %prefix, "route not added: {error}");
                self.missing.push(Missing { table: at, prefix, why: error.to_string() });
            }
        }
        self.tell_neighbours();
        self.opens = !self.closed.is_empty();
        self.closed.clear();
        self.opens
    }

    /// Whether the tables are told of all routes of a topology already.
    fn has_routes_of(&self, topology: &Topology) -> bool {
        let routes = |table: &Table| topology.vrfs.get(&*table.name).map(|vrf| &vrf.routes);
        let is_same = |table: &Table| match routes(table) {
            Some(routes) => table.routes == *routes,
            None => table.routes.is_empty(),
        };
        self.tables.iter().all(is_same) && topology.vrfs.keys().all(|name| self.named(name).is_some())
    }

    /// Makes tables that are new, and ends those that nobody names.
    fn name_tables(&mut self, topology: &Topology) {
        let wanted: BTreeSet<&str> =
            topology.vrfs.keys().map(String::as_str).chain(self.legs.values().map(|leg| &*leg.vrf)).collect();
        self.unmade.clear();
        for (at, table) in self.tables.iter_mut().enumerate() {
            if table.has_ended() || wanted.contains(&*table.name) {
                continue;
            }
            table.end(&mut self.lines);
            self.numbers.give(at as u16);
            // What the switch was as a host ends with it.
            self.locals.remove(&(at as u16));
            // Neither is anything to come.
            let lines = &mut self.lines;
            self.pending.extract_if(.., |route| route.0 == at).for_each(|(_, _, number)| lines.give(number));
            self.missing.retain(|route| route.table != at);
        }
        for name in &wanted {
            if self.tables.iter().any(|table| *table.name == **name) {
                continue;
            }
            if let Some(at) = self.numbers.again() {
                self.tables[usize::from(at)].name = (*name).into();
                // Packets that came late may have made one again.
                self.locals.remove(&at);
                continue;
            }
            let made = Table::new(name).map_err(|error| error.to_string());
            match made.and_then(|table| self.numbers.fresh().map(|_| table).ok_or("too many".into())) {
                Ok(table) => self.tables.push(table),
                Err(error) => {
                    tracing::error!(vrf = name, "no routing table: {error}");
                    self.unmade.insert((*name).into(), format!("no routing table: {error}"));
                }
            }
        }
    }

    /// Takes routes out that are not wanted, and prepares those that are. `was` are the legs as they were.
    fn rewrite(&mut self, was: &BTreeMap<u16, Leg>, topology: &Topology) {
        let anew = !leads_alike(was, &self.legs);
        // What was not written last time is looked at once more.
        let missing = std::mem::take(&mut self.missing).into_iter();
        let mut again: Vec<_> = missing.map(|route| (route.table, route.prefix)).collect();
        for (at, prefix, number) in std::mem::take(&mut self.pending) {
            self.lines.give(number);
            again.push((at, prefix));
        }
        let (legs, neighbours, none) = (&self.legs, &self.neighbours, OrdMap::<IpNet, RouteSpec>::new());
        let mac = |interface, address| mac_of_neighbour(legs, neighbours, interface, address);
        for (at, table) in self.tables.iter_mut().enumerate() {
            let ways = Ways::new(legs, &self.ends, &table.name);
            let routes = topology.vrfs.get(&*table.name).map_or(&none, |vrf| &vrf.routes);
            let again = again.iter().filter(|route| route.0 == at).map(|route| route.1);
            let mut wanted = Vec::new();
            for prefix in table.follow(&ways, routes, anew, again) {
                match table.wanted(&ways, prefix) {
                    Some(want) => wanted.push((prefix, want)),
                    None => table.remove(prefix, &mut self.lines),
                }
            }
            let different: HashSet<&Want> = wanted.iter().map(|(_, want)| want).collect();
            self.lines.reserve(different.into_iter().map(Want::lines).sum::<usize>() + SPARE_LINES);
            for (prefix, want) in wanted {
                match want.take(&mut self.lines, mac) {
                    // As it is already: not used twice.
                    Some(number) if table.get(prefix) == Some(number) => self.lines.give(number),
                    Some(number) => self.pending.push((at, prefix, number)),
                    None => {
                        let why = "too many next hops";
                        tracing::error!(vrf = &*table.name, %prefix, "route not added: {why}");
                        self.missing.push(Missing { table: at, prefix, why: why.into() });
                    }
                }
            }
        }
    }
}

/// Whether routes lead by these legs as they do by those: what else is different is nothing to other routes than their own.
fn leads_alike(was: &BTreeMap<u16, Leg>, legs: &BTreeMap<u16, Leg>) -> bool {
    let same = |old: &Leg, new: &Leg| {
        (&old.name, &old.vrf, old.mac, old.mtu, old.peer) == (&new.name, &new.vrf, new.mac, new.mtu, new.peer)
            && old.addresses == new.addresses
    };
    was.keys().eq(legs.keys()) && was.values().zip(legs.values()).all(|(old, new)| same(old, new))
}

/// The MAC address of a neighbour, where that is known.
fn mac_of_neighbour(
    legs: &BTreeMap<u16, Leg>,
    neighbours: &Neighbours<Packet>,
    interface: u16,
    address: IpAddr,
) -> Option<Mac> {
    let configured = legs.get(&interface)?.statics.get(&address).copied();
    configured.or_else(|| neighbours.get(interface, address)?.mac)
}
