//! `ip4-fragment`: cuts routed IPv4 packets that are longer than the MTU of their next hop, and may be (RFC 791 §3.2).
//!
//! Next: the output arc of the packet's interface.
//!
//! Cost: a buffer and a copy for each fragment. All fragments of a packet are sent, or none.

use paceline_buf::{Cache, Packet, Vector};
use paceline_graph::{Context, Node, Reason};
use paceline_wire::ethernet::HEADER_LEN;
use paceline_wire::fragment::{Plan, Refused};

use crate::offload::finish_checksum;
use crate::successor;

/// Most fragments of a packet: more than the longest makes at an MTU of 68.
const MOST: usize = 2048;

/// The node.
pub struct Ip4Fragment {
    /// Fragments of the packet in work.
    fragments: Vec<Packet>,
}

impl Default for Ip4Fragment {
    fn default() -> Self {
        Ip4Fragment { fragments: Vec::with_capacity(MOST) }
    }
}

impl Node for Ip4Fragment {
    fn name(&self) -> &'static str {
        "ip4-fragment"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let fragments = &mut self.fragments;
        vector.drain(|mut packet| match cut(cx.cache, &mut packet, fragments) {
            Ok(()) => {
                cx.trace(&packet, format_args!("cut into {} fragments", fragments.len()));
                if let (Some(record), Some(first)) = (packet.trace(), fragments.first_mut()) {
                    first.set_trace(record);
                }
                for fragment in fragments.drain(..) {
                    match cx.first_output(&fragment) {
                        Some(hop) => cx.send(fragment, hop),
                        None => cx.drop(fragment, Reason::NoPort),
                    }
                }
                cx.cache.free(packet);
            }
            Err(reason) => {
                fragments.drain(..).for_each(|fragment| cx.cache.free(fragment));
                cx.drop(packet, reason);
            }
        });
    }
}

/// Makes the fragments of a packet, whose `aux` is the MTU.
fn cut(cache: &mut Cache, packet: &mut Packet, fragments: &mut Vec<Packet>) -> Result<(), Reason> {
    // A checksum covers the whole datagram, and no part of it can be told to have one filled in.
    if let Some(request) = packet.offload() {
        if request.needs_csum() {
            finish_checksum(packet, &request)?;
        }
        packet.clear_offload();
    }
    let packet = &*packet;
    let (ethernet, ip) = packet.data().split_first_chunk::<HEADER_LEN>().ok_or(Reason::Runt)?;
    let plan = Plan::new(ip, packet.total_len() - HEADER_LEN, packet.aux as usize).map_err(|refused| {
        let is_header = matches!(refused, Refused::Header | Refused::Options);
        if is_header { Reason::IpHeader } else { Reason::NeedsFragmentation }
    })?;
    if plan.count() > MOST {
        return Err(Reason::NeedsFragmentation);
    }
    for index in 0..plan.count() {
        let fragment = successor(cache, packet).ok_or(Reason::NoBuffers)?;
        // Pushed before an error leaves: what is in `fragments` is freed by the caller.
        fragments.push(fragment);
        let Some(fragment) = fragments.last_mut() else { return Err(Reason::NoBuffers) };
        let start = HEADER_LEN + plan.header_len(index);
        let payload = plan.payload_range(index);
        fill(cache, fragment, packet, start, HEADER_LEN + payload.start, payload.len())?;
        let front = fragment.data_mut();
        front.first_chunk_mut().map(|to| *to = *ethernet).ok_or(Reason::NoBuffers)?;
        plan.write_header(index, &mut front[HEADER_LEN..]).ok_or(Reason::NoBuffers)?;
    }
    Ok(())
}

/// Copies `len` bytes from `from` on in a packet to behind the first `start` bytes of an empty one, in as many chunks as it takes.
fn fill(
    cache: &mut Cache,
    to: &mut Packet,
    packet: &Packet,
    start: usize,
    mut from: usize,
    mut len: usize,
) -> Result<(), Reason> {
    to.set_len(start + len);
    let copied = packet.copy_to(from, to.data_mut().get_mut(start..).ok_or(Reason::NoBuffers)?);
    (from, len) = (from + copied, len - copied);
    while len > 0 {
        let mut tail = cache.alloc().ok_or(Reason::NoBuffers)?;
        tail.set_len(len);
        let copied = packet.copy_to(from, tail.data_mut());
        to.push_tail(tail);
        // The plan was made for what is there, so that something always is.
        if copied == 0 {
            return Err(Reason::IpLength);
        }
        (from, len) = (from + copied, len - copied);
    }
    Ok(())
}
