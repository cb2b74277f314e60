//! The way back to the workers, and how the switch's own IP packets go there.

use std::sync::Arc;
use std::time::Duration;

use paceline_buf::{Cache, Packet};
use paceline_graph::{Drops, Hop, Reason};
use paceline_nodes::hop;
use paceline_ports::copy_in;
use paceline_router::neighbour::{Action, Neighbours};
use paceline_wire::ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN};

use super::Leg;
use super::serve::{destination, is_link_local};
use crate::worker::Handover;

/// The way back to the workers.
pub(crate) struct Way {
    pub cache: Cache,
    pub worker: Handover,
    /// What no worker came to see.
    pub drops: Arc<Drops>,
}

impl Way {
    /// Sends a packet to a hop. What finds no place is dropped here.
    pub(super) fn send(&mut self, hop: Hop, packet: Packet) {
        if let Err(packet) = self.worker.give(hop, packet) {
            self.drops.add(Reason::HandoffFull, 1);
            self.cache.free(packet);
        }
    }

    /// A packet with these bytes. `None`, and counted, without a buffer.
    pub(super) fn packet(&mut self, bytes: &[u8]) -> Option<Packet> {
        let packet = copy_in(&mut self.cache, bytes);
        if packet.is_none() {
            self.drops.add(Reason::NoBuffers, 1);
        }
        packet
    }

    /// Lets a worker drop a packet, and count it.
    pub(super) fn drop(&mut self, mut packet: Packet, reason: Reason) {
        packet.reason = reason as u16;
        self.send(Hop::DROP, packet);
    }
}

/// The way of packets of the switch's own.
pub(super) struct Exit<'a> {
    pub now: Duration,
    pub way: &'a mut Way,
    pub neighbours: &'a mut Neighbours<Packet>,
    pub actions: &'a mut Vec<Action<Packet>>,
}

impl Exit<'_> {
    /// Sends an IP packet to the routing node, as if it had come in by a leg; or to a neighbour there, if its destination means
    /// something on that link alone: no routing node takes it.
    pub(super) fn send(&mut self, leg: &Leg, domain: u16, ip: &[u8]) {
        let Some(packet) = own(self.way, leg, domain, ip) else { return };
        match destination(packet.data()).filter(|to| is_link_local(*to)) {
            Some(to) => self.neighbours.want(self.now, leg.number, to, packet, self.actions),
            None => route(self.way, packet),
        }
    }
}

/// Gives a packet to the routing node of its version.
pub(super) fn route(way: &mut Way, packet: Packet) {
    let is_v4 = ethernet::ethertype(packet.data()) == Some(ETHERTYPE_IPV4);
    way.send(if is_v4 { hop::IP4_ROUTE } else { hop::IP6_ROUTE }, packet);
}

/// An IP packet of the switch's own, as if it had come in by a leg. `None` without a buffer.
fn own(way: &mut Way, leg: &Leg, domain: u16, ip: &[u8]) -> Option<Packet> {
    let is_v4 = ip.first().is_some_and(|first| first >> 4 == 4);
    let mut header = [0; HEADER_LEN];
    let ethertype = if is_v4 { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
    // There is room for it.
    let _ = ethernet::write_header(&mut header, leg.mac, leg.mac, ethertype);
    let mut packet = way.packet(&[&header[..], ip].concat())?;
    (packet.rx, packet.domain) = (leg.number, domain);
    packet.set_own();
    Some(packet)
}
