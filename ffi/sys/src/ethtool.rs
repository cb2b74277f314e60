//! Offloads and queues of an interface of the calling thread's namespace, by the ethtool ioctl (linux/ethtool.h).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::link::IfName;

const ETHTOOL_GTXCSUM: u32 = 0x16;
const ETHTOOL_STXCSUM: u32 = 0x17;
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `struct ethtool_channels`.
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    most: [u32; 4],
    rx: u32,
    tx: u32,
    other: u32,
    combined: u32,
}

/// Whether the interface leaves checksums of frames that it sends to the device.
///
/// # Errors
/// ENODEV when there is no such interface, EOPNOTSUPP when its driver has no such setting.
pub fn tx_checksum(name: &IfName) -> io::Result<bool> {
    let mut value = Value { command: ETHTOOL_GTXCSUM, data: 0 };
    ask(name, &mut value)?;
    Ok(value.data != 0)
}

/// Sets whether the interface leaves checksums of frames that it sends to the device. Without it the kernel finishes them
/// in software, and segments too: segmentation offloads are off while this is.
///
/// # Errors
/// EPERM without `CAP_NET_ADMIN`, ENODEV, EOPNOTSUPP.
pub fn set_tx_checksum(name: &IfName, on: bool) -> io::Result<()> {
    ask(name, &mut Value { command: ETHTOOL_STXCSUM, data: on.into() })
}

/// The queues that the interface receives by; one if its driver does not say.
///
/// # Errors
/// ENODEV when there is no such interface.
pub fn receive_queues(name: &IfName) -> io::Result<u32> {
    let mut channels = Channels { command: ETHTOOL_GCHANNELS, ..Channels::default() };
    match ask(name, &mut channels) {
        Err(error) if error.raw_os_error() != Some(libc::EOPNOTSUPP) => Err(error),
        _ => Ok((channels.rx + channels.combined).max(1)),
    }
}

/// The structure of a command, as the kernel reads and writes it.
///
/// # Safety
/// It begins with a command for which the kernel touches no more than the structure.
unsafe trait Command {}

// SAFETY: only made with ETHTOOL_GTXCSUM and ETHTOOL_STXCSUM, which read and write a `struct ethtool_value`.
unsafe impl Command for Value {}
// SAFETY: only made with ETHTOOL_GCHANNELS, which writes a `struct ethtool_channels`.
unsafe impl Command for Channels {}

fn ask<C: Command>(name: &IfName, value: &mut C) -> io::Result<()> {
    let socket: OwnedFd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut request = name.ifreq();
    request.ifr_ifru.ifru_data = std::ptr::from_mut(value).cast();
    // SAFETY: SIOCETHTOOL reads one ifreq and, behind its data pointer, touches the command's structure; both outlive the call.
    Errno::result(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as libc::Ioctl, std::ptr::from_mut(&mut request))
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::Scratch;

    #[test]
    fn queues_of_a_veth_and_of_what_has_none() {
        let Some(net) = Scratch::for_test() else { return };
        net.ip("link add left numrxqueues 3 numtxqueues 2 type veth peer name right numrxqueues 1");
        let queues = |name: &str| net.run(|| receive_queues(&name.parse().unwrap())).unwrap();
        assert_eq!((queues("left").unwrap(), queues("right").unwrap(), queues("lo").unwrap()), (3, 1, 1));
        assert_eq!(queues("nobody").unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn tx_checksums_of_a_veth() {
        let Some(net) = Scratch::for_test() else { return };
        net.ip("link add left type veth peer name right");
        net.run(|| {
            let left: IfName = "left".parse().unwrap();
            assert!(tx_checksum(&left).unwrap());
            set_tx_checksum(&left, false).unwrap();
            assert!(!tx_checksum(&left).unwrap());
            let nobody: IfName = "nobody".parse().unwrap();
            assert_eq!(set_tx_checksum(&nobody, false).unwrap_err().raw_os_error(), Some(libc::ENODEV));
        })
        .unwrap();
    }
}
