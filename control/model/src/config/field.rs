//! Addresses as text: for `#[serde(deserialize_with)]`.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, SeqAccess, Unexpected, Visitor};

/// What is given as text.
pub(crate) trait Text: FromStr {
    /// What it looks like, for error messages.
    const LIKE: &str;
}

impl Text for IpAddr {
    const LIKE: &str = "an address, like \"10.0.0.1\" or \"fd00::1\"";
}

impl Text for IpNet {
    const LIKE: &str = "an address with a prefix length, like \"10.0.0.0/24\" or \"fd00::/64\"";
}

/// A value.
pub(super) fn one<'de, D: Deserializer<'de>, T: Text>(deserializer: D) -> Result<T, D::Error> {
    Parsed::deserialize(deserializer).map(|Parsed(value)| value)
}

/// A value that may be absent.
pub(super) fn maybe<'de, D: Deserializer<'de>, T: Text>(deserializer: D) -> Result<Option<T>, D::Error> {
    one(deserializer).map(Some)
}

/// A list of values.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Text>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Vec::deserialize(deserializer)?.into_iter().map(|Parsed(value)| value).collect())
}

/// A value, or a list of them.
pub(super) fn one_or_list<'de, D: Deserializer<'de>, T: Text>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Several<T>(PhantomData<T>);

    impl<'de, T: Text> Visitor<'de> for Several<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}, or a list of them", T::LIKE)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
            parse(text).map(|value| vec![value])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<Vec<T>, A::Error> {
            list(SeqAccessDeserializer::new(values))
        }
    }

    deserializer.deserialize_any(Several(PhantomData))
}

/// A value of any kind that is no list, or a list of them.
pub(crate) fn one_or_more<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Several<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Several<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a value, or a list of them")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
            T::deserialize(text.into_deserializer()).map(|value| vec![value])
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<Vec<T>, E> {
            T::deserialize(number.into_deserializer()).map(|value| vec![value])
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Vec<T>, E> {
            T::deserialize(number.into_deserializer()).map(|value| vec![value])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<Vec<T>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(values))
        }
    }

    deserializer.deserialize_any(Several(PhantomData))
}

struct Parsed<T>(T);

impl<'de, T: Text> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One<T>(PhantomData<T>);

        impl<T: Text> Visitor<'_> for One<T> {
            type Value = Parsed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::LIKE)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Parsed<T>, E> {
                parse(text).map(Parsed)
            }
        }

        deserializer.deserialize_str(One(PhantomData))
    }
}

fn parse<T: Text, E: Error>(text: &str) -> Result<T, E> {
    text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &T::LIKE))
}
