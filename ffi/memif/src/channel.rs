//! The socket between the two sides: `SOCK_SEQPACKET`, one message a packet, with one file descriptor or none.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
    accept4, bind, connect, listen, recvmsg, sendmsg, socket,
};

use crate::Fault;
use crate::message::{LEN, Message};

/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Descriptors for which there is room in a message, so that more than one is seen and not cut off.
const DESCRIPTORS: usize = 253;

/// Where a server waits for clients. The socket's file goes with it.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    path: PathBuf,
    inode: Option<u64>,
}

/// A connection.
#[derive(Debug)]
pub struct Channel(OwnedFd);

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?)
}

impl Listener {
    /// Makes a socket at `path`. One that somebody left there, and where nobody listens, is replaced.
    ///
    /// # Errors
    /// `AddrInUse` when somebody listens there or it is no socket, a path that is too long or whose directory is missing.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let (fd, address) = (new_socket()?, UnixAddr::new(path)?);
        if let Err(error) = bind(fd.as_raw_fd(), &address) {
            if error != Errno::EADDRINUSE || !is_left(path) {
                return Err(error.into());
            }
            fs::remove_file(path)?;
            bind(fd.as_raw_fd(), &address)?;
        }
        let inode = fs::symlink_metadata(path).ok().map(|file| file.ino());
        let new = Self { fd, path: path.into(), inode };
        listen(&new.fd, Backlog::new(8)?)?;
        Ok(new)
    }

    /// The next client that waits, if one does.
    ///
    /// # Errors
    /// There are no descriptors or is no memory for it; it goes on waiting.
    pub fn accept(&self) -> io::Result<Option<Channel>> {
        match accept4(self.fd.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK) {
            // SAFETY: the descriptor is new, and nobody else's.
            Ok(fd) => Ok(Some(Channel(unsafe { OwnedFd::from_raw_fd(fd) }))),
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether there is a socket at `path` on which nobody listens any more.
fn is_left(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
        && Channel::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|file| Some(file.ino()) == self.inode);
        if is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Channel {
    /// Connects to a server.
    ///
    /// # Errors
    /// `NotFound`, `ConnectionRefused`, a path that is too long.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let fd = new_socket()?;
        connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        Ok(Self(fd))
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The peer is gone, or takes nothing.
    pub fn send(&self, message: &Message, fd: Option<BorrowedFd<'_>>) -> Result<(), Fault> {
        let bytes = message.encode();
        let fds = fd.map(|fd| [fd.as_raw_fd()]);
        let rights = fds.as_ref().map(|fds| ControlMessage::ScmRights(fds));
        let flags = MsgFlags::MSG_NOSIGNAL;
        let sent = sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(&bytes)], rights.as_slice(), flags, None);
        sent.map(drop).map_err(|_| Fault::Closed)
    }

    /// The next message, and what came with it. Waits for it, for a few seconds, unless `stop` becomes readable.
    ///
    /// # Errors
    /// Everything that is no message, and the peer's farewell.
    pub fn receive(&self, stop: BorrowedFd<'_>) -> Result<(Message, Option<OwnedFd>), Fault> {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Fault::Slow);
            }
            let mut ask =
                [PollFd::new(self.as_fd(), PollFlags::POLLIN), PollFd::new(stop, PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut ask, timeout) {
                Ok(_) if ask[1].any() == Some(true) => return Err(Fault::Stopped),
                Ok(_) if ask[0].any() == Some(true) => {}
                _ => continue,
            }
            match self.try_receive()? {
                Some((Message::Disconnect { .. }, _)) => return Err(Fault::Disconnected),
                Some(got) => return Ok(got),
                None => {}
            }
        }
    }

    /// The next message if there is one, without waiting.
    ///
    /// # Errors
    /// As with [`receive`](Self::receive).
    pub fn try_receive(&self) -> Result<Option<(Message, Option<OwnedFd>)>, Fault> {
        // One byte more, to see what is too long.
        let mut bytes = [0; LEN + 1];
        let mut space = nix::cmsg_space!([RawFd; DESCRIPTORS]);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
        let got = match recvmsg::<()>(self.0.as_raw_fd(), &mut slices, Some(&mut space), flags) {
            Ok(got) => got,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(_) => return Err(Fault::Closed),
        };
        let mut fds = Vec::new();
        for message in got.cmsgs().into_iter().flatten() {
            if let ControlMessageOwned::ScmRights(raw) = message {
                // SAFETY: the kernel made these descriptors for us with this message.
                fds.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        let (len, cut) = (got.bytes, got.flags.contains(MsgFlags::MSG_CTRUNC));
        if len == 0 {
            return Err(Fault::Closed);
        }
        let message = Message::decode(&bytes[..len])?;
        let takes = usize::from(matches!(message, Message::AddRegion { .. } | Message::AddRing { .. }));
        if cut || fds.len() > takes {
            return Err(Fault::Descriptors);
        }
        Ok(Some((message, fds.pop())))
    }
}
