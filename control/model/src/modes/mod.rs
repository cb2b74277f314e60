//! Modes: pure functions from what was asked for to ports and bridges, one file each.

mod bridge;
mod configured;

use crate::network::Mode;
use crate::{Config, Desired, Model};

/// All ports and bridges that the configuration file and Docker ask for, together.
///
/// Names from the file and names made for Docker never meet: [`config`](crate::config) refuses those that begin like
/// Docker's.
pub fn desired(config: &Config, model: &Model) -> Desired {
    let mut desired = Desired::default();
    configured::add(config, &mut desired);
    for network in model.networks.values() {
        match network.options.mode {
            Mode::Bridge => bridge::add(network, model, &mut desired),
        }
    }
    desired
}
