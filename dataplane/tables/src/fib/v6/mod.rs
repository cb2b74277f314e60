//! IPv6: a trie whose nodes skip what their routes have in common and are as wide as they are full.
//!
//! As an LC-trie (Nilsson, Karlsson, "IP-Address Lookup Using LC-Tries", 1999) it compresses paths and levels, and as a
//! multibit trie (Srinivasan, Varghese, "Fast Address Lookups Using Controlled Prefix Expansion", 1999) it writes a prefix
//! that ends inside a node into all words that it is the longest for. One or two routes that are alone make no node: their
//! prefixes stand in full at the end of the way, together with the answer for addresses that they do not match.
//!
//! So a lookup costs one cache line for a node and one for the routes at the end, whatever the length of the prefixes, and
//! one more for each place where many routes are crowded together. 200 000 routes with random bits have a first node of 2^19
//! words, and most routes stand alone behind it.

mod arena;
mod build;
mod change;
mod memory;
mod reader;
mod shape;
#[cfg(all(test, not(loom)))]
mod tests;
mod word;
mod writer;

pub use reader::Fib6;
pub use writer::Writer;

use word::Answer;

/// A prefix: its bits, first byte of the address highest, the rest zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    bits: u128,
    len: u8,
}

/// A prefix and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Route {
    key: Key,
    value: u32,
}

impl Route {
    fn answer(&self) -> Answer {
        Answer::new(self.value, self.key.len)
    }
}

impl From<ipnet::Ipv6Net> for Key {
    fn from(net: ipnet::Ipv6Net) -> Self {
        Key { bits: net.network().to_bits(), len: net.prefix_len() }
    }
}

/// How many bits two addresses begin with alike: 0 to 128.
fn common(a: u128, b: u128) -> u32 {
    (a ^ b).leading_zeros()
}
