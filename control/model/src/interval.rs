//! Closed intervals, as in `"20-30"`.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{MacAddr, VlanId};

/// From `first` to `last`, both included: `first-last`, or one value alone. `first` is never above `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval<T> {
    first: T,
    last: T,
}

/// What an [`Interval`] can be made of.
pub trait Bound: Copy + Ord + fmt::Display + FromStr<Err: fmt::Display> {
    /// An example, for error messages.
    const EXAMPLE: &str;

    /// Whether there is a way from one to the other by counting.
    fn same_family(&self, _other: &Self) -> bool {
        true
    }
}

impl Bound for u16 {
    const EXAMPLE: &str = "1024 or \"1024-2047\"";
}

impl Bound for MacAddr {
    const EXAMPLE: &str = "\"02:00:00:00:00:01\" or \"02:00:00:00:00:01-02:00:00:00:00:ff\"";
}

impl Bound for VlanId {
    const EXAMPLE: &str = "10 or \"20-30\"";
}

impl Bound for IpAddr {
    const EXAMPLE: &str = "\"10.0.0.1\", \"10.0.0.1-10.0.0.254\" or \"fd00::1-fd00::ff\"";

    fn same_family(&self, other: &Self) -> bool {
        self.is_ipv4() == other.is_ipv4()
    }
}

/// Why a text or pair is no [`Interval`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntervalError {
    /// One end is no value.
    #[error("{text:?}: {why}; must be like {example}")]
    Value {
        /// The whole text.
        text: String,
        /// What is wrong with the end.
        why: String,
        /// What would be right.
        example: &'static str,
    },
    /// The ends are the wrong way round, or have no common order.
    #[error("{first}-{last}: the first must not be above the last, and both of one kind, like {example}")]
    Order {
        /// As given.
        first: String,
        /// As given.
        last: String,
        /// What would be right.
        example: &'static str,
    },
}

impl<T: Bound> Interval<T> {
    /// From `first` to `last`, both included.
    ///
    /// # Errors
    /// [`IntervalError::Order`]
    pub fn new(first: T, last: T) -> Result<Self, IntervalError> {
        if first > last || !first.same_family(&last) {
            let (first, last) = (first.to_string(), last.to_string());
            return Err(IntervalError::Order { first, last, example: T::EXAMPLE });
        }
        Ok(Self { first, last })
    }

    /// This one value.
    pub const fn one(value: T) -> Self {
        Self { first: value, last: value }
    }

    /// The lowest value.
    pub const fn first(&self) -> T {
        self.first
    }

    /// The highest value.
    pub const fn last(&self) -> T {
        self.last
    }

    /// Whether `value` is between both.
    pub fn contains(&self, value: T) -> bool {
        (self.first..=self.last).contains(&value)
    }
}

impl<T: Bound> FromStr for Interval<T> {
    type Err = IntervalError;

    fn from_str(text: &str) -> Result<Self, IntervalError> {
        let end = |end: &str| {
            end.trim().parse::<T>().map_err(|why| IntervalError::Value {
                text: text.chars().take(100).collect(),
                why: why.to_string(),
                example: T::EXAMPLE,
            })
        };
        match text.split_once('-') {
            Some((first, last)) => Self::new(end(first)?, end(last)?),
            None => Ok(Self::one(end(text)?)),
        }
    }
}

impl<T: Bound> fmt::Display for Interval<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl<T: Bound> Serialize for Interval<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::text::serialize(self, serializer)
    }
}

/// From a text, or from a bare number where the bounds are numbers.
impl<'de, T: Bound> Deserialize<'de> for Interval<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);

        impl<T: Bound> de::Visitor<'_> for Visitor<T> {
            type Value = Interval<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXAMPLE)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                number
                    .to_string()
                    .parse()
                    .map(Interval::one)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                number
                    .to_string()
                    .parse()
                    .map(Interval::one)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }
        }

        deserializer.deserialize_any(Visitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_or_two_ends() {
        let ports: Interval<u16> = "1-2".parse().unwrap();
        assert_eq!((ports.first(), ports.last(), ports.to_string().as_str()), (1, 2, "1-2"));
        assert_eq!("7".parse::<Interval<u16>>().unwrap().to_string(), "7");
        assert_eq!(serde_json::from_str::<Interval<u16>>("7").unwrap(), Interval::one(7));
        assert!(ports.contains(2) && !ports.contains(3));
    }

    #[test]
    fn wrong_ends_are_refused() {
        for bad in ["", "-", "1-", "2-1", "1-2-3", "65536"] {
            assert!(bad.parse::<Interval<u16>>().is_err(), "{bad:?}");
        }
        assert!("10.0.0.1-fd00::1".parse::<Interval<IpAddr>>().is_err());
        assert!("fd00::1-fd00::ff".parse::<Interval<IpAddr>>().is_ok());
        assert!(serde_json::from_str::<Interval<u16>>("-1").is_err());
    }
}
