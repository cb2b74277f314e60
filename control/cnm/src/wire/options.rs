//! The engine's options, of which some hold the user's.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use paceline_model::options::OptionError;
use paceline_model::{Interval, MacAddr, PortRequest, Protocol};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::field::or_default;

/// Options by name, with values of any kind.
pub type Options = Map<String, Value>;

/// Of `CreateNetwork`: the user's `-o`.
pub const GENERIC: &str = "com.docker.network.generic";
/// Of `CreateNetwork`: `--ipv6`.
pub const ENABLE_IPV6: &str = "com.docker.network.enable_ipv6";
/// Of `CreateNetwork`: `--internal`.
pub const INTERNAL: &str = "com.docker.network.internal";
/// Of `CreateEndpoint` (in base64) and `RequestAddress` (as text): `--mac-address`.
pub const MAC: &str = "com.docker.network.endpoint.macaddress";
/// Of `CreateEndpoint` and `ProgramExternalConnectivity`: `--publish`.
pub const PORT_MAP: &str = "com.docker.network.portmap";
/// Of `RequestAddress`: what the address is for.
pub const ADDRESS_TYPE: &str = "RequestAddressType";
/// The [`ADDRESS_TYPE`] of a gateway's.
pub const GATEWAY: &str = "com.docker.network.gateway";

/// Whether an option is the engine's own rather than a user's.
pub fn is_engines(name: &str) -> bool {
    name.starts_with("com.docker.network.") || name == ADDRESS_TYPE
}

/// One published port: an element of [`PORT_MAP`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortMapping {
    /// IP protocol number: 6, 17 or 132.
    #[serde(deserialize_with = "or_default")]
    pub proto: u8,
    /// The container's port.
    #[serde(deserialize_with = "or_default")]
    pub port: u16,
    /// The host's address; empty: what the network says.
    #[serde(rename = "HostIP", deserialize_with = "or_default")]
    pub host_ip: String,
    /// The first of the host's ports; 0: any.
    #[serde(deserialize_with = "or_default")]
    pub host_port: u16,
    /// The last of the host's ports; 0: there is one only.
    #[serde(deserialize_with = "or_default")]
    pub host_port_end: u16,
}

impl PortMapping {
    /// What it asks for. Without an address of its own it is for `host_ip`.
    ///
    /// # Errors
    /// A protocol, port or address that is none.
    pub fn request(&self, host_ip: Option<IpAddr>) -> Result<PortRequest, OptionError> {
        let wrong = |what: &str, right: &str| {
            let right = format!("a port mapping with {what} {right}");
            OptionError::Value { name: PORT_MAP.into(), value: self.to_string(), right }
        };
        let protocol = Protocol::of_number(self.proto)
            .ok_or_else(|| wrong("Proto", "6 (TCP), 17 (UDP) or 132 (SCTP)"))?;
        let host_ip = match self.host_ip.as_str() {
            "" => host_ip,
            text => {
                let address: Result<IpAddr, _> = text.parse();
                Some(address.map_err(|_| wrong("HostIP", "an address, as 192.0.2.1"))?.to_canonical())
            }
        };
        let host_ports = match (self.host_port, self.host_port_end) {
            (0, _) => None,
            (first, 0) => Some(Interval::one(first)),
            (first, last) => {
                Some(Interval::new(first, last).map_err(|_| wrong("HostPortEnd", "at least HostPort"))?)
            }
        };
        if self.port == 0 {
            return Err(wrong("Port", "from 1 to 65535"));
        }
        Ok(PortRequest { protocol, host_ip, host_ports, port: self.port })
    }
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proto, port, host_ip, host_port, host_port_end } = self;
        let proto = Protocol::of_number(*proto).map_or_else(|| proto.to_string(), |proto| proto.to_string());
        let colon = if host_ip.is_empty() { "" } else { ":" };
        let end = match host_port_end {
            0 => String::new(),
            end if end == host_port => String::new(),
            end => format!("-{end}"),
        };
        write!(f, "{host_ip}{colon}{host_port}{end}->{port}/{proto}")
    }
}

/// The user's `-o` of a `CreateNetwork`.
///
/// # Errors
/// They are no object of texts.
pub fn generic(options: &Options) -> Result<BTreeMap<String, String>, OptionError> {
    match options.get(GENERIC) {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(users)) => texts(users),
        Some(other) => Err(wrong(GENERIC, other, "an object of texts")),
    }
}

/// The user's `--driver-opt` of a `CreateEndpoint`, which are among the engine's.
///
/// # Errors
/// One is no text.
pub fn drivers(options: &Options) -> Result<BTreeMap<String, String>, OptionError> {
    collect(options.iter().filter(|(name, _)| !is_engines(name)))
}

/// All options, each as text.
///
/// # Errors
/// One is no text.
pub fn texts(options: &Options) -> Result<BTreeMap<String, String>, OptionError> {
    collect(options.iter())
}

/// An option that is on or off; missing: off.
///
/// # Errors
/// It is neither.
pub fn flag(options: &Options, name: &str) -> Result<bool, OptionError> {
    match options.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(on)) => Ok(*on),
        Some(Value::String(text)) if text == "true" => Ok(true),
        Some(Value::String(text)) if text == "false" => Ok(false),
        Some(other) => Err(wrong(name, other, "true or false")),
    }
}

/// `--mac-address`, in either form.
///
/// # Errors
/// It is no MAC address.
pub fn mac(options: &Options) -> Result<Option<MacAddr>, OptionError> {
    let value = match options.get(MAC) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let parse = |text: &str| {
        let bytes = || <[u8; 6]>::try_from(STANDARD.decode(text).ok()?).ok().map(MacAddr::new);
        text.parse().ok().or_else(bytes)
    };
    match value.as_str() {
        Some("") => Ok(None),
        text => text.and_then(parse).map(Some).ok_or_else(|| {
            wrong(MAC, value, "a MAC address, as 02:00:00:00:00:01 or its six bytes in base64")
        }),
    }
}

/// `--publish`.
///
/// # Errors
/// It is no list of port mappings.
pub fn port_map(options: &Options) -> Result<Vec<PortMapping>, OptionError> {
    let value = options.get(PORT_MAP).unwrap_or(&Value::Null);
    let ports = Option::<Vec<PortMapping>>::deserialize(value);
    ports
        .map(Option::unwrap_or_default)
        .map_err(|error| wrong(PORT_MAP, value, &format!("port mappings ({error})")))
}

/// Numbers and truth values are taken as the text they are in JSON.
fn collect<'a>(
    options: impl Iterator<Item = (&'a String, &'a Value)>,
) -> Result<BTreeMap<String, String>, OptionError> {
    let text = |(name, value): (&String, &Value)| match value {
        Value::Null => None,
        Value::String(text) => Some(Ok((name.clone(), text.clone()))),
        Value::Bool(_) | Value::Number(_) => Some(Ok((name.clone(), value.to_string()))),
        _ => Some(Err(wrong(name, value, "a text"))),
    };
    options.filter_map(text).collect()
}

/// Long values are cut: an error is one line for people.
fn wrong(name: &str, value: &Value, right: &str) -> OptionError {
    let value = value.to_string();
    let value =
        if value.chars().count() > 80 { value.chars().take(80).chain(['…']).collect() } else { value };
    OptionError::Value { name: name.into(), value, right: right.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(value: Value) -> Options {
        let Value::Object(options) = value else { panic!("{value}") };
        options
    }

    #[test]
    fn users_options_are_text_whatever_json_they_came_as() {
        let given = options(json!({ GENERIC: { "mtu": 1400, "x": true, "none": null, "y": "z" } }));
        let read: Vec<_> = generic(&given).unwrap().into_iter().collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read, [pair("mtu", "1400"), pair("x", "true"), pair("y", "z")]);
        assert!(generic(&options(json!({ GENERIC: [] }))).is_err());
        let error = generic(&options(json!({ GENERIC: { "a": {} } }))).unwrap_err().to_string();
        assert_eq!(error, "option a=\"{}\": must be a text");
        assert!(generic(&options(json!({ GENERIC: null }))).unwrap().is_empty());
        let mixed = options(json!({ PORT_MAP: [], "attach": "tap", MAC: "AgAAAHcB" }));
        assert_eq!(drivers(&mixed).unwrap().into_iter().collect::<Vec<_>>(), [pair("attach", "tap")]);
    }

    #[test]
    fn mac_addresses_in_both_forms() {
        let expected = "02:00:00:00:77:01".parse().ok();
        for text in ["AgAAAHcB", "02:00:00:00:77:01"] {
            assert_eq!(mac(&options(json!({ MAC: text }))).unwrap(), expected);
        }
        for none in [json!({}), json!({ MAC: "" }), json!({ MAC: null })] {
            assert_eq!(mac(&options(none)).unwrap(), None);
        }
        for bad in [json!("AgAAAHc="), json!("x"), json!(7), json!([2, 0, 0, 0, 0, 1])] {
            assert!(mac(&options(json!({ MAC: bad }))).is_err());
        }
    }

    #[test]
    fn published_ports() {
        let given = json!({ PORT_MAP: [
            { "Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": 8080, "HostPortEnd": 8080 },
            { "Proto": 17, "Port": 53, "HostIP": "127.0.0.1", "HostPort": 0 },
            { "Proto": 132, "Port": 9, "HostIP": "::ffff:192.0.2.1", "HostPort": 9, "HostPortEnd": 12 },
        ]});
        let ports = port_map(&options(given)).unwrap();
        assert_eq!(
            ports.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["8080->80/tcp", "127.0.0.1:0->53/udp", "::ffff:192.0.2.1:9-12->9/sctp"]
        );
        let default = "192.0.2.7".parse().ok();
        let requests = ports.iter().map(|port| port.request(default).unwrap().to_string());
        assert_eq!(
            requests.collect::<Vec<_>>(),
            ["192.0.2.7:8080->80/tcp", "127.0.0.1:any->53/udp", "192.0.2.1:9-12->9/sctp"]
        );
        assert!(port_map(&options(json!({ PORT_MAP: null }))).unwrap().is_empty());
        assert!(port_map(&options(json!({ PORT_MAP: [{ "Port": 70000 }] }))).is_err());
    }

    #[test]
    fn wrong_ports_are_named() {
        let error = |mapping: Value| {
            let ports = port_map(&options(json!({ PORT_MAP: [mapping] }))).unwrap();
            ports[0].request(None).unwrap_err().to_string()
        };
        let name = "option com.docker.network.portmap=";
        assert_eq!(
            error(json!({ "Proto": 1, "Port": 80, "HostPort": 8080 })),
            format!(
                "{name}\"8080->80/1\": must be a port mapping with Proto 6 (TCP), 17 (UDP) or 132 (SCTP)"
            )
        );
        assert!(error(json!({ "Proto": 6, "Port": 0 })).ends_with("Port from 1 to 65535"));
        assert!(error(json!({ "Proto": 6, "Port": 1, "HostIP": "eth0" })).contains("HostIP an address"));
        let reversed = error(json!({ "Proto": 6, "Port": 1, "HostPort": 9, "HostPortEnd": 8 }));
        assert_eq!(
            reversed,
            format!("{name}\"9-8->1/tcp\": must be a port mapping with HostPortEnd at least HostPort")
        );
    }

    #[test]
    fn flags() {
        assert!(flag(&options(json!({ INTERNAL: true })), INTERNAL).unwrap());
        assert!(flag(&options(json!({ INTERNAL: "true" })), INTERNAL).unwrap());
        assert!(!flag(&options(json!({})), INTERNAL).unwrap());
        assert!(flag(&options(json!({ INTERNAL: 1 })), INTERNAL).is_err());
    }
}
