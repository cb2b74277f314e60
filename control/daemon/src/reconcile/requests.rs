//! Requests for a pass, many of which one pass may serve.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, watch};

/// Counts requests, and the last one that was served.
#[derive(Debug)]
pub struct Requests {
    made: AtomicU64,
    wake: Notify,
    served: watch::Sender<u64>,
}

impl Default for Requests {
    fn default() -> Self {
        Self { made: AtomicU64::new(0), wake: Notify::new(), served: watch::Sender::new(0) }
    }
}

impl Requests {
    /// Returns after a pass that began later than this call.
    pub async fn make(&self) {
        let mine = self.made.fetch_add(1, Ordering::SeqCst) + 1;
        self.wake.notify_one();
        // The sender is a field beside: it is not gone.
        let _ = self.served.subscribe().wait_for(|served| *served >= mine).await;
    }

    /// Waits for requests; returns the number of the last. To be given to [`done`](Self::done) after a pass.
    pub async fn next(&self) -> u64 {
        self.wake.notified().await;
        self.made.load(Ordering::SeqCst)
    }

    /// All requests up to this one were served.
    pub fn done(&self, last: u64) {
        self.served.send_replace(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

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
        while requests.made.load(Ordering::SeqCst) > *requests.served.borrow() {
            let last = requests.next().await;
            requests.done(last);
            passes += 1;
        }
        for maker in makers {
            maker.await.unwrap();
        }
        assert!(passes < 50, "{passes}");
    }
}
