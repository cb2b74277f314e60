//! How a container's interface is attached to the switch.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a container's interface is attached to the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attach {
    /// A TAP device with virtio-net headers, whose descriptor the switch holds.
    Tap,
    /// A veth pair with `AF_PACKET` and `PACKET_VNET_HDR` on the host's end.
    Veth,
    /// A veth pair with `AF_XDP` on the host's end.
    Afxdp,
}

impl Attach {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Tap, Self::Veth, Self::Afxdp];

    /// What is used when neither the network nor the configuration says.
    pub const DEFAULT: Self = Self::Tap;

    /// As in options and the configuration file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tap => "tap",
            Self::Veth => "veth",
            Self::Afxdp => "afxdp",
        }
    }
}

impl Default for Attach {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A string that is no kind of attachment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: must be tap, veth or afxdp")]
pub struct AttachError(String);

impl FromStr for Attach {
    type Err = AttachError;

    fn from_str(text: &str) -> Result<Self, AttachError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| AttachError(text.into()))
    }
}

impl fmt::Display for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
