//! The thread that waits for a peer and serves its messages.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use paceline_sys::wake::{Epoll, Event, EventFd, Interest};
use vhost::vhost_user::{BackendReqHandler, Error};

use super::device::Device;
use super::line::ThreadEnd;
use super::{VhostConfig, VhostRole};

/// Time between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(500);

/// Why there are no queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Why {
    NoPeer,
    Setup,
    Gone,
    Message,
    Memory,
    Ring,
    Stuck,
}

impl Why {
    const ALL: [Why; 7] =
        [Why::NoPeer, Why::Setup, Why::Gone, Why::Message, Why::Memory, Why::Ring, Why::Stuck];

    /// As a link's state tells it.
    pub const fn name(self) -> &'static str {
        match self {
            Why::NoPeer => "no peer has connected",
            Why::Setup => "the peer has not started its queues",
            Why::Gone => "the peer is gone",
            Why::Message => "the peer broke the protocol",
            Why::Memory => "the peer's memory cannot be used",
            Why::Ring => "the peer's queues cannot be used",
            Why::Stuck => "the worker did not let go of a queue in time",
        }
    }
}

/// What the thread and the port share.
struct Shared {
    why: AtomicU8,
    stopping: AtomicBool,
    stop: EventFd,
    /// Waits for `stop` alone. Made at the start, as later no descriptor may be left.
    stopped: Epoll,
    /// Waits for `stop` and for the listening socket.
    ready: Epoll,
    /// The connection, to end a thread that reads from it.
    stream: Mutex<Option<UnixStream>>,
}

/// The thread; dropping it ends it.
pub struct Peer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    /// Makes the socket, if that is our part, and starts the thread.
    pub fn start(config: &VhostConfig, line: ThreadEnd) -> io::Result<Peer> {
        let source = match config.role {
            VhostRole::Server => Source::Listener(Listener::bind(&config.socket)?),
            VhostRole::Client => {
                UnixAddr::new(&config.socket)?;
                Source::Path(config.socket.clone())
            }
        };
        let (stop, stopped, ready) = (EventFd::new()?, Epoll::new()?, Epoll::new()?);
        stopped.add(&stop, 0, Interest::Read)?;
        ready.add(&stop, 0, Interest::Read)?;
        if let Source::Listener(listener) = &source {
            ready.add(&listener.socket, 1, Interest::Read)?;
        }
        let shared = Arc::new(Shared {
            why: AtomicU8::new(Why::NoPeer as u8),
            stopping: AtomicBool::new(false),
            stop,
            stopped,
            ready,
            stream: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let thread = thread::Builder::new().name("vhost-user".into()).spawn(move || {
            if let Err(error) = serving.run(&source, line) {
                tracing::error!(%error, socket = %source.path().display(), "vhost-user port is not served any more");
            }
        })?;
        Ok(Peer { shared, thread: Some(thread) })
    }

    /// Why there are no queues, if there are none.
    pub fn why(&self) -> Why {
        Why::ALL[usize::from(self.shared.why.load(Ordering::Relaxed))]
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.stop.signal();
        if let Some(stream) = &*self.shared.stream.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Where connections come from.
enum Source {
    Listener(Listener),
    Path(PathBuf),
}

impl Source {
    fn path(&self) -> &Path {
        match self {
            Source::Listener(listener) => &listener.path,
            Source::Path(path) => path,
        }
    }
}

/// A socket that is ours, and its place, which is given back at the end.
struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    fn bind(path: &Path) -> io::Result<Listener> {
        // One that a killed switch left behind is in nobody's use.
        if fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
            match UnixStream::connect(path) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)?,
                _ => return Err(io::Error::new(ErrorKind::AddrInUse, "another process listens there")),
            }
        }
        let socket = UnixListener::bind(path)?;
        socket.set_nonblocking(true)?;
        Ok(Listener { socket, path: path.into() })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Shared {
    fn run(&self, source: &Source, line: ThreadEnd) -> io::Result<()> {
        let device = Arc::new(Mutex::new(Device::new(line)));
        while let Some(stream) = self.next(source)? {
            stream.set_nonblocking(false)?;
            let Ok(copy) = stream.try_clone() else {
                self.pause()?;
                continue;
            };
            *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
            // Either this sees the flag, or whoever set it sees the stream.
            if self.stopping.load(Ordering::SeqCst) {
                break;
            }
            self.set(Why::Setup);
            let end = self.serve(stream, &device);
            *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let mut device = device.lock().unwrap_or_else(PoisonError::into_inner);
            let (why, told) = device.refusal().unwrap_or_else(|| (reason(&end), end.to_string()));
            self.set(why);
            if !self.stopping.load(Ordering::SeqCst) {
                tracing::warn!(socket = %source.path().display(), error = told, "vhost-user: {}", why.name());
            }
            device.reset();
            drop(device);
            // A peer that is refused at once is not asked all the time.
            if matches!(source, Source::Path(_)) {
                self.pause()?;
            }
        }
        device.lock().unwrap_or_else(PoisonError::into_inner).reset();
        Ok(())
    }

    fn set(&self, why: Why) {
        self.why.store(why as u8, Ordering::Relaxed);
    }

    /// Waits a moment, or until it is time to end.
    fn pause(&self) -> io::Result<()> {
        self.stopped.wait(&mut [Event::EMPTY], Some(AGAIN)).map(drop)
    }

    /// The next connection; none when it is time to end.
    fn next(&self, source: &Source) -> io::Result<Option<UnixStream>> {
        loop {
            if self.stopping.load(Ordering::SeqCst) {
                return Ok(None);
            }
            match source {
                Source::Listener(listener) => {
                    self.ready.wait(&mut [Event::EMPTY; 2], None)?;
                    match listener.socket.accept() {
                        Ok((stream, _)) => return Ok(Some(stream)),
                        // No descriptor left, or a peer that is gone again.
                        Err(error) if error.kind() != ErrorKind::WouldBlock => self.pause()?,
                        Err(_) => {}
                    }
                }
                Source::Path(path) => match try_connect(path) {
                    Ok(stream) => return Ok(Some(stream)),
                    Err(_) => self.pause()?,
                },
            }
        }
    }

    /// Serves one connection to its end.
    fn serve(&self, stream: UnixStream, device: &Arc<Mutex<Device>>) -> Error {
        let prepared = || -> io::Result<Epoll> {
            let epoll = Epoll::new()?;
            epoll.add(&stream, 0, Interest::Read)?;
            epoll.add(&self.stop, 1, Interest::Read)?;
            let mut device = device.lock().unwrap_or_else(PoisonError::into_inner);
            epoll.add(device.line().answers_given(), 2, Interest::Read)?;
            Ok(epoll)
        };
        let epoll = match prepared() {
            Ok(prepared) => prepared,
            Err(error) => return Error::SocketError(error),
        };
        let mut handler = BackendReqHandler::from_stream(stream, Arc::clone(device));
        loop {
            let mut events = [Event::EMPTY; 3];
            let count = match epoll.wait(&mut events, None) {
                Ok(count) => count,
                Err(error) => return Error::SocketError(error),
            };
            for event in &events[..count] {
                match event.token() {
                    0 => {
                        if let Err(error) = handler.handle_request() {
                            return error;
                        }
                    }
                    1 => return Error::Disconnected,
                    _ => device.lock().unwrap_or_else(PoisonError::into_inner).listen(),
                }
            }
        }
    }
}

/// Connects without waiting for a peer that does not accept.
fn try_connect(path: &Path) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(fd))
}

/// What the end of a connection means.
fn reason(end: &Error) -> Why {
    match end {
        Error::Disconnected | Error::SocketBroken(_) | Error::SocketError(_) => Why::Gone,
        _ => Why::Message,
    }
}
