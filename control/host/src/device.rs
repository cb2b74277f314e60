//! The host's end of its link to the switch.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use paceline_attach::{Address, Links};
use paceline_model::{GatewayMode, HostPlan, IfName, NetworkId};

use crate::error::{Conflict, HostError};
use crate::plan::{Family, gateways};
use crate::sysctl;

/// The links of the host and their addresses, at one moment.
pub struct Now {
    names: BTreeMap<u32, IfName>,
    addresses: Vec<Address>,
}

impl Now {
    /// As they are.
    ///
    /// # Errors
    /// [`HostError::Link`].
    pub async fn look(links: &Links) -> Result<Self, HostError> {
        Ok(Self { names: links.names().await?.into_iter().collect(), addresses: links.addresses().await? })
    }

    /// The names of all links.
    pub fn names(&self) -> impl Iterator<Item = IfName> {
        self.names.values().copied()
    }

    /// The index of a link.
    ///
    /// # Errors
    /// [`HostError::NoDevice`].
    pub fn index(&self, name: IfName) -> Result<u32, HostError> {
        let found = self.names.iter().find(|(_, other)| **other == name);
        found.map(|(index, _)| *index).ok_or(HostError::NoDevice(name))
    }

    /// All addresses of the host.
    pub fn host(&self) -> BTreeSet<IpAddr> {
        self.addresses.iter().map(|address| address.net.addr()).collect()
    }

    /// What of a gateway's subnet the host has on another link than `device`.
    ///
    /// A subnet of the host that is wider than the gateway's is none: the narrower route leads to the right place.
    pub fn conflict(&self, gateway: IpNet, device: IfName) -> Option<Conflict> {
        self.addresses.iter().find_map(|address| {
            let link = self.names.get(&address.index).copied().filter(|link| *link != device)?;
            let inside = gateway.contains(&address.net.addr());
            inside.then_some(Conflict { gateway, address: address.net, link })
        })
    }

    /// Networks of a plan that cannot be, as the host has addresses of theirs elsewhere.
    pub fn conflicts(&self, plan: &HostPlan) -> BTreeMap<NetworkId, Conflict> {
        let first = |network| gateways(network).find_map(|gateway| self.conflict(gateway, plan.device));
        plan.networks.iter().filter_map(|(id, network)| Some((id.clone(), first(network)?))).collect()
    }

    /// The host's own addresses on a device: those it has that we set, this time or before.
    fn ours(&self, index: u32) -> impl Iterator<Item = IpNet> {
        self.addresses
            .iter()
            .filter(move |address| address.index == index && address.ours)
            .map(|address| address.net)
    }
}

/// Brings the device to the plan. `before` are addresses that we gave it in this run: a kernel that forgets whose they are does
/// not matter then.
///
/// # Errors
/// [`HostError::NoDevice`], [`HostError::Link`], [`HostError::Sysctl`].
pub async fn bring(
    links: &Links,
    now: &Now,
    plan: &HostPlan,
    before: &BTreeSet<IpNet>,
) -> Result<(), HostError> {
    let index = now.index(plan.device)?;
    settings(plan)?;
    links.set_up_single(plan.device, plan.mac.octets(), plan.mtu.into()).await?;
    let wanted: BTreeSet<IpNet> = plan.networks.values().flat_map(gateways).collect();
    let has = |net: &IpNet| now.addresses.iter().any(|address| address.index == index && address.net == *net);
    let old: BTreeSet<IpNet> = now.ours(index).chain(before.iter().copied().filter(has)).collect();
    for net in old.difference(&wanted) {
        links.delete_address(index, *net).await?;
    }
    for net in wanted.iter().filter(|net| !has(net)) {
        links.add_address(index, *net).await?;
    }
    Ok(())
}

/// Takes our addresses from a device, if it is still there.
///
/// # Errors
/// [`HostError::Link`].
pub async fn clear(links: &Links, device: IfName, before: &BTreeSet<IpNet>) -> Result<(), HostError> {
    let now = Now::look(links).await?;
    let Ok(index) = now.index(device) else { return Ok(()) };
    for net in now.ours(index).chain(before.iter().copied()).collect::<BTreeSet<_>>() {
        links.delete_address(index, net).await?;
    }
    Ok(())
}

/// The kernel's settings of the device. Before it is up, as the kernel acts on some of them then.
///
/// `rp_filter` is left as the host has it: what comes by this link is of subnets that the link has, which even the strict
/// check (1) lets through.
fn settings(plan: &HostPlan) -> Result<(), HostError> {
    let device = plan.device;
    let set = |family: &str, setting: &str, value| {
        sysctl::set(&format!("net/{family}/conf/{device}/{setting}"), value).map(drop)
    };
    // The other end knows all ways itself. (`all`, if it is on, counts too; but the kernel sends no redirects for what it
    // translates, and from one network to another nothing else is forwarded.)
    set("ipv4", "send_redirects", "0")?;
    // New devices have what `default` says, which need not be what all others have.
    set("ipv4", "forwarding", "1")?;
    // Lets packets of 127.0.0.1 leave by this device until they are masqueraded, and their answers come back. A container
    // could then reach the host's loopback, which our rules forbid.
    set("ipv4", "route_localnet", if needs_localnet(plan) { "1" } else { "0" })?;
    if plan.networks.values().flat_map(gateways).any(|gateway| gateway.addr().is_ipv6()) {
        set("ipv6", "disable_ipv6", "0")?;
    }
    // 1: no link-local address, which nobody at the other end would answer.
    set("ipv6", "addr_gen_mode", "1")?;
    set("ipv6", "accept_ra", "0")?;
    set("ipv6", "forwarding", "1")
}

/// Whether a port is published on an address of the loopback, or on all addresses.
fn needs_localnet(plan: &HostPlan) -> bool {
    let loopback = |ip: Option<IpAddr>| match ip {
        None => true,
        Some(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(IpAddr::V6(_)) => false,
    };
    plan.ports.iter().any(|port| {
        let network = plan.networks.get(&port.network);
        port.ipv4.is_some()
            && loopback(port.port.host_ip)
            && network.is_some_and(|network| Family::V4.leaves(network) && network.ipv4 == GatewayMode::Nat)
    })
}
