//! What should be: the ports, bridges and routes that the reconciler brings about.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::config::{Nat, PortKind, StaticMac, UnknownUnicast, Uplink};
use crate::{
    Attach, BridgeName, DesiredFilter, DesiredInterface, DesiredVrf, EndpointId, HostPlan, IfName, MacAddr,
    NetworkId, PortName, VlanMode, VrfName,
};

/// All ports, bridges and routes that should be. Two of them compare, so that what is can be told from what should be.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Desired {
    /// Ports by name.
    pub ports: BTreeMap<PortName, DesiredPort>,
    /// Bridges by name; every member is in `ports`.
    pub bridges: BTreeMap<BridgeName, DesiredBridge>,
    /// Routed interfaces by name. One over a port has that port's name; what they lie on is in `ports` or `bridges`.
    pub interfaces: BTreeMap<PortName, DesiredInterface>,
    /// Routing tables by name; that of every interface is in it.
    pub vrfs: BTreeMap<VrfName, DesiredVrf>,
    /// Address translation, if any; its addresses are all there.
    pub nat: Option<Nat>,
    /// What the host's own stack is to do, if anything.
    pub host: Option<HostPlan>,
    /// What interfaces let in and out, by name.
    pub filters: BTreeMap<PortName, DesiredFilter>,
    /// Identities of addresses, by the longest prefix, which filters of containers go by.
    pub identities: BTreeMap<IpNet, u32>,
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
    /// Addresses that are not learned.
    pub static_macs: Vec<StaticMac>,
    /// Its members. Either all of them have a VLAN mode or none.
    pub members: BTreeMap<PortName, Membership>,
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
