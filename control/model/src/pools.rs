//! Address pools and leases as they are kept; `paceline-ipam` decides what goes into them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::MacAddr;
use crate::durable::Table;

/// All address pools and leases.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pools {
    /// The pools.
    pub pools: Table<PoolId, Pool>,
    /// Addresses in use. A row each, so that a lease costs the same in a full pool as in an empty one.
    pub leases: Table<LeaseId, Lease>,
    /// The automatic pool that was offered last, of each space and family.
    pub offers: Table<OfferId, IpNet>,
}

/// An address space: pools of different spaces may overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Networks of this host.
    Local,
    /// Networks of a swarm.
    Global,
}

/// Which pool: the text is Docker's `PoolID`. As pools of one space never overlap, space and subnet say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId {
    /// The address space.
    pub space: Space,
    /// The subnet.
    pub subnet: IpNet,
}

/// One pool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// `--ip-range`: the part of the subnet that addresses are chosen from.
    pub range: Option<IpNet>,
    /// The address that was chosen last; the search for the next begins behind it.
    pub last: Option<IpAddr>,
}

/// Which lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId {
    /// The pool.
    pub pool: PoolId,
    /// The address.
    pub address: IpAddr,
}

/// One address in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Whether it was asked for as the network's gateway.
    pub gateway: bool,
    /// The container's MAC address, if the engine said so.
    pub mac: Option<MacAddr>,
}

/// Which row of automatic pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OfferId {
    /// The address space.
    pub space: Space,
    /// Whether of IPv6.
    pub v6: bool,
}

/// A text that is no ID of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?}: must be like {example}")]
pub struct PoolsIdError {
    kind: &'static str,
    text: String,
    example: &'static str,
}

impl Space {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Local, Self::Global];

    /// Docker's name of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "paceline-local",
            Self::Global => "paceline-global",
        }
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.space, self.subnet)
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.address)
    }
}

impl fmt::Display for OfferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.space, if self.v6 { "v6" } else { "v4" })
    }
}

impl FromStr for Space {
    type Err = PoolsIdError;

    fn from_str(text: &str) -> Result<Self, PoolsIdError> {
        let space = Self::ALL.into_iter().find(|space| space.as_str() == text);
        space.ok_or_else(|| error("address space", text, "paceline-local or paceline-global"))
    }
}

impl FromStr for PoolId {
    type Err = PoolsIdError;

    fn from_str(text: &str) -> Result<Self, PoolsIdError> {
        let parse = || {
            let (space, subnet) = text.split_once('/')?;
            let subnet: IpNet = subnet.parse().ok()?;
            (subnet == subnet.trunc()).then_some(Self { space: space.parse().ok()?, subnet })
        };
        parse().ok_or_else(|| error("pool ID", text, "paceline-local/10.77.0.0/24"))
    }
}

impl FromStr for LeaseId {
    type Err = PoolsIdError;

    fn from_str(text: &str) -> Result<Self, PoolsIdError> {
        let parse = || {
            let (pool, address) = text.rsplit_once('/')?;
            let (pool, address) = (pool.parse::<PoolId>().ok()?, address.parse::<IpAddr>().ok()?);
            pool.subnet.contains(&address).then_some(Self { pool, address })
        };
        parse().ok_or_else(|| error("lease", text, "paceline-local/10.77.0.0/24/10.77.0.2"))
    }
}

impl FromStr for OfferId {
    type Err = PoolsIdError;

    fn from_str(text: &str) -> Result<Self, PoolsIdError> {
        let parse = || {
            let (space, family) = text.split_once('/')?;
            let v6 = ["v4", "v6"].iter().position(|&known| known == family)? == 1;
            Some(Self { space: space.parse().ok()?, v6 })
        };
        parse().ok_or_else(|| error("offer", text, "paceline-local/v4"))
    }
}

fn error(kind: &'static str, text: &str, example: &'static str) -> PoolsIdError {
    PoolsIdError { kind, text: text.chars().take(100).collect(), example }
}

crate::text::as_text!(Space PoolId LeaseId OfferId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_text_and_back() {
        for text in ["paceline-local/10.77.0.0/24", "paceline-global/fd00::/64"] {
            assert_eq!(text.parse::<PoolId>().unwrap().to_string(), text);
            let v4 = text.contains("10.77");
            let lease = format!("{text}/{}", if v4 { "10.77.0.9" } else { "fd00::9" });
            assert_eq!(lease.parse::<LeaseId>().unwrap().to_string(), lease);
        }
        for bad in
            ["", "paceline-local", "other/10.0.0.0/8", "paceline-local/10.0.0.1/8", "paceline-local/10.0.0.0"]
        {
            assert!(bad.parse::<PoolId>().is_err(), "{bad}");
        }
        assert!("paceline-local/10.77.0.0/24/10.78.0.1".parse::<LeaseId>().is_err());
        assert_eq!(
            "paceline-global/v6".parse::<OfferId>().unwrap(),
            OfferId { space: Space::Global, v6: true }
        );
    }

    #[test]
    fn pools_survive_json() {
        let pool: PoolId = "paceline-local/10.77.0.0/24".parse().unwrap();
        let mut pools = Pools::default();
        pools.pools.insert(pool, Pool { range: None, last: "10.77.0.2".parse().ok() });
        let lease = Lease { gateway: true, mac: "02:00:00:00:00:01".parse().ok() };
        pools.leases.insert(LeaseId { pool, address: "10.77.0.1".parse().unwrap() }, lease);
        pools.offers.insert(OfferId { space: Space::Local, v6: false }, pool.subnet);
        let json = serde_json::to_string(&pools).unwrap();
        assert_eq!(serde_json::from_str::<Pools>(&json).unwrap(), pools);
    }
}
