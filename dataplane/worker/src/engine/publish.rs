//! From a topology in names to a snapshot, and to the workers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use ipnet::IpNet;
use paceline_graph::filter::Filter;
use paceline_graph::{Capabilities, Interface, InterfaceCounters, L3, NO_DOMAIN, Snapshot, TunnelEnds, Zone};
use paceline_nodes::Features;
use paceline_ports::LinkState;

use super::{Attached, Engine, EngineError, filters, nat, tunnels};
use crate::bridges::Place;
use crate::command::Command;
use crate::routing::{Leg, Routing, Server, mac_of};
use crate::spec::{BridgeSpec, FilterSpec, MemberSpec, OverSpec, RoutedSpec, Topology, VlanSpec};

/// The name of the bridge's end of a routed leg: no port's, as it has a character that those have not.
fn bridge_end(leg: &str) -> String {
    format!("{leg}{BRIDGE_END}")
}

const BRIDGE_END: &str = "/bridge";

/// The routed leg that a bridge's end is of, or the name itself.
pub(super) fn leg_of_end(name: &str) -> &str {
    name.strip_suffix(BRIDGE_END).unwrap_or(name)
}

/// Whether this is the name of a bridge's end.
pub(super) fn is_bridge_end(name: &str) -> bool {
    name.ends_with(BRIDGE_END)
}

impl Engine {
    /// Brings all workers to what should be: by one snapshot, or by two if there are new routed interfaces. Nothing comes in by those
    /// before their routes are there, nor by new ports: it may be for a leg of their bridge.
    pub(super) fn publish(&mut self) -> Result<(), EngineError> {
        self.outdated = false;
        self.make_bridge_legs()?;
        self.make_tunnels()?;
        while self.step()? {}
        self.server.iter().for_each(Server::wake);
        self.end_bridge_legs();
        self.end_tunnels();
        self.numbers.quiet();
        Ok(())
    }

    /// Builds a snapshot and waits until all workers use it. Whether another one is needed.
    fn step(&mut self) -> Result<bool, EngineError> {
        let interfaces = self.interfaces.iter().enumerate();
        let configured = interfaces.filter_map(|(at, i)| Some((at as u16, i.as_ref()?)));
        let configured = configured.filter(|(_, i)| i.mtu.is_some());
        let numbers: HashMap<Arc<str>, u16> = configured.map(|(at, i)| (Arc::clone(&i.name), at)).collect();
        let index = |name: &str| numbers.get(name).copied();
        let legs = self.topology.routed.iter();
        let underlays: HashSet<String> = self.tunnels().map(|(_, spec)| spec.vrf.clone()).collect();
        let legs = legs
            .filter_map(|(name, spec)| self.leg(index(name)?, name, spec, underlays.contains(&spec.vrf)))
            .map(|leg| (leg.number, leg));
        let legs: BTreeMap<u16, Leg> = legs.collect();
        let mut ends = tunnels::ends(&self.topology);
        ends.outside = nat::hairpins(&self.topology);
        let mut part = self.routing().prepare(legs.clone(), &self.topology, ends);
        let is_open = |name: &str| index(name).is_none_or(|number| !part.closed.contains(&number));
        let mut specs = bridges(&self.topology, is_open);
        self.add_learned(&mut specs);
        let (mut bridges, mut places) = self.domains.configure(&specs, index);
        // Nor does a bridge send anything to the end of a leg that is closed.
        let ends: Vec<u16> =
            part.closed.iter().filter_map(|leg| self.interfaces[*leg as usize].as_ref()?.peer).collect();
        for bridge in &mut bridges {
            bridge.members.retain(|member| !ends.contains(member));
        }
        self.routing().listen(self.domains.listeners());
        self.bridges = BTreeMap::new();
        for (name, bridge) in &specs {
            self.bridges.extend(bridge.members.keys().filter_map(|m| Some((index(m)?, name.clone()))));
        }
        let overlays = self.tunnelled_bridges();
        let mut tunnels = self.usable_tunnels(&legs, &part.vrfs);
        let origins: HashSet<u16> = tunnels.values().map(|tunnel| tunnel.origin).collect();
        Engine::flood_by_groups(&mut bridges, &tunnels);
        self.translate(&part.vrfs);
        let is_closed = |index: u16, attached: &Attached| {
            let is_new_port = attached.is_port() && !attached.open;
            part.closed.contains(&index) || !part.closed.is_empty() && is_new_port
        };
        let mut snapshot = Snapshot {
            bridges,
            vrfs: part.vrfs,
            adjacencies: part.adjacencies,
            punt: Some(Arc::clone(&self.punt)),
            nat: self.translation.nat(),
            tunnels: TunnelEnds::new(tunnels.iter().map(|(index, tunnel)| (*index, &**tunnel))),
            flows: self.filtering.flows(),
            ..Snapshot::default()
        };
        for (index, attached) in self.interfaces.iter().enumerate() {
            if let Some(attached) = attached
                && let Some(mtu) = attached.mtu
            {
                let index = index as u16;
                let place = match part.legs.remove(&index) {
                    Some((domain, l3)) => {
                        let routed = self.topology.routed.get(&*attached.name);
                        let zone = routed.map_or(Zone::default(), zone);
                        (Place { domain, vlan: None, zone }, routed.map(|routed| (l3, routed)))
                    }
                    None => (places.remove(&index).unwrap_or(NOWHERE), None),
                };
                let is_beside_tunnels = match &place.1 {
                    Some((_, routed)) => underlays.contains(&routed.vrf),
                    None => self.bridges.get(&index).is_some_and(|bridge| overlays.contains(bridge)),
                };
                let beside = Beside { tunnels: is_beside_tunnels, end: origins.contains(&index) };
                let spec = self.topology.filters.get(&*attached.name);
                let filter = self.filtering.filter(&attached.name, |name| numbers.get(name).copied());
                let mut interface = attached.interface(index, mtu, place, beside, spec, filter);
                if is_closed(index, attached) {
                    interface.input = Box::default();
                }
                interface.tunnel = tunnels.remove(&index);
                snapshot.set_interface(index, interface);
            }
        }
        let snapshot = Arc::new(snapshot);
        for worker in 0..self.workers.len() {
            // The old snapshot ends here, on control's side.
            self.order(worker, Command::Publish(Arc::clone(&snapshot)))?;
        }
        for (index, attached) in self.interfaces.iter_mut().enumerate() {
            if let Some(attached) = attached {
                let interface = snapshot.interface(index as u16);
                attached.open = interface.is_some_and(|interface| !interface.input.is_empty());
            }
        }
        self.domains.quiet();
        self.filtering.quiet();
        Ok(self.routing().complete())
    }

    pub(super) fn routing(&self) -> MutexGuard<'_, Routing> {
        self.routing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives numbers to the two ends of routed legs of bridges that are new.
    pub(super) fn make_bridge_legs(&mut self) -> Result<(), EngineError> {
        let legs: Vec<(String, u32)> =
            bridge_legs(&self.topology).map(|(n, r, ..)| (n.clone(), r.mtu.into())).collect();
        for (name, mtu) in legs {
            let end = bridge_end(&name);
            if let (Some(routed), Some(bridged)) = (self.find(&name), self.find(&end)) {
                for index in [routed, bridged] {
                    if let Some(attached) = &mut self.interfaces[index as usize] {
                        attached.mtu = Some(mtu);
                    }
                }
                continue;
            }
            if self.find(&name).is_some() {
                return Err(EngineError::Exists(name));
            }
            let routed = self.vacant()?;
            self.interfaces[routed as usize] = Some(self.bridge_leg(&name, mtu, 0));
            let bridged = match self.vacant() {
                Ok(bridged) => bridged,
                Err(error) => {
                    self.vacate(routed);
                    return Err(error);
                }
            };
            self.interfaces[bridged as usize] = Some(self.bridge_leg(&end, mtu, routed));
            if let Some(attached) = &mut self.interfaces[routed as usize] {
                attached.peer = Some(bridged);
            }
        }
        // Those that should not be any more carry nothing from now on.
        for index in self.ended_bridge_legs() {
            if let Some(attached) = &mut self.interfaces[index as usize] {
                attached.mtu = None;
            }
        }
        Ok(())
    }

    /// Gives back the numbers of ends that no worker knows any more.
    fn end_bridge_legs(&mut self) {
        for index in self.ended_bridge_legs() {
            self.vacate(index);
        }
    }

    fn ended_bridge_legs(&self) -> Vec<u16> {
        let is_wanted =
            |name: &str| bridge_legs(&self.topology).any(|(leg, ..)| leg == name || bridge_end(leg) == name);
        let ends = self.interfaces.iter().enumerate().filter_map(|(at, i)| Some((at as u16, i.as_ref()?)));
        ends.filter(|(_, i)| i.peer.is_some() && !is_wanted(&i.name)).map(|(at, _)| at).collect()
    }

    fn bridge_leg(&self, name: &str, mtu: u32, peer: u16) -> Attached {
        Attached {
            name: name.into(),
            kind: "bvi",
            capabilities: Capabilities::ALL,
            counters: (0..self.workers.len()).map(|_| InterfaceCounters::default()).collect(),
            owners: Vec::new(),
            state: LinkState::Up,
            capture: None,
            mtu: Some(mtu),
            open: false,
            peer: Some(peer),
            tunnel: None,
            has_moved: false,
            mac: None,
        }
    }

    /// A routed interface that there is.
    fn leg(&self, number: u16, name: &str, spec: &RoutedSpec, is_underlay: bool) -> Option<Leg> {
        let attached = self.interfaces.get(number as usize)?.as_ref()?;
        let beside = Beside { tunnels: is_underlay, end: false };
        let features = attached.features(Some(spec), false, beside, self.topology.filters.get(name));
        let (_, output) = paceline_nodes::arcs(number, features);
        Some(Leg {
            name: Arc::clone(&attached.name),
            number,
            vrf: spec.vrf.clone(),
            mac: spec.mac.or(attached.mac).unwrap_or_else(|| mac_of(name)),
            mtu: spec.mtu,
            addresses: spec.addresses.clone(),
            proxy_arp: spec.proxy_arp,
            statics: spec.neighbours.clone(),
            peer: spec.peer,
            out: *output.first()?,
            outside: if spec.nat { self.outside() } else { Vec::new() },
            owner: spec.owner.clone(),
        })
    }
}

const NOWHERE: Place = Place { domain: NO_DOMAIN, vlan: None, zone: Zone::new(0, false) };

/// Which tunnels have to do with an interface.
#[derive(Clone, Copy)]
struct Beside {
    /// There are some in its bridge, or in the table that it is routed by.
    tunnels: bool,
    /// Some end at its addresses.
    end: bool,
}

impl Attached {
    /// `routed`: how it is routed, if it is.
    fn features(
        &self,
        routed: Option<&RoutedSpec>,
        vlan: bool,
        beside: Beside,
        filter: Option<&FilterSpec>,
    ) -> Features {
        let joins = beside.tunnels && self.is_port();
        let own = Features {
            routed: routed.is_some(),
            nat: routed.is_some_and(|routed| routed.nat),
            source_check: routed.is_some_and(|routed| routed.source_check),
            mss_clamp: routed.is_some_and(|routed| routed.mss_clamp),
            patch: self.peer.is_some(),
            tunnel: self.tunnel.is_some(),
            vxlan_bypass: beside.end && routed.is_some(),
            vlan,
            capture: self.capture.is_some(),
            tcp_coalesce: joins && routed.is_none(),
            udp_coalesce: joins && routed.is_some(),
            capabilities: self.capabilities,
            ..Features::default()
        };
        filters::features(filter, own)
    }

    fn interface(
        &self,
        index: u16,
        mtu: u32,
        (place, routed): (Place, Option<(L3, &RoutedSpec)>),
        beside: Beside,
        spec: Option<&FilterSpec>,
        filter: Option<Arc<Filter>>,
    ) -> Interface {
        let features = self.features(routed.map(|routed| routed.1), place.vlan.is_some(), beside, spec);
        let (input, output) = paceline_nodes::arcs(index, features);
        Interface {
            name: Arc::clone(&self.name),
            mtu,
            input,
            output,
            domain: place.domain,
            l3: routed.map(|routed| routed.0),
            sources: routed.filter(|routed| routed.1.source_check).map(|routed| subnets(routed.1)),
            peer: self.peer,
            tunnel: None,
            zone: place.zone,
            vlan: place.vlan,
            capabilities: self.capabilities,
            filter,
            capture: self.capture.clone(),
            counters: Arc::clone(&self.counters),
        }
    }
}

/// What a routed interface is kept apart from. The other end of a link of two is the host's stack, which all reach.
fn zone(routed: &RoutedSpec) -> Zone {
    let zone = Zone::new(0, routed.isolated);
    let zone = if routed.internal { zone.internal() } else { zone };
    if routed.peer.is_some() { zone.open() } else { zone }
}

/// The subnets of a routed interface.
fn subnets(routed: &RoutedSpec) -> Arc<[IpNet]> {
    routed.addresses.iter().map(IpNet::trunc).collect()
}

/// Routed legs of bridges: name, what they are, the bridge and its VLAN.
fn bridge_legs(topology: &Topology) -> impl Iterator<Item = (&String, &RoutedSpec, &String, Option<u16>)> {
    topology.routed.iter().filter_map(|(name, spec)| match &spec.over {
        OverSpec::Bridge { bridge, vlan } if topology.bridges.contains_key(bridge) => {
            Some((name, spec, bridge, *vlan))
        }
        _ => None,
    })
}

/// All bridges, with their ends of routed legs among their members. The address of a leg that is open has its fixed place there.
fn bridges(topology: &Topology, is_open: impl Fn(&str) -> bool) -> BTreeMap<String, BridgeSpec> {
    let mut bridges = topology.bridges.clone();
    for (name, spec, bridge, vlan) in bridge_legs(topology) {
        let Some(bridge) = bridges.get_mut(bridge) else { continue };
        let vlan_spec = vlan.map_or(VlanSpec::Unaware, VlanSpec::Access);
        let member = MemberSpec { vlan: vlan_spec, group: spec.group, isolated: false };
        bridge.members.insert(bridge_end(name), member);
        if is_open(name) {
            let mac = spec.mac.unwrap_or_else(|| mac_of(name));
            bridge.static_macs.push((mac.0, bridge_end(name), vlan));
        }
    }
    bridges
}
