//! Network address translation: its configuration as workers see it, and the sessions that they keep.
//!
//! Mappings are endpoint-dependent (RFC 4787 §4.1, as VPP's nat44-ed): a session is one flow of an inside host to one remote
//! port, and an outside port serves as many of them as there are remote ports. Each worker keeps the sessions of the outside
//! ports that it owns, so that both directions of a flow meet there. Where there are no ports, the remote address decides.
//!
//! The scope of a flow is the routing table (VRF) that its packets came in by: that of the inside host, or that of the outside
//! interface. So a session says which of several hosts with one address an answer is for, and by which table it is routed.
//!
//! A new configuration [succeeds](Nat::succeed) an older one: sessions stay, but for those that it does not allow any more.
//! Each session remembers the configuration that it was last held against. It is held against a new one by its next packet,
//! or by the worker's sweep, whichever comes first.

mod config;
mod ports;
mod side;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use paceline_tables::{Address, Session, State, Tuple};

pub use config::{NatConfig, NatError, NatLimits, NatMapping};
pub use ports::Ports;
pub use side::{NatSide, NatTable};
pub use view::{NatSession, NatTotals};

use crate::counters::Count;
use crate::session::{SessionClock, SessionTimeouts, over};

/// Flag of a session: its destination is translated, as of one that began outside.
pub const INBOUND: u8 = 1;
/// Flag of a session: it began by a mapping.
pub const STATIC: u8 = 2;
/// Flag of a session: its source is translated as well as its destination, as of one between two inside hosts.
pub const TWICE: u8 = 4;

/// Slots that one sweep looks at.
const SWEEP: u32 = 64;
/// Sessions that one sweep ends because of their age.
const ENDS: usize = 16;

/// What one worker counts of one version of IP. Packets that it drops are counted at the nodes.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct NatCounters {
    /// Sessions begun.
    pub created: Count,
    /// Sessions that ended because of their age.
    pub expired: Count,
    /// Sessions that made way for others.
    pub reclaimed: Count,
    /// Sessions that a new configuration did not allow any more.
    pub flushed: Count,
    /// Sessions not begun: no port was free.
    pub no_port: Count,
    /// Sessions not begun: the table was full.
    pub table_full: Count,
    /// Sessions not begun: the host had as many as it may.
    pub host_limit: Count,
}

/// Address translation, as the snapshot holds it.
pub struct Nat {
    v4: NatSide<u32>,
    v6: NatSide<u128>,
    /// Who owns which ports.
    pub ports: Ports,
    /// How long sessions live.
    timeouts: SessionTimeouts,
    /// Most sessions of one host; 0 for any number.
    pub per_host: u32,
    /// The lower half of `count`, which sessions remember.
    pub generation: u16,
    /// The number of this configuration among all that succeeded each other.
    count: u64,
    /// Routing tables by number, each with the configuration from which on it has that.
    vrfs: BTreeMap<u16, (Arc<str>, u64)>,
    clock: SessionClock,
}

impl Nat {
    /// Address translation without any sessions.
    ///
    /// # Errors
    /// Something in the configuration does not fit together, or there is no memory.
    pub fn new(config: &NatConfig) -> Result<Arc<Nat>, NatError> {
        Nat::with_clock(config, SessionClock::default())
    }

    /// As [`new`](Self::new), with a clock of one's own.
    ///
    /// # Errors
    /// Something in the configuration does not fit together, or there is no memory.
    pub fn with_clock(config: &NatConfig, clock: SessionClock) -> Result<Arc<Nat>, NatError> {
        Nat::build(config, clock, None)
    }

    /// Another configuration. Sessions that it allows live on, unless the number of workers or sessions is another one: then
    /// all of them end.
    ///
    /// # Errors
    /// Something in the configuration does not fit together, or there is no memory.
    pub fn succeed(&self, config: &NatConfig) -> Result<Arc<Nat>, NatError> {
        Nat::build(config, self.clock.clone(), Some(self))
    }

    fn build(config: &NatConfig, clock: SessionClock, before: Option<&Nat>) -> Result<Arc<Nat>, NatError> {
        if !(1..=1024).contains(&config.workers) {
            return Err(NatError::Workers(config.workers));
        }
        let (first, last) = (*config.ports.start(), *config.ports.end());
        let ports = Ports::new(&config.ports, config.workers);
        let ports = ports.ok_or(NatError::Ports { first, last, workers: config.workers })?;
        for mapping in &config.mappings {
            let (protocol, port) = (mapping.protocol, mapping.outside_port);
            if mapping.outside.is_some_and(|outside| outside.is_ipv4() != mapping.inside.is_ipv4()) {
                return Err(NatError::Mapping { protocol, port });
            }
        }
        let count = before.map_or(1, |nat| nat.count + 1);
        let since = |name: &Arc<str>, number: u16| {
            let is_same = |before: &&(Arc<str>, u64)| before.0 == *name;
            let before = before.and_then(|nat| nat.vrfs.get(&number)).filter(is_same);
            before.map_or(count, |(_, since)| *since)
        };
        let vrfs = config.vrfs.iter();
        let vrfs = vrfs.map(|(name, at)| (*at, (Arc::clone(name), since(name, *at)))).collect();
        let addresses4: Vec<_> = config.addresses4.iter().map(|a| (*a).into()).collect();
        let addresses6: Vec<_> = config.addresses6.iter().map(|a| (*a).into()).collect();
        Ok(Arc::new(Nat {
            v4: NatSide::new(config, &ports, &addresses4, before.map(|nat| &nat.v4))?,
            v6: NatSide::new(config, &ports, &addresses6, before.map(|nat| &nat.v6))?,
            ports,
            timeouts: config.timeouts,
            per_host: config.limits.per_host,
            generation: count as u16,
            count,
            vrfs,
            clock,
        }))
    }

    /// Translation of IPv4.
    #[inline]
    pub fn v4(&self) -> &NatSide<u32> {
        &self.v4
    }

    /// Translation of IPv6.
    #[inline]
    pub fn v6(&self) -> &NatSide<u128> {
        &self.v6
    }

    /// The time in seconds, to be read once for a vector.
    #[inline]
    pub fn now(&self) -> u32 {
        self.clock.now()
    }

    /// Seconds that a session has still to live without a packet; `None` if it is over.
    pub fn left(&self, state: State, now: u32) -> Option<u32> {
        self.timeouts.left(state, now)
    }

    /// The name of a routing table.
    pub fn vrf(&self, number: u16) -> Option<&str> {
        self.vrfs.get(&number).map(|(name, _)| &**name)
    }

    /// How long sessions live.
    pub fn timeouts(&self) -> &SessionTimeouts {
        &self.timeouts
    }

    /// Ends a session of the worker that calls this.
    pub fn end<T: Address>(&self, side: &NatSide<T>, table: &NatTable<T>, session: Session<'_, T>) {
        let (before, after) = session.flows();
        side.count_host(table, &before, &after, session.flags(), false);
        table.sessions.remove(session.slot());
    }

    /// Ends sessions of the worker that calls this: some of those that are too old, and some that a new configuration does not
    /// allow. To be called for each vector, or it ends none.
    #[inline]
    pub fn tidy<T: Address>(&self, side: &NatSide<T>, table: &NatTable<T>, now: u32) {
        let is_swept = table.swept.load(Relaxed) == u32::from(self.generation);
        for _ in 0..ENDS {
            let Some(session) = over(&table.sessions, &self.timeouts, now) else { break };
            self.end(side, table, session);
            table.counters.expired.add(1);
        }
        if !is_swept {
            self.sweep(side, table);
        }
    }

    #[cold]
    fn sweep<T: Address>(&self, side: &NatSide<T>, table: &NatTable<T>) {
        // A sweep that a newer configuration interrupts begins anew.
        let at = table.sweep_at.load(Relaxed);
        let start = if table.sweeping.load(Relaxed) == u32::from(self.generation) { at } else { 0 };
        let end = start.saturating_add(SWEEP).min(table.sessions.used());
        for slot in start..end {
            let Some(session) = table.sessions.get(slot) else { continue };
            self.recheck(side, table, session);
        }
        table.sweeping.store(self.generation.into(), Relaxed);
        table.sweep_at.store(end, Relaxed);
        if end == table.sessions.used() {
            table.swept.store(self.generation.into(), Relaxed);
        }
    }

    /// Whether a session of an earlier configuration is one that this one allows: its routing tables are those that they were then,
    /// and all else is as it is configured.
    fn holds<T: Address>(
        &self,
        side: &NatSide<T>,
        [before, after]: [&Tuple<T>; 2],
        flags: u8,
        generation: u16,
    ) -> bool {
        let age = u64::from(self.generation.wrapping_sub(generation));
        let is_there = |vrf: u16| self.vrfs.get(&vrf).is_some_and(|(_, since)| age <= self.count - since);
        is_there(before.scope) && is_there(after.scope) && side.holds(before, after, flags)
    }

    /// Whether a session is one that the configuration allows; if not, it is ended.
    pub fn recheck<T: Address>(
        &self,
        side: &NatSide<T>,
        table: &NatTable<T>,
        session: Session<'_, T>,
    ) -> bool {
        let (before, after) = session.flows();
        let holds = self.holds(side, [&before, &after], session.flags(), session.state().generation);
        if !holds {
            self.end(side, table, session);
            table.counters.flushed.add(1);
        }
        holds
    }
}
