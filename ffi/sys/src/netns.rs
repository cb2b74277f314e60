//! Network namespaces: to work inside one, and a throw-away one for tests.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};

use crate::link::{self, IfName};

/// An open network namespace; it lives at least as long as this handle.
#[derive(Debug)]
pub struct NetNs {
    file: File,
}

impl NetNs {
    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// What opening `/proc/thread-self/ns/net` says.
    pub fn current() -> io::Result<Self> {
        Ok(Self { file: File::open("/proc/thread-self/ns/net")? })
    }

    /// The namespace at `path`: a bind mount (`/run/netns/NAME`, Docker's `SandboxKey`) or `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// Not found, not permitted, or `InvalidInput` when the file is no network namespace (as is left after an unmount).
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        const NS_GET_NSTYPE: libc::Ioctl = nix::request_code_none!(0xb7, 0x3) as libc::Ioctl;
        let path = path.as_ref();
        let file = File::open(path)?;
        // SAFETY: NS_GET_NSTYPE takes no argument (linux/nsfs.h).
        if unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE) } != libc::CLONE_NEWNET {
            let message = format!("{} is not a network namespace", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(Self { file })
    }

    /// Device and inode number: equal exactly for two handles of one namespace, while either is open.
    ///
    /// # Errors
    /// What fstat(2) says.
    pub fn id(&self) -> io::Result<(u64, u64)> {
        let stat = nix::sys::stat::fstat(&self.file)?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// Runs `work` inside the namespace and waits for it.
    ///
    /// It runs on a thread of its own, so the caller, perhaps a worker of an async runtime, never changes its namespace.
    /// Sockets, TAPs and child processes made by `work` belong to the namespace; a panic of `work` goes on in the caller.
    ///
    /// # Errors
    /// What setns(2) says: EPERM without `CAP_SYS_ADMIN`.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> io::Result<R> {
        on_thread(|| {
            setns(&self.file, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        })
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl From<OwnedFd> for NetNs {
    fn from(fd: OwnedFd) -> Self {
        Self { file: fd.into() }
    }
}

fn on_thread<R: Send>(work: impl FnOnce() -> io::Result<R> + Send) -> io::Result<R> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".into()).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A new network namespace with its loopback up, for tests and demonstrations. It has no name; when this is dropped and
/// no process or link is left in it, it is gone, also when the test failed.
///
/// ```
/// use paceline_sys::netns::Scratch;
///
/// let Some(net) = Scratch::for_test() else { return };
/// net.ip("link add left type veth peer name right");
/// assert!(net.run(|| paceline_sys::link::index("left")).unwrap().is_ok());
/// ```
#[derive(Debug)]
pub struct Scratch {
    netns: NetNs,
}

impl Scratch {
    /// Makes one; needs root (`CAP_SYS_ADMIN`).
    ///
    /// # Errors
    /// What unshare(2) says, or the ioctls that bring the loopback up.
    pub fn new() -> io::Result<Self> {
        let netns = on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let loopback: IfName = "lo".parse().map_err(io::Error::other)?;
            link::set_up(&loopback, true)?;
            NetNs::current()
        })?;
        Ok(Self { netns })
    }

    /// One for a test: `None`, after a word on standard output, when the test does not run as root.
    ///
    /// # Panics
    /// When it cannot be made in spite of being root.
    pub fn for_test() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: needs root");
            return None;
        }
        Some(Self::new().expect("a network namespace for the test"))
    }

    /// Turns IPv6 off on links that are made later, so that the kernel sends nothing on them by itself.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn silence(&self) {
        let write = || std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
        self.run(write).and_then(|written| written).expect("IPv6 turned off");
    }

    /// A path that any process can open while this lives, for `ip link set X netns PATH` or as a sandbox key.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.netns.file.as_raw_fd()).into()
    }

    /// Runs iproute2's `ip` inside, with `args` split at white space; what it printed.
    ///
    /// # Panics
    /// When `ip` is missing or fails, with its message: it is a step of a test.
    pub fn ip(&self, args: &str) -> String {
        let out = self.run(|| Command::new("ip").args(args.split_whitespace()).output());
        let out = out.and_then(|out| out).unwrap_or_else(|error| panic!("ip {args}: {error}"));
        assert!(out.status.success(), "ip {args}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Takes links up and waits until the kernel sends by those that have a carrier: a veth drops everything, without a word,
    /// until a work queue of the kernel's has seen that both of its ends are up. So both belong into one call.
    ///
    /// # Panics
    /// As [`ip`](Self::ip), and after ten seconds.
    pub fn up(&self, links: &[&str]) {
        for link in links {
            self.ip(&format!("link set {link} up"));
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        for link in links {
            let is_on_its_way = |about: &str| about.contains("LOWER_UP") && about.contains("qdisc noop ");
            while is_on_its_way(&self.ip(&format!("-o link show {link}"))) {
                assert!(Instant::now() < deadline, "{link} does not come up");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// For tests: tries again until it succeeds. What a closed descriptor gives up may be held a moment longer, by a child that
/// another thread was just starting and that has not closed its copy yet.
///
/// # Panics
/// After ten seconds, with the last error.
pub fn in_time<T, E: std::fmt::Display>(mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Deref for Scratch {
    type Target = NetNs;

    fn deref(&self) -> &NetNs {
        &self.netns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_runs_inside_and_the_caller_stays_outside() {
        let Some(net) = Scratch::for_test() else { return };
        let outside = NetNs::current().unwrap().id().unwrap();
        let inside = net.run(|| NetNs::current().unwrap().id().unwrap()).unwrap();
        assert_eq!(inside, net.id().unwrap());
        assert_ne!(inside, outside);
        assert_eq!(NetNs::current().unwrap().id().unwrap(), outside);
    }

    #[test]
    fn its_path_opens_the_same_namespace_and_its_loopback_is_up() {
        let Some(net) = Scratch::for_test() else { return };
        assert_eq!(NetNs::open(net.path()).unwrap().id().unwrap(), net.id().unwrap());
        assert!(net.ip("link show lo").contains("LOOPBACK,UP"));
    }

    #[test]
    fn a_link_can_move_between_two() {
        let (Some(a), Some(b)) = (Scratch::for_test(), Scratch::for_test()) else { return };
        a.ip("link add left type veth peer name right");
        a.ip(&format!("link set right netns {}", b.path().display()));
        assert!(b.ip("link show right").contains("right@"));
    }

    #[test]
    fn a_file_that_is_no_namespace_is_refused() {
        let error = NetNs::open("/dev/null").expect_err("not a namespace");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(NetNs::open("/nonexistent").expect_err("missing").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_panic_inside_reaches_the_caller() {
        let Some(net) = Scratch::for_test() else { return };
        let caught = std::panic::catch_unwind(|| net.run(|| panic!("inside")));
        assert_eq!(caught.expect_err("panicked").downcast_ref(), Some(&"inside"));
    }
}
