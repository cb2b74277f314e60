//! What control says about address translation.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use paceline_tables::RouteError;

use crate::session::SessionTimeouts;

/// Address translation, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatConfig {
    /// Addresses that inside hosts appear under. Each host keeps to one of them (RFC 4787 REQ-2). Without any, packets of
    /// the version pass as they are.
    pub addresses4: Vec<Ipv4Addr>,
    /// The same of IPv6.
    pub addresses6: Vec<Ipv6Addr>,
    /// Ports, and identifiers of ICMP queries, that are given to inside hosts: 1 to 65535, at least one for each worker. They
    /// should be none that the switch's own stack takes for itself.
    pub ports: RangeInclusive<u16>,
    /// Whose packets are translated; all are if there is none of the version.
    pub inside: Vec<IpNet>,
    /// Ports of inside hosts that can be reached from outside.
    pub mappings: Vec<NatMapping>,
    /// How long sessions live.
    pub timeouts: SessionTimeouts,
    /// How many there may be.
    pub limits: NatLimits,
    /// Workers that share the ports, 1 to 1024.
    pub workers: usize,
    /// Numbers of the routing tables that there are. Sessions of others end.
    pub vrfs: BTreeMap<Arc<str>, u16>,
}

impl Default for NatConfig {
    /// No addresses, ports 1024 to 65535, one worker, no routing tables.
    fn default() -> Self {
        NatConfig {
            addresses4: Vec::new(),
            addresses6: Vec::new(),
            ports: 1024..=u16::MAX,
            inside: Vec::new(),
            mappings: Vec::new(),
            timeouts: SessionTimeouts::default(),
            limits: NatLimits::default(),
            workers: 1,
            vrfs: BTreeMap::new(),
        }
    }
}

/// A port of an inside host that can be reached from outside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NatMapping {
    /// IP protocol number.
    pub protocol: u8,
    /// The address that it appears under; `None` for all addresses of the version of `inside`.
    pub outside: Option<IpAddr>,
    /// The port there; 0 for a protocol without ports.
    pub outside_port: u16,
    /// The host.
    pub inside: IpAddr,
    /// The routing table that the host is reached by.
    pub vrf: Arc<str>,
    /// Its port; the same as outside for SCTP, 0 for a protocol without ports.
    pub inside_port: u16,
}

/// How many sessions there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatLimits {
    /// Sessions of one worker and version of IP, 1 to 4 194 304. 80 to 96 bytes each for IPv4, 144 to 160 for IPv6.
    pub sessions: u32,
    /// Sessions of one inside host on one worker; 0 for no limit. Hosts whose addresses fall together in a hash share
    /// theirs: of 1000 hosts some 4 pairs, at the least number of places for it.
    pub per_host: u32,
}

impl Default for NatLimits {
    fn default() -> Self {
        NatLimits { sessions: 1 << 16, per_host: 0 }
    }
}

/// Why there can be no such translation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NatError {
    /// Fewer ports than workers, or port 0.
    #[error("the ports {first} to {last} are not at least one for each of {workers} workers, from 1 on")]
    Ports {
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
        /// Workers.
        workers: usize,
    },
    /// The number of workers is out of range.
    #[error("{0} workers: there must be 1 to 1024")]
    Workers(usize),
    /// A mapping's addresses are of different versions of IP, or it leads outside.
    #[error("the mapping of {protocol} port {port} joins addresses that do not fit each other")]
    Mapping {
        /// IP protocol number.
        protocol: u8,
        /// Outside port.
        port: u16,
    },
    /// A mapping leads to a routing table that is not there.
    #[error("the mapping of {protocol} port {port} leads to VRF {vrf:?}, which is not there")]
    Vrf {
        /// IP protocol number.
        protocol: u8,
        /// Outside port.
        port: u16,
        /// Name of the routing table.
        vrf: Arc<str>,
    },
    /// Two mappings have the same outside port, or the same inside one.
    #[error("two mappings of protocol {protocol} claim {address} port {port}")]
    Claimed {
        /// IP protocol number.
        protocol: u8,
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
    },
    /// SCTP's checksum would have to be computed anew over the whole packet.
    #[error("SCTP port {0} can be mapped to the same port alone")]
    Sctp(u16),
    /// There is no memory for the sessions.
    #[error(transparent)]
    Memory(#[from] RouteError),
}
