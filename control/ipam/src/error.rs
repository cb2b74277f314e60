//! Why a request is refused.

use std::net::IpAddr;

use ipnet::IpNet;
use paceline_model::{MacAddr, PoolId, Space};

/// Why a request for a pool or an address is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpamError {
    /// The subnet has addresses of another.
    #[error(
        "subnet {asked} overlaps {}, which is in use in address space {}: \
         choose another --subnet, or remove the network that has it", existing.subnet, existing.space
    )]
    Overlap {
        /// The subnet that was asked for.
        asked: IpNet,
        /// The pool it overlaps.
        existing: PoolId,
    },
    /// The subnet is of the other IP version.
    #[error("subnet {asked}: an {} one was to be expected", if *v6 { "IPv6" } else { "IPv4" })]
    Family {
        /// The subnet that was asked for.
        asked: IpNet,
        /// Whether IPv6 was announced.
        v6: bool,
    },
    /// No host can have an address of this subnet.
    #[error(
        "subnet {asked}: holds loopback, multicast or unspecified addresses; choose a unicast --subnet, like 10.77.0.0/24"
    )]
    NotUnicast {
        /// The subnet that was asked for.
        asked: IpNet,
    },
    /// A range, but no subnet that it is in.
    #[error("ip-range {range}: needs a --subnet that it is in")]
    RangeAlone {
        /// The range that was asked for.
        range: IpNet,
    },
    /// The range is not in the subnet.
    #[error("ip-range {range}: must be inside the subnet {subnet}")]
    RangeOutside {
        /// The range that was asked for.
        range: IpNet,
        /// The subnet that was asked for.
        subnet: IpNet,
    },
    /// The range has no address that a host may have.
    #[error(
        "ip-range {range}: holds only the network or broadcast address of subnet {subnet}; choose a larger one"
    )]
    RangeEmpty {
        /// The range that was asked for.
        range: IpNet,
        /// The subnet that was asked for.
        subnet: IpNet,
    },
    /// All automatic subnets are in use.
    #[error("address space {space} has no automatic {} subnet left: name one with --subnet", if *v6 { "IPv6" } else { "IPv4" })]
    NoSubnetLeft {
        /// The address space.
        space: Space,
        /// Whether of IPv6.
        v6: bool,
    },
    /// There is no such pool.
    #[error("pool {0}: there is none of this ID")]
    NoPool(PoolId),
    /// The address is not in the pool.
    #[error("address {address}: must be inside the subnet {subnet}")]
    Outside {
        /// The address that was asked for.
        address: IpAddr,
        /// The pool's subnet.
        subnet: IpNet,
    },
    /// The address is the subnet's own.
    #[error("address {address}: is the {what} address of subnet {subnet}, which no host can have")]
    Reserved {
        /// The address that was asked for.
        address: IpAddr,
        /// What it is: network, broadcast, …
        what: &'static str,
        /// The pool's subnet.
        subnet: IpNet,
    },
    /// The address is in use.
    #[error("address {address}: is in use in subnet {subnet} by {}; choose another or release it first", by(*gateway, *mac))]
    Taken {
        /// The address that was asked for.
        address: IpAddr,
        /// The pool's subnet.
        subnet: IpNet,
        /// Whether it is the gateway's.
        gateway: bool,
        /// The MAC address it was given to, if known.
        mac: Option<MacAddr>,
    },
    /// All addresses are in use.
    #[error("subnet {subnet} has no free address left{}", range.map(|range| format!(" in its ip-range {range}")).unwrap_or_default())]
    Full {
        /// The pool's subnet.
        subnet: IpNet,
        /// The part of it that addresses are chosen from.
        range: Option<IpNet>,
    },
}

fn by(gateway: bool, mac: Option<MacAddr>) -> String {
    match (gateway, mac) {
        (true, _) => "the gateway".into(),
        (false, Some(mac)) => format!("the interface {mac}"),
        (false, None) => "another endpoint".into(),
    }
}
