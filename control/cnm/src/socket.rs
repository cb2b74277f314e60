//! A Unix socket that replaces a dead process's and respects a live one's.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use axum::serve::Listener;
use tokio::net::{UnixListener, unix};

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Someone answers there.
    #[error("socket {}: is already in use by another instance: stop it, or give this one another path", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("socket {}: there is already something that is no socket: remove it, or choose another path", path.display())]
    NotASocket {
        /// What is there.
        path: PathBuf,
    },
    /// The path has no directory or no name.
    #[error("socket {}: must be the path of a file to be, like /run/docker/plugins/paceline.sock", path.display())]
    NoFile {
        /// As given.
        path: PathBuf,
    },
    /// The system refused.
    #[error("socket {}: cannot be made ({source}): run as root, or choose another path", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A listening Unix socket with mode 0600, for [`axum::serve()`]. Its file goes when it is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode, to tell our file from one that has taken its place.
    file: (u64, u64),
}

impl Socket {
    /// Listens at `path`, whose directory is made if it is missing. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let io = |source| SocketError::Io { path: path.into(), source };
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(SocketError::NoFile { path: path.into() });
        };
        if !dir.as_os_str().is_empty() {
            fs::create_dir_all(dir).map_err(io)?;
        }
        refuse_if_in_use(path)?;
        // Made under another name and moved when it is private: nobody ever finds it open to others.
        let draft = path.with_file_name({
            let mut draft = name.to_owned();
            draft.push(".new");
            draft
        });
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&draft).map_err(io)?;
        let publish = || {
            fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
            let made = fs::symlink_metadata(&draft)?;
            fs::rename(&draft, path)?;
            Ok((made.dev(), made.ino()))
        };
        match publish() {
            Ok(file) => Ok(Self { listener, path: path.into(), file }),
            Err(error) => {
                // The first error is the one to tell.
                let _ = fs::remove_file(&draft);
                Err(io(error))
            }
        }
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Fails if a process listens there, or if what is there is no socket.
fn refuse_if_in_use(path: &Path) -> Result<(), SocketError> {
    let io = |source| SocketError::Io { path: path.into(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
        Ok(there) if !there.file_type().is_socket() => {
            return Err(SocketError::NotASocket { path: path.into() });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse { path: path.into() }),
        // Its process is dead, or it went while we looked.
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            Ok(())
        }
        Err(error) => Err(io(error)),
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|there| (there.dev(), there.ino()) == self.file) {
            // Left behind, it is taken for what it is at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Listener for Socket {
    type Io = tokio::net::UnixStream;
    type Addr = unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        Listener::accept(&mut self.listener).await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn made_private_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c.sock");
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(socket.path(), path);
        assert!(UnixStream::connect(&path).is_ok());
        drop(socket);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_live_one_is_respected_and_a_dead_one_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let live = Socket::bind(&path).unwrap();
        let error = Socket::bind(&path).unwrap_err();
        assert!(matches!(error, SocketError::InUse { .. }), "{error}");
        assert!(error.to_string().contains("already in use by another instance"));
        assert!(UnixStream::connect(&path).is_ok());
        drop(live);
        // As after `kill -9`: the file is there, nobody listens.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        fs::write(dir.path().join("s.sock.new"), "left by a crash").unwrap();
        let socket = Socket::bind(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        // One that took our place is not ours to remove.
        fs::remove_file(&path).unwrap();
        let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(UnixStream::connect(&path).is_ok());
        drop(other);
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("precious");
        fs::write(&path, "data").unwrap();
        assert!(matches!(Socket::bind(&path).unwrap_err(), SocketError::NotASocket { .. }));
        assert_eq!(fs::read(&path).unwrap(), b"data");
        assert!(matches!(Socket::bind(Path::new("/")).unwrap_err(), SocketError::NoFile { .. }));
        assert!(matches!(Socket::bind(&path.join("below")).unwrap_err(), SocketError::Io { .. }));
    }
}
