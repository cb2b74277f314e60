//! `neighbour-suppress`: answers questions for known hosts where a flood would ask all of them (RFC 9161 §3; `neigh_suppress` of
//! Linux).
//!
//! Bridges that know hosts send here what would go to `l2-flood`. Next: the output arc of the asker's own port, with the answer;
//! `l2-flood` for everything else.
//!
//! Answered is a whole, untagged ARP request or neighbour solicitation from a member that is no tunnel, for a host that is
//! known and behind another port. What asks whether an address is free, or announces one, is never answered: who has it does that.
//!
//! Cost: a look at the type of a flooded frame; an answer is written over its question.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::Ordering::Relaxed;

use paceline_buf::{Packet, VECTOR_SIZE, Vector};
use paceline_graph::{Bridge, Context, Hop, Node};
use paceline_wire::arp::{Arp, Operation};
use paceline_wire::ethernet::{
    self, ETHERTYPE_ARP, ETHERTYPE_IPV6, HEADER_LEN, Mac, addresses, write_header,
};
use paceline_wire::ipv6;
use paceline_wire::ndp::{self, Message};

use crate::hop;

/// The node.
pub struct NeighbourSuppress {
    hops: Box<[Hop; VECTOR_SIZE]>,
}

impl Default for NeighbourSuppress {
    fn default() -> Self {
        NeighbourSuppress { hops: Box::new([Hop::DROP; VECTOR_SIZE]) }
    }
}

impl Node for NeighbourSuppress {
    fn name(&self) -> &'static str {
        "neighbour-suppress"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        for (packet, hop) in vector.as_mut_slice().iter_mut().zip(self.hops.iter_mut()) {
            *hop = answer(cx, packet).unwrap_or(hop::L2_FLOOD);
            if cx.is_tracing() && *hop != hop::L2_FLOOD {
                cx.trace(packet, format_args!("answered in place of a flood"));
            }
        }
        cx.dispatch(vector, &self.hops[..]);
    }
}

/// Makes a question into its answer. Where that goes; `None`, and nothing changed, if it is not answered here.
fn answer(cx: &Context<'_>, packet: &mut Packet) -> Option<Hop> {
    let snapshot = cx.snapshot;
    let bridge = snapshot.bridges.get(packet.domain as usize)?;
    if snapshot.interface(packet.rx)?.tunnel.is_some() || packet.is_chained() || packet.offload().is_some() {
        return None;
    }
    let (_, asker) = addresses(packet.data())?;
    let known = |address: IpAddr| known(bridge, packet.rx, asker, address);
    let (mut reply, len) = match ethernet::ethertype(packet.data())? {
        ETHERTYPE_ARP => arp(packet.data(), asker, known)?,
        ETHERTYPE_IPV6 => discovery(packet.data(), asker, known)?,
        _ => return None,
    };
    let reply = reply.get_mut(..len)?;
    packet.room_mut().get_mut(..len)?.copy_from_slice(reply);
    packet.set_len(len);
    (packet.tx, packet.feature) = (packet.rx, 0);
    bridge.counters.suppressed.fetch_add(1, Relaxed);
    Some(snapshot.l2_out.get(packet.rx as usize)?.hop)
}

/// The Ethernet address of a host, if somebody else asks for it who is behind another port.
fn known(bridge: &Bridge, rx: u16, asker: Mac, address: IpAddr) -> Option<Mac> {
    let mac = *bridge.neighbours.get(&address)?;
    let macs = bridge.macs.reader();
    let is_there = macs.lookup(mac.0, macs.hash(mac.0)) == Some(rx);
    (mac != asker && !is_there).then_some(mac)
}

/// Most bytes of an answer.
const ROOM: usize = HEADER_LEN + ndp::MAX_LEN;

/// The answer to an ARP request.
fn arp(frame: &[u8], asker: Mac, known: impl Fn(IpAddr) -> Option<Mac>) -> Option<([u8; ROOM], usize)> {
    let ask = Arp::parse(frame).ok()?;
    let is_question = ask.operation == Operation::Request && !ask.is_probe() && !ask.is_announcement();
    if !is_question || ask.sender_mac != asker {
        return None;
    }
    let mac = known(Ipv4Addr::from(ask.target).into())?;
    let mut out = [0; ROOM];
    let len = ask.reply(mac).write(asker, &mut out)?;
    // The answer is the host's, and so comes from its address.
    write_header(&mut out, asker, mac, ETHERTYPE_ARP)?;
    Some((out, len))
}

/// The answer to a neighbour solicitation.
fn discovery(frame: &[u8], asker: Mac, known: impl Fn(IpAddr) -> Option<Mac>) -> Option<([u8; ROOM], usize)> {
    let ip = frame.get(HEADER_LEN..)?;
    if !ndp::is_discovery(ip) {
        return None;
    }
    let Ok(Message::Solicitation(ask)) = ndp::parse(ip) else { return None };
    if ask.source == ipv6::UNSPECIFIED || ask.link_layer.is_some_and(|mac| mac != asker) {
        return None;
    }
    let mac = known(Ipv6Addr::from(ask.target).into())?;
    let mut out = [0; ROOM];
    let len = ask.answer(mac, false).write(&mut out[HEADER_LEN..])?;
    write_header(&mut out, asker, mac, ETHERTYPE_IPV6)?;
    Some((out, HEADER_LEN + len))
}
