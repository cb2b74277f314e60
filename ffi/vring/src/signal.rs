//! Eventfds of another process: how the two sides of a queue wake each other.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// Why a descriptor is no signal.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// Something else, which could make whoever writes to it wait.
    #[error("the descriptor is {0}, and no eventfd")]
    Kind(String),
    /// The kernel's refusal.
    #[error("the eventfd: {0}")]
    System(#[from] io::Error),
}

/// An eventfd that another process made.
#[derive(Debug)]
pub struct Signal(File);

impl Signal {
    /// Takes a descriptor for a signal.
    ///
    /// # Errors
    /// It is no eventfd.
    pub fn new(file: File) -> Result<Signal, SignalError> {
        let link = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        if link.as_os_str() != "anon_inode:[eventfd]" {
            return Err(SignalError::Kind(link.display().to_string()));
        }
        let flags = fcntl(&file, FcntlArg::F_GETFL).map_err(io::Error::from)?;
        let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
        fcntl(&file, FcntlArg::F_SETFL(flags)).map_err(io::Error::from)?;
        Ok(Signal(file))
    }

    /// Wakes who waits for it.
    pub fn raise(&self) {
        // The one possible error is a counter near 2^64: whoever counts so far is awake.
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }
}

impl AsFd for Signal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use paceline_sys::EventFd;

    use super::*;

    #[test]
    fn only_eventfds_are_signals() {
        let event = EventFd::new().expect("an eventfd");
        let signal =
            Signal::new(File::from(event.as_fd().try_clone_to_owned().expect("a copy"))).expect("one");
        signal.raise();
        signal.raise();
        assert_eq!(event.drain(), 2);
        let pipe: (OwnedFd, OwnedFd) = nix::unistd::pipe().expect("a pipe");
        let said = Signal::new(File::from(pipe.1)).expect_err("refused").to_string();
        assert!(said.contains("pipe") && said.contains("no eventfd"), "{said}");
    }
}
