//! The shape of one chunk, and the header line that chains and offloads use.

use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use paceline_sys::vnet::VnetHdr;

/// Bytes kept at the front of every chunk for DPDK's `struct rte_mbuf` (two cache lines, `rte_mbuf_core.h`).
pub const HEADER_OFFSET: usize = 128;
/// First byte of a chunk that may hold packet data: all between here and [`DATA_OFFSET`] is headroom.
pub const ROOM_OFFSET: usize = 192;
/// Where the data of a fresh packet starts: 128 bytes of headroom, as in DPDK (`RTE_PKTMBUF_HEADROOM`), take
/// a VXLAN header over IPv6 (70 bytes), two VLAN tags and a virtio-net header.
pub const DATA_OFFSET: usize = ROOM_OFFSET + 128;

/// The cache line that belongs to a chunk. Valid only while the chunk's packet carries the flag for the field.
#[repr(C, align(64))]
pub(crate) struct Header {
    /// How many links lead to this chunk as a tail (1 unless packets were replicated).
    pub refs: AtomicU32,
    /// Length of all segments together.
    pub total: u32,
    /// The tail behind this chunk.
    pub next: Option<Link>,
    /// Offload request or report of the packet, relative to its first byte.
    pub offload: VnetHdr,
    /// Which trace record the packet writes to.
    pub trace: u32,
}

/// A view of a tail chunk: where its bytes are. Lies in the header of the chunk in front of it, so that two packets may
/// share one tail and see different parts.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub chunk: Chunk,
    pub offset: u16,
    pub len: u16,
}

/// The address of a chunk: its first byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk(pub NonNull<u8>);

impl Chunk {
    /// The header line.
    #[inline(always)]
    #[allow(clippy::cast_ptr_alignment)] // chunks start on multiples of their size
    pub(crate) fn header(self) -> *mut Header {
        // SAFETY: a chunk is at least 2048 bytes and 64-byte aligned, so its header lies inside and is aligned.
        unsafe { self.0.as_ptr().add(HEADER_OFFSET).cast::<Header>() }
    }

    /// A pointer to a byte of the chunk.
    ///
    /// # Safety
    /// `offset` is at most the chunk's size.
    #[inline(always)]
    pub(crate) unsafe fn at(self, offset: usize) -> *mut u8 {
        // SAFETY: the caller keeps the offset within the chunk.
        unsafe { self.0.as_ptr().add(offset) }
    }
}

const _: () = assert!(size_of::<Header>() == 64, "the header is one cache line");
const _: () = assert!(HEADER_OFFSET + size_of::<Header>() == ROOM_OFFSET);
