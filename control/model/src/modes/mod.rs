//! Modes: pure functions from what was asked for to ports, bridges and routes, one file each.

pub(crate) mod acl;
mod bridge;
pub(crate) mod configured;
mod filter;
mod host;
mod overlay;
#[cfg(test)]
mod tests;
mod uplink;

use crate::network::Mode;
use crate::policy::{Compiled, Parties, compile};
use crate::{Config, Desired, Model, Uplinks};

/// All ports, bridges and routes that the configuration file, Docker and the operator ask for, together, without what the
/// devices of uplinks have: see [`desired_by`].
pub fn desired(config: &Config, model: &Model) -> Desired {
    let policies = compile(&model.policies(), &Parties::of(model));
    desired_by(config, model, &policies, &Uplinks::default())
}

/// All ports, bridges and routes that the configuration file, Docker and the operator ask for, together, where the model's policies
/// come to this, and the devices of uplinks are like this.
///
/// Names from the file and names made for Docker never meet: [`config`](crate::config) refuses those that begin like
/// Docker's.
pub fn desired_by(config: &Config, model: &Model, policies: &Compiled, uplinks: &Uplinks) -> Desired {
    let mut desired = Desired::default();
    configured::add(config, &mut desired);
    uplink::add(config, uplinks, &mut desired);
    overlay::configured(config, uplinks, &mut desired);
    let macs = model.gateway_macs();
    for network in model.networks.values() {
        let mac = macs[&network.id];
        match (network.options.mode, &network.options.overlay) {
            (Mode::Overlay, Some(overlay)) => {
                overlay::add(network, overlay, model, mac, (config, uplinks), &mut desired);
            }
            (Mode::Bridge | Mode::Overlay, _) => bridge::add(network, model, mac, &mut desired),
        }
    }
    desired.added.clone_from(&model.routes);
    filter::add(config, model, policies, &mut desired);
    host::add(config, model, &mut desired);
    uplink::translate(config, model, uplinks, &mut desired);
    desired
}
