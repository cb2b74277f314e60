//! Links of containers: taps and veths made, found, moved and removed.
#![forbid(unsafe_code)]
