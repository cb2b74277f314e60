//! VXLAN overlays (RFC 7348): segments that go from host to host inside UDP packets, and the addresses that carry them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::{Interface, Uplink};
use crate::{BridgeName, Config, EndpointId, Interval, PortName, Uplinks, VrfName};

/// A VXLAN network identifier: which segment. 1 to 16777215, as the field has 24 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u32")]
pub struct Vni(u32);

/// A number that is no VNI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("VNI {0}: must be 1 to 16777215")]
pub struct VniError(i64);

impl Vni {
    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for Vni {
    type Error = VniError;

    fn try_from(number: i64) -> Result<Self, VniError> {
        let vni = u32::try_from(number).ok().filter(|vni| (1..1 << 24).contains(vni));
        vni.map(Self).ok_or(VniError(number))
    }
}

impl From<Vni> for u32 {
    fn from(vni: Vni) -> Self {
        vni.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A segment, as it is asked for by `[[vxlan]]` or by a network of mode `overlay`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlay {
    /// Which.
    pub vni: Vni,
    /// The address of this end; none: the first one of `underlay` that has the version of the others.
    pub local: Option<IpAddr>,
    /// What has that address: a routed interface, or the device of an uplink; none: whatever has `local`.
    pub underlay: Option<PortName>,
    /// The other ends, each of which gets a copy of what is flooded (head-end replication), unless there is a group.
    pub peers: Vec<IpAddr>,
    /// A multicast group that gets what is flooded, of which all peers are.
    pub group: Option<IpAddr>,
    /// Whether others that send packets of the segment become peers.
    pub learn_peers: bool,
    /// The UDP port of all ends.
    pub port: u16,
    /// Time to live of outer packets; none: that of the inner one.
    pub ttl: Option<u8>,
    /// Differentiated services code point of outer packets; none: that of the inner one.
    pub dscp: Option<u8>,
    /// Whether outer packets have a UDP checksum; none: over IPv6 alone.
    pub checksum: Option<bool>,
}

impl Overlay {
    /// The UDP port that IANA has assigned to VXLAN.
    pub const PORT: u16 = 4789;
    /// The time to live of outer packets that is usual.
    pub const TTL: u8 = 64;

    /// All other ends, the group last.
    pub fn remotes(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.peers.iter().copied().chain(self.group)
    }

    /// Whether it is over IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.remotes().next().or(self.local).is_some_and(|address| address.is_ipv6())
    }

    /// What is wrong with its ends, whoever has them.
    pub fn problems(&self) -> Vec<OverlayError> {
        let mut problems = Vec::new();
        if self.remotes().next().is_none() {
            problems.push(OverlayError::NoPeers);
        }
        let mut seen = BTreeSet::new();
        for &peer in &self.peers {
            if !is_one_host(peer) {
                problems.push(OverlayError::NoHost { peer });
            } else if !seen.insert(peer) {
                problems.push(OverlayError::Twice { peer });
            }
        }
        if let Some(group) = self.group.filter(|group| !group.is_multicast()) {
            problems.push(OverlayError::NoGroup { group });
        }
        let ipv6 = self.is_ipv6();
        let others = self.remotes().chain(self.local).filter(|address| address.is_ipv6() != ipv6);
        problems.extend(others.map(|address| OverlayError::Versions { address }));
        problems
    }

    /// What is wrong with it over an uplink, whatever the device is like.
    pub fn problem_on(&self, uplink: &Uplink) -> Option<OverlayError> {
        let device = uplink.device.to_string();
        if let Some(group) = self.group.filter(|_| uplink.shared) {
            return Some(OverlayError::SharedGroup { group, device });
        }
        let (port, ports) = (self.port, uplink.nat_ports);
        ports.contains(port).then_some(OverlayError::NatPort { port, device, ports })
    }

    /// The UDP port of this end, where it is at an address that published ports are at as well: that of an uplink.
    pub fn place_on_host(&self, config: &Config, uplinks: &Uplinks) -> Option<SocketAddr> {
        let Ok(carrier @ Carrier::Uplink(_)) = self.carrier(config, uplinks) else { return None };
        let vtep = carrier.vtep(self, config, uplinks).ok()?;
        Some(SocketAddr::new(vtep.address, self.port))
    }

    /// What has the address of this end. Of uplinks the addresses are not in the configuration: where they are not known, those
    /// that are asked for by name are found all the same.
    ///
    /// # Errors
    /// [`OverlayError::NoUnderlay`], [`OverlayError::UnknownUnderlay`], [`OverlayError::UnknownAddress`],
    /// [`OverlayError::Ambiguous`].
    pub fn carrier<'c>(&self, config: &'c Config, uplinks: &Uplinks) -> Result<Carrier<'c>, OverlayError> {
        if let Some(name) = &self.underlay {
            let by_name =
                |uplink: &&Uplink| uplink.device.as_str() == name.as_str() || uplink.port_name() == *name;
            let interface = config.interfaces.iter().find(|interface| interface.name == *name);
            let uplink = || config.uplinks.iter().find(by_name).map(Carrier::Uplink);
            return interface
                .map(Carrier::Interface)
                .or_else(uplink)
                .ok_or_else(|| OverlayError::UnknownUnderlay { name: name.clone(), known: known(config) });
        }
        let Some(local) = self.local else { return Err(OverlayError::NoUnderlay { known: known(config) }) };
        let has = |interface: &&Interface| interface.addresses.iter().any(|net| net.addr() == local);
        let mut found = config.interfaces.iter().filter(has);
        match (found.next(), found.next()) {
            (Some(interface), None) => Ok(Carrier::Interface(interface)),
            (Some(one), Some(other)) => Err(OverlayError::Ambiguous {
                address: local,
                interfaces: [one.name.clone(), other.name.clone()],
            }),
            (None, _) => {
                let has = |uplink: &&Uplink| {
                    let state = uplinks.get(&uplink.device);
                    state.is_some_and(|state| state.addresses.iter().any(|net| net.addr() == local))
                };
                let uplink = config.uplinks.iter().find(has).map(Carrier::Uplink);
                uplink.ok_or_else(|| OverlayError::UnknownAddress { address: local, known: known(config) })
            }
        }
    }

    /// This end, where the devices of uplinks are like this.
    ///
    /// # Errors
    /// Those of [`carrier`](Self::carrier); there is no such address there; a peer that is this switch itself; a group
    /// that cannot be joined there.
    pub fn vtep(&self, config: &Config, uplinks: &Uplinks) -> Result<Vtep, OverlayError> {
        self.carrier(config, uplinks)?.vtep(self, config, uplinks)
    }
}

/// Whether an address is that of one host.
fn is_one_host(address: IpAddr) -> bool {
    let everyone = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || everyone)
}

/// What can carry a segment, in words.
fn known(config: &Config) -> String {
    let routed = config.interfaces.iter().filter(|interface| !interface.addresses.is_empty());
    let interfaces = routed.map(|interface| interface.name.to_string());
    let names: Vec<_> =
        interfaces.chain(config.uplinks.iter().map(|uplink| uplink.device.to_string())).collect();
    if names.is_empty() { "there is none".into() } else { format!("there are {}", names.join(", ")) }
}

/// Whose address this end of a segment has.
#[derive(Debug, Clone, Copy)]
pub enum Carrier<'c> {
    /// A routed interface of the configuration.
    Interface(&'c Interface),
    /// The device of an uplink.
    Uplink(&'c Uplink),
}

impl Carrier<'_> {
    fn vtep(self, overlay: &Overlay, config: &Config, uplinks: &Uplinks) -> Result<Vtep, OverlayError> {
        let ipv6 = overlay.is_ipv6();
        let of_version = |address: &IpAddr| address.is_ipv6() == ipv6;
        let (name, vrf, own, others, mtu) = match self {
            Self::Interface(interface) => {
                let own: Vec<_> = interface.addresses.iter().map(IpNet::addr).filter(of_version).collect();
                let others =
                    config.addresses(&interface.vrf).into_iter().map(|(_, net)| net.addr()).collect();
                (interface.name.clone(), interface.vrf.clone(), own, others, interface.mtu(config))
            }
            Self::Uplink(uplink) => {
                let name = uplink.port_name();
                let state = uplinks
                    .get(&uplink.device)
                    .ok_or_else(|| OverlayError::Absent { name: uplink.device.to_string() })?;
                if let Some(error) = overlay.problem_on(uplink) {
                    return Err(error);
                }
                // On a shared device packets to further addresses are the host's.
                let own: Vec<_> = state.speaks_from().into_iter().flatten().filter(of_version).collect();
                let others: Vec<_> = state.addresses.iter().map(IpNet::addr).collect();
                (name.clone(), VrfName::of_port(&name), own, others, state.mtu)
            }
        };
        let address = match overlay.local {
            Some(local) if own.contains(&local) => local,
            Some(local) => {
                return Err(OverlayError::NotItsAddress { address: local, name: name.to_string() });
            }
            None => *own
                .first()
                .ok_or_else(|| OverlayError::NoAddress { name: name.to_string(), version: version(ipv6) })?,
        };
        if let Some(&peer) = overlay.peers.iter().find(|peer| **peer == address || others.contains(peer)) {
            return Err(OverlayError::Itself { peer, name: name.to_string() });
        }
        let vtep = Vtep { interface: name, vrf, address, mtu };
        if vtep.payload() < crate::config::MIN_MTU {
            return Err(OverlayError::Narrow { name: vtep.interface.to_string(), mtu });
        }
        Ok(vtep)
    }
}

const fn version(ipv6: bool) -> u8 {
    if ipv6 { 6 } else { 4 }
}

/// This end of a segment: a VXLAN tunnel end point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vtep {
    /// The routed interface that has its address.
    pub interface: PortName,
    /// The routing table of outer packets.
    pub vrf: VrfName,
    /// Its address.
    pub address: IpAddr,
    /// Largest IP packet that leaves by the interface, in bytes.
    pub mtu: u16,
}

impl Vtep {
    /// Bytes of an outer packet that are not the inner Ethernet payload: the outer IP header, 8 of UDP, 8 of VXLAN, and 14 of the
    /// inner Ethernet header.
    pub const fn overhead(&self) -> u16 {
        30 + if self.address.is_ipv6() { 40 } else { 20 }
    }

    /// Largest inner Ethernet payload, in bytes.
    pub const fn payload(&self) -> u16 {
        self.mtu.saturating_sub(self.overhead())
    }
}

/// What of an overlay is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Something is missing.
    Whole,
    /// The address of this end.
    Local,
    /// What carries it.
    Underlay,
    /// A peer, by its place in the list.
    Peer(usize),
    /// The group.
    Group,
    /// The UDP port.
    Port,
}

/// Why a segment cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    /// The configuration file has the segment.
    #[error("it is that of bridge {:?} of the configuration file, too: choose another there, or create the network with another one", bridge.as_str())]
    Taken {
        /// Who has it.
        bridge: BridgeName,
    },
    /// Nobody to talk to.
    #[error(
        "needs peers, like 192.0.2.2, a multicast group, like 239.0.0.42, or both: nobody is found without"
    )]
    NoPeers,
    /// Not the address of one host.
    #[error("peer {peer}: must be the address of one other host")]
    NoHost {
        /// As given.
        peer: IpAddr,
    },
    /// Two peers are one.
    #[error("peer {peer}: is there twice")]
    Twice {
        /// As given.
        peer: IpAddr,
    },
    /// IPv4 and IPv6.
    #[error("{address}: all ends of a segment must be of one IP version, that of the first peer")]
    Versions {
        /// The first that is of the other one.
        address: IpAddr,
    },
    /// Not a group.
    #[error("group {group}: must be a multicast address, like 239.0.0.42 or ff05::42")]
    NoGroup {
        /// As given.
        group: IpAddr,
    },
    /// Nothing says what this end is.
    #[error("needs an underlay, a routed [[interface]] or the device of an [[uplink]]; {known}")]
    NoUnderlay {
        /// Those that there are, in words.
        known: String,
    },
    /// No such interface.
    #[error("underlay {:?}: must be a routed [[interface]] or the device of an [[uplink]]; {known}", name.as_str())]
    UnknownUnderlay {
        /// As given.
        name: PortName,
        /// Those that there are, in words.
        known: String,
    },
    /// Nobody's address.
    #[error(
        "{address}: must be an address of a routed [[interface]], or the first of the device of an [[uplink]]; {known}"
    )]
    UnknownAddress {
        /// As given.
        address: IpAddr,
        /// Interfaces that there are, in words.
        known: String,
    },
    /// The address of several.
    #[error("{address}: is the address of interfaces {} and {}: give one of them as underlay", .interfaces[0], .interfaces[1])]
    Ambiguous {
        /// As given.
        address: IpAddr,
        /// Two that have it.
        interfaces: [PortName; 2],
    },
    /// Another's address.
    #[error("{address}: must be an address of underlay {name}, of an uplink the first one")]
    NotItsAddress {
        /// As given.
        address: IpAddr,
        /// The underlay.
        name: String,
    },
    /// Without an address.
    #[error("underlay {name}: has no IPv{version} address, which its peers have")]
    NoAddress {
        /// The underlay.
        name: String,
        /// Of IP.
        version: u8,
    },
    /// A device that is not there.
    #[error("underlay {name}: the device is not there, or down")]
    Absent {
        /// The device.
        name: String,
    },
    /// No room for a packet.
    #[error("underlay {name}: its MTU of {mtu} bytes has no room for a packet in another")]
    Narrow {
        /// The underlay.
        name: String,
        /// In bytes.
        mtu: u16,
    },
    /// Talking to itself.
    #[error("peer {peer}: is an address of this switch, on {name}: must be that of another host")]
    Itself {
        /// As given.
        peer: IpAddr,
        /// The underlay.
        name: String,
    },
    /// Where groups are the kernel's.
    #[error(
        "group {group}: uplink {device} is shared with the host, which gets all multicast there: give peers"
    )]
    SharedGroup {
        /// As given.
        group: IpAddr,
        /// The device.
        device: String,
    },
    /// A port that translated packets have.
    #[error(
        "port {port}: is among nat_ports {ports} of uplink {device}, which inside hosts appear under at the same address: choose another one"
    )]
    NatPort {
        /// As given.
        port: u16,
        /// The device.
        device: String,
        /// Those of the uplink.
        ports: Interval<u16>,
    },
    /// A port that leads to a container.
    #[error("port {port}: is published at the same address, by endpoint {:.12}: choose another one, or remove that container", by.as_str())]
    Published {
        /// As given.
        port: u16,
        /// Who published it.
        by: EndpointId,
    },
}

impl OverlayError {
    /// What it is about, of an overlay with these ends.
    pub fn part(&self, overlay: &Overlay) -> Part {
        let peer = |address: &IpAddr| overlay.peers.iter().rposition(|own| own == address).map(Part::Peer);
        match self {
            Self::NoPeers | Self::NoUnderlay { .. } | Self::Taken { .. } => Part::Whole,
            Self::NoHost { peer: address }
            | Self::Twice { peer: address }
            | Self::Itself { peer: address, .. } => peer(address).unwrap_or(Part::Whole),
            Self::NoGroup { .. } | Self::SharedGroup { .. } => Part::Group,
            Self::NatPort { .. } | Self::Published { .. } => Part::Port,
            Self::Versions { address } => {
                let group = overlay.group.filter(|group| group == address).map(|_| Part::Group);
                peer(address).or(group).unwrap_or(Part::Local)
            }
            Self::UnknownAddress { .. } | Self::Ambiguous { .. } | Self::NotItsAddress { .. } => Part::Local,
            Self::UnknownUnderlay { .. }
            | Self::NoAddress { .. }
            | Self::Absent { .. }
            | Self::Narrow { .. } => Part::Underlay,
        }
    }
}
