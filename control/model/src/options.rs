//! What a user may ask for a network: `docker network create -o`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::config::{DEFAULT_MTU, MAX_MTU, MIN_MTU, Snooping};
use crate::network::Mode;
use crate::overlay::{Overlay, OverlayError, Part, Vtep};
use crate::policy::Labels;
use crate::{Attach, GatewayMode, IfName};

pub mod link;
mod overlay;
#[cfg(test)]
mod tests;

pub use link::LinkOptions;

/// What a user may ask for a network: `docker network create -o`.
///
/// In state, a field that came later than the first three is written only where it is not its default, and missing ones are
/// the default. So a later version reads the state of an earlier one; an earlier one reads what says nothing new, and refuses
/// the rest by the name of the field rather than build another network than was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkOptions {
    /// `mode=bridge|overlay`.
    pub mode: Mode,
    /// `attach=tap|veth|afxdp`; none: the configuration's.
    pub attach: Option<Attach>,
    /// `mtu=`: largest Ethernet payload, in bytes.
    pub mtu: u16,
    /// `masquerade=`: whether what leaves the host gets the host's address.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub masquerade: bool,
    /// `icc=`: whether containers of the network reach each other.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub icc: bool,
    /// `gateway_mode=`, for IPv4.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gateway_ipv4: GatewayMode,
    /// `gateway_mode=`, for IPv6.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gateway_ipv6: GatewayMode,
    /// `host_binding=`: the host's address of published ports that name none; none: all of both families.
    #[serde(default, skip_serializing_if = "is_default")]
    pub host_binding: Option<IpAddr>,
    /// `uplink=`: the device by which the network reaches the outside; none: by the host's own stack.
    #[serde(default, with = "crate::text::option", skip_serializing_if = "is_default")]
    pub uplink: Option<IfName>,
    /// `vni=`, `peers=` and so on: the segment, in mode `overlay`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub overlay: Option<Overlay>,
    /// `labels=role=db,env=prod`: what its endpoints are, for policies.
    #[serde(default, skip_serializing_if = "is_default")]
    pub labels: Labels,
    /// `snooping=off|on|querier`: whether its bridge listens who is in which multicast group.
    #[serde(default, skip_serializing_if = "is_default")]
    pub snooping: Snooping,
    /// `port_security=`, `rate=`, `burst=`, `dscp=`, `mirror=` and `storm=` of endpoints that do not say.
    #[serde(default, skip_serializing_if = "is_default")]
    pub link: LinkOptions,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "it is how serde calls it")]
fn is_yes(on: &bool) -> bool {
    *on
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            attach: None,
            mtu: DEFAULT_MTU,
            masquerade: true,
            icc: true,
            gateway_ipv4: GatewayMode::default(),
            gateway_ipv6: GatewayMode::default(),
            host_binding: None,
            uplink: None,
            overlay: None,
            labels: Labels::default(),
            snooping: Snooping::default(),
            link: LinkOptions::default(),
        }
    }
}

/// Names of each option: ours, and that of Docker's own bridge.
mod names {
    pub const MODE: &[&str] = &["mode"];
    pub const ATTACH: &[&str] = &["attach"];
    pub const MTU: &[&str] = &["mtu", "com.docker.network.driver.mtu"];
    pub const MASQUERADE: &[&str] = &["masquerade", "com.docker.network.bridge.enable_ip_masquerade"];
    pub const ICC: &[&str] = &["icc", "com.docker.network.bridge.enable_icc"];
    pub const GATEWAY_IPV4: &[&str] = &["gateway_mode", "com.docker.network.bridge.gateway_mode_ipv4"];
    pub const GATEWAY_IPV6: &[&str] = &["gateway_mode", "com.docker.network.bridge.gateway_mode_ipv6"];
    pub const HOST_BINDING: &[&str] = &["host_binding", "com.docker.network.bridge.host_binding_ipv4"];
    pub const UPLINK: &[&str] = &["uplink"];
    pub const LABELS: &[&str] = &["labels", "label"];
    pub const SNOOPING: &[&str] = &["snooping"];
    pub const ALL: [&[&str]; 11] = [
        MODE,
        ATTACH,
        MTU,
        MASQUERADE,
        ICC,
        GATEWAY_IPV4,
        GATEWAY_IPV6,
        HOST_BINDING,
        UPLINK,
        LABELS,
        SNOOPING,
    ];
}

/// [`names::ALL`], those of [`LinkOptions`] and those of overlays, in words.
const ALLOWED: &str = "attach, burst, dscp, gateway_mode, host_binding, icc, labels, masquerade, mirror, mode, mtu, \
     port_security, rate, snooping, storm, uplink, with mode=overlay \
     checksum, group, learn_peers, outer_dscp, peers, port, ttl, underlay and vni, \
     com.docker.network.driver.mtu and, of com.docker.network.bridge, enable_icc, enable_ip_masquerade, \
     gateway_mode_ipv4, gateway_mode_ipv6 and host_binding_ipv4";

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
    /// An option of overlays alone.
    #[error("option {name}: goes with mode=overlay only, as do {overlay}")]
    Overlay {
        /// As given.
        name: String,
        /// All names of such.
        overlay: &'static str,
    },
    /// An overlay without what it needs.
    #[error("option mode=overlay: needs {what}")]
    Needs {
        /// The option.
        what: &'static str,
    },
    /// An option that an overlay cannot have.
    #[error("option {name}: goes with mode=bridge only: {why}")]
    NoOverlay {
        /// The option and its value.
        name: &'static str,
        /// What hinders.
        why: &'static str,
    },
    /// Ends of a segment that cannot be.
    #[error("option {}: {error}", overlay::option(*part))]
    Ends {
        /// What is wrong with them.
        error: OverlayError,
        /// What of them is.
        part: Part,
    },
    /// Two names of one option, two values.
    #[error("options {}={} and {}={}: give one of them, or both the same", .0.0, .0.1, .1.0, .1.1)]
    Two((String, String), (String, String)),
}

impl OptionError {
    pub(crate) fn attach(value: &str) -> Self {
        Self::Value { name: "attach".into(), value: value.into(), right: "tap, veth or afxdp".into() }
    }
}

impl NetworkOptions {
    /// From the user's `-o` options; those of the engine that mean nothing here are passed over. `vtep` finds this end of an
    /// overlay.
    ///
    /// # Errors
    /// An option that there is not, a value that is none of its, two values under two names, options that do not go together;
    /// an overlay without an end here.
    pub fn parse(
        options: &BTreeMap<String, String>,
        vtep: impl FnOnce(&Overlay) -> Result<Vtep, OverlayError>,
    ) -> Result<Self, OptionError> {
        let all = names::ALL.iter().chain(&overlay::names::ALL).flat_map(|names| *names);
        let all = all.chain(&link::NAMES);
        let known = |name: &str| tolerated(name) || all.clone().any(|other| *other == name);
        if let Some(name) = options.keys().find(|name| !known(name)) {
            return Err(OptionError::Unknown { name: name.clone(), allowed: ALLOWED });
        }
        let given = Given(options);
        let mtu = |text: &str| text.parse().ok().filter(|mtu| (MIN_MTU..=MAX_MTU).contains(mtu));
        let mtu_right = format!("a number from {MIN_MTU} to {MAX_MTU}");
        let mode = |text: &str| match text {
            "bridge" => Some(Mode::Bridge),
            "overlay" => Some(Mode::Overlay),
            _ => None,
        };
        let uplink = |text: &str| if text == "host" { Some(None) } else { text.parse().ok().map(Some) };
        let default = Self::default();
        let mode = given.one(names::MODE, mode, "bridge or overlay")?.unwrap_or_default();
        let given_mtu = given.one(names::MTU, mtu, &mtu_right)?;
        let mut parsed = Self {
            mode,
            attach: given.one(names::ATTACH, |text| text.parse().ok(), "tap, veth or afxdp")?,
            mtu: default.mtu,
            masquerade: given.flag(names::MASQUERADE)?.unwrap_or(default.masquerade),
            icc: given.flag(names::ICC)?.unwrap_or(default.icc),
            gateway_ipv4: given.gateway(names::GATEWAY_IPV4)?,
            gateway_ipv6: given.gateway(names::GATEWAY_IPV6)?,
            host_binding: given
                .one(names::HOST_BINDING, binding, "an address of the host, as 192.0.2.1")?
                // Docker's default stands for all addresses of both families, as with its own bridge.
                .filter(|address| *address != Ipv4Addr::UNSPECIFIED),
            uplink: given
                .one(names::UPLINK, uplink, "host or the device of an [[uplink]] of the configuration")?
                .flatten(),
            overlay: overlay::overlay(&given, mode)?,
            labels: labels(options)?,
            snooping: given
                .one(names::SNOOPING, |text| text.parse().ok(), "off, on or querier")?
                .unwrap_or_default(),
            link: LinkOptions::parse(options)?,
        };
        if parsed.overlay.is_some() && !parsed.icc {
            let why = "an overlay is for containers to reach each other";
            return Err(OptionError::NoOverlay { name: "icc=false", why });
        }
        parsed.settle_mtu(given_mtu, vtep)?;
        Ok(parsed)
    }
}

/// `labels=`, or `label=`.
pub(crate) fn labels(options: &BTreeMap<String, String>) -> Result<Labels, OptionError> {
    for name in names::LABELS {
        if let Some(Err(error)) = options.get(*name).map(|text| text.parse::<Labels>()) {
            let value = options[*name].chars().take(80).collect();
            let right = format!("keys and values, as in role=db,env=prod ({error})");
            return Err(OptionError::Value { name: (*name).to_owned(), value, right });
        }
    }
    // What is wrong with a value was said.
    Ok(Given(options).one(names::LABELS, |text| text.parse().ok(), "keys and values")?.unwrap_or_default())
}

/// The user's options.
struct Given<'o>(&'o BTreeMap<String, String>);

impl Given<'_> {
    /// The value of an option that has several names; none if it was not given.
    fn one<T: PartialEq>(
        &self,
        names: &[&str],
        read: impl Fn(&str) -> Option<T>,
        right: &str,
    ) -> Result<Option<T>, OptionError> {
        let mut first: Option<((String, String), T)> = None;
        for &name in names {
            let Some(text) = self.0.get(name) else { continue };
            let pair = (name.to_owned(), text.clone());
            let Some(value) = read(text) else {
                return Err(OptionError::Value { name: pair.0, value: pair.1, right: right.into() });
            };
            match first {
                Some((other, before)) if before != value => return Err(OptionError::Two(other, pair)),
                _ => first = Some((pair, value)),
            }
        }
        Ok(first.map(|(_, value)| value))
    }

    /// As Docker reads it (Go's `strconv.ParseBool`).
    fn flag(&self, names: &[&str]) -> Result<Option<bool>, OptionError> {
        let read = |text: &str| match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        };
        self.one(names, read, "true or false")
    }

    fn gateway(&self, names: &[&str]) -> Result<GatewayMode, OptionError> {
        let read = |text: &str| match text {
            "nat" => Some(GatewayMode::Nat),
            "routed" => Some(GatewayMode::Routed),
            "isolated" => Some(GatewayMode::Isolated),
            _ => None,
        };
        Ok(self.one(names, read, "nat, routed or isolated")?.unwrap_or_default())
    }
}

/// An address of the host.
fn binding(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}
