//! A plan, asked for one family at a time.

use std::net::IpAddr;

use ipnet::IpNet;
use paceline_model::{GatewayMode, HostNetwork, HostPort};

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// Whose address it is.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// How a network's addresses of this family reach the outside.
    pub fn mode(self, network: &HostNetwork) -> GatewayMode {
        match self {
            Self::V4 => network.ipv4,
            Self::V6 => network.ipv6,
        }
    }

    /// A network's subnets of this family, as prefixes.
    pub fn subnets(self, network: &HostNetwork) -> impl Iterator<Item = IpNet> {
        network.subnets.iter().map(IpNet::trunc).filter(move |subnet| Self::of(subnet.addr()) == self)
    }

    /// Whether a network has addresses of this family that may reach the outside, or be reached from there.
    pub fn leaves(self, network: &HostNetwork) -> bool {
        !network.internal
            && self.mode(network) != GatewayMode::Isolated
            && self.subnets(network).next().is_some()
    }

    /// A container's address of this family.
    pub fn container(self, port: &HostPort) -> Option<IpAddr> {
        match self {
            Self::V4 => port.ipv4.map(IpAddr::V4),
            Self::V6 => port.ipv6.map(IpAddr::V6),
        }
    }
}

/// The addresses of the host in a network.
pub fn gateways(network: &HostNetwork) -> impl Iterator<Item = IpNet> {
    let has = |gateway: &IpNet| Family::of(gateway.addr()).mode(network) != GatewayMode::Isolated;
    network.gateways.iter().copied().filter(has)
}
