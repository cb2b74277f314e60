//! The thread that serves what workers leave to control.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use paceline_buf::Pool;
use paceline_graph::Punt;
use paceline_sys::wake::{Epoll, Event, Interest};

use super::{Routing, Way};
use crate::idle::WakeUp;
use crate::worker::Handover;

/// Packets between two moments at which a change of the topology may come in between.
const AT_ONCE: usize = 32;
/// Time after which it is looked whether a change of the topology is over.
const CHANGE: Duration = Duration::from_millis(1);
/// Longest sleep.
const SLEEP: Duration = Duration::from_secs(3600);

/// The thread; it ends with this.
pub(crate) struct Server {
    thread: Option<JoinHandle<()>>,
    wake: Arc<WakeUp>,
    stop: Arc<AtomicBool>,
    /// It was woken and has not looked yet: a wake-up while it is on its way to sleep must not get lost.
    asked: Arc<AtomicBool>,
}

impl Server {
    /// Starts it. `wake` is what workers wake when they left something in `punt`; `worker` is who sends the answers.
    ///
    /// # Errors
    /// No thread or no descriptor.
    pub(crate) fn start(
        routing: Arc<Mutex<Routing>>,
        punt: Arc<Punt>,
        wake: Arc<WakeUp>,
        pool: &Arc<Pool>,
        worker: Handover,
    ) -> io::Result<Server> {
        let stop = Arc::new(AtomicBool::new(false));
        let epoll = Epoll::new()?;
        epoll.add(wake.event(), 0, Interest::Read)?;
        let mut way = Way { cache: pool.cache(), worker };
        let asked = Arc::new(AtomicBool::new(false));
        let (woken, stopped, called) = (Arc::clone(&wake), Arc::clone(&stop), Arc::clone(&asked));
        let serve = move || {
            let mut wait = Some(Duration::ZERO);
            while !stopped.load(Relaxed) {
                woken.about_to_sleep();
                if punt.is_empty() && !stopped.load(Relaxed) && !called.load(SeqCst) {
                    // An interrupted wait is as good as an empty one: the loop comes back.
                    let _ = epoll.wait(&mut [Event::EMPTY], Some(wait.unwrap_or(SLEEP)));
                }
                woken.awake();
                called.store(false, SeqCst);
                wait = turn(&routing, &punt, &mut way);
            }
            while let Some(packet) = punt.pop() {
                way.cache.free(packet);
            }
            lock(&routing).end(&mut way);
        };
        let thread = std::thread::Builder::new().name("router".into()).spawn(move || {
            if catch_unwind(AssertUnwindSafe(serve)).is_err() {
                tracing::error!("the router panicked: neighbours are not found any more; restart the switch");
            }
        })?;
        Ok(Server { thread: Some(thread), wake, stop, asked })
    }

    /// Lets it look at what is to be done.
    pub(crate) fn wake(&self) {
        self.asked.store(true, SeqCst);
        self.wake.wake();
    }

    /// Ends it. What waited is freed.
    pub(crate) fn end(&mut self) {
        self.stop.store(true, Relaxed);
        self.wake.wake();
        if let Some(thread) = self.thread.take() {
            // If it panicked it has said so.
            let _ = thread.join();
        }
    }
}

/// Serves what there is; how long to sleep afterwards, `None` for ever.
fn turn(routing: &Mutex<Routing>, punt: &Punt, way: &mut Way) -> Option<Duration> {
    loop {
        let mut routing = lock(routing);
        let now = routing.now();
        // Between two snapshots nothing is changed in place: workers may read either.
        if routing.is_changing() {
            return Some(CHANGE);
        }
        for packet in std::iter::from_fn(|| punt.pop()).take(AT_ONCE) {
            routing.input(now, packet, way);
        }
        let deadline = routing.poll(now, way);
        drop(routing);
        // Whoever waits for the lock gets it.
        std::thread::yield_now();
        if punt.is_empty() {
            return deadline.map(|deadline| deadline.saturating_sub(now));
        }
    }
}

fn lock(routing: &Mutex<Routing>) -> std::sync::MutexGuard<'_, Routing> {
    routing.lock().unwrap_or_else(PoisonError::into_inner)
}
