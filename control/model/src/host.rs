//! What the host's own network stack is to do for Docker's networks: addresses, translation, published ports.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{EndpointId, IfName, Interval, MacAddr, NetworkId};

/// All that the host's stack is to do. Two of them compare, so that what is can be told from what should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPlan {
    /// The TAP that leads to the switch.
    pub device: IfName,
    /// Its Ethernet address, which is that of both ends: nobody is asked for on this link.
    pub mac: MacAddr,
    /// Its MTU, in bytes: the largest of all networks.
    pub mtu: u16,
    /// Networks by Docker's ID.
    pub networks: BTreeMap<NetworkId, HostNetwork>,
    /// Published ports of containers that are joined.
    pub ports: Vec<HostPort>,
}

/// A network as the host's stack sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostNetwork {
    /// Its subnets.
    pub subnets: Vec<IpNet>,
    /// Its gateways, each with the prefix length of its subnet: addresses of the TAP.
    pub gateways: Vec<IpNet>,
    /// How its IPv4 addresses reach the outside.
    pub ipv4: GatewayMode,
    /// How its IPv6 addresses reach the outside.
    pub ipv6: GatewayMode,
    /// Whether what leaves the host gets the host's address. It means nothing where the mode is not [`GatewayMode::Nat`].
    pub masquerade: bool,
    /// `--internal`: nothing leaves the host, and nothing from outside comes in.
    pub internal: bool,
}

/// How a network reaches the outside (`gateway_mode`, as Docker's own bridge has it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GatewayMode {
    /// Behind the host's address; published ports are translated.
    #[default]
    Nat,
    /// With its own addresses, which others must have a route to; of a container, published ports alone are reached.
    Routed,
    /// Not at all: the host has no address in the network.
    Isolated,
}

/// A published port of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// The container's place in its network.
    pub endpoint: EndpointId,
    /// The network.
    pub network: NetworkId,
    /// What is published.
    pub port: PublishedPort,
    /// The container's IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// The container's IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
}

/// One port of `--publish`, with the host's port that was settled for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedPort {
    /// The protocol.
    pub protocol: Protocol,
    /// The host's address; none: all of both families.
    pub host_ip: Option<IpAddr>,
    /// The host's port, 1 to 65535.
    pub host_port: u16,
    /// The container's port, 1 to 65535.
    pub port: u16,
}

/// One port of `--publish`, as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRequest {
    /// The protocol.
    pub protocol: Protocol,
    /// The host's address; none: all of both families.
    pub host_ip: Option<IpAddr>,
    /// The host's ports of which one will do; none: any that is free.
    pub host_ports: Option<Interval<u16>>,
    /// The container's port, 1 to 65535.
    pub port: u16,
}

impl PublishedPort {
    /// Whether it is published at this address of the host.
    pub fn is_at(&self, address: IpAddr) -> bool {
        self.host_ip
            .is_none_or(|ip| ip == address || ip.is_unspecified() && ip.is_ipv4() == address.is_ipv4())
    }
}

impl PortRequest {
    /// The published port that has this port of the host.
    pub fn with(self, host_port: u16) -> PublishedPort {
        let Self { protocol, host_ip, port, .. } = self;
        PublishedPort { protocol, host_ip, host_port, port }
    }

    /// Whether `published` is what was asked for.
    pub fn is_met_by(&self, published: PublishedPort) -> bool {
        self.with(published.host_port) == published
            && self.host_ports.is_none_or(|ports| ports.contains(published.host_port))
    }
}

/// The request that this port alone meets.
impl From<PublishedPort> for PortRequest {
    fn from(published: PublishedPort) -> Self {
        let PublishedPort { protocol, host_ip, host_port, port } = published;
        Self { protocol, host_ip, host_ports: Some(Interval::one(host_port)), port }
    }
}

/// A protocol whose ports can be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// As users write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// Its number in an IP header (IANA "Protocol Numbers").
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// The protocol of a number.
    pub fn of_number(number: u8) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|protocol| protocol.number() == number)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// As `docker port` writes it: `0.0.0.0:8080->80/tcp`; `*` stands for all addresses of both families.
impl fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, host_ip, host_port, port } = *self;
        write!(f, "{}:{host_port}->{port}/{protocol}", HostIp(host_ip))
    }
}

/// The same with several ports of the host, or `any`.
impl fmt::Display for PortRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, host_ip, host_ports, port } = *self;
        let ports = host_ports.map_or("any".into(), |ports| ports.to_string());
        write!(f, "{}:{ports}->{port}/{protocol}", HostIp(host_ip))
    }
}

/// The host's address in front of a port.
struct HostIp(Option<IpAddr>);

impl fmt::Display for HostIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("*"),
            Some(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_met_by_one_of_its_ports() {
        let host_ports = Interval::new(8080, 8082).ok();
        let request = PortRequest { protocol: Protocol::Tcp, host_ip: None, host_ports, port: 80 };
        assert_eq!(request.to_string(), "*:8080-8082->80/tcp");
        let published = request.with(8081);
        assert_eq!(published.to_string(), "*:8081->80/tcp");
        assert!(request.is_met_by(published) && PortRequest::from(published).is_met_by(published));
        assert!(!request.is_met_by(request.with(8083)));
        let any = PortRequest { host_ip: "::1".parse().ok(), host_ports: None, ..request };
        assert_eq!(any.to_string(), "[::1]:any->80/tcp");
        assert!(any.is_met_by(any.with(1)) && !any.is_met_by(published));
        let at = |host_ip: Option<&str>, address: &str| {
            let host_ip = host_ip.map(|ip| ip.parse().unwrap());
            PublishedPort { host_ip, ..published }.is_at(address.parse().unwrap())
        };
        assert!(at(None, "192.0.2.1") && at(None, "::1") && at(Some("0.0.0.0"), "192.0.2.1"));
        assert!(at(Some("192.0.2.1"), "192.0.2.1") && !at(Some("192.0.2.1"), "192.0.2.2"));
        assert!(!at(Some("0.0.0.0"), "::1") && at(Some("::"), "::1"));
    }
}
