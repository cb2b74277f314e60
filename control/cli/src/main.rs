//! The `paceline` command.
#![forbid(unsafe_code)]

fn main() {}
