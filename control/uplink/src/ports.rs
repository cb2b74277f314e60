//! Sets of ports, as the kernel writes them: `40000-49999,60001`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A set of ports.
#[derive(Clone, PartialEq, Eq)]
pub struct PortSet(Box<[u64; 1024]>);

/// A text that is no set of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "ports {0:?}: must be ports and ranges from 0 to 65535 with commas between them, like \"8080,40000-49999\""
)]
pub struct PortSetError(String);

impl PortSet {
    /// No ports.
    pub fn new() -> Self {
        Self(Box::new([0; 1024]))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Puts a port in.
    pub fn insert(&mut self, port: u16) {
        self.0[usize::from(port / 64)] |= 1 << (port % 64);
    }

    /// Whether a port is in.
    pub fn contains(&self, port: u16) -> bool {
        self.0[usize::from(port / 64)] >> (port % 64) & 1 == 1
    }

    /// The ports in it, from the lowest.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..=u16::MAX).filter(|port| self.contains(*port))
    }

    /// Those of either.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(&other.0[..]).for_each(|(word, other)| *word |= other);
        self
    }

    /// Those that are not in the other.
    #[must_use]
    pub fn without(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(&other.0[..]).for_each(|(word, other)| *word &= !other);
        self
    }

    /// Those of both.
    #[must_use]
    pub fn within(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(&other.0[..]).for_each(|(word, other)| *word &= other);
        self
    }
}

impl Default for PortSet {
    fn default() -> Self {
        Self::new()
    }
}

impl FromIterator<RangeInclusive<u16>> for PortSet {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u16>>>(ranges: I) -> Self {
        let mut set = Self::new();
        ranges.into_iter().flatten().for_each(|port| set.insert(port));
        set
    }
}

impl FromStr for PortSet {
    type Err = PortSetError;

    fn from_str(text: &str) -> Result<Self, PortSetError> {
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let range = first.trim().parse().ok()?..=last.trim().parse().ok()?;
            (!range.is_empty()).then_some(range)
        };
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::new());
        }
        let all: Option<Self> = text.split(',').map(range).collect();
        all.ok_or_else(|| PortSetError(text.chars().take(100).collect()))
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ports = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = ports.next() {
            let mut last = first;
            while let Some(next) = ports.next_if(|port| Some(*port) == last.checked_add(1)) {
                last = next;
            }
            write!(f, "{comma}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PortSet({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_what_the_kernel_writes() {
        for text in ["", "0", "65535", "8080,9148", "1-2,40000-49999", "0-65535"] {
            assert_eq!(text.parse::<PortSet>().unwrap().to_string(), text);
        }
        assert_eq!("5,3-4 ,9\n".parse::<PortSet>().unwrap().to_string(), "3-5,9");
        for bad in [",", "x", "5-3", "1-", "-1", "65536", "1,,2", "1-2-3"] {
            assert!(bad.parse::<PortSet>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn it_is_a_set(one: BTreeSet<u16>, other: BTreeSet<u16>) {
            let set = |ports: &BTreeSet<u16>| ports.iter().map(|port| *port..=*port).collect::<PortSet>();
            prop_assert_eq!(set(&one).with(&set(&other)), set(&(&one | &other)));
            prop_assert_eq!(set(&one).without(&set(&other)), set(&(&one - &other)));
            prop_assert_eq!(set(&one).within(&set(&other)), set(&(&one & &other)));
            prop_assert_eq!(set(&one).to_string().parse::<PortSet>().unwrap(), set(&one));
            prop_assert_eq!(set(&one).is_empty(), one.is_empty());
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = text.parse::<PortSet>();
        }
    }
}
