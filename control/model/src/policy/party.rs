//! Endpoints and addresses, as policies see them.

use std::net::IpAddr;

use super::Labels;
use crate::{EndpointId, Model, PortName};

/// An endpoint, as policies see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Docker's ID of it.
    pub id: EndpointId,
    /// Our port for it.
    pub port: PortName,
    /// Its own labels, over those of its network.
    pub labels: Labels,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// All endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parties(pub Vec<Party>);

impl Parties {
    /// Those of the model, by their IDs.
    pub fn of(model: &Model) -> Self {
        let party = |endpoint: &crate::Endpoint| Party {
            id: endpoint.id.clone(),
            port: endpoint.port.clone(),
            labels: model.labels_of(endpoint),
            addresses: endpoint.addresses().collect(),
        };
        Self(model.endpoints.values().map(party).collect())
    }

    /// Who has an address.
    pub fn at(&self, address: IpAddr) -> Option<&Party> {
        self.0.iter().find(|party| party.addresses.contains(&address))
    }
}
