//! The one packet memory: a pool cut into fixed chunks, move-only packets, vectors.
//!
//! ```text
//!  arena (memfd, 2 MiB pages)
//!  ┌─────────┬─────────┬─────────┬── …
//!  │ chunk 0 │ chunk 1 │ chunk 2 │
//!  └─────────┴─────────┴─────────┴── …
//!  ┌──────────────┬────────┬──────────┬──────────────── … ┐
//!  │ rte_mbuf 128 │ Header │ headroom │ data              │   one chunk: 2048 or 4096 bytes
//!  └──────────────┴────────┴──────────┴──────────────── … ┘
//!  0              128      192        320
//! ```
//!
//! A [`Packet`] is a 32-byte handle that is moved, never copied: who holds it owns the chunk and every tail behind it.
//! What nodes read for each packet (length, interface, next hop) lies in the handle itself, and handles lie side by side
//! in a [`Vector`]; the chunk's own header line is touched only by packets that need it (chains, offloads, traces).
//! `ARCHITECTURE.md` has the figures that chose this form.
//!
//! All `unsafe` of the data plane is in this crate. Its argument is always the same one: a chunk is *free* (its index
//! lies in a [`Cache`] or in the pool), *lent* (its bit is set in a [`Ledger`]), or *held* by exactly one packet or
//! tail link. Only this crate moves chunks between those states, and nothing outside can copy or forge a handle.

mod cache;
mod chunk;
mod ledger;
mod packet;
mod pool;
mod segments;
mod vector;

pub use cache::Cache;
pub use chunk::{DATA_OFFSET, HEADER_OFFSET, ROOM_OFFSET};
pub use ledger::Ledger;
pub use paceline_sys::{region::HugePages, vnet::VnetHdr};
pub use packet::{Flags, NoRoom, Packet};
pub use pool::{Pool, PoolConfig, PoolError, PoolStats};
pub use segments::Segments;
pub use vector::{VECTOR_SIZE, Vector};
