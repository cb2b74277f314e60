//! Numbers with limits, checked while they are read.

use std::fmt;
use std::marker::PhantomData;

use serde::Serializer;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

use crate::options::link;

/// A whole number from `MIN` to `MAX`: for `#[serde(deserialize_with)]`. Both must fit `T`.
pub(super) fn between<'de, D, T, const MIN: u64, const MAX: u64>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let number = deserializer.deserialize_any(Number { min: MIN, max: MAX })?;
    T::try_from(number)
        .map_err(|_| D::Error::invalid_value(Unexpected::Unsigned(number), &"a smaller number"))
}

/// The same for a number that may be absent.
pub(crate) fn maybe_between<'de, D, T, const MIN: u64, const MAX: u64>(
    deserializer: D,
) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    between::<_, _, MIN, MAX>(deserializer).map(Some)
}

/// What a number can be in whose place may be "inherit".
pub(super) trait Inheritable {
    /// In words.
    const RIGHT: &str;

    /// Whether a number is one of them.
    fn is_one(number: u8) -> bool;

    /// The number that has a name.
    fn named(_text: &str) -> Option<u8> {
        None
    }
}

/// A time to live.
pub(super) struct Ttl;

impl Inheritable for Ttl {
    const RIGHT: &str = "a whole number from 1 to 255";

    fn is_one(number: u8) -> bool {
        number > 0
    }
}

/// A differentiated services code point.
pub(super) struct CodePoint;

impl Inheritable for CodePoint {
    const RIGHT: &str = "a code point from 0 to 63, \"cs0\" to \"cs7\", \"af11\" to \"af43\", \"ef\"";

    fn is_one(number: u8) -> bool {
        number < 64
    }

    fn named(text: &str) -> Option<u8> {
        link::dscp(text)
    }
}

/// A number, or "inherit" for none: for `#[serde(with)]`.
pub(super) struct Inherited<T>(PhantomData<T>);

impl<T: Inheritable> Inherited<T> {
    const WORD: &str = "inherit";

    #[expect(clippy::ref_option, reason = "it is how serde calls it")]
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "it is how serde calls it")]
    pub(super) fn serialize<S: Serializer>(value: &Option<u8>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_u8(*value),
            None => serializer.serialize_str(Self::WORD),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
        deserializer.deserialize_any(Self(PhantomData))
    }
}

impl<T: Inheritable> Visitor<'_> for Inherited<T> {
    type Value = Option<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or \"{}\"", T::RIGHT, Self::WORD)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<u8>, E> {
        let value = u8::try_from(number).ok().filter(|number| T::is_one(*number));
        value.map(Some).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<u8>, E> {
        if text == Self::WORD {
            return Ok(None);
        }
        T::named(text).map(Some).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// Bytes of a buffer.
pub(super) fn chunk<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u64::deserialize(deserializer)? {
        2048 => Ok(2048),
        4096 => Ok(4096),
        other => Err(D::Error::invalid_value(Unexpected::Unsigned(other), &"2048 or 4096")),
    }
}

struct Number {
    min: u64,
    max: u64,
}

impl Visitor<'_> for Number {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {} to {}", self.min, self.max)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        if (self.min..=self.max).contains(&number) {
            return Ok(number);
        }
        Err(E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }
}
