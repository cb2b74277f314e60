//! Room for what is passed on: one for all published ports, as all of them use the descriptors and the memory of one process.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most connections and UDP clients, whatever the limit of open files: each takes up to 64 KiB of memory.
const MOST: u64 = 8192;
/// Open files that there are for each of them. A connection has two, so that half of all stay for the rest of the switch.
const FILES: u64 = 4;
/// How often it is said that there is no room.
const SAY: Duration = Duration::from_secs(60);

/// A place in it, given back when it is dropped.
pub type Place = OwnedSemaphorePermit;

/// Room for connections and UDP clients.
#[derive(Debug)]
pub struct Room {
    places: Arc<Semaphore>,
    most: usize,
    /// Those for which there was none.
    missed: AtomicU64,
    said: Mutex<Option<Instant>>,
}

impl Room {
    /// For so many at once.
    pub fn new(most: usize) -> Self {
        let places = Arc::new(Semaphore::new(most));
        Self { places, most, missed: AtomicU64::new(0), said: Mutex::new(None) }
    }

    /// For as many as this process may have open files for.
    pub fn of_process() -> Self {
        let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
        Self::new((files / FILES).clamp(1, MOST) as usize)
    }

    /// A place, at once or never.
    pub fn take(&self) -> Option<Place> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        if place.is_none() {
            self.miss();
        }
        place
    }

    /// A place, as soon as there is one.
    pub async fn wait(&self) -> Option<Place> {
        match self.take() {
            // Nobody closes it.
            None => Arc::clone(&self.places).acquire_owned().await.ok(),
            place => place,
        }
    }

    /// Connections that had to wait, and datagrams of clients that were dropped.
    pub fn missed(&self) -> u64 {
        self.missed.load(Relaxed)
    }

    fn miss(&self) {
        let missed = self.missed.fetch_add(1, Relaxed) + 1;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|said| said.elapsed() >= SAY) {
            *said = Some(Instant::now());
            tracing::warn!(
                missed,
                "published ports: {} connections and UDP clients are passed on, which is all there is room for: others wait, \
                 or are lost; the limit of open files sets it, up to {MOST}",
                self.most
            );
        }
    }
}
