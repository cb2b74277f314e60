//! Ports: the trait and its kinds.
#![forbid(unsafe_code)]
