//! The memory that sockets share.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use paceline_sys::Region;

use crate::{BadDescriptor, XskError};

/// Bytes that the kernel leaves before a received frame, on top of the UMEM's own headroom (`XDP_PACKET_HEADROOM`).
pub const KERNEL_HEADROOM: u32 = 256;

/// A [`Region`] cut into chunks of one size, aligned to that size. A received frame begins at a chunk's start +
/// `headroom` + [`KERNEL_HEADROOM`] and ends within the chunk.
#[derive(Debug)]
pub struct Umem {
    region: Arc<Region>,
    chunk_size: u32,
    headroom: u32,
    sharers: Mutex<Vec<Sharer>>,
}

/// A socket in copy mode: while it is open and bound, others can share its registration.
#[derive(Debug)]
pub(crate) struct Sharer {
    pub socket: Weak<OwnedFd>,
    /// Who shares a registration shares this with it.
    pub multi_buffer: bool,
}

impl Umem {
    /// Describes the memory; each socket registers it with the kernel, or shares the registration of another one.
    ///
    /// # Errors
    /// [`XskError::ChunkSize`], [`XskError::Headroom`].
    pub fn new(region: Arc<Region>, chunk_size: u32, headroom: u32) -> Result<Self, XskError> {
        if chunk_size != 2048 && chunk_size != 4096 {
            return Err(XskError::ChunkSize(chunk_size));
        }
        if headroom > chunk_size / 2 - KERNEL_HEADROOM {
            return Err(XskError::Headroom { headroom, chunk: chunk_size });
        }
        Ok(Self { region, chunk_size, headroom, sharers: Mutex::default() })
    }

    /// Bytes per chunk.
    pub fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// The longest frame, or piece of one, that a chunk receives.
    pub fn frame_room(&self) -> u32 {
        self.chunk_size - self.headroom - KERNEL_HEADROOM
    }

    /// The memory.
    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// How the kernel is told.
    pub(crate) fn registration(&self) -> libc::xdp_umem_reg {
        libc::xdp_umem_reg {
            addr: self.region.base().expose_provenance() as u64,
            len: self.region.len() as u64, // whole pages, so whole chunks
            chunk_size: self.chunk_size,
            headroom: self.headroom,
            flags: 0,
            tx_metadata_len: 0,
        }
    }

    pub(crate) fn sharers(&self) -> MutexGuard<'_, Vec<Sharer>> {
        // A list of weak references is whole at every moment.
        self.sharers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the kernel says a frame is must lie within one chunk.
    #[inline]
    pub(crate) fn check(&self, addr: u64, len: u32) -> Result<(), BadDescriptor> {
        let in_chunk = (addr % u64::from(self.chunk_size)) + u64::from(len);
        if addr < self.region.len() as u64 && in_chunk <= u64::from(self.chunk_size) {
            Ok(())
        } else {
            Err(BadDescriptor { addr, len })
        }
    }
}

#[cfg(test)]
mod tests {
    use paceline_sys::HugePages;

    use super::*;

    #[test]
    fn bounds() {
        let region = Arc::new(Region::new(16 << 10, HugePages::Never).unwrap());
        for bad in [0, 1024, 3000, 8192] {
            assert!(matches!(Umem::new(region.clone(), bad, 0), Err(XskError::ChunkSize(_))));
        }
        assert!(matches!(Umem::new(region.clone(), 2048, 769), Err(XskError::Headroom { .. })));
        let umem = Umem::new(region, 2048, 64).unwrap();
        assert_eq!(umem.frame_room(), 1728);
        assert_eq!(umem.check(2048 + 320, 1728), Ok(()));
        assert_eq!(umem.check(0, 0), Ok(()));
        for (addr, len) in [(2048 + 320, 1729), (16 << 10, 0), (u64::MAX, 1), (100, u32::MAX)] {
            assert_eq!(umem.check(addr, len), Err(BadDescriptor { addr, len }));
        }
    }
}
