//! `NetworkDriver`: networks.

use ipnet::IpNet;
use paceline_model::options::LinkOptions;
use paceline_model::{
    GatewayMode, IfName, IpamData, Model, Network, NetworkId, NetworkOptions, Overlay, OverlayError,
    PortName, Vni, Vtep,
};

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

    /// `CreateNetwork`.
    ///
    /// # Errors
    /// A wrong option; a subnet that overlaps another network's; the ID of another network; the disk; no bridge could be
    /// made, and then there is no network.
    pub async fn create_network(&self, request: CreateNetwork) -> Result<(), DriverError> {
        let settled = Settled::new(&request, |overlay| self.control.vtep(overlay))?;
        check_uplink(&settled.options, &self.settings.uplinks)?;
        check_mirror(&settled.options.link, &self.settings.ports)?;
        let id = request.network.clone();
        let settings = self.settings.clone();
        let new = self.control.edit(move |model| add(model, request, settled, &settings)).await?;
        let made = self.control.reconcile(Subject::Network(id.clone())).await;
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

/// What a request for a network comes to, by which a repeated one is told from another with the same ID. The text of the
/// request is not: an engine of a later version says the same with more options.
#[derive(PartialEq)]
struct Settled {
    options: NetworkOptions,
    ipv4: Vec<IpamData>,
    ipv6: Vec<IpamData>,
    internal: bool,
    enable_ipv6: bool,
}

impl Settled {
    fn new(
        request: &CreateNetwork,
        vtep: impl FnOnce(&Overlay) -> Result<Vtep, OverlayError>,
    ) -> Result<Self, DriverError> {
        let options = NetworkOptions::parse(&options::generic(&request.options)?, vtep)?;
        let settled = Self {
            options,
            ipv4: subnets(&request.ipv4),
            ipv6: subnets(&request.ipv6),
            internal: options::flag(&request.options, options::INTERNAL)?,
            enable_ipv6: options::flag(&request.options, options::ENABLE_IPV6)?,
        };
        let mtu = settled.options.mtu;
        if settled.enable_ipv6 && mtu < MIN_MTU_IPV6 {
            return Err(DriverError::MtuForIpv6 { mtu });
        }
        Ok(settled)
    }

    fn of(network: &Network) -> Self {
        Self {
            options: network.options.clone(),
            ipv4: network.ipv4.clone(),
            ipv6: network.ipv6.clone(),
            internal: network.internal,
            enable_ipv6: network.enable_ipv6,
        }
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

/// Whether a network was added: not if it was there.
fn add(
    model: &mut Model,
    request: CreateNetwork,
    settled: Settled,
    settings: &Settings,
) -> Result<bool, DriverError> {
    let id = request.network.clone();
    match model.networks.get(&id) {
        Some(there) if Settled::of(there) == settled => return Ok(false),
        Some(_) => return Err(DriverError::NetworkExists(id)),
        None => {}
    }
    if let Some(overlay) = &settled.options.overlay {
        refuse_segment(model, overlay.vni, settings)?;
    }
    for IpamData { pool, .. } in settled.ipv4.iter().chain(&settled.ipv6) {
        refuse_overlap(model, &id, pool)?;
    }
    let Settled { options, ipv4, ipv6, internal, enable_ipv6 } = settled;
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
