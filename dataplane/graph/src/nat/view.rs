//! Sessions and counts, for control: read while workers go on.

use std::net::SocketAddr;

use paceline_tables::{Address, SessionEntry, Tuple};

use super::{Nat, NatSide, STATIC};
use crate::session::SessionClass;

/// A session, as `show nat` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatSession {
    /// The worker that keeps it.
    pub worker: usize,
    /// IP protocol number.
    pub protocol: u8,
    /// Numbers of the routing tables that the packet that began it came in by, and that it then went on in.
    pub vrfs: [u16; 2],
    /// Source and destination of the packet that began it; ports are 0 where there are none.
    pub before: [SocketAddr; 2],
    /// What they became.
    pub after: [SocketAddr; 2],
    /// What it is.
    pub class: SessionClass,
    /// Whether it began by a mapping.
    pub is_static: bool,
    /// Seconds since its last packet.
    pub idle: u32,
    /// Seconds that it has still to live without another one.
    pub left: u32,
    /// Packets of both directions.
    pub packets: u64,
}

/// Counts of all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatTotals {
    /// Sessions there are, those included that are over and not yet ended.
    pub sessions: u64,
    /// Sessions begun.
    pub created: u64,
    /// Sessions that ended because of their age.
    pub expired: u64,
    /// Sessions that made way for others.
    pub reclaimed: u64,
    /// Sessions that a new configuration did not allow any more.
    pub flushed: u64,
    /// Sessions not begun: no port was free.
    pub no_port: u64,
    /// Sessions not begun: the table was full.
    pub table_full: u64,
    /// Sessions not begun: the host had as many as it may.
    pub host_limit: u64,
    /// Bytes of memory for sessions, if all of it is in use.
    pub bytes: u64,
}

impl Nat {
    /// All sessions that are alive, in no order. Workers go on meanwhile, so those that come or go may be missed.
    pub fn sessions(&self) -> Vec<NatSession> {
        let now = self.now();
        let mut all = Vec::new();
        self.list(&self.v4, now, &mut all);
        self.list(&self.v6, now, &mut all);
        all
    }

    fn list<T: Address>(&self, side: &NatSide<T>, now: u32, all: &mut Vec<NatSession>) {
        for (worker, table) in side.tables().iter().enumerate() {
            let view = |entry: SessionEntry<T>| self.view(side, worker, now, &entry);
            all.extend(table.sessions.entries().into_iter().filter_map(view));
        }
    }

    fn view<T: Address>(
        &self,
        side: &NatSide<T>,
        worker: usize,
        now: u32,
        entry: &SessionEntry<T>,
    ) -> Option<NatSession> {
        let (SessionEntry { before, after, .. }, generation) = (entry, entry.state.generation);
        let is_held =
            generation == self.generation || self.holds(side, [before, after], entry.flags, generation);
        is_held.then_some(())?;
        let ends = |flow: &Tuple<T>| {
            let end = |address: T, port| SocketAddr::new(address.ip(), port);
            [end(flow.source, flow.source_port()), end(flow.destination, flow.destination_port())]
        };
        Some(NatSession {
            worker,
            protocol: before.protocol,
            vrfs: [before.scope, after.scope],
            before: ends(before),
            after: ends(after),
            class: SessionClass::of(entry.state.class)?,
            is_static: entry.flags & STATIC != 0,
            idle: now.saturating_sub(entry.state.seen),
            left: self.left(entry.state, now)?,
            packets: entry.packets,
        })
    }

    /// Counts of all workers: IPv4, IPv6.
    pub fn totals(&self) -> [NatTotals; 2] {
        [totals(&self.v4), totals(&self.v6)]
    }
}

fn totals<T: Address>(side: &NatSide<T>) -> NatTotals {
    let mut all = NatTotals::default();
    for table in side.tables() {
        let counters = &table.counters;
        all.sessions += table.sessions.len() as u64;
        all.created += counters.created.get();
        all.expired += counters.expired.get();
        all.reclaimed += counters.reclaimed.get();
        all.flushed += counters.flushed.get();
        all.no_port += counters.no_port.get();
        all.table_full += counters.table_full.get();
        all.host_limit += counters.host_limit.get();
        all.bytes += table.bytes() as u64;
    }
    all
}
