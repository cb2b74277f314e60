//! What can go wrong, in words that say what would be right.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use paceline_model::{EndpointId, IfName};

/// Why the host's stack could not be brought to a plan. What was done by then stays; the next attempt goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The program is not there.
    #[error("nft: not found in PATH, /usr/sbin and /sbin: install the package nftables")]
    NoNft,
    /// The program cannot be run.
    #[error("{}: {source}", program.display())]
    NftProgram {
        /// Where it is.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program refused.
    #[error("nft: {0}")]
    Nft(String),
    /// A link or its addresses.
    #[error(transparent)]
    Link(#[from] paceline_attach::Error),
    /// A name that cannot be written in a rule.
    #[error("device {0}: must be of A-Z a-z 0-9 . _ - for nftables to know it by its name")]
    DeviceName(IfName),
    /// The port of the data plane is to be opened first.
    #[error("device {0}: no such link: the switch has to open its TAP before the host can use it")]
    NoDevice(IfName),
    /// A setting of the kernel.
    #[error("{}: cannot set {value}: {source}", path.display())]
    Sysctl {
        /// The file under `/proc/sys`.
        path: PathBuf,
        /// What it was to be.
        value: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A network whose addresses the host has elsewhere already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gateway {gateway}: this host has {address} on {link}, in the same subnet: choose another subnet")]
pub struct Conflict {
    /// The network's gateway, with the prefix length of its subnet.
    pub gateway: IpNet,
    /// The host's address.
    pub address: IpNet,
    /// Where the host has it.
    pub link: IfName,
}

/// Why ports could not be published. None of those that were asked for together is held then.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    /// Somebody else has it.
    #[error("{0}: is in use by another program on this host: publish another port")]
    InUse(String),
    /// We have it.
    #[error("{port}: is published already, by endpoint {by}: publish another port")]
    Published {
        /// Address, port and protocol.
        port: String,
        /// Who published it.
        by: EndpointId,
    },
    /// The switch has it on an uplink.
    #[error("{0}: is VXLAN's at that address: publish another port, or at another address")]
    Carried(String),
    /// A range, or all that may be chosen from.
    #[error("{0}: all of these ports are in use: publish others")]
    NoneFree(String),
    /// The host does not have the address.
    #[error("{port}: this host has no address {ip}: publish on one of {}", list(.has))]
    NoAddress {
        /// Address, port and protocol.
        port: String,
        /// The address.
        ip: IpAddr,
        /// Those it has.
        has: Vec<IpAddr>,
    },
    /// The kernel does not have the protocol.
    #[error("{0}: this kernel has no SCTP: load the module sctp, or publish a TCP or UDP port")]
    NoSctp(String),
    /// Port 0 of a container.
    #[error("container port 0: must be 1 to 65535")]
    ContainerPort,
    /// Another step was refused.
    #[error("{port}: {source}{}", if .source.kind() == io::ErrorKind::PermissionDenied { ": run as root" } else { "" })]
    System {
        /// Address, port and protocol.
        port: String,
        /// What the kernel said.
        source: io::Error,
    },
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
