//! `NetworkDriver`: networks.

use ipnet::IpNet;
use paceline_model::options::LinkOptions;
use paceline_model::{
    GatewayMode, IfName, IpamData, Model, Network, NetworkId, NetworkOptions, Overlay, OverlayError,
    PortName, Vni, Vtep,
};
use serde::Deserialize;

use super::{Control, Driver, DriverError, Settings, Subject};
use crate::wire::network::{
    AllocateNetwork, Allocation, Capabilities, CreateNetwork, GwAlloc, GwAllocCheck, NetworkRef,
};
use crate::wire::{self, options};

/// Smallest MTU of a link with IPv6, in bytes (RFC 8200, section 5).
const MIN_MTU_IPV6: u16 = 1280;

impl<C: Control> Driver<C> {
    /// `GetCapabilities`: networks are made on this host and reach as far as it.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities { scope: "local", connectivity_scope: "local", gw_alloc_checker: true }
    }

    /// `GwAllocCheck`: gateway addresses are allocated, also where the gateway mode is `isolated`. Engines before 28 do so
    /// without asking, and there the address stays free for a router that the user attaches.
    pub fn gw_alloc_check(&self, _: &GwAllocCheck) -> GwAlloc {
        GwAlloc { skip_ipv4: false, skip_ipv6: false }
    }

    /// `AllocateNetwork`: checks the options and gives them back as they are, since the answer takes their place. Nothing is
    /// kept, so that it can be repeated at will.
    ///
    /// # Errors
    /// An option that there is not, or a value that is none of its.
    pub fn allocate_network(&self, request: AllocateNetwork) -> Result<Allocation, DriverError> {
        let vtep = |overlay: &_| self.control.vtep(overlay);
        let asked = NetworkOptions::parse(&options::texts(&request.options)?, vtep)?;
        check_uplink(&asked, &self.settings.uplinks)?;
        check_mirror(&asked.link, &self.settings.ports)?;
        Ok(Allocation { options: request.options })
    }

    /// `CreateNetwork`. One that is there already is as it was settled then, whatever has become of its underlay, uplink or mirror.
    ///
    /// # Errors
    /// A wrong option; a subnet that overlaps another network's; the ID of another network; the disk; no bridge could be
    /// made, and then there is no network.
    pub async fn create_network(&self, request: CreateNetwork) -> Result<(), DriverError> {
        let asked = Asked::new(&request)?;
        let (id, own) = (request.network.clone(), request.network.clone());
        let again = asked.clone();
        if self.control.edit(move |model| is_there(model, &own, &again)).await? {
            return self.control.reconcile(Subject::Network(id)).await;
        }
        let options = asked.settle(|overlay| self.control.vtep(overlay))?;
        check_uplink(&options, &self.settings.uplinks)?;
        check_mirror(&options.link, &self.settings.ports)?;
        let (settings, checked) = (self.settings.clone(), asked.clone());
        let new = self.control.edit(move |model| add(model, request, asked, options, &settings)).await?;
        // From here on nobody publishes the port of its tunnels; who did meanwhile has it.
        let made = match checked.settle(|overlay| self.control.vtep(overlay)) {
            Err(error) if new => Err(error),
            _ => self.control.reconcile(Subject::Network(id.clone())).await,
        };
        // The error to tell is that of the creation.
        if made.is_err()
            && new
            && let Err(error) = self.remove_network(id).await
        {
            tracing::warn!(%error, "a failed creation could not be undone in full; the next change tries again");
        }
        made
    }

    /// `DeleteNetwork`, with the endpoints that are left in it: the engine has none in a network that it deletes.
    ///
    /// # Errors
    /// The disk; the bridge or a link cannot be removed.
    pub async fn delete_network(&self, request: NetworkRef) -> Result<(), DriverError> {
        self.remove_network(request.network).await
    }

    async fn remove_network(&self, id: NetworkId) -> Result<(), DriverError> {
        let subject = Subject::Network(id.clone());
        let edit = self.control.edit(move |model| {
            let endpoints: Vec<_> = model.endpoints_of(&id).map(|endpoint| endpoint.id.clone()).collect();
            for endpoint in &endpoints {
                model.endpoints.remove(endpoint);
            }
            Ok(model.networks.remove(&id).map(|_| endpoints))
        });
        let Some(endpoints) = edit.await? else { return Ok(()) };
        let removed = self.control.reconcile(subject).await;
        for endpoint in &endpoints {
            self.control.release(endpoint).await;
        }
        removed
    }
}

/// What links are mirrored to must be there.
pub(super) fn check_mirror(link: &LinkOptions, ports: &[PortName]) -> Result<(), DriverError> {
    match &link.mirror {
        Some(port) if !ports.contains(port) => {
            Err(DriverError::NoMirror { port: port.clone(), known: ports.to_vec() })
        }
        _ => Ok(()),
    }
}

/// An uplink must be there, and what goes by it is translated.
fn check_uplink(options: &NetworkOptions, uplinks: &[IfName]) -> Result<(), DriverError> {
    let Some(device) = options.uplink else { return Ok(()) };
    if !uplinks.contains(&device) {
        return Err(DriverError::NoUplink { device, known: uplinks.to_vec() });
    }
    let modes = [options.gateway_ipv4, options.gateway_ipv6];
    if !options.masquerade || modes.contains(&GatewayMode::Routed) {
        return Err(DriverError::UplinkTranslates { device });
    }
    Ok(())
}

/// What a request for a network asks for, by which a repeated one is told from another with the same ID. The text of the
/// request is not: an engine of a later version says the same with more options.
#[derive(Clone, PartialEq)]
struct Asked {
    options: NetworkOptions,
    ipv4: Vec<IpamData>,
    ipv6: Vec<IpamData>,
    internal: bool,
    enable_ipv6: bool,
}

impl Asked {
    fn new(request: &CreateNetwork) -> Result<Self, DriverError> {
        Ok(Self {
            options: NetworkOptions::asked(&options::generic(&request.options)?)?,
            ipv4: subnets(&request.ipv4),
            ipv6: subnets(&request.ipv6),
            internal: options::flag(&request.options, options::INTERNAL)?,
            enable_ipv6: options::flag(&request.options, options::ENABLE_IPV6)?,
        })
    }

    /// What the network was asked for by; none if that cannot be read.
    fn of(network: &Network) -> Option<Self> {
        let request = CreateNetwork::deserialize(&network.request).ok()?;
        Self::new(&request).ok()
    }

    /// The options of a new network.
    fn settle(
        &self,
        vtep: impl FnOnce(&Overlay) -> Result<Vtep, OverlayError>,
    ) -> Result<NetworkOptions, DriverError> {
        let options = self.options.clone().settled(vtep)?;
        if self.enable_ipv6 && options.mtu < MIN_MTU_IPV6 {
            return Err(DriverError::MtuForIpv6 { mtu: options.mtu });
        }
        Ok(options)
    }
}

/// The subnets of a request. The null IPAM driver gives the whole address space, which is none.
fn subnets(data: &[wire::network::IpamData]) -> Vec<IpamData> {
    let subnet = |data: &wire::network::IpamData| {
        let pool = data.pool.filter(|pool| pool.prefix_len() > 0)?;
        Some(IpamData { pool, gateway: data.gateway, aux: data.aux_addresses.clone() })
    };
    data.iter().filter_map(subnet).collect()
}

/// Whether a network is there that was asked for in the same way.
fn is_there(model: &Model, id: &NetworkId, asked: &Asked) -> Result<bool, DriverError> {
    match model.networks.get(id) {
        Some(there) if Asked::of(there).as_ref() == Some(asked) => Ok(true),
        Some(_) => Err(DriverError::NetworkExists(id.clone())),
        None => Ok(false),
    }
}

/// Whether a network was added: not if it was there.
fn add(
    model: &mut Model,
    request: CreateNetwork,
    asked: Asked,
    options: NetworkOptions,
    settings: &Settings,
) -> Result<bool, DriverError> {
    let id = request.network.clone();
    // Meanwhile it may have been asked for once more.
    if is_there(model, &id, &asked)? {
        return Ok(false);
    }
    if let Some(overlay) = &options.overlay {
        refuse_segment(model, overlay.vni, settings)?;
    }
    for IpamData { pool, .. } in asked.ipv4.iter().chain(&asked.ipv6) {
        refuse_overlap(model, &id, pool)?;
    }
    let Asked { ipv4, ipv6, internal, enable_ipv6, .. } = asked;
    let request = serde_json::to_value(request).unwrap_or_default();
    let bridge = model.bridge_name(&id);
    let network = Network { id: id.clone(), bridge, options, ipv4, ipv6, internal, enable_ipv6, request };
    refuse_overlap_with_interfaces(&network, &settings.interfaces)?;
    model.networks.insert(id, network);
    Ok(true)
}

/// A segment is one network, or one bridge.
fn refuse_segment(model: &Model, vni: Vni, settings: &Settings) -> Result<(), DriverError> {
    if let Some(bridge) = settings.segments.get(&vni).cloned() {
        return Err(DriverError::VniOfFile { vni, bridge });
    }
    let has = |network: &&Network| network.options.overlay.as_ref().is_some_and(|overlay| overlay.vni == vni);
    match model.networks.values().find(has) {
        Some(other) => Err(DriverError::VniInUse { vni, other: other.id.clone() }),
        None => Ok(()),
    }
}

/// Our IPAM driver would not give such a subnet, but the engine's own knows nothing of ours.
fn refuse_overlap(model: &Model, id: &NetworkId, subnet: &IpNet) -> Result<(), DriverError> {
    for other in model.networks.values() {
        let overlaps = |data: &&IpamData| data.pool.contains(subnet) || subnet.contains(&data.pool);
        if let Some(data) = other.ipv4.iter().chain(&other.ipv6).find(overlaps) {
            let (network, other, other_subnet) = (id.clone(), other.id.clone(), data.pool);
            return Err(DriverError::Overlap { subnet: *subnet, network, other_subnet, other });
        }
    }
    Ok(())
}

/// A network that is routed is in one routing table with the interfaces of the configuration file.
fn refuse_overlap_with_interfaces(
    network: &Network,
    interfaces: &[(PortName, IpNet)],
) -> Result<(), DriverError> {
    for gateway in network.gateways() {
        let overlap = |(_, own): &&(PortName, IpNet)| own.contains(&gateway.trunc()) || gateway.contains(own);
        if let Some((interface, own)) = interfaces.iter().find(overlap) {
            return Err(DriverError::OverlapsInterface {
                subnet: gateway.trunc(),
                network: network.id.clone(),
                other: own.trunc(),
                interface: interface.clone(),
            });
        }
    }
    Ok(())
}
