//! The engine: control's handle on the workers.
//!
//! All calls come from control, one at a time. Each is carried out by every worker before it returns, within one turn of
//! their loops (microseconds when they poll, a wake-up when they sleep).

mod capture;
mod error;
mod filters;
mod nat;
mod orders;
mod publish;
mod trace;
mod views;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use paceline_buf::{Pool, PoolConfig};
use paceline_graph::{Capabilities, Capture, InterfaceCounters, MAX_INTERFACES, Punt};
use paceline_ports::{LinkState, Port};
use paceline_wire::ethernet::Mac;

use crate::bridges::Domains;
use crate::command::{Command, Reply};
use crate::idle::{Mode, WakeUp};
use crate::routing::{PingError, PingRequest, PingTicket, Routing, Server};
use crate::spec::Topology;
use crate::view::PingView;
use crate::worker::{Link, Worker};
pub use error::EngineError;
use filters::Filtering;
use nat::Translation;
use orders::PATIENCE;
use trace::Tracing;

/// Packets that may wait for control. Their buffers are the pool's, so it is a fraction of it.
const PUNT: usize = 1024;

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
    /// The other end, if it is one of the two ends of a bridge's routed leg, and has no port.
    peer: Option<u16>,
    /// The address of its device, if a station has it.
    mac: Option<Mac>,
}

struct Member {
    link: Link,
    thread: Option<JoinHandle<()>>,
    core: Option<usize>,
    /// Commands that it has not answered yet.
    owed: usize,
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
    routing: Arc<Mutex<Routing>>,
    translation: Translation,
    filtering: Filtering,
    punt: Arc<Punt>,
    /// There from the start on, but for the time that workers are started.
    server: Option<Server>,
    tracing: Tracing,
    patience: Duration,
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
        let control = WakeUp::new()?;
        let team = Worker::team(config.cores.len(), &pool, config.mode, config.idle_spin, &control)?;
        // From here on an error ends the workers that run, with the engine.
        let mut engine = Engine {
            pool,
            mode: config.mode,
            workers: Vec::new(),
            interfaces: Vec::new(),
            topology: Topology::default(),
            domains: Domains::default(),
            bridges: BTreeMap::new(),
            routing: Arc::new(Mutex::new(Routing::new())),
            translation: Translation::default(),
            filtering: Filtering::default(),
            punt: Arc::new(Punt::new(PUNT)),
            server: None,
            tracing: Tracing::default(),
            patience: PATIENCE,
            started: Instant::now(),
        };
        for (number, ((worker, link), core)) in team.into_iter().zip(&config.cores).enumerate() {
            let core = *core;
            let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                if let Some(id) = core
                    && !core_affinity::set_for_current(core_affinity::CoreId { id })
                {
                    tracing::warn!(worker = number, core = id, "not pinned: the kernel refused the core");
                }
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| worker.run())) {
                    let text = panic.downcast_ref::<String>().map(String::as_str);
                    let why = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?");
                    tracing::error!(
                        worker = number,
                        why,
                        "a worker panicked: the switch must be started again"
                    );
                }
            })?;
            engine.workers.push(Member { link, thread: Some(thread), core, owed: 0 });
        }
        if let Some(first) = engine.workers.first() {
            let (routing, punt) = (Arc::clone(&engine.routing), Arc::clone(&engine.punt));
            engine.server = Some(Server::start(routing, punt, control, &engine.pool, first.link.handover())?);
        }
        Ok(engine)
    }

    /// The first worker whose thread has ended, of which the log tells why. Its ports are dead, and whatever is asked of the
    /// engine ends in [`EngineError::Worker`]: only a new start helps.
    pub fn failed(&self) -> Option<usize> {
        self.workers.iter().position(|member| member.thread.as_ref().is_none_or(JoinHandle::is_finished))
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
        let ports = self.interfaces.iter().flatten().filter(|i| i.peer.is_none());
        ports.map(|i| i.name.to_string()).collect()
    }

    /// Gives queue pairs of one interface to the workers: one to each of as many workers. What other workers send to it is
    /// handed over. Nothing flows before a [`configure`](Engine::configure) names the interface.
    ///
    /// # Errors
    /// A name in use, a wrong number of queues, no index left, a worker that does not answer. The ports are gone then.
    pub fn attach(&mut self, name: &str, ports: Vec<Box<dyn Port>>) -> Result<(), EngineError> {
        if self.find(name).is_some() {
            return Err(EngineError::Exists(name.into()));
        }
        let (queues, workers) = (ports.len(), self.workers.len());
        let Some(first) = ports.first().filter(|_| queues <= workers) else {
            return Err(EngineError::Queues { name: name.into(), queues, workers });
        };
        let index = usize::from(self.vacant()?);
        let (kind, capabilities, mac) =
            (first.kind(), first.capabilities(), first.station().map(Mac::from_octets));
        let counters: Arc<[InterfaceCounters]> = (0..workers).map(|_| InterfaceCounters::default()).collect();
        // Interfaces with fewer queues than there are workers are spread over them.
        let owners: Vec<usize> = (0..queues).map(|q| (index + q) % workers).collect();
        let interface = index as u16;
        if let Err(error) = self.hand_out(interface, ports, &owners, &counters) {
            for worker in 0..workers {
                // One that does not answer has it in its ring, behind what it did not do yet.
                let _ = self.order(worker, Command::RemovePort(interface));
            }
            return Err(error);
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
            peer: None,
            mac,
        };
        self.interfaces[index] = Some(attached);
        Ok(())
    }

    fn hand_out(
        &mut self,
        interface: u16,
        ports: Vec<Box<dyn Port>>,
        owners: &[usize],
        counters: &Arc<[InterfaceCounters]>,
    ) -> Result<(), EngineError> {
        for (port, owner) in ports.into_iter().zip(owners) {
            let counters = Arc::clone(counters);
            self.order(*owner, Command::AddPort { interface, port, counters })?;
        }
        for worker in (0..self.workers.len()).filter(|w| !owners.contains(w)) {
            let owner = owners[worker % owners.len()];
            self.order(worker, Command::AddRemote { interface, owner })?;
        }
        Ok(())
    }

    /// Takes an interface away from the workers and returns its ports, closed. No packet goes to or comes from it
    /// afterwards, and nothing that was learned on it remains.
    ///
    /// # Errors
    /// No such interface, a worker that does not answer. The interface is still there then and carries nothing: try again.
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
    /// Filters that cannot be: then nothing has changed. A worker that does not answer: it goes over to the new configuration when
    /// it can.
    pub fn configure(&mut self, topology: Topology) -> Result<(), EngineError> {
        self.prepare_filters(&topology)?;
        self.topology = topology;
        for attached in self.interfaces.iter_mut().flatten().filter(|attached| attached.peer.is_none()) {
            attached.mtu = self.topology.interfaces.get(&*attached.name).map(|spec| spec.mtu);
        }
        self.publish()
    }

    /// Lets a second pass for what ages. To be called once a second.
    pub fn second(&mut self) {
        self.domains.second();
        self.listen();
        // A quiet point, for what neighbours that went have left behind.
        let (waits, acts) = {
            let mut routing = self.routing();
            routing.pin();
            (routing.waits(), routing.has_actions())
        };
        if acts {
            self.server.iter().for_each(Server::wake);
        }
        if waits && let Err(error) = self.publish() {
            tracing::error!("memory of routes is not used again: {error}");
        }
    }

    /// Has an echo request sent. What becomes of it is for [`ping_answer`](Engine::ping_answer) to tell, within 10 s.
    ///
    /// # Errors
    /// No such table, no route, no address to ask from.
    pub fn ping(&mut self, request: &PingRequest) -> Result<PingTicket, PingError> {
        let ticket = self.routing().ping(request)?;
        self.server.iter().for_each(Server::wake);
        Ok(ticket)
    }

    /// What became of an echo request, told once; nothing while it is under way.
    pub fn ping_answer(&mut self, ticket: PingTicket) -> Option<PingView> {
        self.routing().ping_answer(ticket)
    }

    /// Stops the workers. Ports are closed.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        for member in &mut self.workers {
            // A full ring means a worker that hangs.
            let _ = member.link.commands.push(Command::Stop);
            member.link.wake.wake();
        }
        let deadline = Instant::now() + self.patience;
        for (worker, member) in self.workers.iter_mut().enumerate() {
            let Some(thread) = member.thread.take() else { continue };
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_micros(20));
            }
            if thread.is_finished() {
                // A worker that panicked has said so already.
                let _ = thread.join();
            } else {
                tracing::error!(worker, "a worker hangs: it is left behind");
            }
        }
        // After the workers, which may leave it something until then.
        self.server.iter_mut().for_each(Server::end);
        // Some may have been handed to a worker after it had ended.
        let mut cache = self.pool.cache();
        self.workers.iter().for_each(|member| member.link.free_handed_over(&mut cache));
    }

    /// A number that no interface has.
    fn vacant(&mut self) -> Result<u16, EngineError> {
        let index = self.interfaces.iter().position(Option::is_none).unwrap_or(self.interfaces.len());
        if index >= MAX_INTERFACES {
            return Err(EngineError::Full);
        }
        if index == self.interfaces.len() {
            self.interfaces.push(None);
        }
        Ok(index as u16)
    }

    fn find(&self, name: &str) -> Option<u16> {
        let is = |i: &Option<Attached>| i.as_ref().is_some_and(|i| &*i.name == name);
        self.interfaces.iter().position(is).map(|i| i as u16)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
