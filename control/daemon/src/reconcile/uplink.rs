//! Uplinks, as a part of each pass: what the kernel has on their devices, what of it is ours, and the ports that it must not
//! give away.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use paceline_model::config::{self, Config};
use paceline_model::{Desired, PortName, UplinkState, Uplinks as States};
use paceline_ports::{Filter, FilterHandle};
use paceline_uplink::{PortSet, Reservation, UplinkError, Watch, filter, in_use};
use paceline_worker::NeighbourView;

use super::open::Opener;

/// What reserved ports are written down in, in the directory of the durable state.
const RECORD: &str = "reserved-ports.json";

/// Neighbours beside routers that the kernel is asked for, at most: each is a request every second.
const MOST: usize = 256;

/// How long the kernel is given to find a neighbour out, before it is asked again in a second.
const MOMENT: Duration = Duration::from_millis(20);

/// The uplinks of the configuration.
pub struct Uplinks {
    all: Vec<Uplink>,
    /// As their devices were when they were last there and up. One that goes away has its port say so.
    states: States,
    filters: Filters,
    reservation: Reservation,
    /// Ports of which it was said who else uses them.
    announced: PortSet,
    /// The same of UDP ports of tunnels.
    carried: PortSet,
    /// What was told last, so that it is told once.
    told: BTreeSet<String>,
}

struct Uplink {
    config: config::Uplink,
    watch: Watch,
    /// Neighbours on the link that packets were for.
    wanted: BTreeSet<IpAddr>,
}

impl Uplinks {
    /// Nothing is looked at yet.
    pub fn new(config: &Config, opener: &Opener) -> Self {
        let uplink = |config: &config::Uplink| Uplink {
            config: config.clone(),
            watch: Watch::new(opener.links.clone(), config.device),
            wanted: BTreeSet::new(),
        };
        Self {
            all: config.uplinks.iter().map(uplink).collect(),
            states: States::new(),
            filters: opener.filters.clone(),
            reservation: Reservation::new(config.state.dir.join(RECORD)),
            announced: PortSet::new(),
            carried: PortSet::new(),
            told: BTreeSet::new(),
        }
    }

    /// Whether there is a device whose neighbours the kernel has to find out.
    pub fn is_shared(&self) -> bool {
        self.all.iter().any(|uplink| uplink.config.shared)
    }

    /// Has the kernel find out neighbours on a link that the workers miss; whether there are new ones. They are looked after from
    /// then on.
    pub fn want(&mut self, neighbours: &[NeighbourView]) -> bool {
        let missed = neighbours.iter().filter(|neighbour| matches!(neighbour.state, "incomplete" | "failed"));
        let mut news = false;
        for neighbour in missed {
            let by = |uplink: &&mut Uplink| uplink.config.port_name().as_str() == neighbour.interface;
            let uplink = self.all.iter_mut().filter(|uplink| uplink.config.shared).find(by);
            if let (Some(uplink), Ok(address)) = (uplink, neighbour.address.parse())
                && uplink.wanted.len() < MOST
            {
                news |= uplink.wanted.insert(address);
            }
        }
        news
    }

    /// Looks at the devices, and at the kernel's reserved ports: those of an earlier process go here, if they are not ours too.
    pub async fn look(&mut self) {
        let mut errors = BTreeSet::new();
        for uplink in &mut self.all {
            match uplink.look().await {
                Ok(Some(state)) => {
                    self.states.insert(uplink.config.device, state);
                }
                Ok(None) => {}
                Err(error) => {
                    errors.insert(format!("uplink {}: {error}", uplink.config.device));
                }
            }
        }
        let shared = self.all.iter().map(|uplink| &uplink.config).filter(|uplink| uplink.shared);
        let ports: PortSet =
            shared.map(|uplink| uplink.nat_ports.first()..=uplink.nat_ports.last()).collect();
        if let Err(error) = self.reservation.set(&ports) {
            errors.insert(error.to_string());
        }
        if self.announced != ports {
            let taken = in_use().within(&ports);
            if !taken.is_empty() {
                tracing::warn!(
                    "ports {taken} are in nat_ports of an uplink and in use by programs of this host: what comes for them is \
                     the switch's now: end these programs, or choose other nat_ports"
                );
            }
            self.announced = ports;
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
    pub fn filter(&mut self, desired: &Desired) {
        self.warn_of_tunnels(desired);
        let mappings = desired.nat.as_ref().map_or(&[][..], |nat| &nat.mappings);
        for Uplink { config: uplink, .. } in &self.all {
            let Some(state) = self.states.get(&uplink.device) else { continue };
            let tunnels =
                desired.tunnels.values().filter(|tunnel| tunnel.vtep.interface == uplink.port_name());
            let Some(filter) = filter(uplink, state, mappings, tunnels) else { continue };
            if let Err(error) = self.filters.set(&uplink.port_name(), filter) {
                let error = format!("uplink {}: {error}", uplink.device);
                if self.told.insert(error.clone()) {
                    tracing::error!("{error}");
                }
            }
        }
    }

    /// Tells who else uses UDP ports of tunnels on shared devices.
    fn warn_of_tunnels(&mut self, desired: &Desired) {
        let names: BTreeSet<_> = self
            .all
            .iter()
            .map(|uplink| &uplink.config)
            .filter(|uplink| uplink.shared)
            .map(config::Uplink::port_name)
            .collect();
        let tunnels = desired.tunnels.values().filter(|tunnel| names.contains(&tunnel.vtep.interface));
        let ports: PortSet = tunnels.map(|tunnel| tunnel.port..=tunnel.port).collect();
        if self.carried == ports {
            return;
        }
        let taken = in_use().within(&ports.clone().without(&self.carried));
        if !taken.is_empty() {
            tracing::warn!(
                "UDP port {taken} is VXLAN's on an uplink and in use on this host, perhaps by a kernel's vxlan device: what comes for it \
                 on the uplink's first address is the switch's now: give one of them another port"
            );
        }
        self.carried = ports;
    }

    /// Gives reserved ports back.
    pub fn release(&mut self) {
        if let Err(error) = self.reservation.set(&PortSet::new()) {
            tracing::warn!("{error}: ports stay reserved until the switch runs again");
        }
    }
}

impl Uplink {
    /// Routers and neighbours that are not known are asked for by the kernel, and most answer within a moment.
    async fn look(&mut self) -> Result<Option<UplinkState>, UplinkError> {
        let state = self.watch.look(&self.wanted).await?;
        let misses = |state: &UplinkState| {
            let mut needed = state.routers().chain(self.wanted.iter().copied());
            needed.any(|address| !state.neighbours.contains_key(&address))
        };
        if !self.config.shared || !state.as_ref().is_some_and(misses) {
            return Ok(state);
        }
        tokio::time::sleep(MOMENT).await;
        self.watch.look(&self.wanted).await
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
