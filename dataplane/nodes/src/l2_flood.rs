//! `l2-flood`: sends a frame to every port of its domain but the one it came from.
//!
//! Next: the output arcs of those ports.
//!
//! Cost: per port a new head of up to 256 bytes; what lies behind is shared by reference.

use paceline_buf::{Packet, Vector};
use paceline_graph::{Bridge, Context, Node, Reason};

use crate::l2_size::fits;

/// The node.
#[derive(Default)]
pub struct L2Flood;

impl Node for L2Flood {
    fn name(&self) -> &'static str {
        "l2-flood"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        vector.drain(|packet| flood(cx, packet));
    }
}

fn flood(cx: &mut Context<'_>, packet: Packet) {
    let Some(bridge) = cx.snapshot.bridges.get(packet.domain as usize) else {
        return cx.drop(packet, Reason::NoBridge);
    };
    if let Err(packet) = replicate(cx, packet, bridge, "of its ports", bridge.members.iter().copied()) {
        cx.drop(packet, Reason::NoFloodPort);
    }
}

/// Sends a packet to some ports: to each of them, but the one that it came from, those that are kept apart from that, and those that
/// it is too long for. `which`: what they are to the bridge, for traces.
///
/// # Errors
/// The packet itself, if it goes to none.
pub(crate) fn replicate(
    cx: &mut Context<'_>,
    mut packet: Packet,
    bridge: &Bridge,
    which: &str,
    ports: impl Iterator<Item = u16>,
) -> Result<(), Packet> {
    let outs = &cx.snapshot.l2_out[..];
    let own = outs.get(packet.rx as usize).copied().unwrap_or_default();
    packet.feature = 0;
    // The one that gets the original: known only when the next one is found, or none is.
    let mut waiting = None;
    for member in ports {
        let Some(out) = outs.get(member as usize) else { continue };
        if member == packet.rx || own.zone.apart(out.zone) {
            continue;
        }
        let size = packet.total_len() as u32;
        if (size > out.max_frame || !packet.is_plain()) && !fits(&packet, out.max_frame) {
            cx.count(packet.rx, Reason::TooBig);
            continue;
        }
        if let Some((port, hop)) = waiting.replace((member, out.hop)) {
            match cx.cache.replicate(&mut packet) {
                Some(mut copy) => {
                    copy.tx = port;
                    cx.send(copy, hop);
                }
                None => cx.count(packet.rx, Reason::NoBuffers),
            }
        }
    }
    match waiting {
        Some((port, hop)) => {
            packet.tx = port;
            cx.trace(&packet, format_args!("{}: a copy to each {which}", bridge.name));
            cx.send(packet, hop);
            Ok(())
        }
        None => Err(packet),
    }
}
