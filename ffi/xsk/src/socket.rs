//! Calls on an `AF_XDP` socket.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use nix::Result;
use nix::errno::Errno;

pub fn create() -> Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: socket takes numbers only.
    let fd = Errno::result(unsafe { libc::socket(libc::AF_XDP, kind, 0) })?;
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub fn register(socket: &OwnedFd, umem: &libc::xdp_umem_reg) -> Result<()> {
    set(socket, libc::XDP_UMEM_REG, umem)
}

pub fn set_ring_size(socket: &OwnedFd, ring: c_int, size: u32) -> Result<()> {
    set(socket, ring, &size)
}

pub fn offsets(socket: &OwnedFd) -> Result<libc::xdp_mmap_offsets> {
    let none = libc::xdp_ring_offset { producer: 0, consumer: 0, desc: 0, flags: 0 };
    let mut offsets = libc::xdp_mmap_offsets { rx: none, tx: none, fr: none, cr: none };
    get(socket, libc::XDP_MMAP_OFFSETS, &mut offsets)?;
    Ok(offsets)
}

pub fn statistics(socket: &OwnedFd) -> Result<libc::xdp_statistics> {
    let mut statistics = libc::xdp_statistics {
        rx_dropped: 0,
        rx_invalid_descs: 0,
        tx_invalid_descs: 0,
        rx_ring_full: 0,
        rx_fill_ring_empty_descs: 0,
        tx_ring_empty_descs: 0,
    };
    get(socket, libc::XDP_STATISTICS, &mut statistics)?;
    Ok(statistics)
}

/// Binds to a queue; `share` is the socket whose UMEM this one uses too, and then `flags` must be 0.
pub fn bind(socket: &OwnedFd, ifindex: u32, queue: u32, flags: u16, share: Option<&OwnedFd>) -> Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: if share.is_some() { libc::XDP_SHARED_UMEM } else { flags },
        sxdp_ifindex: ifindex,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: share.map_or(0, |fd| fd.as_raw_fd().cast_unsigned()),
    };
    let len = size_of_val(&address) as libc::socklen_t;
    let mut tries = 20;
    loop {
        // SAFETY: `address` is a sockaddr_xdp of `len` bytes.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(&address).cast(), len) };
        match Errno::result(bound) {
            Ok(_) => return Ok(()),
            // A queue is given back some time after its socket was closed, so that who starts again at once finds it busy.
            Err(Errno::EBUSY) if tries > 0 => {
                tries -= 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error),
        }
    }
}

pub fn wake_rx(socket: &OwnedFd) -> Result<()> {
    let fd = socket.as_raw_fd();
    // SAFETY: no buffer, no address.
    let done = unsafe {
        libc::recvfrom(fd, ptr::null_mut(), 0, libc::MSG_DONTWAIT, ptr::null_mut(), ptr::null_mut())
    };
    Errno::result(done).map(drop)
}

pub fn wake_tx(socket: &OwnedFd) -> Result<()> {
    // SAFETY: no buffer, no address.
    let done =
        unsafe { libc::sendto(socket.as_raw_fd(), ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0) };
    Errno::result(done).map(drop)
}

fn set<T>(socket: &OwnedFd, option: c_int, value: &T) -> Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    let value = ptr::from_ref(value).cast();
    // SAFETY: `value` is `len` bytes, which setsockopt only reads.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_XDP, option, value, len) };
    Errno::result(done).map(drop)
}

fn get<T: Copy>(socket: &OwnedFd, option: c_int, value: &mut T) -> Result<()> {
    let mut len = size_of::<T>() as libc::socklen_t;
    let value = ptr::from_mut(value).cast();
    // SAFETY: getsockopt writes at most `len` bytes to `value`, all integers.
    let done = unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_XDP, option, value, &raw mut len) };
    Errno::result(done).map(drop)
}
