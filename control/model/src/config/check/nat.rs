//! `[nat]`

use std::collections::BTreeSet;

use super::{Checks, Step};
use crate::config::{Config, Nat};
use crate::{Protocol, VrfName};

pub(super) fn nat(config: &Config, checks: &mut Checks<'_>) {
    let outside = || config.interfaces.iter().enumerate().filter(|(_, interface)| interface.nat);
    let Some(nat) = &config.nat else {
        for (index, interface) in outside() {
            let name = interface.name.as_str();
            checks.expect(false, at!["interface", index, "nat"], || {
                format!("interface {name:?}: has nat = true: it needs a section [nat], which may be empty")
            });
        }
        return;
    };
    checks.expect(outside().next().is_some(), at!["nat"], || {
        "nat: no interface has nat = true: set it on the one that leads outside".into()
    });
    checks.expect(nat.ports.first() > 0, at!["nat", "ports"], || {
        format!("nat.ports {}-{}: must begin at 1 or later", nat.ports.first(), nat.ports.last())
    });
    let has_v4 = |(_, interface): (usize, &crate::config::Interface)| {
        interface.addresses.iter().any(|net| net.addr().is_ipv4())
    };
    let addressed = !nat.addresses.is_empty() || outside().any(has_v4) || outside().next().is_none();
    checks.expect(addressed, at!["nat"], || {
        "nat: has no addresses, and no interface with nat = true has an IPv4 address: one is needed".into()
    });
    mappings(config, nat, checks);
}

fn mappings(config: &Config, nat: &Nat, checks: &mut Checks<'_>) {
    let (mut outside, mut inside) = (BTreeSet::new(), BTreeSet::new());
    for (index, mapping) in nat.mappings.iter().enumerate() {
        let path = |field: &'static str| [Step::from("nat"), "mapping".into(), index.into(), field.into()];
        let place = format!("{} port {}", mapping.protocol, mapping.port);
        let fits = mapping.outside.is_none_or(|outside| outside.is_ipv4() == mapping.inside.is_ipv4());
        checks.expect(fits, &path("inside"), || {
            format!("mapping of {place}: inside {} must be of the same IP version as outside", mapping.inside)
        });
        let same = mapping.protocol != Protocol::Sctp || mapping.inside_port() == mapping.port;
        checks.expect(same, &path("inside_port"), || {
            format!(
                "mapping of {place}: inside_port {} must be the same: the checksum of SCTP covers its ports",
                mapping.inside_port()
            )
        });
        let is_v4 = mapping.inside.is_ipv4();
        checks.expect(
            outside.insert((mapping.protocol, mapping.outside, is_v4, mapping.port)),
            &path("port"),
            || format!("mapping of {place}: is there twice"),
        );
        let homes = mapping.homes(&config.interfaces);
        let is_there = |vrf: &VrfName| {
            config.interfaces.iter().any(|interface| interface.vrf == *vrf)
                || config.vrfs.iter().any(|own| own.name == *vrf)
        };
        if let Some(vrf) = mapping.vrf.as_ref().filter(|vrf| !is_there(vrf)) {
            checks.expect(false, &path("vrf"), || {
                format!("mapping of {place}: vrf {:?} is that of no interface", vrf.as_str())
            });
        }
        checks.expect(homes.len() < 2, &path("inside"), || {
            let names: Vec<_> = homes.iter().map(|vrf| format!("{:?}", vrf.as_str())).collect();
            format!(
                "mapping of {place}: {} may be in VRF {}: set vrf to the one that is meant",
                mapping.inside,
                names.join(" or ")
            )
        });
        let target = (homes, mapping.protocol, mapping.inside, mapping.inside_port());
        checks.expect(inside.insert(target), &path("inside"), || {
            format!(
                "mapping of {place}: {} port {} is mapped already, and answers from it can have one port only",
                mapping.inside,
                mapping.inside_port()
            )
        });
    }
}
