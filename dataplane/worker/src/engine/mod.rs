//! The engine: control's handle on the workers.
//!
//! All calls come from control, one at a time. Each is carried out by every worker before it returns, within one turn of
//! their loops (microseconds when they poll, a wake-up when they sleep).

mod capture;
mod error;
mod filters;
mod nat;
mod orders;
mod peers;
mod publish;
mod trace;
mod tunnels;
mod views;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use paceline_buf::{Pool, PoolConfig};
use paceline_graph::{Capabilities, Capture, InterfaceCounters, MAX_INTERFACES, Punt};
use paceline_ports::{LinkState, Port};
use paceline_router::Frame;
use paceline_wire::ethernet::Mac;

use crate::bridges::Domains;
use crate::command::{Command, Reply};
use crate::guard::guard;
use crate::idle::{Mode, WakeUp};
use crate::numbers::Numbers;
use crate::routing::{PingError, PingRequest, PingTicket, Routing, Server};
use crate::spec::{Topology, TunnelSpec};
use crate::view::PingView;
use crate::worker::{Link, Worker};
pub use error::EngineError;
use filters::Filtering;
use nat::Translation;
use orders::PATIENCE;
use peers::Learned;
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
    /// Whether packets come in by it, in the snapshot that workers use.
    open: bool,
    /// The other end, if it is one of the two ends of a bridge's routed leg, and has no port.
    peer: Option<u16>,
    /// What it is, if it is a tunnel, and has no port.
    tunnel: Option<TunnelSpec>,
    /// The tunnel leads elsewhere than it did.
    has_moved: bool,
    /// The address of its device, if a station has it.
    mac: Option<Mac>,
}

impl Attached {
    /// Whether it has a port: it is no end of a leg, and no tunnel.
    fn is_port(&self) -> bool {
        self.peer.is_none() && self.tunnel.is_none()
    }
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
    /// Those of interfaces.
    numbers: Numbers,
    topology: Topology,
    /// Tunnels that are not in the topology, by name.
    learned: BTreeMap<String, Learned>,
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
    /// Turns of each worker, when a second passed last in which all had some.
    turns: Vec<u64>,
    /// A port does other things to unfinished packets than the workers know.
    outdated: bool,
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
            numbers: Numbers::below(MAX_INTERFACES as u16),
            topology: Topology::default(),
            learned: BTreeMap::new(),
            domains: Domains::default(),
            bridges: BTreeMap::new(),
            routing: Arc::new(Mutex::new(Routing::new())),
            translation: Translation::default(),
            filtering: Filtering::default(),
            punt: Arc::new(Punt::new(PUNT)),
            server: None,
            tracing: Tracing::default(),
            patience: PATIENCE,
            turns: vec![0; config.cores.len()],
            outdated: false,
            started: Instant::now(),
        };
        for (number, ((worker, link), core)) in team.into_iter().zip(&config.cores).enumerate() {
            let (core, name) = (*core, worker_thread(number));
            let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
                if let Some(id) = core
                    && !core_affinity::set_for_current(core_affinity::CoreId { id })
                {
                    tracing::warn!(worker = number, core = id, "not pinned: the kernel refused the core");
                }
                guard(&name, || worker.run());
            })?;
            engine.workers.push(Member { link, thread: Some(thread), core, owed: 0 });
        }
        if let Some(first) = engine.workers.first() {
            let (routing, punt) = (Arc::clone(&engine.routing), Arc::clone(&engine.punt));
            engine.server = Some(Server::start(routing, punt, control, &engine.pool, first.link.handover())?);
        }
        Ok(engine)
    }

    /// The first thread that has ended without being told to, as an [`EngineError::Ended`]: the log tells why. With a worker its
    /// ports are dead, and with the router whoever needs a neighbour: only a new start helps.
    pub fn failed(&self) -> Option<EngineError> {
        let ended = |member: &Member| member.thread.as_ref().is_none_or(JoinHandle::is_finished);
        let worker = self.workers.iter().position(ended).map(worker_thread);
        let router = || self.server.as_ref().is_none_or(Server::has_ended).then(|| Server::THREAD.into());
        worker.or_else(router).map(EngineError::Ended)
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
        let ports = self.interfaces.iter().flatten().filter(|i| i.is_port());
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
        let interface = self.vacant().map_err(|error| self.make_way(error))?;
        let index = usize::from(interface);
        let (kind, capabilities, mac) =
            (first.kind(), first.capabilities(), first.station().map(Mac::from_octets));
        let counters: Arc<[InterfaceCounters]> = (0..workers).map(|_| InterfaceCounters::default()).collect();
        // Interfaces with fewer queues than there are workers are spread over them.
        let owners: Vec<usize> = (0..queues).map(|q| (index + q) % workers).collect();
        if let Err(error) = self.hand_out(interface, ports, &owners, &counters) {
            for worker in 0..workers {
                // One that does not answer has it in its ring, behind what it did not do yet.
                let _ = self.order(worker, Command::RemovePort(interface));
            }
            self.numbers.give(interface);
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
            open: false,
            peer: None,
            tunnel: None,
            has_moved: false,
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
        match &mut self.interfaces[index as usize] {
            Some(attached) if attached.is_port() => (attached.mtu, attached.open) = (None, false),
            _ => return Err(EngineError::Unknown(name.into())),
        }
        self.topology.interfaces.remove(name);
        self.publish()?;
        let mut ports = Vec::new();
        for worker in 0..self.workers.len() {
            if let Reply::Removed(port) = self.order(worker, Command::RemovePort(index))? {
                ports.extend(port);
            }
        }
        self.vacate(index);
        self.numbers.quiet();
        Ok(ports)
    }

    /// Brings all interfaces and bridges to what is wanted, in one step: a packet sees the old configuration or the new one.
    /// What stays keeps its learned addresses and counters. Names of interfaces that are not attached are passed over.
    ///
    /// Of single routes that could not be made [`route_error`](Engine::route_error) tells.
    ///
    /// # Errors
    /// Filters or a tunnel that cannot be, or one that has the name of a port; no number left for a tunnel or a routed leg of a bridge:
    /// nothing has changed then. A worker that does not answer: it goes over to the new configuration when it can.
    pub fn configure(&mut self, topology: Topology) -> Result<(), EngineError> {
        tunnels::check(&topology)?;
        let is_port = |name: &str| self.interfaces.iter().flatten().any(|i| &*i.name == name && i.is_port());
        if let Some(name) = topology.tunnels.keys().find(|name| is_port(name)) {
            return Err(EngineError::Exists(name.clone()));
        }
        let before = std::mem::replace(&mut self.topology, topology);
        let made = self.make_bridge_legs().and_then(|()| self.make_tunnels());
        if let Err(error) = made.and_then(|()| self.prepare_filters()) {
            // What was made for it goes with the next change.
            self.topology = before;
            return Err(self.make_way(error));
        }
        self.keep_learned();
        for attached in self.interfaces.iter_mut().flatten().filter(|attached| attached.is_port()) {
            attached.mtu = self.topology.interfaces.get(&*attached.name).map(|spec| spec.mtu);
        }
        self.publish()
    }

    /// Lets a second pass for what ages. To be called once a second.
    pub fn second(&mut self) {
        self.domains.second();
        self.rest();
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
        let has_met = self.meet_strangers();
        if (waits || has_met || self.outdated)
            && let Err(error) = self.publish()
        {
            tracing::error!(
                "memory of routes is not used again, a tunnel not made, or offloads are as before: {error}"
            );
        }
        self.strangers_met();
    }

    /// Lets a second pass for numbers that rest, if every worker has taken what waited for it since the last one: two turns more mean
    /// a whole one.
    fn rest(&mut self) {
        let turns: Vec<u64> = self.workers.iter().map(|member| member.link.counters.turns.get()).collect();
        if turns.iter().zip(&self.turns).all(|(now, before)| now.saturating_sub(*before) >= 2) {
            self.turns = turns;
            self.numbers.second();
            self.domains.rest();
            self.routing().rest();
        }
    }

    /// Tells everybody in the bridge of an interface that a station is behind it from now on, as that would say itself: its Ethernet
    /// address is learned there, and who knew another one for one of its addresses takes it (RFC 5227 §3, RFC 4861 §7.2.6).
    /// For members without VLANs.
    pub fn announce(&mut self, interface: &str, mac: Mac, addresses: &[IpAddr]) {
        let Some(index) = self.find(interface) else { return };
        let mut routing = self.routing();
        for frame in addresses.iter().filter_map(|address| Frame::announcement_of_host(mac, *address)) {
            routing.say(index, frame);
        }
        drop(routing);
        self.server.iter().for_each(Server::wake);
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

    /// A number that no interface has, and no packet on its way.
    fn vacant(&mut self) -> Result<u16, EngineError> {
        let index = self.numbers.take().ok_or(EngineError::Full)?;
        if usize::from(index) >= self.interfaces.len() {
            self.interfaces.resize_with(usize::from(index) + 1, || None);
        } else {
            // Packets that were on their way may have been learned from.
            self.domains.flush_port(index);
        }
        self.filtering.renew(index);
        Ok(index)
    }

    /// Ends an interface that no worker knows any more. Its number [rests](Numbers) from the next quiet point on.
    fn vacate(&mut self, index: u16) {
        self.interfaces[usize::from(index)] = None;
        self.domains.flush_port(index);
        self.numbers.give(index);
    }

    fn find(&self, name: &str) -> Option<u16> {
        let is = |i: &Option<Attached>| i.as_ref().is_some_and(|i| &*i.name == name);
        self.interfaces.iter().position(is).map(|i| i as u16)
    }
}

/// The name of a worker's thread.
fn worker_thread(number: usize) -> String {
    format!("worker-{number}")
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
