//! Why state cannot be read or written.

use std::io;
use std::path::{Path, PathBuf};

/// Why state cannot be read or written. Nothing was changed, in memory or on disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the lock.
    #[error("another paceline uses this state directory ({}): stop it, or give this one its own with --state-dir", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It may not be written.
    #[error("{}: cannot be written ({source}): run as root, or give a writable directory with --state-dir", path.display())]
    ReadOnly {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file system is full, or a quota reached.
    #[error("{}: no space left to save state ({source}): make room on this file system and try again", path.display())]
    Full {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Any other failure of the file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was written by a later version.
    #[error("{}: holds state of schema {found}, this version knows up to {known}: use a newer paceline", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u64,
        /// Ours.
        known: u64,
    },
    /// It is no store, or damaged.
    #[error("{}: is damaged or no paceline state ({why}): restore it, or move it away to start afresh", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
}

impl StoreError {
    pub(crate) fn corrupt(path: &Path, why: &impl ToString) -> Self {
        Self::Corrupt { path: path.into(), why: why.to_string() }
    }

    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::ReadOnly { path, source }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source },
            // What redb says of a file that is none of its.
            io::ErrorKind::InvalidData => Self::corrupt(&path, &source),
            _ => Self::Io { path, source },
        }
    }

    pub(crate) fn redb(path: &Path, error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::Io(source) => Self::io(path, source),
            redb::Error::DatabaseAlreadyOpen => Self::InUse { path: path.into() },
            other => Self::corrupt(path, &other),
        }
    }
}
