//! The ports and bridges of the configuration file, as they are.

use crate::config::{Bridge, Member, Port};
use crate::{Config, Desired, DesiredBridge, DesiredKind, DesiredPort, Membership};

/// Adds them.
pub(super) fn add(config: &Config, desired: &mut Desired) {
    desired.ports.extend(config.ports.iter().map(|port| (port.name.clone(), self::port(port))));
    desired.bridges.extend(config.bridges.iter().map(|bridge| (bridge.name.clone(), self::bridge(bridge))));
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
        static_macs: bridge.static_macs.clone(),
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
