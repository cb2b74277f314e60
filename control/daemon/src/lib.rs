//! The control side of a running switch.
//!
//! ```text
//!  Docker ──▶ cnm ──┐                      ┌──▶ Engine (workers)
//!                   ├─▶ Switch ─▶ Reconciler
//!  paceline ─▶ api ─┘   (model)            └──▶ Links (kernel)
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`run`](mod@run) | the life cycle: what happens in which order from start to stop |
//! | [`Switch`] | what all parts share: configuration, durable model, engine |
//! | [`reconcile`] | the one path from what should be to what is |
//! | [`docker`], `published` | Docker's calls, on the switch; the ports that they publish |
//! | [`api`] | HTTP and JSON for the command line |
//! | [`client`] | the other end of it |
//! | [`privilege`], [`engine`], `files` | parts of the start |
#![forbid(unsafe_code)]

pub mod api;
pub mod client;
pub mod docker;
pub mod engine;
mod files;
mod flows;
pub mod privilege;
mod published;
pub mod reconcile;
pub mod run;
mod switch;

pub use client::{Client, ClientError};
pub use run::{RunError, run};
pub use switch::{Failure, Switch};

/// What a configuration must fit on this host.
pub fn host() -> paceline_model::config::Host {
    let cores = core_affinity::get_core_ids().map(|cores| cores.into_iter().map(|core| core.id).collect());
    paceline_model::config::Host { cores }
}
