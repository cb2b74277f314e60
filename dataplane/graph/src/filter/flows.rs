//! Flows that stateful policies have permitted, and what is told about them.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam::queue::ArrayQueue;
use paceline_tables::{Address, Full, RouteError, Session, Sessions, State, Tuple};

use super::config::{SessionSpec, Verdict};
use super::policy::Policy;
use crate::counters::Count;
use crate::hop::MAX_INTERFACES;
use crate::session::{Owners, SessionClock, SessionTimeouts, over};

/// Flag of a session: the rule that permits it does more than that, so that its packets are to be judged one by one.
pub const JUDGED: u8 = 1;

/// Sessions that are ended for their age with one vector.
const ENDS: usize = 16;
/// Events that may wait for control.
const EVENTS: usize = 4096;

/// Where a policy meets packets, as the scope of their flows: at an interface, as they come in or leave. Answers to a flow are met at the
/// other one of the two. So what comes in and leaves by one interface has a session at each, and its answers find both.
#[inline(always)]
pub const fn scope(interface: u16, out: bool) -> u16 {
    interface << 1 | out as u16
}

/// The interface of a scope, and whether packets leave by it.
#[inline(always)]
pub const fn of_scope(scope: u16) -> (u16, bool) {
    (scope >> 1, scope & 1 != 0)
}

/// What all filters share: sessions, the flow log, and the number of the configuration.
pub struct Flows {
    v4: Arc<[FlowTable<u32>]>,
    v6: Arc<[FlowTable<u128>]>,
    spec: SessionSpec,
    /// Workers that there are.
    pub workers: usize,
    /// The number of this configuration, which sessions are held against.
    pub generation: u16,
    /// Configurations so far, of which the generation is the lower half.
    count: u64,
    /// By interface: the configuration from which on its number is that of what it is now. None: always.
    since: BTreeMap<u16, u64>,
    clock: SessionClock,
    seed: u64,
    /// What waits to be told.
    pub log: Arc<FlowLog>,
}

/// Sessions of one worker.
pub struct FlowTable<T: Address> {
    /// The sessions. Their flows are what packets have, without translation; the [`scope`] says where.
    pub sessions: Sessions<T>,
    /// What it counts.
    pub counters: FlowCounters,
    /// Sessions of each interface, and the configuration from which on its number is that of what it is now.
    interfaces: Owners,
    since: Box<[AtomicU64]>,
}

impl<T: Address> FlowTable<T> {
    /// Bytes of memory, if all of it is in use.
    pub fn bytes(&self) -> usize {
        self.sessions.bytes() + self.interfaces.bytes() + size_of_val(&*self.since)
    }
}

/// What one worker counts of one version of IP.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct FlowCounters {
    /// Sessions begun.
    pub created: Count,
    /// Sessions that ended because of their age.
    pub expired: Count,
    /// Sessions that made way for others.
    pub reclaimed: Count,
    /// Sessions that a new configuration did not allow any more, or that were another interface's.
    pub flushed: Count,
    /// Sessions not begun: the table was full.
    pub table_full: Count,
    /// Sessions not begun: the interface had as many as it may.
    pub interface_limit: Count,
}

/// What filters tell: bounded, so that who makes much to tell loses it.
#[derive(Debug)]
pub struct FlowLog {
    /// Events, the oldest first.
    pub events: ArrayQueue<FlowEvent>,
    /// Events that found no place, or were more than may be told in a second.
    pub lost: AtomicU64,
}

/// Something that a rule decided.
#[derive(Clone)]
pub struct FlowEvent {
    /// Number of the interface.
    pub interface: u16,
    /// Whether the packet left by it, and did not come in.
    pub outbound: bool,
    /// What became of it.
    pub verdict: Verdict,
    /// The policy.
    pub policy: Arc<Policy>,
    /// The number of the rule in it.
    pub rule: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// Source address and port; type of an ICMP message.
    pub source: (IpAddr, u16),
    /// Destination address and port; code of an ICMP message.
    pub destination: (IpAddr, u16),
    /// Bytes of the frame.
    pub bytes: usize,
}

impl std::fmt::Debug for FlowEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, rule) = (&self.policy.name, self.rule);
        write!(f, "{:?} by rule {rule} of {name}: {:?} to {:?}", self.verdict, self.source, self.destination)
    }
}

impl Flows {
    /// What filters share. Sessions of `before` live on if there are to be as many of them for as many workers; without stateful
    /// policies there is no memory for any.
    ///
    /// # Errors
    /// The system has not so much memory.
    pub fn new(
        spec: SessionSpec,
        workers: usize,
        stateful: bool,
        before: Option<&Flows>,
        clock: SessionClock,
    ) -> Result<Flows, RouteError> {
        let keepers = if stateful { workers } else { 0 };
        let limit = spec.limit.clamp(1, Sessions::<u32>::MAX);
        Ok(Flows {
            v4: tables(before.map(|flows| &flows.v4), keepers, limit)?,
            v6: tables(before.map(|flows| &flows.v6), keepers, limit)?,
            spec,
            workers,
            generation: before.map_or(1, |flows| flows.generation.wrapping_add(1)),
            count: before.map_or(1, |flows| flows.count + 1),
            since: before.map(|flows| flows.since.clone()).unwrap_or_default(),
            clock: before.map_or(clock, |flows| flows.clock.clone()),
            seed: before.map_or_else(|| RandomState::new().hash_one(3_u64), |flows| flows.seed),
            log: before.map_or_else(
                || Arc::new(FlowLog { events: ArrayQueue::new(EVENTS), lost: AtomicU64::new(0) }),
                |flows| Arc::clone(&flows.log),
            ),
        })
    }

    /// Each worker's sessions of IPv4.
    pub fn v4(&self) -> &[FlowTable<u32>] {
        &self.v4
    }

    /// Each worker's sessions of IPv6.
    pub fn v6(&self) -> &[FlowTable<u128>] {
        &self.v6
    }

    /// How long sessions live.
    pub fn timeouts(&self) -> &SessionTimeouts {
        &self.spec.timeouts
    }

    /// How sessions are kept.
    pub fn spec(&self) -> SessionSpec {
        self.spec
    }

    /// Remembers a flow that has no session yet.
    ///
    /// # Errors
    /// There is no room.
    pub fn begin<'a, T: Address>(
        &self,
        table: &'a FlowTable<T>,
        flow: &Tuple<T>,
        flags: u8,
        state: State,
    ) -> Result<Session<'a, T>, Full> {
        let (interface, _) = of_scope(flow.scope);
        let back = Tuple { scope: flow.scope ^ 1, ..*flow };
        let session = table.sessions.insert(flow, &back, flags, state)?;
        self.count(table, interface);
        table.interfaces.begin(interface.into());
        Ok(session)
    }

    /// Forgets a flow.
    pub fn end<T: Address>(&self, table: &FlowTable<T>, session: Session<'_, T>) {
        let (interface, _) = of_scope(session.flows().0.scope);
        // What is of who had the number before is not in its count any more.
        if !self.is_of_another(interface, session.state().generation) {
            table.interfaces.end(interface.into());
        }
        table.sessions.remove(session.slot());
    }

    /// Sessions of an interface in a table: of what it is now.
    fn count<T: Address>(&self, table: &FlowTable<T>, interface: u16) -> u32 {
        let since = self.since.get(&interface).copied().unwrap_or_default();
        if let Some(known) =
            table.since.get(usize::from(interface)).filter(|known| known.load(Relaxed) != since)
        {
            known.store(since, Relaxed);
            table.interfaces.clear(interface.into());
        }
        table.interfaces.count(interface.into())
    }

    /// Whether an interface has as many sessions of a table as it may.
    pub fn is_at_limit<T: Address>(&self, table: &FlowTable<T>, interface: u16) -> bool {
        let most = self.spec.per_interface;
        most > 0 && self.count(table, interface) >= most
    }

    /// The time in seconds, to be read once for a vector.
    #[inline]
    pub fn now(&self) -> u32 {
        self.clock.now()
    }

    /// The worker that keeps the sessions between two hosts: of all of them, in both directions, on all interfaces, and that knows
    /// the parts of packets between them.
    pub fn owner<T: Address>(&self, one: T, other: T) -> usize {
        let hash = T::hash_hosts(self.seed, one.min(other), one.max(other));
        (((hash >> 32) * self.workers as u64) >> 32) as usize
    }

    /// Ends some of the sessions that are too old. To be called for each vector, or it ends none.
    #[inline]
    pub fn tidy<T: Address>(&self, table: &FlowTable<T>, now: u32) {
        for _ in 0..ENDS {
            let Some(session) = over(&table.sessions, self.timeouts(), now) else { return };
            self.end(table, session);
            table.counters.expired.add(1);
        }
    }

    /// Says that the number of an interface is another one's from this configuration on: sessions that it has from before are over,
    /// each with its next packet.
    pub fn renew(&mut self, interface: u16) {
        self.since.insert(interface, self.count);
    }

    /// Whether a session of a configuration before this one is of who had the number of its interface then.
    fn is_of_another(&self, interface: u16, generation: u16) -> bool {
        let age = u64::from(self.generation.wrapping_sub(generation));
        self.since.get(&interface).is_some_and(|since| age > self.count - since)
    }

    /// A session, unless it is too old, or of an interface that is not there any more.
    pub fn find<'a, T: Address>(
        &self,
        table: &'a FlowTable<T>,
        flow: &Tuple<T>,
        now: u32,
    ) -> Option<Session<'a, T>> {
        let session = table.sessions.find(flow)?;
        if self.timeouts().left(session.state(), now).is_none() {
            self.end(table, session);
            table.counters.expired.add(1);
            return None;
        }
        let generation = session.state().generation;
        if generation != self.generation && self.is_of_another(of_scope(flow.scope).0, generation) {
            self.end(table, session);
            table.counters.flushed.add(1);
            return None;
        }
        Some(session)
    }
}

fn tables<T: Address>(
    before: Option<&Arc<[FlowTable<T>]>>,
    workers: usize,
    limit: u32,
) -> Result<Arc<[FlowTable<T>]>, RouteError> {
    let is_same = |tables: &&Arc<[FlowTable<T>]>| {
        tables.len() == workers && tables.iter().all(|table| table.sessions.limit() == limit as usize)
    };
    if let Some(tables) = before.filter(is_same) {
        return Ok(Arc::clone(tables));
    }
    let table = |_| {
        Ok(FlowTable {
            sessions: Sessions::new(limit)?,
            counters: FlowCounters::default(),
            interfaces: Owners::new(MAX_INTERFACES),
            since: (0..MAX_INTERFACES).map(|_| AtomicU64::new(0)).collect(),
        })
    };
    (0..workers).map(table).collect()
}
