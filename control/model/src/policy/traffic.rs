//! Which packets between two ends: protocol, ports, types of ICMP.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};

use crate::Interval;

/// A protocol over IP by its number (IANA "Protocol Numbers"); known ones have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpProtocol(pub u8);

/// A text that is no protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("protocol {0:?}: must be {names} or a number from 0 to 255", names = IpProtocol::names())]
pub struct ProtocolError(String);

impl IpProtocol {
    /// ICMP of IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMP of IPv6.
    pub const ICMP6: Self = Self(58);
    /// SCTP.
    pub const SCTP: Self = Self(132);

    const NAMES: [(&str, Self); 8] = [
        ("tcp", Self::TCP),
        ("udp", Self::UDP),
        ("sctp", Self::SCTP),
        ("icmp", Self::ICMP),
        ("icmp6", Self::ICMP6),
        ("gre", Self(47)),
        ("esp", Self(50)),
        ("ah", Self(51)),
    ];

    /// Whether it has ports.
    pub fn has_ports(self) -> bool {
        [Self::TCP, Self::UDP, Self::SCTP].contains(&self)
    }

    /// Whether it has types and codes.
    pub fn is_icmp(self) -> bool {
        [Self::ICMP, Self::ICMP6].contains(&self)
    }

    fn names() -> String {
        Self::NAMES.map(|(name, _)| name).join(", ")
    }
}

impl FromStr for IpProtocol {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        let named = Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, protocol)| *protocol);
        named
            .or_else(|| text.parse().ok().map(Self))
            .ok_or_else(|| ProtocolError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for IpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(_, protocol)| protocol == self) {
            Some((name, _)) => f.pad(name),
            None => self.0.fmt(f),
        }
    }
}

/// A type of ICMP, and perhaps one code of it: `8`, `"3/4"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IcmpKind {
    /// The type.
    pub kind: u8,
    /// The code; none: all.
    pub code: Option<u8>,
}

/// A text that is no type of ICMP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: must be a type of ICMP from 0 to 255, or a type and a code, like 8 or \"3/4\"")]
pub struct IcmpError(String);

impl FromStr for IcmpKind {
    type Err = IcmpError;

    fn from_str(text: &str) -> Result<Self, IcmpError> {
        let wrong = |_| IcmpError(text.chars().take(40).collect());
        let (kind, code) = text.split_once('/').map_or((text, None), |(kind, code)| (kind, Some(code)));
        let code = code.map(str::parse).transpose().map_err(wrong)?;
        Ok(Self { kind: kind.parse().map_err(wrong)?, code })
    }
}

impl fmt::Display for IcmpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        self.code.map_or(Ok(()), |code| write!(f, "/{code}"))
    }
}

/// Serde as text, read from a bare number too.
macro_rules! text_or_number {
    ($($type:ident $what:literal)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }
                }

                deserializer.deserialize_any(Visitor)
            }
        }
    )*};
}

text_or_number! {
    IpProtocol "a protocol, like \"tcp\" or 6"
    IcmpKind "a type of ICMP, like 8 or \"3/4\""
}

/// What a rule says of packets beside where they come from and go to. Empty lists are no condition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Traffic {
    /// The protocol; none: all.
    pub protocol: Option<IpProtocol>,
    /// Ports that packets go to.
    pub ports: Vec<Interval<u16>>,
    /// Ports that packets come from.
    pub from_ports: Vec<Interval<u16>>,
    /// Types of ICMP.
    pub icmp: Vec<IcmpKind>,
}

/// One packet, as far as [`Traffic`] is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The protocol.
    pub protocol: IpProtocol,
    /// The port it comes from, or 0.
    pub from_port: u16,
    /// The port it goes to, or 0.
    pub port: u16,
    /// Type and code of ICMP.
    pub icmp: Option<(u8, u8)>,
}

/// A text that is no [`Probe`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: must be a port and perhaps a protocol, like 5432, 53/udp, 8/icmp (a type) or gre")]
pub struct ProbeError(String);

/// `5432`, `53/udp`, `8/icmp`, `gre`. A port that it comes from is one that a kernel would choose.
impl FromStr for Probe {
    type Err = ProbeError;

    fn from_str(text: &str) -> Result<Self, ProbeError> {
        let wrong = || ProbeError(text.chars().take(40).collect());
        let (number, protocol) = match text.split_once('/') {
            Some((number, protocol)) => (Some(number), protocol),
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => (Some(text), "tcp"),
            None => (None, text),
        };
        let protocol: IpProtocol = protocol.parse().map_err(|_| wrong())?;
        let number: Option<u16> = number.map(str::parse).transpose().map_err(|_| wrong())?;
        let mut probe = Self { protocol, from_port: 0, port: 0, icmp: None };
        match number {
            Some(port) if protocol.has_ports() && port > 0 => (probe.from_port, probe.port) = (49152, port),
            Some(kind) if protocol.is_icmp() => {
                probe.icmp = Some((u8::try_from(kind).map_err(|_| wrong())?, 0));
            }
            // An echo request.
            None if protocol.is_icmp() => {
                probe.icmp = Some((if protocol == IpProtocol::ICMP { 8 } else { 128 }, 0));
            }
            None if !protocol.has_ports() => {}
            _ => return Err(wrong()),
        }
        Ok(probe)
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.icmp {
            Some((kind, _)) => write!(f, "{} type {kind}", self.protocol),
            None if self.protocol.has_ports() => write!(f, "{} port {}", self.protocol, self.port),
            None => self.protocol.fmt(f),
        }
    }
}

impl Traffic {
    /// Whether a packet is meant.
    pub fn holds(&self, probe: Probe) -> bool {
        let within =
            |ports: &[Interval<u16>], port| ports.is_empty() || ports.iter().any(|own| own.contains(port));
        let icmp = |own: &IcmpKind| {
            probe.icmp.is_some_and(|(kind, code)| own.kind == kind && own.code.is_none_or(|own| own == code))
        };
        self.protocol.is_none_or(|own| own == probe.protocol)
            && within(&self.ports, probe.port)
            && within(&self.from_ports, probe.from_port)
            && (self.icmp.is_empty() || self.icmp.iter().any(icmp))
    }

    /// What makes no sense: the field, and what would be right.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let has_ports = self.protocol.is_some_and(IpProtocol::has_ports);
        let is_icmp = self.protocol.is_some_and(IpProtocol::is_icmp);
        let given = self.protocol.map_or_else(|| "no protocol".into(), |own| format!("protocol \"{own}\""));
        for (field, ports) in [("ports", &self.ports), ("from_ports", &self.from_ports)] {
            if !ports.is_empty() && !has_ports {
                let right = "must be protocol = \"tcp\", \"udp\" or \"sctp\"";
                return Some((
                    field,
                    format!("{field}: go with a protocol that has them, and there is {given}: {right}"),
                ));
            }
        }
        let icmp = !self.icmp.is_empty() && !is_icmp;
        icmp.then(|| ("icmp", format!("icmp: there is {given}: must be protocol = \"icmp\" or \"icmp6\"")))
    }

    /// What both mean; none: there is no such packet.
    pub fn meet(&self, other: &Self) -> Option<Self> {
        /// What is in both lists, of which an empty one is no condition.
        fn lists<T: Copy>(a: &[T], b: &[T], meet: impl Fn(T, T) -> Option<T>) -> Option<Vec<T>> {
            if a.is_empty() || b.is_empty() {
                return Some([a, b].concat());
            }
            let both: Vec<T> = a.iter().flat_map(|a| b.iter().filter_map(|b| meet(*a, *b))).collect();
            (!both.is_empty()).then_some(both)
        }
        let ports = |a: Interval<u16>, b: Interval<u16>| {
            Interval::new(a.first().max(b.first()), a.last().min(b.last())).ok()
        };
        let icmp = |a: IcmpKind, b: IcmpKind| {
            let codes = a.code.is_none() || b.code.is_none() || a.code == b.code;
            (a.kind == b.kind && codes).then_some(IcmpKind { kind: a.kind, code: a.code.or(b.code) })
        };
        if self.protocol.zip(other.protocol).is_some_and(|(a, b)| a != b) {
            return None;
        }
        Some(Self {
            protocol: self.protocol.or(other.protocol),
            ports: lists(&self.ports, &other.ports, ports)?,
            from_ports: lists(&self.from_ports, &other.from_ports, ports)?,
            icmp: lists(&self.icmp, &other.icmp, icmp)?,
        })
    }

    /// Whether every packet that `other` means is meant by this, as far as single conditions tell.
    pub fn covers(&self, other: &Self) -> bool {
        let ports = |own: &[Interval<u16>], others: &[Interval<u16>]| {
            let within = |one: &Interval<u16>| {
                own.iter().any(|own| own.contains(one.first()) && own.contains(one.last()))
            };
            own.is_empty() || !others.is_empty() && others.iter().all(within)
        };
        let icmp = |one: &IcmpKind| {
            self.icmp.iter().any(|own| own.kind == one.kind && (own.code.is_none() || own.code == one.code))
        };
        (self.protocol.is_none() || self.protocol == other.protocol)
            && ports(&self.ports, &other.ports)
            && ports(&self.from_ports, &other.from_ports)
            && (self.icmp.is_empty() || !other.icmp.is_empty() && other.icmp.iter().all(icmp))
    }
}

/// As in `tcp 80,443`; nothing if there is no condition.
impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &mut dyn Iterator<Item = String>| values.collect::<Vec<_>>().join(",");
        let mut words: Vec<String> = self.protocol.iter().map(ToString::to_string).collect();
        if !self.from_ports.is_empty() {
            words.push(format!("from port {}", list(&mut self.from_ports.iter().map(ToString::to_string))));
        }
        if !self.ports.is_empty() {
            words.push(format!("port {}", list(&mut self.ports.iter().map(ToString::to_string))));
        }
        if !self.icmp.is_empty() {
            words.push(format!("type {}", list(&mut self.icmp.iter().map(ToString::to_string))));
        }
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_protocols() {
        for (text, number, shown) in
            [("tcp", 6, "tcp"), ("6", 6, "tcp"), ("icmp6", 58, "icmp6"), ("89", 89, "89")]
        {
            let protocol: IpProtocol = text.parse().unwrap();
            assert_eq!((protocol.0, protocol.to_string()), (number, shown.into()));
        }
        let error = "tpc".parse::<IpProtocol>().unwrap_err().to_string();
        assert_eq!(
            error,
            "protocol \"tpc\": must be tcp, udp, sctp, icmp, icmp6, gre, esp, ah or a number from 0 to 255"
        );
        assert!("256".parse::<IpProtocol>().is_err());
        assert_eq!(serde_json::from_str::<IpProtocol>("17").unwrap(), IpProtocol::UDP);
        assert_eq!(serde_json::to_string(&IpProtocol::UDP).unwrap(), "\"udp\"");
    }

    #[test]
    fn packets_to_ask_about() {
        let shown = |text: &str| text.parse::<Probe>().map(|probe| probe.to_string());
        for (text, expected) in [
            ("5432", "tcp port 5432"),
            ("53/udp", "udp port 53"),
            ("icmp", "icmp type 8"),
            ("icmp6", "icmp6 type 128"),
            ("3/icmp", "icmp type 3"),
            ("gre", "gre"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected));
        }
        for bad in ["", "0", "tcp", "70000", "80/tpc", "256/icmp", "1/gre"] {
            assert!(shown(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn types_of_icmp() {
        assert_eq!(serde_json::from_str::<IcmpKind>("8").unwrap(), IcmpKind { kind: 8, code: None });
        let needed = IcmpKind { kind: 3, code: Some(4) };
        assert_eq!("3/4".parse::<IcmpKind>().unwrap(), needed);
        for bad in ["", "256", "3/", "/4", "3/4/5", "echo"] {
            assert!(bad.parse::<IcmpKind>().is_err(), "{bad}");
        }
    }

    #[test]
    fn conditions_that_do_not_go_together_are_told() {
        let ports = Traffic { ports: vec![Interval::one(80)], ..Traffic::default() };
        assert_eq!(
            ports.problem().unwrap().1,
            "ports: go with a protocol that has them, and there is no protocol: must be protocol = \"tcp\", \"udp\" or \"sctp\""
        );
        assert!(Traffic { protocol: Some(IpProtocol::ICMP), ..ports.clone() }.problem().is_some());
        assert_eq!(Traffic { protocol: Some(IpProtocol::UDP), ..ports }.problem(), None);
        let icmp = Traffic { icmp: vec![IcmpKind { kind: 8, code: None }], ..Traffic::default() };
        assert!(Traffic { protocol: Some(IpProtocol::TCP), ..icmp.clone() }.problem().is_some());
        assert_eq!(Traffic { protocol: Some(IpProtocol::ICMP6), ..icmp }.problem(), None);
    }
}
