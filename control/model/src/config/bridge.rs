//! `[[bridge]]`

use serde::{Deserialize, Serialize};

use super::limits;
use crate::{BridgeName, MacAddr, PortName, VlanId, VlanMode};

/// One learning bridge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bridge {
    /// Our name of it.
    pub name: BridgeName,
    /// Most addresses it learns, 1 to 1048576. Frames from further ones are forwarded but not learned.
    #[serde(default = "mac_limit", deserialize_with = "limits::between::<_, _, 1, 1_048_576>")]
    pub mac_limit: u32,
    /// Seconds after which an address that was not seen is forgotten, up to 86400; 0: never.
    #[serde(default = "mac_age_s", deserialize_with = "limits::between::<_, _, 0, 86400>")]
    pub mac_age_s: u32,
    /// Whether it learns.
    #[serde(default = "yes")]
    pub learn: bool,
    /// What happens to frames for an address it does not know.
    #[serde(default)]
    pub unknown_unicast: UnknownUnicast,
    /// Whether it listens who is in which multicast group.
    #[serde(default)]
    pub snooping: Snooping,
    /// Addresses that are not learned.
    #[serde(default)]
    pub static_macs: Vec<StaticMac>,
    /// Its ports.
    #[serde(default, rename = "member")]
    pub members: Vec<Member>,
}

impl Bridge {
    /// A bridge of all defaults.
    pub fn new(name: BridgeName) -> Self {
        Self {
            name,
            mac_limit: mac_limit(),
            mac_age_s: mac_age_s(),
            learn: true,
            unknown_unicast: UnknownUnicast::default(),
            snooping: Snooping::default(),
            static_macs: Vec::new(),
            members: Vec::new(),
        }
    }
}

fn mac_limit() -> u32 {
    16384
}

/// The ageing time that IEEE 802.1Q recommends.
fn mac_age_s() -> u32 {
    300
}

fn yes() -> bool {
    true
}

/// What happens to frames for an address that a bridge does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownUnicast {
    /// They go to all members.
    #[default]
    Flood,
    /// They are dropped and counted.
    Drop,
}

/// Whether a bridge listens who is in which multicast group (IGMP and MLD snooping, RFC 4541), to send groups there alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Snooping {
    /// Groups are flooded.
    #[default]
    Off,
    /// It listens. Groups are flooded all the same as long as no router asks who is in them.
    On,
    /// It listens, and asks itself where no router does.
    Querier,
}

impl std::str::FromStr for Snooping {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "off" => Ok(Self::Off),
            "on" => Ok(Self::On),
            "querier" => Ok(Self::Querier),
            _ => Err(()),
        }
    }
}

/// An address that is not learned, never ages and never moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticMac {
    /// The address.
    pub mac: MacAddr,
    /// The member it is behind.
    pub port: PortName,
    /// Its VLAN, in a bridge whose members have VLANs.
    pub vlan: Option<VlanId>,
}

/// A port in a bridge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Which.
    pub port: PortName,
    /// What it does with VLAN tags. None: they pass untouched and mean nothing.
    pub vlan: Option<VlanMode>,
    /// Members of one group do not reach each other, 1 to 255; 0: of no group.
    #[serde(default, deserialize_with = "limits::between::<_, _, 0, 255>")]
    pub split_horizon_group: u8,
    /// Isolated members reach only those that are not isolated.
    #[serde(default)]
    pub isolated: bool,
}
