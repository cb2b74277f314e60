//! The four commands of bpf(2) that are used (linux/bpf.h); each attribute ends where the command's fields do.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

const MAP_CREATE: i32 = 0;
const MAP_UPDATE_ELEM: i32 = 2;
const PROG_LOAD: i32 = 5;
const LINK_CREATE: i32 = 28;

const MAP_TYPE_XSKMAP: u32 = 17;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_TYPE_XDP: u32 = 37;
const F_XDP_HAS_FRAGS: u32 = 1 << 5;

/// One instruction (`struct bpf_insn`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Instruction {
    pub code: u8,
    /// Destination in the low four bits, source in the high ones.
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

/// A map from queue to `AF_XDP` socket.
pub fn create_xskmap(entries: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    }
    let attr = Attr { map_type: MAP_TYPE_XSKMAP, key_size: 4, value_size: 4, max_entries: entries };
    // SAFETY: the attribute of BPF_MAP_CREATE, which points to nothing.
    new_fd(unsafe { bpf(MAP_CREATE, &attr) })
}

/// Puts a socket under a key.
pub fn update(map: &OwnedFd, key: u32, value: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct Attr {
        map_fd: u32,
        padding: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let value = value.as_raw_fd();
    let attr = Attr {
        map_fd: map.as_raw_fd().cast_unsigned(),
        padding: 0,
        key: std::ptr::from_ref(&key).addr() as u64,
        value: std::ptr::from_ref(&value).addr() as u64,
        flags: 0,
    };
    // SAFETY: the attribute of BPF_MAP_UPDATE_ELEM; key and value are four bytes each, as the map was created, and live.
    unsafe { bpf(MAP_UPDATE_ELEM, &attr) }.map(drop)
}

/// Loads an XDP program; `frags` declares that it copes with frames in several buffers.
pub fn load_xdp(program: &[Instruction], frags: bool) -> io::Result<OwnedFd> {
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
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: if frags { F_XDP_HAS_FRAGS } else { 0 },
        prog_name: *b"paceline\0\0\0\0\0\0\0\0",
    };
    // SAFETY: the attribute of BPF_PROG_LOAD; the instructions and the license live.
    new_fd(unsafe { bpf(PROG_LOAD, &attr) })
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
    let prog_fd = program.as_fd().as_raw_fd().cast_unsigned();
    let attr = Attr { prog_fd, target_ifindex: ifindex, attach_type: ATTACH_TYPE_XDP, flags };
    // SAFETY: the attribute of BPF_LINK_CREATE, which points to nothing.
    new_fd(unsafe { bpf(LINK_CREATE, &attr) })
}

/// # Safety
/// `attr` is what `command` takes, and the addresses in it are of live memory of the right size.
unsafe fn bpf<T>(command: i32, attr: &T) -> io::Result<i32> {
    // SAFETY: `attr` is of the size that is passed; the rest is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attr), size_of::<T>()) };
    Ok(Errno::result(result)? as i32)
}

fn new_fd(result: io::Result<i32>) -> io::Result<OwnedFd> {
    // SAFETY: the commands that end here return a new descriptor that nobody else has.
    result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}
