//! Network interfaces of the calling thread's namespace: names, and the few settings an ioctl can reach.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::str::FromStr;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// The name of an interface, as the kernel takes it: 1 to 15 bytes of printable ASCII without `/`, `:` and `%`, and
/// neither `.` nor `..` (`dev_valid_name` in net/core/dev.c; `%` is its pattern character).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName {
    /// Ends in at least one zero.
    bytes: [u8; libc::IFNAMSIZ],
}

/// A string that is no interface name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "interface name {0:?}: must be 1 to 15 printable ASCII characters without spaces, '/', ':' and '%', and not '.' or '..'"
)]
pub struct IfNameError(String);

impl IfName {
    /// A name whose `%d`, if it has one, stands for the first free number; the kernel fills it in.
    ///
    /// # Errors
    /// When it would be no name with a digit in that place.
    pub fn pattern(text: &str) -> Result<Self, IfNameError> {
        text.replacen("%d", "0", 1).parse::<Self>().map_err(|_| IfNameError(text.into()))?;
        Self::unchecked(text)
    }

    fn unchecked(text: &str) -> Result<Self, IfNameError> {
        let mut bytes = [0; libc::IFNAMSIZ];
        let room = bytes[..libc::IFNAMSIZ - 1].get_mut(..text.len());
        room.ok_or_else(|| IfNameError(text.into()))?.copy_from_slice(text.as_bytes());
        Ok(Self { bytes })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        let end = self.bytes.iter().position(|&byte| byte == 0).unwrap_or(self.bytes.len());
        std::str::from_utf8(&self.bytes[..end]).unwrap_or_default()
    }

    /// A request for this interface, for netdevice(7) ioctls.
    pub fn ifreq(&self) -> libc::ifreq {
        // SAFETY: an ifreq is integers, pointers and arrays of them, for which zero is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        request.ifr_name = self.bytes.map(u8::cast_signed);
        request
    }

    /// The name that the kernel wrote into a request.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_ifreq(request: &libc::ifreq) -> Result<Self, IfNameError> {
        let name = request.ifr_name.map(i8::cast_unsigned);
        String::from_utf8_lossy(name.split(|&byte| byte == 0).next().unwrap_or_default()).parse()
    }
}

impl FromStr for IfName {
    type Err = IfNameError;

    fn from_str(text: &str) -> Result<Self, IfNameError> {
        let fine = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%');
        if text.is_empty() || text == "." || text == ".." || !text.bytes().all(fine) {
            return Err(IfNameError(text.into()));
        }
        Self::unchecked(text)
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The index of the interface called `name`.
///
/// # Errors
/// ENODEV when there is none of that name in this namespace.
pub fn index(name: &str) -> io::Result<u32> {
    Ok(nix::net::if_::if_nametoindex(name)?)
}

/// The present name of the interface with this index.
///
/// # Errors
/// ENXIO when there is none.
pub fn name(index: u32) -> io::Result<IfName> {
    let name = nix::net::if_::if_indextoname(index)?;
    name.to_string_lossy().parse().map_err(io::Error::other)
}

/// Whether the interface is administratively up (`IFF_UP`).
///
/// # Errors
/// ENODEV when there is no such interface.
pub fn is_up(name: &IfName) -> io::Result<bool> {
    Ok(flags(name)? & libc::IFF_UP as libc::c_short != 0)
}

/// Sets the interface up or down.
///
/// # Errors
/// ENODEV when there is no such interface, EPERM without `CAP_NET_ADMIN`.
pub fn set_up(name: &IfName, up: bool) -> io::Result<()> {
    let old = flags(name)?;
    let bit = libc::IFF_UP as libc::c_short;
    let mut request = name.ifreq();
    request.ifr_ifru.ifru_flags = if up { old | bit } else { old & !bit };
    ioctl(libc::SIOCSIFFLAGS, &mut request)
}

/// The interface's MTU in bytes, without the Ethernet header.
///
/// # Errors
/// ENODEV when there is no such interface.
pub fn mtu(name: &IfName) -> io::Result<u32> {
    let mut request = name.ifreq();
    ioctl(libc::SIOCGIFMTU, &mut request)?;
    // SAFETY: SIOCGIFMTU fills `ifru_mtu`.
    Ok(unsafe { request.ifr_ifru.ifru_mtu }.cast_unsigned())
}

/// Sets the interface's MTU in bytes, without the Ethernet header.
///
/// # Errors
/// EINVAL when the device does not take that many, ENODEV, EPERM.
pub fn set_mtu(name: &IfName, bytes: u32) -> io::Result<()> {
    let mut request = name.ifreq();
    request.ifr_ifru.ifru_mtu = i32::try_from(bytes).map_err(|_| Errno::EINVAL)?;
    ioctl(libc::SIOCSIFMTU, &mut request)
}

/// The interface's Ethernet address.
///
/// # Errors
/// ENODEV when there is no such interface.
pub fn mac(name: &IfName) -> io::Result<[u8; 6]> {
    let mut request = name.ifreq();
    ioctl(libc::SIOCGIFHWADDR, &mut request)?;
    // SAFETY: SIOCGIFHWADDR fills `ifru_hwaddr`.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr }.sa_data;
    Ok(std::array::from_fn(|index| address[index].cast_unsigned()))
}

/// Sets the interface's address. Most devices take it while they are up.
///
/// # Errors
/// EADDRNOTAVAIL for a group address or zero, EBUSY when the device must be down for it, ENODEV, EPERM.
pub fn set_mac(name: &IfName, mac: [u8; 6]) -> io::Result<()> {
    let mut request = name.ifreq();
    let mut address = libc::sockaddr { sa_family: libc::ARPHRD_ETHER, sa_data: [0; 14] };
    for (place, byte) in address.sa_data.iter_mut().zip(mac) {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_hwaddr = address;
    ioctl(libc::SIOCSIFHWADDR, &mut request)
}

fn flags(name: &IfName) -> io::Result<libc::c_short> {
    let mut request = name.ifreq();
    ioctl(libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: SIOCGIFFLAGS fills `ifru_flags`.
    Ok(unsafe { request.ifr_ifru.ifru_flags })
}

fn ioctl(code: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    let socket: OwnedFd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: netdevice(7): these codes read and write one ifreq.
    Errno::result(unsafe {
        libc::ioctl(socket.as_raw_fd(), code as libc::Ioctl, std::ptr::from_mut(request))
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netns::Scratch;

    #[test]
    fn names() {
        for good in ["lo", "eth0.10", "a", "fifteen-chars-x", "..."] {
            assert_eq!(good.parse::<IfName>().expect(good).as_str(), good);
        }
        for bad in ["", ".", "..", "a b", "a/b", "a:0", "a\n", "é", "sixteen-chars-xx", "tap%d", "a\0b"] {
            assert_eq!(bad.parse::<IfName>(), Err(IfNameError(bad.into())));
        }
        assert_eq!(IfName::pattern("tap%d").expect("pattern").as_str(), "tap%d");
        for bad in ["%s", "%d%d", "%d/", "sixteen-chars-%d"] {
            assert_eq!(IfName::pattern(bad), Err(IfNameError(bad.into())));
        }
    }

    proptest! {
        #[test]
        fn a_name_survives_a_request(text in "\\PC{0,20}") {
            if let Ok(name) = text.parse::<IfName>() {
                prop_assert_eq!(name.to_string(), text);
                prop_assert_eq!(IfName::from_ifreq(&name.ifreq()), Ok(name));
            }
        }
    }

    #[test]
    fn settings_of_a_link() {
        let Some(net) = Scratch::for_test() else { return };
        net.ip("link add left type veth peer name right");
        net.run(|| {
            let left: IfName = "left".parse().unwrap();
            set_mac(&left, [2, 0, 0, 0, 0, 9]).unwrap();
            assert_eq!(mac(&left).unwrap(), [2, 0, 0, 0, 0, 9]);
            assert!(set_mac(&left, [1, 0, 0, 0, 0, 9]).is_err(), "a group address");
            assert_eq!(name(index("left").unwrap()).unwrap(), left);
            assert!(!is_up(&left).unwrap());
            set_up(&left, true).unwrap();
            assert!(is_up(&left).unwrap());
            set_mtu(&left, 9000).unwrap();
            assert_eq!(mtu(&left).unwrap(), 9000);
            assert_eq!(set_mtu(&left, 1).unwrap_err().raw_os_error(), Some(libc::EINVAL));
            set_up(&left, false).unwrap();
            assert!(!is_up(&left).unwrap());
            let nobody: IfName = "nobody".parse().unwrap();
            assert_eq!(mtu(&nobody).unwrap_err().raw_os_error(), Some(libc::ENODEV));
            assert!(index("nobody").is_err());
        })
        .unwrap();
        assert!(net.ip("link show left").contains("link/ether 02:00:00:00:00:09"));
    }
}
