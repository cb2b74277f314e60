//! `[[acl]]` and `[[group]]`, and how ports and interfaces have them.

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::field;
use crate::options::link;
use crate::policy::peer::{self, PeerError};
use crate::policy::{IcmpKind, IpProtocol, Traffic};
use crate::{AclName, GroupName, Guard, Interval, MacAddr, PortName, RuleName, Storm, VlanId};

/// An access control list: rules of which the first that holds decides. Where none of the lists of an interface holds for an
/// IP packet, it is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acl {
    /// Its name.
    pub name: AclName,
    /// Its rules in their order.
    #[serde(default)]
    pub rules: Vec<AclRule>,
}

/// One rule of a list. What is not given is no condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AclRule {
    /// Its name; none: its number.
    pub name: Option<RuleName>,
    /// What becomes of packets for which it holds.
    pub action: AclAction,
    /// Where they come from.
    #[serde(default, deserialize_with = "field::one_or_more")]
    pub from: Vec<Addresses>,
    /// Where they go to.
    #[serde(default, deserialize_with = "field::one_or_more")]
    pub to: Vec<Addresses>,
    /// The protocol.
    pub protocol: Option<IpProtocol>,
    /// Ports that they go to.
    #[serde(default, deserialize_with = "field::one_or_more")]
    pub ports: Vec<Interval<u16>>,
    /// Ports that they come from.
    #[serde(default, deserialize_with = "field::one_or_more")]
    pub from_ports: Vec<Interval<u16>>,
    /// Types of ICMP.
    #[serde(default, deserialize_with = "field::one_or_more")]
    pub icmp: Vec<IcmpKind>,
    /// TCP flags that are set, and those that are not: `"syn,!ack"`.
    pub tcp_flags: Option<TcpFlags>,
    /// Source MAC address.
    pub mac: Option<MacAddr>,
    /// VLAN, on a bridge that has any.
    pub vlan: Option<VlanId>,
    /// Whether the flow log tells of it.
    #[serde(default)]
    pub log: bool,
    /// The code point that packets get.
    pub dscp: Option<Dscp>,
    /// Bits a second that are permitted of it.
    pub rate: Option<BitRate>,
    /// Bytes of it at once; none: as much as comes in 50 ms, at least 128 KiB.
    pub burst: Option<Bytes>,
    /// The port that copies are sent to.
    pub mirror: Option<PortName>,
    /// The port that permitted packets leave by, whatever bridge and router would do.
    pub redirect: Option<PortName>,
}

/// What a port or interface lets in and out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filters {
    /// Lists for what comes in by it, one after the other.
    pub input_acl: Vec<AclName>,
    /// Lists for what leaves by it.
    pub output_acl: Vec<AclName>,
    /// Whether answers to what is permitted are permitted too.
    pub stateful: bool,
    /// Which addresses whoever is behind it may use (port security).
    pub guard: Option<Guard>,
    /// Bits a second that may come in, and as many that may leave.
    pub rate: Option<BitRate>,
    /// Bytes at once; none: as much as comes in 50 ms, at least 128 KiB.
    pub burst: Option<Bytes>,
    /// How many frames a second may come in of what bridges flood (storm control).
    pub storm: Option<Storm>,
    /// The code point that packets get which come in.
    pub dscp: Option<Dscp>,
    /// The port that a copy of whatever comes in or leaves is sent to.
    pub mirror: Option<PortName>,
}

impl Filters {
    /// The fields, of which a port's are taken apart from those of its kind.
    pub(super) const FIELDS: [&str; 9] =
        ["input_acl", "output_acl", "stateful", "guard", "rate", "burst", "storm", "dscp", "mirror"];
}

/// What becomes of packets for which a rule of a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AclAction {
    /// They pass.
    Permit,
    /// They are dropped.
    Deny,
    /// They are dropped, and their sender is told.
    Reject,
}

/// Addresses: a prefix, or a group by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Addresses {
    /// A prefix.
    Prefix(IpNet),
    /// A `[[group]]`.
    Group(GroupName),
}

impl FromStr for Addresses {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        match text.parse() {
            Ok(peer::Peer::Prefix(net)) => Ok(Self::Prefix(net)),
            Ok(peer::Peer::Group(name)) => Ok(Self::Group(name)),
            Ok(peer::Peer::Selector(_)) | Err(PeerError::Selector(_)) => {
                Err(PeerError::Prefix(text.chars().take(80).collect()))
            }
            Err(error) => Err(error),
        }
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(net) => net.fmt(f),
            Self::Group(name) => name.fmt(f),
        }
    }
}

crate::text::as_text!(Addresses);

/// TCP flags (RFC 9293, section 3.1): which are looked at, and which of these are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TcpFlags {
    /// Which are looked at.
    pub mask: u8,
    /// Which of these are set.
    pub set: u8,
}

/// A text that is no [`TcpFlags`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: must be flags of {names}, with ! before those that are not set, like \"syn,!ack\"", names = TcpFlags::NAMES.join(", "))]
pub struct FlagsError(String);

impl TcpFlags {
    const NAMES: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];
}

impl FromStr for TcpFlags {
    type Err = FlagsError;

    fn from_str(text: &str) -> Result<Self, FlagsError> {
        let wrong = || FlagsError(text.chars().take(80).collect());
        let mut flags = Self { mask: 0, set: 0 };
        for word in text.split(',').map(str::trim) {
            let (name, is_set) = word.strip_prefix('!').map_or((word, true), |name| (name, false));
            let bit =
                Self::NAMES.iter().position(|own| *own == name).map(|bit| 1 << bit).ok_or_else(wrong)?;
            if flags.mask & bit != 0 {
                return Err(wrong());
            }
            flags.mask |= bit;
            flags.set |= if is_set { bit } else { 0 };
        }
        Ok(flags)
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = (0..8).filter(|bit| self.mask & 1 << bit != 0);
        let word =
            |bit: usize| format!("{}{}", if self.set & 1 << bit == 0 { "!" } else { "" }, Self::NAMES[bit]);
        f.write_str(&seen.map(word).collect::<Vec<_>>().join(","))
    }
}

crate::text::as_text!(TcpFlags);

/// A number that is written with a unit or a name.
macro_rules! unit {
    ($($(#[$doc:meta])* $type:ident($number:ty) $read:path, $like:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $type(pub $number);

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($like)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        let wrong = || E::invalid_value(serde::de::Unexpected::Str(text), &self);
                        $read(text).map($type).ok_or_else(wrong)
                    }

                    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<$type, E> {
                        let wrong = || E::invalid_value(serde::de::Unexpected::Signed(number), &self);
                        $read(&number.to_string()).map($type).ok_or_else(wrong)
                    }
                }

                deserializer.deserialize_any(Visitor)
            }
        }
    )*};
}

unit! {
    /// Bits a second: `"100mbit"`.
    BitRate(u64) link::rate, "a rate from 8kbit to 1tbit, like \"100mbit\"";
    /// Bytes: `"64kb"`.
    Bytes(u64) link::burst, "a size from 1514 bytes to 4gb, like \"64kb\"";
    /// A differentiated services code point: `46`, `"ef"`.
    Dscp(u8) link::dscp, "a code point from 0 to 63, or \"cs0\" to \"cs7\", \"af11\" to \"af43\" or \"ef\"";
}

impl AclRule {
    /// Protocol, ports and types of ICMP.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            protocol: self.protocol,
            ports: self.ports.clone(),
            from_ports: self.from_ports.clone(),
            icmp: self.icmp.clone(),
        }
    }

    /// Whether this is about all packets that `other` is about, as far as single conditions tell.
    pub fn covers(&self, other: &Self) -> bool {
        let within = |own: &[Addresses], others: &[Addresses]| {
            let is_in = |one: &Addresses| {
                own.iter().any(|own| match (own, one) {
                    (Addresses::Prefix(own), Addresses::Prefix(one)) => own.contains(one),
                    (own, one) => own == one,
                })
            };
            own.is_empty() || !others.is_empty() && others.iter().all(is_in)
        };
        within(&self.from, &other.from)
            && within(&self.to, &other.to)
            && self.traffic().covers(&other.traffic())
            && (self.tcp_flags.is_none() || self.tcp_flags == other.tcp_flags)
            && (self.mac.is_none() || self.mac == other.mac)
            && (self.vlan.is_none() || self.vlan == other.vlan)
    }
}

impl Acl {
    /// What a rule is called in counters and the flow log: `web/1`, or its own name in place of the number.
    pub fn rule_name(&self, index: usize) -> String {
        let own = self.rules.get(index).and_then(|rule| rule.name.as_ref()).map(ToString::to_string);
        format!("{}/{}", self.name, own.unwrap_or_else(|| (index + 1).to_string()))
    }

    /// Rules that are never reached, as an earlier one holds for all their packets: both by index.
    pub fn shadowed(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.rules.iter().enumerate().filter_map(|(index, rule)| {
            let first = self.rules[..index].iter().position(|earlier| earlier.covers(rule))?;
            Some((first, index))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_text_and_back() {
        let flags: TcpFlags = "syn,!ack".parse().unwrap();
        assert_eq!((flags.mask, flags.set, flags.to_string().as_str()), (0x12, 0x02, "syn,!ack"));
        for bad in ["", "syn,syn", "!", "sin", "syn,!syn"] {
            assert!(bad.parse::<TcpFlags>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_no_selectors() {
        assert_eq!("10.0.0.0/8".parse::<Addresses>().unwrap().to_string(), "10.0.0.0/8");
        assert!(matches!("office".parse(), Ok(Addresses::Group(_))));
        assert!("role == \"db\"".parse::<Addresses>().is_err());
    }
}
