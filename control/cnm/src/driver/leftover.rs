//! Endpoints that the engine has forgotten: after a crash of the engine it calls nothing for them.

use std::net::IpAddr;
use std::path::Path;

use paceline_ipam::{PoolId, Space, release_address, release_pool};
use paceline_model::{Endpoint, EndpointId, Model, Network, NetworkId};
use serde::Deserialize;

use super::DriverError;
use crate::wire::network::CreateNetwork;

/// Takes out all endpoints whose container's namespace is gone, and gives back the addresses that they had of us.
/// Returns how many.
///
/// Those between `CreateEndpoint` and `Join`, or `Leave` and `DeleteEndpoint`, stay: the engine may be at work on them.
pub fn forget_leftovers(model: &mut Model, is_sandbox: impl Fn(&Path) -> bool) -> usize {
    let dead = model.endpoints.values().filter(|endpoint| is_dead(endpoint, &is_sandbox));
    let dead: Vec<EndpointId> = dead.map(|endpoint| endpoint.id.clone()).collect();
    for id in &dead {
        forget(model, id, &[]);
    }
    dead.len()
}

/// Takes out a network that the engine no longer has, with the subnets and addresses that it had of us. That is for an operator to
/// say: a network that is removed while the switch is down is removed without a call.
///
/// # Errors
/// No such network; containers that are joined to it.
pub fn forget_network(model: &mut Model, id: &NetworkId) -> Result<(), DriverError> {
    let network = model.networks.get(id).ok_or_else(|| DriverError::NoNetwork(id.clone()))?;
    if let Some(endpoint) = model.endpoints_of(id).find(|endpoint| endpoint.joined()) {
        return Err(DriverError::NetworkInUse { network: id.clone(), by: endpoint.id.clone() });
    }
    for pool in pools_of(network) {
        release_pool(&mut model.pools, pool);
    }
    let endpoints: Vec<_> = model.endpoints_of(id).map(|endpoint| endpoint.id.clone()).collect();
    for endpoint in &endpoints {
        model.endpoints.remove(endpoint);
    }
    model.networks.remove(id);
    Ok(())
}

/// The pools of a network that are ours, which the address space tells that came with them.
fn pools_of(network: &Network) -> Vec<PoolId> {
    let Ok(request) = CreateNetwork::deserialize(&network.request) else { return Vec::new() };
    let pools = request.ipv4.iter().chain(&request.ipv6).filter_map(|data| {
        let space: Space = data.address_space.parse().ok()?;
        Some(PoolId { space, subnet: data.pool?.trunc() })
    });
    pools.collect()
}

/// Whether the endpoint's container is gone without a `Leave`.
pub(super) fn is_dead(endpoint: &Endpoint, is_sandbox: impl Fn(&Path) -> bool) -> bool {
    endpoint.sandbox.as_deref().is_some_and(|sandbox| !is_sandbox(sandbox))
}

/// Takes out an endpoint and gives back the addresses it had of us, `except` those that are somebody else's by now.
pub(super) fn forget(model: &mut Model, id: &EndpointId, except: &[IpAddr]) {
    let Some(endpoint) = model.endpoints.remove(id) else { return };
    tracing::info!(endpoint = %id, "forgotten: its container is gone, and the engine has not said so");
    let Some(network) = model.networks.get(&endpoint.network) else { return };
    let pools = pools_of(network);
    for pool in pools {
        for address in endpoint.addresses() {
            if pool.subnet.contains(&address) && !except.contains(&address) {
                release_address(&mut model.pools, pool, address);
            }
        }
    }
}
