//! One container's place in a network.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::options::{self, LinkOptions, OptionError, tolerated};
use crate::policy::Labels;
use crate::{Attach, EndpointId, IfName, MacAddr, NetworkId, PortName, PublishedPort};

/// One container's place in a network, from `CreateEndpoint` to `DeleteEndpoint`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Docker's ID of it.
    pub id: EndpointId,
    /// The network it is in.
    pub network: NetworkId,
    /// Our port for it, by [`Model::port_name`](crate::Model::port_name).
    pub port: PortName,
    /// Its link while that is in the host's namespace, by [`Model::link_name`](crate::Model::link_name): `SrcName`.
    #[serde(with = "crate::text")]
    pub link: IfName,
    /// How it is attached. Settled at creation, so that a new default leaves running containers alone.
    pub attach: Attach,
    /// The container's address.
    pub mac: MacAddr,
    /// Whether the engine gave the address rather than we.
    pub mac_given: bool,
    /// The container's IPv4 address with its subnet's prefix length.
    pub ipv4: Option<Ipv4Net>,
    /// The container's IPv6 address with its subnet's prefix length.
    pub ipv6: Option<Ipv6Net>,
    /// The container's network namespace, from `Join` to `Leave`: `SandboxKey`.
    pub sandbox: Option<PathBuf>,
    /// Its published ports, from `ProgramExternalConnectivity` to `RevokeExternalConnectivity`. An endpoint without them is
    /// written as before there were any; an earlier version refuses the others rather than publish nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PublishedPort>,
    /// Its own labels, over those of its network.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Its own `port_security=`, `rate=` and the like, over those of its network.
    #[serde(default, skip_serializing_if = "LinkOptions::is_default")]
    pub link_options: LinkOptions,
    /// The request that made it, to tell a repeated one from another with the same ID.
    pub request: serde_json::Value,
}

impl Endpoint {
    /// Whether a container is there: between `Join` and `Leave`.
    pub fn joined(&self) -> bool {
        self.sandbox.is_some()
    }

    /// Its IP addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let ipv4 = self.ipv4.map(|net| IpAddr::V4(net.addr()));
        let ipv6 = self.ipv6.map(|net| IpAddr::V6(net.addr()));
        ipv4.into_iter().chain(ipv6)
    }
}

/// All names, in words.
const ALLOWED: &str = "attach, burst, dscp, labels, mirror, port_security and rate";

/// What a user may ask for one endpoint: `docker network connect --driver-opt`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndpointOptions {
    /// `attach=tap|veth|afxdp`; none: the network's.
    pub attach: Option<Attach>,
    /// `labels=role=db,env=prod`, over the network's.
    pub labels: Labels,
    /// `port_security=`, `rate=`, `burst=`, `dscp=` and `mirror=`, over the network's.
    pub link: LinkOptions,
}

impl EndpointOptions {
    /// From the options of `CreateEndpoint` whose values are text; the engine's own are passed over.
    ///
    /// # Errors
    /// An option that there is not, or a value that is none of its.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let mut parsed =
            Self { attach: None, labels: options::labels(options)?, link: LinkOptions::parse(options)? };
        for (name, value) in options {
            match name.as_str() {
                "attach" => parsed.attach = Some(value.parse().map_err(|_| OptionError::attach(value))?),
                "label" | "labels" | "port_security" | "rate" | "burst" | "dscp" | "mirror" => {}
                name if tolerated(name) => {}
                _ => return Err(OptionError::Unknown { name: name.clone(), allowed: ALLOWED }),
            }
        }
        Ok(parsed)
    }
}

#[cfg(test)]
impl Endpoint {
    /// One for tests, joined.
    pub(crate) fn example(model: &crate::Model, id: EndpointId, network: NetworkId) -> Self {
        Self {
            port: model.port_name(&id),
            link: model.link_name(&id),
            id,
            network,
            attach: Attach::DEFAULT,
            mac: MacAddr::new([2, 0, 0, 0, 0, 1]),
            mac_given: false,
            ipv4: "10.77.0.2/24".parse().ok(),
            ipv6: None,
            sandbox: Some("/var/run/docker/netns/0".into()),
            ports: Vec::new(),
            labels: Labels::default(),
            link_options: LinkOptions::default(),
            request: serde_json::Value::Null,
        }
    }
}
