//! `[[port.stream]]`: what a generator sends.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::de::{self, value::SeqAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use super::limits;
use crate::{Interval, MacAddr, VlanId};

/// A port whose packets are made here. What is sent to it is dropped.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Generator {
    /// What it sends: a packet of each stream in turn.
    #[serde(rename = "stream")]
    pub streams: Vec<Stream>,
}

/// One stream of UDP packets. Each packet takes the next value of every interval and of `sizes`, and starts over at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stream {
    /// Bytes of a frame without its checksum (FCS), 60 to what the MTU allows; one number or a list.
    #[serde(deserialize_with = "sizes")]
    pub sizes: Vec<u16>,
    /// Source addresses.
    pub src_mac: Interval<MacAddr>,
    /// Destination addresses.
    pub dst_mac: Interval<MacAddr>,
    /// IP sources, v4 or v6.
    pub src_ip: Interval<IpAddr>,
    /// IP destinations, of the same family.
    pub dst_ip: Interval<IpAddr>,
    /// UDP source ports.
    pub src_port: Interval<u16>,
    /// UDP destination ports.
    pub dst_port: Interval<u16>,
    /// The VLAN of an 802.1Q tag; none: untagged.
    pub vlan: Option<VlanId>,
    /// Packets per second, 1 to a billion; none: as many as it goes.
    #[serde(deserialize_with = "limits::maybe_between::<_, _, 1, 1_000_000_000>")]
    pub rate_pps: Option<u64>,
    /// Packets in all, from 1; none: endless.
    #[serde(deserialize_with = "limits::maybe_between::<_, _, 1, 9_223_372_036_854_775_807>")]
    pub count: Option<u64>,
}

impl Stream {
    /// The smallest frame, in bytes without FCS (IEEE 802.3: 64 with it).
    pub const MIN_SIZE: u16 = 60;
}

/// Small frames between the two ends of RFC 2544's benchmark network.
impl Default for Stream {
    fn default() -> Self {
        Self {
            sizes: vec![64],
            src_mac: Interval::one(MacAddr::new([2, 0, 0, 0, 0, 1])),
            dst_mac: Interval::one(MacAddr::new([2, 0, 0, 0, 0, 2])),
            src_ip: Interval::one(Ipv4Addr::new(198, 18, 0, 1).into()),
            dst_ip: Interval::one(Ipv4Addr::new(198, 19, 0, 1).into()),
            src_port: Interval::one(1024),
            dst_port: Interval::one(1024),
            vlan: None,
            rate_pps: None,
            count: None,
        }
    }
}

/// One size, or a list of them.
fn sizes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u16>, D::Error> {
    struct Sizes;

    impl<'de> de::Visitor<'de> for Sizes {
        type Value = Vec<u16>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a frame size like 64 or a list like [64, 594, 1514]")
        }

        fn visit_i64<E: de::Error>(self, size: i64) -> Result<Vec<u16>, E> {
            let size =
                u16::try_from(size).map_err(|_| E::invalid_value(de::Unexpected::Signed(size), &self))?;
            Ok(vec![size])
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, sizes: A) -> Result<Vec<u16>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(sizes))
        }
    }

    deserializer.deserialize_any(Sizes)
}
