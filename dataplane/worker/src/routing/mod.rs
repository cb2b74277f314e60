//! Routing, control's side: legs, tables, adjacencies and neighbours, and the packets that workers leave to control.
//!
//! [`Routing`] is shared by the engine, which brings it to a new topology, and by the thread that serves packets (`serve`). A
//! change of topology is in two steps around the moment when workers go over to the new snapshot: before it, routes go that
//! would lead nowhere, and everything is made that new routes will lead to; after it, those are written.

mod groups;
mod leg;
mod lines;
mod neighbours;
mod ping;
mod serve;
mod strangers;
mod table;
mod thread;
mod views;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use paceline_buf::Packet;
use paceline_graph::{Adjacencies, L3, Vrf};
use paceline_router::Frame;
use paceline_router::groups::Groups;
use paceline_router::local::Local;
use paceline_router::neighbour::{Action, Neighbours, Settings};
use paceline_wire::ethernet::Mac;

use crate::spec::{Topology, VrfSpec};
pub(crate) use leg::{Leg, mac_of};
use lines::Lines;
use ping::Pings;
pub use ping::{PingError, PingRequest, PingTicket};
use serve::Way;
pub(crate) use strangers::Stranger;
use strangers::Strangers;
use table::{Marks, Table, Want};
pub(crate) use thread::Server;

/// Neighbours that may be found between two changes of the snapshot, which alone can make room for more adjacencies.
const SPARE_LINES: usize = 128;

/// What tunnels want of routing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Addresses that they end at, by routing table.
    pub local: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Groups that they are to hear, by interface.
    pub groups: BTreeMap<String, BTreeSet<IpAddr>>,
}

/// All of routing that control keeps.
pub(crate) struct Routing {
    legs: BTreeMap<u16, Leg>,
    ends: Ends,
    /// By the number that packets and snapshots have. One that nobody names any more is empty, and the next new one takes its
    /// place.
    tables: Vec<Table>,
    lines: Lines,
    /// Routes to be written when the snapshot is in use, each with its adjacency, by table.
    pending: Vec<(usize, IpNet, u32)>,
    marks: Option<(usize, Vec<Marks>)>,
    was: Topology,
    neighbours: Neighbours<Packet>,
    /// Legs that `neighbours` knows, as it knows them.
    known: BTreeMap<u16, Leg>,
    /// Next hops of routes, which are kept resolved: those of now, those of the last topology, and those that cannot be.
    wanted: BTreeSet<(u16, IpAddr)>,
    pinned: BTreeSet<(u16, IpAddr)>,
    refused: BTreeSet<(u16, IpAddr)>,
    /// What came of neighbours and is still to be done.
    actions: Vec<Action<Packet>>,
    /// The switch as a host, by number of the table.
    locals: BTreeMap<u16, Local>,
    groups: Groups,
    strangers: Strangers,
    pings: Pings,
    /// Words of stations that are still to be said, each with the station's interface.
    words: Vec<(u16, Frame)>,
    /// A packet that is being looked at.
    scratch: Vec<u8>,
    started: Instant,
}

/// What routing adds to a snapshot.
pub(crate) struct Part {
    pub vrfs: Vec<Vrf>,
    pub adjacencies: Arc<Adjacencies>,
    /// Of each leg: the number of its table, and what nodes know of it.
    pub legs: BTreeMap<u16, (u16, L3)>,
}

impl Routing {
    pub(crate) fn new() -> Routing {
        Routing {
            legs: BTreeMap::new(),
            ends: Ends::default(),
            tables: Vec::new(),
            lines: Lines::new(),
            pending: Vec::new(),
            marks: None,
            was: Topology::default(),
            neighbours: Neighbours::new(Settings { probes6: 0, ..Settings::default() }),
            known: BTreeMap::new(),
            wanted: BTreeSet::new(),
            pinned: BTreeSet::new(),
            refused: BTreeSet::new(),
            actions: Vec::new(),
            locals: BTreeMap::new(),
            groups: Groups::new(RandomState::new().hash_one(0)),
            strangers: Strangers::default(),
            pings: Pings::default(),
            words: Vec::new(),
            scratch: Vec::new(),
            started: Instant::now(),
        }
    }

    /// Has a bridge take in what a station would say of itself, as if that had said it.
    pub(crate) fn say(&mut self, interface: u16, frame: Frame) {
        self.words.push((interface, frame));
    }

    /// First step of a change: to these legs, by number, to the routes of `topology`, and to the ends of tunnels. Nothing leads any more to what will
    /// not be there.
    pub(crate) fn prepare(&mut self, legs: BTreeMap<u16, Leg>, topology: &Topology, ends: Ends) -> Part {
        let changed = legs != self.legs || topology.vrfs != self.was.vrfs || ends != self.ends;
        if changed {
            (self.legs, self.ends) = (legs, ends);
            self.name_tables(topology);
            self.rewrite(topology);
            self.was.vrfs.clone_from(&topology.vrfs);
        }
        self.lines.reserve(SPARE_LINES);
        self.marks = Some((self.lines.mark(), self.tables.iter().map(Table::mark).collect()));
        let number = |leg: &Leg| self.table_of(leg).map_or(paceline_graph::NO_DOMAIN, |at| at as u16);
        Part {
            vrfs: self.tables.iter().map(Table::vrf).collect(),
            adjacencies: Arc::clone(self.lines.table()),
            legs: self.legs.iter().map(|(at, leg)| (*at, (number(leg), leg.l3()))).collect(),
        }
    }

    /// Second step: every worker uses the new snapshot.
    pub(crate) fn complete(&mut self) {
        if let Some((mark, marks)) = self.marks.take() {
            self.lines.quiet(mark);
            for (table, mark) in self.tables.iter_mut().zip(marks) {
                table.quiet(mark);
            }
        }
        for (at, prefix, number) in std::mem::take(&mut self.pending) {
            let Some(table) = self.tables.get_mut(at) else { continue };
            if let Err(error) = table.insert(prefix, number, &mut self.lines) {
                tracing::error!(vrf = &*table.name, %prefix, "route not added: {error}");
            }
        }
        self.tell_neighbours();
    }

    /// Time, as neighbours count it.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether it is between the two steps of a change.
    pub(crate) fn is_changing(&self) -> bool {
        self.marks.is_some()
    }

    /// Whether memory waits for the next quiet point.
    pub(crate) fn waits(&self) -> bool {
        self.lines.waits()
    }

    /// Adjacencies that routes lead to.
    #[cfg(test)]
    pub(crate) fn lines_in_use(&self) -> usize {
        self.lines.in_use()
    }

    fn table_of(&self, leg: &Leg) -> Option<usize> {
        self.tables.iter().position(|table| *table.name == *leg.vrf)
    }

    /// Makes tables that are new, and ends those that nobody names.
    fn name_tables(&mut self, topology: &Topology) {
        let wanted: BTreeSet<&str> =
            topology.vrfs.keys().map(String::as_str).chain(self.legs.values().map(|leg| &*leg.vrf)).collect();
        for table in self.tables.iter_mut().filter(|table| !wanted.contains(&*table.name)) {
            let prefixes: Vec<IpNet> = table.iter().map(|(prefix, _)| prefix).collect();
            // Its routes give their adjacencies back.
            for prefix in prefixes {
                table.remove(prefix, &mut self.lines);
            }
        }
        for name in &wanted {
            if self.tables.iter().any(|table| *table.name == **name) {
                continue;
            }
            if let Some(table) = self.tables.iter_mut().find(|table| !wanted.contains(&*table.name)) {
                table.name = (*name).into();
                continue;
            }
            match Table::new(name) {
                Ok(table) => self.tables.push(table),
                Err(error) => tracing::error!(vrf = name, "no routing table: {error}"),
            }
        }
    }

    /// Takes routes out that are not wanted, and prepares those that are.
    fn rewrite(&mut self, topology: &Topology) {
        for (_, _, number) in std::mem::take(&mut self.pending) {
            self.lines.give(number);
        }
        let (none, no_ends) = (VrfSpec::default(), BTreeSet::new());
        self.wanted.clear();
        let neighbours = &self.neighbours;
        for (at, table) in self.tables.iter_mut().enumerate() {
            let legs = &self.legs;
            let ends = self.ends.local.get(&*table.name).unwrap_or(&no_ends);
            let wanted = table.wanted(legs, topology.vrfs.get(&*table.name).unwrap_or(&none), ends);
            let gone: Vec<IpNet> = table
                .iter()
                .map(|(prefix, _)| prefix)
                .filter(|prefix| !wanted.contains_key(prefix))
                .collect();
            for prefix in gone {
                table.remove(prefix, &mut self.lines);
            }
            table.found.retain(|address, interface| {
                let want = wanted.get(&IpNet::from(*address));
                want.is_some_and(|want| want.next_hops().eq([(*interface, *address)]))
            });
            let different: HashSet<&Want> = wanted.values().collect();
            self.lines.reserve(different.into_iter().map(Want::lines).sum::<usize>() + SPARE_LINES);
            for (prefix, want) in wanted {
                self.wanted.extend(want.next_hops().filter(|hop| IpNet::from(hop.1) != prefix));
                let mac = |interface, address| mac_of_neighbour(legs, neighbours, interface, address);
                match table::take(&want, &mut self.lines, mac) {
                    // As it is already: not used twice.
                    Some(number) if table.get(prefix) == Some(number) => self.lines.give(number),
                    Some(number) => self.pending.push((at, prefix, number)),
                    None => {
                        tracing::error!(vrf = &*table.name, %prefix, "route not added: too many next hops");
                    }
                }
            }
        }
    }
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
