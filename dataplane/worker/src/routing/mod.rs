//! Routing, control's side: legs, tables, adjacencies and neighbours, and the packets that workers leave to control.
//!
//! [`Routing`] is shared by the engine, which brings it to a new topology (`change`), and by the thread that serves packets (`serve`).

mod change;
mod exit;
mod groups;
mod leg;
mod lines;
mod neighbours;
mod ping;
mod serve;
mod snooping;
mod strangers;
mod table;
mod thread;
mod views;
mod want;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use paceline_buf::Packet;
use paceline_router::Frame;
use paceline_router::groups::Groups;
use paceline_router::local::Local;
use paceline_router::neighbour::{Action, Neighbours, Settings};
use paceline_router::snooping::{Question, Snooping};

use crate::numbers::Numbers;
use change::Missing;
use exit::Way;
pub(crate) use leg::{Leg, mac_of};
use lines::Lines;
use ping::Pings;
pub use ping::{PingError, PingRequest, PingTicket};
pub(crate) use strangers::Stranger;
use strangers::Strangers;
use table::{Marks, Table};
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
    /// By the number that packets and snapshots have. One that nobody names any more is empty and has no name, until its number has
    /// rested and a new one takes its place.
    tables: Vec<Table>,
    numbers: Numbers,
    lines: Lines,
    /// Routes to be written when the snapshot is in use, each with its adjacency, by table.
    pending: Vec<(usize, IpNet, u32)>,
    /// Routes for which there was no room, by table. They are tried again with the next change.
    missing: Vec<Missing>,
    marks: Option<(usize, Vec<Marks>)>,
    /// Routing tables that could not be made, by name, each with the reason.
    unmade: BTreeMap<String, String>,
    /// Legs that are new in their table: what comes in by them waits until their routes are written.
    closed: BTreeSet<u16>,
    /// Their routes are written, and the next snapshot opens them.
    opens: bool,
    neighbours: Neighbours<Packet>,
    /// Legs that `neighbours` knows, as it knows them.
    known: BTreeMap<u16, Leg>,
    /// Next hops of routes that are to be kept resolved, and are not yet; and those of them of which it was said that they cannot be.
    unpinned: BTreeSet<(u16, IpAddr)>,
    refused: BTreeSet<(u16, IpAddr)>,
    /// What came of neighbours and is still to be done.
    actions: Vec<Action<Packet>>,
    /// The switch as a host, by number of the table.
    locals: BTreeMap<u16, Local>,
    groups: Groups,
    /// Who is in which multicast group, in bridges that listen.
    snooping: Snooping,
    /// What these ask, and is still to be sent.
    questions: Vec<Question>,
    strangers: Strangers,
    pings: Pings,
    /// Words of stations that are still to be said, each with the station's interface.
    words: Vec<(u16, Frame)>,
    /// A packet that is being looked at.
    scratch: Vec<u8>,
    started: Instant,
}

impl Routing {
    pub(crate) fn new() -> Routing {
        Routing {
            legs: BTreeMap::new(),
            ends: Ends::default(),
            tables: Vec::new(),
            numbers: Numbers::default(),
            lines: Lines::new(),
            pending: Vec::new(),
            missing: Vec::new(),
            marks: None,
            unmade: BTreeMap::new(),
            closed: BTreeSet::new(),
            opens: false,
            neighbours: Neighbours::new(Settings { probes6: 0, ..Settings::default() }),
            known: BTreeMap::new(),
            unpinned: BTreeSet::new(),
            refused: BTreeSet::new(),
            actions: Vec::new(),
            locals: BTreeMap::new(),
            groups: Groups::new(RandomState::new().hash_one(0)),
            snooping: Snooping::default(),
            questions: Vec::new(),
            strangers: Strangers::default(),
            pings: Pings::default(),
            words: Vec::new(),
            scratch: Vec::new(),
            started: Instant::now(),
        }
    }

    /// Why a table, or one of these routes of it, could not be made.
    pub(crate) fn error(&self, vrf: &str, is_meant: impl Fn(&IpNet) -> bool) -> Option<String> {
        let at = self.named(vrf);
        let mut routes = self.missing.iter().filter(|route| Some(route.table) == at);
        let route = || routes.find(|route| is_meant(&route.prefix)).map(|route| &route.why);
        self.unmade.get(vrf).or_else(route).cloned()
    }

    /// Has a bridge take in what a station would say of itself, as if that had said it.
    pub(crate) fn say(&mut self, interface: u16, frame: Frame) {
        self.words.push((interface, frame));
    }

    /// Time, as neighbours count it.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether it is between the two steps of a change, or of one that only opens what is closed.
    pub(crate) fn is_changing(&self) -> bool {
        self.marks.is_some() || self.opens
    }

    /// Lets a second pass for numbers that rest: see [`Numbers::second`].
    pub(crate) fn rest(&mut self) {
        self.numbers.second();
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

    /// The table of a name.
    fn named(&self, name: &str) -> Option<usize> {
        self.tables.iter().position(|table| *table.name == *name)
    }

    /// The number of a leg's table.
    fn number_of(&self, leg: &Leg) -> Option<u16> {
        self.named(&leg.vrf).map(|at| at as u16)
    }
}

#[cfg(test)]
mod tests;
