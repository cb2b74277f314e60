//! Docker's network and IPAM driver protocol.
#![forbid(unsafe_code)]
