//! What the tests of the store share.

use std::path::Path;

use paceline_model::network::NetworkOptions;
use paceline_model::options::LinkOptions;
use paceline_model::{Attach, Endpoint, MacAddr, Model, Network};
use paceline_store::{Store, StoreError};

/// Opens, or fails the test.
pub fn open(dir: &Path) -> Store {
    Store::open(dir).unwrap_or_else(|error| panic!("{error}"))
}

/// Puts network `number` and an endpoint in it into the model.
pub fn add(model: &mut Model, number: usize) {
    let network = Network {
        id: format!("{number:064x}").parse().unwrap(),
        bridge: format!("b{number}").parse().unwrap(),
        options: NetworkOptions::default(),
        ipv4: Vec::new(),
        ipv6: Vec::new(),
        internal: false,
        enable_ipv6: false,
        request: serde_json::json!({"NetworkID": number, "padding": "x".repeat(500)}),
    };
    let endpoint = Endpoint {
        id: format!("{number:064x}").parse().unwrap(),
        network: network.id.clone(),
        port: format!("p{number}").parse().unwrap(),
        link: format!("plc{number}").parse().unwrap(),
        attach: Attach::Veth,
        mac: MacAddr::new([2, 0, 0, 0, 0, 1]),
        mac_given: true,
        ipv4: "10.77.0.2/24".parse().ok(),
        ipv6: "fd00::2/64".parse().ok(),
        sandbox: Some("/var/run/docker/netns/1".into()),
        ports: Vec::new(),
        labels: "role=db".parse().unwrap(),
        link_options: LinkOptions { dscp: Some(46), ..LinkOptions::default() },
        request: serde_json::json!({"EndpointID": number}),
    };
    model.networks.insert(network.id.clone(), network);
    model.endpoints.insert(endpoint.id.clone(), endpoint);
}

/// Saves network `number`.
pub fn save(store: &mut Store, number: usize) -> Result<(), StoreError> {
    store.update(|model| {
        add(model, number);
        Ok(())
    })
}
