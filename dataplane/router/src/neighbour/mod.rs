//! Who has which address on the links of routed interfaces: ARP and neighbour discovery as one table.
//!
//! ```text
//!             want, pin                    answer              time is over            no answer
//!  (nothing) ───────────▶ Incomplete ───────────────▶ Reachable ───────────▶ Probing ───────────▶ (nothing)
//!      │                    │    ▲                        ▲                  ▲   │
//!      │ its own question   ▼    │ want, pinned           └── answer ────────┼───┘
//!      └──────────────▶   Failed ┘               Stale ──────────────────────┘ after a moment
//! ```
//!
//! - **Asking** (RFC 1122 §2.3.2, RFC 4861 §7.2.2): the first packet for a neighbour asks at once and waits. After three
//!   questions, a second apart, packets are given up and the sender can be told; for a moment after that no packet asks again.
//! - **Ageing**: control does not see which neighbours workers send to, so every known neighbour is asked again by itself when
//!   its time is over, and forgotten if it is silent. What is pinned is asked for again, ever more seldom.
//! - **Learning**: answers to us, and questions from those who ask for one of our addresses (RFC 826). Announcements change
//!   what is known and add nothing (RFC 4861 §7.2.5). What was not confirmed by an answer to us is confirmed within seconds or
//!   forgotten.
//! - **Limits**: entries per interface and in all, packets per neighbour and in all, new neighbours per second. Who floods one
//!   interface takes from the unresolved and unconfirmed entries of that interface; what is reachable never makes room for
//!   packets or questions.
//!
//! Every packet that goes in comes out exactly once, as [`Action::Release`] or [`Action::GiveUp`].

mod ask;
mod change;
mod fixed;
mod learn;
mod own;
mod settings;
mod table;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use paceline_graph::Bucket;
use paceline_wire::ethernet::Mac;

use crate::frame::Frame;
use crate::interface::Interface;
use own::Own;
pub use settings::{Counters, Settings};
use table::{Key, Table};
use waiting::Waiting;

/// How well a neighbour is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All on the link are being asked for it.
    Incomplete,
    /// It answered us not long ago.
    Reachable,
    /// It was heard, but has not answered us.
    Stale,
    /// It is being asked whether it is still there.
    Probing,
    /// Nobody answered.
    Failed,
    /// It was configured, and no frame changes it.
    Static,
}

impl State {
    /// Whether its Ethernet address is known.
    pub const fn is_resolved(self) -> bool {
        matches!(self, State::Reachable | State::Stale | State::Probing | State::Static)
    }
}

/// What is to be done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<P> {
    /// A frame is to be sent by an interface.
    Send {
        /// Which.
        interface: u16,
        /// The frame, without padding.
        frame: Frame,
    },
    /// A neighbour has this Ethernet address from now on, until it is said otherwise.
    Resolved {
        /// The interface it is behind.
        interface: u16,
        /// Its address.
        address: IpAddr,
        /// Its Ethernet address.
        mac: Mac,
    },
    /// A neighbour that was resolved is not any more.
    Lost {
        /// The interface it was behind.
        interface: u16,
        /// Its address.
        address: IpAddr,
    },
    /// A packet that waited can be sent to its neighbour.
    Release {
        /// The packet.
        packet: P,
        /// The interface to send it by.
        interface: u16,
        /// The neighbour's Ethernet address.
        mac: Mac,
    },
    /// A packet cannot be sent.
    GiveUp {
        /// The packet.
        packet: P,
        /// Why.
        cause: Cause,
    },
    /// An own address was found to be free and may be used.
    Usable {
        /// The interface.
        interface: u16,
        /// The address.
        address: IpAddr,
    },
    /// Another station claims an own address. At most one of these per address and [`Settings::defend`].
    Conflict {
        /// The interface.
        interface: u16,
        /// The address.
        address: IpAddr,
        /// The other station.
        mac: Mac,
        /// It had the address first: we do not use it, and try again after [`Settings::duplicate`]. Otherwise it is defended.
        lost: bool,
    },
}

/// Why a packet is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The neighbour does not answer: the sender is to be told that the host is unreachable (RFC 1812 §4.3.3.1, RFC 4861
    /// §7.2.2).
    Unanswered,
    /// Other packets that wait took its place.
    Crowded,
    /// There is no room for another neighbour, or its own made room for another.
    Full,
    /// There are too many new neighbours at a time.
    Busy,
    /// No neighbour can have the address: it is one of a group, of all on the link, or our own.
    Unfit,
    /// There is no such interface, or not any more.
    NoInterface,
}

impl Cause {
    /// Whether the sender is to be told.
    pub const fn is_told(self) -> bool {
        matches!(self, Cause::Unanswered)
    }
}

/// Why a neighbour is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such interface.
    #[error("no such interface")]
    NoInterface,
    /// No neighbour can have the address.
    #[error("the address is of a group, of all on the link, or the interface's own")]
    Unfit,
    /// There is no room: all other neighbours are pinned.
    #[error("no room for another neighbour")]
    Full,
}

/// A neighbour, to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The interface it is behind.
    pub interface: u16,
    /// Its address.
    pub address: IpAddr,
    /// How well it is known.
    pub state: State,
    /// Its Ethernet address, if it is known.
    pub mac: Option<Mac>,
    /// Something depends on it.
    pub pinned: bool,
    /// Since when it has this Ethernet address, or has failed.
    pub since: Duration,
    /// Packets that wait for it.
    pub waiting: usize,
}

/// An interface and how much new it may still hear of.
struct Link {
    interface: Interface,
    own: Vec<Own>,
    asks: Bucket,
    learns: Bucket,
}

/// The neighbours of all interfaces, and the own addresses on them. `P` is a packet that waits.
pub struct Neighbours<P> {
    settings: Settings,
    links: BTreeMap<u16, Link>,
    table: Table,
    waiting: Waiting<P>,
    /// When something is to be done about own addresses.
    own_timers: BTreeSet<(Duration, Key)>,
    counters: Counters,
    random: fastrand::Rng,
}

impl<P> Neighbours<P> {
    /// None yet.
    pub fn new(settings: Settings) -> Neighbours<P> {
        let random = fastrand::Rng::with_seed(settings.seed);
        Neighbours {
            settings,
            links: BTreeMap::new(),
            table: Table::default(),
            waiting: Waiting::new(),
            own_timers: BTreeSet::new(),
            counters: Counters::default(),
            random,
        }
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Neighbours, static ones not counted: at most [`Settings::all`].
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none, static ones not counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Packets that wait: at most [`Settings::waiting_all`].
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// One neighbour.
    pub fn get(&self, interface: u16, address: IpAddr) -> Option<Neighbour> {
        let key = (interface, address);
        self.table.get(key).map(|entry| self.show(key, entry))
    }

    /// All neighbours, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Neighbour> {
        self.table.iter().map(|(key, entry)| self.show(key, entry))
    }

    fn show(&self, key: Key, entry: &table::Entry) -> Neighbour {
        Neighbour {
            interface: key.0,
            address: key.1,
            state: entry.state,
            mac: entry.state.is_resolved().then_some(entry.mac),
            pinned: entry.pinned,
            since: entry.since,
            waiting: self.waiting.count(key),
        }
    }

    /// When [`poll`](Self::poll) has something to do; `None` if never.
    pub fn next_deadline(&self) -> Option<Duration> {
        let own = self.own_timers.first().map(|(deadline, _)| *deadline);
        self.table.next_deadline().into_iter().chain(own).min()
    }
}
