//! Waking a peer whose eventfd may do anything.
//!
//! The peer has the same eventfd, so it can make it block, and fill its counter: then write(2) would hold up the worker for
//! ever. The kernel itself raises eventfds without ever waiting, for one when a request of its AIO (io_submit(2)) is done. So
//! what is sent is a request that is done at once, to ask whether another eventfd, ours, can be written.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use paceline_sys::EventFd;

/// Requests that may be done and not taken back. The kernel has room for more.
const REQUESTS: usize = 64;
/// `IOCB_CMD_POLL`, `IOCB_FLAG_RESFD` (linux/aio_abi.h).
const POLL: u16 = 5;
const RAISE: u32 = 1;

/// `struct iocb`, little-endian.
#[repr(C)]
#[derive(Default)]
struct Request {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: i16,
    fd: u32,
    events: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    raises: u32,
}

/// `struct io_event`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Done {
    _data: u64,
    _request: u64,
    _result: [i64; 2],
}

/// Raises an eventfd of somebody else's, without ever waiting.
#[derive(Debug)]
pub(crate) struct Signal {
    context: usize,
    ready: EventFd,
    peer: OwnedFd,
}

impl Signal {
    /// For a peer's eventfd.
    ///
    /// # Errors
    /// The kernel has no AIO, or no room for more of it.
    pub fn new(peer: OwnedFd) -> io::Result<Self> {
        let (mut context, ready) = (0_usize, EventFd::new()?);
        // SAFETY: `context` outlives the call, which writes it.
        Errno::result(unsafe { libc::syscall(libc::SYS_io_setup, REQUESTS, &raw mut context) })?;
        Ok(Self { context, ready, peer })
    }

    /// Raises it.
    ///
    /// # Errors
    /// It is no eventfd.
    pub fn raise(&self) -> io::Result<()> {
        let request = Request {
            opcode: POLL,
            fd: self.ready.as_fd().as_raw_fd().cast_unsigned(),
            events: libc::POLLOUT as u64,
            flags: RAISE,
            raises: self.peer.as_raw_fd().cast_unsigned(),
            ..Request::default()
        };
        let requests = [&raw const request];
        loop {
            // SAFETY: the context is ours, the list has one request, and both are read during the call alone.
            let sent = unsafe { libc::syscall(libc::SYS_io_submit, self.context, 1, requests.as_ptr()) };
            match Errno::result(sent) {
                Ok(_) => return Ok(()),
                Err(Errno::EAGAIN) if self.reap() > 0 => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes back what is done; how many.
    fn reap(&self) -> usize {
        let mut done = [Done { _data: 0, _request: 0, _result: [0; 2] }; REQUESTS];
        // SAFETY: the context is ours, there is room for `REQUESTS` answers, and nothing is waited for.
        let count = unsafe {
            let none = ptr::null::<libc::timespec>();
            libc::syscall(libc::SYS_io_getevents, self.context, 0, REQUESTS, done.as_mut_ptr(), none)
        };
        usize::try_from(count).unwrap_or(0)
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        // SAFETY: the context is ours and not used again.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::eventfd::{EfdFlags, EventFd as Raw};

    use super::*;

    #[test]
    fn an_eventfd_that_blocks_and_is_full_holds_nobody_up() {
        let raw = Raw::from_flags(EfdFlags::EFD_CLOEXEC).unwrap();
        let signal = Signal::new(raw.as_fd().try_clone_to_owned().unwrap()).unwrap();
        // More often than there is room for answers.
        for _ in 0..1000 {
            signal.raise().unwrap();
        }
        assert_eq!(raw.read().unwrap(), 1000);
        raw.write(u64::MAX - 1).unwrap();
        for _ in 0..3 {
            signal.raise().unwrap();
        }
    }

    #[test]
    fn what_is_no_eventfd_is_told() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let error = Signal::new(reader.into()).unwrap().raise().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}
