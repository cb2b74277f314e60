//! Policies that are compiled when something is different, and not in each pass.

use std::sync::Arc;

use imbl::OrdMap;
use ipnet::IpNet;

use super::{Compiled, Parties, compile};
use crate::durable::PlacedTier;
use crate::{Endpoint, EndpointId, GroupName, Model, Network, NetworkId, TierName};

/// Compiles the policies of a model, and remembers what came of it. A model that is the same is known by the addresses of its tables.
#[derive(Debug, Default)]
pub struct Compiler {
    made: Option<Made>,
}

/// What was compiled, and what came of it. Copies of tables cost nothing.
#[derive(Debug)]
struct Made {
    tiers: OrdMap<TierName, PlacedTier>,
    groups: OrdMap<GroupName, Vec<IpNet>>,
    networks: OrdMap<NetworkId, Network>,
    endpoints: OrdMap<EndpointId, Endpoint>,
    parties: Parties,
    compiled: Arc<Compiled>,
}

impl Compiler {
    /// What the policies of this model come to.
    pub fn of(&mut self, model: &Model) -> Arc<Compiled> {
        let before = self.made.take();
        let before =
            before.filter(|made| made.tiers.ptr_eq(&model.tiers) && made.groups.ptr_eq(&model.groups));
        let made = match before {
            Some(made)
                if made.networks.ptr_eq(&model.networks) && made.endpoints.ptr_eq(&model.endpoints) =>
            {
                made
            }
            before => {
                let parties = Parties::of(model);
                // Most of what changes in endpoints is nothing to policies.
                let same = before.filter(|made| made.parties == parties).map(|made| made.compiled);
                let compiled = same.unwrap_or_else(|| Arc::new(compile(&model.policies(), &parties)));
                Made {
                    tiers: (*model.tiers).clone(),
                    groups: (*model.groups).clone(),
                    networks: (*model.networks).clone(),
                    endpoints: (*model.endpoints).clone(),
                    parties,
                    compiled,
                }
            }
        };
        Arc::clone(&self.made.insert(made).compiled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NetworkOptions, PolicySet};

    const SET: &str = "[[policy]]\nname = \"db\"\nselector = \"role == 'db'\"\n\
        ingress = [{ action = \"allow\", from = [\"role == 'web'\"] }]\n";

    fn model() -> Model {
        let mut model = Model::default();
        let network_id: NetworkId = "1".parse().unwrap();
        let network = Network {
            bridge: model.bridge_name(&network_id),
            id: network_id.clone(),
            options: NetworkOptions::default(),
            ipv4: Vec::new(),
            ipv6: Vec::new(),
            internal: false,
            enable_ipv6: false,
            request: serde_json::Value::Null,
        };
        model.networks.insert(network_id.clone(), network);
        for (id, role, address) in [("a", "web", "10.0.0.2/24"), ("b", "db", "10.0.0.3/24")] {
            let mut endpoint = Endpoint::example(&model, id.parse().unwrap(), network_id.clone());
            endpoint.labels = format!("role={role}").parse().unwrap();
            endpoint.ipv4 = address.parse().ok();
            model.endpoints.insert(endpoint.id.clone(), endpoint);
        }
        model.set_policies(&PolicySet::parse("test", SET).unwrap());
        model
    }

    #[test]
    fn what_is_the_same_is_compiled_once() {
        let (mut model, mut compiler) = (model(), Compiler::default());
        let fresh = |model: &Model| compile(&model.policies(), &Parties::of(model));
        let first = compiler.of(&model);
        assert_eq!((*first).clone(), fresh(&model));
        assert!(Arc::ptr_eq(&first, &compiler.of(&model)));
        // Something about an endpoint that no policy sees.
        model.endpoints.get_mut(&"a".parse().unwrap()).unwrap().sandbox = Some("/somewhere".into());
        assert!(Arc::ptr_eq(&first, &compiler.of(&model)));
        // Then all that they see.
        let changes: [fn(&mut Model); 4] = [
            |model| {
                model.endpoints.get_mut(&"a".parse().unwrap()).unwrap().labels = "role=db".parse().unwrap();
            },
            |model| drop(model.endpoints.remove(&"b".parse().unwrap())),
            |model| {
                let options = &mut model.networks.get_mut(&"1".parse().unwrap()).unwrap().options;
                options.labels = "env=prod".parse().unwrap();
            },
            |model| model.set_policies(&PolicySet::default()),
        ];
        for change in changes {
            let before = compiler.of(&model);
            change(&mut model);
            let now = compiler.of(&model);
            assert!(!Arc::ptr_eq(&before, &now));
            assert_eq!((*now).clone(), fresh(&model));
        }
    }
}
