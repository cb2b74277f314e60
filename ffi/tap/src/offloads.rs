//! Which unfinished frames a device may hand over.

use std::fmt;

/// What the kernel may leave to us in frames that we read, and so what it need not do itself: a set of `TUN_F_` bits.
/// What we write may always use all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offloads(u32);

impl Offloads {
    /// Every frame complete and within the MTU.
    pub const NONE: Self = Self(0);
    /// The transport checksum may be missing.
    pub const CSUM: Self = Self(libc::TUN_F_CSUM);
    /// TCP super-packets of up to 64 KiB over both IP versions, CWR included; implies `CSUM`.
    pub const TSO: Self = Self(Self::CSUM.0 | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN);
    /// UDP super-packets as well (Linux 6.2 or later); implies `TSO`.
    pub const ALL: Self = Self(Self::TSO.0 | libc::TUN_F_USO4 | libc::TUN_F_USO6);

    /// Whether everything in `other` is in `self`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The `TUN_F_` bits.
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// This set and the smaller ones to try when it is refused, largest first.
    pub(crate) fn steps_down(self) -> impl Iterator<Item = Self> {
        [Self::ALL, Self::TSO, Self::CSUM, Self::NONE].into_iter().filter(move |&step| self.contains(step))
    }
}

impl fmt::Display for Offloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match *self {
            Self::NONE => "none",
            Self::CSUM => "csum",
            Self::TSO => "csum, tso",
            _ => "csum, tso, uso",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_down_from_what_was_asked() {
        let steps = |from: Offloads| from.steps_down().map(|step| step.to_string()).collect::<Vec<_>>();
        assert_eq!(steps(Offloads::ALL), ["csum, tso, uso", "csum, tso", "csum", "none"]);
        assert_eq!(steps(Offloads::CSUM), ["csum", "none"]);
        assert!(Offloads::ALL.contains(Offloads::TSO) && !Offloads::CSUM.contains(Offloads::TSO));
    }
}
