//! The thread of a port: it listens or connects, and lends the ends of the queues to the workers.
//!
//! A pair is lent through a ring of one place, and comes back through another one, so neither side ever waits for a lock.
//! The next connection begins only when all pairs of the last one are back.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{io, iter};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use paceline_memif::message::Message;
use paceline_memif::{Channel, Fault, Listener, Pair, Settings, join, serve};
use paceline_sys::wake::{Event, Interest};
use paceline_sys::{Epoll, EventFd};

/// Between two tries to connect, or after a peer that did something wrong.
const PAUSE: Duration = Duration::from_millis(200);
/// Stands for no [`Fault`].
const NONE: u8 = u8::MAX;

/// What wakes the worker of a queue. It outlives connections.
pub(super) struct Wake {
    set: Epoll,
    changed: EventFd,
}

impl Wake {
    fn new() -> io::Result<Wake> {
        let (set, changed) = (Epoll::new()?, EventFd::new()?);
        set.add(&changed, 0, Interest::Read)?;
        Ok(Wake { set, changed })
    }

    /// Wakes it.
    pub fn signal(&self) {
        self.changed.signal();
    }

    /// Forgets what woke it.
    pub fn drain(&self) {
        let mut events = [Event::EMPTY; 2];
        if self.set.wait(&mut events, Some(Duration::ZERO)).is_ok_and(|count| count > 0) {
            self.changed.drain();
        }
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

/// What thread and workers tell each other.
struct Status {
    /// Counts changes of `down`.
    turn: AtomicU32,
    /// Why there is no connection; [`NONE`]: there is one.
    down: AtomicU8,
    /// What a worker met; [`NONE`]: nothing.
    broken: AtomicU8,
}

fn fault(number: u8) -> Option<Fault> {
    Fault::ALL.get(usize::from(number)).copied()
}

/// Keeps the thread; when the last queue is gone it ends.
struct Line {
    status: Arc<Status>,
    stop: Arc<EventFd>,
    call: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop.signal();
        // It has no panic of its own, and would only have ended earlier.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A worker's end of one queue.
pub(super) struct Seat {
    line: Arc<Line>,
    wake: Arc<Wake>,
    fresh: rtrb::Consumer<Pair>,
    stale: rtrb::Producer<Pair>,
    turn: u32,
}

impl Seat {
    /// Whether something has changed since [`renew`](Self::renew).
    #[inline]
    pub fn is_stale(&self) -> bool {
        self.line.status.turn.load(Ordering::Acquire) != self.turn
    }

    /// Gives the old pair back; the new one, or why there is none.
    #[cold]
    pub fn renew(&mut self, old: Option<Pair>) -> Result<Pair, Fault> {
        self.wake.drain();
        let status = &self.line.status;
        self.turn = status.turn.load(Ordering::Acquire);
        // In this order: it was told that all is well before a pair was lent.
        let new = self.fresh.pop().ok();
        match (fault(status.down.load(Ordering::Acquire)), new, old) {
            (None, Some(new), old) => {
                self.give_back(old);
                Ok(new)
            }
            // It is of this connection, as no other one begins before it is back.
            (None, None, Some(old)) => Ok(old),
            // One is on its way.
            (None, None, None) => Err(Fault::Closed),
            (Some(down), new, old) => {
                self.give_back(old.or(new));
                Err(down)
            }
        }
    }

    /// Gives the pair back, as the peer did something wrong with it.
    #[cold]
    pub fn give_up(&mut self, pair: Option<Pair>, why: Fault) {
        self.line.status.broken.store(why as u8, Ordering::Release);
        self.give_back(pair);
    }

    /// Gives the pair back.
    pub fn give_back(&mut self, pair: Option<Pair>) {
        // There is one pair, and a place for one.
        if let Some(pair) = pair {
            let _ = self.stale.push(pair);
        }
        self.line.call.signal();
    }

    /// What wakes the worker.
    pub fn wake(&self) -> &Wake {
        &self.wake
    }
}

/// The thread's end of one queue.
struct Chair {
    wake: Arc<Wake>,
    fresh: rtrb::Producer<Pair>,
    stale: rtrb::Consumer<Pair>,
    lent: bool,
}

impl Chair {
    /// Lends a pair.
    fn lend(&mut self, pair: Pair) -> Result<(), Fault> {
        // What can be waited for; the session has seen that it is an eventfd, or made it.
        self.wake.set.add(&pair.receiver, 1, Interest::Signal).map_err(|_| Fault::System)?;
        self.lent = self.fresh.push(pair).is_ok();
        Ok(())
    }

    /// Takes it back, if it is there.
    fn take_back(&mut self) {
        if let Ok(pair) = self.stale.pop() {
            // The peer may have the same eventfd open, so closing ours does not take it out.
            let _ = self.wake.set.remove(&pair.receiver);
            self.lent = false;
        }
    }
}

/// Where connections come from.
pub(super) enum Origin {
    /// As server.
    Listener(Listener),
    /// As client, to this socket.
    Path(PathBuf),
}

/// What the thread has.
struct Keeper {
    origin: Origin,
    settings: Settings,
    status: Arc<Status>,
    stop: Arc<EventFd>,
    call: Arc<EventFd>,
    chairs: Vec<Chair>,
}

/// Starts the thread: one seat for each queue.
pub(super) fn start(origin: Origin, settings: Settings) -> io::Result<Vec<Seat>> {
    let waiting = match origin {
        Origin::Listener(_) => Fault::NoClient,
        Origin::Path(_) => Fault::NoServer,
    };
    let status = Arc::new(Status {
        turn: AtomicU32::new(0),
        down: AtomicU8::new(waiting as u8),
        broken: AtomicU8::new(NONE),
    });
    let (stop, call) = (Arc::new(EventFd::new()?), Arc::new(EventFd::new()?));
    let (mut chairs, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..settings.queues {
        let wake = Arc::new(Wake::new()?);
        let (lend, fresh) = rtrb::RingBuffer::new(1);
        let (stale, back) = rtrb::RingBuffer::new(1);
        chairs.push(Chair { wake: Arc::clone(&wake), fresh: lend, stale: back, lent: false });
        ends.push((wake, fresh, stale));
    }
    let keeper = Keeper {
        origin,
        settings,
        status: Arc::clone(&status),
        stop: Arc::clone(&stop),
        call: Arc::clone(&call),
        chairs,
    };
    let thread = thread::Builder::new().name("memif".into()).spawn(move || keeper.run())?;
    let line = Arc::new(Line { status, stop, call, thread: Some(thread) });
    let lines = iter::repeat_n(line, ends.len());
    // Not the turn of the status, so that the first look says why there is no connection.
    let seat = |(line, (wake, fresh, stale))| Seat { line, wake, fresh, stale, turn: u32::MAX };
    Ok(lines.zip(ends).map(seat).collect())
}

impl Keeper {
    fn run(mut self) {
        loop {
            let fault = self.connection();
            if fault == Fault::Stopped {
                return;
            }
            // A server's client that is gone may be back at once; whoever does something wrong waits.
            let gone = matches!(fault, Fault::Closed | Fault::Disconnected);
            let is_server = matches!(self.origin, Origin::Listener(_));
            if !(is_server && gone) && self.wait(&[], Some(PAUSE)) {
                return;
            }
        }
    }

    /// One connection from its beginning to its end, and why it ended.
    fn connection(&mut self) -> Fault {
        let connected = self.channel().and_then(|channel| {
            let stop = self.stop.as_fd();
            let pairs = match self.origin {
                Origin::Listener(_) => serve(&channel, &self.settings, stop)?,
                Origin::Path(_) => join(&channel, &self.settings, stop)?,
            };
            Ok((channel, pairs))
        });
        let fault = match connected {
            Err(fault) => fault,
            Ok((channel, pairs)) => {
                self.status.broken.store(NONE, Ordering::Release);
                self.status.down.store(NONE, Ordering::Release);
                let lent = self.chairs.iter_mut().zip(pairs).try_for_each(|(chair, pair)| chair.lend(pair));
                let fault = lent.err().unwrap_or_else(|| {
                    self.announce();
                    self.watch(&channel)
                });
                if !matches!(fault, Fault::Closed | Fault::Disconnected) {
                    // It may be gone already.
                    let _ = channel.send(&Message::disconnect(fault), None);
                }
                fault
            }
        };
        self.tell(fault as u8);
        if fault == Fault::Stopped || self.recall() { fault } else { Fault::Stopped }
    }

    /// Waits until all pairs are back; false if the port is going instead.
    fn recall(&mut self) -> bool {
        loop {
            for chair in &mut self.chairs {
                chair.take_back();
            }
            if !self.chairs.iter().any(|chair| chair.lent) {
                return true;
            }
            if self.wait(&[], None) {
                return false;
            }
        }
    }

    /// Tells the workers.
    fn tell(&self, down: u8) {
        let was = self.status.down.swap(down, Ordering::AcqRel);
        if was != down || self.chairs.iter().any(|chair| chair.lent) {
            self.announce();
        }
    }

    /// Has the workers look.
    fn announce(&self) {
        self.status.turn.fetch_add(1, Ordering::AcqRel);
        for chair in &self.chairs {
            chair.wake.signal();
        }
    }

    /// Waits for one of these or a worker's call, or only for some time; whether the port is going.
    fn wait(&self, others: &[BorrowedFd<'_>], limit: Option<Duration>) -> bool {
        let timeout = limit.map_or(PollTimeout::NONE, |limit| limit.try_into().unwrap_or(PollTimeout::MAX));
        let mut asked = vec![PollFd::new(self.stop.as_fd(), PollFlags::POLLIN)];
        if limit.is_none() {
            asked.push(PollFd::new(self.call.as_fd(), PollFlags::POLLIN));
        }
        asked.extend(others.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
        // An interrupted wait is as good as one that ended: who called looks again.
        let _ = poll(&mut asked, timeout);
        let stopped = asked[0].any() == Some(true);
        self.call.drain();
        stopped
    }

    /// The next peer.
    fn channel(&self) -> Result<Channel, Fault> {
        match &self.origin {
            Origin::Path(path) => Channel::connect(path).map_err(|_| Fault::NoServer),
            Origin::Listener(listener) => loop {
                let stopped = match listener.accept() {
                    Ok(Some(channel)) => return Ok(channel),
                    Ok(None) => self.wait(&[listener.as_fd()], None),
                    // Without a descriptor for it the client goes on waiting.
                    Err(_) => self.wait(&[], Some(PAUSE)),
                };
                if stopped {
                    return Err(Fault::Stopped);
                }
            },
        }
    }

    /// Watches over a connection until it ends.
    fn watch(&self, channel: &Channel) -> Fault {
        loop {
            if let Some(fault) = fault(self.status.broken.load(Ordering::Acquire)) {
                return fault;
            }
            let (mut others, mut limit) = (vec![channel.as_fd()], None);
            if let Origin::Listener(listener) = &self.origin {
                // One at a time, so that whoever connects in a loop does not keep this thread from the rest.
                match listener.accept() {
                    Ok(Some(second)) => {
                        let _ = second.send(&Message::disconnect(Fault::Busy), None);
                        others.push(listener.as_fd());
                    }
                    Ok(None) => others.push(listener.as_fd()),
                    Err(_) => limit = Some(PAUSE),
                }
            }
            match channel.try_receive() {
                Ok(None) => {}
                Ok(Some((Message::Disconnect { .. }, _))) => return Fault::Disconnected,
                Ok(Some(_)) => return Fault::Message,
                Err(fault) => return fault,
            }
            if self.wait(&others, limit) {
                return Fault::Stopped;
            }
        }
    }
}
