//! The ports, bridges and routed interfaces of the configuration file.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::config::{Bridge, Interface, Member, On, Port};
use crate::{
    BridgeName, Config, Desired, DesiredBridge, DesiredInterface, DesiredKind, DesiredPort, Membership, Over,
    PortName, Tpid, VlanId, VlanMode, VlanSet, name,
};

/// Adds them.
pub(crate) fn add(config: &Config, desired: &mut Desired) {
    desired.ports.extend(config.ports.iter().map(|port| (port.name.clone(), self::port(port))));
    desired.bridges.extend(config.bridges.iter().map(|bridge| (bridge.name.clone(), self::bridge(bridge))));
    let trunks = trunks(config, desired);
    for Interface { vrf, .. } in &config.interfaces {
        desired.vrfs.entry(vrf.clone()).or_default();
    }
    for own in &config.interfaces {
        desired.interfaces.insert(own.name.clone(), interface(own, config, &trunks));
    }
    desired.vrfs.extend(config.vrfs.iter().map(|vrf| (vrf.name.clone(), crate::DesiredVrf::default())));
    desired.nat = config.nat.as_ref().map(|nat| {
        let own = config.interfaces.iter().filter(|interface| interface.nat);
        let first = |own: &Interface| own.addresses.iter().map(IpNet::addr).find(std::net::IpAddr::is_ipv4);
        let mut nat = nat.clone();
        if nat.addresses.is_empty() {
            nat.addresses = own.filter_map(first).collect();
        }
        nat
    });
    for (vrf, routes) in config.routes.tables() {
        // No other routes are in it yet.
        desired.vrfs.entry(vrf.clone()).or_default().routes.clone_from(routes);
    }
}

fn port(port: &Port) -> DesiredPort {
    let kind = DesiredKind::Configured(port.kind.clone());
    DesiredPort { kind, mtu: port.mtu, mac: port.mac, queues: port.queues }
}

pub(super) fn bridge(bridge: &Bridge) -> DesiredBridge {
    DesiredBridge {
        mac_limit: bridge.mac_limit,
        mac_age_s: bridge.mac_age_s,
        learn: bridge.learn,
        unknown_unicast: bridge.unknown_unicast,
        snooping: bridge.snooping,
        static_macs: bridge.static_macs.clone(),
        neighbours: BTreeMap::new(),
        members: bridge.members.iter().map(|member| (member.port.clone(), membership(member))).collect(),
    }
}

fn membership(member: &Member) -> Membership {
    Membership {
        vlan: member.vlan.clone(),
        split_horizon_group: member.split_horizon_group,
        isolated: member.isolated,
    }
}

/// Adds a bridge for each port with sub-interfaces, in which it is the only member and carries their VLANs. So a sub-interface
/// is a leg of a bridge like any other. Returns its name for each port.
fn trunks(config: &Config, desired: &mut Desired) -> BTreeMap<PortName, BridgeName> {
    let mut vlans: BTreeMap<&PortName, BTreeSet<VlanId>> = BTreeMap::new();
    for interface in &config.interfaces {
        if let On::Vlan { port, vlan } = &interface.on {
            vlans.entry(port).or_default().insert(*vlan);
        }
    }
    let mut trunks = BTreeMap::new();
    for (port, vlans) in vlans {
        let taken = |name: &str| desired.bridges.contains_key(name);
        let (text, longest) = (port.as_str(), BridgeName::MAX_LEN);
        let digits = text.len().min(longest - BridgeName::TRUNK.len());
        let name = name::unique(BridgeName::TRUNK, text, digits, longest, taken);
        let name: BridgeName = name.parse().expect("a prefix and the characters of a name make a name");
        let vlans: VlanSet = vlans.into_iter().collect();
        let vlan = Some(VlanMode::Trunk { vlans, native: None, tpid: Tpid::Dot1q });
        let mut trunk = bridge(&Bridge::new(name.clone()));
        trunk.members.insert(port.clone(), Membership { vlan, ..Membership::default() });
        desired.bridges.insert(name.clone(), trunk);
        trunks.insert(port.clone(), name);
    }
    trunks
}

fn interface(
    interface: &Interface,
    config: &Config,
    trunks: &BTreeMap<PortName, BridgeName>,
) -> DesiredInterface {
    let over = match &interface.on {
        On::Port(port) => Over::Port(port.clone()),
        On::Bridge { bridge, vlan } => Over::Bridge { bridge: bridge.clone(), vlan: *vlan },
        On::Vlan { port, vlan } => Over::Bridge { bridge: trunks[port].clone(), vlan: Some(*vlan) },
    };
    DesiredInterface {
        over,
        vrf: interface.vrf.clone(),
        mac: interface.mac,
        mtu: interface.mtu(config),
        addresses: interface.addresses.clone(),
        isolated: interface.isolated,
        internal: false,
        proxy_arp: interface.proxy_arp,
        neighbours: interface.neighbours.iter().map(|other| (other.address, other.mac)).collect(),
        peer: None,
        nat: interface.nat,
        mss_clamp: interface.mss_clamp,
        source_check: interface.source_check,
        owner: None,
        split_horizon_group: 0,
    }
}
