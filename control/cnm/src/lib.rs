//! Docker's network and IPAM driver protocol: how the engine asks for networks, endpoints and addresses.
//!
//! ```text
//!  engine ──▶ Socket ──▶ server ──▶ wire ──▶ Driver ──▶ Control::edit       the model, durable before the answer
//!             (0600)     (HTTP)     (JSON)          └─▶ Control::reconcile  links and workers follow it
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`socket`] | a Unix socket that replaces a dead process's and respects a live one's |
//! | [`server`] | HTTP: which method, how large a body, what an error looks like |
//! | [`wire`] | requests and answers of every method |
//! | [`driver`] | what each method does, over the [`Control`] that the daemon gives |
//!
//! Nothing here calls Docker: the engine holds locks while it waits for an answer, and would never give it.
#![forbid(unsafe_code)]

pub mod driver;
pub mod server;
pub mod socket;
pub mod wire;

pub use driver::{Control, Driver, DriverError, Settings, Subject, forget_leftovers, forget_network};
pub use server::serve;
pub use socket::{Socket, SocketError};
