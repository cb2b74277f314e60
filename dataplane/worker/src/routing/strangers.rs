//! Other ends of tunnels that are not configured: their packets wait until the engine has made tunnels for them, or has not.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use paceline_buf::Packet;
use paceline_graph::Reason;
use paceline_nodes::hop;
use paceline_wire::ethernet::HEADER_LEN;
use paceline_wire::flow::{extract_v4, extract_v6};
use paceline_wire::{udp, vxlan};

use super::{Routing, Way};

/// Strangers that may wait to be looked at; each with its first packet. A fraction of what may wait with control.
const MOST: usize = 64;

/// Who sent a packet of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stranger {
    /// Name of the routing table.
    pub vrf: String,
    /// Its address.
    pub remote: IpAddr,
    /// The address that it sent to: a tunnel's own, or a group's.
    pub to: IpAddr,
    /// The UDP port.
    pub port: u16,
    /// The network.
    pub vni: u32,
}

/// All that wait.
#[derive(Default)]
pub(super) struct Strangers {
    waiting: BTreeMap<Stranger, Packet>,
    /// Packets that are to be looked at again.
    again: Vec<Packet>,
    /// Packets of those who stay strangers.
    refused: Vec<Packet>,
}

impl Routing {
    /// A packet of an end that has no tunnel.
    pub(super) fn stranger(&mut self, packet: Packet, way: &mut Way) {
        let waiting = &mut self.strangers.waiting;
        let name = self.tables.get(usize::from(packet.domain)).map(|table| table.name.to_string());
        match name.zip(read(&packet)) {
            Some((vrf, (remote, to, port, vni))) if waiting.len() < MOST => {
                let stranger = Stranger { vrf, remote, to, port, vni };
                if let Some(earlier) = waiting.insert(stranger, packet) {
                    way.drop(earlier, Reason::UnknownPeer);
                }
            }
            _ => way.drop(packet, Reason::UnknownPeer),
        }
    }

    /// Who has come since this was asked last. Their packets wait for [`met`](Self::met).
    pub(crate) fn strangers(&self) -> Vec<Stranger> {
        self.strangers.waiting.keys().cloned().collect()
    }

    /// Strangers were looked at; those that `is_known` have a tunnel now, and their packets come by it.
    pub(crate) fn met(&mut self, strangers: &[Stranger], is_known: impl Fn(&Stranger) -> bool) {
        for stranger in strangers {
            let Some(packet) = self.strangers.waiting.remove(stranger) else { continue };
            if is_known(stranger) {
                self.strangers.again.push(packet);
            } else {
                self.strangers.refused.push(packet);
            }
        }
    }

    /// Sends the packets of those who were looked at on their way.
    pub(super) fn serve_strangers(&mut self, way: &mut Way) {
        for packet in self.strangers.again.drain(..) {
            way.send(hop::VXLAN_DECAP, packet);
        }
        for packet in self.strangers.refused.drain(..) {
            way.drop(packet, Reason::UnknownPeer);
        }
    }

    /// Frees all of their packets.
    pub(super) fn end_strangers(&mut self, way: &mut Way) {
        let Strangers { waiting, again, refused } = std::mem::take(&mut self.strangers);
        waiting.into_values().chain(again).chain(refused).for_each(|packet| way.cache.free(packet));
    }
}

/// Source, destination, port and network of a packet that `vxlan-decap` took for a tunnel's.
fn read(packet: &Packet) -> Option<(IpAddr, IpAddr, u16, u32)> {
    let (ip, total) = (packet.data().get(HEADER_LEN..)?, packet.total_len().checked_sub(HEADER_LEN)?);
    let (source, destination, port, l4): (IpAddr, IpAddr, u16, usize) =
        if let Ok(flow) = extract_v4(ip, total) {
            let key = flow.key;
            (
                Ipv4Addr::from(key.source).into(),
                Ipv4Addr::from(key.destination).into(),
                key.destination_port,
                flow.l4,
            )
        } else {
            let flow = extract_v6(ip, total).ok()?;
            let key = flow.key;
            (
                Ipv6Addr::from(key.source).into(),
                Ipv6Addr::from(key.destination).into(),
                key.destination_port,
                flow.l4,
            )
        };
    let header = ip.get(l4 + udp::HEADER_LEN..)?.first_chunk()?;
    Some((source, destination, port, vxlan::network(*header)?))
}
