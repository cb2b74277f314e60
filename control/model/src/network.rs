//! One Docker network.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{BridgeName, GatewayMode, IfName, NetworkId, PortName, VrfName};

pub use crate::options::{NetworkOptions, OptionError};

/// One Docker network, from `CreateNetwork` to `DeleteNetwork`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Docker's ID of it.
    pub id: NetworkId,
    /// Our bridge for it, by [`Model::bridge_name`](crate::Model::bridge_name).
    pub bridge: BridgeName,
    /// What the user asked for.
    pub options: NetworkOptions,
    /// Its IPv4 subnets.
    pub ipv4: Vec<IpamData>,
    /// Its IPv6 subnets.
    pub ipv6: Vec<IpamData>,
    /// `--internal`: no way out.
    pub internal: bool,
    /// `--ipv6`.
    pub enable_ipv6: bool,
    /// The request that made it, to tell a repeated one from another with the same ID.
    pub request: serde_json::Value,
}

impl Network {
    /// How addresses of the family of `net` reach the outside.
    pub fn gateway_mode(&self, net: &IpNet) -> GatewayMode {
        match net {
            IpNet::V4(_) => self.options.gateway_ipv4,
            IpNet::V6(_) => self.options.gateway_ipv6,
        }
    }

    /// The device by which it reaches the outside, if not by the host's own stack. One that reaches no outside has none.
    pub fn uplink(&self) -> Option<IfName> {
        self.options.uplink.filter(|_| !self.internal)
    }

    /// The routing table of its leg: that of its uplink's port, if it has one.
    pub fn vrf(&self) -> VrfName {
        self.uplink().map_or_else(VrfName::default, |device| VrfName::of_port(&PortName::of_uplink(device)))
    }

    /// What the Ethernet address of its gateway is made of: that of an overlay's is the same on all hosts, so that a container that
    /// moves finds its gateway where it was.
    pub fn gateway_seed(&self) -> String {
        match &self.options.overlay {
            Some(overlay) => format!("VNI {}", overlay.vni),
            None => self.id.to_string(),
        }
    }

    /// The gateways that there are, each with its subnet's prefix length: those of families that are not isolated.
    pub fn gateways(&self) -> impl Iterator<Item = IpNet> + '_ {
        let gateways = self.ipv4.iter().chain(&self.ipv6).filter_map(|data| data.gateway);
        gateways.filter(|gateway| self.gateway_mode(gateway) != GatewayMode::Isolated)
    }
}

/// One subnet of a network, as the IPAM driver gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpamData {
    /// The subnet.
    pub pool: IpNet,
    /// The gateway's address, with the subnet's prefix length.
    pub gateway: Option<IpNet>,
    /// `--aux-address`: addresses kept from containers, by name.
    pub aux: BTreeMap<String, IpNet>,
}

/// What a network is built as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One learning bridge for the network, one port for each endpoint.
    #[default]
    Bridge,
    /// The same, with tunnels to other hosts that have the network.
    Overlay,
}
