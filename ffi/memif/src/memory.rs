//! Regions: memory that both sides have mapped.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use memmap2::{Advice, MmapOptions, MmapRaw};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;
use nix::sys::statfs::{HUGETLBFS_MAGIC, fstatfs};

use crate::Fault;

/// How far the 32 bits of an offset reach.
const REACH: u64 = 1 << 32;

/// A mapped region.
#[derive(Debug)]
pub(crate) struct Memory(MmapRaw);

impl Memory {
    /// Memory of ours, all zeros, of at least one byte, and the file to give away. It can neither shrink nor grow.
    pub fn own(bytes: usize) -> io::Result<(Self, File)> {
        let file = File::from(memfd_create(c"memif", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
        file.set_len(bytes as u64)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        let map = MmapRaw::map_raw(&file)?;
        map.advise(Advice::PopulateWrite)?;
        Ok((Self(map), file))
    }

    /// Memory of the peer. Only what cannot make us die is taken: its pages can go, but come back as zeros.
    pub fn foreign(file: OwnedFd, size: u64) -> Result<Self, Fault> {
        // Only memfds (and files that are as these) have seals.
        let seals = fcntl(&file, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_truncate);
        if !seals.is_ok_and(|seals| seals.contains(SealFlag::F_SEAL_SHRINK)) {
            return Err(Fault::RegionSeal);
        }
        if fstatfs(&file).is_ok_and(|stat| stat.filesystem_type() == HUGETLBFS_MAGIC) {
            return Err(Fault::RegionHuge);
        }
        let have = fstat(&file).map_or(0, |stat| stat.st_size.cast_unsigned());
        if size == 0 || size > have || size > REACH {
            return Err(Fault::RegionSize);
        }
        MmapOptions::new().len(size as usize).map_raw(&File::from(file)).map(Self).map_err(|_| Fault::System)
    }

    /// Where `len` bytes from `offset` on are, if the region has them.
    #[inline]
    pub fn at(&self, offset: u32, len: usize) -> Option<*mut u8> {
        let offset = offset as usize;
        if offset.checked_add(len)? > self.0.len() {
            return None;
        }
        // SAFETY: `offset` is at most the length of the mapping.
        Some(unsafe { self.0.as_mut_ptr().add(offset) })
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn memfd(flags: MFdFlags, bytes: u64, seals: SealFlag) -> OwnedFd {
        let file = File::from(memfd_create(c"test", flags | MFdFlags::MFD_ALLOW_SEALING).unwrap());
        file.set_len(bytes).unwrap();
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).unwrap();
        file.into()
    }

    #[test]
    fn ours_is_what_we_take_from_others_and_seen_by_both() {
        let (own, file) = Memory::own(10_000).unwrap();
        file.set_len(1).expect_err("it cannot shrink");
        let twin = Memory::foreign(file.as_fd().try_clone_to_owned().unwrap(), 10_000).unwrap();
        // SAFETY: both mappings have this byte, and no reference to it exists.
        unsafe {
            own.at(9_999, 1).unwrap().write_volatile(42);
            assert_eq!(twin.at(9_999, 1).unwrap().read_volatile(), 42);
        }
        assert!(twin.at(10_000, 0).is_some() && twin.at(9_999, 2).is_none());
        assert!(twin.at(u32::MAX, 1).is_none() && twin.at(1, usize::MAX).is_none());
    }

    #[test]
    fn what_could_end_in_a_signal_is_refused() {
        let shrink = SealFlag::F_SEAL_SHRINK;
        let refused = |fd: OwnedFd, size| Memory::foreign(fd, size).map(drop).unwrap_err();
        assert_eq!(refused(memfd(MFdFlags::empty(), 8192, SealFlag::empty()), 8192), Fault::RegionSeal);
        assert_eq!(refused(memfd(MFdFlags::empty(), 8192, SealFlag::F_SEAL_GROW), 8192), Fault::RegionSeal);
        assert_eq!(refused(tempfile::tempfile().unwrap().into(), 4096), Fault::RegionSeal);
        assert_eq!(refused(File::open("/dev/zero").unwrap().into(), 4096), Fault::RegionSeal);
        assert_eq!(refused(memfd(MFdFlags::empty(), 8192, shrink), 8193), Fault::RegionSize);
        assert_eq!(refused(memfd(MFdFlags::empty(), 8192, shrink), 0), Fault::RegionSize);
        assert_eq!(refused(memfd(MFdFlags::empty(), REACH + 4096, shrink), REACH + 1), Fault::RegionSize);
        // No page of it is needed for this.
        assert_eq!(refused(memfd(MFdFlags::MFD_HUGETLB, 2 << 20, shrink), 4096), Fault::RegionHuge);
        assert!(Memory::foreign(memfd(MFdFlags::empty(), 8192, shrink), 4096).is_ok());
    }
}
