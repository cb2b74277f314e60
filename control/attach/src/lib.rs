//! Links of containers: taps and veths made, found, moved and removed, over rtnetlink.
//!
//! [`Links`] is one namespace: [`Links::host`] for the switch's own, kept open, and [`Links::at`] for a container's, opened
//! by path when needed. [`Spec`] says what a container is to see; [`Link`] is what there is. A link that we make bears a
//! [`Mark`], by which it is found again whatever Docker called it and wherever it was moved.
//! [`Address`] is an IP address of a link, for the one link that the host's own stack has in the switch; [`LinkRoute`] and
//! [`Neighbour`] are what the kernel knows of ways and neighbours by a link, for one that is shared with it.
//!
//! No port of the data plane is opened here. A tap is created here all the same, so that it has its name, MAC, MTU and mark
//! before anyone uses it: it is opened, set up, made persistent and closed; the port opens it by its name.
//!
//! Every function does all or nothing, also when its future is dropped. Two things remain when the process is killed in the
//! middle: never a tap, as persistence is its last step; a veth without a mark if that falls between its creation and its
//! marking, two requests next to each other.
//!
//! # Cost
//! On a 2-core machine, median and 95th percentile of 100: [`Links::create_tap`] 0.6 and 0.8 ms, [`Links::create_veth`] 0.8
//! and 1.0 ms, [`Links::at`] 0.2 ms, [`Links::find`] 0.1 ms. Slow are a delete (16 and 24 ms) and a move (20 and 39 ms), for
//! which the kernel waits until no CPU can see the link in its old place. It holds its one lock for all links meanwhile: a
//! request made during Docker's own move waits for it.
//!
//! # What a container keeps while the switch is away
//! Seen on Linux 6.18, by `kill -9` of the process that had the tap open, and kept true by `tests/restart.rs`:
//!
//! | | tap (persistent) | veth |
//! |---|---|---|
//! | link, name, MAC, MTU, alias | stay | stay |
//! | state | up, no carrier | up, carrier stays |
//! | IPv4 and IPv6 addresses, also link-local | stay | stay |
//! | routes: default, on-link, through a gateway | stay, shown `linkdown`, still used for look-ups | stay |
//! | permanent neighbours | stay | stay |
//! | learned neighbours | flushed when the carrier goes; asked for again by ARP and ND | stay |
//! | what the container sends | dropped by the kernel, no error to the sender | reaches a host end that nobody reads |
//!
//! When the tap is opened again (some 100 µs, by its present name, *from within the container's namespace*, with the same
//! choice of `multi_queue`) the carrier is back at once, `linkdown` is gone, and the next datagram comes out of the tap with
//! no wait; the first frame that the kernel itself sent, an MLD report, came 12 ms after. One queue or several is the same.
//! A container with `net.ipv4.conf.*.ignore_routes_with_linkdown` (off by default) has no routes meanwhile.
//!
//! The mark (`IFLA_IFALIAS`) survives the move to a container, the renaming there, and the way back. The kernel takes no
//! alias in the request that creates a link; so it is set by the next. Tx checksums that were turned off stay off.
#![forbid(unsafe_code)]

mod address;
mod create;
mod error;
mod info;
mod links;
mod mark;
mod neighbour;
mod netlink;
mod route;

pub use address::Address;
pub use create::Spec;
pub use error::Error;
pub use info::{Kind, Link, Peer};
pub use links::{Links, Which};
pub use mark::{End, Mark};
pub use neighbour::Neighbour;
pub use route::LinkRoute;
