//! What can go wrong, with the link and the step in words.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use paceline_sys::IfName;
use paceline_tap::TapError;

/// Why a link could not be made, found or changed. Whatever the step had made is gone again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The namespace is not there any more: its container has ended.
    #[error("network namespace {}: gone", .0.display())]
    Gone(PathBuf),
    /// The namespace is there and cannot be used.
    #[error("network namespace {}: {source}{}", .path.display(), hint(.source, "CAP_SYS_ADMIN"))]
    Namespace {
        /// Where it was looked for.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The name belongs to another link already.
    #[error("{step} {link}: the name is in use")]
    InUse {
        /// What was to be done.
        step: &'static str,
        /// The link and its namespace.
        link: String,
    },
    /// There is no such link.
    #[error("{step} {link}: no such link")]
    NotFound {
        /// What was to be done.
        step: &'static str,
        /// The link and its namespace.
        link: String,
    },
    /// Another step was refused.
    #[error("{step} {link}: {source}{}", hint(.source, "CAP_NET_ADMIN"))]
    Kernel {
        /// What was to be done.
        step: &'static str,
        /// The link and its namespace.
        link: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The tap itself.
    #[error(transparent)]
    Tap(#[from] TapError),
    /// The netlink connection has ended, as when the runtime shuts down.
    #[error("{step} {link}: the netlink connection is closed")]
    Closed {
        /// What was to be done.
        step: &'static str,
        /// The link and its namespace.
        link: String,
    },
    /// The MTU is outside of what taps and veths take.
    #[error("link {link}: mtu {mtu}: must be 68 to 65521")]
    Mtu {
        /// The link asked for.
        link: IfName,
        /// Bytes asked for.
        mtu: u32,
    },
    /// The number of queues is outside of what taps take.
    #[error("link {link}: {queues} queues: must be 1 to 256")]
    Queues {
        /// The link asked for.
        link: IfName,
        /// Queues asked for.
        queues: u16,
    },
    /// The MAC is a group's or nobody's.
    #[error("link {link}: mac {mac:02x?}: must be a unicast address that is not all zeros")]
    Mac {
        /// The link asked for.
        link: IfName,
        /// The address asked for.
        mac: [u8; 6],
    },
    /// The mark would not fit the alias.
    #[error("link {link}: id {id:?}: must be 1 to {max} bytes of text without control characters")]
    Id {
        /// The link asked for.
        link: IfName,
        /// The ID asked for.
        id: String,
        /// Bytes that there is room for.
        max: usize,
    },
}

impl Error {
    pub(crate) fn kernel(step: &'static str, link: String, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::BrokenPipe {
            return Self::Closed { step, link };
        }
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EEXIST) => Self::InUse { step, link },
            Some(Errno::ENODEV) => Self::NotFound { step, link },
            _ => Self::Kernel { step, link, source },
        }
    }

    pub(crate) fn namespace(path: PathBuf, source: io::Error) -> Self {
        match source.kind() {
            // A file that is no namespace is the mount point that Docker leaves for a moment after the unmount.
            io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => Self::Gone(path),
            _ => Self::Namespace { path, source },
        }
    }
}

fn hint(source: &io::Error, capability: &str) -> String {
    match source.kind() {
        io::ErrorKind::PermissionDenied => format!(": needs root ({capability})"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_to_do() {
        let error =
            |errno: Errno| Error::kernel("create veth", "plc0 in the host".into(), errno.into()).to_string();
        assert_eq!(error(Errno::EEXIST), "create veth plc0 in the host: the name is in use");
        assert_eq!(error(Errno::ENODEV), "create veth plc0 in the host: no such link");
        assert!(error(Errno::EPERM).ends_with(": needs root (CAP_NET_ADMIN)"), "{}", error(Errno::EPERM));
    }
}
