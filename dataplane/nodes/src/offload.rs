//! `offload`: finishes packets for a port that cannot do it itself: cuts super-packets, fills in checksums.
//!
//! Next: the rest of the output arc.
//!
//! Cost: nothing is read of a finished packet but its flags. A checksum reads the whole packet once. A super-packet is copied
//! into fresh buffers, summed on the way; all its segments are sent, or none.

use paceline_buf::{Cache, Packet, Segments, VECTOR_SIZE, Vector, VnetHdr};
use paceline_graph::{Capabilities, Context, Hop, Node, Reason};
use paceline_wire::checksum::{self, Sum};
use paceline_wire::segment::{MAX_HEADERS, MAX_SEGMENTS, Plan};

use crate::{refuse, successor};

/// The node.
pub struct Offload {
    hops: Box<[Hop; VECTOR_SIZE]>,
    /// Which packets of the vector are to be cut.
    cut: Box<[bool; VECTOR_SIZE]>,
    /// Segments of the packet in work.
    segments: Vec<Packet>,
}

impl Default for Offload {
    fn default() -> Self {
        Offload {
            hops: Box::new([Hop::DROP; VECTOR_SIZE]),
            cut: Box::new([false; VECTOR_SIZE]),
            segments: Vec::with_capacity(MAX_SEGMENTS),
        }
    }
}

/// What a port leaves to be done for a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// The port does it.
    Nothing,
    /// The report that a checksum is right, for a port that cannot say so.
    Forget,
    Checksum,
    Cut,
}

impl Work {
    #[inline]
    fn of(request: &VnetHdr, port: Capabilities) -> Work {
        if request.is_gso() {
            let can = match request.gso_type & !VnetHdr::ECN {
                VnetHdr::GSO_TCPV4 => port.tso4,
                VnetHdr::GSO_TCPV6 => port.tso6,
                VnetHdr::GSO_UDP_L4 => port.uso,
                _ => false,
            };
            return if can { Work::Nothing } else { Work::Cut };
        }
        match (port.checksum, request.needs_csum()) {
            (true, _) => Work::Nothing,
            (false, true) => Work::Checksum,
            (false, false) => Work::Forget,
        }
    }
}

impl Node for Offload {
    fn name(&self) -> &'static str {
        "offload"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let (snapshot, tracing) = (cx.snapshot, cx.is_tracing());
        let mut any_cut = false;
        for (at, packet) in vector.as_mut_slice().iter_mut().enumerate() {
            self.hops[at] = cx.next_output(packet).unwrap_or(Hop::NOWHERE);
            self.cut[at] = false;
            let Some(request) = packet.offload() else { continue };
            let port = snapshot.interface(packet.tx).map(|i| i.capabilities).unwrap_or_default();
            match Work::of(&request, port) {
                Work::Nothing => {}
                Work::Forget => packet.clear_offload(),
                Work::Checksum => match finish_checksum(packet, &request) {
                    Ok(()) if tracing => cx.trace(packet, format_args!("checksum filled in")),
                    Ok(()) => {}
                    Err(reason) => self.hops[at] = refuse(packet, reason),
                },
                Work::Cut => (self.cut[at], any_cut) = (true, true),
            }
        }
        if !any_cut {
            return cx.dispatch(vector, &self.hops[..]);
        }
        // One by one, so that a flow's packets stay in order.
        let (hops, cut, segments) = (&self.hops, &self.cut, &mut self.segments);
        let mut at = 0;
        vector.drain(|packet| {
            if cut[at] {
                cut_up(cx, packet, segments);
                segments.drain(..).for_each(|segment| cx.send(segment, hops[at]));
            } else {
                cx.send(packet, hops[at]);
            }
            at += 1;
        });
    }
}

/// Fills in the checksum that a request asks for, and takes the request off.
///
/// # Errors
/// [`Reason::BadOffload`]: the field is not in the first segment, where headers are.
pub fn finish_checksum(packet: &mut Packet, request: &VnetHdr) -> Result<(), Reason> {
    let (start, offset) = (request.csum_start as usize, request.csum_offset as usize);
    let sum = checksum::finish_partial(packet.segments(), start, offset).ok_or(Reason::BadOffload)?;
    let field = packet.data_mut().get_mut(start + offset..).and_then(<[u8]>::first_chunk_mut);
    *field.ok_or(Reason::BadOffload)? = sum.to_be_bytes();
    packet.clear_offload();
    Ok(())
}

/// Cuts a super-packet into segments, or drops it whole: then there are none. `segments` is empty before.
#[cold]
pub(crate) fn cut_up(cx: &mut Context<'_>, packet: Packet, segments: &mut Vec<Packet>) {
    match cut(cx.cache, &packet, segments) {
        Ok(()) => {
            cx.trace(&packet, format_args!("cut into {} segments", segments.len()));
            if let (Some(record), Some(first)) = (packet.trace(), segments.first_mut()) {
                first.set_trace(record);
            }
            cx.cache.free(packet);
        }
        Err(reason) => {
            segments.drain(..).for_each(|segment| cx.cache.free(segment));
            cx.drop(packet, reason);
        }
    }
}

/// Makes the segments of a super-packet.
fn cut(cache: &mut Cache, packet: &Packet, segments: &mut Vec<Packet>) -> Result<(), Reason> {
    let request = packet.offload().unwrap_or_default();
    let mut front = [0; MAX_HEADERS];
    let filled = packet.copy_to(0, &mut front);
    let plan =
        Plan::new(&front[..filled], packet.total_len(), &request).map_err(|_refused| Reason::BadOffload)?;
    let mut payload = Payload { segments: packet.segments(), rest: &[] };
    payload.skip(plan.header_len());
    for index in 0..plan.count() {
        let mut segment = successor(cache, packet).ok_or(Reason::NoBuffers)?;
        let filled = fill(cache, &mut segment, &plan, index, &mut payload);
        // Pushed before the error leaves: what is in `segments` is freed by the caller.
        segments.push(segment);
        filled?;
    }
    Ok(())
}

/// Fills one segment, chained if it is longer than a buffer.
fn fill(
    cache: &mut Cache,
    segment: &mut Packet,
    plan: &Plan<'_>,
    index: usize,
    payload: &mut Payload<'_>,
) -> Result<(), Reason> {
    let (mut left, mut sum) = (plan.payload_range(index).len(), Sum::default());
    segment.set_len(plan.header_len() + left);
    let part = segment.data_mut().get_mut(plan.header_len()..).ok_or(Reason::BadOffload)?;
    payload.read(part, &mut sum);
    left -= part.len();
    while left > 0 {
        let mut tail = cache.alloc().ok_or(Reason::NoBuffers)?;
        tail.set_len(left);
        payload.read(tail.data_mut(), &mut sum);
        left -= tail.len();
        segment.push_tail(tail);
    }
    plan.write_header(index, sum, segment.data_mut()).ok_or(Reason::BadOffload)
}

/// Reads a packet on, over the borders of its segments.
struct Payload<'a> {
    segments: Segments<'a>,
    rest: &'a [u8],
}

impl<'a> Payload<'a> {
    /// The next bytes, at most `want`; none at the end.
    fn next(&mut self, want: usize) -> &'a [u8] {
        while self.rest.is_empty() {
            let Some(segment) = self.segments.next() else { break };
            self.rest = segment;
        }
        let (part, rest) = self.rest.split_at(want.min(self.rest.len()));
        self.rest = rest;
        part
    }

    fn skip(&mut self, mut count: usize) {
        while count > 0 {
            let skipped = self.next(count).len();
            if skipped == 0 {
                return;
            }
            count -= skipped;
        }
    }

    /// Fills `out` and adds it to the sum, each part right after its copy, while it is in the cache.
    fn read(&mut self, mut out: &mut [u8], sum: &mut Sum) {
        while !out.is_empty() {
            let part = self.next(out.len());
            if part.is_empty() {
                return;
            }
            let (to, rest) = out.split_at_mut(part.len());
            to.copy_from_slice(part);
            sum.add(to);
            out = rest;
        }
    }
}

#[cfg(test)]
#[path = "offload_tests.rs"]
mod tests;
