//! Uplinks, as a part of each pass: what the kernel has on their devices, what of it is ours, and the ports that it must not
//! give away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use paceline_model::config::{self, Config};
use paceline_model::{PortName, Uplinks as States};
use paceline_ports::{Filter, FilterHandle};
use paceline_uplink::{PortSet, Reservation, Watch, filter, in_use};

use super::open::Opener;

/// What reserved ports are written down in, in the directory of the durable state.
const RECORD: &str = "reserved-ports.json";

/// The uplinks of the configuration.
pub struct Uplinks {
    watches: Vec<(config::Uplink, Watch)>,
    /// As their devices were when they were last there and up. One that goes away has its port say so.
    states: States,
    filters: Filters,
    reservation: Reservation,
    /// What was told last, so that it is told once.
    told: BTreeSet<String>,
}

impl Uplinks {
    /// Nothing is looked at yet.
    pub fn new(config: &Config, opener: &Opener) -> Self {
        let watch = |uplink: &config::Uplink| Watch::new(opener.links.clone(), uplink.device);
        Self {
            watches: config.uplinks.iter().map(|uplink| (uplink.clone(), watch(uplink))).collect(),
            states: States::new(),
            filters: opener.filters.clone(),
            reservation: Reservation::new(config.state.dir.join(RECORD)),
            told: BTreeSet::new(),
        }
    }

    /// Looks at the devices, and at the kernel's reserved ports: those of an earlier process go here, if they are not ours too.
    pub async fn look(&mut self) {
        let mut errors = BTreeSet::new();
        for (uplink, watch) in &self.watches {
            match watch.look(&BTreeSet::new()).await {
                Ok(Some(state)) => {
                    self.states.insert(uplink.device, state);
                }
                Ok(None) => {}
                Err(error) => {
                    errors.insert(format!("uplink {}: {error}", uplink.device));
                }
            }
        }
        let shared = self.watches.iter().map(|(uplink, _)| uplink).filter(|uplink| uplink.shared);
        let ports: PortSet =
            shared.map(|uplink| uplink.nat_ports.first()..=uplink.nat_ports.last()).collect();
        let fresh = *self.reservation.ours() != ports;
        if let Err(error) = self.reservation.set(&ports) {
            errors.insert(error.to_string());
        }
        if fresh {
            let taken = in_use().within(&ports);
            if !taken.is_empty() {
                tracing::warn!(
                    "ports {taken} are in nat_ports of an uplink and in use by programs of this host: what comes for them is \
                     the switch's now: end these programs, or choose other nat_ports"
                );
            }
        }
        for error in errors.difference(&self.told) {
            tracing::error!("{error}");
        }
        self.told = errors;
    }

    /// The devices as they are.
    pub fn states(&self) -> &States {
        &self.states
    }

    /// Has what is ours go to the ports, in place where they are open.
    pub fn filter(&mut self) {
        for (uplink, _) in &self.watches {
            let Some(state) = self.states.get(&uplink.device) else { continue };
            // No network uses an uplink yet, so no port is published on one.
            let Some(filter) = filter(uplink, state, []) else { continue };
            if let Err(error) = self.filters.set(&uplink.port_name(), filter) {
                let error = format!("uplink {}: {error}", uplink.device);
                if self.told.insert(error.clone()) {
                    tracing::error!("{error}");
                }
            }
        }
    }

    /// Gives reserved ports back.
    pub fn release(&mut self) {
        if let Err(error) = self.reservation.set(&PortSet::new()) {
            tracing::warn!("{error}: ports stay reserved until the switch runs again");
        }
    }
}

/// What of each shared uplink is ours, and the handle of its port if that is open. Shared with who opens ports.
#[derive(Debug, Clone, Default)]
pub struct Filters(Arc<Mutex<BTreeMap<PortName, Shared>>>);

#[derive(Debug, Default)]
struct Shared {
    wanted: Filter,
    handle: Option<FilterHandle>,
}

impl Filters {
    /// What is ours of a port that is to be opened.
    pub fn wanted(&self, name: &PortName) -> Filter {
        self.all().get(name).map(|shared| shared.wanted.clone()).unwrap_or_default()
    }

    /// Notes by which handle it can be changed.
    pub fn opened(&self, name: &PortName, handle: Option<FilterHandle>) {
        self.all().entry(name.clone()).or_default().handle = handle;
    }

    fn set(&self, name: &PortName, filter: Filter) -> Result<(), paceline_ports::FilterError> {
        let mut all = self.all();
        let shared = all.entry(name.clone()).or_default();
        if let Some(handle) = shared.handle.as_ref().filter(|handle| handle.get() != filter) {
            handle.set(&filter)?;
        }
        shared.wanted = filter;
        Ok(())
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<PortName, Shared>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
