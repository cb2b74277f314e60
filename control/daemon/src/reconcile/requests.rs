//! Requests for a pass, many of which one pass may serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, watch};

/// Why a pass did not bring the workers to what should be: it hinders all that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unmade(Arc<str>);

impl Unmade {
    /// For this reason.
    pub fn new(why: &str) -> Self {
        Self(why.into())
    }
}

/// Counts requests, and the last one that was served.
#[derive(Debug)]
pub struct Requests {
    made: AtomicU64,
    wake: Notify,
    served: watch::Sender<Served>,
}

/// The last request that was served, and how the pass that did it ended.
#[derive(Debug)]
struct Served {
    last: u64,
    ended: Result<(), Unmade>,
}

impl Default for Requests {
    fn default() -> Self {
        let none = Served { last: 0, ended: Ok(()) };
        Self { made: AtomicU64::new(0), wake: Notify::new(), served: watch::Sender::new(none) }
    }
}

impl Requests {
    /// Returns after a pass that began later than this call.
    ///
    /// # Errors
    /// The workers were not brought to what should be. It is tried again every second; what the caller asked for alone is the
    /// caller's to take back.
    pub async fn make(&self) -> Result<(), Unmade> {
        let mine = self.made.fetch_add(1, Ordering::SeqCst) + 1;
        self.wake.notify_one();
        let mut served = self.served.subscribe();
        // The sender is a field beside: it is not gone.
        served.wait_for(|served| served.last >= mine).await.map_or(Ok(()), |served| served.ended.clone())
    }

    /// Waits for requests; returns the number of the last. To be given to [`done`](Self::done) after a pass.
    pub async fn next(&self) -> u64 {
        self.wake.notified().await;
        self.made.load(Ordering::SeqCst)
    }

    /// All requests up to this one were served, and the pass ended so.
    pub fn done(&self, last: u64, ended: Result<(), Unmade>) {
        self.served.send_replace(Served { last, ended });
    }

    /// Nobody makes passes any more, for this reason: requests end at once.
    pub fn end(&self, why: Unmade) {
        self.done(u64::MAX, Err(why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_pass_serves_all_that_came_before_it() {
        let requests = Arc::new(Requests::default());
        let makers: Vec<_> = (0..50)
            .map(|_| {
                let requests = Arc::clone(&requests);
                tokio::spawn(async move { requests.make().await })
            })
            .collect();
        tokio::task::yield_now().await;
        let mut passes = 0;
        while requests.made.load(Ordering::SeqCst) > requests.served.borrow().last {
            let last = requests.next().await;
            requests.done(last, Err(Unmade::new("as the test wants it")));
            passes += 1;
        }
        for maker in makers {
            assert_eq!(maker.await.unwrap(), Err(Unmade::new("as the test wants it")));
        }
        assert!(passes < 50, "{passes}");
    }

    #[tokio::test]
    async fn nobody_waits_for_what_does_not_come() {
        let requests = Requests::default();
        requests.end(Unmade::new("it is over"));
        assert_eq!(requests.make().await, Err(Unmade::new("it is over")));
    }
}
