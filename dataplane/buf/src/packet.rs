//! A packet: the one handle of its chunk, with the metadata that nodes read.

use std::fmt;

use paceline_sys::vnet::VnetHdr;

use crate::chunk::{Chunk, DATA_OFFSET, Link, ROOM_OFFSET};
use crate::segments::Segments;

/// Properties of a packet that most packets do not have, so that one test of a byte rules all of them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// More segments follow the head.
    const CHAINED: u8 = 1;
    /// The header line holds an offload request.
    const OFFLOAD: u8 = 2;
    /// A trace record follows the packet.
    const TRACED: u8 = 4;
    /// The switch itself made the packet, and no router has had it.
    const OWN: u8 = 8;
}

/// Bytes of a cache line.
const LINE: usize = 64;
const _: () = assert!(LINE <= ROOM_OFFSET, "there is a line in front of the data in any chunk");

/// There is not enough headroom or tailroom for what should be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for {want} bytes in the packet buffer: {have} are left")]
pub struct NoRoom {
    /// Bytes that should have been added.
    pub want: usize,
    /// Bytes that could be.
    pub have: usize,
}

/// A packet, held by this handle alone. Not `Clone`: see [`Cache::replicate`](crate::Cache::replicate).
///
/// There is no `Drop`: a packet ends by [`Cache::free`](crate::Cache::free), since only a worker's cache can take its chunk
/// back without a shared cache line. The pool's leak counter finds those that were forgotten.
#[repr(C)]
#[must_use = "a packet that is dropped leaks its buffer: free it, or send it on"]
pub struct Packet {
    chunk: Chunk,
    offset: u16,
    len: u16,
    size: u16,
    flags: Flags,
    /// Place in the feature arc that the packet is walking.
    pub feature: u8,
    /// Interface it was received on.
    pub rx: u16,
    /// Interface it leaves by.
    pub tx: u16,
    /// Why it is to be dropped, when its next node is `drop`.
    pub reason: u16,
    /// The bridge domain (or later VRF) that it is in.
    pub domain: u16,
    /// A word that one node leaves for the next.
    pub aux: u32,
    /// Tunnels that it has entered inside the switch.
    pub tunnels: u8,
}

const _: () = assert!(size_of::<Packet>() == 32, "two packets a cache line");

// SAFETY: the handle is the only one of its chunk, so moving it to another thread moves the access with it. Shared tails
// are only read, and counted by an atomic.
unsafe impl Send for Packet {}

impl Packet {
    /// A packet with no bytes in it.
    ///
    /// # Safety
    /// Nobody else holds `chunk`, which is `size` bytes long (2048 or 4096).
    #[inline(always)]
    pub(crate) unsafe fn fresh(chunk: Chunk, size: usize) -> Packet {
        Packet {
            chunk,
            offset: DATA_OFFSET as u16,
            len: 0,
            size: size as u16,
            flags: Flags(0),
            feature: 0,
            rx: 0,
            tx: 0,
            reason: 0,
            domain: 0,
            aux: 0,
            tunnels: 0,
        }
    }

    #[inline(always)]
    pub(crate) fn chunk(&self) -> Chunk {
        self.chunk
    }

    #[inline(always)]
    pub(crate) fn into_chunk(self) -> Chunk {
        self.chunk
    }

    /// Offset of the first data byte from the chunk's start.
    #[inline(always)]
    pub(crate) fn offset(&self) -> usize {
        self.offset as usize
    }

    /// Bytes of the first segment.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the first segment has no bytes.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of all segments.
    #[inline(always)]
    pub fn total_len(&self) -> usize {
        if self.is_chained() {
            // SAFETY: the chunk is held, and the flag says that the field is valid.
            unsafe { (*self.chunk.header()).total as usize }
        } else {
            self.len as usize
        }
    }

    /// Whether there is more than one segment.
    #[inline(always)]
    pub fn is_chained(&self) -> bool {
        self.flags.0 & Flags::CHAINED != 0
    }

    /// Whether it is a plain packet: one segment, no offload, no trace, and not the switch's own.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        self.flags.0 == 0
    }

    /// The bytes of the first segment. All headers lie in it, unless the sender chose otherwise.
    #[inline(always)]
    pub fn data(&self) -> &[u8] {
        // SAFETY: `offset + len <= size` at all times, the chunk is held, and its memory is initialised (the kernel hands
        // out zeroed pages).
        unsafe { std::slice::from_raw_parts(self.chunk.at(self.offset as usize), self.len as usize) }
    }

    /// The bytes of the first segment, to be changed.
    #[inline(always)]
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `data`; the handle is borrowed exclusively, and the head segment is never shared.
        unsafe { std::slice::from_raw_parts_mut(self.chunk.at(self.offset as usize), self.len as usize) }
    }

    /// Brings the first line of data towards the CPU.
    #[inline(always)]
    pub fn prefetch(&self) {
        paceline_sys::cpu::prefetch_read(self.data());
    }

    /// Brings the line in front of the data towards the CPU, to be written: what is put in front will lie there.
    #[inline(always)]
    pub fn prefetch_front(&self) {
        // SAFETY: `ROOM_OFFSET <= offset <= size` at all times, and `LINE <= ROOM_OFFSET`.
        let front = unsafe { self.chunk.at(self.offset as usize - LINE) };
        paceline_sys::cpu::prefetch_write_at(front);
    }

    /// All room from the data's start to the end of the chunk, to receive into; [`set_len`](Packet::set_len) then says how
    /// much of it counts.
    #[inline]
    pub fn room_mut(&mut self) -> &mut [u8] {
        let len = self.size as usize - self.offset as usize;
        // SAFETY: the range lies in the chunk (`offset <= size`), which is held exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.chunk.at(self.offset as usize), len) }
    }

    /// Sets the length of the first segment after it was filled. What exceeds the room is cut.
    #[inline]
    pub fn set_len(&mut self, len: usize) {
        let len = len.min(self.tailroom() + self.len()) as u16;
        if self.is_chained() {
            self.resized(i32::from(len) - i32::from(self.len));
        }
        self.len = len;
    }

    /// Bytes that can be put in front.
    #[inline(always)]
    pub fn headroom(&self) -> usize {
        self.offset as usize - ROOM_OFFSET
    }

    /// Bytes that can be put behind the first segment.
    #[inline(always)]
    pub fn tailroom(&self) -> usize {
        (self.size - self.offset - self.len) as usize
    }

    /// Says where a device put the bytes. A range that is not inside the data room makes the packet empty.
    pub(crate) fn place(&mut self, offset: usize, len: usize) {
        if offset >= ROOM_OFFSET && offset.saturating_add(len) <= self.size as usize {
            (self.offset, self.len) = (offset as u16, len as u16);
        }
    }

    /// Moves the data's start, for devices that want another headroom. Only an empty packet can be moved.
    pub fn reserve(&mut self, headroom: usize) {
        if self.is_empty() && headroom <= self.size as usize - ROOM_OFFSET {
            self.offset = (ROOM_OFFSET + headroom) as u16;
        }
    }

    /// Makes room for `count` bytes in front and returns all bytes from there on. Offsets of an offload request move along.
    ///
    /// # Errors
    /// Too little headroom.
    #[inline]
    pub fn prepend(&mut self, count: usize) -> Result<&mut [u8], NoRoom> {
        if count > self.headroom() {
            return Err(NoRoom { want: count, have: self.headroom() });
        }
        self.offset -= count as u16;
        self.len += count as u16;
        if !self.is_plain() {
            self.moved(count as i32);
        }
        Ok(self.data_mut())
    }

    /// Takes up to `count` bytes off the front of the first segment. Offsets of an offload request move along.
    #[inline]
    pub fn trim_front(&mut self, count: usize) {
        let count = count.min(self.len());
        self.offset += count as u16;
        self.len -= count as u16;
        if !self.is_plain() {
            self.moved(-(count as i32));
        }
    }

    /// Copies bytes behind the first segment, which must be the only one for the packet to stay in order.
    ///
    /// # Errors
    /// Too little tailroom.
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        if bytes.len() > self.tailroom() || self.is_chained() {
            return Err(NoRoom { want: bytes.len(), have: self.tailroom() });
        }
        let start = self.len();
        self.len += bytes.len() as u16;
        self.data_mut()[start..].copy_from_slice(bytes);
        Ok(())
    }

    /// The first segment of a chain got longer.
    #[cold]
    fn resized(&mut self, by: i32) {
        let header = self.chunk.header();
        // SAFETY: the chunk is held, and the caller knows the packet to be a chain, so that the field is valid.
        unsafe { (*header).total = (*header).total.wrapping_add_signed(by) };
    }

    /// The start of a packet that is not plain moved forward.
    #[cold]
    fn moved(&mut self, by: i32) {
        if self.is_chained() {
            self.resized(by);
        }
        if let Some(mut offload) = self.offload() {
            offload.hdr_len = offload.hdr_len.saturating_add_signed(by as i16);
            offload.csum_start = offload.csum_start.saturating_add_signed(by as i16);
            self.set_offload(offload);
        }
    }

    /// Puts another packet's segments behind this one's. Its metadata is forgotten.
    #[allow(clippy::needless_pass_by_value)] // the handle ends here: its chunk becomes a tail
    pub fn push_tail(&mut self, tail: Packet) {
        let total = self.total_len() + tail.total_len();
        let link = Link { chunk: tail.chunk, offset: tail.offset, len: tail.len };
        let (tail_next, tail_header) = (tail.is_chained(), tail.chunk.header());
        let mut last = self.chunk.header();
        // SAFETY: every chunk on the way is held by this packet (the head) or by a link of it. The walk ends at a chunk
        // whose `next` is None; the head's is valid only by its flag. Writing the `next` of a tail is sound because a
        // shared tail's chain was complete when it became shared: `Cache::replicate` shares behind a new head, and
        // pushing behind shared tails is refused below.
        unsafe {
            if !tail_next {
                (*tail_header).next = None;
            }
            (*tail_header).refs = 1.into();
            if self.is_chained() {
                while let Some(next) = (*last).next {
                    last = next.chunk.header();
                    let shared = (*last).refs.load(std::sync::atomic::Ordering::Acquire) > 1;
                    assert!(!shared, "a shared tail cannot grow");
                }
            }
            (*last).next = Some(link);
            (*self.chunk.header()).total = total as u32;
        }
        self.flags.0 |= Flags::CHAINED;
    }

    /// The segments, first to last.
    pub fn segments(&self) -> Segments<'_> {
        Segments::new(self)
    }

    /// Copies bytes from anywhere in the packet into `out`; returns how many there were.
    pub fn copy_to(&self, mut skip: usize, out: &mut [u8]) -> usize {
        let mut done = 0;
        for segment in self.segments() {
            let part = &segment[skip.min(segment.len())..];
            skip -= skip.min(segment.len());
            let count = part.len().min(out.len() - done);
            out[done..done + count].copy_from_slice(&part[..count]);
            done += count;
            if done == out.len() {
                break;
            }
        }
        done
    }

    /// What the sender left for a later port to do, or what the port already checked: checksum, segmentation
    /// (`virtio_net_hdr`, `linux/virtio_net.h`). `None` is a finished packet.
    #[inline(always)]
    pub fn offload(&self) -> Option<VnetHdr> {
        if self.flags.0 & Flags::OFFLOAD == 0 {
            return None;
        }
        // SAFETY: the chunk is held, and the flag says that the field is valid.
        Some(unsafe { (*self.chunk.header()).offload })
    }

    /// Leaves an offload request on the packet.
    #[inline]
    pub fn set_offload(&mut self, offload: VnetHdr) {
        // SAFETY: the chunk is held exclusively.
        unsafe { (*self.chunk.header()).offload = offload };
        self.flags.0 |= Flags::OFFLOAD;
    }

    /// Takes the offload request off: everything is done.
    #[inline]
    pub fn clear_offload(&mut self) {
        self.flags.0 &= !Flags::OFFLOAD;
    }

    /// The trace record that follows this packet.
    #[inline(always)]
    pub fn trace(&self) -> Option<u32> {
        if self.flags.0 & Flags::TRACED == 0 {
            return None;
        }
        // SAFETY: the chunk is held, and the flag says that the field is valid.
        Some(unsafe { (*self.chunk.header()).trace })
    }

    /// Lets a trace record follow this packet.
    pub fn set_trace(&mut self, record: u32) {
        // SAFETY: the chunk is held exclusively.
        unsafe { (*self.chunk.header()).trace = record };
        self.flags.0 |= Flags::TRACED;
    }

    /// Lets no trace record follow this packet any more.
    pub fn clear_trace(&mut self) {
        self.flags.0 &= !Flags::TRACED;
    }

    /// Whether the switch itself made the packet, and no router has had it.
    #[inline(always)]
    pub fn is_own(&self) -> bool {
        self.flags.0 & Flags::OWN != 0
    }

    /// Notes that the switch itself made the packet: the first routing node that it comes to is no router on its way.
    pub fn set_own(&mut self) {
        self.flags.0 |= Flags::OWN;
    }

    /// Lets the packet be one like any other.
    pub fn clear_own(&mut self) {
        self.flags.0 &= !Flags::OWN;
    }

    /// Makes this fresh packet's head the same as another's, metadata and all; tails are the caller's business.
    pub(crate) fn copy_head(&mut self, from: &Packet) {
        self.copy_front(from, from.len());
        // SAFETY: both chunks are held; the other's header fields are plain data, valid or not by their flags.
        unsafe {
            let (source, own) = (from.chunk.header(), self.chunk.header());
            if from.flags.0 & (Flags::OFFLOAD | Flags::TRACED) != 0 {
                (*own).offload = (*source).offload;
                (*own).trace = (*source).trace;
            }
        }
        self.flags = from.flags;
    }

    /// Copies metadata, flags that need no chain, and the first `count` bytes of another packet into this fresh one.
    pub(crate) fn copy_front(&mut self, from: &Packet, count: usize) {
        self.offset = from.offset;
        self.len = count.min(from.len()) as u16;
        self.data_mut().copy_from_slice(&from.data()[..count.min(from.len())]);
        (self.feature, self.rx, self.tx, self.reason) = (from.feature, from.rx, from.tx, from.reason);
        (self.domain, self.aux, self.tunnels) = (from.domain, from.aux, from.tunnels);
        if let Some(offload) = from.offload() {
            self.set_offload(offload);
        }
        if let Some(record) = from.trace() {
            self.set_trace(record);
        }
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("rx", &self.rx)
            .field("tx", &self.tx)
            .field("len", &self.total_len())
            .field("segments", &self.segments().count())
            .field("offload", &self.offload())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cache, Pool};

    fn filled(cache: &mut Cache, len: usize, start: u8) -> Packet {
        let mut packet = cache.alloc().expect("a chunk");
        let bytes: Vec<u8> = (0..len).map(|i| start.wrapping_add(i as u8)).collect();
        packet.extend(&bytes).expect("it fits");
        packet
    }

    fn bytes(packet: &Packet) -> Vec<u8> {
        packet.segments().flatten().copied().collect()
    }

    #[test]
    fn room_is_checked_and_offsets_of_an_offload_move_along() {
        let pool = Pool::small(64);
        let mut cache = pool.cache();
        let mut p = filled(&mut cache, 100, 0);
        p.set_offload(VnetHdr {
            flags: 1,
            csum_start: 34,
            hdr_len: 54,
            csum_offset: 16,
            ..VnetHdr::default()
        });
        p.prepend(4).expect("headroom")[..4].copy_from_slice(&[9; 4]);
        assert_eq!((p.len(), p.offload().map(|o| (o.csum_start, o.hdr_len))), (104, Some((38, 58))));
        p.trim_front(4);
        assert_eq!(p.offload().map(|o| o.csum_start), Some(34));
        assert_eq!(p.prepend(129).expect_err("too much"), NoRoom { want: 129, have: 128 });
        assert!(p.extend(&[0; 4096]).is_err());
        p.set_len(100_000);
        assert_eq!(p.len() + DATA_OFFSET, 4096, "cut to the room");
        cache.free(p);
        drop(cache);
        assert_eq!(pool.stats().free, 64);
    }

    #[test]
    fn chains_read_in_order_and_free_whole() {
        let pool = Pool::small(64);
        let mut cache = pool.cache();
        let mut p = filled(&mut cache, 10, 0);
        for i in 1..5 {
            p.push_tail(filled(&mut cache, 10, 10 * i));
        }
        assert_eq!((p.total_len(), p.segments().count()), (50, 5));
        assert_eq!(bytes(&p), (0..50).collect::<Vec<u8>>());
        let mut some = [0; 12];
        assert_eq!(p.copy_to(8, &mut some), 12);
        assert_eq!(some.to_vec(), (8..20).collect::<Vec<u8>>());
        assert_eq!(p.copy_to(45, &mut some), 5);
        p.prepend(2).expect("headroom");
        assert_eq!(p.total_len(), 52);
        assert_eq!(pool.stats().in_use, 5);
        cache.free(p);
        drop(cache);
        assert_eq!(pool.stats().free, 64);
    }

    #[test]
    fn replicas_have_heads_of_their_own_and_share_the_rest() {
        let pool = Pool::small(64);
        let mut cache = pool.cache();
        for (len, tails, chunks) in [(60, 0, 3), (1500, 0, 4), (1500, 2, 6), (60, 1, 4)] {
            let mut p = filled(&mut cache, len, 1);
            for _ in 0..tails {
                p.push_tail(filled(&mut cache, 1000, 3));
            }
            let before = bytes(&p);
            p.rx = 7;
            let mut a = cache.replicate(&mut p).expect("a chunk");
            let b = cache.replicate(&mut p).expect("a chunk");
            assert_eq!(pool.stats().in_use, chunks, "{len} bytes and {tails} tails");
            a.data_mut()[0] = 0xff;
            assert_eq!((bytes(&p), bytes(&b)), (before.clone(), before.clone()));
            assert!(
                [&p, &a, &b].iter().all(|one| one.len() == len.min(256)),
                "headers are in the first segment"
            );
            assert_eq!((a.rx, a.total_len()), (7, before.len()));
            cache.free(p);
            cache.free(a);
            assert_eq!(bytes(&b), before, "the last holder still reads all");
            cache.free(b);
            assert_eq!(pool.stats().in_use, 0);
        }
    }

    #[test]
    fn replication_of_an_exhausted_pool_says_so_and_loses_nothing() {
        let pool = Pool::small(64);
        let mut cache = pool.cache();
        let mut p = filled(&mut cache, 1500, 1);
        let before = bytes(&p);
        let mut held = Vec::new();
        while let Some(q) = cache.alloc() {
            held.push(q);
        }
        assert!(cache.replicate(&mut p).is_none());
        cache.free(held.pop().expect("some"));
        assert!(cache.replicate(&mut p).is_none(), "one chunk is enough for a head, not for the copy");
        assert_eq!(bytes(&p), before);
        held.drain(..).for_each(|q| cache.free(q));
        cache.free(p);
        assert_eq!(pool.stats().in_use, 0);
    }
}
