//! Which addresses whoever is behind an interface may use.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use paceline_wire::ethernet::Mac;

use super::config::GuardSpec;

/// Most MAC addresses and networks of a guard.
const MAX_MACS: usize = 64;
const MAX_ADDRESSES: usize = 1024;

/// A guard as workers see it.
#[derive(Debug)]
pub struct Guard {
    macs: Box<[Mac]>,
    hosts: HashSet<IpAddr>,
    networks: Box<[IpNet]>,
    is_any: bool,
    /// Whether it may say that it is a router.
    pub router: bool,
}

/// Why a guard cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// Too many MAC addresses.
    #[error("{0} MAC addresses are allowed: there may be {MAX_MACS}")]
    Macs(usize),
    /// Too many networks.
    #[error("{0} addresses are allowed: there may be {MAX_ADDRESSES}")]
    Addresses(usize),
}

impl Guard {
    /// A guard that lets these through.
    ///
    /// # Errors
    /// Too many addresses.
    pub fn new(spec: &GuardSpec) -> Result<Guard, GuardError> {
        if spec.macs.len() > MAX_MACS {
            return Err(GuardError::Macs(spec.macs.len()));
        }
        if spec.addresses.len() > MAX_ADDRESSES {
            return Err(GuardError::Addresses(spec.addresses.len()));
        }
        let (hosts, networks): (Vec<&IpNet>, Vec<&IpNet>) =
            spec.addresses.iter().partition(|net| net.prefix_len() == net.max_prefix_len());
        Ok(Guard {
            macs: spec.macs.as_slice().into(),
            hosts: hosts.into_iter().map(IpNet::addr).collect(),
            networks: networks.into_iter().copied().collect(),
            is_any: spec.addresses.is_empty(),
            router: spec.router,
        })
    }

    /// Whether a MAC address may be used.
    #[inline]
    pub fn has_mac(&self, mac: Mac) -> bool {
        self.macs.is_empty() || self.macs.contains(&mac)
    }

    /// Whether an IP address may be used.
    #[inline]
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.is_any || self.hosts.contains(&address) || self.networks.iter().any(|net| net.contains(&address))
    }
}
