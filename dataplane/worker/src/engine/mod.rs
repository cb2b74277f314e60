//! The engine: control's handle on the workers.
//!
//! All calls come from control, one at a time. Each is carried out by every worker before it returns, within one turn of
//! their loops (microseconds when they poll, a wake-up when they sleep).

mod capture;
mod error;
mod orders;
mod trace;
mod views;

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use paceline_buf::{Pool, PoolConfig};
use paceline_graph::{
    Capabilities, Capture, Interface, InterfaceCounters, MAX_INTERFACES, NO_DOMAIN, Snapshot,
};
use paceline_nodes::Features;
use paceline_ports::{LinkState, Port};

use crate::bridges::{Domains, Place};
use crate::command::{Command, Reply};
use crate::idle::{Mode, WakeUp};
use crate::spec::Topology;
use crate::worker::{Link, Worker};
pub use error::EngineError;
use orders::PATIENCE;
use trace::Tracing;

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
        let team = Worker::team(config.cores.len(), &pool, config.mode, config.idle_spin, &WakeUp::new()?)?;
        // From here on an error ends the workers that run, with the engine.
        let mut engine = Engine {
            pool,
            mode: config.mode,
            workers: Vec::new(),
            interfaces: Vec::new(),
            topology: Topology::default(),
            domains: Domains::default(),
            bridges: BTreeMap::new(),
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
        self.interfaces.iter().flatten().map(|i| i.name.to_string()).collect()
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
        let index = self.interfaces.iter().position(Option::is_none).unwrap_or(self.interfaces.len());
        if index >= MAX_INTERFACES {
            return Err(EngineError::Full);
        }
        let (kind, capabilities) = (first.kind(), first.capabilities());
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
        };
        if index == self.interfaces.len() {
            self.interfaces.push(None);
        }
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
    /// A worker that does not answer. It goes over to the new configuration when it can.
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
        // Some may have been handed to a worker after it had ended.
        let mut cache = self.pool.cache();
        self.workers.iter().for_each(|member| member.link.free_handed_over(&mut cache));
    }

    fn find(&self, name: &str) -> Option<u16> {
        let is = |i: &Option<Attached>| i.as_ref().is_some_and(|i| &*i.name == name);
        self.interfaces.iter().position(is).map(|i| i as u16)
    }

    /// Builds the snapshot of what should be, and waits until all workers use it.
    fn publish(&mut self) -> Result<(), EngineError> {
        let interfaces = self.interfaces.iter().enumerate();
        let configured = interfaces.filter_map(|(at, i)| Some((at as u16, i.as_ref()?)));
        let numbers: HashMap<&str, u16> =
            configured.filter(|(_, i)| i.mtu.is_some()).map(|(at, i)| (&*i.name, at)).collect();
        let index = |name: &str| numbers.get(name).copied();
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
        self.domains.forget_departed();
        Ok(())
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
            routed: false,
            patch: false,
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
            l3: None,
            peer: None,
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
