//! `[[interface]]`

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Config, DEFAULT_MTU, Filters, field, limits};
use crate::{BridgeName, MacAddr, PortName, VlanId, VrfName};

/// One routed interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Table", into = "Table")]
pub struct Interface {
    /// Our name of it: on a port that of the port.
    pub name: PortName,
    /// What it is on.
    pub on: On,
    /// Its routing table.
    pub vrf: VrfName,
    /// Its Ethernet address; none: that of the device, or one made of its name.
    pub mac: Option<MacAddr>,
    /// Largest IP packet that leaves by it, 68 to 65535 bytes; none: what the port or all ports of the bridge take.
    pub mtu: Option<u16>,
    /// Its addresses, each with the prefix length of its subnet.
    pub addresses: Vec<IpNet>,
    /// Whether it answers, with its own MAC address, for every address that is reached by another interface.
    pub proxy_arp: bool,
    /// Nothing is routed between two isolated interfaces.
    pub isolated: bool,
    /// Neighbours that need not be asked for and never age.
    pub neighbours: Vec<Neighbour>,
    /// Whether what leaves by it gets an address of `[nat]`.
    pub nat: bool,
    /// Whether TCP handshakes that come in or leave by it are lowered to segments that fit its MTU.
    pub mss_clamp: bool,
    /// Whether it takes only packets whose source is in one of its subnets.
    pub source_check: bool,
    /// What it lets in and out. In the file its fields stand beside the others; they are taken apart before (`parse`).
    pub filters: Filters,
}

/// What a routed interface is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum On {
    /// A port, untagged.
    Port(PortName),
    /// A VLAN of a port: a sub-interface.
    Vlan {
        /// The port.
        port: PortName,
        /// The VLAN of the 802.1Q tags.
        vlan: VlanId,
    },
    /// A bridge, as its routed leg (BVI).
    Bridge {
        /// The bridge.
        bridge: BridgeName,
        /// The VLAN, in a bridge whose members have VLANs.
        vlan: Option<VlanId>,
    },
}

/// Who has an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    /// The IP address.
    #[serde(deserialize_with = "field::one")]
    pub address: IpAddr,
    /// The Ethernet address.
    pub mac: MacAddr,
}

impl Interface {
    /// Its MTU, which may follow from what it is on.
    pub fn mtu(&self, config: &Config) -> u16 {
        let of = |name: &PortName| config.ports.iter().find(|port| port.name == *name).map(|port| port.mtu);
        let least = || match &self.on {
            On::Port(port) | On::Vlan { port, .. } => of(port),
            On::Bridge { bridge, .. } => {
                let bridge = config.bridges.iter().find(|other| other.name == *bridge)?;
                bridge.members.iter().filter_map(|member| of(&member.port)).min()
            }
        };
        self.mtu.or_else(least).unwrap_or(DEFAULT_MTU)
    }
}

/// A table that is no interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterfaceError {
    /// On nothing, or on two things.
    #[error("interface: must be on one of port = \"p0\" and bridge = \"br0\"")]
    On,
    /// It has a name of its own where that of the port is all it can have.
    #[error(
        "interface {name:?} on port {port:?}: has the name of its port: leave name out, or give it a vlan"
    )]
    Named {
        /// As given.
        name: String,
        /// What it is on.
        port: String,
    },
    /// It has no name.
    #[error("interface on {on}: needs a name, like name = \"lan10\"")]
    NoName {
        /// What it is on.
        on: String,
    },
}

/// [`Interface`] as it is written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: Option<PortName>,
    port: Option<PortName>,
    bridge: Option<BridgeName>,
    vlan: Option<VlanId>,
    #[serde(default)]
    vrf: VrfName,
    mac: Option<MacAddr>,
    #[serde(default, deserialize_with = "limits::maybe_between::<_, _, 68, 65535>")]
    mtu: Option<u16>,
    #[serde(default, deserialize_with = "field::list")]
    addresses: Vec<IpNet>,
    #[serde(default)]
    proxy_arp: bool,
    #[serde(default)]
    isolated: bool,
    #[serde(default)]
    neighbours: Vec<Neighbour>,
    #[serde(default)]
    nat: bool,
    #[serde(default)]
    mss_clamp: bool,
    #[serde(default)]
    source_check: bool,
}

impl TryFrom<Table> for Interface {
    type Error = InterfaceError;

    fn try_from(table: Table) -> Result<Self, InterfaceError> {
        let Table { name, port, bridge, vlan, .. } = table;
        let no_name = |on: String| InterfaceError::NoName { on };
        let (name, on) = match (port, bridge, vlan) {
            (Some(port), None, None) => match name {
                Some(name) if name != port => {
                    return Err(InterfaceError::Named { name: name.into(), port: port.into() });
                }
                _ => (port.clone(), On::Port(port)),
            },
            (Some(port), None, Some(vlan)) => {
                let name = name.ok_or_else(|| no_name(format!("VLAN {vlan} of port {:?}", port.as_str())))?;
                (name, On::Vlan { port, vlan })
            }
            (None, Some(bridge), vlan) => {
                let name = name.ok_or_else(|| no_name(format!("bridge {:?}", bridge.as_str())))?;
                (name, On::Bridge { bridge, vlan })
            }
            _ => return Err(InterfaceError::On),
        };
        let Table {
            vrf,
            mac,
            mtu,
            addresses,
            proxy_arp,
            isolated,
            neighbours,
            nat,
            mss_clamp,
            source_check,
            ..
        } = table;
        Ok(Self {
            name,
            on,
            vrf,
            mac,
            mtu,
            addresses,
            proxy_arp,
            isolated,
            neighbours,
            nat,
            mss_clamp,
            source_check,
            filters: Filters::default(),
        })
    }
}

impl From<Interface> for Table {
    fn from(interface: Interface) -> Self {
        let Interface {
            name,
            on,
            vrf,
            mac,
            mtu,
            addresses,
            proxy_arp,
            isolated,
            neighbours,
            nat,
            mss_clamp,
            source_check,
            filters: _,
        } = interface;
        let (port, bridge, vlan) = match on {
            On::Port(port) => (Some(port), None, None),
            On::Vlan { port, vlan } => (Some(port), None, Some(vlan)),
            On::Bridge { bridge, vlan } => (None, Some(bridge), vlan),
        };
        let name = Some(name);
        Self {
            name,
            port,
            bridge,
            vlan,
            vrf,
            mac,
            mtu,
            addresses,
            proxy_arp,
            isolated,
            neighbours,
            nat,
            mss_clamp,
            source_check,
        }
    }
}
