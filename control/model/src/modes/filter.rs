//! What interfaces let in and out: lists of the configuration file, policies, and what was asked for the links of containers.

use std::sync::Arc;

use ipnet::IpNet;

use crate::policy::Compiled;
use crate::{Config, Desired, DesiredFilter, Endpoint, Guard, Model};

/// Adds it, to interfaces that are there.
pub(super) fn add(config: &Config, model: &Model, policies: &Compiled, desired: &mut Desired) {
    desired.sessions = config.sessions;
    super::acl::add(config, desired);
    desired.identities = Arc::clone(&policies.identities);
    for endpoint in model.endpoints.values().filter(|endpoint| endpoint.joined()) {
        let mut filter = link(model, endpoint);
        if let Some(lists) = policies.ports.get(&endpoint.port) {
            // What a container sends comes in by its port.
            filter.input.clone_from(&lists.egress);
            filter.output.clone_from(&lists.ingress);
        }
        if filter != DesiredFilter::default() {
            desired.filters.insert(endpoint.port.clone(), filter);
        }
    }
}

/// What was asked for the link of an endpoint, of itself or of its network.
fn link(model: &Model, endpoint: &Endpoint) -> DesiredFilter {
    let asked = model.link_of(endpoint);
    let guard = || Guard {
        macs: vec![endpoint.mac],
        addresses: endpoint.addresses().map(IpNet::from).collect(),
        router: false,
    };
    DesiredFilter {
        guard: asked.has_port_security().then(guard),
        police_input: asked.rate,
        police_output: asked.rate,
        storm: asked.storm,
        dscp: asked.dscp,
        mirror: asked.mirror,
        ..DesiredFilter::default()
    }
}
