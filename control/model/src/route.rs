//! What is wrong with a route, and the operator's routes in the [`Model`].

mod error;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{Config, Desired, Model, Path, Route, RouteId, VrfName, desired};

pub use error::RouteError;

/// Which part of a route an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Vrf,
    Prefix,
    /// Which path.
    Via(usize),
    Interface,
}

/// Adds a route of the operator to the model, or changes one.
///
/// # Errors
/// What is wrong with it; the configuration file has one of this VRF and prefix.
pub fn add(config: &Config, model: &mut Model, id: RouteId, route: Route) -> Result<(), RouteError> {
    refuse_file_s(config, &id)?;
    let wrong = problems(&id.vrf, id.prefix, &route, &desired(config, model));
    if let Some((_, error)) = wrong.into_iter().next() {
        return Err(error);
    }
    model.routes.insert(id, route);
    Ok(())
}

/// Takes a route of the operator out of the model.
///
/// # Errors
/// There is none of this VRF and prefix, or it is the configuration file's.
pub fn remove(config: &Config, model: &mut Model, id: &RouteId) -> Result<(), RouteError> {
    if model.routes.remove(id).is_some() {
        return Ok(());
    }
    refuse_file_s(config, id)?;
    Err(RouteError::NoRoute(id.clone()))
}

fn refuse_file_s(config: &Config, id: &RouteId) -> Result<(), RouteError> {
    let there = config.routes.tables().get(&id.vrf).is_some_and(|routes| routes.contains_key(&id.prefix));
    if there { Err(RouteError::InFile(id.clone())) } else { Ok(()) }
}

/// All that is wrong with a route among these interfaces.
pub(crate) fn problems(
    vrf: &VrfName,
    prefix: IpNet,
    route: &Route,
    desired: &Desired,
) -> Vec<(Part, RouteError)> {
    let mut problems = Vec::new();
    if *vrf != VrfName::default() && !desired.vrfs.contains_key(vrf) {
        let default = VrfName::default();
        let others = desired.vrfs.keys().filter(|name| **name != default);
        let known = std::iter::once(&default).chain(others).map(ToString::to_string).collect();
        problems.push((Part::Vrf, RouteError::NoVrf { prefix, vrf: vrf.clone(), known }));
        return problems;
    }
    if prefix != prefix.trunc() {
        problems.push((Part::Prefix, RouteError::HostBits { prefix }));
    }
    let Route::Via(paths) = route else { return problems };
    if !(1..=Route::MAX_PATHS).contains(&paths.len()) {
        problems.push((Part::Via(0), RouteError::Paths { prefix, count: paths.len() }));
    }
    for (index, path) in paths.iter().enumerate() {
        if let Some(via) = path.via.filter(|_| paths[..index].contains(path)) {
            problems.push((Part::Via(index), RouteError::Twice { prefix, via }));
        } else if let Some((of_interface, error)) = wrong_path(vrf, prefix, path, desired) {
            problems.push((if of_interface { Part::Interface } else { Part::Via(index) }, error));
        }
    }
    problems
}

/// What is wrong with a path, and whether it is the interface.
fn wrong_path(vrf: &VrfName, prefix: IpNet, path: &Path, desired: &Desired) -> Option<(bool, RouteError)> {
    // One that is named may be of another table, where the next hop is then.
    let named = path.interface.as_ref().map(|name| (name, desired.interfaces.get(name)));
    let vrf = match named {
        None => vrf,
        Some((_, Some(interface))) => &interface.vrf,
        Some((name, None)) => {
            let known = desired.interfaces.keys().map(ToString::to_string).collect();
            return Some((true, RouteError::NoInterface { prefix, interface: name.clone(), known }));
        }
    };
    let ours = || desired.interfaces.iter().filter(|(_, interface)| interface.vrf == *vrf);
    let Some(via) = path.via else {
        return path.interface.is_none().then_some((false, RouteError::NoPath { prefix }));
    };
    if via.is_ipv4() != prefix.addr().is_ipv4() {
        return Some((false, RouteError::Family { prefix, via }));
    }
    let own = ours().find(|(_, interface)| interface.addresses.iter().any(|net| net.addr() == via));
    if let Some((interface, _)) = own {
        return Some((false, RouteError::Own { prefix, via, interface: interface.clone() }));
    }
    let link_local = matches!(via, IpAddr::V6(via) if via.is_unicast_link_local());
    let leaves_by = ours().filter(|(name, _)| path.interface.as_ref().is_none_or(|own| own == *name));
    let subnets = leaves_by.flat_map(|(_, interface)| &interface.addresses);
    let subnets: Vec<_> = subnets.filter(|net| net.addr().is_ipv4() == via.is_ipv4()).collect();
    let error = match &path.interface {
        None if link_local => RouteError::LinkLocal { prefix, via },
        _ if subnets.iter().any(|net| net.contains(&via)) => return None,
        // Every link has such addresses; and a link without addresses has whatever is said to be on it.
        Some(_) if link_local || subnets.is_empty() => return None,
        interface => {
            let of = match interface {
                Some(interface) => format!("interface {:?}", interface.as_str()),
                None => format!("VRF {:?}", vrf.as_str()),
            };
            let known = subnets.iter().map(|net| net.trunc().to_string()).collect();
            RouteError::OffLink { prefix, via, of, known }
        }
    };
    Some((false, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Host;

    const FILE: &str = r#"
        port = [{ name = "p0", kind = "null" }, { name = "p1", kind = "null" }]
        vrf = [{ name = "red" }]
        interface = [
            { port = "p0", addresses = ["10.0.0.1/24", "fd00::1/64"] },
            { port = "p1", vrf = "red" },
        ]
        route = [{ prefix = "192.0.2.0/24", via = "10.0.0.2" }]
    "#;

    fn via(via: &str, interface: Option<&str>) -> Route {
        let interface = interface.map(|name| name.parse().unwrap());
        Route::Via(vec![Path { via: via.parse().ok(), interface }])
    }

    fn added(id: &str, route: Route) -> Result<(), String> {
        let config = Config::parse("test", FILE, &Host::default()).unwrap();
        let mut model = Model::default();
        let added = add(&config, &mut model, id.parse().unwrap(), route);
        assert_eq!(model.routes.len(), usize::from(added.is_ok()));
        added.map_err(|error| error.to_string())
    }

    #[test]
    fn an_operator_adds_what_is_reached() {
        for (id, route) in [
            ("default/198.51.100.0/24", via("10.0.0.2", None)),
            ("default/198.51.100.0/24", via("10.0.0.2", Some("p0"))),
            ("default/::/0", via("fe80::1", Some("p0"))),
            ("red/0.0.0.0/0", via("192.0.2.1", Some("p1"))),
            ("red/192.0.2.0/24", via("", Some("p1"))),
            ("red/0.0.0.0/0", via("10.0.0.2", Some("p0"))),
            ("red/192.0.2.0/24", Route::Blackhole),
        ] {
            assert_eq!(added(id, route), Ok(()), "{id}");
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (id, route, expected) in [
            (
                "default/192.0.2.0/24",
                Route::Blackhole,
                "route default/192.0.2.0/24: is in the configuration file",
            ),
            ("blue/::/0", Route::Prohibit, "route ::/0: there is no VRF \"blue\"; there are default, red"),
            (
                "default/::/0",
                via("10.0.0.2", None),
                "route ::/0: next hop 10.0.0.2 must be an address of IPv6",
            ),
            (
                "default/0.0.0.0/0",
                via("10.0.1.2", None),
                "route 0.0.0.0/0: next hop 10.0.1.2 is in no subnet of VRF \"default\"; must be in one of 10.0.0.0/24",
            ),
            (
                "default/::/0",
                via("fe80::1", None),
                "route ::/0: next hop fe80::1 is link-local: say by which",
            ),
            (
                "default/0.0.0.0/0",
                via("10.0.0.1", None),
                "route 0.0.0.0/0: next hop 10.0.0.1 is the address of our",
            ),
            ("red/::/0", via("", Some("p9")), "route ::/0: there is no interface \"p9\"; there are p0, p1"),
            (
                "red/0.0.0.0/0",
                via("10.0.0.1", Some("p0")),
                "route 0.0.0.0/0: next hop 10.0.0.1 is the address of our",
            ),
            (
                "red/0.0.0.0/0",
                via("10.0.1.2", Some("p0")),
                "route 0.0.0.0/0: next hop 10.0.1.2 is in no subnet of interface \"p0\"; must be in one of 10.0.0.0/24",
            ),
            ("red/::/0", via("", None), "route ::/0: needs a next hop, an interface or both"),
            ("red/::/0", Route::Via(Vec::new()), "route ::/0: has 0 next hops; must be 1 to 14"),
        ] {
            let error = added(id, route).unwrap_err();
            assert!(error.starts_with(expected), "{error}\nshould begin {expected}");
        }
    }

    #[test]
    fn only_what_was_added_is_removed() {
        let config = Config::parse("test", FILE, &Host::default()).unwrap();
        let mut model = Model::default();
        let id: RouteId = "red/::/0".parse().unwrap();
        assert_eq!(remove(&config, &mut model, &id), Err(RouteError::NoRoute(id.clone())));
        add(&config, &mut model, id.clone(), Route::Blackhole).unwrap();
        add(&config, &mut model, id.clone(), Route::Prohibit).unwrap();
        assert_eq!(remove(&config, &mut model, &id), Ok(()));
        let file_s: RouteId = "default/192.0.2.0/24".parse().unwrap();
        assert_eq!(remove(&config, &mut model, &file_s), Err(RouteError::InFile(file_s.clone())));
    }
}
