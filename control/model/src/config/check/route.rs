//! `[[vrf]]` and `[[route]]`

use std::collections::BTreeSet;

use super::{Checks, Step};
use crate::config::{Config, StaticRoutes};
use crate::route::{Part, problems};
use crate::{Desired, PortName, modes};

pub(super) fn vrfs(config: &Config, checks: &mut Checks<'_>) {
    let mut seen = BTreeSet::new();
    for (index, vrf) in config.vrfs.iter().enumerate() {
        let name = vrf.name.as_str();
        let path = at!["vrf", index, "name"];
        checks.expect(seen.insert(name), path, || format!("VRF {name:?}: is there twice"));
        checks.expect(!name.starts_with(PortName::UPLINK), path, || {
            format!("VRF {name:?}: names that begin with {:?} are those of uplinks", PortName::UPLINK)
        });
    }
}

pub(super) fn routes(config: &Config, checks: &mut Checks<'_>) {
    // All but the routes: one makes no routing table.
    let mut desired = Desired::default();
    modes::configured::add(&Config { routes: StaticRoutes::default(), ..config.clone() }, &mut desired);
    let mut seen = BTreeSet::new();
    for (index, route) in config.routes.iter().enumerate() {
        let prefix = route.prefix;
        checks.expect(seen.insert((&route.vrf, prefix)), at!["route", index, "prefix"], || {
            format!("route {prefix}: is there twice in VRF {:?}", route.vrf.as_str())
        });
        let leads = !route.via.is_empty() || route.interface.is_some();
        let path = at!["route", index, if route.action.is_some() { "action" } else { "prefix" }];
        checks.expect(leads != route.action.is_some(), path, || {
            format!("route {prefix}: needs either via, interface or both, or an action")
        });
        if route.action.is_none() && !leads {
            continue;
        }
        let mut told = BTreeSet::new();
        for (part, error) in problems(&route.vrf, prefix, &route.route(), &desired) {
            let message = error.to_string();
            // An interface that is not there is so for each next hop.
            if !told.insert(message.clone()) {
                continue;
            }
            let path: &[Step] = match part {
                Part::Vrf => at!["route", index, "vrf"],
                Part::Prefix => at!["route", index, "prefix"],
                Part::Via(number) => at!["route", index, "via", number],
                Part::Interface => at!["route", index, "interface"],
            };
            checks.expect(false, path, || message);
        }
    }
}
