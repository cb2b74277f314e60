//! What interfaces let in and out: lists of the configuration file, policies, and what was asked for the links of containers.

use ipnet::IpNet;

use crate::policy::{Parties, compile};
use crate::{Config, Desired, DesiredFilter, Endpoint, Guard, Model};

/// Adds it, to interfaces that are there.
pub(super) fn add(config: &Config, model: &Model, desired: &mut Desired) {
    desired.sessions = config.sessions;
    super::acl::add(config, desired);
    let compiled = compile(&model.policies(), &Parties::of(model));
    desired.identities = compiled.identities;
    for endpoint in model.endpoints.values().filter(|endpoint| endpoint.joined()) {
        let mut filter = link(model, endpoint);
        if let Some(lists) = compiled.ports.get(&endpoint.port) {
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
    let network = model.networks.get(&endpoint.network).map(|network| network.options.link.clone());
    let asked = endpoint.link_options.over(&network.unwrap_or_default());
    let guard = || Guard {
        macs: vec![endpoint.mac],
        addresses: endpoint.addresses().map(IpNet::from).collect(),
        router: false,
    };
    DesiredFilter {
        guard: asked.port_security.unwrap_or(true).then(guard),
        police_input: asked.rate,
        police_output: asked.rate,
        storm: asked.storm,
        dscp: asked.dscp,
        mirror: asked.mirror,
        ..DesiredFilter::default()
    }
}
