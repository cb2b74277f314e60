//! The typed model of all that Paceline should be doing, its TOML form and its checks.
#![forbid(unsafe_code)]
