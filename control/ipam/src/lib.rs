//! Address pools and leases.
#![forbid(unsafe_code)]
