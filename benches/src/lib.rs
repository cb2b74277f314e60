//! Benchmark scenarios.
#![forbid(unsafe_code)]
