//! Lookup tables of the fast path. Readers never wait; each table has a slow, obvious twin in its tests.
#![forbid(unsafe_code)]

mod mac;
mod sync;

pub use mac::{Learn, MacEntry, MacReader, MacTable};
