//! What is on the wire: views of headers, checksums, the cutting of packets, neighbour resolution, ICMP, and the reading and
//! rewriting of flows.
//!
//! Everything here works on byte slices, allocates nothing and panics on no input. A header view is a `zerocopy` struct that
//! lies over the bytes of the frame; its `read` checks that the header is whole and of its version, so that later accesses
//! need no check. Lengths that a header claims are compared with the frame by methods of their own, because a frame in
//! several segments is longer than the slice that holds its headers.
#![forbid(unsafe_code)]

pub mod arp;
pub mod checksum;
pub mod ecn;
pub mod ethernet;
pub mod flow;
pub mod fragment;
pub mod icmp;
pub mod icmpv4;
pub mod icmpv6;
pub mod input;
pub mod ipv4;
pub mod ipv6;
pub mod membership;
pub mod mss;
pub mod ndp;
pub mod ndp_options;
mod ndp_parse;
pub mod reset;
pub mod rewrite;
pub mod segment;
pub mod tcp;
pub mod udp;
pub mod vlan;
pub mod vxlan;
