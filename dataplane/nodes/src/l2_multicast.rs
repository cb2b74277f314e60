//! `l2-multicast`: sends IP multicast to the ports that have asked for it, and to those that lead to routers (IGMP and MLD
//! snooping, RFC 4541).
//!
//! Bridges that listen send here what goes to an IP group. Next: the output arcs of those ports; `l2-flood`, by way of
//! `neighbour-suppress`, for what every port gets; `punt` with a copy of what hosts and routers say of groups.
//!
//! Every port gets what is for the link's own protocols (224.0.0.0/24, ff02::/16: neighbour discovery is among them), what routers ask,
//! and, as long as nobody asks, everything. What hosts answer goes to routers alone: another host that hears it might keep its own
//! answer to itself (RFC 2236 §3). And to ports of split-horizon groups, as tunnels are: bridges behind these send to members behind
//! each other directly, and so must know them, whichever of them the router is behind.
//!
//! A question from an isolated port is not told to control: who is isolated, too, does not hear it, and would be taken for silent.
//!
//! Cost: a look at the IP header and at the group's places in the table, four cache lines at most; per port a new head of up to 256
//! bytes. Frames to stations and broadcasts do not come here.

use paceline_buf::{Packet, Vector};
use paceline_graph::{Bridge, Context, Node, Reason};
use paceline_tables::PortSet;
use paceline_wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN, ethertype};
use paceline_wire::membership::{Kind, is_link_group, kind};

use crate::hop;
use crate::l2_bridge::flood;
use crate::l2_flood::replicate;

/// The node.
#[derive(Default)]
pub struct L2Multicast {
    ports: PortSet,
}

impl Node for L2Multicast {
    fn name(&self) -> &'static str {
        "l2-multicast"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        vector.drain(|packet| forward(cx, packet, &mut self.ports));
    }
}

fn forward(cx: &mut Context<'_>, packet: Packet, ports: &mut PortSet) {
    let Some(bridge) = cx.snapshot.bridges.get(packet.domain as usize) else {
        return cx.drop(packet, Reason::NoBridge);
    };
    let (Some(table), Some(kind)) = (&bridge.multicast, read(packet.data())) else {
        return cx.send(packet, flood(bridge));
    };
    match kind {
        Kind::Data(group) if is_link_group(group) || !table.forward(group, ports) => {
            cx.send(packet, flood(bridge));
        }
        Kind::Data(_) => {
            if let Err(packet) = replicate(cx, packet, bridge, "port that asked for it", ports.iter()) {
                cx.drop(packet, Reason::NoListener);
            }
        }
        Kind::Query => {
            let zone = cx.snapshot.l2_out.get(usize::from(packet.rx)).map(|out| out.zone);
            let is_heard_by_all = zone.is_some_and(|zone| !zone.is_guarded());
            let packet = if is_heard_by_all { overhear(cx, packet) } else { packet };
            cx.send(packet, flood(bridge));
        }
        Kind::Report => {
            let is_ipv6 = ethertype(packet.data()) == Some(ETHERTYPE_IPV6);
            let is_for_routers = table.answers(is_ipv6, ports);
            let is_grouped = |port: &&u16| {
                cx.snapshot.l2_out.get(usize::from(**port)).is_some_and(|out| out.zone.is_grouped())
            };
            bridge.members.iter().filter(is_grouped).for_each(|port| ports.insert(*port));
            report(cx, packet, bridge, is_for_routers.then_some(&*ports));
        }
    }
}

/// What a frame is, if it is whole IP.
fn read(frame: &[u8]) -> Option<Kind> {
    let ip = frame.get(HEADER_LEN..)?;
    let version = match ethertype(frame)? {
        ETHERTYPE_IPV4 => 4,
        ETHERTYPE_IPV6 => 6,
        _ => return None,
    };
    ip.first().filter(|first| *first >> 4 == version)?;
    kind(ip)
}

/// Gives control a copy.
fn overhear(cx: &mut Context<'_>, mut packet: Packet) -> Packet {
    match cx.cache.replicate(&mut packet) {
        Some(mut copy) => {
            copy.reason = Reason::Membership as u16;
            cx.send(copy, hop::PUNT);
        }
        None => cx.count(packet.rx, Reason::NoBuffers),
    }
    packet
}

/// Gives control what a host says, and a copy to the ports that are to hear it; none: all.
fn report(cx: &mut Context<'_>, mut packet: Packet, bridge: &Bridge, ports: Option<&PortSet>) {
    let Some(ports) = ports else {
        let packet = overhear(cx, packet);
        return cx.send(packet, flood(bridge));
    };
    if ports.iter().any(|port| port != packet.rx) {
        match cx.cache.replicate(&mut packet) {
            Some(copy) => {
                // What is sent to no port was told to control all the same.
                if let Err(copy) =
                    replicate(cx, copy, bridge, "port that leads to a router or a bridge", ports.iter())
                {
                    cx.cache.free(copy);
                }
            }
            None => cx.count(packet.rx, Reason::NoBuffers),
        }
    }
    packet.reason = Reason::Membership as u16;
    cx.send(packet, hop::PUNT);
}

#[cfg(test)]
#[path = "l2_multicast_tests.rs"]
mod tests;
