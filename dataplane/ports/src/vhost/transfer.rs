//! Packets out of a guest's queue, and into one.

use paceline_buf::{Packet, Vector, VnetHdr};
use paceline_graph::{Capabilities, Reason};
use paceline_vring::{Fault, Queue};
use paceline_wire::ethernet::HEADER_LEN;

use crate::Io;
use crate::vnet::{self, ENOUGH, HEADER, LARGEST};

/// Bytes of the header with the number of buffers behind it, as all but the oldest drivers have it (virtio 1.2 §5.1.6).
const LONG_HEADER: usize = HEADER + 2;

/// What driver and device agreed upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Bytes of the header in front of each frame, 10 or 12.
    pub header: usize,
    /// A frame may lie in several chains of the queue that the guest receives by.
    pub mergeable: bool,
    /// What the driver finishes by itself.
    pub capabilities: Capabilities,
}

impl Default for Terms {
    fn default() -> Self {
        Terms { header: LONG_HEADER, mergeable: false, capabilities: Capabilities::NONE }
    }
}

/// Receives what the guest sent. How many chains there were, dropped ones with them.
#[inline]
pub fn pull(queue: &mut Queue, terms: Terms, io: &mut Io<'_>, out: &mut Vector) -> Result<usize, Fault> {
    queue.check()?;
    let (mut bytes, mut frames) = (0, 0);
    for _ in 0..out.room() {
        if bytes >= ENOUGH || !queue.take()? {
            break;
        }
        bytes += queue.room();
        frames += 1;
        match read(queue, terms, io) {
            Ok(packet) => {
                if let Err(packet) = out.push(packet) {
                    io.drop(packet, Reason::GraphFull);
                }
            }
            Err((Some(packet), reason)) => io.drop(packet, reason),
            Err((None, reason)) => io.missed(reason, 1),
        }
        queue.give(0);
    }
    if frames > 0 {
        queue.publish();
    }
    Ok(frames)
}

/// The frame of the chain that is taken.
#[inline]
fn read(queue: &mut Queue, terms: Terms, io: &mut Io<'_>) -> Result<Packet, (Option<Packet>, Reason)> {
    let mut header = [0; LONG_HEADER];
    let len = match queue.room().checked_sub(terms.header) {
        Some(len) if len > LARGEST - HEADER => return Err((None, Reason::TooBig)),
        Some(len) if len >= HEADER_LEN => len,
        _ => return Err((None, Reason::Runt)),
    };
    queue.read(&mut header[..terms.header]);
    let Some(mut packet) = io.cache.alloc() else { return Err((None, Reason::NoBuffers)) };
    let room = packet.room_mut();
    let first = len.min(room.len());
    queue.read(&mut room[..first]);
    packet.set_len(first);
    if len > first && !read_rest(queue, len - first, io, &mut packet) {
        io.cache.free(packet);
        return Err((None, Reason::NoBuffers));
    }
    let short = header.first_chunk::<HEADER>().expect("it is longer");
    // Only what was offered: a later port would not know what to do with others.
    let known =
        matches!(short[1] & !VnetHdr::ECN, VnetHdr::GSO_NONE | VnetHdr::GSO_TCPV4 | VnetHdr::GSO_TCPV6);
    let accepted = if known { vnet::accept_with(&mut packet, short) } else { Err(Reason::BadOffload) };
    match accepted {
        Ok(()) => Ok(packet),
        Err(reason) => Err((Some(packet), reason)),
    }
}

/// The part of a frame behind its first chunk; false when the pool is exhausted.
#[cold]
fn read_rest(queue: &mut Queue, mut left: usize, io: &mut Io<'_>, packet: &mut Packet) -> bool {
    while left > 0 {
        let Some(mut tail) = io.cache.alloc() else { return false };
        tail.reserve(0);
        let room = tail.room_mut();
        let here = left.min(room.len());
        queue.read(&mut room[..here]);
        tail.set_len(here);
        left -= here;
        packet.push_tail(tail);
    }
    true
}

/// Sends packets to the guest. With a fault, how many of them were dealt with.
#[inline]
pub fn push(
    queue: &mut Queue,
    terms: Terms,
    io: &mut Io<'_>,
    packets: &[Packet],
) -> Result<(), (Fault, usize)> {
    queue.check().map_err(|fault| (fault, 0))?;
    for (at, packet) in packets.iter().enumerate() {
        match write(queue, terms, packet).map_err(|fault| (fault, at))? {
            Ok(()) => {}
            Err(reason) if vnet::is_lasting(reason) => {
                io.refuse(&packets[at..], reason);
                break;
            }
            Err(reason) => io.refuse(&packets[at..=at], reason),
        }
    }
    queue.publish();
    Ok(())
}

/// Writes one frame to as many chains as it takes, or to none.
#[inline]
fn write(queue: &mut Queue, terms: Terms, packet: &Packet) -> Result<Result<(), Reason>, Fault> {
    let mut header = [0; LONG_HEADER];
    if let Some(offload) = packet.offload() {
        match agreed(offload, terms.capabilities) {
            Ok(short) => header[..HEADER].copy_from_slice(&short),
            Err(reason) => return Ok(Err(reason)),
        }
    }
    let len = terms.header + packet.total_len();
    while queue.room() < len {
        if !terms.mergeable && queue.chains() > 0 {
            queue.untake();
            return Ok(Err(Reason::TxTooLong));
        }
        if !queue.take()? {
            queue.untake();
            return Ok(Err(Reason::TxFull));
        }
    }
    header[HEADER..].copy_from_slice(&(queue.chains() as u16).to_le_bytes());
    queue.write(&header[..terms.header]);
    if packet.is_chained() {
        for segment in packet.segments() {
            queue.write(segment);
        }
    } else {
        queue.write(packet.data());
    }
    queue.give(len);
    Ok(Ok(()))
}

/// The header for what is left to do to a packet, if the driver agreed to do it.
#[cold]
fn agreed(offload: VnetHdr, can: Capabilities) -> Result<[u8; HEADER], Reason> {
    let cuts = match offload.gso_type & !VnetHdr::ECN {
        VnetHdr::GSO_NONE => true,
        VnetHdr::GSO_TCPV4 => can.tso4,
        VnetHdr::GSO_TCPV6 => can.tso6,
        _ => false,
    };
    if !cuts || (offload.needs_csum() && !can.checksum) {
        return Err(Reason::BadOffload);
    }
    // That a checksum was verified is of use only to who knows of checksums (virtio 1.2 §5.1.6.4.1).
    if can.checksum { Ok(offload.to_bytes()) } else { Ok([0; HEADER]) }
}
