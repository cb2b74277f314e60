//! The engine: control's handle on the workers.
//!
//! All calls come from control, one at a time. Each is carried out by every worker before it returns, within one turn of
//! their loops (microseconds when they poll, a wake-up when they sleep).

mod capture;
mod views;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use paceline_buf::{Pool, PoolConfig, PoolError};
use paceline_graph::{
    Capabilities, Capture, Interface, InterfaceCounters, MAX_INTERFACES, NO_DOMAIN, Snapshot, Trace,
    TraceRecord,
};
use paceline_nodes::Features;
use paceline_ports::{LinkState, Port};

use crate::bridges::{Domains, Place};
use crate::command::{Command, Reply};
use crate::idle::Mode;
use crate::spec::Topology;
use crate::worker::{Link, Worker};

/// How long a worker may take for a command before control gives up on it. A turn takes microseconds; a port's system call
/// in it, milliseconds at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an engine is made of.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Packet memory.
    pub pool: PoolConfig,
    /// Core of each worker; `None` leaves it to the scheduler. At least one.
    pub cores: Vec<Option<usize>>,
    /// How workers wait.
    pub mode: Mode,
    /// How long an adaptive worker polls without packets before it sleeps.
    pub idle_spin: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            pool: PoolConfig::default(),
            cores: vec![None],
            mode: Mode::default(),
            idle_spin: Duration::from_micros(200),
        }
    }
}

/// Why the engine refused.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Packet memory.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// A core that cannot be used.
    #[error("workers.cores names core {core}: this process may use {allowed:?}")]
    Core {
        /// The core.
        core: usize,
        /// Cores that there are.
        allowed: Vec<usize>,
    },
    /// No worker.
    #[error("workers.cores is empty: at least one worker is needed")]
    NoWorkers,
    /// A thread or descriptor could not be had.
    #[error("a worker could not be started: {0}")]
    Start(#[from] std::io::Error),
    /// The name is in use.
    #[error("interface {0} exists already")]
    Exists(String),
    /// No such interface.
    #[error("there is no interface {0}")]
    Unknown(String),
    /// A capture is already running.
    #[error("a capture is already running on interface {0}")]
    Capturing(String),
    /// All indices are in use.
    #[error("no more than {MAX_INTERFACES} interfaces are possible")]
    Full,
    /// An interface needs at least one queue, and no more than there are workers.
    #[error("interface {name} has {queues} queues: 1 to {workers} are possible, one per worker")]
    Queues {
        /// Interface.
        name: String,
        /// Queues it has.
        queues: usize,
        /// Workers.
        workers: usize,
    },
    /// A worker's thread ended or hangs.
    #[error("worker {0} does not answer; the log says why")]
    Worker(usize),
}

/// An interface as control knows it.
struct Attached {
    name: Arc<str>,
    kind: &'static str,
    capabilities: Capabilities,
    counters: Arc<[InterfaceCounters]>,
    owners: Vec<usize>,
    state: LinkState,
    capture: Option<Arc<Capture>>,
    /// Whether the topology names it, and thus the snapshot has it.
    mtu: Option<u32>,
}

struct Member {
    link: Link,
    thread: Option<JoinHandle<()>>,
    core: Option<usize>,
}

/// The workers and what they were told.
pub struct Engine {
    pool: Arc<Pool>,
    mode: Mode,
    workers: Vec<Member>,
    interfaces: Vec<Option<Attached>>,
    topology: Topology,
    domains: Domains,
    bridges: BTreeMap<u16, String>,
    traced: Vec<TraceRecord>,
    tracing: Option<(usize, Option<u16>)>,
    started: Instant,
}

impl Engine {
    /// Takes the packet memory and starts the workers.
    ///
    /// # Errors
    /// Memory that cannot be had, a core that this process may not use, no thread.
    pub fn start(config: &EngineConfig) -> Result<Engine, EngineError> {
        if config.cores.is_empty() {
            return Err(EngineError::NoWorkers);
        }
        let allowed: Vec<usize> =
            core_affinity::get_core_ids().unwrap_or_default().iter().map(|c| c.id).collect();
        if let Some(core) = config.cores.iter().flatten().find(|c| !allowed.contains(c)) {
            return Err(EngineError::Core { core: *core, allowed });
        }
        let pool = Pool::new(config.pool)?;
        let team = Worker::team(config.cores.len(), &pool, config.mode, config.idle_spin)?;
        let mut workers = Vec::new();
        for (number, ((worker, link), core)) in team.into_iter().zip(&config.cores).enumerate() {
            let core = *core;
            let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                if let Some(id) = core
                    && !core_affinity::set_for_current(core_affinity::CoreId { id })
                {
                    tracing::warn!(worker = number, core = id, "not pinned: the kernel refused the core");
                }
                worker.run();
            })?;
            workers.push(Member { link, thread: Some(thread), core });
        }
        Ok(Engine {
            pool,
            mode: config.mode,
            workers,
            interfaces: Vec::new(),
            topology: Topology::default(),
            domains: Domains::default(),
            bridges: BTreeMap::new(),
            traced: Vec::new(),
            tracing: None,
            started: Instant::now(),
        })
    }

    /// The packet memory.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Number of workers: how many queues an interface can have.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Names of the interfaces that are attached.
    pub fn attached(&self) -> Vec<String> {
        self.interfaces.iter().flatten().map(|i| i.name.to_string()).collect()
    }

    /// Gives queue pairs of one interface to the workers: one to each of as many workers. What other workers send to it is
    /// handed over. Nothing flows before a [`configure`](Engine::configure) names the interface.
    ///
    /// # Errors
    /// A name in use, a wrong number of queues, no index left, a worker that does not answer.
    pub fn attach(&mut self, name: &str, ports: Vec<Box<dyn Port>>) -> Result<(), EngineError> {
        if self.find(name).is_some() {
            return Err(EngineError::Exists(name.into()));
        }
        let (queues, workers) = (ports.len(), self.workers.len());
        let Some(first) = ports.first().filter(|_| queues <= workers) else {
            return Err(EngineError::Queues { name: name.into(), queues, workers });
        };
        let index = self.interfaces.iter().position(Option::is_none).unwrap_or(self.interfaces.len());
        if index >= MAX_INTERFACES {
            return Err(EngineError::Full);
        }
        let (kind, capabilities) = (first.kind(), first.capabilities());
        let counters: Arc<[InterfaceCounters]> = (0..workers).map(|_| InterfaceCounters::default()).collect();
        // Interfaces with fewer queues than there are workers are spread over them.
        let owners: Vec<usize> = (0..queues).map(|q| (index + q) % workers).collect();
        let interface = index as u16;
        for (port, owner) in ports.into_iter().zip(&owners) {
            let counters = Arc::clone(&counters);
            self.order(*owner, Command::AddPort { interface, port, counters })?;
        }
        for worker in (0..workers).filter(|w| !owners.contains(w)) {
            let owner = owners[worker % queues];
            self.order(worker, Command::AddRemote { interface, owner })?;
        }
        let attached = Attached {
            name: name.into(),
            kind,
            capabilities,
            counters,
            owners,
            state: LinkState::Up,
            capture: None,
            mtu: None,
        };
        if index == self.interfaces.len() {
            self.interfaces.push(None);
        }
        self.interfaces[index] = Some(attached);
        Ok(())
    }

    /// Takes an interface away from the workers and returns its ports, closed. No packet goes to or comes from it
    /// afterwards, and nothing that was learned on it remains.
    ///
    /// # Errors
    /// No such interface, a worker that does not answer.
    pub fn detach(&mut self, name: &str) -> Result<Vec<Box<dyn Port>>, EngineError> {
        let index = self.find(name).ok_or_else(|| EngineError::Unknown(name.into()))?;
        if let Some(attached) = &mut self.interfaces[index as usize] {
            attached.mtu = None;
        }
        self.topology.interfaces.remove(name);
        self.publish()?;
        let mut ports = Vec::new();
        for worker in 0..self.workers.len() {
            if let Reply::Removed(port) = self.order(worker, Command::RemovePort(index))? {
                ports.extend(port);
            }
        }
        self.interfaces[index as usize] = None;
        self.domains.flush_port(index);
        Ok(ports)
    }

    /// Brings all interfaces and bridges to what is wanted, in one step: a packet sees the old configuration or the new one.
    /// What stays keeps its learned addresses and counters. Names of interfaces that are not attached are passed over.
    ///
    /// # Errors
    /// A worker that does not answer.
    pub fn configure(&mut self, topology: Topology) -> Result<(), EngineError> {
        self.topology = topology;
        for attached in self.interfaces.iter_mut().flatten() {
            attached.mtu = self.topology.interfaces.get(&*attached.name).map(|spec| spec.mtu);
        }
        self.publish()
    }

    /// Lets a second pass for what ages. To be called once a second.
    pub fn second(&mut self) {
        self.domains.second();
        self.listen();
    }

    /// Records the way of the next `count` packets that are received on `interface`, or anywhere.
    ///
    /// # Errors
    /// No such interface, a worker that does not answer.
    pub fn trace_add(&mut self, count: usize, interface: Option<&str>) -> Result<(), EngineError> {
        let only = match interface {
            Some(name) => Some(self.find(name).ok_or_else(|| EngineError::Unknown(name.into()))?),
            None => None,
        };
        self.tracing = Some((count, only));
        for worker in 0..self.workers.len() {
            self.retrace(worker, count, only)?;
        }
        Ok(())
    }

    /// The traces recorded so far, oldest first.
    ///
    /// # Errors
    /// A worker that does not answer.
    pub fn trace_records(&mut self) -> Result<Vec<TraceRecord>, EngineError> {
        if let Some((count, only)) = self.tracing {
            for worker in 0..self.workers.len() {
                let seen = self.retrace(worker, 0, None)?;
                if seen < count {
                    self.retrace(worker, count - seen, only)?;
                }
                self.tracing = Some((count.saturating_sub(seen), only)).filter(|t| t.0 > 0);
            }
        }
        self.traced.sort_by_key(|r| r.nanos);
        Ok(self.traced.clone())
    }

    /// Forgets all traces and stops tracing.
    ///
    /// # Errors
    /// A worker that does not answer.
    pub fn trace_clear(&mut self) -> Result<(), EngineError> {
        for worker in 0..self.workers.len() {
            self.retrace(worker, 0, None)?;
        }
        self.tracing = None;
        self.traced.clear();
        Ok(())
    }

    /// Stops the workers. Ports are closed.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        for member in &mut self.workers {
            // A full ring means a worker that hangs; it is left behind.
            if member.link.commands.push(Command::Stop).is_ok() {
                member.link.wake.wake();
                if let Some(thread) = member.thread.take() {
                    // A worker that panicked has said so already.
                    let _ = thread.join();
                }
            }
        }
    }

    fn retrace(&mut self, worker: usize, count: usize, only: Option<u16>) -> Result<usize, EngineError> {
        let mut trace = Trace::default();
        trace.add(count, only);
        let Reply::Traced(old) = self.order(worker, Command::Trace(trace))? else { return Ok(0) };
        self.traced.extend(old.records().iter().cloned());
        Ok(old.records().len())
    }

    fn find(&self, name: &str) -> Option<u16> {
        let is = |i: &Option<Attached>| i.as_ref().is_some_and(|i| &*i.name == name);
        self.interfaces.iter().position(is).map(|i| i as u16)
    }

    /// Builds the snapshot of what should be, and waits until all workers use it.
    fn publish(&mut self) -> Result<(), EngineError> {
        let interfaces = &self.interfaces;
        let index = |name: &str| {
            let is = |i: &Option<Attached>| i.as_ref().is_some_and(|i| &*i.name == name && i.mtu.is_some());
            interfaces.iter().position(is).map(|i| i as u16)
        };
        let (bridges, mut places) = self.domains.configure(&self.topology.bridges, index);
        self.bridges = BTreeMap::new();
        for (name, bridge) in &self.topology.bridges {
            self.bridges.extend(bridge.members.keys().filter_map(|m| Some((index(m)?, name.clone()))));
        }
        let mut snapshot = Snapshot { bridges, ..Snapshot::default() };
        for (index, attached) in self.interfaces.iter().enumerate() {
            if let Some(attached) = attached
                && let Some(mtu) = attached.mtu
            {
                let place = places.remove(&(index as u16));
                snapshot.set_interface(index as u16, attached.interface(index as u16, mtu, place));
            }
        }
        let snapshot = Arc::new(snapshot);
        for worker in 0..self.workers.len() {
            // The old snapshot ends here, on control's side.
            self.order(worker, Command::Publish(Arc::clone(&snapshot)))?;
        }
        Ok(())
    }

    /// Sends a command and waits for its reply.
    fn order(&mut self, worker: usize, command: Command) -> Result<Reply, EngineError> {
        let stuck = || EngineError::Worker(worker);
        self.listen();
        let member = &mut self.workers[worker];
        member.link.commands.push(command).map_err(|_| stuck())?;
        member.link.wake.wake();
        let deadline = Instant::now() + PATIENCE;
        let mut spins = 0_u32;
        loop {
            let member = &mut self.workers[worker];
            match member.link.replies.pop() {
                Ok(Reply::Link { interface, state }) => self.note(interface, state),
                Ok(reply) => return Ok(reply),
                Err(_) => {
                    let dead = member.thread.as_ref().is_none_or(JoinHandle::is_finished);
                    if dead || Instant::now() > deadline {
                        return Err(stuck());
                    }
                    spins += 1;
                    if spins > 100 {
                        std::thread::sleep(Duration::from_micros(20));
                    } else {
                        std::thread::yield_now();
                    }
                }
            }
        }
    }

    /// Takes in what workers tell by themselves.
    fn listen(&mut self) {
        for worker in 0..self.workers.len() {
            while let Ok(reply) = self.workers[worker].link.replies.pop() {
                if let Reply::Link { interface, state } = reply {
                    self.note(interface, state);
                }
            }
        }
    }

    fn note(&mut self, interface: u16, state: LinkState) {
        if let Some(Some(attached)) = self.interfaces.get_mut(interface as usize) {
            tracing::info!(interface = &*attached.name, ?state, "link changed");
            attached.state = state;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

impl Attached {
    fn interface(&self, index: u16, mtu: u32, place: Option<Place>) -> Interface {
        let place = place.unwrap_or(Place { domain: NO_DOMAIN, vlan: None, group: 0, isolated: false });
        let features = Features {
            vlan: place.vlan.is_some(),
            capture: self.capture.is_some(),
            capabilities: self.capabilities,
        };
        let (input, output) = paceline_nodes::arcs(index, features);
        Interface {
            name: Arc::clone(&self.name),
            mtu,
            input,
            output,
            domain: place.domain,
            group: place.group,
            isolated: place.isolated,
            vlan: place.vlan,
            capabilities: self.capabilities,
            capture: self.capture.clone(),
            counters: Arc::clone(&self.counters),
        }
    }
}

#[cfg(test)]
mod tests;
