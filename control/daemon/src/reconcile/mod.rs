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
//! A port that cannot be opened stops no other one; it is tried again every few seconds, and said to whoever asks. Workers that
//! do not take what they are told are an error of the whole pass, and of all who asked for it; it is tried again every second.

mod arrival;
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
use paceline_model::policy::Compiler;
use paceline_model::{Desired, DesiredKind, DesiredPort, EndpointId, PortName, desired_by};
use paceline_ports::PortError;
use paceline_worker::{Engine, EngineError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

pub use filter::check as check_filters;
pub use open::OpenError;
pub use requests::{Requests, Unmade};
pub use stale::Sandboxes;
pub use sweep::Sweeper;

use crate::switch::Switch;
use arrival::Arrivals;
use host::Stack;
use open::Opener;
use plan::Plan;
use topology::Told;
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
    arrivals: Arrivals,
    /// Open ports, each with what it was opened from.
    actual: BTreeMap<PortName, DesiredPort>,
    failed: BTreeMap<PortName, Failed>,
    /// Queues that are being closed, for which the kernel takes some 10 ms, by the port that they were of.
    closing: BTreeMap<PortName, JoinHandle<()>>,
    /// What the workers were told last; none if nobody knows, as they did not answer.
    told: Option<Told>,
    /// What came of policies.
    policies: Compiler,
    /// What came of rule lists.
    lists: filter::Made,
    /// How the last pass ended.
    made: Result<(), Unmade>,
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
            arrivals: Arrivals::default(),
            opener,
            actual: BTreeMap::new(),
            failed: BTreeMap::new(),
            closing: BTreeMap::new(),
            told: None,
            policies: Compiler::default(),
            lists: filter::Made::default(),
            made: Ok(()),
            inherited,
            endpoints: BTreeSet::new(),
        })
    }

    /// The first pass: takes up what was left by the last run.
    pub async fn start(&mut self) {
        self.look_back().await;
        self.switch.restore_ports();
        self.uplinks.look().await;
        let _ = self.try_pass().await;
        self.sweeper.sweep().await;
    }

    /// Serves requests and looks after things every second, until `stop` is set; then closes all ports. Links stay.
    ///
    /// # Errors
    /// A thread of the engine has [ended by itself](Engine::failed). All is left as it is then, for the next start to take up.
    pub async fn run(mut self, stop: watch::Receiver<bool>) -> Result<(), EngineError> {
        self.serve(stop).await?;
        self.close().await;
        Ok(())
    }

    async fn serve(&mut self, mut stop: watch::Receiver<bool>) -> Result<(), EngineError> {
        let mut stopped = pin!(async move {
            let _ = stop.wait_for(|stop| *stop).await;
        });
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut soon = tokio::time::interval(SOON);
        soon.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = &mut stopped => return Ok(()),
                _ = second.tick() => {
                    if let Some(error) = self.switch.engine(|engine| engine.failed()) {
                        return Err(error);
                    }
                    self.switch.engine(Engine::second);
                    self.arrivals.second(&self.switch);
                    self.switch.take_flows();
                    self.closing.retain(|_, closing| !closing.is_finished());
                    self.drop_deleted();
                    self.switch.forget_leftovers();
                    self.uplinks.look().await;
                    let _ = self.try_pass().await;
                }
                _ = soon.tick(), if self.uplinks.is_shared() => {
                    let neighbours = self.switch.engine(|engine| engine.neighbours());
                    if self.uplinks.want(&neighbours) {
                        self.uplinks.look().await;
                        let _ = self.try_pass().await;
                    }
                }
                round = self.switch.requests().next() => {
                    let ended = self.try_pass().await;
                    self.switch.requests().done(round, ended);
                }
            }
        }
    }

    /// Closes all ports, and takes away what the host's stack has of ours.
    async fn close(&mut self) {
        for name in self.actual.keys().cloned().collect::<Vec<_>>() {
            if let Err(error) = self.detach(&name) {
                tracing::error!(port = %name, "not closed: {error}");
            }
        }
        // Only now that nothing comes from the switch any more: the rules are what keeps networks apart.
        self.stack.remove().await;
        for closing in std::mem::take(&mut self.closing).into_values() {
            closed(closing).await;
        }
        self.uplinks.release();
        self.sweeper.sweep().await;
    }

    /// One pass; what hinders all of it is said once.
    async fn try_pass(&mut self) -> Result<(), Unmade> {
        let made = self.pass().await;
        let made = made.map_err(|error| Unmade::new(&format!("the workers were not configured: {error}")));
        match &made {
            Err(error) if made != self.made => tracing::error!("{error}; it is tried again every second"),
            Ok(()) if made != self.made => tracing::info!("the workers are configured"),
            _ => {}
        }
        self.made.clone_from(&made);
        made
    }

    async fn pass(&mut self) -> Result<(), EngineError> {
        let (desired, endpoints) = self.switch.model(|model| {
            let endpoints: BTreeSet<_> = model.endpoints.keys().cloned().collect();
            let policies = self.policies.of(model);
            (desired_by(self.switch.config(), model, &policies, self.uplinks.states()), endpoints)
        });
        self.failed.retain(|name, failed| desired.ports.get(name) == Some(&failed.port));
        self.switch.keep_failures(|name| self.failed.contains_key(name));
        let waiting = self.failed.iter().filter(|(_, failed)| failed.at.elapsed() < RETRY);
        let later = waiting.map(|(name, _)| name.clone()).collect();
        self.switch.uplinks_are(self.uplinks.states());
        self.switch.hindered_are(&desired.hindered);
        self.uplinks.filter(&desired);
        let plan = Plan::new(&self.actual, &desired.ports, &later);
        // Each worker that does not answer takes seconds to find out: after the first one no other is asked.
        let mut made = plan.replace.iter().try_for_each(|name| self.detach(name));
        if made.is_ok() {
            for name in &plan.open {
                self.open(name, &desired.ports[name]).await;
            }
            made = self.publish(&desired, &plan);
        }
        self.arrivals.came(&self.switch, plan.open.iter().filter(|name| self.actual.contains_key(*name)));
        self.bring_host(&desired).await;
        let removed = plan.remove.iter().try_for_each(|name| self.detach(name));
        self.inherited.retain(|id| desired.ports.values().any(|port| is_endpoint(port, id)));
        if !self.endpoints.is_subset(&endpoints) {
            self.sweeper.sweep_soon();
        }
        self.endpoints = endpoints;
        made.and(removed)
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
    fn publish(&mut self, desired: &Desired, plan: &Plan) -> Result<(), EngineError> {
        // It is put back only when they know.
        let (told, nothing) = (self.told.take(), Told::default());
        let topology = topology::topology(desired, told.as_ref().unwrap_or(&nothing), &mut self.lists);
        if told.as_ref().is_some_and(|told| told.topology == topology) && plan.open.is_empty() {
            self.told = told;
            return Ok(());
        }
        self.switch.engine(|engine| engine.configure(topology.clone()))?;
        self.told = Some(Told { desired: desired.clone(), topology });
        Ok(())
    }

    /// Closes a port. One that cannot be closed carries nothing any more, and the next pass tries again.
    fn detach(&mut self, name: &PortName) -> Result<(), EngineError> {
        match self.switch.engine(|engine| engine.detach(name.as_str())) {
            Ok(queues) => {
                let closing = tokio::task::spawn_blocking(move || drop(queues));
                self.closing.insert(name.clone(), closing);
            }
            Err(EngineError::Unknown(_)) => {}
            Err(error) => {
                self.told = None;
                return Err(error);
            }
        }
        self.actual.remove(name);
        Ok(())
    }

    /// Closes ports whose device was deleted, so that they are opened again should it come back.
    fn drop_deleted(&mut self) {
        let views = self.switch.engine(Engine::interfaces);
        for view in views.iter().filter(|view| view.reason.as_deref() == Some(DELETED)) {
            let Ok(name) = view.name.parse::<PortName>() else { continue };
            if let Some(port) = self.actual.get(&name).cloned() {
                if self.detach(&name).is_err() {
                    continue;
                }
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
