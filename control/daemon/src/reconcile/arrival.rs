//! Containers that have come into an overlay: everybody in it is told where they are, as one with the same addresses may have been on
//! another host until now. The container's own kernel says nothing by itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

use paceline_model::{Model, PortName};
use paceline_wire::ethernet::Mac;

use crate::Switch;

/// How often each is told, a second apart (RFC 5227, section 1.1: twice; RFC 4861, section 10: three times).
const TIMES: u8 = 3;

/// Ports of containers that are still to be told of, each with how often.
#[derive(Debug, Default)]
pub struct Arrivals(BTreeMap<PortName, u8>);

impl Arrivals {
    /// These ports were opened, and the workers know them.
    pub fn came<'p>(&mut self, switch: &Switch, ports: impl IntoIterator<Item = &'p PortName>) {
        for port in ports {
            if tell(switch, port) {
                self.0.insert(port.clone(), TIMES - 1);
            }
        }
    }

    /// Lets a second pass.
    pub fn second(&mut self, switch: &Switch) {
        self.0.retain(|port, left| {
            *left -= 1;
            tell(switch, port) && *left > 0
        });
    }
}

/// Tells of a port; whether it is a container's in an overlay.
fn tell(switch: &Switch, port: &PortName) -> bool {
    let Some((mac, addresses)) = switch.model(|model| who(model, port)) else { return false };
    switch.engine(|engine| engine.announce(port.as_str(), mac, &addresses));
    true
}

fn who(model: &Model, port: &PortName) -> Option<(Mac, Vec<IpAddr>)> {
    let endpoint = model.endpoints.values().find(|endpoint| endpoint.joined() && endpoint.port == *port)?;
    model.networks.get(&endpoint.network)?.options.overlay.as_ref()?;
    Some((Mac::from_octets(endpoint.mac.octets()), endpoint.addresses().collect()))
}
