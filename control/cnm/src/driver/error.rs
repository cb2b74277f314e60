//! Why a call is refused, in words that Docker shows to the user.

use std::error::Error;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use paceline_ipam::IpamError;
use paceline_model::options::OptionError;
use paceline_model::{BridgeName, EndpointId, IfName, MacAddr, NetworkId, PortName, PortRequest, Vni};
use paceline_store::StoreError;

/// Why a call is refused.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// An option that there is not, or a value that is none of its.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// An `--ipam-opt`, of which there are none.
    #[error("IPAM option {name:?}: there is none of this name; this IPAM driver has no options")]
    IpamOption {
        /// As given.
        name: String,
    },
    /// No pool or address.
    #[error(transparent)]
    Ipam(#[from] IpamError),
    /// The model is not on disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Links or workers could not be brought to the model.
    #[error("{0}")]
    Reconcile(Box<dyn Error + Send + Sync>),
    /// A mirror to a port that there is not.
    #[error(
        "option mirror={port}: there is no such port in the configuration file; there are {}",
        names(known)
    )]
    NoMirror {
        /// As given.
        port: PortName,
        /// All there are.
        known: Vec<PortName>,
    },
    /// An MTU with which the kernel switches IPv6 off.
    #[error("option mtu={mtu}: a network with IPv6 needs at least 1280 (RFC 8200, section 5)")]
    MtuForIpv6 {
        /// As given.
        mtu: u16,
    },
    /// There is no such uplink.
    #[error(
        "option uplink=\"{device}\": must be {}: others need an [[uplink]], and no [nat], in the configuration",
        choices(known)
    )]
    NoUplink {
        /// As given.
        device: IfName,
        /// Those that there are.
        known: Vec<IfName>,
    },
    /// Packets that would not be translated.
    #[error(
        "option uplink=\"{device}\": goes with gateway_mode=nat or isolated and masquerade=true only, as answers to a container's own \
         address would not come by the uplink"
    )]
    UplinkTranslates {
        /// The uplink.
        device: IfName,
    },
    /// Two networks of one segment.
    #[error("option vni={vni}: is that of network {:.12} already: choose another, or remove that network", other.as_str())]
    VniInUse {
        /// As given.
        vni: Vni,
        /// Who has it.
        other: NetworkId,
    },
    /// A network of a segment that the configuration file has.
    #[error("option vni={vni}: is that of bridge {:?} of the configuration file already: choose another", bridge.as_str())]
    VniOfFile {
        /// As given.
        vni: Vni,
        /// Who has it.
        bridge: BridgeName,
    },
    /// There is no such network.
    #[error("network {0}: there is none of this ID")]
    NoNetwork(NetworkId),
    /// Containers are joined to the network.
    #[error("network {:.12}: endpoint {:.12} is joined to it: disconnect its container first", network.as_str(), by.as_str())]
    NetworkInUse {
        /// The network.
        network: NetworkId,
        /// Who is joined.
        by: EndpointId,
    },
    /// There is no such endpoint in this network.
    #[error("endpoint {endpoint}: there is none of this ID in network {network}")]
    NoEndpoint {
        /// The network.
        network: NetworkId,
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// The ID is another network's.
    #[error("network {0}: exists already with other subnets or options: remove it first")]
    NetworkExists(NetworkId),
    /// The ID is another endpoint's.
    #[error("endpoint {0}: exists already with other addresses or options: remove it first")]
    EndpointExists(EndpointId),
    /// Two networks with the same addresses.
    #[error(
        "subnet {subnet} of network {:.12} overlaps subnet {other_subnet} of network {:.12}: \
         choose another --subnet, or remove that network", network.as_str(), other.as_str()
    )]
    Overlap {
        /// The subnet asked for.
        subnet: IpNet,
        /// The network to be.
        network: NetworkId,
        /// The subnet it overlaps.
        other_subnet: IpNet,
        /// Whose that is.
        other: NetworkId,
    },
    /// Not the address of one interface.
    #[error("MAC address {mac}: must be a unicast address other than all zeros, as in 02:00:00:00:00:01")]
    NotUnicast {
        /// As given.
        mac: MacAddr,
    },
    /// Two endpoints with one MAC address.
    #[error("MAC address {mac}: is in use in network {:.12} by endpoint {:.12}: choose another", network.as_str(), by.as_str())]
    MacInUse {
        /// As given.
        mac: MacAddr,
        /// The network.
        network: NetworkId,
        /// Who has it.
        by: EndpointId,
    },
    /// The MAC address of the gateway.
    #[error("MAC address {mac}: is that of the gateway of network {:.12}: choose another", network.as_str())]
    GatewayMac {
        /// As given.
        mac: MacAddr,
        /// The network.
        network: NetworkId,
    },
    /// Two endpoints with one IP address.
    #[error("address {address}: is in use in network {:.12} by endpoint {:.12}: choose another", network.as_str(), by.as_str())]
    AddressInUse {
        /// As given.
        address: IpAddr,
        /// The network.
        network: NetworkId,
        /// Who has it.
        by: EndpointId,
    },
    /// No path to a namespace.
    #[error("SandboxKey {sandbox:?}: must be the absolute path of a network namespace")]
    NoSandbox {
        /// As given.
        sandbox: PathBuf,
    },
    /// The endpoint is another container's.
    #[error("endpoint {endpoint:.12}: is joined to {} already: leave that first", sandbox.display(), endpoint = endpoint.as_str())]
    JoinedElsewhere {
        /// The endpoint.
        endpoint: EndpointId,
        /// Where it is joined.
        sandbox: PathBuf,
    },
    /// A port that cannot be published.
    #[error("port {port}: {why}")]
    Port {
        /// As it is asked for.
        port: PortRequest,
        /// What hinders, and what would be right.
        why: Box<dyn Error + Send + Sync>,
    },
    /// A subnet that is that of an interface.
    #[error(
        "subnet {subnet} of network {:.12} overlaps {other} of interface {:?} in the configuration file: \
         choose another --subnet", network.as_str(), interface.as_str()
    )]
    OverlapsInterface {
        /// The subnet asked for.
        subnet: IpNet,
        /// The network to be.
        network: NetworkId,
        /// The subnet it overlaps.
        other: IpNet,
        /// Whose that is.
        interface: PortName,
    },
}

fn names(ports: &[PortName]) -> String {
    let names: Vec<_> = ports.iter().map(PortName::as_str).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// `host or eth0`.
fn choices(uplinks: &[IfName]) -> String {
    let names: Vec<_> =
        std::iter::once("host".into()).chain(uplinks.iter().map(ToString::to_string)).collect();
    names.join(" or ")
}
