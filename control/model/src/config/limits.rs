//! Numbers with limits, checked while they are read.

use std::fmt;

use serde::Serializer;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

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

/// A whole number from `MIN` to `MAX`, or "inherit" for none: for `#[serde(with)]`.
pub(super) struct Inherited<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Inherited<MIN, MAX> {
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
        struct NumberOrWord<const MIN: u64, const MAX: u64>;

        impl<const MIN: u64, const MAX: u64> Visitor<'_> for NumberOrWord<MIN, MAX> {
            type Value = Option<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}, or \"inherit\"")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Option<u8>, E> {
                let fits = |number: &u8| (MIN..=MAX).contains(&u64::from(*number));
                let value = u8::try_from(number).ok().filter(fits);
                value.map(Some).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Option<u8>, E> {
                let is_word = text == Inherited::<MIN, MAX>::WORD;
                if is_word { Ok(None) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
            }
        }

        deserializer.deserialize_any(NumberOrWord::<MIN, MAX>)
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
