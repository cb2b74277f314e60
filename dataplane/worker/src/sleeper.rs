//! How one thread tells others that it sleeps, so that none that has work for it lets it.

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering::SeqCst, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering::SeqCst, fence};

/// Whether a thread sleeps, or is about to.
///
/// Both sides write and then look at what the other one wrote, with a full fence in between (Dekker): the sleeper
/// [announces](Sleeper::announce) its sleep and then looks for work, others put work where it looks and then ask whether it
/// [sleeps](Sleeper::sleeps). So at least one of the two sees what the other did.
pub(crate) struct Sleeper(AtomicBool);

impl Sleeper {
    pub(crate) fn awake() -> Sleeper {
        Sleeper(AtomicBool::new(false))
    }

    /// The thread will sleep, unless it now finds work.
    pub(crate) fn announce(&self) {
        self.0.store(true, SeqCst);
        fence(SeqCst);
    }

    /// The thread sleeps no more.
    pub(crate) fn rise(&self) {
        self.0.store(false, SeqCst);
    }

    /// Whether the thread may be asleep, to be asked after work was put where it looks.
    #[inline]
    pub(crate) fn sleeps(&self) -> bool {
        fence(SeqCst);
        self.0.load(SeqCst)
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use loom::sync::{Arc, Notify};
    use loom::thread;

    use super::Sleeper;

    /// A worker that sleeps as `Worker::sleep` does until it has seen all work, and others that bring it. A sleep that nobody
    /// ends is a deadlock, which loom reports.
    fn nobody_sleeps_on_work(bringers: usize) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let shared = Arc::new((Sleeper::awake(), AtomicUsize::new(0), Notify::new()));
            for _ in 0..bringers {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let (sleeper, work, event) = &*shared;
                    work.fetch_add(1, Relaxed);
                    if sleeper.sleeps() {
                        event.notify();
                    }
                });
            }
            let (sleeper, work, event) = &*shared;
            let mut seen = 0;
            while seen < bringers {
                sleeper.announce();
                if work.load(Relaxed) == seen {
                    event.wait();
                }
                sleeper.rise();
                seen = work.load(Relaxed);
            }
        });
    }

    #[test]
    fn one_wakes() {
        nobody_sleeps_on_work(1);
    }

    #[test]
    fn two_wake() {
        nobody_sleeps_on_work(2);
    }
}
