//! Regions of a guest's memory, mapped from descriptors.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};

use nix::sys::stat::fstat;
use nix::sys::statfs::{HUGETLBFS_MAGIC, TMPFS_MAGIC, fstatfs};

use crate::bus::Watch;

/// Most regions that a memory may have (`VHOST_MEMORY_BASELINE_NREGIONS`).
pub const MAX_REGIONS: usize = 8;

/// Where a region is, in three worlds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionSpec {
    /// Its first address as the guest's devices name it.
    pub guest: u64,
    /// Its first address in the process that runs the guest.
    pub user: u64,
    /// Bytes.
    pub size: u64,
    /// Where it begins in its file.
    pub offset: u64,
}

/// Why a memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// No region, or too many.
    #[error("the memory has {0} regions: must be between 1 and {MAX_REGIONS}")]
    Count(usize),
    /// A region of no bytes, or whose end is no address.
    #[error("region {0:?} has no bytes, or ends behind the last address")]
    Range(RegionSpec),
    /// Two regions share addresses.
    #[error("regions {0:?} and {1:?} share addresses")]
    Overlap(RegionSpec, RegionSpec),
    /// The file is shorter than the region.
    #[error("region {region:?} ends behind the {has} bytes of its file")]
    Short {
        /// The region.
        region: RegionSpec,
        /// Bytes of the file.
        has: u64,
    },
    /// A file whose pages someone else could hold back for ever.
    #[error("region {0:?} is neither on tmpfs (memfd, /dev/shm) nor on hugetlbfs")]
    FileSystem(RegionSpec),
    /// The kernel did not map it.
    #[error("region {region:?}: {source}: the file must be open for reading and writing")]
    Map {
        /// The region.
        region: RegionSpec,
        /// What the kernel said.
        source: io::Error,
    },
}

/// One region, mapped.
struct Region {
    spec: RegionSpec,
    /// Where `spec.guest` is.
    base: NonNull<u8>,
    watch: Watch,
    map: Map,
}

/// A mapping, from the file's first byte on: huge pages can only be mapped whole.
struct Map {
    start: NonNull<u8>,
    len: usize,
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `Region::map` made, and nobody has a pointer into it without the memory it is in.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// A guest's memory. It stays mapped as long as a queue is in it.
pub struct GuestMemory {
    regions: Vec<Region>,
}

// SAFETY: the pointers are to shared mappings, which every thread may use; what is read there is no Rust object but bytes that
// another process may change at any time, and all access is by volatile or atomic operations and by copies.
unsafe impl Send for GuestMemory {}
// SAFETY: as above.
unsafe impl Sync for GuestMemory {}

impl std::fmt::Debug for GuestMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.regions.iter().map(|region| region.spec)).finish()
    }
}

impl GuestMemory {
    /// Maps regions, each from its file.
    ///
    /// # Errors
    /// See [`MemoryError`]; nothing stays mapped then.
    pub fn map(regions: &[(RegionSpec, File)]) -> Result<GuestMemory, MemoryError> {
        if !(1..=MAX_REGIONS).contains(&regions.len()) {
            return Err(MemoryError::Count(regions.len()));
        }
        for (at, (region, _)) in regions.iter().enumerate() {
            let ends = [region.guest, region.user, region.offset].map(|start| start.checked_add(region.size));
            if region.size == 0 || ends.contains(&None) {
                return Err(MemoryError::Range(*region));
            }
            let meets = |a: u64, b: u64, other: &RegionSpec| a < b + other.size && b < a + region.size;
            let shares = |other: &&(RegionSpec, File)| {
                meets(region.guest, other.0.guest, &other.0) || meets(region.user, other.0.user, &other.0)
            };
            if let Some((other, _)) = regions[..at].iter().find(shares) {
                return Err(MemoryError::Overlap(*other, *region));
            }
        }
        let regions =
            regions.iter().map(|(spec, file)| Region::map(*spec, file)).collect::<Result<_, _>>()?;
        Ok(GuestMemory { regions })
    }

    /// Whether some of it was cut off by its owner.
    #[inline]
    pub fn is_gone(&self) -> bool {
        self.regions.iter().any(|region| region.watch.is_gone())
    }

    /// Where `len` bytes at the guest's address are, or as many of them as lie in one region; `None` if not even the first one is
    /// in the memory. `hint` is the region that was looked at last, and is tried first.
    #[inline]
    pub(crate) fn guest(&self, hint: &mut usize, address: u64, len: usize) -> Option<(*mut u8, usize)> {
        if let Some(found) = self.regions.get(*hint).and_then(|region| region.at(address, len)) {
            return Some(found);
        }
        let (at, found) =
            self.regions.iter().enumerate().find_map(|(at, region)| Some((at, region.at(address, len)?)))?;
        *hint = at;
        Some(found)
    }

    /// Where `len` bytes at an address of the other process are, if they lie in one region on a multiple of `align`.
    pub(crate) fn user(&self, address: u64, len: usize, align: u64) -> Option<*mut u8> {
        let place = |region: &Region| {
            let guest = address.checked_sub(region.spec.user)?.checked_add(region.spec.guest)?;
            region
                .at(guest, len)
                .filter(|found| found.1 == len && (found.0.addr() as u64).is_multiple_of(align))
        };
        self.regions.iter().find_map(place).map(|found| found.0)
    }
}

impl Region {
    fn map(spec: RegionSpec, file: &File) -> Result<Region, MemoryError> {
        let failed = |source| MemoryError::Map { region: spec, source };
        let stat = fstat(file).map_err(|error| failed(error.into()))?;
        // A page of another file system may be one that someone in user space has to bring, and never does.
        let kind = fstatfs(file).map_err(|error| failed(error.into()))?.filesystem_type();
        if kind != TMPFS_MAGIC && kind != HUGETLBFS_MAGIC {
            return Err(MemoryError::FileSystem(spec));
        }
        let end = spec.offset + spec.size;
        let has = u64::try_from(stat.st_size).unwrap_or(0);
        if end > has {
            return Err(MemoryError::Short { region: spec, has });
        }
        // Of a file in huge pages this is their size.
        let block = u64::try_from(stat.st_blksize).unwrap_or(0).max(4096);
        let len = end.checked_next_multiple_of(block).and_then(|len| usize::try_from(len).ok());
        let len = len.ok_or(MemoryError::Range(spec))?;
        // SAFETY: a new mapping at an address of the kernel's choice harms nobody.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        let start =
            NonNull::new(start.cast::<u8>()).filter(|start| start.as_ptr().cast() != libc::MAP_FAILED);
        let map = Map { start: start.ok_or_else(|| failed(io::Error::last_os_error()))?, len };
        // Not in dumps of this process: it is another one's.
        // SAFETY: advice on a mapping that is whole and ours.
        unsafe { libc::madvise(map.start.as_ptr().cast(), len, libc::MADV_DONTDUMP) };
        let watch = Watch::new(map.start.as_ptr().addr(), len).map_err(failed)?;
        // SAFETY: the offset is below the length of the mapping.
        let base = unsafe { map.start.add(spec.offset as usize) };
        Ok(Region { spec, base, watch, map })
    }

    /// Where a guest's address is, and how many of `len` bytes follow it here.
    #[inline(always)]
    fn at(&self, address: u64, len: usize) -> Option<(*mut u8, usize)> {
        let offset = address.wrapping_sub(self.spec.guest);
        if offset >= self.spec.size {
            return None;
        }
        debug_assert!(self.map.len as u64 >= self.spec.offset + self.spec.size);
        let len = len.min((self.spec.size - offset) as usize);
        // SAFETY: the offset is below the region's size, and the whole region is mapped.
        Some((unsafe { self.base.as_ptr().add(offset as usize) }, len))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::FileExt;

    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;

    fn file(len: u64) -> File {
        let fd: OwnedFd = memfd_create("guest", MFdFlags::MFD_CLOEXEC).expect("a memfd");
        let file = File::from(fd);
        file.set_len(len).expect("a length");
        file
    }

    fn spec(guest: u64, user: u64, size: u64, offset: u64) -> RegionSpec {
        RegionSpec { guest, user, size, offset }
    }

    fn refusal(specs: &[RegionSpec]) -> String {
        let regions: Vec<_> = specs.iter().map(|spec| (*spec, file(0x4000))).collect();
        GuestMemory::map(&regions).expect_err("refused").to_string()
    }

    #[test]
    fn addresses_are_found_and_end_with_their_region() {
        let regions = [
            (spec(0x1000, 0x10_0000, 0x2000, 0x1000), file(0x3000)),
            (spec(0x3000, 0x20_0000, 0x1000, 0), file(0x1000)),
        ];
        let memory = GuestMemory::map(&regions).expect("a memory");
        let mut hint = 0;
        let mut at = |address, len| memory.guest(&mut hint, address, len).map(|found| found.1);
        assert_eq!(at(0x1000, 16), Some(16));
        assert_eq!(at(0x2ff8, 16), Some(8), "the rest is in the other one");
        assert_eq!(at(0x3ff8, 16), Some(8));
        assert_eq!((at(0xfff, 1), at(0x4000, 1), at(u64::MAX, 2)), (None, None, None));
        let inside = |address, len| memory.user(address, len, 16).is_some();
        assert!(inside(0x10_0000, 0x2000) && inside(0x20_0010, 16));
        assert!(!inside(0x10_0000, 0x2001) && !inside(0x20_0004, 16) && !inside(0x1000, 16));
        regions[0].1.write_at(b"here", 0x1800).expect("written");
        let found = memory.user(0x10_0800, 4, 4).expect("inside");
        // SAFETY: four bytes that are mapped.
        assert_eq!(unsafe { found.cast::<[u8; 4]>().read_volatile() }, *b"here");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(refusal(&[]).contains("has 0 regions"));
        assert!(refusal(&[spec(0, 0, 1, 0); 9]).contains("has 9 regions"));
        assert!(refusal(&[spec(0, 0, 0, 0)]).contains("no bytes"));
        assert!(refusal(&[spec(u64::MAX - 1, 0, 0x1000, 0)]).contains("last address"));
        assert!(refusal(&[spec(0, 0, 0x1000, u64::MAX)]).contains("last address"));
        assert!(refusal(&[spec(0, 0, 0x1000, 0x3001)]).contains("behind the 16384 bytes"));
        assert!(refusal(&[spec(0, 0, 0x1000, 0), spec(0xfff, 0x9000, 0x1000, 0)]).contains("share"));
        assert!(refusal(&[spec(0, 0, 0x1000, 0), spec(0x9000, 0xfff, 0x1000, 0)]).contains("share"));
        let plain = File::open("/proc/self/exe").expect("a file");
        let said = GuestMemory::map(&[(spec(0, 0, 0x1000, 0), plain)]).expect_err("refused").to_string();
        assert!(said.contains("tmpfs") || said.contains("Permission"), "{said}");
    }

    #[test]
    fn memory_that_is_cut_off_ends_nobody() {
        let owner = file(0x4000);
        let regions = [(spec(0, 0, 0x4000, 0), owner.try_clone().expect("a descriptor"))];
        let memory = GuestMemory::map(&regions).expect("a memory");
        let (at, _) = memory.guest(&mut 0, 0x2000, 8).expect("inside");
        // SAFETY: eight bytes that are mapped.
        unsafe { at.cast::<u64>().write_volatile(7) };
        assert!(!memory.is_gone());
        owner.set_len(0).expect("shorter");
        // SAFETY: the mapping is there, and what is behind the file's end is what is tested.
        assert_eq!(unsafe { at.cast::<u64>().read_volatile() }, 0);
        assert!(memory.is_gone());
        drop(memory);
        let memory = GuestMemory::map(&[(spec(0, 0, 0x4000, 0), file(0x4000))]).expect("a memory");
        assert!(!memory.is_gone(), "the place is used again");
    }
}
