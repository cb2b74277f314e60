//! What may be asked for the link of an endpoint: of a network for all of its endpoints, of an endpoint for itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Given, OptionError};
use crate::storm::StormError;
use crate::{PortName, Rate, Storm};

/// Names of the options.
pub(super) const NAMES: [&str; 6] = ["port_security", "rate", "burst", "dscp", "mirror", "storm"];
/// The lowest rate, in bits a second.
const MIN_RATE: u64 = 8000;
/// The highest rate, in bits a second.
const MAX_RATE: u64 = 1_000_000_000_000;
/// The smallest burst, in bytes: a full frame of Ethernet.
const MIN_BURST: u64 = 1514;
/// The largest burst, in bytes.
const MAX_BURST: u64 = 1 << 32;
/// The smallest burst where none is said, in bytes: two packets of the largest size that a kernel hands over at once.
const DEFAULT_BURST: u64 = 128 << 10;

/// What may be asked for the link of an endpoint. What is not said is as the network says, and then as by default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkOptions {
    /// `port_security=`: whether only the endpoint's own addresses may be used; by default yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_security: Option<bool>,
    /// `rate=` and `burst=`: how much may be sent, and as much received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// `dscp=`: the code point of what is sent, 0 to 63.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dscp: Option<u8>,
    /// `mirror=`: the port that copies are sent to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<PortName>,
    /// `storm=`: how many frames a second may be sent of what the bridge floods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storm: Option<Storm>,
}

impl LinkOptions {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// These, and where they say nothing, those of `network`.
    #[must_use]
    pub fn over(&self, network: &Self) -> Self {
        Self {
            port_security: self.port_security.or(network.port_security),
            rate: self.rate.or(network.rate),
            dscp: self.dscp.or(network.dscp),
            mirror: self.mirror.clone().or_else(|| network.mirror.clone()),
            storm: self.storm.or(network.storm),
        }
    }

    /// From options by name; others are passed over.
    ///
    /// # Errors
    /// A value that is none of its option's, or a burst without a rate.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let given = Given(options);
        let rate = given.one(
            &["rate"],
            rate,
            "a rate from 8kbit to 1tbit, as 100mbit or 1gbit (as tc writes them)",
        )?;
        let burst = given.one(
            &["burst"],
            burst,
            "a size from 1514 bytes to 4gb, as 64kb or 1mb (as tc writes them)",
        )?;
        if let (None, Some(_)) = (rate, burst) {
            let value = options.get("burst").cloned().unwrap_or_default();
            let right = "given together with rate, as rate=100mbit".into();
            return Err(OptionError::Value { name: "burst".into(), value, right });
        }
        Ok(Self {
            port_security: given.flag(&["port_security"])?,
            rate: rate.map(|bits| Rate { bits, burst: burst.unwrap_or_else(|| default_burst(bits)) }),
            dscp: given.one(&["dscp"], dscp, "a number from 0 to 63, or cs0 to cs7, af11 to af43 or ef")?,
            mirror: given.one(
                &["mirror"],
                |text| text.parse().ok(),
                "the name of a port of the configuration",
            )?,
            storm: given.one(&["storm"], |text| text.parse().ok(), &StormError.to_string())?,
        })
    }
}

/// The burst of a rate for which none is said, in bytes: what comes in 50 ms, but some full packets.
pub fn default_burst(bits: u64) -> u64 {
    (bits / 8 / 20).max(DEFAULT_BURST)
}

/// Bits a second, as tc(8) writes them: `bit` and `bps` with `k`, `m`, `g`, `t`, of 1000 or (`ki`, …) 1024.
pub fn rate(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (number, unit) = split(&lower)?;
    let (prefix, bits) = match unit {
        "" => ("", 1),
        unit => unit
            .strip_suffix("bit")
            .map(|prefix| (prefix, 1))
            .or_else(|| Some((unit.strip_suffix("bps")?, 8)))?,
    };
    let scale = match prefix {
        "" => 1,
        "k" => 1000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "t" => 1_000_000_000_000,
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        "ti" => 1 << 40,
        _ => return None,
    };
    scaled(number, scale * bits).filter(|rate| (MIN_RATE..=MAX_RATE).contains(rate))
}

/// Bytes, as tc(8) writes them: `b`, and `k` or `kb`, `m`, `g`, of 1024; `kbit`, `mbit` and `gbit` are an eighth of those.
pub fn burst(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (number, unit) = split(&lower)?;
    let scale = match unit {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        "kbit" => (1 << 10) / 8,
        "mbit" => (1 << 20) / 8,
        "gbit" => (1 << 30) / 8,
        _ => return None,
    };
    scaled(number, scale).filter(|burst| (MIN_BURST..=MAX_BURST).contains(burst))
}

/// A code point: a number, or a name (RFC 2474, RFC 2597, RFC 3246).
pub fn dscp(text: &str) -> Option<u8> {
    let digits = |text: &str| {
        text.bytes().map(|byte| byte.is_ascii_digit().then_some(byte - b'0')).collect::<Option<Vec<_>>>()
    };
    if let Some(class) = text.strip_prefix("cs") {
        return match digits(class)?[..] {
            [class @ 0..=7] => Some(class * 8),
            _ => None,
        };
    }
    if let Some(class) = text.strip_prefix("af") {
        return match digits(class)?[..] {
            [class @ 1..=4, drop @ 1..=3] => Some(class * 8 + drop * 2),
            _ => None,
        };
    }
    if text == "ef" { Some(46) } else { text.parse().ok().filter(|code| *code < 64) }
}

/// A number and its unit.
fn split(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A decimal number times `scale`.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.len() > 9 || part.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: u128 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let below = 10u128.pow(u32::try_from(part.len()).ok()?);
    let scale = u128::from(scale);
    u64::try_from(whole.checked_mul(scale)?.checked_add(fraction * scale / below)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_sizes_are_those_of_tc() {
        for (text, bits) in [
            ("100mbit", 100_000_000),
            ("1Gbit", 1_000_000_000),
            ("1.5mbit", 1_500_000),
            ("64kibit", 65_536),
            ("1mbps", 8_000_000),
            ("8000", 8000),
            ("1tbit", 1_000_000_000_000),
        ] {
            assert_eq!(rate(text), Some(bits), "{text}");
        }
        for bad in
            ["", "mbit", "7999", "2tbit", "1.2.3mbit", "10 mbit", "10mb", "-1", "99999999999999999999gbit"]
        {
            assert_eq!(rate(bad), None, "{bad}");
        }
        for (text, bytes) in
            [("1514", 1514), ("64k", 65_536), ("64kb", 65_536), ("1mb", 1 << 20), ("16kbit", 2048)]
        {
            assert_eq!(burst(text), Some(bytes), "{text}");
        }
        for bad in ["", "1513", "5gb", "1kbyte"] {
            assert_eq!(burst(bad), None, "{bad}");
        }
    }

    #[test]
    fn code_points_have_names() {
        for (text, code) in [("0", 0), ("63", 63), ("ef", 46), ("cs6", 48), ("af11", 10), ("af43", 38)] {
            assert_eq!(dscp(text), Some(code), "{text}");
        }
        for bad in ["64", "-1", "cs8", "af14", "af51", "af1", "EF ", ""] {
            assert_eq!(dscp(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        let parse = |pairs: &[(&str, &str)]| {
            let options = pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
            LinkOptions::parse(&options).map_err(|error| error.to_string())
        };
        let link = parse(&[
            ("rate", "10mbit"),
            ("dscp", "ef"),
            ("port_security", "false"),
            ("mirror", "span"),
            ("storm", "broadcast=9"),
        ])
        .unwrap();
        assert_eq!(link.storm, Some(Storm { broadcast: Some(9), ..Storm::default() }));
        assert_eq!(link.rate, Some(Rate { bits: 10_000_000, burst: 131_072 }));
        assert_eq!((link.dscp, link.port_security), (Some(46), Some(false)));
        assert_eq!(
            parse(&[("burst", "64kb")]).unwrap_err(),
            "option burst=\"64kb\": must be given together with rate, as rate=100mbit"
        );
        assert_eq!(
            parse(&[("rate", "fast")]).unwrap_err(),
            "option rate=\"fast\": must be a rate from 8kbit to 1tbit, as 100mbit or 1gbit (as tc writes them)"
        );
        assert_eq!(
            parse(&[("storm", "broadcast=0")]).unwrap_err(),
            "option storm=\"broadcast=0\": must be frames a second from 1 to 100000000, \
             as in broadcast=500,multicast=1000,unknown_unicast=1000"
        );
        let network = LinkOptions { dscp: Some(1), port_security: Some(true), ..LinkOptions::default() };
        let both = link.over(&network);
        assert_eq!((both.dscp, both.port_security), (Some(46), Some(false)));
        assert_eq!(LinkOptions::default().over(&network), network);
    }
}
