//! The kernel's side of an uplink: a device by which networks reach the outside without the host's own stack, and which that
//! stack may go on using.
//!
//! ```text
//!                        ┌ Filter: our ports ──▶ AF_XDP socket ──▶ switch
//!  other hosts ──▶ eth0 ─┤
//!                        └ everything else ────▶ the kernel: ssh, DHCP, ARP …
//! ```
//!
//! - [`Watch`] says what the kernel has on the device: addresses, routes, and who the routers are. Answers to ARP and neighbour
//!   discovery go to the kernel, so it is the kernel that has to ask.
//! - [`filter`] says which frames are the switch's then.
//! - [`Reservation`] keeps the kernel from giving the same ports to its own programs.
//!
//! Of all this nothing but the reservation outlives the process, and the next one recognises it by its record.
#![forbid(unsafe_code)]

mod error;
mod filter;
mod ports;
mod reservation;
mod sockets;
mod watch;

pub use error::UplinkError;
pub use filter::filter;
pub use ports::{PortSet, PortSetError};
pub use reservation::Reservation;
pub use sockets::in_use;
pub use watch::Watch;
