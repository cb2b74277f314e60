//! Pools: which subnets are whose.

use std::net::IpAddr;

use ipnet::IpNet;
use paceline_model::pools::{LeaseId, OfferId, Pool};
use paceline_model::{PoolId, Pools, Space};

use crate::usable::{address, all, number, usable};
use crate::{IpamError, Plan};

/// A request for a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolRequest {
    /// The address space.
    pub space: Space,
    /// The subnet; none: an automatic one. Bits behind its prefix are cut off, as Docker's own driver does.
    pub subnet: Option<IpNet>,
    /// `--ip-range`: the part of the subnet that addresses are chosen from. Addresses outside can be asked for.
    pub range: Option<IpNet>,
    /// Whether it is to be IPv6.
    pub v6: bool,
}

/// Takes a subnet. Its text form is Docker's `PoolID`.
///
/// The engine asks for another automatic pool when one overlaps a route of the host, and holds on to the first meanwhile; so
/// the search goes on behind the last offer, and in the next block if that offer was not used.
///
/// # Errors
/// A subnet that overlaps one of the same space, is no unicast one or is of the wrong family; a range that is not inside; no
/// automatic subnet left.
pub fn request_pool(pools: &mut Pools, plan: &Plan, request: &PoolRequest) -> Result<PoolId, IpamError> {
    let PoolRequest { space, v6, .. } = *request;
    let range = request.range.map(|range| range.trunc());
    let id = match (request.subnet, range) {
        (Some(subnet), range) => {
            let id = PoolId { space, subnet: subnet.trunc() };
            check(pools, id, range, v6)?;
            id
        }
        (None, Some(range)) => return Err(IpamError::RangeAlone { range }),
        (None, None) => {
            let id = automatic(pools, plan, space, v6).ok_or(IpamError::NoSubnetLeft { space, v6 })?;
            pools.offers.insert(OfferId { space, v6 }, id.subnet);
            id
        }
    };
    pools.pools.insert(id, Pool { range, last: None });
    Ok(id)
}

/// Gives a subnet back, and all leases in it. Nothing happens if there is no such pool.
pub fn release_pool(pools: &mut Pools, id: PoolId) {
    for lease in leases(pools, id).collect::<Vec<_>>() {
        pools.leases.remove(&lease);
    }
    pools.pools.remove(&id);
}

fn check(pools: &Pools, id: PoolId, range: Option<IpNet>, v6: bool) -> Result<(), IpamError> {
    let subnet = id.subnet;
    if matches!(subnet, IpNet::V6(_)) != v6 {
        return Err(IpamError::Family { asked: subnet, v6 });
    }
    if !is_unicast(&subnet) {
        return Err(IpamError::NotUnicast { asked: subnet });
    }
    if let Some(existing) = overlapped(pools, id) {
        return Err(IpamError::Overlap { asked: subnet, existing });
    }
    match range {
        Some(range) if !subnet.contains(&range) => Err(IpamError::RangeOutside { range, subnet }),
        Some(range) if usable(&subnet, Some(&range)).is_empty() => {
            Err(IpamError::RangeEmpty { range, subnet })
        }
        _ => Ok(()),
    }
}

/// Whether hosts may have addresses of this subnet: it is clear of 0.0.0.0/8, 127.0.0.0/8 and 224.0.0.0/3, of ::, ::1 and
/// ff00::/8.
fn is_unicast(subnet: &IpNet) -> bool {
    let special: &[(IpAddr, u8)] = match subnet {
        IpNet::V4(_) => &[([0, 0, 0, 0].into(), 8), ([127, 0, 0, 0].into(), 8), ([224, 0, 0, 0].into(), 3)],
        IpNet::V6(_) => &[([0; 16].into(), 127), ([0xff00, 0, 0, 0, 0, 0, 0, 0].into(), 8)],
    };
    special.iter().all(|&(address, len)| {
        let special = IpNet::new_assert(address, len);
        !special.contains(subnet) && !subnet.contains(&special)
    })
}

/// The pool of the same space that has addresses of this one.
///
/// Pools of a space do not overlap and are in the order of their first address: only the neighbours can.
fn overlapped(pools: &Pools, id: PoolId) -> Option<PoolId> {
    let before = pools.pools.range(..=id).next_back();
    let behind = pools.pools.range(id..).next();
    let mut near = before.into_iter().chain(behind).map(|(&near, _)| near);
    near.find(|near| {
        near.space == id.space && (near.subnet.contains(&id.subnet) || id.subnet.contains(&near.subnet))
    })
}

/// The next automatic subnet that is free, behind the one that was offered last.
fn automatic(pools: &Pools, plan: &Plan, space: Space, v6: bool) -> Option<PoolId> {
    let blocks = plan.blocks(v6);
    let last = pools.offers.get(&OfferId { space, v6 }).copied();
    let start = last.and_then(|last| blocks.iter().position(|block| block.contains(&last)));
    let rejected = last.is_some_and(|subnet| {
        let id = PoolId { space, subnet };
        pools.pools.contains_key(&id) && leases(pools, id).next().is_none()
    });
    let start = start.map_or(0, |start| start + usize::from(rejected));
    (0..blocks.len()).find_map(|step| {
        let block = &blocks[(start + step) % blocks.len()];
        in_block(pools, block, last.filter(|last| block.contains(last)), space)
    })
}

/// The next free subnet of a block behind `last`, around its end. Never `last` itself.
fn in_block(pools: &Pools, block: &IpNet, last: Option<IpNet>, space: Space) -> Option<PoolId> {
    let len = Plan::prefix_len(matches!(block, IpNet::V6(_)));
    let size = 1u128 << (block.max_prefix_len() - len);
    let (first, end) = all(block).into_inner();
    let subnets = (end - first) / size + 1;
    let start = last.map_or(0, |last| (number(last.network()) - first) / size + 1);
    (0..subnets).map(|step| first + (start + step) % subnets * size).find_map(|base| {
        let id = PoolId { space, subnet: IpNet::new_assert(address(base, block), len) };
        (Some(id.subnet) != last && overlapped(pools, id).is_none()).then_some(id)
    })
}

/// The leases of one pool, in order.
fn leases(pools: &Pools, pool: PoolId) -> impl Iterator<Item = LeaseId> + '_ {
    let from = LeaseId { pool, address: pool.subnet.network() };
    pools.leases.range(from..=LeaseId { pool, address: pool.subnet.broadcast() }).map(|(&id, _)| id)
}
