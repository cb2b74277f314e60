//! Published ports of containers, on the host: held, so that nobody else has them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::MutexGuard;

use paceline_cnm::DriverError;
use paceline_host::{Ports, Target};
use paceline_model::config::Vxlan;
use paceline_model::{Endpoint, EndpointId, GatewayMode, Model, PortRequest, Protocol, PublishedPort};

use crate::Switch;

impl Switch {
    /// Takes ports of the host for an endpoint, in place of those that it has; see [`Control`](paceline_cnm::Control).
    ///
    /// # Errors
    /// [`DriverError::Port`], for the first one that cannot be had. Nothing has changed then.
    pub(crate) fn reserve(
        &self,
        id: &EndpointId,
        requests: &[PortRequest],
    ) -> Result<Vec<PublishedPort>, DriverError> {
        let target = self.model(|model| model.endpoints.get(id).map(|endpoint| target(model, endpoint)));
        let ends = self.ends_on_host();
        let mut ports = self.ports();
        self.forget_ports(&mut ports);
        ports.carry(ends);
        let settled = ports.reserve(id, target.unwrap_or_default(), requests);
        settled.map_err(|(port, why)| DriverError::Port { port, why: why.into() })
    }

    /// UDP ports of tunnels at addresses that published ports are at as well.
    fn ends_on_host(&self) -> BTreeSet<SocketAddr> {
        let (config, uplinks) = (self.config(), self.uplinks());
        let of_networks: Vec<_> = self.model(|model| {
            model.networks.values().filter_map(|network| network.options.overlay.clone()).collect()
        });
        let all = config.vxlans.iter().map(Vxlan::overlay).chain(of_networks);
        all.filter_map(|overlay| overlay.place_on_host(config, &uplinks)).collect()
    }

    /// Who has published a UDP port at an address of the host.
    pub(crate) fn publisher(&self, at: SocketAddr) -> Option<EndpointId> {
        let is_it = |port: &PublishedPort| {
            port.protocol == Protocol::Udp && port.host_port == at.port() && port.is_at(at.ip())
        };
        let published = self.model(|model| {
            let found = model.endpoints.values().find(|endpoint| held(model, endpoint).iter().any(is_it));
            found.map(|endpoint| endpoint.id.clone())
        });
        // One that is being published is held before it is in the model.
        published.or_else(|| self.ports().holder(Protocol::Udp, Some(at.ip()), at.port()).cloned())
    }

    /// Gives back what is held for an endpoint.
    pub(crate) fn release(&self, id: &EndpointId) {
        self.ports().release(id);
    }

    /// Takes what the model says was settled before this start.
    pub(crate) fn restore_ports(&self) {
        let all: Vec<_> = self.model(|model| {
            let published = model.endpoints.values().filter(|endpoint| !endpoint.ports.is_empty());
            published
                .map(|endpoint| (endpoint.id.clone(), target(model, endpoint), held(model, endpoint)))
                .collect()
        });
        let mut ports = self.ports();
        for (id, target, published) in all {
            for error in ports.restore(&id, target, &published) {
                tracing::error!(endpoint = %id, "a published port is not held: {error}");
            }
        }
    }

    /// Frees what is held for endpoints that ended without a call.
    fn forget_ports(&self, ports: &mut MutexGuard<'_, Ports>) {
        self.model(|model| ports.keep(|id| model.endpoints.contains_key(id)));
    }
}

/// Where connections that the kernel does not translate are passed on to.
fn target(model: &Model, endpoint: &Endpoint) -> Target {
    let translates = |ipv6| {
        let network = model.networks.get(&endpoint.network);
        network.is_some_and(|network| {
            let options = &network.options;
            (if ipv6 { options.gateway_ipv6 } else { options.gateway_ipv4 }) == GatewayMode::Nat
        })
    };
    Target {
        ipv4: endpoint.ipv4.map(|net| net.addr()).filter(|_| translates(false)),
        ipv6: endpoint.ipv6.map(|net| net.addr()).filter(|_| translates(true)),
    }
}

/// The ports of an endpoint that are the host's: in mode `routed` they are the container's alone.
fn held(model: &Model, endpoint: &Endpoint) -> Vec<PublishedPort> {
    let Target { ipv4, ipv6 } = target(model, endpoint);
    let is_held = |port: &&PublishedPort| match port.host_ip {
        Some(ip) if ip.is_ipv4() => ipv4.is_some(),
        Some(_) => ipv6.is_some(),
        None => ipv4.is_some() || ipv6.is_some(),
    };
    endpoint.ports.iter().filter(is_held).copied().collect()
}
