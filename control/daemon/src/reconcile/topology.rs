//! What should be, in the words of the engine.

use std::collections::BTreeMap;
use std::net::IpAddr;

use paceline_graph::{NatConfig, NatLimits, NatMapping, SessionTimeouts, UnknownUnicast};
use paceline_model::config::{self, Nat, Snooping, StaticMac, UnknownUnicast as Configured};
use paceline_model::{
    Desired, DesiredBridge, DesiredInterface, DesiredTunnel, MacAddr, Membership, Over, Path, Route,
    VlanMode, VrfName,
};
use paceline_wire::ethernet::Mac;
use paceline_worker::{
    BridgeSpec, InterfaceSpec, LearnPeers, MemberSpec, OverSpec, PathSpec, RouteSpec, RoutedSpec,
    SessionSpec, SnoopingSpec, Topology, TunnelSpec, VlanSpec, VrfSpec,
};

use super::filter::{self, Made};

/// What the workers were told, and what it was made of.
#[derive(Debug, Default)]
pub struct Told {
    pub desired: Desired,
    pub topology: Topology,
}

/// All interfaces, bridges and routes. Ports that could not be opened are in it too: the engine passes over names that it does not
/// have. Routes are taken from what was `told` last, but for those that have changed since; what came of long lists in the last
/// pass is in `made`.
pub fn topology(desired: &Desired, told: &Told, made: &mut Made) -> Topology {
    let interface = |port: &paceline_model::DesiredPort| InterfaceSpec { mtu: port.mtu.into() };
    Topology {
        interfaces: desired.ports.iter().map(|(name, port)| (name.to_string(), interface(port))).collect(),
        bridges: desired
            .bridges
            .iter()
            .map(|(name, bridge)| (name.to_string(), self::bridge(bridge)))
            .collect(),
        routed: desired
            .interfaces
            .iter()
            .map(|(name, routed)| (name.to_string(), self::routed(routed)))
            .collect(),
        nat: desired.nat.as_ref().map(nat),
        vrfs: vrfs(desired, told),
        tunnels: desired
            .tunnels
            .iter()
            .map(|(name, tunnel)| (name.to_string(), self::tunnel(tunnel)))
            .collect(),
        filters: filter::filters(desired, made),
        groups: filter::groups(desired),
        sessions: SessionSpec { limit: desired.sessions.limit, ..SessionSpec::default() },
    }
}

fn vrfs(desired: &Desired, told: &Told) -> BTreeMap<String, VrfSpec> {
    let before = |name: &VrfName| told.topology.vrfs.get(name.as_str()).cloned().unwrap_or_default();
    let mut vrfs: BTreeMap<_, _> = desired.vrfs.keys().map(|name| (name.to_string(), before(name))).collect();
    for id in desired.changed_routes(&told.desired) {
        let Some(VrfSpec { routes }) = vrfs.get_mut(id.vrf.as_str()) else { continue };
        match desired.route(&id) {
            Some(route) => routes.insert(id.prefix, self::route(route)),
            None => routes.remove(&id.prefix),
        };
    }
    vrfs
}

fn nat(nat: &Nat) -> NatConfig {
    let (mut addresses4, mut addresses6) = (Vec::new(), Vec::new());
    for address in &nat.addresses {
        match address {
            IpAddr::V4(address) => addresses4.push(*address),
            IpAddr::V6(address) => addresses6.push(*address),
        }
    }
    let mapping = |mapping: &config::NatMapping| NatMapping {
        protocol: mapping.protocol.number(),
        outside: mapping.outside,
        outside_port: mapping.port,
        inside: mapping.inside,
        inside_port: mapping.inside_port(),
    };
    NatConfig {
        addresses4,
        addresses6,
        ports: nat.ports.first()..=nat.ports.last(),
        inside: nat.inside.clone(),
        mappings: nat.mappings.iter().map(mapping).collect(),
        timeouts: SessionTimeouts {
            tcp_established: nat.tcp_established_s,
            tcp_transitory: nat.tcp_transitory_s,
            udp: nat.udp_s,
            icmp: nat.icmp_s,
        },
        limits: NatLimits { sessions: nat.sessions, per_host: nat.sessions_per_host },
        ..NatConfig::default()
    }
}

fn routed(interface: &DesiredInterface) -> RoutedSpec {
    RoutedSpec {
        over: match &interface.over {
            Over::Port(_) => OverSpec::Port,
            Over::Bridge { bridge, vlan } => {
                OverSpec::Bridge { bridge: bridge.to_string(), vlan: vlan.map(Into::into) }
            }
        },
        vrf: interface.vrf.to_string(),
        mac: interface.mac.map(mac),
        mtu: interface.mtu,
        addresses: interface.addresses.clone(),
        isolated: interface.isolated,
        internal: interface.internal,
        proxy_arp: interface.proxy_arp,
        neighbours: interface.neighbours.iter().map(|(address, at)| (*address, mac(*at))).collect(),
        peer: interface.peer.map(mac),
        nat: interface.nat,
        mss_clamp: interface.mss_clamp,
        source_check: interface.source_check,
        owner: interface.owner.as_ref().map(ToString::to_string),
        group: interface.split_horizon_group,
    }
}

fn tunnel(tunnel: &DesiredTunnel) -> TunnelSpec {
    TunnelSpec {
        vni: tunnel.vni.get(),
        vrf: tunnel.vtep.vrf.to_string(),
        local: tunnel.vtep.address,
        remote: tunnel.remote,
        group_interface: tunnel.remote.is_multicast().then(|| tunnel.vtep.interface.to_string()),
        port: tunnel.port,
        ttl: tunnel.ttl,
        dscp: tunnel.dscp,
        checksum: tunnel.checksum,
        mtu: tunnel.mtu.into(),
        learn_peers: tunnel.learn_peers.then(LearnPeers::default),
    }
}

pub(super) fn mac(mac: MacAddr) -> Mac {
    Mac::from_octets(mac.octets())
}

fn route(route: &Route) -> RouteSpec {
    match route {
        Route::Via(paths) => RouteSpec::Via(paths.iter().map(path).collect()),
        Route::Blackhole => RouteSpec::Blackhole,
        Route::Unreachable => RouteSpec::Unreachable,
        Route::Prohibit => RouteSpec::Prohibit,
    }
}

fn path(path: &Path) -> PathSpec {
    PathSpec { via: path.via, interface: path.interface.as_ref().map(ToString::to_string) }
}

fn bridge(bridge: &DesiredBridge) -> BridgeSpec {
    let members: BTreeMap<_, _> =
        bridge.members.iter().map(|(port, membership)| (port.to_string(), member(membership))).collect();
    BridgeSpec {
        mac_limit: bridge.mac_limit,
        mac_age_s: bridge.mac_age_s,
        learn: bridge.learn,
        unknown_unicast: match bridge.unknown_unicast {
            Configured::Flood => UnknownUnicast::Flood,
            Configured::Drop => UnknownUnicast::Drop,
        },
        members,
        static_macs: bridge.static_macs.iter().map(static_mac).collect(),
        snooping: match bridge.snooping {
            Snooping::Off => None,
            Snooping::On => Some(SnoopingSpec { querier: false }),
            Snooping::Querier => Some(SnoopingSpec { querier: true }),
        },
        neighbours: bridge.neighbours.iter().map(|(address, at)| (*address, mac(*at))).collect(),
    }
}

fn static_mac(entry: &StaticMac) -> (u64, String, Option<u16>) {
    (entry.mac.into(), entry.port.to_string(), entry.vlan.map(Into::into))
}

fn member(membership: &Membership) -> MemberSpec {
    MemberSpec {
        vlan: membership.vlan.as_ref().map_or(VlanSpec::Unaware, vlan),
        group: membership.split_horizon_group,
        isolated: membership.isolated,
    }
}

fn vlan(mode: &VlanMode) -> VlanSpec {
    match mode {
        VlanMode::Access(vlan) => VlanSpec::Access(vlan.get()),
        VlanMode::Tunnel(vlan) => VlanSpec::Tunnel(vlan.get()),
        VlanMode::Trunk { vlans, native, tpid } => VlanSpec::Trunk {
            // Frames of the native VLAN leave untagged.
            tagged: vlans.iter().filter(|vlan| Some(*vlan) != *native).map(Into::into).collect(),
            native: native.map(Into::into),
            tpid: tpid.ether_type(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paceline_model::config::Host;
    use paceline_model::{Config, Model, RouteId};
    use proptest::prelude::*;

    #[test]
    fn a_trunk_s_native_vlan_is_not_tagged() {
        let text = r#"
            [[port]]
            name = "p"
            kind = "null"
            mtu = 9000
            [[bridge]]
            name = "b"
            static_macs = [{ mac = "02:00:00:00:00:09", port = "p", vlan = 10 }]
            [[bridge.member]]
            port = "p"
            vlan = { trunk = ["10-12"], native = 11, tpid = "802.1ad" }
        "#;
        let config = Config::parse("test", text, &Host::default()).unwrap();
        let desired = paceline_model::desired(&config, &Model::default());
        let topology = topology(&desired, &Told::default(), &mut Made::default());
        assert_eq!(topology.interfaces["p"].mtu, 9000);
        let bridge = &topology.bridges["b"];
        assert_eq!(bridge.static_macs, [(0x0200_0000_0009, "p".into(), Some(10))]);
        let trunk = VlanSpec::Trunk { tagged: vec![10, 12], native: Some(11), tpid: 0x88a8 };
        assert_eq!(bridge.members["p"].vlan, trunk);
    }

    /// A file with a routing table more or less, and perhaps with other routes.
    fn file(has_red: bool, route: &str) -> Config {
        let red = if has_red { "vrf = [{ name = \"red\" }]" } else { "" };
        let text = format!(
            r#"
            port = [{{ name = "p", kind = "null" }}]
            {red}
            interface = [{{ port = "p", addresses = ["10.0.0.1/24"] }}]
            route = [{{ prefix = "20.0.0.0/24", via = "10.0.0.2" }}, {{ prefix = "{route}", action = "blackhole" }}]
            "#
        );
        Config::parse("test", &text, &Host::default()).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_told_is_the_same_whatever_was_told_before(
            steps in prop::collection::vec((any::<[bool; 2]>(), prop::collection::vec((0_u8..2, 0_u8..4, 0_u8..3), 0..6)), 1..6),
        ) {
            let files = [false, true].map(|red| ["20.0.1.0/24", "20.0.2.0/24"].map(|route| file(red, route)));
            let (mut model, mut told) = (Model::default(), Told::default());
            for ([has_red, other], edits) in steps {
                for (vrf, prefix, what) in edits {
                    let id: RouteId = format!("{}/20.0.{prefix}.0/24", ["default", "red"][usize::from(vrf)]).parse().unwrap();
                    match what {
                        0 => _ = model.routes.remove(&id),
                        1 => _ = model.routes.insert(id, Route::Prohibit),
                        _ => _ = model.routes.insert(id, Route::Unreachable),
                    }
                }
                let config = &files[usize::from(has_red)][usize::from(other)];
                let desired = paceline_model::desired(config, &model);
                let topology = topology(&desired, &told, &mut Made::default());
                prop_assert_eq!(&topology, &super::topology(&desired, &Told::default(), &mut Made::default()));
                for (vrf, spec) in &topology.vrfs {
                    let ids = (0..4).map(|n| format!("{vrf}/20.0.{n}.0/24").parse::<RouteId>().unwrap());
                    for id in ids {
                        let told = spec.routes.get(&id.prefix).cloned();
                        prop_assert_eq!(told, desired.route(&id).map(super::route), "{}", id);
                    }
                }
                told = Told { desired, topology };
            }
        }
    }
}
