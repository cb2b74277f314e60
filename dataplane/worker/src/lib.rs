//! Workers and the engine that control drives.
#![forbid(unsafe_code)]
