//! Offloads of an interface of the calling thread's namespace, by the ethtool ioctl (linux/ethtool.h).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::link::IfName;

const ETHTOOL_GTXCSUM: u32 = 0x16;
const ETHTOOL_STXCSUM: u32 = 0x17;

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// Whether the interface leaves checksums of frames that it sends to the device.
///
/// # Errors
/// ENODEV when there is no such interface, EOPNOTSUPP when its driver has no such setting.
pub fn tx_checksum(name: &IfName) -> io::Result<bool> {
    Ok(ask(name, Value { command: ETHTOOL_GTXCSUM, data: 0 })? != 0)
}

/// Sets whether the interface leaves checksums of frames that it sends to the device. Without it the kernel finishes them
/// in software, and segments too: segmentation offloads are off while this is.
///
/// # Errors
/// EPERM without `CAP_NET_ADMIN`, ENODEV, EOPNOTSUPP.
pub fn set_tx_checksum(name: &IfName, on: bool) -> io::Result<()> {
    ask(name, Value { command: ETHTOOL_STXCSUM, data: on.into() }).map(drop)
}

fn ask(name: &IfName, mut value: Value) -> io::Result<u32> {
    let socket: OwnedFd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut request = name.ifreq();
    request.ifr_ifru.ifru_data = std::ptr::from_mut(&mut value).cast();
    // SAFETY: for both commands SIOCETHTOOL reads one ifreq and, behind its data pointer, reads or writes one `Value`;
    // both outlive the call.
    Errno::result(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as libc::Ioctl, std::ptr::from_mut(&mut request))
    })?;
    Ok(value.data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::Scratch;

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
