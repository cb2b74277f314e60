//! The options of neighbour discovery (RFC 4861 §4.6).

use crate::ethernet::Mac;
use crate::ndp_parse::Fault;

/// Kind: hardware address of the sender.
pub const SOURCE_LINK_LAYER: u8 = 1;
/// Kind: hardware address of the target.
pub const TARGET_LINK_LAYER: u8 = 2;
/// Kind: addresses of the link, or what they start with.
pub const PREFIX: u8 = 3;
/// Kind: MTU of the link.
pub const MTU: u8 = 5;
/// Bytes of a prefix option without its first two.
const PREFIX_LEN: usize = 30;

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// What it is.
    pub kind: u8,
    /// What it says, without kind and length: at least 6 bytes.
    pub body: &'a [u8],
}

/// What addresses of a link start with (RFC 4861 §4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The prefix; bits behind its length mean nothing.
    pub prefix: [u8; 16],
    /// Its length in bits, 0 to 128.
    pub len: u8,
    /// Such addresses are on the link.
    pub on_link: bool,
    /// Hosts may make addresses of it (RFC 4862).
    pub autonomous: bool,
    /// Seconds for which it is on the link; all ones for ever.
    pub valid: u32,
    /// Seconds for which addresses made of it are preferred; all ones for ever.
    pub preferred: u32,
}

/// The options of a message, in their order: each is whole.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Options<'a> {
    /// Takes options that are all well formed.
    ///
    /// # Errors
    /// [`Fault::Options`]: one has length zero or reaches beyond the end.
    pub fn check(bytes: &'a [u8]) -> Result<Options<'a>, Fault> {
        let mut rest = bytes;
        while !rest.is_empty() {
            (_, rest) = split(rest).ok_or(Fault::Options)?;
        }
        Ok(Options { rest: bytes })
    }

    /// The Ethernet address in the first option of a kind, if it is one of a station.
    pub fn link_layer(&self, kind: u8) -> Option<Mac> {
        self.first(kind)?.first_chunk().map(|&octets| Mac::from_octets(octets)).filter(|mac| mac.is_station())
    }

    /// The MTU of the link in bytes, if the router says.
    pub fn mtu(&self) -> Option<u32> {
        Some(u32::from_be_bytes(*self.first(MTU)?.get(2..)?.first_chunk()?))
    }

    /// All prefixes. One with a wrong length is left out.
    pub fn prefixes(&self) -> impl Iterator<Item = Prefix> + use<'a> {
        self.clone().filter(|item| item.kind == PREFIX).filter_map(|item| prefix(item.body))
    }

    fn first(&self, kind: u8) -> Option<&'a [u8]> {
        self.clone().find(|item| item.kind == kind).map(|item| item.body)
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let (item, rest) = split(self.rest)?;
        self.rest = rest;
        Some(item)
    }
}

/// The first option and what is behind it. Its length is in units of 8 bytes and may not be zero.
fn split(bytes: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let &[kind, units] = bytes.first_chunk()?;
    let (option, rest) = bytes.split_at_checked(units as usize * 8)?;
    Some((Item { kind, body: option.get(2..)? }, rest))
}

fn prefix(body: &[u8]) -> Option<Prefix> {
    let body: &[u8; PREFIX_LEN] = body.try_into().ok()?;
    let [len, flags, v0, v1, v2, v3, p0, p1, p2, p3, _, _, _, _, prefix @ ..] = *body;
    (len <= 128).then_some(Prefix {
        prefix,
        len,
        on_link: flags & 0x80 != 0,
        autonomous: flags & 0x40 != 0,
        valid: u32::from_be_bytes([v0, v1, v2, v3]),
        preferred: u32::from_be_bytes([p0, p1, p2, p3]),
    })
}

/// The eight bytes of an option with an Ethernet address.
pub(crate) fn write_link_layer(kind: u8, mac: Mac) -> [u8; 8] {
    let mut option = [kind, 1, 0, 0, 0, 0, 0, 0];
    option[2..].copy_from_slice(&mac.octets());
    option
}
