//! `NetworkDriver`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use paceline_model::{EndpointId, IfName, MacAddr, NetworkId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Options;
use super::field::{as_text, or_default, text};

/// The answer to `GetCapabilities`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Capabilities {
    /// Who makes networks: each host its own (`local`), or the swarm (`global`).
    pub scope: &'static str,
    /// How far containers reach.
    pub connectivity_scope: &'static str,
    /// Whether `GwAllocCheck` is to be called (engine ≥ 28; earlier ones pass over it).
    pub gw_alloc_checker: bool,
}

/// `GwAllocCheck`: does this network need gateway addresses?
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct GwAllocCheck {
    /// As of `CreateNetwork`.
    #[serde(rename = "Options", default, deserialize_with = "or_default")]
    pub options: Options,
}

/// The answer to `GwAllocCheck`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GwAlloc {
    /// No IPv4 gateway address is to be allocated.
    #[serde(rename = "SkipIPv4")]
    pub skip_ipv4: bool,
    /// No IPv6 gateway address is to be allocated.
    #[serde(rename = "SkipIPv6")]
    pub skip_ipv6: bool,
}

/// `AllocateNetwork`: a swarm manager makes a network.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AllocateNetwork {
    /// The network.
    #[serde(rename = "NetworkID")]
    pub network: NetworkId,
    /// The user's `-o`.
    #[serde(rename = "Options", default, deserialize_with = "or_default")]
    pub options: Options,
}

/// The answer to `AllocateNetwork`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Allocation {
    /// What stands in the place of the user's `-o` from now on.
    pub options: Options,
}

/// `CreateNetwork`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreateNetwork {
    /// The network.
    #[serde(rename = "NetworkID")]
    pub network: NetworkId,
    /// The engine's, with the user's `-o` in one of them: see [`options`](super::options).
    #[serde(rename = "Options", default, deserialize_with = "or_default")]
    pub options: Options,
    /// IPv4 subnets.
    #[serde(rename = "IPv4Data", default, deserialize_with = "or_default")]
    pub ipv4: Vec<IpamData>,
    /// IPv6 subnets.
    #[serde(rename = "IPv6Data", default, deserialize_with = "or_default")]
    pub ipv6: Vec<IpamData>,
}

/// One subnet of a network, as its IPAM driver gave it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpamData {
    /// The IPAM driver's name for where the subnet is from: ours, `LocalDefault` (Docker's own), `null`.
    #[serde(deserialize_with = "or_default")]
    pub address_space: String,
    /// The subnet.
    #[serde(deserialize_with = "text", serialize_with = "as_text")]
    pub pool: Option<IpNet>,
    /// The gateway's address in it.
    #[serde(deserialize_with = "text", serialize_with = "as_text")]
    pub gateway: Option<IpNet>,
    /// `--aux-address`, by name.
    #[serde(deserialize_with = "or_default")]
    pub aux_addresses: BTreeMap<String, IpNet>,
}

/// `DeleteNetwork` and `FreeNetwork`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NetworkRef {
    /// The network.
    #[serde(rename = "NetworkID")]
    pub network: NetworkId,
}

/// `EndpointOperInfo`, `RevokeExternalConnectivity`, `Leave` and `DeleteEndpoint`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct EndpointRef {
    /// The network.
    #[serde(rename = "NetworkID")]
    pub network: NetworkId,
    /// The endpoint.
    #[serde(rename = "EndpointID")]
    pub endpoint: EndpointId,
}

/// `CreateEndpoint`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreateEndpoint {
    /// The network.
    #[serde(rename = "NetworkID")]
    pub network: NetworkId,
    /// The endpoint.
    #[serde(rename = "EndpointID")]
    pub endpoint: EndpointId,
    /// What the engine and the IPAM driver settled.
    #[serde(rename = "Interface", default, deserialize_with = "or_default")]
    pub interface: Interface,
    /// The engine's, and the user's `--driver-opt` among them: see [`options`](super::options).
    #[serde(rename = "Options", default, deserialize_with = "or_default")]
    pub options: Options,
}

/// An interface as far as it is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// IPv4 address with the subnet's prefix length.
    #[serde(rename = "Address", deserialize_with = "text", serialize_with = "as_text")]
    pub ipv4: Option<Ipv4Net>,
    /// IPv6 address with the subnet's prefix length.
    #[serde(rename = "AddressIPv6", deserialize_with = "text", serialize_with = "as_text")]
    pub ipv6: Option<Ipv6Net>,
    /// MAC address.
    #[serde(rename = "MacAddress", deserialize_with = "text", serialize_with = "as_text")]
    pub mac: Option<MacAddr>,
}

/// The answer to `CreateEndpoint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreatedEndpoint {
    /// What the request left open. The engine refuses a field that it had given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<FilledInterface>,
}

/// The part of an interface that the driver settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FilledInterface {
    /// MAC address.
    pub mac_address: MacAddr,
}

/// The answer to `EndpointOperInfo`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct OperInfo {
    /// What there is to say, by name.
    pub value: Map<String, Value>,
}

/// `Join`: the endpoint's container starts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Join {
    /// The network.
    #[serde(rename = "NetworkID")]
    pub network: NetworkId,
    /// The endpoint.
    #[serde(rename = "EndpointID")]
    pub endpoint: EndpointId,
    /// Path of the container's network namespace.
    #[serde(rename = "SandboxKey", default, deserialize_with = "or_default")]
    pub sandbox: PathBuf,
}

/// The answer to `Join`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Joined {
    /// The link that the engine moves into the container.
    pub interface_name: InterfaceName,
    /// The container's default router: an address without a prefix length, which the engine refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Ipv4Addr>,
    /// The same for IPv6.
    #[serde(rename = "GatewayIPv6", skip_serializing_if = "Option::is_none")]
    pub gateway_ipv6: Option<Ipv6Addr>,
    /// Keeps the engine from adding a leg on `docker_gwbridge` because there is no gateway at all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disable_gateway_service: bool,
}

/// Which link, and how it is called in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InterfaceName {
    /// The link's name in the host's namespace.
    #[serde(serialize_with = "link")]
    pub src_name: IfName,
    /// Its name in the container without the number.
    pub dst_prefix: &'static str,
}

/// `ProgramExternalConnectivity`: publish ports.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ProgramExternalConnectivity {
    /// The network.
    #[serde(rename = "NetworkID")]
    pub network: NetworkId,
    /// The endpoint.
    #[serde(rename = "EndpointID")]
    pub endpoint: EndpointId,
    /// The engine's, with the port map.
    #[serde(rename = "Options", default, deserialize_with = "or_default")]
    pub options: Options,
}

/// `DiscoverNew` and `DiscoverDelete`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Discovery {
    /// What was discovered: 1 for a host.
    #[serde(rename = "DiscoveryType", default, deserialize_with = "or_default")]
    pub kind: i64,
    /// Of a host: `Address`, `BindAddress` and whether it is this one (`Self`).
    #[serde(rename = "DiscoveryData", default)]
    pub data: Value,
}

fn link<S: serde::Serializer>(link: &IfName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(link)
}
