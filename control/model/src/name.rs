//! Names that are right once they exist.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use paceline_sys::IfName;
use serde::{Deserialize, Serialize};

/// A string that is no name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?}: must be 1 to {max} characters of {alphabet}")]
pub struct NameError {
    kind: &'static str,
    text: String,
    max: usize,
    alphabet: &'static str,
}

/// A checked string: 1 to `$max` ASCII letters, digits and `$marks`.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $max:literal, $marks:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The longest there can be, in characters.
            pub const MAX_LEN: usize = $max;

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                let fine = |byte: u8| byte.is_ascii_alphanumeric() || $marks.as_bytes().contains(&byte);
                if (1..=$max).contains(&text.len()) && text.bytes().all(fine) {
                    return Ok(Self(text));
                }
                let mut text = text;
                if text.chars().count() > 2 * $max {
                    text = text.chars().take(2 * $max).chain("…".chars()).collect();
                }
                Err(NameError { kind: $kind, text, max: $max, alphabet: concat!("A-Z a-z 0-9 ", $marks) })
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                text.to_owned().try_into()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// Our name of a port: 1 to 63 of `A-Z a-z 0-9 _ . : -`.
    PortName, "port name", 63, "_.:-"
);
name!(
    /// Our name of a bridge: 1 to 63 of `A-Z a-z 0-9 _ . : -`.
    BridgeName, "bridge name", 63, "_.:-"
);
name!(
    /// Our name of a routing table (VRF): 1 to 63 of `A-Z a-z 0-9 _ . : -`.
    VrfName, "VRF name", 63, "_.:-"
);
name!(
    /// Docker's ID of a network: 1 to 128 of `A-Z a-z 0-9 _ . -` (the engine sends 64 hex digits, swarm 25 of base 36).
    NetworkId, "network ID", 128, "_.-"
);
name!(
    /// Docker's ID of an endpoint: 1 to 128 of `A-Z a-z 0-9 _ . -` (the engine sends 64 hex digits).
    EndpointId, "endpoint ID", 128, "_.-"
);

name!(
    /// A label's key: 1 to 63 of `A-Z a-z 0-9 _ . / -`.
    LabelKey, "label", 63, "_./-"
);
name!(
    /// A label's value: 1 to 63 of `A-Z a-z 0-9 _ . / -`.
    LabelValue, "label value", 63, "_./-"
);
name!(
    /// Name of a tier of policies: 1 to 63 of `A-Z a-z 0-9 _ . -`.
    TierName, "tier name", 63, "_.-"
);
name!(
    /// Name of a policy: 1 to 63 of `A-Z a-z 0-9 _ . -`.
    PolicyName, "policy name", 63, "_.-"
);
name!(
    /// Name of a rule: 1 to 63 of `A-Z a-z 0-9 _ . -`.
    RuleName, "rule name", 63, "_.-"
);
name!(
    /// Name of a group of addresses: 1 to 63 of `A-Z a-z 0-9 _ . -`.
    GroupName, "group name", 63, "_.-"
);
name!(
    /// Name of an access control list: 1 to 63 of `A-Z a-z 0-9 _ . -`.
    AclName, "ACL name", 63, "_.-"
);

impl TierName {
    /// The tier of policies that name none; it is the last one.
    pub const DEFAULT: &str = "default";
}

impl Default for TierName {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl PortName {
    /// How the names of Docker's ports begin; the configuration file may not use it.
    pub const DOCKER: &str = "e-";
    /// How the names of the routed legs of Docker's bridges begin; the configuration file may not use it.
    pub const BVI: &str = "bvi-";
    /// The port that leads to the host's own stack; the configuration file may not use it.
    pub const HOST: &str = "host";

    /// How the names of uplinks' ports begin; the configuration file may not use it for others.
    pub const UPLINK: &str = "uplink:";

    /// How the names of VXLAN tunnels begin; the configuration file may not use it.
    pub const VXLAN: &str = "vxlan:";

    /// The port on the device of an uplink. Characters that a port's name cannot have are another one in it: the configuration
    /// refuses such devices.
    pub fn of_uplink(device: IfName) -> Self {
        let fits = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
        let name = device.as_str().chars().map(|character| if fits(character) { character } else { '_' });
        Self(Self::UPLINK.chars().chain(name).collect())
    }

    /// [`Self::HOST`], as a name.
    pub fn host() -> Self {
        Self(Self::HOST.into())
    }
}

impl VrfName {
    /// The routing table that an uplink's port has for itself.
    pub fn of_port(port: &PortName) -> Self {
        Self(port.0.clone())
    }

    /// The routing table of whatever names no other, and of Docker's networks.
    pub const DEFAULT: &str = "default";
}

impl Default for VrfName {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl BridgeName {
    /// How the names of Docker's bridges begin; the configuration file may not use it.
    pub const DOCKER: &str = "n-";
    /// How the names of bridges begin that are made for VLAN sub-interfaces; the configuration file may not use it.
    pub const TRUNK: &str = "v-";
}

/// The first of a list of names, made from `id`, that is not `taken`: `prefix` and the first `digits` characters, then
/// with more of them up to `max` characters in all, then with a number at the end.
///
/// Short because people read and type it; unique because a reconciler keeps one object by each name.
pub(crate) fn unique(
    prefix: &str,
    id: &str,
    digits: usize,
    max: usize,
    taken: impl Fn(&str) -> bool,
) -> String {
    let room = max - prefix.len();
    let longer = (digits.min(id.len())..=room.min(id.len())).map(|len| format!("{prefix}{}", &id[..len]));
    let numbered = (2u64..).map(|number| {
        let number = format!(".{number}");
        format!("{prefix}{}{number}", &id[..digits.min(id.len()).min(room - number.len())])
    });
    longer.chain(numbered).find(|name| !taken(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_and_the_length_are_kept() {
        assert_eq!("eth0.10:a-b_c".parse::<PortName>().unwrap().as_str(), "eth0.10:a-b_c");
        assert!("x".repeat(63).parse::<PortName>().is_ok());
        assert!("x".repeat(128).parse::<EndpointId>().is_ok());
        for bad in ["", " ", "a b", "a/b", "ä", "a\0", &"x".repeat(64)] {
            assert!(bad.parse::<PortName>().is_err(), "{bad:?}");
        }
        assert!("a:b".parse::<NetworkId>().is_err());
    }

    #[test]
    fn an_error_says_what_would_be_right_and_stays_short() {
        let error = "no good".parse::<BridgeName>().unwrap_err().to_string();
        assert_eq!(error, r#"bridge name "no good": must be 1 to 63 characters of A-Z a-z 0-9 _.:-"#);
        assert!("ä".repeat(1 << 20).parse::<BridgeName>().unwrap_err().to_string().len() < 512);
    }

    #[test]
    fn serde_sees_a_checked_string() {
        assert_eq!(serde_json::from_str::<PortName>("\"p0\"").unwrap().to_string(), "p0");
        assert!(serde_json::from_str::<PortName>("\"p 0\"").is_err());
    }

    #[test]
    fn a_unique_name_takes_more_digits_then_a_number() {
        let id = "0123456789abcdef";
        assert_eq!(unique("e-", id, 12, 63, |_| false), "e-0123456789ab");
        assert_eq!(unique("e-", id, 12, 63, |name| name == "e-0123456789ab"), "e-0123456789abc");
        assert_eq!(unique("plc", id, 11, 15, |name| !name.contains('.')), "plc0123456789.2");
        assert_eq!(unique("e-", "ab", 12, 63, |name| name == "e-ab"), "e-ab.2");
    }
}
