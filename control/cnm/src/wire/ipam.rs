//! `IpamDriver`.

use std::net::IpAddr;

use ipnet::IpNet;
use paceline_model::{PoolId, Space};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Options;
use super::field::{or_default, text};

/// The answer to `GetCapabilities`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// Whether addresses are given by MAC address.
    #[serde(rename = "RequiresMACAddress")]
    pub requires_mac_address: bool,
    /// Whether the engine must repeat all requests when it starts.
    #[serde(rename = "RequiresRequestReplay")]
    pub requires_request_replay: bool,
}

/// The answer to `GetDefaultAddressSpaces`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DefaultAddressSpaces {
    /// For networks of one host.
    pub local_default_address_space: Space,
    /// For networks of a swarm.
    pub global_default_address_space: Space,
}

/// `RequestPool`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RequestPool {
    /// The address space.
    #[serde(rename = "AddressSpace")]
    pub space: Space,
    /// `--subnet`; none: an automatic one.
    #[serde(rename = "Pool", default, deserialize_with = "text")]
    pub pool: Option<IpNet>,
    /// `--ip-range`.
    #[serde(rename = "SubPool", default, deserialize_with = "text")]
    pub range: Option<IpNet>,
    /// `--ipam-opt`.
    #[serde(rename = "Options", default, deserialize_with = "or_default")]
    pub options: Options,
    /// Whether it is to be IPv6.
    #[serde(rename = "V6", default, deserialize_with = "or_default")]
    pub v6: bool,
}

/// The answer to `RequestPool`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RequestedPool {
    /// Its ID from now on.
    #[serde(rename = "PoolID")]
    pub id: PoolId,
    /// The subnet.
    #[serde(rename = "Pool")]
    pub pool: IpNet,
    /// What else there is to say: nothing.
    #[serde(rename = "Data")]
    pub data: Map<String, Value>,
}

/// `ReleasePool`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct ReleasePool {
    /// The pool.
    #[serde(rename = "PoolID")]
    pub pool: PoolId,
}

/// `RequestAddress`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RequestAddress {
    /// The pool.
    #[serde(rename = "PoolID")]
    pub pool: PoolId,
    /// `--ip`, `--gateway`, `--aux-address`; none: any.
    #[serde(rename = "Address", default, deserialize_with = "text")]
    pub address: Option<IpAddr>,
    /// The engine's: see [`options`](super::options).
    #[serde(rename = "Options", default, deserialize_with = "or_default")]
    pub options: Options,
}

/// The answer to `RequestAddress`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RequestedAddress {
    /// The address with the subnet's prefix length.
    pub address: IpNet,
    /// What else there is to say: nothing.
    pub data: Map<String, Value>,
}

/// `ReleaseAddress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct ReleaseAddress {
    /// The pool.
    #[serde(rename = "PoolID")]
    pub pool: PoolId,
    /// The address.
    #[serde(rename = "Address", default, deserialize_with = "text")]
    pub address: Option<IpAddr>,
}
