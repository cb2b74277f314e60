//! The entries, and the orders that they are found in: by time, and by what may make room for others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use paceline_wire::ethernet::Mac;

use super::State;

/// An interface and an address.
pub(super) type Key = (u16, IpAddr);

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) state: State,
    /// Means something only if the state is one of a neighbour that is known.
    pub(super) mac: Mac,
    /// Questions sent in this round.
    pub(super) tries: u8,
    /// Rounds that failed, one after the other.
    pub(super) rounds: u8,
    pub(super) pinned: bool,
    /// When something is to be done.
    pub(super) deadline: Option<Duration>,
    /// When the Ethernet address became what it is, or the last round failed.
    pub(super) since: Duration,
    /// Number of its last change of class, for the order of eviction.
    pub(super) stamp: u64,
}

impl Entry {
    pub(super) fn new(now: Duration) -> Entry {
        let (state, mac) = (State::Incomplete, Mac(0));
        Entry { state, mac, tries: 0, rounds: 0, pinned: false, deadline: None, since: now, stamp: 0 }
    }

    /// How readily it makes room for others; none if never.
    fn class(&self) -> Option<u8> {
        match self.state {
            _ if self.pinned => None,
            State::Static => None,
            State::Incomplete | State::Failed => Some(UNRESOLVED),
            State::Stale => Some(UNCONFIRMED),
            State::Probing => Some(PROBED),
            State::Reachable => Some(REACHABLE),
        }
    }
}

/// Classes of entries, in the order in which they make room.
pub(super) const UNRESOLVED: u8 = 0;
pub(super) const UNCONFIRMED: u8 = 1;
pub(super) const PROBED: u8 = 2;
pub(super) const REACHABLE: u8 = 3;

/// All entries.
#[derive(Default)]
pub(super) struct Table {
    entries: HashMap<Key, Entry>,
    timers: BTreeSet<(Duration, Key)>,
    order: BTreeSet<(u16, u8, u64, IpAddr)>,
    /// Entries that are not static, by interface; none is zero.
    counts: BTreeMap<u16, usize>,
    len: usize,
    stamps: u64,
}

impl Table {
    pub(super) fn get(&self, key: Key) -> Option<&Entry> {
        self.entries.get(&key)
    }

    /// Entries that are not static.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Entries of an interface that are not static.
    pub(super) fn count(&self, interface: u16) -> usize {
        self.counts.get(&interface).copied().unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Entry)> {
        self.entries.iter().map(|(key, entry)| (*key, entry))
    }

    pub(super) fn put(&mut self, key: Key, mut entry: Entry) {
        let old = self.remove(key);
        entry.stamp = match old {
            Some(old) if old.class() == entry.class() => old.stamp,
            _ => {
                self.stamps += 1;
                self.stamps
            }
        };
        if let Some(deadline) = entry.deadline {
            self.timers.insert((deadline, key));
        }
        if let Some(class) = entry.class() {
            self.order.insert((key.0, class, entry.stamp, key.1));
        }
        if entry.state != State::Static {
            *self.counts.entry(key.0).or_default() += 1;
            self.len += 1;
        }
        self.entries.insert(key, entry);
    }

    pub(super) fn change(&mut self, key: Key, change: impl FnOnce(&mut Entry)) {
        if let Some(mut entry) = self.get(key).copied() {
            change(&mut entry);
            self.put(key, entry);
        }
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        if let Some(deadline) = entry.deadline {
            self.timers.remove(&(deadline, key));
        }
        if let Some(class) = entry.class() {
            self.order.remove(&(key.0, class, entry.stamp, key.1));
        }
        if entry.state != State::Static {
            self.len -= 1;
            if let Some(count) = self.counts.get_mut(&key.0) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&key.0);
                }
            }
        }
        Some(entry)
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.timers.first().map(|(deadline, _)| *deadline)
    }

    /// An entry whose time has come.
    pub(super) fn due(&self, now: Duration) -> Option<Key> {
        self.timers.first().filter(|(deadline, _)| *deadline <= now).map(|(_, key)| *key)
    }

    /// The entry of an interface that is the first to make room, of some classes.
    pub(super) fn first(&self, interface: u16, classes: RangeInclusive<u8>) -> Option<Key> {
        let first = *self.order.range((interface, *classes.start(), 0, LEAST)..).next()?;
        (first.0 == interface && classes.contains(&first.1)).then_some((first.0, first.3))
    }

    /// The oldest unresolved entry of all interfaces: a look at the first of each.
    pub(super) fn oldest_unresolved(&self) -> Option<Key> {
        let first = |interface: &u16| {
            let first = *self.order.range((*interface, UNRESOLVED, 0, LEAST)..).next()?;
            (first.0 == *interface && first.1 == UNRESOLVED).then_some((first.2, (first.0, first.3)))
        };
        self.counts.keys().filter_map(first).min().map(|(_, key)| key)
    }
}

/// The first address in the order of addresses.
const LEAST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
