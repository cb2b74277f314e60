//! The model on disk.
#![forbid(unsafe_code)]
