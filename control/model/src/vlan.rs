//! VLANs of IEEE 802.1Q.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Interval;

/// A VLAN's number, 1 to 4094 (IEEE 802.1Q keeps 0 for priority tags and 4095 for itself).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u16")]
pub struct VlanId(u16);

/// A number that is no VLAN's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("VLAN {0}: must be 1 to 4094")]
pub struct VlanIdError(String);

impl VlanId {
    /// The lowest there is.
    pub const MIN: Self = Self(1);
    /// The highest there is.
    pub const MAX: Self = Self(4094);

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<i64> for VlanId {
    type Error = VlanIdError;

    fn try_from(number: i64) -> Result<Self, VlanIdError> {
        u16::try_from(number)
            .map(Self)
            .ok()
            .filter(|id| (Self::MIN..=Self::MAX).contains(id))
            .ok_or_else(|| VlanIdError(number.to_string()))
    }
}

impl From<VlanId> for u16 {
    fn from(id: VlanId) -> Self {
        id.0
    }
}

impl FromStr for VlanId {
    type Err = VlanIdError;

    fn from_str(text: &str) -> Result<Self, VlanIdError> {
        text.parse::<i64>().map_err(|_| VlanIdError(text.into()))?.try_into()
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A set of VLANs: in a file a list of numbers and ranges, `[10, "20-30"]`; kept sorted, joined and without overlap, so
/// that equal sets are equal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Interval<VlanId>>")]
pub struct VlanSet(Vec<Interval<VlanId>>);

impl VlanSet {
    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it holds this one.
    pub fn contains(&self, id: VlanId) -> bool {
        self.0.iter().any(|range| range.contains(id))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = VlanId> + '_ {
        self.0.iter().flat_map(|range| range.first().0..=range.last().0).map(VlanId)
    }
}

impl From<Vec<Interval<VlanId>>> for VlanSet {
    fn from(ranges: Vec<Interval<VlanId>>) -> Self {
        ranges.into_iter().flat_map(|range| range.first().0..=range.last().0).map(VlanId).collect()
    }
}

impl FromIterator<VlanId> for VlanSet {
    fn from_iter<I: IntoIterator<Item = VlanId>>(ids: I) -> Self {
        let mut ranges: Vec<(VlanId, VlanId)> = Vec::new();
        for id in ids.into_iter().collect::<BTreeSet<_>>() {
            match ranges.last_mut() {
                Some((_, last)) if last.0 + 1 == id.0 => *last = id,
                _ => ranges.push((id, id)),
            }
        }
        Self(ranges.into_iter().filter_map(|(first, last)| Interval::new(first, last).ok()).collect())
    }
}

/// The type of a VLAN tag on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Tpid {
    /// 0x8100, the customer tag of IEEE 802.1Q.
    #[default]
    #[serde(rename = "802.1q")]
    Dot1q,
    /// 0x88a8, the service tag of IEEE 802.1ad.
    #[serde(rename = "802.1ad")]
    Dot1ad,
}

impl Tpid {
    /// The `EtherType` that announces the tag.
    pub const fn ether_type(self) -> u16 {
        match self {
            Self::Dot1q => 0x8100,
            Self::Dot1ad => 0x88a8,
        }
    }
}

/// How a bridge member treats VLAN tags. In a file one of
/// `{ access = 10 }`, `{ trunk = [10, "20-30"], native = 1, tpid = "802.1q" }` and `{ tunnel = 10 }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "VlanTable", into = "VlanTable")]
pub enum VlanMode {
    /// Untagged frames only; they belong to this VLAN.
    Access(VlanId),
    /// Tagged frames of these VLANs, and untagged ones if there is a native VLAN.
    Trunk {
        /// The VLANs that may pass, `native` included.
        vlans: VlanSet,
        /// The VLAN of untagged frames; such frames leave untagged. None: they are dropped.
        native: Option<VlanId>,
        /// The tag that is expected on receive and pushed on transmit.
        tpid: Tpid,
    },
    /// A Q-in-Q access port (dot1q-tunnel): every frame, tagged or not, belongs to this VLAN and keeps its own tags
    /// below the 802.1ad tag that a trunk adds.
    Tunnel(VlanId),
}

impl VlanMode {
    /// Whether frames of this VLAN may pass.
    pub fn carries(&self, id: VlanId) -> bool {
        match self {
            Self::Access(own) | Self::Tunnel(own) => *own == id,
            Self::Trunk { vlans, .. } => vlans.contains(id),
        }
    }
}

/// A table of VLAN settings that is none of the three modes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VlanModeError {
    /// None or several of `access`, `trunk` and `tunnel`.
    #[error("vlan: must have exactly one of access = 10, trunk = [10, \"20-30\"] and tunnel = 10")]
    OneOf,
    /// `native` or `tpid` without `trunk`.
    #[error("vlan.{0}: is for trunk only")]
    TrunkOnly(&'static str),
    /// A trunk that no frame could pass.
    #[error("vlan.trunk: must name at least one VLAN, like [10, \"20-30\"], unless there is a native one")]
    EmptyTrunk,
}

/// [`VlanMode`] as it is written.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct VlanTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<VlanId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trunk: Option<VlanSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    native: Option<VlanId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tpid: Option<Tpid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel: Option<VlanId>,
}

impl TryFrom<VlanTable> for VlanMode {
    type Error = VlanModeError;

    fn try_from(table: VlanTable) -> Result<Self, VlanModeError> {
        let VlanTable { access, trunk, native, tpid, tunnel } = table;
        let mode = match (access, trunk, tunnel) {
            (Some(id), None, None) => Self::Access(id),
            (None, None, Some(id)) => Self::Tunnel(id),
            (None, Some(vlans), None) => {
                let vlans: VlanSet = vlans.iter().chain(native).collect();
                if vlans.is_empty() {
                    return Err(VlanModeError::EmptyTrunk);
                }
                return Ok(Self::Trunk { vlans, native, tpid: tpid.unwrap_or_default() });
            }
            _ => return Err(VlanModeError::OneOf),
        };
        match (native, tpid) {
            (None, None) => Ok(mode),
            (Some(_), _) => Err(VlanModeError::TrunkOnly("native")),
            (None, Some(_)) => Err(VlanModeError::TrunkOnly("tpid")),
        }
    }
}

impl From<VlanMode> for VlanTable {
    fn from(mode: VlanMode) -> Self {
        match mode {
            VlanMode::Access(id) => Self { access: Some(id), ..Self::default() },
            VlanMode::Tunnel(id) => Self { tunnel: Some(id), ..Self::default() },
            VlanMode::Trunk { vlans, native, tpid } => {
                Self { trunk: Some(vlans), native, tpid: Some(tpid), ..Self::default() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: u16) -> VlanId {
        i64::from(number).try_into().unwrap()
    }

    fn mode(json: &str) -> Result<VlanMode, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn reserved_numbers_are_refused() {
        for bad in [-1, 0, 4095, 65537, i64::MAX] {
            assert!(VlanId::try_from(bad).is_err(), "{bad}");
        }
        assert_eq!(VlanId::try_from(4094).unwrap(), VlanId::MAX);
    }

    #[test]
    fn the_three_modes() {
        assert_eq!(mode(r#"{"access": 10}"#).unwrap(), VlanMode::Access(id(10)));
        assert_eq!(mode(r#"{"tunnel": 10}"#).unwrap(), VlanMode::Tunnel(id(10)));
        let trunk = mode(r#"{"trunk": [20, "10-12", 13], "native": 1}"#).unwrap();
        let vlans: VlanSet = [1, 10, 11, 12, 13, 20].map(id).into_iter().collect();
        assert_eq!(trunk, VlanMode::Trunk { vlans, native: Some(id(1)), tpid: Tpid::Dot1q });
        let json = serde_json::to_string(&trunk).unwrap();
        assert_eq!(json, r#"{"trunk":["1","10-13","20"],"native":1,"tpid":"802.1q"}"#);
        assert_eq!(mode(&json).unwrap(), trunk);
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for bad in [
            "{}",
            r#"{"access": 1, "tunnel": 2}"#,
            r#"{"access": 1, "native": 2}"#,
            r#"{"tunnel": 1, "tpid": "802.1ad"}"#,
            r#"{"trunk": []}"#,
            r#"{"trunk": [4095]}"#,
            r#"{"trunk": ["30-20"]}"#,
        ] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_set_holds_what_was_put_in(numbers in proptest::collection::btree_set(1u16..4095, 0..50)) {
            let set: VlanSet = numbers.iter().copied().map(id).collect();
            prop_assert_eq!(set.iter().map(VlanId::get).collect::<Vec<_>>(), numbers.into_iter().collect::<Vec<_>>());
        }
    }
}
