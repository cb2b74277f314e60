//! Address pools and leases: what Docker's IPAM driver decides, as pure functions over [`Pools`].
//!
//! - [`request_pool`] takes the subnet that was asked for, or finds one ([`Plan`]); [`release_pool`] gives it back.
//! - [`request_address`] takes the address that was asked for, or the next free one; [`release_address`] gives it back.
//!
//! Releases of what is not there succeed, as the engine repeats them. The cost of a request does not depend on the size of
//! a subnet, only on the leases next to the address it takes: a /64 is as good as a /24.
#![forbid(unsafe_code)]

mod address;
mod error;
mod plan;
mod pool;
mod usable;

pub use address::{AddressRequest, release_address, request_address};
pub use error::IpamError;
pub use paceline_model::{Pool, PoolId, Pools, Space};
pub use plan::Plan;
pub use pool::{PoolRequest, release_pool, request_pool};
