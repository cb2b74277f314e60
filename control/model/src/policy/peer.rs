//! The other end of a rule: who it is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::{Selector, SelectorError};
use crate::GroupName;

/// The other end of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Addresses, `"10.0.0.0/8"`; those of endpoints too.
    Prefix(IpNet),
    /// Addresses with a name: `"office"`.
    Group(GroupName),
    /// Endpoints by their labels: `'role == "web"'`.
    Selector(Selector),
}

/// A text that is no [`Peer`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It looks like a prefix and is none.
    #[error("{0:?}: must be an address or a prefix, like \"10.0.0.1\", \"10.0.0.0/24\" or \"fd00::/64\"")]
    Prefix(String),
    /// It has bits where a prefix has none.
    #[error("prefix {0}: has bits beyond its prefix length; must be {right}", right = .0.trunc())]
    HostBits(IpNet),
    /// It is no selector either.
    #[error(transparent)]
    Selector(#[from] SelectorError),
}

/// An address alone is a prefix of its whole length.
///
/// # Errors
/// [`PeerError::Prefix`] and [`PeerError::HostBits`].
pub fn prefix(text: &str) -> Result<IpNet, PeerError> {
    let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    match net.map_err(|_| PeerError::Prefix(text.chars().take(80).collect()))? {
        net if net.trunc() == net => Ok(net),
        net => Err(PeerError::HostBits(net)),
    }
}

impl FromStr for Peer {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        let like_prefix = !text.is_empty()
            && text.chars().all(|char| char.is_ascii_hexdigit() || ".:/".contains(char))
            && text.contains(['.', ':', '/']);
        if like_prefix {
            return Ok(Self::Prefix(prefix(text)?));
        }
        match text.parse() {
            Ok(group) => Ok(Self::Group(group)),
            Err(_) => Ok(Self::Selector(Selector::from_str(text)?)),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(net) => net.fmt(f),
            Self::Group(name) => name.fmt(f),
            Self::Selector(selector) => selector.fmt(f),
        }
    }
}

crate::text::as_text!(Peer);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_by_its_form_what_it_is() {
        for text in ["10.0.0.0/8", "fd00::/64", "::/0", "office", "role == \"web\"", "all()"] {
            assert_eq!(text.parse::<Peer>().unwrap().to_string(), text);
        }
        assert_eq!("10.0.0.1".parse::<Peer>().unwrap().to_string(), "10.0.0.1/32");
        assert!(matches!("office".parse(), Ok(Peer::Group(_))));
        assert!(matches!("has(x)".parse(), Ok(Peer::Selector(_))));
        assert!(matches!("fe80::1".parse(), Ok(Peer::Prefix(_))));
    }

    #[test]
    fn what_is_wrong_is_told_in_its_own_terms() {
        let error = |text: &str| text.parse::<Peer>().unwrap_err().to_string();
        assert_eq!(
            error("10.0.0.1/8"),
            "prefix 10.0.0.1/8: has bits beyond its prefix length; must be 10.0.0.0/8"
        );
        assert!(error("10.0.0.0/33").starts_with("\"10.0.0.0/33\": must be an address or a prefix"));
        assert!(error("10.0.0.300").starts_with("\"10.0.0.300\": must be an address or a prefix"));
        assert!(error("role = \"db\"").starts_with("selector"));
    }
}
