//! Modes: pure functions from what was asked for to ports, bridges and routes, one file each.

pub(crate) mod acl;
mod bridge;
pub(crate) mod configured;
mod filter;
mod host;
#[cfg(test)]
mod tests;
mod uplink;

use crate::network::Mode;
use crate::{Config, Desired, Model, Uplinks};

/// All ports, bridges and routes that the configuration file, Docker and the operator ask for, together, without what the
/// devices of uplinks have: see [`desired_by`].
pub fn desired(config: &Config, model: &Model) -> Desired {
    desired_by(config, model, &Uplinks::default())
}

/// All ports, bridges and routes that the configuration file, Docker and the operator ask for, together, where the devices of
/// uplinks are like this.
///
/// Names from the file and names made for Docker never meet: [`config`](crate::config) refuses those that begin like
/// Docker's.
pub fn desired_by(config: &Config, model: &Model, uplinks: &Uplinks) -> Desired {
    let mut desired = Desired::default();
    configured::add(config, &mut desired);
    uplink::add(config, uplinks, &mut desired);
    let macs = model.gateway_macs();
    for network in model.networks.values() {
        match network.options.mode {
            Mode::Bridge => bridge::add(network, model, macs[&network.id], &mut desired),
        }
    }
    for (id, route) in model.routes.iter() {
        // That of a routing table that is in the file no more waits for it to come back.
        if let Some(vrf) = desired.vrfs.get_mut(&id.vrf) {
            vrf.routes.entry(id.prefix).or_insert_with(|| route.clone());
        }
    }
    filter::add(config, model, &mut desired);
    host::add(config, model, &mut desired);
    uplink::translate(config, model, uplinks, &mut desired);
    desired
}
