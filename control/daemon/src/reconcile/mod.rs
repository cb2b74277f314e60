//! The reconciler: brings what is to what should be. There is no other path by which a port, bridge or link comes or goes.
//!
//! One task runs one pass at a time. A pass reads what should be (a pure function of configuration and model), compares it
//! with the ports that are open, and goes through these steps, each of which leaves alone what does not change:
//!
//! 1. close ports that are to be opened anew in another way,
//! 2. make the links of containers that have none, open queues, give them to the workers,
//! 3. publish interfaces and bridges to the workers, in one step,
//! 4. bring the host's own stack to what it should do,
//! 5. close ports that should not be, to which nothing flows any more,
//! 6. afterwards, beside the next pass: delete links of endpoints that are no more.
//!
//! A port that cannot be opened stops no other one; it is tried again every few seconds, and said to whoever asks.

mod container;
mod device;
mod filter;
mod generator;
mod host;
mod open;
mod plan;
mod requests;
mod stale;
mod sweep;
mod topology;
mod uplink;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use paceline_attach::Links;
use paceline_host::Host;
use paceline_model::{Desired, DesiredKind, DesiredPort, EndpointId, PortName, desired_by};
use paceline_ports::PortError;
use paceline_worker::{Engine, EngineError, Topology};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

pub use open::OpenError;
pub use requests::Requests;
pub use stale::Sandboxes;
pub use sweep::Sweeper;

use crate::switch::Switch;
use host::Stack;
use open::Opener;
use plan::Plan;
use uplink::Uplinks;

/// Time between two attempts to open a port that could not be opened.
const RETRY: Duration = Duration::from_secs(3);

/// Time between two looks for neighbours that packets wait for and the kernel has to find out.
const SOON: Duration = Duration::from_millis(100);

/// What a port says whose device was deleted: there is nothing more to wait for from it.
const DELETED: &str = "the device was deleted";

/// A port that could not be opened.
struct Failed {
    port: DesiredPort,
    at: Instant,
}

/// What is, and how to change it.
pub struct Reconciler {
    switch: Arc<Switch>,
    opener: Opener,
    sweeper: Sweeper,
    stack: Stack,
    uplinks: Uplinks,
    /// Open ports, each with what it was opened from.
    actual: BTreeMap<PortName, DesiredPort>,
    failed: BTreeMap<PortName, Failed>,
    /// Queues that are being closed, for which the kernel takes some 10 ms, by the port that they were of.
    closing: BTreeMap<PortName, JoinHandle<()>>,
    /// What the workers were told last.
    topology: Topology,
    /// What came of rule lists.
    made: filter::Made,
    /// Endpoints that joined before this start: their links exist, or are lost.
    inherited: BTreeSet<EndpointId>,
    /// Endpoints that there were in the last pass.
    endpoints: BTreeSet<EndpointId>,
}

impl Reconciler {
    /// Nothing is open yet. What the model holds is from before this start. `host` is the stack of the host's namespace.
    ///
    /// # Errors
    /// None for an engine that runs.
    pub fn new(switch: &Arc<Switch>, links: Links, sweeper: Sweeper, host: Host) -> Result<Self, PortError> {
        let opener = switch.engine(|engine| Opener::new(links, engine))?;
        let uplinks = Uplinks::new(switch.config(), &opener);
        let inherited = switch.model(|model| model.endpoints.keys().cloned().collect());
        Ok(Self {
            switch: Arc::clone(switch),
            sweeper,
            stack: Stack::new(host),
            uplinks,
            opener,
            actual: BTreeMap::new(),
            failed: BTreeMap::new(),
            closing: BTreeMap::new(),
            topology: Topology::default(),
            made: filter::Made::default(),
            inherited,
            endpoints: BTreeSet::new(),
        })
    }

    /// The first pass: takes up what was left by the last run.
    pub async fn start(&mut self) {
        self.look_back().await;
        self.switch.restore_ports();
        self.uplinks.look().await;
        self.pass().await;
        self.sweeper.sweep().await;
    }

    /// Serves requests and looks after things every second, until `stop` is set; then closes all ports. Links stay.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut stopped = pin!(async move {
            let _ = stop.wait_for(|stop| *stop).await;
        });
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut soon = tokio::time::interval(SOON);
        soon.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = &mut stopped => break,
                _ = second.tick() => {
                    self.switch.engine(Engine::second);
                    self.switch.take_flows();
                    self.closing.retain(|_, closing| !closing.is_finished());
                    self.drop_deleted();
                    self.switch.forget_leftovers();
                    self.uplinks.look().await;
                    self.pass().await;
                }
                _ = soon.tick(), if self.uplinks.is_shared() => {
                    let neighbours = self.switch.engine(|engine| engine.neighbours());
                    if self.uplinks.want(&neighbours) {
                        self.uplinks.look().await;
                        self.pass().await;
                    }
                }
                round = self.switch.requests().next() => {
                    self.pass().await;
                    self.switch.requests().done(round);
                }
            }
        }
        for name in std::mem::take(&mut self.actual).into_keys() {
            self.detach(&name);
        }
        // Only now that nothing comes from the switch any more: the rules are what keeps networks apart.
        self.stack.remove().await;
        for closing in std::mem::take(&mut self.closing).into_values() {
            closed(closing).await;
        }
        self.uplinks.release();
        self.sweeper.sweep().await;
    }

    async fn pass(&mut self) {
        let (desired, endpoints) = self.switch.model(|model| {
            let endpoints: BTreeSet<_> = model.endpoints.keys().cloned().collect();
            (desired_by(self.switch.config(), model, self.uplinks.states()), endpoints)
        });
        self.failed.retain(|name, failed| desired.ports.get(name) == Some(&failed.port));
        self.switch.keep_failures(|name| self.failed.contains_key(name));
        let waiting = self.failed.iter().filter(|(_, failed)| failed.at.elapsed() < RETRY);
        let later = waiting.map(|(name, _)| name.clone()).collect();
        self.uplinks.filter(&desired);
        let plan = Plan::new(&self.actual, &desired.ports, &later);
        for name in &plan.replace {
            self.detach(name);
        }
        for name in &plan.open {
            self.open(name, &desired.ports[name]).await;
        }
        self.publish(&desired, &plan);
        self.bring_host(&desired).await;
        for name in &plan.remove {
            self.detach(name);
        }
        self.inherited.retain(|id| desired.ports.values().any(|port| is_endpoint(port, id)));
        if !self.endpoints.is_subset(&endpoints) {
            self.sweeper.sweep_soon();
        }
        self.endpoints = endpoints;
    }

    async fn open(&mut self, name: &PortName, port: &DesiredPort) {
        // Its device may be the same.
        if let Some(closing) = self.closing.remove(name) {
            closed(closing).await;
        }
        let create = match &port.kind {
            DesiredKind::Container(link) => !self.inherited.contains(&link.endpoint),
            DesiredKind::Configured(_) | DesiredKind::Host(_) | DesiredKind::Uplink(_) => true,
        };
        let opened = match self.opener.open(name, port, create).await {
            Ok(queues) => {
                self.switch.engine(|engine| engine.attach(name.as_str(), queues)).map_err(Into::into)
            }
            Err(error) => Err(error),
        };
        match opened {
            Ok(()) => {
                if self.failed.remove(name).is_some() {
                    tracing::info!(port = %name, "opened");
                }
                self.switch.succeeded(name);
                self.actual.insert(name.clone(), port.clone());
            }
            Err(error) => {
                let error = error.to_string();
                if self.switch.failed(name, port, error.clone()) {
                    tracing::error!(port = %name, "not opened: {error}; it is tried again every {RETRY:?}");
                }
                self.failed.insert(name.clone(), Failed { port: port.clone(), at: Instant::now() });
            }
        }
    }

    /// Tells the workers what should be, if they do not know.
    fn publish(&mut self, desired: &Desired, plan: &Plan) {
        let topology = topology::topology(desired, &mut self.made);
        if topology == self.topology && plan.open.is_empty() {
            self.switch.refused_is(None);
            return;
        }
        match self.switch.engine(|engine| engine.configure(topology.clone())) {
            Ok(()) => {
                self.topology = topology;
                self.switch.refused_is(None);
            }
            Err(error) => {
                if self.switch.refused_is(Some(error.to_string())) {
                    tracing::error!("the workers were not configured: {error}");
                }
                for name in &plan.open {
                    self.switch.failed(name, &desired.ports[name], error.to_string());
                }
            }
        }
    }

    /// Closes a port.
    fn detach(&mut self, name: &PortName) {
        self.actual.remove(name);
        match self.switch.engine(|engine| engine.detach(name.as_str())) {
            Ok(queues) => {
                let closing = tokio::task::spawn_blocking(move || drop(queues));
                self.closing.insert(name.clone(), closing);
            }
            Err(EngineError::Unknown(_)) => {}
            Err(error) => tracing::error!(port = %name, "not closed: {error}"),
        }
    }

    /// Closes ports whose device was deleted, so that they are opened again should it come back.
    fn drop_deleted(&mut self) {
        let views = self.switch.engine(Engine::interfaces);
        for view in views.iter().filter(|view| view.reason.as_deref() == Some(DELETED)) {
            let Ok(name) = view.name.parse::<PortName>() else { continue };
            if let Some(port) = self.actual.get(&name).cloned() {
                self.detach(&name);
                // A container's link does not come back.
                if let DesiredKind::Container(link) = &port.kind {
                    self.inherited.insert(link.endpoint.clone());
                }
            }
        }
    }

    /// Takes endpoints out of the model whose containers went while nobody looked.
    async fn look_back(&self) {
        let endpoints: Vec<_> = self.switch.model(|model| model.endpoints.values().cloned().collect());
        for endpoint in &endpoints {
            let (Some(sandbox), gone) =
                (&endpoint.sandbox, stale::is_gone(&self.opener.links, endpoint).await)
            else {
                continue;
            };
            match gone {
                Ok(true) => self.switch.was_there(sandbox),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(endpoint = %endpoint.id, "not known if it is still there: {error}");
                }
            }
        }
        self.switch.forget_leftovers();
    }
}

async fn closed(closing: JoinHandle<()>) {
    if let Err(error) = closing.await {
        tracing::error!("a port did not close: {error}");
    }
}

fn is_endpoint(port: &DesiredPort, id: &EndpointId) -> bool {
    matches!(&port.kind, DesiredKind::Container(link) if link.endpoint == *id)
}
