//! The typed model of all that Paceline should be doing.
//!
//! ```text
//!  file.toml ──▶ Config ─┐
//!                        ├─▶ modes::desired ──▶ Desired (ports, bridges, routes) ──▶ reconciler
//!  Docker ─────▶ Model ──┘
//!               (on disk)
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`config`] | the TOML file: its types, defaults and checks, with errors that point into the file |
//! | [`durable`] | [`Model`]: what outlives a restart |
//! | [`network`], [`options`], [`endpoint`], [`pools`] | what the model holds |
//! | [`desired`], [`routed`], [`host`] | what should be: ports and bridges, routing, the host's own stack |
//! | [`overlay`] | what a VXLAN segment is, and which address carries it |
//! | [`filter`] | what an interface lets in and out: rule lists and the rest |
//! | [`uplink`] | what the kernel says of the devices of uplinks |
//! | [`route`] | what is wrong with a route; the operator's routes in the model |
//! | [`policy`] | policies by labels: their file, what they come to for each endpoint, and why a packet passes |
//! | [`modes`] | pure functions from both to [`Desired`] |
//! | [`name`], [`mac`], [`vlan`], [`interval`], [`attach`] | values that are right once they exist |
//!
//! Nothing in here touches the system.
#![forbid(unsafe_code)]

pub mod attach;
pub mod config;
pub mod desired;
pub mod durable;
pub mod endpoint;
pub mod filter;
pub mod host;
pub mod interval;
pub mod mac;
pub mod modes;
pub mod name;
pub mod network;
pub mod options;
pub mod overlay;
pub mod policy;
pub mod pools;
pub mod route;
pub mod routed;
pub mod storm;
mod text;
pub mod uplink;
pub mod vlan;

pub use attach::Attach;
pub use config::{Config, ConfigError};
pub use desired::{
    ContainerLink, Desired, DesiredBridge, DesiredKind, DesiredPort, DesiredTunnel, Membership,
};
pub use durable::Model;
pub use endpoint::Endpoint;
pub use filter::{DesiredFilter, Guard, ListRule, Rate, RuleList, RuleTier, Verdict};
pub use host::{GatewayMode, HostNetwork, HostPlan, HostPort, PortRequest, Protocol, PublishedPort};
pub use interval::Interval;
pub use mac::MacAddr;
pub use modes::{desired, desired_by};
pub use name::{
    AclName, BridgeName, EndpointId, GroupName, LabelKey, LabelValue, NetworkId, PolicyName, PortName,
    RuleName, TierName, VrfName,
};
pub use network::{IpamData, Network};
pub use options::NetworkOptions;
pub use overlay::{Overlay, OverlayError, Vni, Vtep};
pub use paceline_sys::IfName;
pub use policy::{Labels, PolicySet};
pub use pools::{Pool, PoolId, Pools, Space};
pub use routed::{DesiredInterface, DesiredVrf, Over, Path, Route, RouteId};
pub use storm::Storm;
pub use uplink::{UplinkState, Uplinks};
pub use vlan::{Tpid, VlanId, VlanMode, VlanSet};
