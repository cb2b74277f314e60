//! How a link of ours is known again, whatever it is called and wherever it was moved.

use std::fmt;

/// Which end of an attachment a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The interface that the container sees: a tap, or the far end of a veth.
    Container,
    /// The near end of a veth, which the switch binds to.
    Host,
}

impl End {
    const ALL: [Self; 2] = [Self::Container, Self::Host];

    const fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Host => "host",
        }
    }
}

/// The interface alias (`IFLA_IFALIAS`) of a link of ours: `TAG:container:ID` or `TAG:host:ID`.
///
/// Docker renames the link and may give it another MAC; the alias stays. `ip link` shows it to people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Which end the link is.
    pub end: End,
    /// What the attachment is for: Docker's endpoint ID, or the name of a port.
    pub id: String,
}

impl Mark {
    /// Longest tag and ID together, in bytes: an alias has at most 255 (`IFALIASZ` - 1), one of which is the zero that
    /// rtnetlink sends with it.
    pub const MAX: usize = 254 - ":container:".len();

    /// The mark of an alias, if it is one of this tag's.
    pub(crate) fn parse(tag: &str, alias: &str) -> Option<Self> {
        let (word, id) = alias.strip_prefix(tag)?.strip_prefix(':')?.split_once(':')?;
        let end = End::ALL.into_iter().find(|end| end.word() == word)?;
        Some(Self { end, id: id.to_owned() })
    }

    /// The alias to set.
    pub(crate) fn alias(tag: &str, end: End, id: &str) -> String {
        format!("{tag}:{end}:{id}")
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_read_back() {
        for end in End::ALL {
            let alias = Mark::alias("paceline", end, "a:b");
            assert_eq!(Mark::parse("paceline", &alias), Some(Mark { end, id: "a:b".into() }));
            assert_eq!(Mark::parse("pace", &alias), None, "another switch's");
        }
    }

    #[test]
    fn foreign_aliases_are_none() {
        for alias in
            ["", "paceline", "paceline:", "paceline:host", "paceline:guest:1", "uplink to paceline:host:1"]
        {
            assert_eq!(Mark::parse("paceline", alias), None, "{alias}");
        }
    }
}
