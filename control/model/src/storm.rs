//! Storm control: how much may come in by a port of what bridges flood.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::maybe_between;

/// Frames a second, 1 to 100 000 000 of each kind; none: any number. A tenth of them may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storm {
    /// To all stations.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "maybe_between::<_, _, 1, 100_000_000>"
    )]
    pub broadcast: Option<u32>,
    /// To groups of stations.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "maybe_between::<_, _, 1, 100_000_000>"
    )]
    pub multicast: Option<u32>,
    /// To stations that the bridge does not know.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "maybe_between::<_, _, 1, 100_000_000>"
    )]
    pub unknown_unicast: Option<u32>,
}

/// Most frames a second.
const MOST: u32 = 100_000_000;

impl Storm {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn kinds(&self) -> [(&'static str, Option<u32>); 3] {
        [
            ("broadcast", self.broadcast),
            ("multicast", self.multicast),
            ("unknown_unicast", self.unknown_unicast),
        ]
    }
}

/// A text that says nothing of frames a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("frames a second from 1 to {MOST}, as in broadcast=500,multicast=1000,unknown_unicast=1000")]
pub struct StormError;

impl FromStr for Storm {
    type Err = StormError;

    fn from_str(text: &str) -> Result<Self, StormError> {
        let mut storm = Self::default();
        for pair in text.split(',') {
            let (kind, frames) = pair.split_once('=').ok_or(StormError)?;
            let limit = match kind {
                "broadcast" => &mut storm.broadcast,
                "multicast" => &mut storm.multicast,
                "unknown_unicast" => &mut storm.unknown_unicast,
                _ => return Err(StormError),
            };
            let frames =
                frames.parse().ok().filter(|frames| (1..=MOST).contains(frames)).ok_or(StormError)?;
            if limit.replace(frames).is_some() {
                return Err(StormError);
            }
        }
        Ok(storm)
    }
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = self.kinds().into_iter().filter_map(|(kind, frames)| Some((kind, frames?)));
        for (at, (kind, frames)) in limits.enumerate() {
            write!(f, "{}{kind}={frames}", if at > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_each_kind_once_and_within_its_limits() {
        for text in ["broadcast=500", "broadcast=1,multicast=100000000,unknown_unicast=7"] {
            let storm: Storm = text.parse().unwrap();
            assert!(storm.to_string() == text && !storm.is_empty());
        }
        assert_eq!("multicast=7".parse(), Ok(Storm { multicast: Some(7), ..Storm::default() }));
        for bad in [
            "",
            "500",
            "broadcast",
            "broadcast=0",
            "broadcast=100000001",
            "broadcast=1,broadcast=2",
            "all=7",
            "multicast=7,",
        ] {
            assert_eq!(bad.parse::<Storm>(), Err(StormError), "{bad}");
        }
    }
}
