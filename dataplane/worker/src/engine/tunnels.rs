//! Tunnels: interfaces without a port, which come and go with the topology.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use paceline_graph::{Bridge, Capabilities, Group, InterfaceCounters, Tunnel, Vrf};
use paceline_ports::LinkState;
use paceline_wire::vxlan::VNI_LIMIT;

use super::{Attached, Engine, EngineError};
use crate::routing::{Ends, Leg};
use crate::spec::{Topology, TunnelSpec};
use crate::view::TunnelView;

/// Checks what the engine itself relies on in tunnels.
///
/// # Errors
/// [`EngineError::Tunnel`]: the first one that cannot be.
pub(super) fn check(topology: &Topology) -> Result<(), EngineError> {
    let (mut seen, mut learners) = (BTreeMap::new(), BTreeMap::new());
    for (name, spec) in &topology.tunnels {
        let refuse = |why: String| Err(EngineError::Tunnel { name: name.clone(), why });
        let TunnelSpec { vni, local, remote, port, mtu, .. } = *spec;
        if vni >= VNI_LIMIT {
            return refuse(format!("vni {vni}: must be below {VNI_LIMIT}"));
        }
        if local.is_ipv4() != remote.is_ipv4() {
            return refuse(format!("local {local} and remote {remote} are of different versions of IP"));
        }
        let is_host = |address: IpAddr| !address.is_unspecified() && !address.is_loopback();
        if !is_host(local) || local.is_multicast() {
            return refuse(format!("local {local}: must be the address of one host"));
        }
        if !is_host(remote) || remote == local {
            return refuse(format!("remote {remote}: must be another host's address, or a group's"));
        }
        if remote.is_multicast() != spec.group_interface.is_some() {
            return refuse(format!(
                "remote {remote}: a group needs a group_interface, and only a group has one"
            ));
        }
        if port == 0 {
            return refuse("port 0: must be 1 to 65535".into());
        }
        if spec.ttl == Some(0) {
            return refuse("ttl 0: must be 1 to 255".into());
        }
        if let Some(dscp) = spec.dscp.filter(|dscp| *dscp > 63) {
            return refuse(format!("dscp {dscp}: must be 0 to 63"));
        }
        if !(68..=65_535).contains(&mtu) {
            return refuse(format!("mtu {mtu}: must be 68 to 65535"));
        }
        let learner = spec.learn_peers.and_then(|_| learners.insert((&spec.vrf, local, port, vni), name));
        if let Some(other) = learner {
            return refuse(format!(
                "learn_peers: {other} of the same vrf, local, port and vni has it already"
            ));
        }
        if let Some(other) = seen.insert((&spec.vrf, local, port, vni, remote), name) {
            return refuse(format!(
                "{other} is the same: vrf, local, remote, port and vni must differ in one"
            ));
        }
    }
    Ok(())
}

/// What tunnels want of routing.
pub(super) fn ends(topology: &Topology) -> Ends {
    let mut ends = Ends::default();
    for spec in topology.tunnels.values() {
        ends.local.entry(spec.vrf.clone()).or_default().insert(spec.local);
        if let Some(interface) = &spec.group_interface {
            ends.groups.entry(interface.clone()).or_default().insert(spec.remote);
        }
    }
    ends
}

impl Engine {
    /// Gives numbers to tunnels that are new. Those that should not be any more carry nothing from now on.
    pub(super) fn make_tunnels(&mut self) -> Result<(), EngineError> {
        let known: HashMap<Arc<str>, usize> = self
            .interfaces
            .iter()
            .enumerate()
            .filter_map(|(at, i)| Some((Arc::clone(&i.as_ref()?.name), at)))
            .collect();
        let wanted: Vec<(String, TunnelSpec)> =
            self.tunnels().map(|(name, spec)| (name.clone(), spec.clone())).collect();
        if let Some((name, _)) = wanted.iter().find(|(name, _)| {
            known
                .get(&**name)
                .is_some_and(|at| self.interfaces[*at].as_ref().is_some_and(|i| i.tunnel.is_none()))
        }) {
            return Err(EngineError::Exists(name.clone()));
        }
        for attached in self.interfaces.iter_mut().flatten().filter(|attached| attached.tunnel.is_some()) {
            attached.mtu = None;
        }
        for (name, spec) in wanted {
            let at = match known.get(&*name) {
                Some(at) => *at,
                None => usize::from(self.vacant()?),
            };
            let counters = || (0..self.workers.len()).map(|_| InterfaceCounters::default()).collect();
            match &mut self.interfaces[at] {
                Some(attached) => {
                    // What was learned on it is behind another end now.
                    attached.has_moved |= attached.tunnel.as_ref().is_some_and(|was| !is_same(was, &spec));
                    (attached.mtu, attached.tunnel) = (Some(spec.mtu), Some(spec));
                }
                empty => {
                    *empty = Some(Attached {
                        name: name.into(),
                        kind: "vxlan",
                        capabilities: Capabilities::NONE,
                        counters: counters(),
                        owners: Vec::new(),
                        state: LinkState::Up,
                        capture: None,
                        mtu: Some(spec.mtu),
                        open: false,
                        peer: None,
                        tunnel: Some(spec),
                        has_moved: false,
                        mac: None,
                    });
                }
            }
        }
        Ok(())
    }

    /// Gives back the numbers of tunnels that no worker knows any more, and forgets who was behind those that lead elsewhere now.
    pub(super) fn end_tunnels(&mut self) {
        for index in 0..self.interfaces.len() {
            let Some(attached) = &mut self.interfaces[index] else { continue };
            if attached.tunnel.is_none() {
                continue;
            }
            if attached.mtu.is_none() {
                self.vacate(index as u16);
            } else if std::mem::take(&mut attached.has_moved) {
                self.domains.forget_port(index as u16);
            }
        }
    }

    /// All tunnels that there should be.
    pub(super) fn tunnels(&self) -> impl Iterator<Item = (&String, &TunnelSpec)> {
        self.topology.tunnels.iter().chain(self.learned.iter().map(|(name, learned)| (name, &learned.spec)))
    }

    /// The bridges that have tunnels among their members.
    pub(super) fn tunnelled_bridges(&self) -> HashSet<String> {
        let is_tunnel = |index: u16| {
            self.interfaces[index as usize].as_ref().is_some_and(|attached| attached.tunnel.is_some())
        };
        self.bridges.iter().filter(|(index, _)| is_tunnel(**index)).map(|(_, name)| name.clone()).collect()
    }

    /// What nodes know of the tunnels that can be used, by number. The others are down, and say why.
    pub(super) fn usable_tunnels(
        &mut self,
        legs: &BTreeMap<u16, Leg>,
        vrfs: &[Vrf],
    ) -> BTreeMap<u16, Arc<Tunnel>> {
        let mut usable = BTreeMap::new();
        let origins: HashMap<(&str, IpAddr), &Leg> = legs
            .values()
            .flat_map(|leg| leg.answers_for().into_iter().map(move |net| ((&*leg.vrf, net.addr()), leg)))
            .collect();
        let vrfs: HashMap<&str, u16> = (0..).zip(vrfs).map(|(at, vrf)| (&*vrf.name, at)).collect();
        let by_name: HashMap<&str, &Leg> = legs.values().map(|leg| (&*leg.name, leg)).collect();
        for (index, attached) in self.interfaces.iter_mut().enumerate() {
            let Some(attached) = attached.as_mut().filter(|attached| attached.mtu.is_some()) else {
                continue;
            };
            let Some(spec) = &attached.tunnel else { continue };
            let origin = origins.get(&(&*spec.vrf, spec.local)).zip(vrfs.get(&*spec.vrf));
            let group = spec.group_interface.as_ref().map(|name| by_name.get(&**name));
            attached.state = match (origin, group) {
                (None, _) => LinkState::Down("no routed interface in its vrf has its local address"),
                (_, Some(None)) => LinkState::Down("its group_interface is no routed interface"),
                (Some((leg, vrf)), group) => {
                    let group = group.flatten();
                    let group = group.map(|leg| Group { interface: leg.number, mac: leg.mac, mtu: leg.mtu });
                    usable.insert(index as u16, Arc::new(tunnel(spec, leg, *vrf, group)));
                    LinkState::Up
                }
            };
        }
        usable
    }

    /// Takes out of floods what a group of the same network stands for: who is in it would get everything twice.
    pub(super) fn flood_by_groups(bridges: &mut [Bridge], usable: &BTreeMap<u16, Arc<Tunnel>>) {
        let groups: Vec<&Tunnel> =
            usable.values().map(|tunnel| &**tunnel).filter(|t| t.group.is_some()).collect();
        if groups.is_empty() {
            return;
        }
        let is_heard =
            |tunnel: &Tunnel| tunnel.group.is_none() && groups.iter().any(|group| group.is_beside(tunnel));
        for bridge in bridges {
            bridge.members.retain(|member| !usable.get(member).is_some_and(|tunnel| is_heard(tunnel)));
        }
    }

    /// All tunnels, ordered by name.
    pub fn tunnel_views(&self) -> Vec<TunnelView> {
        let view = |(index, attached): (usize, &Attached)| {
            let spec = attached.tunnel.as_ref()?;
            Some(TunnelView {
                name: attached.name.to_string(),
                vni: spec.vni,
                bridge: self.bridges.get(&(index as u16)).cloned(),
                vrf: spec.vrf.clone(),
                local: spec.local.to_string(),
                remote: spec.remote.to_string(),
                port: spec.port,
                group_interface: spec.group_interface.clone(),
                mtu: spec.mtu,
                is_learned: !self.topology.tunnels.contains_key(&*attached.name),
            })
        };
        let all = self.interfaces.iter().enumerate().filter_map(|(index, i)| Some((index, i.as_ref()?)));
        let mut views: Vec<TunnelView> = all.filter_map(view).collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }
}

/// Whether two tunnels have the same other end.
fn is_same(a: &TunnelSpec, b: &TunnelSpec) -> bool {
    (a.vni, &a.vrf, a.local, a.remote, a.port) == (b.vni, &b.vrf, b.local, b.remote, b.port)
}

fn tunnel(spec: &TunnelSpec, origin: &Leg, vrf: u16, group: Option<Group>) -> Tunnel {
    Tunnel {
        vni: spec.vni,
        vrf,
        local: spec.local,
        remote: spec.remote,
        port: spec.port,
        origin: origin.number,
        origin_mac: origin.mac,
        group,
        ttl: spec.ttl,
        dscp: spec.dscp,
        checksum: spec.checksum,
        learns: spec.learn_peers.is_some(),
    }
}
