//! The nodes of the packet graph, one file each.
#![forbid(unsafe_code)]
