//! One Docker network.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::{DEFAULT_MTU, MAX_MTU, MIN_MTU};
use crate::{Attach, BridgeName, NetworkId};

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
}

/// What a user may ask for a network: `docker network create -o`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkOptions {
    /// `mode=bridge`.
    pub mode: Mode,
    /// `attach=tap|veth|afxdp`; none: the configuration's.
    pub attach: Option<Attach>,
    /// `mtu=` or `com.docker.network.driver.mtu=`: largest Ethernet payload, in bytes.
    pub mtu: u16,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self { mode: Mode::default(), attach: None, mtu: DEFAULT_MTU }
    }
}

/// Docker's name of the MTU option.
const DOCKER_MTU: &str = "com.docker.network.driver.mtu";

/// Whether an option is the engine's own, which it may add to any request.
pub(crate) fn tolerated(name: &str) -> bool {
    name.starts_with("com.docker.network.")
}

/// An option that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// There is no such option.
    #[error("option {name:?}: there is none of this name; allowed are {allowed}")]
    Unknown {
        /// As given.
        name: String,
        /// All names.
        allowed: &'static str,
    },
    /// The option has no such value.
    #[error("option {name}={value:?}: must be {right}")]
    Value {
        /// The option.
        name: String,
        /// As given.
        value: String,
        /// What would be right.
        right: String,
    },
    /// Two names of the MTU, two values.
    #[error("options mtu={0} and com.docker.network.driver.mtu={1}: give one of them, or both the same")]
    TwoMtus(u16, u16),
}

impl OptionError {
    pub(crate) fn attach(value: &str) -> Self {
        Self::Value { name: "attach".into(), value: value.into(), right: "tap, veth or afxdp".into() }
    }
}

impl NetworkOptions {
    /// From the user's `-o` options; those of the engine are passed over.
    ///
    /// # Errors
    /// An option that there is not, or a value that is none of its.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let mut parsed = Self::default();
        let (mut ours, mut dockers) = (None, None);
        for (name, value) in options {
            let wrong =
                |right: String| OptionError::Value { name: name.clone(), value: value.clone(), right };
            let mtu = || {
                let mtu = value.parse().ok().filter(|mtu| (MIN_MTU..=MAX_MTU).contains(mtu));
                mtu.ok_or_else(|| wrong(format!("a number from {MIN_MTU} to {MAX_MTU}")))
            };
            match name.as_str() {
                "mode" if value == "bridge" => parsed.mode = Mode::Bridge,
                "mode" => return Err(wrong("bridge".into())),
                "attach" => parsed.attach = Some(value.parse().map_err(|_| OptionError::attach(value))?),
                "mtu" => ours = Some(mtu()?),
                DOCKER_MTU => dockers = Some(mtu()?),
                name if tolerated(name) => {}
                _ => {
                    let allowed = "attach, mode, mtu and com.docker.network.driver.mtu";
                    return Err(OptionError::Unknown { name: name.clone(), allowed });
                }
            }
        }
        parsed.mtu = match (ours, dockers) {
            (Some(ours), Some(dockers)) if ours != dockers => {
                return Err(OptionError::TwoMtus(ours, dockers));
            }
            _ => ours.or(dockers).unwrap_or(DEFAULT_MTU),
        };
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<NetworkOptions, String> {
        let options = options.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        NetworkOptions::parse(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn all_options() {
        let parsed = parse(&[("mode", "bridge"), ("attach", "veth"), (DOCKER_MTU, "9000")]).unwrap();
        assert_eq!(parsed, NetworkOptions { mode: Mode::Bridge, attach: Some(Attach::Veth), mtu: 9000 });
        assert_eq!(parse(&[]).unwrap(), NetworkOptions::default());
        assert_eq!(parse(&[("mtu", "1400"), (DOCKER_MTU, "1400")]).unwrap().mtu, 1400);
        assert!(parse(&[("com.docker.network.bridge.name", "br0")]).is_ok());
    }

    #[test]
    fn each_error_names_option_value_and_what_is_right() {
        assert_eq!(
            parse(&[("mtu", "67")]).unwrap_err(),
            r#"option mtu="67": must be a number from 68 to 65535"#
        );
        assert_eq!(parse(&[("mode", "x")]).unwrap_err(), r#"option mode="x": must be bridge"#);
        assert_eq!(parse(&[("attach", "")]).unwrap_err(), r#"option attach="": must be tap, veth or afxdp"#);
        assert!(parse(&[("atach", "tap")]).unwrap_err().contains("allowed are attach, mode, mtu"));
        assert!(parse(&[("mtu", "1400"), (DOCKER_MTU, "1500")]).is_err());
    }
}
