//! Settings of the kernel under `/proc/sys`, which there are those of the calling thread's network namespace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::error::HostError;

/// What came of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// It was so before.
    Unchanged,
    /// It is so now.
    Changed,
    /// The kernel has no such setting: it has no such protocol.
    Absent,
    /// `/proc/sys` is read-only, as in a container.
    ReadOnly,
}

/// The file of a setting: `net/ipv4/ip_forward`. A path, as the name of an interface may have dots.
pub fn path(setting: &str) -> PathBuf {
    Path::new("/proc/sys").join(setting)
}

/// Its value; none if the kernel has no such setting.
pub fn get(setting: &str) -> Option<String> {
    fs::read_to_string(path(setting)).ok().map(|value| value.trim().to_owned())
}

/// Sets it, if it is not so already.
///
/// # Errors
/// [`HostError::Sysctl`].
pub fn set(setting: &str, value: &'static str) -> Result<Set, HostError> {
    if get(setting).as_deref() == Some(value) {
        return Ok(Set::Unchanged);
    }
    match fs::write(path(setting), value) {
        Ok(()) => Ok(Set::Changed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Set::Absent),
        Err(error) if error.raw_os_error() == Some(Errno::EROFS as i32) => Ok(Set::ReadOnly),
        Err(source) => Err(HostError::Sysctl { path: path(setting), value, source }),
    }
}
