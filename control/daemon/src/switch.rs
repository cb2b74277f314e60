//! What all parts of control share: the configuration, the durable model, the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use paceline_cnm::forget_leftovers;
use paceline_host::{Ports, Report};
use paceline_model::{
    Attach, BridgeName, Config, DesiredKind, DesiredPort, Model, NetworkId, OverlayError, PortName, Uplinks,
    Vni,
};
use paceline_store::{Store, StoreError};
use paceline_worker::Engine;
use tokio::sync::watch;
use tokio::task::block_in_place;

use crate::flows::FlowLog;
use crate::reconcile::{Requests, Sandboxes};

/// The state of the switch. Every change of the model is durable before it returns; a [pass](Requests) of the reconciler
/// then brings ports and links to it.
pub struct Switch {
    config: Config,
    store: Mutex<Store>,
    engine: Mutex<Engine>,
    failures: Mutex<BTreeMap<PortName, Failure>>,
    sandboxes: Mutex<Sandboxes>,
    ports: Mutex<Ports>,
    /// What hinders the host's own stack.
    host: Mutex<Result<Report, String>>,
    /// Devices of uplinks as they were last.
    uplinks: Mutex<Uplinks>,
    /// Segments that have no way to other hosts, and why.
    hindered: Mutex<BTreeMap<(BridgeName, Vni), OverlayError>>,
    flows: Mutex<FlowLog>,
    /// Held by whoever changes policies, until it is known whether the workers can have them.
    policies: tokio::sync::Mutex<()>,
    requests: Requests,
    stopping: watch::Sender<bool>,
}

/// A port that could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of port it would be.
    pub kind: &'static str,
    /// Its MTU, in bytes.
    pub mtu: u16,
    /// Why it could not.
    pub error: String,
}

/// The kind of port that comes of it, as the engine names it.
fn kind(port: &DesiredPort) -> &'static str {
    match &port.kind {
        DesiredKind::Configured(kind) => kind.name(),
        DesiredKind::Host(_) => "tap",
        DesiredKind::Uplink(_) => "afxdp",
        DesiredKind::Container(link) => match link.attach {
            Attach::Tap => "tap",
            Attach::Veth => "packet",
            Attach::Afxdp => "afxdp",
        },
    }
}

impl Switch {
    /// Puts them together.
    pub fn new(config: Config, store: Store, engine: Engine) -> Self {
        Self {
            config,
            store: Mutex::new(store),
            engine: Mutex::new(engine),
            failures: Mutex::default(),
            sandboxes: Mutex::default(),
            ports: Mutex::default(),
            host: Mutex::new(Ok(Report::default())),
            uplinks: Mutex::default(),
            hindered: Mutex::default(),
            flows: Mutex::default(),
            policies: tokio::sync::Mutex::default(),
            requests: Requests::default(),
            stopping: watch::Sender::new(false),
        }
    }

    /// Asks everything that serves clients to come to its end.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Whether it was [asked to stop](Self::stop).
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Returns when it was [asked to stop](Self::stop).
    pub async fn stopping(&self) {
        // The sender is a field of this: it is not gone.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// The configuration; it does not change while the switch runs.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Calls the engine, which answers in microseconds to milliseconds.
    ///
    /// # Panics
    /// On a runtime of one thread.
    pub fn engine<R>(&self, call: impl FnOnce(&mut Engine) -> R) -> R {
        block_in_place(|| call(&mut lock(&self.engine)))
    }

    /// Reads the model.
    ///
    /// # Panics
    /// On a runtime of one thread.
    pub fn model<R>(&self, read: impl FnOnce(&Model) -> R) -> R {
        block_in_place(|| read(lock(&self.store).model()))
    }

    /// Changes the model, durably: see [`Store::update`]. The reconciler is to be asked afterwards.
    ///
    /// # Errors
    /// Those of `edit`, and of the store. Nothing has changed then.
    ///
    /// # Panics
    /// On a runtime of one thread.
    pub fn update<T, E: From<StoreError>>(
        &self,
        edit: impl FnOnce(&mut Model) -> Result<T, E>,
    ) -> Result<T, E> {
        block_in_place(|| lock(&self.store).update(edit))
    }

    /// Requests to the reconciler.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Why a port could not be opened, if so.
    pub fn failure(&self, port: &PortName) -> Option<String> {
        lock(&self.failures).get(port).map(|failure| failure.error.clone())
    }

    /// All ports that could not be opened.
    pub fn failures(&self) -> BTreeMap<PortName, Failure> {
        lock(&self.failures).clone()
    }

    /// Notes why a port could not be opened; whether that is news.
    pub(crate) fn failed(&self, name: &PortName, port: &DesiredPort, error: String) -> bool {
        let failure = Failure { kind: kind(port), mtu: port.mtu, error };
        let mut failures = lock(&self.failures);
        let news = failures.get(name) != Some(&failure);
        failures.insert(name.clone(), failure);
        news
    }

    /// Notes that a port is open.
    pub(crate) fn succeeded(&self, port: &PortName) {
        lock(&self.failures).remove(port);
    }

    /// Forgets about ports that nobody wants any more.
    pub(crate) fn keep_failures(&self, keep: impl Fn(&PortName) -> bool) {
        lock(&self.failures).retain(|port, _| keep(port));
    }

    /// The right to change policies: what was there before is what the workers could have.
    pub(crate) async fn change_policies(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.policies.lock().await
    }

    /// What rules have decided, latest.
    pub(crate) fn flow_log(&self) -> MutexGuard<'_, FlowLog> {
        lock(&self.flows)
    }

    /// Ports of the host that are held for containers.
    pub(crate) fn ports(&self) -> MutexGuard<'_, Ports> {
        lock(&self.ports)
    }

    /// Notes how the host's own stack is.
    pub(crate) fn host_is(&self, now: Result<Report, String>) {
        let mut host = lock(&self.host);
        match &now {
            Err(error) if host.as_ref().err() != Some(error) => {
                tracing::error!("the host's stack does not serve Docker's networks: {error}");
            }
            Ok(report) => {
                for (network, conflict) in &report.conflicts {
                    let known = host.as_ref().is_ok_and(|before| before.conflicts.contains_key(network));
                    if !known {
                        tracing::error!(%network, "it does not reach the outside: {conflict}");
                    }
                }
            }
            Err(_) => {}
        }
        *host = now;
    }

    /// Devices of uplinks as they were last.
    pub fn uplinks(&self) -> Uplinks {
        lock(&self.uplinks).clone()
    }

    /// Notes how they are.
    pub(crate) fn uplinks_are(&self, states: &Uplinks) {
        let mut uplinks = lock(&self.uplinks);
        if *uplinks != *states {
            uplinks.clone_from(states);
        }
    }

    /// Segments that have no way to other hosts now, by the bridge, and why.
    pub fn hindered(&self) -> BTreeMap<(BridgeName, Vni), OverlayError> {
        lock(&self.hindered).clone()
    }

    /// Notes which segments have none.
    pub(crate) fn hindered_are(&self, now: &BTreeMap<(BridgeName, Vni), OverlayError>) {
        let mut hindered = lock(&self.hindered);
        for (at, error) in now {
            if hindered.get(at) != Some(error) {
                let (bridge, vni) = at;
                tracing::error!(%bridge, %vni, "its segment has no way to other hosts: {error}");
            }
        }
        hindered.clone_from(now);
    }

    /// What hinders a network on the host's side.
    pub fn host_hinders(&self, network: &NetworkId) -> Option<String> {
        match &*lock(&self.host) {
            Ok(report) => report.conflicts.get(network).map(ToString::to_string),
            Err(error) => Some(error.clone()),
        }
    }

    /// Why the workers do not have the routes of a network.
    pub fn routes_hinder(&self, network: &NetworkId) -> Option<String> {
        let network = self.model(|model| model.networks.get(network).cloned())?;
        // Its subnets, the gateways themselves, and the way out.
        let is_its = |prefix: &IpNet| {
            prefix.prefix_len() == 0 || network.gateways().any(|gateway| gateway.contains(prefix))
        };
        let gateways = network.gateways().next().is_some();
        gateways.then(|| self.engine(|engine| engine.route_error(network.vrf().as_str(), is_its)))?
    }

    /// Whether a container is, or may still come to be, in the namespace at `path`.
    pub fn may_live(&self, path: &Path) -> bool {
        lock(&self.sandboxes).may_live(path)
    }

    /// Notes that the namespace at `path` was there before this start, and is not any more.
    pub(crate) fn was_there(&self, path: &Path) {
        lock(&self.sandboxes).was_there(path);
    }

    /// Takes endpoints of containers that are gone out of the model, with their addresses: the engine will not.
    pub(crate) fn forget_leftovers(&self) {
        let (joined, waiting) = self.model(|model| {
            let (joined, waiting): (Vec<_>, Vec<_>) = model.endpoints.values().partition(|e| e.joined());
            let sandboxes: BTreeSet<PathBuf> = joined.into_iter().filter_map(|e| e.sandbox.clone()).collect();
            (sandboxes, waiting.into_iter().map(|e| e.id.clone()).collect())
        });
        let (dead, overdue) = {
            let mut sandboxes = lock(&self.sandboxes);
            sandboxes.retain(&joined);
            (joined.iter().any(|path| !sandboxes.may_live(path)), sandboxes.overdue(waiting))
        };
        if !dead && overdue.is_empty() {
            return;
        }
        let forget = |model: &mut Model| {
            for id in overdue {
                // As if it had joined nowhere.
                if let Some(endpoint) = model.endpoints.get_mut(&id).filter(|endpoint| !endpoint.joined()) {
                    endpoint.sandbox = Some(PathBuf::new());
                }
            }
            let may_live = |path: &Path| !path.as_os_str().is_empty() && self.may_live(path);
            Ok(forget_leftovers(model, may_live))
        };
        if let Err::<_, StoreError>(error) = self.update(forget) {
            tracing::error!("endpoints of containers that are gone stay: {error}");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
