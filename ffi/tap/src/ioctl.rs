//! The ioctls of linux/if_tun.h that are used, each bound to the type of its argument.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// Ioctls whose argument is an ifreq, read and written.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum WithRequest {
    /// Create a device or attach to one.
    SetIff = libc::TUNSETIFF as u32,
    /// Name and flags of the device.
    GetIff = libc::TUNGETIFF as u32,
    /// Take this queue out of service or back in.
    SetQueue = libc::TUNSETQUEUE as u32,
}

/// Ioctls that set what their argument, a pointer to an int, says.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum WithPointer {
    VnetHdrSize = libc::TUNSETVNETHDRSZ as u32,
    VnetLittleEndian = libc::TUNSETVNETLE as u32,
    Carrier = libc::TUNSETCARRIER as u32,
}

/// Ioctls that set what their argument, a number, says.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum WithValue {
    Offload = libc::TUNSETOFFLOAD as u32,
    Persist = libc::TUNSETPERSIST as u32,
}

pub fn with_request(fd: &impl AsRawFd, code: WithRequest, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: these codes read and write one ifreq, which `request` is.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), code as libc::Ioctl, std::ptr::from_mut(request)) })?;
    Ok(())
}

pub fn with_pointer(fd: &impl AsRawFd, code: WithPointer, value: c_int) -> io::Result<()> {
    // SAFETY: these codes read one int, which `value` is.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), code as libc::Ioctl, std::ptr::from_ref(&value)) })?;
    Ok(())
}

pub fn with_value(fd: &impl AsRawFd, code: WithValue, value: u32) -> io::Result<()> {
    // SAFETY: these codes take a number and touch no memory of ours.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), code as libc::Ioctl, libc::c_ulong::from(value)) })?;
    Ok(())
}

/// The namespace that the device is in now.
pub fn device_netns(fd: &impl AsRawFd) -> io::Result<OwnedFd> {
    // SAFETY: TUNGETDEVNETNS takes no argument.
    let netns = Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNGETDEVNETNS) })?;
    // SAFETY: on success it is a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(netns) })
}
