//! Moving whole frames between packets and plain memory.

use paceline_buf::{Cache, Packet};

/// Copies `bytes` into a new packet of as many chunks as it takes; `None`, with nothing kept, when the pool is exhausted.
#[inline]
pub fn copy_in(cache: &mut Cache, bytes: &[u8]) -> Option<Packet> {
    let mut packet = cache.alloc()?;
    if !fill_chain(cache, &mut packet, bytes) {
        cache.free(packet);
        return None;
    }
    Some(packet)
}

/// Fills an empty packet with `bytes`, adding as many chunks as it takes; `false` when the pool is exhausted.
#[inline]
pub fn fill_chain(cache: &mut Cache, packet: &mut Packet, bytes: &[u8]) -> bool {
    let count = fill(packet, bytes);
    count == bytes.len() || append(cache, packet, &bytes[count..])
}

#[inline]
fn fill(packet: &mut Packet, bytes: &[u8]) -> usize {
    let room = packet.room_mut();
    let count = bytes.len().min(room.len());
    room[..count].copy_from_slice(&bytes[..count]);
    packet.set_len(count);
    count
}

/// Adds chunks with `bytes` to a full packet; `false` when the pool is exhausted.
#[cold]
pub fn append(cache: &mut Cache, packet: &mut Packet, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let Some(mut tail) = cache.alloc() else { return false };
        tail.reserve(0);
        bytes = &bytes[fill(&mut tail, bytes)..];
        packet.push_tail(tail);
    }
    true
}
