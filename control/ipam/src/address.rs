//! Leases: which addresses are whose.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use paceline_model::pools::{Lease, LeaseId};
use paceline_model::{MacAddr, PoolId, Pools};

use crate::IpamError;
use crate::usable::{address, number, reserved, usable};

/// A request for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressRequest {
    /// The address; none: the next free one.
    pub address: Option<IpAddr>,
    /// Whether it is for the network's gateway (`RequestAddressType=com.docker.network.gateway`).
    pub gateway: bool,
    /// The container's MAC address, if the engine said so.
    pub mac: Option<MacAddr>,
}

/// Takes an address; returns it with the subnet's prefix length.
///
/// One that was not asked for is the next free one behind the last that was chosen, around the end: an address that was
/// given back rests as long as there are others, so that peers do not take the new container for the old one.
///
/// # Errors
/// No such pool; an address that is outside, reserved or in use; no address left.
pub fn request_address(
    pools: &mut Pools,
    pool: PoolId,
    request: &AddressRequest,
) -> Result<IpNet, IpamError> {
    let subnet = pool.subnet;
    let row = pools.pools.get(&pool).ok_or(IpamError::NoPool(pool))?;
    let chosen = if let Some(address) = request.address {
        check(pools, pool, address)?;
        address
    } else {
        let free = next_free(pools, pool, usable(&subnet, row.range.as_ref()), row.last);
        let chosen = free.ok_or(IpamError::Full { subnet, range: row.range })?;
        if let Some(row) = pools.pools.get_mut(&pool) {
            row.last = Some(chosen);
        }
        chosen
    };
    let lease = Lease { gateway: request.gateway, mac: request.mac };
    pools.leases.insert(LeaseId { pool, address: chosen }, lease);
    Ok(IpNet::new_assert(chosen, subnet.prefix_len()))
}

/// Gives an address back. Nothing happens if it is not in use.
pub fn release_address(pools: &mut Pools, pool: PoolId, address: IpAddr) {
    pools.leases.remove(&LeaseId { pool, address });
}

fn check(pools: &Pools, pool: PoolId, address: IpAddr) -> Result<(), IpamError> {
    let subnet = pool.subnet;
    if !subnet.contains(&address) {
        return Err(IpamError::Outside { address, subnet });
    }
    if let Some(what) = reserved(address, &subnet) {
        return Err(IpamError::Reserved { address, what, subnet });
    }
    match pools.leases.get(&LeaseId { pool, address }) {
        Some(&Lease { gateway, mac }) => Err(IpamError::Taken { address, subnet, gateway, mac }),
        None => Ok(()),
    }
}

/// The first free address behind `last`, or else the first of all.
fn next_free(
    pools: &Pools,
    pool: PoolId,
    usable: RangeInclusive<u128>,
    last: Option<IpAddr>,
) -> Option<IpAddr> {
    let (first, end) = usable.into_inner();
    let start = last.map(number).filter(|last| (first..end).contains(last)).map_or(first, |last| last + 1);
    gap(pools, pool, start, end).or_else(|| gap(pools, pool, first, end))
}

/// The first free address from `from` to `to`: leases are in order, so it is where they first leave a gap.
fn gap(pools: &Pools, pool: PoolId, from: u128, to: u128) -> Option<IpAddr> {
    if from > to {
        return None;
    }
    let id = |number| LeaseId { pool, address: address(number, &pool.subnet) };
    let mut free = from;
    for (lease, _) in pools.leases.range(id(from)..=id(to)) {
        if number(lease.address) != free {
            break;
        }
        if free == to {
            return None;
        }
        free += 1;
    }
    Some(address(free, &pool.subnet))
}
