//! How a sleeping worker is woken: eventfd(2) and epoll(7).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd as NixEventFd};

/// A flag that one thread raises and another one sleeps on.
#[derive(Debug)]
pub struct EventFd(NixEventFd);

impl EventFd {
    /// A lowered flag.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(NixEventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?))
    }

    /// Raises the flag; never blocks.
    pub fn signal(&self) {
        // The one possible error is a counter near 2^64, that is, a flag that is up already.
        let _ = self.0.write(1);
    }

    /// Lowers the flag; how many signals it had, 0 if it was down. Never blocks.
    pub fn drain(&self) -> u64 {
        self.0.read().unwrap_or(0)
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What to wait for on a descriptor. Hang-up and error are always reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Something to read.
    Read,
    /// Room to write.
    Write,
    /// Either.
    Both,
    /// Something new to read, told once for each time: what is never read does not stay reported.
    Signal,
    /// Hang-up and error only.
    Hangup,
}

impl Interest {
    fn flags(self) -> EpollFlags {
        match self {
            Self::Read => EpollFlags::EPOLLIN,
            Self::Write => EpollFlags::EPOLLOUT,
            Self::Both => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT,
            Self::Signal => EpollFlags::EPOLLIN | EpollFlags::EPOLLET,
            Self::Hangup => EpollFlags::empty(),
        }
    }
}

/// One thing that happened.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Event(libc::epoll_event);

impl Event {
    /// A place for [`Epoll::wait`] to write to.
    pub const EMPTY: Self = Self(libc::epoll_event { events: 0, u64: 0 });

    /// The token that the descriptor was added with.
    pub fn token(&self) -> u64 {
        self.0.u64
    }

    /// There is something to read.
    pub fn readable(&self) -> bool {
        self.0.events & libc::EPOLLIN as u32 != 0
    }

    /// There is room to write.
    pub fn writable(&self) -> bool {
        self.0.events & libc::EPOLLOUT as u32 != 0
    }

    /// The descriptor has an error pending or its other side is gone.
    pub fn failed(&self) -> bool {
        self.0.events & (libc::EPOLLERR | libc::EPOLLHUP) as u32 != 0
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let flags = EpollFlags::from_bits_retain(self.0.events.cast_signed());
        f.debug_struct("Event").field("token", &self.token()).field("flags", &flags).finish()
    }
}

/// A set of descriptors to sleep on; level-triggered but for [`Interest::Signal`]. It is a descriptor itself, readable while one
/// of them is.
#[derive(Debug)]
pub struct Epoll(nix::sys::epoll::Epoll);

/// A set can be waited for in another one: it is readable when something has happened that nobody took.
impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

impl Epoll {
    /// An empty set.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(nix::sys::epoll::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// Adds a descriptor; its events carry `token`. Closing the descriptor removes it.
    ///
    /// # Errors
    /// `AlreadyExists`, or EPERM for a file that cannot be waited for.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(self.0.add(fd, EpollEvent::new(interest.flags(), token))?)
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// `NotFound` when it was not added.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(self.0.modify(fd, &mut EpollEvent::new(interest.flags(), token))?)
    }

    /// Removes a descriptor.
    ///
    /// # Errors
    /// `NotFound` when it was not added.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(self.0.delete(fd)?)
    }

    /// Sleeps until something happens, for at most `timeout` (nanosecond resolution; `None`: without end), and writes what
    /// happened to the first elements of `events`; how many. 0 is a timeout or a signal.
    ///
    /// # Errors
    /// EINVAL when `events` is empty.
    pub fn wait(&self, events: &mut [Event], timeout: Option<Duration>) -> io::Result<usize> {
        let limit = timeout.map(|timeout| libc::timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let room = i32::try_from(events.len()).unwrap_or(i32::MAX);
        // epoll_pwait2, as epoll_wait counts in milliseconds and a worker naps for tens of microseconds.
        // SAFETY: `events` has `room` elements with the layout of epoll_event, `limit` is null or outlives the call,
        // and a null signal mask means none.
        let got = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.0.0.as_raw_fd(),
                events.as_mut_ptr(),
                room,
                limit,
                std::ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        match Errno::result(got) {
            Ok(got) => Ok(got as usize),
            Err(Errno::EINTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_wakes_the_sleeper_and_drain_lowers_the_flag() {
        let (flag, epoll) = (EventFd::new().unwrap(), Epoll::new().unwrap());
        epoll.add(&flag, 7, Interest::Read).unwrap();
        let mut events = [Event::EMPTY; 4];
        assert_eq!(epoll.wait(&mut events, Some(Duration::from_micros(50))).unwrap(), 0);
        std::thread::scope(|scope| {
            scope.spawn(|| flag.signal());
            assert_eq!(epoll.wait(&mut events, None).unwrap(), 1);
        });
        assert!(events[0].token() == 7 && events[0].readable() && !events[0].failed(), "{events:?}");
        flag.signal();
        assert_eq!(flag.drain(), 2);
        assert_eq!(flag.drain(), 0);
        assert_eq!(epoll.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);
    }

    #[test]
    fn a_set_inside_a_set_tells_each_signal_once() {
        let (flag, inner, outer) = (EventFd::new().unwrap(), Epoll::new().unwrap(), Epoll::new().unwrap());
        inner.add(&flag, 1, Interest::Signal).unwrap();
        outer.add(&inner, 2, Interest::Read).unwrap();
        let mut events = [Event::EMPTY; 2];
        for _ in 0..3 {
            assert_eq!(outer.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);
            flag.signal();
            assert_eq!(outer.wait(&mut events, Some(Duration::ZERO)).unwrap(), 1);
            assert_eq!(outer.wait(&mut events, Some(Duration::ZERO)).unwrap(), 1, "until somebody looks");
            assert_eq!(inner.wait(&mut events, Some(Duration::ZERO)).unwrap(), 1);
        }
    }

    #[test]
    fn interest_can_change_and_end() {
        let (flag, epoll) = (EventFd::new().unwrap(), Epoll::new().unwrap());
        let mut events = [Event::EMPTY; 1];
        epoll.add(&flag, 1, Interest::Hangup).unwrap();
        assert_eq!(epoll.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);
        epoll.modify(&flag, 2, Interest::Both).unwrap();
        assert_eq!(epoll.wait(&mut events, None).unwrap(), 1);
        assert!(events[0].token() == 2 && events[0].writable());
        epoll.remove(&flag).unwrap();
        assert_eq!(epoll.modify(&flag, 2, Interest::Read).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(epoll.wait(&mut [], Some(Duration::ZERO)).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}
