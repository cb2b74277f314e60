//! `[[vxlan]]`

use std::collections::{BTreeMap, BTreeSet};

use super::{Checks, Step};
use crate::config::{Config, On, Vxlan};
use crate::overlay::{Carrier, Overlay, OverlayError, Part};
use crate::{BridgeName, PortName, Uplinks, VlanId, Vni};

/// What the segments before one have taken.
#[derive(Default)]
struct Taken<'c> {
    /// Where each is.
    places: BTreeMap<Vni, (&'c BridgeName, Option<VlanId>)>,
    /// What carries each there, and the version of IP.
    carriers: BTreeSet<(Vni, &'c BridgeName, Option<VlanId>, PortName, bool)>,
}

pub(super) fn vxlans(config: &Config, checks: &mut Checks<'_>) {
    let mut taken = Taken::default();
    for (index, vxlan) in config.vxlans.iter().enumerate() {
        place(vxlan, index, config, &mut taken, checks);
        let overlay = vxlan.overlay();
        let wrong = overlay.problems();
        for error in &wrong {
            note(error, &overlay, index, checks);
        }
        // With ends that are none there is nothing more to say of them.
        if wrong.is_empty() {
            underlay(vxlan, &overlay, index, config, &mut taken, checks);
        }
        neighbours(vxlan, index, config, checks);
    }
}

/// Notes what is wrong with the ends of a segment.
fn note(error: &OverlayError, overlay: &Overlay, index: usize, checks: &mut Checks<'_>) {
    let path: &[Step] = match error.part(overlay) {
        Part::Whole => at!["vxlan", index, "vni"],
        Part::Local => at!["vxlan", index, "local"],
        Part::Underlay => at!["vxlan", index, "underlay"],
        Part::Peer(number) => at!["vxlan", index, "peers", number],
        Part::Group => at!["vxlan", index, "group"],
        Part::Port => at!["vxlan", index, "port"],
    };
    checks.expect(false, path, || format!("VXLAN {}: {error}", overlay.vni));
}

/// The bridge that it is a part of.
fn place<'c>(
    vxlan: &'c Vxlan,
    index: usize,
    config: &Config,
    taken: &mut Taken<'c>,
    checks: &mut Checks<'_>,
) {
    let (vni, name) = (vxlan.vni, vxlan.bridge.as_str());
    let bridge = config.bridges.iter().find(|bridge| bridge.name == vxlan.bridge);
    checks.expect(bridge.is_some(), at!["vxlan", index, "bridge"], || {
        format!("VXLAN {vni}: there is no bridge {name:?}")
    });
    let modes: Vec<_> =
        bridge.iter().flat_map(|bridge| &bridge.members).map(|member| member.vlan.as_ref()).collect();
    let aware = modes.iter().any(Option::is_some);
    let fits = match vxlan.vlan {
        None => !aware,
        Some(vlan) => !aware || modes.iter().flatten().any(|mode| mode.carries(vlan)),
    };
    checks.expect(fits, at!["vxlan", index, if vxlan.vlan.is_some() { "vlan" } else { "bridge" }], || {
        match vxlan.vlan {
            None => format!("VXLAN {vni}: needs a vlan, as the members of bridge {name:?} have VLANs"),
            Some(vlan) => format!("VXLAN {vni}: no member of bridge {name:?} carries VLAN {vlan}"),
        }
    });
    let meaningless = vxlan.vlan.is_some() && bridge.is_some() && !aware;
    checks.expect(!meaningless, at!["vxlan", index, "vlan"], || {
        format!("VXLAN {vni}: has a vlan, but the members of bridge {name:?} have none")
    });
    let here = (&vxlan.bridge, vxlan.vlan);
    let first = *taken.places.entry(vni).or_insert(here);
    checks.expect(first == here, at!["vxlan", index, "vni"], || {
        let place = |(bridge, vlan): (&BridgeName, Option<VlanId>)| match vlan {
            Some(vlan) => format!("VLAN {vlan} of bridge {:?}", bridge.as_str()),
            None => format!("bridge {:?}", bridge.as_str()),
        };
        format!(
            "VXLAN {vni}: is {}, so {} needs another vni: a segment is one broadcast domain",
            place(first),
            place(here)
        )
    });
}

/// What carries it.
fn underlay<'c>(
    vxlan: &'c Vxlan,
    overlay: &Overlay,
    index: usize,
    config: &Config,
    taken: &mut Taken<'c>,
    checks: &mut Checks<'_>,
) {
    let vni = vxlan.vni;
    let carrier = match overlay.carrier(config, &Uplinks::new()) {
        Ok(carrier) => carrier,
        Err(error) => return note(&error, overlay, index, checks),
    };
    let field = if vxlan.underlay.is_some() { "underlay" } else { "local" };
    let name = match carrier {
        Carrier::Interface(interface) => {
            let inside = matches!(&interface.on, On::Bridge { bridge, .. } if *bridge == vxlan.bridge);
            checks.expect(!inside, at!["vxlan", index, field], || {
                let (name, bridge) = (interface.name.as_str(), vxlan.bridge.as_str());
                format!("VXLAN {vni}: underlay {name} is the leg of bridge {bridge:?}, which would carry itself: must be another interface")
            });
            match overlay.vtep(config, &Uplinks::new()) {
                Ok(vtep) => {
                    let (most, name) = (vtep.payload(), vtep.interface.as_str());
                    checks.expect(vxlan.mtu.is_none_or(|mtu| mtu <= most), at!["vxlan", index, "mtu"], || {
                        let (mtu, outer, overhead) =
                            (vxlan.mtu.unwrap_or_default(), vtep.mtu, vtep.overhead());
                        format!(
                            "VXLAN {vni}: mtu is {mtu}, must be at most {most}: underlay {name} takes {outer} bytes, of which VXLAN needs {overhead}"
                        )
                    });
                }
                Err(error) => note(&error, overlay, index, checks),
            }
            interface.name.clone()
        }
        Carrier::Uplink(uplink) => {
            checks.expect(overlay.local.is_none(), at!["vxlan", index, "local"], || {
                let device = uplink.device;
                format!("VXLAN {vni}: local is what uplink {device} has for its first address: leave it out")
            });
            if let Some(error) = overlay.problem_on(uplink) {
                note(&error, overlay, index, checks);
            }
            uplink.port_name()
        }
    };
    let is_new = taken.carriers.insert((vni, &vxlan.bridge, vxlan.vlan, name.clone(), overlay.is_ipv6()));
    checks.expect(is_new, at!["vxlan", index, "vni"], || {
        let version = if overlay.is_ipv6() { 6 } else { 4 };
        format!(
            "VXLAN {vni}: is there twice on underlay {name} with IPv{version}: give one of them all peers"
        )
    });
}

/// Hosts whose place is known.
fn neighbours(vxlan: &Vxlan, index: usize, config: &Config, checks: &mut Checks<'_>) {
    let (vni, mut seen) = (vxlan.vni, BTreeSet::new());
    let bridge = config.bridges.iter().find(|bridge| bridge.name == vxlan.bridge);
    for (number, remote) in vxlan.neighbours.iter().enumerate() {
        let path = |field: &'static str| {
            [Step::from("vxlan"), index.into(), "neighbours".into(), number.into(), field.into()]
        };
        let (address, mac, peer) = (remote.address, remote.mac, remote.peer);
        checks.expect(mac.is_unicast(), &path("mac"), || {
            format!("VXLAN {vni}: neighbour {address}: mac {mac} must be the address of one interface")
        });
        checks.expect(seen.insert(address), &path("address"), || {
            format!("VXLAN {vni}: neighbour {address} is there twice")
        });
        checks.expect(vxlan.peers.contains(&peer), &path("peer"), || {
            format!("VXLAN {vni}: neighbour {address}: peer {peer} must be one of peers")
        });
        let twice = bridge.into_iter().flat_map(|bridge| &bridge.static_macs).any(|own| own.mac == mac);
        let elsewhere = vxlan.neighbours[..number].iter().any(|other| other.mac == mac && other.peer != peer);
        checks.expect(!twice && !elsewhere, &path("mac"), || {
            format!("VXLAN {vni}: neighbour {address}: mac {mac} has another place already")
        });
    }
}
