//! `NetworkDriver`: published ports.
//!
//! In mode `nat` a port of the host is taken for each ([`Control::reserve`]); in mode `routed` none is, as with Docker's own
//! bridge: what is recorded is the container's port, which opens the filter. `isolated` families and `--internal` networks
//! publish nothing; the engine calls for them all the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use paceline_model::{EndpointId, GatewayMode, Network, NetworkId, PortRequest, PublishedPort};

use super::endpoint::find;
use super::{Control, Driver, DriverError, Subject};
use crate::wire::network::{EndpointRef, ProgramExternalConnectivity};
use crate::wire::options::{self, PortMapping};

impl<C: Control> Driver<C> {
    /// `ProgramExternalConnectivity`: publishes the ports of a container whose default router this network is. Repeated, it
    /// settles on the same ports of the host.
    ///
    /// # Errors
    /// No such endpoint; a port mapping that is none; a port that cannot be had; the disk; what the ports are to reach could
    /// not be made. Then all is as it was.
    pub async fn program_external_connectivity(
        &self,
        request: ProgramExternalConnectivity,
    ) -> Result<(), DriverError> {
        let mappings = options::port_map(&request.options)?;
        let ProgramExternalConnectivity { network, endpoint: id, .. } = request;
        let (in_network, endpoint) = (network.clone(), id.clone());
        let look = self.control.edit(move |model| {
            let before = find(model, &in_network, &endpoint)?.ports.clone();
            let network = model.networks.get(&in_network);
            let network = network.ok_or_else(|| DriverError::NoNetwork(in_network.clone()))?;
            Ok((wanted(network, &mappings)?, held(network, &before), before))
        });
        let (wanted, held, before) = look.await?;
        let ports = self.settle(&id, wanted, &before).await?;
        let published = self.publish(&network, &id, &ports, &before).await;
        if published.is_err() && ports != before {
            self.take_back_ports(&id, ports, before, held).await;
        }
        published
    }

    /// `RevokeExternalConnectivity`.
    ///
    /// # Errors
    /// The disk; what the ports reached could not be undone.
    pub async fn revoke_external_connectivity(&self, request: EndpointRef) -> Result<(), DriverError> {
        let id = request.endpoint.clone();
        let edit = self.control.edit(move |model| {
            let published = find(model, &request.network, &request.endpoint)
                .is_ok_and(|endpoint| !endpoint.ports.is_empty());
            if let Some(endpoint) = model.endpoints.get_mut(&request.endpoint).filter(|_| published) {
                endpoint.ports.clear();
            }
            Ok(published)
        });
        if edit.await? { self.end_ports(&id).await } else { Ok(()) }
    }

    /// Brings all to a model in which the endpoint has no ports, then gives those of the host back: not before nothing leads
    /// from them to the container any more.
    pub(super) async fn end_ports(&self, id: &EndpointId) -> Result<(), DriverError> {
        let ended = self.control.reconcile(Subject::Endpoint(id.clone())).await;
        self.control.release(id).await;
        ended
    }

    /// Finds a port of the host for each request that needs one.
    async fn settle(
        &self,
        id: &EndpointId,
        wanted: Vec<Wanted>,
        before: &[PublishedPort],
    ) -> Result<Vec<PublishedPort>, DriverError> {
        let again = wanted.len() == before.len()
            && wanted.iter().zip(before).all(|(wanted, port)| wanted.request.is_met_by(*port));
        let wanted = if again {
            let same =
                |(wanted, port): (Wanted, &PublishedPort)| Wanted { request: (*port).into(), ..wanted };
            wanted.into_iter().zip(before).map(same).collect()
        } else {
            wanted
        };
        let requests: Vec<_> = wanted.iter().filter(|w| w.takes_port).map(|w| w.request).collect();
        let mut reserved = Vec::new();
        if !requests.is_empty() {
            reserved = self.control.reserve(id, requests).await?;
        }
        let mut reserved = reserved.into_iter();
        let settled = wanted.into_iter().map(|Wanted { request, takes_port }| {
            if !takes_port {
                // Docker records the container's port, as there is no other.
                return Ok(request.with(request.port));
            }
            let why = "no port of the host was settled for it";
            reserved.next().ok_or_else(|| DriverError::Port { port: request, why: why.into() })
        });
        settled.collect()
    }

    /// Makes the ports durable, and brings all to them.
    async fn publish(
        &self,
        network: &NetworkId,
        id: &EndpointId,
        ports: &[PublishedPort],
        before: &[PublishedPort],
    ) -> Result<(), DriverError> {
        let (network, endpoint, ports) = (network.clone(), id.clone(), ports.to_vec());
        let none_now = ports.is_empty() && !before.is_empty();
        let edit = self.control.edit(move |model| {
            find(model, &network, &endpoint)?;
            if let Some(endpoint) = model.endpoints.get_mut(&endpoint) {
                endpoint.ports = ports;
            }
            Ok(())
        });
        edit.await?;
        if none_now {
            self.end_ports(id).await
        } else {
            self.control.reconcile(Subject::Endpoint(id.clone())).await
        }
    }

    /// Undoes a publication, unless somebody else has done more since. The error to tell is that of the publication.
    async fn take_back_ports(
        &self,
        id: &EndpointId,
        ports: Vec<PublishedPort>,
        before: Vec<PublishedPort>,
        held: Vec<PortRequest>,
    ) {
        let endpoint = id.clone();
        let edit = self.control.edit(move |model| {
            let published = model.endpoints.get(&endpoint).is_some_and(|endpoint| endpoint.ports == ports);
            if let Some(endpoint) = model.endpoints.get_mut(&endpoint).filter(|_| published) {
                endpoint.ports = before;
            }
            Ok(())
        });
        let undone = async {
            edit.await?;
            self.control.reconcile(Subject::Endpoint(id.clone())).await
        };
        if let Err(error) = undone.await {
            tracing::warn!(%error, "a failed publication could not be undone in full; the next change tries again");
        }
        if held.is_empty() {
            self.control.release(id).await;
        } else if let Err(error) = self.control.reserve(id, held).await {
            tracing::warn!(endpoint = %id, %error, "ports that were published before are lost");
        }
    }
}

/// A port to publish.
struct Wanted {
    request: PortRequest,
    /// Whether one of the host's is needed.
    takes_port: bool,
}

/// What the port mappings come to in this network.
fn wanted(network: &Network, mappings: &[PortMapping]) -> Result<Vec<Wanted>, DriverError> {
    let mut wanted = Vec::new();
    for mapping in mappings {
        let request = mapping.request(network.options.host_binding)?;
        let of_families = of_families(network, request);
        if of_families.is_empty() {
            let network = network.id.as_str();
            tracing::info!(port = %request, network, "not published: the network has no way out");
        }
        wanted.extend(of_families);
    }
    Ok(wanted)
}

/// One request, or one of each family where they differ; none where there is no way out.
fn of_families(network: &Network, request: PortRequest) -> Vec<Wanted> {
    let (ipv4, ipv6) =
        if network.internal { (GatewayMode::Isolated, GatewayMode::Isolated) } else { modes(network) };
    let part = |mode: GatewayMode, host_ip: Option<IpAddr>| {
        let takes_port = mode == GatewayMode::Nat;
        let request = PortRequest { host_ip, ..request };
        (mode != GatewayMode::Isolated).then_some(Wanted { request, takes_port })
    };
    let parts = match request.host_ip {
        Some(IpAddr::V4(_)) => [part(ipv4, request.host_ip), None],
        Some(IpAddr::V6(_)) => [part(ipv6, request.host_ip), None],
        None if ipv4 == ipv6 => [part(ipv4, None), None],
        None => {
            [part(ipv4, Some(Ipv4Addr::UNSPECIFIED.into())), part(ipv6, Some(Ipv6Addr::UNSPECIFIED.into()))]
        }
    };
    parts.into_iter().flatten().collect()
}

/// How both families reach the outside. A family that the network has not is as the other: what comes in by its addresses of
/// the host goes to the container's address of the other.
fn modes(network: &Network) -> (GatewayMode, GatewayMode) {
    let (ipv4, ipv6) = (network.options.gateway_ipv4, network.options.gateway_ipv6);
    match (network.ipv4.is_empty(), network.ipv6.is_empty()) {
        (false, true) => (ipv4, ipv4),
        (true, false) => (ipv6, ipv6),
        _ => (ipv4, ipv6),
    }
}

/// Requests that give an endpoint again what it holds of the host's ports.
fn held(network: &Network, ports: &[PublishedPort]) -> Vec<PortRequest> {
    let parts = ports.iter().flat_map(|&port| of_families(network, port.into()));
    parts.filter(|part| part.takes_port).map(|part| part.request).collect()
}
