//! Endpoints whose container went without a word: the engine crashed, or we were down.
//!
//! A container that is there has a network namespace. But the engine calls Join *before* it makes the namespace and moves the
//! link into it, so one that is not there may be still to come. It is gone for sure if it was there before. After a start nobody
//! knows whether it was; then the link tells. Before the move it is here, with our mark. After a container's proper end it is
//! here again, but then the engine leaves the mount point of the namespace behind as a plain file for a minute. In all other
//! cases it went with the namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use paceline_attach::{End, Error, Links};
use paceline_model::{Endpoint, EndpointId};
use paceline_sys::NetNs;

use super::container::is_marked;

/// How long a container may take from `CreateEndpoint` to Join, or from there to its namespace. The engine itself gives up on a call after 15 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is known of containers' network namespaces.
#[derive(Debug, Default)]
pub struct Sandboxes {
    /// Those that were there once.
    seen: BTreeSet<PathBuf>,
    /// Those that were never there, and since when they are awaited.
    awaited: BTreeMap<PathBuf, Instant>,
    /// Endpoints that have not joined, or left, and since when they are known.
    waiting: BTreeMap<EndpointId, Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is a namespace, or it cannot be told.
    Alive,
    /// There is a file where the namespace was, or is about to be.
    Unmounted,
    /// There is nothing.
    Absent,
}

impl Sandboxes {
    /// Whether a container is, or may still come to be, in the namespace at `path`.
    pub fn may_live(&mut self, path: &Path) -> bool {
        if state(path) == State::Alive {
            self.awaited.remove(path);
            self.seen.insert(path.into());
            return true;
        }
        if self.seen.contains(path) {
            return false;
        }
        let since = self.awaited.entry(path.into()).or_insert_with(Instant::now);
        since.elapsed() < PATIENCE
    }

    /// Those endpoints of `waiting`, which are not joined, that have been so for too long: the engine does nothing between two
    /// calls that takes its time.
    pub fn overdue(&mut self, waiting: BTreeSet<EndpointId>) -> Vec<EndpointId> {
        let since = |id: &EndpointId| self.waiting.get(id).copied().unwrap_or_else(Instant::now);
        self.waiting = waiting.into_iter().map(|id| (id.clone(), since(&id))).collect();
        let overdue = self.waiting.iter().filter(|(_, since)| since.elapsed() >= PATIENCE);
        overdue.map(|(id, _)| id.clone()).collect()
    }

    /// Forgets all others.
    pub fn retain(&mut self, used: &BTreeSet<PathBuf>) {
        self.seen.retain(|path| used.contains(path));
        self.awaited.retain(|path, _| used.contains(path));
    }

    /// Notes that a namespace was there before this start.
    pub fn was_there(&mut self, path: &Path) {
        self.seen.insert(path.into());
    }
}

/// Whether the container of an endpoint that joined before this start is gone.
///
/// # Errors
/// The link cannot be looked for.
pub async fn is_gone(links: &Links, endpoint: &Endpoint) -> Result<bool, Error> {
    let Some(path) = &endpoint.sandbox else { return Ok(false) };
    if state(path) == State::Alive {
        return Ok(false);
    }
    let link = links.find(endpoint.link).await?;
    let here = link.is_some_and(|link| is_marked(&link, End::Container, endpoint.id.as_str()));
    // Once more: the link may have gone because the namespace has come.
    Ok(match state(path) {
        State::Alive => false,
        State::Unmounted => true,
        State::Absent => !here,
    })
}

fn state(path: &Path) -> State {
    match NetNs::open(path).map_err(|error| error.kind()) {
        Err(ErrorKind::NotFound) => State::Absent,
        Err(ErrorKind::InvalidInput) => State::Unmounted,
        _ => State::Alive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paceline_sys::netns::Scratch;

    #[test]
    fn a_namespace_that_was_there_and_is_not_is_gone() {
        let Some(netns) = Scratch::for_test() else { return };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sandbox");
        let mut sandboxes = Sandboxes::default();
        assert!(sandboxes.may_live(&path), "it may still come");
        std::fs::write(&path, "").unwrap();
        assert!(sandboxes.may_live(&path), "it is about to come");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(netns.path(), &path).unwrap();
        assert!(sandboxes.may_live(&path));
        std::fs::remove_file(&path).unwrap();
        assert!(!sandboxes.may_live(&path), "it was there");
        std::fs::write(&path, "").unwrap();
        assert!(!sandboxes.may_live(&path), "a mount point alone is none");
        sandboxes.retain(&BTreeSet::new());
        assert!(sandboxes.seen.is_empty() && sandboxes.awaited.is_empty());
    }
}
