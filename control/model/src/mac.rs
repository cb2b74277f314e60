//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An IEEE 802 48-bit MAC address, as `aa:bb:cc:dd:ee:ff`. Ordered as the number it is on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr([u8; 6]);

/// A string that is no MAC address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("MAC address {0:?}: must be six two-digit hexadecimal numbers, as in 02:00:00:00:00:01")]
pub struct MacError(String);

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The address of these octets, in the order of the wire.
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// The `nth` of the addresses that are made of a text: 02 and 40 bits of its hash, of which one is set so that the address
    /// is none of 02:42, where those of containers are. Locally administered; the same for the same text at all times.
    pub fn made_of(text: &str, nth: u64) -> Self {
        let hash = paceline_sys::fnv1a(text.bytes());
        let [_, _, mut octets @ ..] = (hash ^ hash >> 40).wrapping_add(nth).to_be_bytes();
        octets[0] = 0x02;
        octets[1] |= 0x80;
        Self(octets)
    }

    /// The octets in the order of the wire.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether it addresses a group, broadcast included (the I/G bit of IEEE 802).
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether it can be the address of an interface: neither a group's nor all zeros.
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && self.0 != [0; 6]
    }

    /// Whether it was given by an administrator rather than a manufacturer (the U/L bit of IEEE 802).
    pub const fn is_local(self) -> bool {
        self.0[0] & 2 != 0
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

impl From<MacAddr> for u64 {
    fn from(mac: MacAddr) -> Self {
        mac.0.iter().fold(0, |number, &octet| number << 8 | u64::from(octet))
    }
}

impl FromStr for MacAddr {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let error = || MacError(text.chars().take(64).collect());
        let mut parts = text.split(':');
        let mut octets = [0; 6];
        for octet in &mut octets {
            let part =
                parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()));
            *octet = part.and_then(|part| u8::from_str_radix(part, 16).ok()).ok_or_else(error)?;
        }
        parts.next().map_or(Ok(Self(octets)), |_| Err(error()))
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.map(|octet| format!("{octet:02x}")).join(":"))
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for MacAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::text::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for MacAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_and_back(octets: [u8; 6]) {
            let mac = MacAddr::new(octets);
            prop_assert_eq!(mac.to_string().parse::<MacAddr>().unwrap(), mac);
            prop_assert_eq!(mac.to_string().to_uppercase().parse::<MacAddr>().unwrap(), mac);
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<MacAddr>();
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:01:02",
            "2:0:0:0:0:1",
            "02:00:00:00:00:0g",
            "+2:00:00:00:00:01",
        ] {
            assert!(bad.parse::<MacAddr>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_are_made_of_text() {
        let mac = MacAddr::made_of("n1", 0);
        assert_eq!(mac, MacAddr::made_of("n1", 0));
        assert!(mac.is_local() && mac.is_unicast());
        let many: std::collections::BTreeSet<_> = (0..1000).map(|nth| MacAddr::made_of("n1", nth)).collect();
        assert_eq!(many.len(), 1000);
        assert!(many.iter().all(|mac| mac.octets()[1] >= 0x80));
    }

    #[test]
    fn groups_and_scopes() {
        assert!(MacAddr::BROADCAST.is_multicast());
        assert!(!MacAddr::new([0; 6]).is_unicast());
        let local = MacAddr::new([2, 0, 0, 0, 0, 1]);
        assert!(local.is_unicast() && local.is_local());
        assert_eq!(u64::from(local), 0x0200_0000_0001);
    }
}
