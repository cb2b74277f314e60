//! Forwarding tables: the longest prefix that an address has, for one writer and any number of readers.
//!
//! A [`Rib`] belongs to control. It keeps the routes and edits its forwarding table in place, while workers look up in the
//! table through an `Arc`. Neither waits for the other.
//!
//! What a reader sees: for each address the route that was the best at some moment of the lookup. The answer for an address
//! hangs on one word at a time. A block of words is filled before the word that points at it is stored, and what a word has
//! stopped pointing at stays as it was until every worker has passed a quiet point.

mod retired;
mod rib;
#[cfg(all(test, not(loom)))]
mod tests;
mod v4;
mod v6;

pub use retired::Mark;
pub use rib::{Rib, Rib4, Rib6};
pub use v4::Fib4;
pub use v6::Fib6;

/// What a lookup answers where no prefix matches.
pub const NO_ROUTE: u32 = 0;

/// The highest value of a route: 24 bits.
pub const MAX_VALUE: u32 = (1 << 24) - 1;

/// Why a route was not taken. The table then is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The value has no place in a table.
    #[error("the value of a route is 1 to {MAX_VALUE}, not {0}")]
    Value(u32),
    /// An IPv4 table has as many /24s with longer prefixes as it can.
    #[error(
        "{limit} /24s have prefixes longer than 24 bits ({waiting} wait for a quiet point): no room for more"
    )]
    Groups {
        /// Most such /24s.
        limit: u32,
        /// Those of them that hold no routes any more, but may still be read.
        waiting: usize,
    },
    /// An IPv6 table is as large as it can be.
    #[error("the IPv6 table is at its limit of {limit} bytes ({waiting} blocks wait for a quiet point)")]
    Nodes {
        /// Most bytes.
        limit: usize,
        /// Blocks that hold no routes any more, but may still be read.
        waiting: usize,
    },
    /// The system has not so much memory.
    #[error("the system has no {bytes} bytes for a forwarding table")]
    Memory {
        /// Bytes that were asked for.
        bytes: usize,
    },
}
