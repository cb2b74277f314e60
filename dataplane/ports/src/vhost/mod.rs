//! `vhost-user`: the device's side of a virtio network device, whose driver is in a virtual machine or in another process.
//!
//! The queues lie in the peer's memory. Messages about them (which memory, where the rings are, start, stop) come over a socket, and
//! are served by a thread of the port ([`peer`]), off the way of packets. What the worker uses is handed to it whole, and handed back
//! when it shall not use it any more, through two rings of orders and answers: so memory is unmapped, and a message that stops a
//! queue is answered, only after the worker has let go. A look at whether there is an order is one load.
//!
//! While packets come, the driver is told not to kick. After some turns without any it is asked to; the kicks meet in an epoll set
//! of the port, which the worker waits for, and which stays the same whatever peer comes and goes.

mod device;
mod line;
mod peer;
mod transfer;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use paceline_buf::Vector;
use paceline_graph::{Capabilities, Reason};
use paceline_sys::wake::{Epoll, Event, Interest};
use paceline_vring::{Access, Fault, Queue};

use crate::{Io, LinkState, Port, PortError};
use line::{Answer, Order, WorkerEnd};
use peer::Peer;
use transfer::Terms;

/// Turns without a packet after which the driver is asked to kick, and again after as many. Fewer than a worker takes until it
/// waits for the port.
const PATIENCE: u32 = 32;

/// Who makes the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VhostRole {
    /// The port: the peer connects to it.
    #[default]
    Server,
    /// The peer: the port connects to it, again and again until it is there.
    Client,
}

/// Where the peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VhostConfig {
    /// The socket's place in the file system.
    pub socket: PathBuf,
    /// Who makes it.
    pub role: VhostRole,
}

/// The one queue pair of a vhost-user device.
pub struct VhostPort {
    line: WorkerEnd,
    /// What the guest sends, while it is started.
    from_guest: Option<Box<Queue>>,
    /// What the guest receives.
    to_guest: Option<Box<Queue>>,
    terms: Terms,
    /// Kicks, and signals that there are orders.
    wake: Epoll,
    /// Turns without a packet.
    quiet: u32,
    /// The driver was asked to kick.
    kicks: bool,
    /// What is wrong with a queue, until one is started again.
    fault: Option<Fault>,
    closed: bool,
    /// Ends the thread; after the line, so that it waits for nobody.
    peer: Peer,
}

impl VhostPort {
    /// Opens the port, with or without a peer.
    ///
    /// # Errors
    /// The socket cannot be made: a place that is taken, a directory that is not there.
    pub fn open(config: &VhostConfig) -> Result<VhostPort, PortError> {
        let failed = |source| PortError::Socket { socket: config.socket.clone(), source };
        let (thread, worker) = line::line().map_err(failed)?;
        let wake = Epoll::new().map_err(failed)?;
        wake.add(worker.orders_given(), 0, Interest::Signal).map_err(failed)?;
        let peer = Peer::start(config, thread).map_err(failed)?;
        Ok(VhostPort {
            line: worker,
            from_guest: None,
            to_guest: None,
            terms: Terms::default(),
            wake,
            quiet: 0,
            kicks: false,
            fault: None,
            closed: false,
            peer,
        })
    }

    fn side(&mut self, access: Access) -> &mut Option<Box<Queue>> {
        match access {
            Access::Read => &mut self.from_guest,
            Access::Write => &mut self.to_guest,
        }
    }

    /// Does what the thread wants.
    #[cold]
    fn obey(&mut self) {
        while let Some(order) = self.line.order() {
            match order {
                Order::Start { access, queue, terms } => {
                    let before = self.take(access);
                    if let Some(kick) = queue.kick().filter(|_| access == Access::Read) {
                        // Refused only if the kernel has no memory: then it is served when something else wakes the worker.
                        let _ = self.wake.add(kick, 1, Interest::Signal);
                        self.kicks = false;
                    }
                    (*self.side(access), self.terms, self.fault) = (Some(queue), terms, None);
                    if before.is_some() {
                        self.line.answer(Answer::Stopped(access, before));
                    }
                }
                Order::Stop(access) => {
                    let queue = self.take(access);
                    self.line.answer(Answer::Stopped(access, queue));
                }
            }
        }
    }

    /// Lets go of a queue.
    fn take(&mut self, access: Access) -> Option<Box<Queue>> {
        let queue = self.side(access).take()?;
        if access == Access::Read
            && let Some(kick) = queue.kick()
        {
            let _ = self.wake.remove(kick);
        }
        Some(queue)
    }

    /// Lets go of a queue whose driver cannot be trusted. The other one goes on, but the link is down.
    #[cold]
    fn fail(&mut self, access: Access, fault: Fault) {
        self.fault = Some(fault);
        if let Some(queue) = self.take(access) {
            self.line.answer(Answer::Faulted(access, queue, fault));
        }
    }

    /// After some turns without a packet: forgets the kicks of before, and asks for the next one. Whether there may be packets that
    /// came in between.
    #[cold]
    fn ask_for_kicks(&mut self) -> bool {
        let Some(queue) = &mut self.from_guest else {
            let _ = self.wake.wait(&mut [Event::EMPTY; 2], Some(Duration::ZERO));
            return false;
        };
        if !self.kicks {
            queue.set_kicks(true);
            self.kicks = true;
        }
        let _ = self.wake.wait(&mut [Event::EMPTY; 2], Some(Duration::ZERO));
        true
    }

    #[inline]
    fn pull(&mut self, io: &mut Io<'_>, out: &mut Vector) {
        let Some(queue) = &mut self.from_guest else {
            self.quiet = self.quiet.wrapping_add(1);
            return;
        };
        match transfer::pull(queue, self.terms, io, out) {
            Ok(0) => self.quiet = self.quiet.wrapping_add(1),
            Ok(_) => {
                self.quiet = 0;
                if self.kicks {
                    queue.set_kicks(false);
                    self.kicks = false;
                }
            }
            Err(fault) => self.fail(Access::Read, fault),
        }
    }
}

impl Port for VhostPort {
    fn kind(&self) -> &'static str {
        "vhost-user"
    }

    #[inline]
    fn receive(&mut self, io: &mut Io<'_>, out: &mut Vector) {
        if self.line.has_orders() {
            self.obey();
        }
        self.pull(io, out);
        if self.quiet % PATIENCE == PATIENCE - 1 && self.ask_for_kicks() {
            self.pull(io, out);
        }
    }

    #[inline]
    fn transmit(&mut self, io: &mut Io<'_>, vector: &mut Vector) {
        if self.line.has_orders() {
            self.obey();
        }
        match &mut self.to_guest {
            None => io.refuse(vector.as_slice(), Reason::PortDown),
            Some(queue) => {
                if let Err((fault, unsent)) = transfer::push(queue, self.terms, io, vector.as_slice()) {
                    io.refuse(&vector.as_slice()[unsent..], Reason::PortDown);
                    self.fail(Access::Write, fault);
                }
            }
        }
        io.cache.free_all(vector);
    }

    /// What the driver agreed to finish by itself; nothing while there is none.
    fn capabilities(&self) -> Capabilities {
        if self.from_guest.is_some() && self.to_guest.is_some() {
            self.terms.capabilities
        } else {
            Capabilities::NONE
        }
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.wake.as_fd())
    }

    fn state(&mut self) -> LinkState {
        if self.line.has_orders() {
            self.obey();
        }
        let cut_off =
            [&self.from_guest, &self.to_guest].map(|queue| queue.as_ref().and_then(|q| q.check().err()));
        match (self.closed, self.fault.or(cut_off[0]).or(cut_off[1])) {
            (true, _) => LinkState::Down("closed"),
            (_, Some(fault)) => LinkState::Down(fault.name()),
            _ if self.from_guest.is_some() && self.to_guest.is_some() => LinkState::Up,
            _ => LinkState::Down(self.peer.why().name()),
        }
    }

    fn close(&mut self, _io: &mut Io<'_>) {
        self.obey();
        for access in [Access::Read, Access::Write] {
            let queue = self.take(access);
            if queue.is_some() {
                self.line.answer(Answer::Stopped(access, queue));
            }
        }
        self.closed = true;
    }
}
