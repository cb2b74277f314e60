//! Uplinks of the configuration file: a port on the device, and a routed interface with the kernel's addresses, routes and routers, in a
//! routing table of its own, so that nothing goes by it that does not ask for it.

use crate::config::DEFAULT_MTU;
use crate::{Config, Desired, DesiredKind, DesiredPort, DesiredVrf, Uplinks, VrfName};

/// Adds them; of a device that is not there, the port alone, which then says so.
pub(super) fn add(config: &Config, states: &Uplinks, desired: &mut Desired) {
    for uplink in &config.uplinks {
        let (name, state) = (uplink.port_name(), states.get(&uplink.device));
        let mtu = state.map_or(DEFAULT_MTU, |state| state.mtu);
        let kind = DesiredKind::Uplink(uplink.clone());
        // As many queues as the device has.
        desired.ports.insert(name.clone(), DesiredPort { kind, mtu, mac: None, queues: 1 });
        let Some(state) = state else { continue };
        let vrf = VrfName::of_port(&name);
        desired.vrfs.insert(vrf.clone(), DesiredVrf { routes: state.routes(uplink) });
        desired.interfaces.insert(name, state.interface(uplink, vrf));
    }
}
