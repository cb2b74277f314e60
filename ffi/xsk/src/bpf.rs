//! The commands of bpf(2) that are used (linux/bpf.h); each attribute ends where the command's fields do.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

const MAP_CREATE: i32 = 0;
const MAP_UPDATE_ELEM: i32 = 2;
const MAP_DELETE_ELEM: i32 = 3;
const PROG_LOAD: i32 = 5;
const PROG_TEST_RUN: i32 = 10;
const LINK_CREATE: i32 = 28;

const PROG_TYPE_XDP: u32 = 6;
const ATTACH_TYPE_XDP: u32 = 37;
const F_NO_PREALLOC: u32 = 1;
const F_XDP_HAS_FRAGS: u32 = 1 << 5;

/// Bytes for what the verifier says of a program that it refuses.
const LOG: usize = 1 << 16;

/// One instruction (`struct bpf_insn`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u8,
    /// Destination in the low four bits, source in the high ones.
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

/// What a map is (`enum bpf_map_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Takes memory for what is in it.
    Hash = 1,
    /// Forgets what was used longest ago.
    LruHash = 9,
    /// From queue to `AF_XDP` socket.
    Xsk = 17,
}

/// A map of the kernel, whose keys and values have a fixed size.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    key: usize,
    value: usize,
}

impl Map {
    /// One with room for so many entries, and keys and values of so many bytes.
    pub fn new(kind: Kind, key: usize, value: usize, entries: u32) -> io::Result<Self> {
        #[repr(C)]
        struct Attr {
            map_type: u32,
            key_size: u32,
            value_size: u32,
            max_entries: u32,
            map_flags: u32,
        }
        let attr = Attr {
            map_type: kind as u32,
            key_size: key as u32,
            value_size: value as u32,
            max_entries: entries,
            map_flags: if kind == Kind::Hash { F_NO_PREALLOC } else { 0 },
        };
        // SAFETY: the attribute of BPF_MAP_CREATE, which points to nothing.
        let fd = new_fd(unsafe { bpf(MAP_CREATE, &mut { attr }) })?;
        Ok(Self { fd, key, value })
    }

    /// Puts a value under a key, in one step for who reads it.
    ///
    /// # Panics
    /// When one of them is not of the map's size.
    pub fn update(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        #[repr(C)]
        struct Attr {
            map_fd: u32,
            padding: u32,
            key: u64,
            value: u64,
            flags: u64,
        }
        assert_eq!((key.len(), value.len()), (self.key, self.value), "sizes of the map");
        let attr = Attr {
            map_fd: self.raw().cast_unsigned(),
            padding: 0,
            key: key.as_ptr().addr() as u64,
            value: value.as_ptr().addr() as u64,
            flags: 0,
        };
        // SAFETY: the attribute of BPF_MAP_UPDATE_ELEM; key and value live and are as long as the map was created for.
        unsafe { bpf(MAP_UPDATE_ELEM, &mut { attr }) }.map(drop)
    }

    /// Takes a key out. ENOENT when it is not in.
    ///
    /// # Panics
    /// When it is not of the map's size.
    pub fn delete(&self, key: &[u8]) -> io::Result<()> {
        #[repr(C)]
        struct Attr {
            map_fd: u32,
            padding: u32,
            key: u64,
        }
        assert_eq!(key.len(), self.key, "size of the map's keys");
        let attr = Attr { map_fd: self.raw().cast_unsigned(), padding: 0, key: key.as_ptr().addr() as u64 };
        // SAFETY: the attribute of BPF_MAP_DELETE_ELEM; the key lives and is as long as the map was created for.
        unsafe { bpf(MAP_DELETE_ELEM, &mut { attr }) }.map(drop)
    }

    /// The descriptor's number, for an instruction.
    pub fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Loads an XDP program; `frags` declares that it copes with frames in several buffers. An error has the last words of the
/// verifier.
pub fn load_xdp(program: &[Instruction], frags: bool) -> io::Result<OwnedFd> {
    let refused = match load(program, frags, &mut []) {
        Err(error) if error.raw_os_error() != Some(libc::EPERM) => error,
        done => return done,
    };
    // Once more, to hear why: a log costs more than the load.
    let mut log = vec![0; LOG];
    if let Ok(loaded) = load(program, frags, &mut log) {
        return Ok(loaded);
    }
    let text: Vec<u8> = log.into_iter().take_while(|byte| *byte != 0).collect();
    let text = String::from_utf8_lossy(&text);
    let tail: Vec<_> = text.lines().filter(|line| !line.starts_with("processed ")).collect();
    let tail = tail[tail.len().saturating_sub(3)..].join("; ");
    Err(if tail.is_empty() { refused } else { io::Error::new(refused.kind(), format!("{refused}: {tail}")) })
}

fn load(program: &[Instruction], frags: bool, log: &mut [u8]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; 16],
    }
    let attr = Attr {
        prog_type: PROG_TYPE_XDP,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr().addr() as u64,
        license: c"Apache-2.0".as_ptr().addr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log_buf: if log.is_empty() { 0 } else { log.as_mut_ptr().addr() as u64 },
        kern_version: 0,
        prog_flags: if frags { F_XDP_HAS_FRAGS } else { 0 },
        prog_name: *b"paceline\0\0\0\0\0\0\0\0",
    };
    // SAFETY: the attribute of BPF_PROG_LOAD; instructions, license and log live, and the log is ours to be written.
    new_fd(unsafe { bpf(PROG_LOAD, &mut { attr }) })
}

/// Attaches an XDP program to an interface, for as long as the descriptor is open.
pub fn link_xdp(program: &OwnedFd, ifindex: u32, flags: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        prog_fd: u32,
        target_ifindex: u32,
        attach_type: u32,
        flags: u32,
    }
    let prog_fd = program.as_raw_fd().cast_unsigned();
    let attr = Attr { prog_fd, target_ifindex: ifindex, attach_type: ATTACH_TYPE_XDP, flags };
    // SAFETY: the attribute of BPF_LINK_CREATE, which points to nothing.
    new_fd(unsafe { bpf(LINK_CREATE, &mut { attr }) })
}

/// Runs an XDP program on a frame of at least 14 bytes that came from nowhere (`bpf_prog_test_run_xdp` in the kernel); what it
/// returned.
pub fn run_xdp(program: &OwnedFd, frame: &[u8]) -> io::Result<u32> {
    #[repr(C)]
    struct Attr {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
    }
    let mut attr = Attr {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        retval: 0,
        data_size_in: frame.len() as u32,
        data_size_out: 0,
        data_in: frame.as_ptr().addr() as u64,
        data_out: 0,
        repeat: 1,
        duration: 0,
    };
    // SAFETY: the attribute of BPF_PROG_TEST_RUN; the frame lives and is read only, as there is no place for its result.
    unsafe { bpf(PROG_TEST_RUN, &mut attr) }?;
    Ok(attr.retval)
}

/// # Safety
/// `attr` is what `command` takes, and the addresses in it are of live memory of the right size.
unsafe fn bpf<T>(command: i32, attr: &mut T) -> io::Result<i32> {
    // SAFETY: `attr` is of the size that is passed and may be written; the rest is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    Ok(Errno::result(result)? as i32)
}

fn new_fd(result: io::Result<i32>) -> io::Result<OwnedFd> {
    // SAFETY: the commands that end here return a new descriptor that nobody else has.
    result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}
