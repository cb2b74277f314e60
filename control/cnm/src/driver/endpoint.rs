//! `NetworkDriver`: endpoints.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use ipnet::IpNet;
use paceline_model::endpoint::EndpointOptions;
use paceline_model::{Attach, Endpoint, EndpointId, MacAddr, Model, Network, NetworkId};
use serde_json::json;

use super::leftover::{forget, is_dead};
use super::network::check_mirror;
use super::{Control, Driver, DriverError, Subject, mac};
use crate::wire::network::{
    CreateEndpoint, CreatedEndpoint, EndpointRef, FilledInterface, Interface, InterfaceName, Join, Joined,
    OperInfo,
};
use crate::wire::options;

impl<C: Control> Driver<C> {
    /// `CreateEndpoint`. Its link is made at `Join`.
    ///
    /// # Errors
    /// No such network; a wrong option; an address that is in use in it; the ID of another endpoint; the disk.
    pub async fn create_endpoint(&self, request: CreateEndpoint) -> Result<CreatedEndpoint, DriverError> {
        let asked = Asked::new(&request)?;
        check_mirror(&asked.options.link, &self.settings.ports)?;
        let mac_given = request.interface.mac.is_some();
        let (control, default) = (self.control.clone(), self.settings.attach);
        let edit = self.control.edit(move |model| {
            let is_dead = |endpoint: &Endpoint| is_dead(endpoint, |path| control.is_sandbox(path));
            add(model, &request, &asked, default, is_dead)
        });
        let mac_address = edit.await?;
        Ok(CreatedEndpoint { interface: (!mac_given).then_some(FilledInterface { mac_address }) })
    }

    /// `DeleteEndpoint`, with its link and its ports.
    ///
    /// # Errors
    /// The disk; the link cannot be removed.
    pub async fn delete_endpoint(&self, request: EndpointRef) -> Result<(), DriverError> {
        let id = request.endpoint.clone();
        let edit = self.control.edit(move |model| {
            let there = find(model, &request.network, &request.endpoint).is_ok();
            Ok(there && model.endpoints.remove(&request.endpoint).is_some())
        });
        if edit.await? { self.end_ports(&id).await } else { Ok(()) }
    }

    /// `EndpointOperInfo`: what `docker network inspect --verbose` may show.
    ///
    /// # Errors
    /// No such endpoint.
    pub async fn endpoint_info(&self, request: EndpointRef) -> Result<OperInfo, DriverError> {
        let edit = self.control.edit(move |model| {
            let endpoint = find(model, &request.network, &request.endpoint)?;
            let mut info = json!({
                "attach": endpoint.attach,
                "link": endpoint.link.to_string(),
                "mac": endpoint.mac,
                "port": endpoint.port,
            });
            if !endpoint.ports.is_empty() {
                // The engine shows no ports of a plugin, in `docker port` or anywhere else.
                let ports = endpoint.ports.iter().map(ToString::to_string);
                info["published"] = ports.collect::<Vec<_>>().into();
            }
            Ok(info.as_object().cloned().unwrap_or_default())
        });
        Ok(OperInfo { value: edit.await? })
    }

    /// `Join`: makes the port and the link, which the engine then moves into the container. The gateways are those of the
    /// network, unless it is internal; where there is none at all the engine is told not to add a leg of its own.
    ///
    /// # Errors
    /// No such endpoint, or one that is joined elsewhere; no path of a namespace; the disk; the link or the port could not be
    /// made, and then the endpoint has not joined.
    pub async fn join(&self, request: Join) -> Result<Joined, DriverError> {
        let Join { network, endpoint: id, sandbox } = request;
        if !sandbox.is_absolute() {
            return Err(DriverError::NoSandbox { sandbox });
        }
        let (control, endpoint, to) = (self.control.clone(), id.clone(), sandbox.clone());
        let edit = self.control.edit(move |model| {
            let there = find(model, &network, &endpoint)?;
            let (link, before) = (there.link, there.sandbox.clone());
            let gateways = model.networks.get(&network).map(|network| gateways(network, there));
            if let Some(sandbox) = before.clone().filter(|other| *other != to && control.is_sandbox(other)) {
                return Err(DriverError::JoinedElsewhere { endpoint, sandbox });
            }
            set_sandbox(model, &endpoint, Some(to));
            Ok((link, before, gateways.unwrap_or_default()))
        });
        let (src_name, before, (gateway, gateway_ipv6)) = edit.await?;
        if let Err(error) = self.control.reconcile(Subject::Endpoint(id.clone())).await {
            self.take_back(id, sandbox, before).await;
            return Err(error);
        }
        let interface_name = InterfaceName { src_name, dst_prefix: "eth" };
        let disable_gateway_service = gateway.is_none() && gateway_ipv6.is_none();
        Ok(Joined { interface_name, gateway, gateway_ipv6, disable_gateway_service })
    }

    /// Undoes a join, unless somebody else has done more since. The error to tell is that of the join.
    async fn take_back(&self, id: EndpointId, joined: PathBuf, before: Option<PathBuf>) {
        let subject = Subject::Endpoint(id.clone());
        let edit = self.control.edit(move |model| {
            if model.endpoints.get(&id).is_some_and(|endpoint| endpoint.sandbox.as_ref() == Some(&joined)) {
                set_sandbox(model, &id, before);
            }
            Ok(())
        });
        let undone = async {
            edit.await?;
            self.control.reconcile(subject).await
        };
        if let Err(error) = undone.await {
            tracing::warn!(%error, "a failed join could not be undone in full; the next change tries again");
        }
    }

    /// `Leave`: the port goes, and published ones: after an engine's restart with live-restore nobody revokes them. The link
    /// stays for the engine to move back, until `DeleteEndpoint`.
    ///
    /// # Errors
    /// The disk; the port cannot be removed.
    pub async fn leave(&self, request: EndpointRef) -> Result<(), DriverError> {
        let id = request.endpoint.clone();
        let edit = self.control.edit(move |model| {
            let used = |endpoint: &Endpoint| endpoint.joined() || !endpoint.ports.is_empty();
            let left = find(model, &request.network, &request.endpoint).is_ok_and(used);
            if let Some(endpoint) = model.endpoints.get_mut(&request.endpoint).filter(|_| left) {
                endpoint.sandbox = None;
                endpoint.ports.clear();
            }
            Ok(left)
        });
        if edit.await? { self.end_ports(&id).await } else { Ok(()) }
    }
}

/// What a request for an endpoint comes to beside its addresses.
struct Asked {
    options: EndpointOptions,
    /// By the interface, or else by the option.
    mac: Option<MacAddr>,
}

impl Asked {
    fn new(request: &CreateEndpoint) -> Result<Self, DriverError> {
        let options = EndpointOptions::parse(&options::drivers(&request.options)?)?;
        let mac =
            request.interface.mac.map_or_else(|| options::mac(&request.options), |mac| Ok(Some(mac)))?;
        match mac.filter(|mac| !mac.is_unicast()) {
            Some(mac) => Err(DriverError::NotUnicast { mac }),
            None => Ok(Self { options, mac }),
        }
    }

    /// Whether the same request made this endpoint. What was left open is as it was settled then.
    fn is_of(&self, endpoint: &Endpoint, request: &CreateEndpoint) -> bool {
        endpoint.network == request.network
            && (endpoint.ipv4, endpoint.ipv6) == (request.interface.ipv4, request.interface.ipv6)
            && endpoint.mac_given == request.interface.mac.is_some()
            && self.mac.is_none_or(|mac| mac == endpoint.mac)
            && self.options.attach.is_none_or(|attach| attach == endpoint.attach)
            && (&self.options.labels, &self.options.link) == (&endpoint.labels, &endpoint.link_options)
    }
}

/// Adds an endpoint, if it is not there. Returns its MAC address.
fn add(
    model: &mut Model,
    request: &CreateEndpoint,
    asked: &Asked,
    default: Attach,
    is_dead: impl Fn(&Endpoint) -> bool,
) -> Result<MacAddr, DriverError> {
    let CreateEndpoint { network, endpoint: id, interface: Interface { ipv4, ipv6, mac }, .. } = request;
    let options = model.networks.get(network).map(|network| network.options.clone());
    let options = options.ok_or_else(|| DriverError::NoNetwork(network.clone()))?;
    match model.endpoints.get(id) {
        Some(there) if asked.is_of(there, request) => return Ok(there.mac),
        Some(_) => return Err(DriverError::EndpointExists(id.clone())),
        None => make_room(model, request, asked.mac, is_dead)?,
    }
    let gateway = model.gateway_macs().get(network).copied();
    if let Some(mac) = asked.mac.filter(|mac| Some(*mac) == gateway) {
        return Err(DriverError::GatewayMac { mac, network: network.clone() });
    }
    let taken = |mac| Some(mac) == gateway || model.endpoints_of(network).any(|endpoint| endpoint.mac == mac);
    let chosen = asked.mac.unwrap_or_else(|| mac::choose(ipv4.map(|net| net.addr()), id, taken));
    let endpoint = Endpoint {
        id: id.clone(),
        network: network.clone(),
        port: model.port_name(id),
        link: model.link_name(id),
        attach: asked.options.attach.or(options.attach).unwrap_or(default),
        mac: chosen,
        mac_given: mac.is_some(),
        ipv4: *ipv4,
        ipv6: *ipv6,
        sandbox: None,
        ports: Vec::new(),
        labels: asked.options.labels.clone(),
        link_options: asked.options.link.clone(),
        request: serde_json::to_value(request).unwrap_or_default(),
    };
    model.endpoints.insert(id.clone(), endpoint);
    Ok(chosen)
}

/// Refuses addresses that another endpoint of the network has; takes that out instead if it is a leftover. One whose
/// container is gone is. So is one that is not joined but has the IP address: an IPAM driver gives an address again only
/// when it was given back, and that comes after `DeleteEndpoint`, which must have been lost.
fn make_room(
    model: &mut Model,
    request: &CreateEndpoint,
    mac: Option<MacAddr>,
    is_dead: impl Fn(&Endpoint) -> bool,
) -> Result<(), DriverError> {
    let interface = &request.interface;
    let ipv4 = interface.ipv4.map(|net| IpAddr::V4(net.addr()));
    let ipv6 = interface.ipv6.map(|net| IpAddr::V6(net.addr()));
    let ours: Vec<IpAddr> = ipv4.into_iter().chain(ipv6).collect();
    let mut leftovers = Vec::new();
    for other in model.endpoints_of(&request.network) {
        let same_mac = mac.filter(|mac| *mac == other.mac);
        let same_address = other.addresses().find(|address| ours.contains(address));
        if same_mac.is_none() && same_address.is_none() {
            continue;
        }
        let (network, by) = (request.network.clone(), other.id.clone());
        match (same_address, same_mac) {
            _ if is_dead(other) => leftovers.push(by),
            (Some(_), _) if !other.joined() => leftovers.push(by),
            (Some(address), _) => return Err(DriverError::AddressInUse { address, network, by }),
            (None, Some(mac)) => return Err(DriverError::MacInUse { mac, network, by }),
            (None, None) => {}
        }
    }
    for id in leftovers {
        forget(model, &id, &ours);
    }
    Ok(())
}

/// The default routers of an endpoint: those of its subnets.
fn gateways(network: &Network, endpoint: &Endpoint) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
    let out = || network.gateways().filter(|_| !network.internal);
    let ipv4 = out().find_map(|gateway| match (gateway, endpoint.ipv4?) {
        (IpNet::V4(gateway), own) => gateway.contains(&own.addr()).then(|| gateway.addr()),
        (IpNet::V6(_), _) => None,
    });
    let ipv6 = out().find_map(|gateway| match (gateway, endpoint.ipv6?) {
        (IpNet::V6(gateway), own) => gateway.contains(&own.addr()).then(|| gateway.addr()),
        (IpNet::V4(_), _) => None,
    });
    (ipv4, ipv6)
}

pub(super) fn find<'m>(
    model: &'m Model,
    network: &NetworkId,
    id: &EndpointId,
) -> Result<&'m Endpoint, DriverError> {
    if !model.networks.contains_key(network) {
        return Err(DriverError::NoNetwork(network.clone()));
    }
    let endpoint = model.endpoints.get(id).filter(|endpoint| endpoint.network == *network);
    endpoint.ok_or_else(|| DriverError::NoEndpoint { network: network.clone(), endpoint: id.clone() })
}

fn set_sandbox(model: &mut Model, id: &EndpointId, sandbox: Option<PathBuf>) {
    if let Some(endpoint) = model.endpoints.get_mut(id) {
        endpoint.sandbox = sandbox;
    }
}
