//! What should be: the ports, bridges and routes that the reconciler brings about.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use ipnet::IpNet;

use crate::config::{Nat, PortKind, Sessions, Snooping, StaticMac, UnknownUnicast, Uplink};
use crate::{
    Attach, BridgeName, DesiredFilter, DesiredInterface, DesiredVrf, EndpointId, HostPlan, IfName, MacAddr,
    NetworkId, OverlayError, PortName, Route, RouteId, VlanMode, Vni, VrfName, Vtep,
};

/// All ports, bridges and routes that should be. Two of them compare, so that what is can be told from what should be.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Desired {
    /// Ports by name.
    pub ports: BTreeMap<PortName, DesiredPort>,
    /// Bridges by name; every member is in `ports` or `tunnels`.
    pub bridges: BTreeMap<BridgeName, DesiredBridge>,
    /// Routed interfaces by name. One over a port has that port's name; what they lie on is in `ports` or `bridges`.
    pub interfaces: BTreeMap<PortName, DesiredInterface>,
    /// Routing tables by name; that of every interface is in it.
    pub vrfs: BTreeMap<VrfName, DesiredVrf>,
    /// The operator's routes, which yield to others of their prefix. That of a routing table that is not there waits for it.
    pub added: OrdMap<RouteId, Route>,
    /// VXLAN tunnels by name, which are members of bridges by it.
    pub tunnels: BTreeMap<PortName, DesiredTunnel>,
    /// Segments that have no way to other hosts now, by the bridge, and why.
    pub hindered: BTreeMap<(BridgeName, Vni), OverlayError>,
    /// Address translation, if any; its addresses are all there.
    pub nat: Option<Nat>,
    /// What the host's own stack is to do, if anything.
    pub host: Option<HostPlan>,
    /// What interfaces let in and out, by name.
    pub filters: BTreeMap<PortName, DesiredFilter>,
    /// Identities of addresses, by the longest prefix, which filters of containers go by.
    pub identities: BTreeMap<IpNet, u32>,
    /// How filters with a memory keep connections.
    pub sessions: Sessions,
}

impl Desired {
    /// The route of a routing table and a prefix.
    pub fn route(&self, id: &RouteId) -> Option<&Route> {
        let vrf = self.vrfs.get(&id.vrf)?;
        vrf.routes.get(&id.prefix).or_else(|| self.added.get(id))
    }

    /// All routes that may be others than they were in `before`. It takes a time that they take, and not all routes, where this and
    /// that were made of the same file and model.
    pub fn changed_routes(&self, before: &Desired) -> BTreeSet<RouteId> {
        let added = before.added.diff(&self.added).map(|change| changed(&change).clone());
        let mut all: BTreeSet<RouteId> = added.collect();
        for name in before.vrfs.keys().chain(self.vrfs.keys()) {
            let routes = |desired: &Desired| desired.vrfs.get(name).map(|vrf| vrf.routes.clone());
            let (was, is) = (routes(before), routes(self));
            let id = |prefix: &IpNet| RouteId { vrf: name.clone(), prefix: *prefix };
            let own = was.clone().unwrap_or_default();
            all.extend(own.diff(&is.clone().unwrap_or_default()).map(|change| id(changed(&change))));
            if was.is_some() != is.is_some() {
                // Those that waited for it, or do from now on.
                all.extend(self.added.keys().filter(|id| id.vrf == *name).cloned());
            }
        }
        all
    }
}

fn changed<'a, K, V>(change: &DiffItem<'a, 'a, K, V>) -> &'a K {
    match change {
        DiffItem::Add(key, _) | DiffItem::Remove(key, _) | DiffItem::Update { new: (key, _), .. } => key,
    }
}

/// One port that should be.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredPort {
    /// What it is made of.
    pub kind: DesiredKind,
    /// Largest Ethernet payload, in bytes.
    pub mtu: u16,
    /// The address of the device, if it matters: for a container's link, that of the container's end.
    pub mac: Option<MacAddr>,
    /// Receive and transmit queues, 1 to 16.
    pub queues: u8,
}

/// What a port is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum DesiredKind {
    /// A port of the configuration file.
    Configured(PortKind),
    /// A container's link.
    Container(ContainerLink),
    /// The device of an uplink, by all its queues.
    Uplink(Uplink),
    /// The TAP of this name in our own namespace that leads to the host's own stack ([`HostPlan`]).
    Host(IfName),
}

/// The link between a container and the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerLink {
    /// Docker's network.
    pub network: NetworkId,
    /// Docker's endpoint.
    pub endpoint: EndpointId,
    /// How it is attached.
    pub attach: Attach,
    /// The link's name while it is in the host's namespace.
    pub link: IfName,
    /// The container's network namespace.
    pub sandbox: PathBuf,
}

/// One bridge that should be.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredBridge {
    /// Most addresses it learns.
    pub mac_limit: u32,
    /// Seconds after which an address that was not seen is forgotten; 0: never.
    pub mac_age_s: u32,
    /// Whether it learns.
    pub learn: bool,
    /// What happens to frames for an address it does not know.
    pub unknown_unicast: UnknownUnicast,
    /// Whether it listens who is in which multicast group.
    pub snooping: Snooping,
    /// Addresses that are not learned.
    pub static_macs: Vec<StaticMac>,
    /// Hosts whose Ethernet address is known: questions for them are answered in place of a flood.
    pub neighbours: BTreeMap<IpAddr, MacAddr>,
    /// Its members. Either all of them have a VLAN mode or none.
    pub members: BTreeMap<PortName, Membership>,
}

/// A VXLAN tunnel that should be: a segment's way to another host, or to a group of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredTunnel {
    /// The segment.
    pub vni: Vni,
    /// This end.
    pub vtep: Vtep,
    /// The other end, or a multicast group.
    pub remote: IpAddr,
    /// Whether others that send packets of the segment become tunnels, too. At most one tunnel of a segment says so.
    pub learn_peers: bool,
    /// The UDP port of both ends.
    pub port: u16,
    /// Time to live of outer packets; none: that of the inner one.
    pub ttl: Option<u8>,
    /// Differentiated services code point of outer packets; none: that of the inner one.
    pub dscp: Option<u8>,
    /// Whether outer packets have a UDP checksum.
    pub checksum: bool,
    /// Largest inner Ethernet payload, in bytes.
    pub mtu: u16,
}

/// How a port is in a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    /// What it does with VLAN tags. None: they pass untouched and mean nothing.
    pub vlan: Option<VlanMode>,
    /// Members of one group do not reach each other; 0: of no group.
    pub split_horizon_group: u8,
    /// Isolated members reach only those that are not isolated.
    pub isolated: bool,
}

impl Membership {
    /// The split-horizon group of tunnels: what came from one host is for no other one, as each sends to all of them itself.
    pub const TUNNELS: u8 = 255;
}
