//! Docker's calls, on the switch.

use std::path::Path;
use std::sync::Arc;

use paceline_cnm::{Control, Driver, DriverError, Settings, Subject};
use paceline_ipam::Plan;
use paceline_model::{EndpointId, Model, Overlay, OverlayError, PortRequest, PublishedPort, VrfName, Vtep};

use crate::Switch;
use crate::reconcile::Sweeper;

/// The switch as the driver sees it.
pub struct Docker {
    switch: Arc<Switch>,
    sweeper: Sweeper,
}

impl Docker {
    /// Both drivers, on the switch.
    pub fn driver(switch: Arc<Switch>, sweeper: Sweeper) -> Arc<Driver<Self>> {
        let config = switch.config();
        let settings = Settings {
            attach: config.docker.attach,
            plan: Plan::for_host(&identity()),
            interfaces: config.addresses(&VrfName::default()),
            uplinks: config.uplinks_of_networks().collect(),
            segments: config.vxlans.iter().map(|vxlan| (vxlan.vni, vxlan.bridge.clone())).collect(),
            ports: config.ports.iter().map(|port| port.name.clone()).collect(),
        };
        Arc::new(Driver::new(Arc::new(Self { switch, sweeper }), settings))
    }
}

/// What tells this host from others: its machine-id(5), or else its name.
fn identity() -> Vec<u8> {
    let read = |path| std::fs::read(path).ok().filter(|text| !text.is_empty());
    read("/etc/machine-id").or_else(|| read("/proc/sys/kernel/hostname")).unwrap_or_default()
}

impl Control for Docker {
    async fn edit<T, F>(&self, edit: F) -> Result<T, DriverError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Model) -> Result<T, DriverError> + Send + 'static,
    {
        self.switch.update(edit)
    }

    async fn reconcile(&self, subject: Subject) -> Result<(), DriverError> {
        self.switch.requests().make().await.map_err(|error| DriverError::Reconcile(error.into()))?;
        let (network, port) = match subject {
            Subject::Network(id) => {
                (self.switch.model(|model| model.networks.contains_key(&id)).then_some(id), None)
            }
            Subject::Endpoint(id) => {
                let there = self.switch.model(|model| model.endpoints.get(&id).cloned());
                let Some(endpoint) = there else {
                    // Its port is closed; its link goes, too.
                    self.sweeper.sweep().await;
                    return Ok(());
                };
                (endpoint.joined().then_some(endpoint.network), Some(endpoint.port))
            }
        };
        let failure = port.and_then(|port| self.switch.failure(&port));
        let hinders =
            |network| self.switch.host_hinders(&network).or_else(|| self.switch.routes_hinder(&network));
        let failure = failure.or_else(|| network.and_then(hinders));
        failure.map_or(Ok(()), |error| Err(DriverError::Reconcile(error.into())))
    }

    async fn reserve(
        &self,
        endpoint: &EndpointId,
        ports: Vec<PortRequest>,
    ) -> Result<Vec<PublishedPort>, DriverError> {
        // It may try thousands of ports.
        tokio::task::block_in_place(|| self.switch.reserve(endpoint, &ports))
    }

    async fn release(&self, endpoint: &EndpointId) {
        self.switch.release(endpoint);
    }

    fn vtep(&self, overlay: &Overlay) -> Result<Vtep, OverlayError> {
        let (config, uplinks) = (self.switch.config(), self.switch.uplinks());
        let vtep = overlay.vtep(config, &uplinks)?;
        let place = overlay.place_on_host(config, &uplinks);
        match place.and_then(|place| self.switch.publisher(place)) {
            Some(by) => Err(OverlayError::Published { port: overlay.port, by }),
            None => Ok(vtep),
        }
    }

    fn is_sandbox(&self, path: &Path) -> bool {
        self.switch.may_live(path)
    }
}
