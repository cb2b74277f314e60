//! Between the thread that serves a peer's messages and the worker that moves its packets: orders one way, answers the other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use paceline_sys::wake::{Epoll, Event, EventFd, Interest};
use paceline_vring::{Access, Fault, Queue};

use super::transfer::Terms;

/// Orders, or answers, that may wait. The thread waits for the answer to each stop, so there are never more than a few.
const PLACES: usize = 16;
/// How long a worker may take for an order. It looks a few times a second even at a port whose link is down.
const LIMIT: Duration = Duration::from_secs(5);

/// To the worker.
pub enum Order {
    /// Use this queue.
    Start {
        /// Which of the two it is.
        access: Access,
        /// The queue.
        queue: Box<Queue>,
        /// What was agreed upon.
        terms: Terms,
    },
    /// Let go of a queue.
    Stop(Access),
}

/// To the thread.
pub enum Answer {
    /// The queue is not used any more; there may have been none.
    Stopped(Access, Option<Box<Queue>>),
    /// A queue that is not used any more as its driver broke the rules.
    Faulted(Access, Box<Queue>, Fault),
}

/// The worker's end.
pub struct WorkerEnd {
    orders: rtrb::Consumer<Order>,
    answers: rtrb::Producer<Answer>,
    given: Arc<EventFd>,
    answered: Arc<EventFd>,
}

/// The thread's end.
pub struct ThreadEnd {
    orders: rtrb::Producer<Order>,
    answers: rtrb::Consumer<Answer>,
    given: Arc<EventFd>,
    answered: Arc<EventFd>,
    epoll: Epoll,
}

/// The worker did not do what it was told in time.
#[derive(Debug, thiserror::Error)]
#[error("the worker has not let go of the queue within {LIMIT:?}")]
pub struct Stuck;

/// Both ends.
pub fn line() -> io::Result<(ThreadEnd, WorkerEnd)> {
    let (order_in, orders) = rtrb::RingBuffer::new(PLACES);
    let (answer_in, answers) = rtrb::RingBuffer::new(PLACES);
    let (given, answered) = (Arc::new(EventFd::new()?), Arc::new(EventFd::new()?));
    let epoll = Epoll::new()?;
    epoll.add(&*answered, 0, Interest::Read)?;
    let worker =
        WorkerEnd { orders, answers: answer_in, given: Arc::clone(&given), answered: Arc::clone(&answered) };
    Ok((ThreadEnd { orders: order_in, answers, given, answered, epoll }, worker))
}

impl WorkerEnd {
    /// Signalled with each order.
    pub fn orders_given(&self) -> &EventFd {
        &self.given
    }

    /// Whether there are orders.
    #[inline]
    pub fn has_orders(&self) -> bool {
        !self.orders.is_empty()
    }

    /// The next order.
    pub fn order(&mut self) -> Option<Order> {
        self.orders.pop().ok()
    }

    /// Answers.
    pub fn answer(&mut self, answer: Answer) {
        // Each answer follows an order, and there are as many places.
        let _ = self.answers.push(answer);
        self.answered.signal();
    }
}

impl ThreadEnd {
    /// Readable when there are answers.
    pub fn answers_given(&self) -> BorrowedFd<'_> {
        self.answered.as_fd()
    }

    /// Gives a queue to the worker.
    ///
    /// # Errors
    /// The worker has not taken earlier orders.
    pub fn start(&mut self, access: Access, queue: Box<Queue>, terms: Terms) -> Result<(), Stuck> {
        self.give(Order::Start { access, queue, terms })
    }

    fn give(&mut self, order: Order) -> Result<(), Stuck> {
        self.orders.push(order).map_err(|_| Stuck)?;
        self.given.signal();
        Ok(())
    }

    /// Takes a queue back from the worker; none, if it has none or the port is gone. `each` is told of other answers on the way.
    ///
    /// # Errors
    /// The worker takes too long. The queue stays whole, as long as it has it.
    pub fn stop(
        &mut self,
        access: Access,
        mut each: impl FnMut(Answer),
    ) -> Result<Option<Box<Queue>>, Stuck> {
        // What came by itself, or too late.
        while let Some(answer) = self.answer() {
            each(answer);
        }
        self.give(Order::Stop(access))?;
        let deadline = Instant::now() + LIMIT;
        loop {
            self.answered.drain();
            // Looked at before the answers: what was answered last is there then.
            let gone = self.answers.is_abandoned();
            while let Ok(answer) = self.answers.pop() {
                match answer {
                    Answer::Stopped(which, queue) if which == access => return Ok(queue),
                    other => each(other),
                }
            }
            if gone {
                return Ok(None);
            }
            let left = deadline.checked_duration_since(Instant::now()).ok_or(Stuck)?;
            // The end of the port signals nothing.
            let wait = left.min(Duration::from_millis(50));
            let _ = self.epoll.wait(&mut [Event::EMPTY], Some(wait));
        }
    }

    /// The next answer that nobody waits for.
    pub fn answer(&mut self) -> Option<Answer> {
        self.answered.drain();
        self.answers.pop().ok()
    }
}
