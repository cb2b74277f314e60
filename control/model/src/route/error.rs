//! What is wrong with a route, in words.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{PortName, Route, RouteId, VrfName};

/// Why a route cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// There is no such routing table.
    #[error("route {prefix}: there is no VRF {:?}; there are {}", vrf.as_str(), list(known))]
    NoVrf {
        /// The destinations.
        prefix: IpNet,
        /// As given.
        vrf: VrfName,
        /// All there are.
        known: Vec<String>,
    },
    /// The prefix is no prefix.
    #[error("route {prefix}: has bits beyond its prefix length; must be {}", prefix.trunc())]
    HostBits {
        /// As given.
        prefix: IpNet,
    },
    /// IPv4 by way of IPv6, or the reverse.
    #[error("route {prefix}: next hop {via} must be an address of IPv{}, as the prefix is", if prefix.addr().is_ipv4() { 4 } else { 6 })]
    Family {
        /// The destinations.
        prefix: IpNet,
        /// As given.
        via: IpAddr,
    },
    /// No interface reaches the next hop.
    #[error("route {prefix}: next hop {via} is in no subnet of {of}; must be in one of {}", list(known))]
    OffLink {
        /// The destinations.
        prefix: IpNet,
        /// As given.
        via: IpAddr,
        /// The interface or routing table.
        of: String,
        /// Subnets that there are.
        known: Vec<String>,
    },
    /// A link-local address is one of a link.
    #[error("route {prefix}: next hop {via} is link-local: say by which interface")]
    LinkLocal {
        /// The destinations.
        prefix: IpNet,
        /// As given.
        via: IpAddr,
    },
    /// The next hop is ourselves.
    #[error("route {prefix}: next hop {via} is the address of our interface {:?}; must be another router's", interface.as_str())]
    Own {
        /// The destinations.
        prefix: IpNet,
        /// As given.
        via: IpAddr,
        /// Whose address it is.
        interface: PortName,
    },
    /// There is no such interface.
    #[error("route {prefix}: there is no interface {:?}; there are {}", interface.as_str(), list(known))]
    NoInterface {
        /// The destinations.
        prefix: IpNet,
        /// As given.
        interface: PortName,
        /// All there are.
        known: Vec<String>,
    },
    /// No path, or too many.
    #[error("route {prefix}: has {count} next hops; must be 1 to {}", Route::MAX_PATHS)]
    Paths {
        /// The destinations.
        prefix: IpNet,
        /// How many.
        count: usize,
    },
    /// A path that says nothing.
    #[error("route {prefix}: needs a next hop, an interface or both")]
    NoPath {
        /// The destinations.
        prefix: IpNet,
    },
    /// The same path again.
    #[error("route {prefix}: next hop {via} is there twice")]
    Twice {
        /// The destinations.
        prefix: IpNet,
        /// As given.
        via: IpAddr,
    },
    /// The configuration file has it.
    #[error("route {0}: is in the configuration file: change it there")]
    InFile(RouteId),
    /// Nobody has it.
    #[error("route {0}: there is none of this VRF and prefix among those that were added")]
    NoRoute(RouteId),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
