//! One piece of memory that workers, the kernel (`AF_XDP`) and other processes (vhost-user, DPDK) can share.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use memmap2::{Advice, MmapRaw};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// Size of a huge page in bytes: the 2 MiB of x86-64 and of arm64 with 4 KiB granules.
pub const HUGE_PAGE: usize = 2 << 20;

/// Size of a normal page in bytes.
pub const SMALL_PAGE: usize = 4096;

/// Whether a [`Region`] lives on 2 MiB pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HugePages {
    /// Only huge pages will do; a shortage is [`RegionError::NoHugePages`].
    Require,
    /// Huge pages if the system has enough of them, else 4 KiB pages; [`Region::fallback`] says why.
    #[default]
    Prefer,
    /// 4 KiB pages.
    Never,
}

/// Why a [`Region`] could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// A region of no bytes, or of more than an address can span.
    #[error("memory region of {0} bytes: must be between 1 byte and the address space")]
    Size(usize),
    /// More than the system can give without killing a process.
    #[error(
        "memory region of {wanted} bytes: the system has {available} bytes available; ask for fewer buffers"
    )]
    TooLarge {
        /// Bytes asked for, rounded up to whole pages.
        wanted: usize,
        /// `MemAvailable` of `/proc/meminfo` in bytes.
        available: usize,
    },
    /// Huge pages were required and there are not enough.
    #[error(
        "{pages} huge pages of 2 MiB are needed and not free ({source}): write at least {pages} more to \
         /proc/sys/vm/nr_hugepages, or allow 4 KiB pages"
    )]
    NoHugePages {
        /// Huge pages that the region needs.
        pages: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused a step on the way.
    #[error("memory region of {bytes} bytes: {step}: {source}")]
    System {
        /// Bytes asked for, rounded up to whole pages.
        bytes: usize,
        /// The system call that failed.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// One memfd, mapped shared, read and write, every page present from the start.
///
/// It is memory and nothing more: [`base`](Region::base) hands out a raw pointer, and who turns that into
/// references answers for aliasing (in Paceline, the buffer pool alone). What a `Region` promises is that
/// `base() .. base() + len()` stays mapped at one address until it is dropped, is zero at first, and that a
/// touch never ends in SIGBUS for want of a page: pages are allocated in [`Region::new`], where a shortage is an error.
#[derive(Debug)]
pub struct Region {
    map: MmapRaw,
    file: File,
    page_size: usize,
    fallback: Option<String>,
}

impl Region {
    /// Makes a region of at least `bytes` bytes, rounded up to whole pages.
    ///
    /// # Errors
    /// See [`RegionError`]; with [`HugePages::Prefer`] a shortage of huge pages is not one.
    pub fn new(bytes: usize, huge: HugePages) -> Result<Self, RegionError> {
        if bytes == 0 || bytes > isize::MAX as usize - HUGE_PAGE {
            return Err(RegionError::Size(bytes));
        }
        match huge {
            HugePages::Require => Self::huge(bytes),
            HugePages::Never => Self::small(bytes, None),
            HugePages::Prefer => Self::huge(bytes).or_else(|why| Self::small(bytes, Some(why.to_string()))),
        }
    }

    fn huge(bytes: usize) -> Result<Self, RegionError> {
        let bytes = bytes.next_multiple_of(HUGE_PAGE);
        let shortage = |source| RegionError::NoHugePages { pages: bytes / HUGE_PAGE, source };
        let file = memfd(bytes, MFdFlags::MFD_HUGETLB | MFdFlags::MFD_HUGE_2MB).map_err(shortage)?;
        // Mapping reserves the pages and populating allocates them, so each can be where the shortage shows.
        let map = MmapRaw::map_raw(&file).map_err(shortage)?;
        map.advise(Advice::PopulateWrite).map_err(shortage)?;
        Ok(Self { map, file, page_size: HUGE_PAGE, fallback: None })
    }

    fn small(bytes: usize, fallback: Option<String>) -> Result<Self, RegionError> {
        let bytes = bytes.next_multiple_of(SMALL_PAGE);
        let at = |step| move |source| RegionError::System { bytes, step, source };
        // Without this the kernel would start killing processes before it refuses a page.
        if let Some(available) = memory_available().filter(|&available| available < bytes) {
            return Err(RegionError::TooLarge { wanted: bytes, available });
        }
        let file = memfd(bytes, MFdFlags::empty()).map_err(at("memfd_create"))?;
        let map = MmapRaw::map_raw(&file).map_err(at("mmap"))?;
        // Transparent huge pages for shared memory are off on most systems; asking costs nothing where they are not.
        let _ = map.advise(Advice::HugePage);
        map.advise(Advice::PopulateWrite).map_err(at("madvise(MADV_POPULATE_WRITE)"))?;
        Ok(Self { map, file, page_size: SMALL_PAGE, fallback })
    }

    /// First byte of the region; aligned to [`page_size`](Region::page_size).
    #[inline]
    pub fn base(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    /// Bytes in the region: what was asked for, rounded up to whole pages.
    #[inline]
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Bytes per page: [`HUGE_PAGE`] or [`SMALL_PAGE`].
    pub fn page_size(&self) -> usize {
        self.page_size
    }

    /// With [`HugePages::Prefer`], why the region is on 4 KiB pages after all.
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// The memfd, to share the region with another process or with DPDK.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn memfd(bytes: usize, flags: MFdFlags) -> io::Result<File> {
    let file = File::from(memfd_create(c"paceline", flags | MFdFlags::MFD_CLOEXEC)?);
    file.set_len(bytes as u64)?;
    Ok(file)
}

fn memory_available() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? * 1024)
}

/// Asks the kernel for huge pages behind memory that is about to be filled: large tables then miss the TLB less. Only whole
/// huge pages inside the slice count; where the kernel will not, nothing changes.
pub fn advise_huge_pages<T>(memory: &[T]) {
    let start = (memory.as_ptr() as usize).next_multiple_of(HUGE_PAGE);
    let end = (memory.as_ptr() as usize + size_of_val(memory)) / HUGE_PAGE * HUGE_PAGE;
    if start < end {
        // SAFETY: the range lies inside the slice, and MADV_HUGEPAGE changes no byte of it. An error means no huge pages.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pages_are_rounded_up_zero_and_writable() {
        let region = Region::new(10_000, HugePages::Never).expect("10 kB");
        assert_eq!((region.len(), region.page_size()), (12_288, SMALL_PAGE));
        assert!(region.base().addr().is_multiple_of(SMALL_PAGE));
        // SAFETY: the region is ours alone and `len` bytes long.
        let bytes = unsafe { std::slice::from_raw_parts_mut(region.base(), region.len()) };
        assert!(bytes.iter().all(|&byte| byte == 0));
        bytes.fill(0xa5);
        assert_eq!(region.fallback(), None);
    }

    #[test]
    fn prefer_always_gives_memory_and_says_which() {
        let region = Region::new(HUGE_PAGE, HugePages::Prefer).expect("2 MiB");
        assert_eq!(region.page_size() == SMALL_PAGE, region.fallback().is_some());
    }

    #[test]
    fn a_second_mapping_of_the_descriptor_sees_the_same_bytes() {
        let region = Region::new(SMALL_PAGE, HugePages::Never).expect("4 KiB");
        let twin = MmapRaw::map_raw(&region.file).expect("second mapping");
        // SAFETY: both mappings are `SMALL_PAGE` long and no reference to them exists.
        unsafe {
            region.base().add(7).write_volatile(42);
            assert_eq!(twin.as_mut_ptr().add(7).read_volatile(), 42);
        }
    }

    #[test]
    fn more_huge_pages_than_exist_is_an_error_and_not_a_signal() {
        let error = Region::new(1 << 46, HugePages::Require).expect_err("64 TiB");
        assert!(matches!(error, RegionError::NoHugePages { pages: 33_554_432, .. }), "{error}");
    }

    #[test]
    fn absurd_sizes_are_refused() {
        assert!(matches!(Region::new(0, HugePages::Never), Err(RegionError::Size(0))));
        assert!(matches!(Region::new(usize::MAX, HugePages::Prefer), Err(RegionError::Size(_))));
        assert!(matches!(Region::new(1 << 46, HugePages::Prefer), Err(RegionError::TooLarge { .. })));
    }
}
