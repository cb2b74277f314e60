//! How Go's 'not given' is read and written.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use paceline_model::MacAddr;
use serde::{Deserialize, Deserializer, Serializer, de};

/// `null` is the default, as a missing field is.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What is given as text.
pub(super) trait Text: FromStr {
    /// What it looks like, for error messages.
    const LIKE: &str;
}

impl Text for IpAddr {
    const LIKE: &str = "an address, like 10.77.0.2 or fd77::2";
}

impl Text for IpNet {
    const LIKE: &str = "an address with a prefix length, like 10.77.0.0/24 or fd77::/64";
}

impl Text for Ipv4Net {
    const LIKE: &str = "an IPv4 address with a prefix length, like 10.77.0.2/24";
}

impl Text for Ipv6Net {
    const LIKE: &str = "an IPv6 address with a prefix length, like fd77::2/64";
}

impl Text for MacAddr {
    const LIKE: &str = "a MAC address, like 02:00:00:00:00:01";
}

/// A value by its text; none for `null` and `""`.
pub(super) fn text<'de, D: Deserializer<'de>, T: Text>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    let wrong = |text: &str| de::Error::invalid_value(de::Unexpected::Str(text), &T::LIKE);
    text.map(|text| text.parse().map_err(|_| wrong(&text))).transpose()
}

/// The reverse of [`text`].
#[expect(clippy::ref_option, reason = "it is how serde calls it")]
pub(super) fn as_text<T: Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_str(""),
    }
}
