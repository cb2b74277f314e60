//! Lookup tables of the fast path.
#![forbid(unsafe_code)]
