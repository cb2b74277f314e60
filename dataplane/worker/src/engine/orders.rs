//! Orders to workers, and what they answer.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use paceline_graph::Capabilities;
use paceline_ports::LinkState;

use super::{Engine, EngineError};
use crate::command::{Command, Reply};
use crate::worker::REPLIES;

/// How long a worker may take for a command before control gives up on it. A turn takes microseconds; a port's system call
/// in it, milliseconds at most.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

impl Engine {
    /// Sends a command and waits for its reply.
    ///
    /// A worker carries out its commands one by one, and answers each. One that it answers too late is carried out all the same:
    /// its answer is still owed, and is not mistaken for that of a later command.
    pub(super) fn order(&mut self, worker: usize, command: Command) -> Result<Reply, EngineError> {
        let stuck = EngineError::Worker(worker);
        self.listen();
        let member = &mut self.workers[worker];
        if member.owed >= REPLIES || member.link.commands.push(command).is_err() {
            return Err(stuck);
        }
        member.owed += 1;
        member.link.wake.wake();
        let deadline = Instant::now() + self.patience;
        let mut spins = 0_u32;
        loop {
            let member = &mut self.workers[worker];
            let dead = member.thread.as_ref().is_none_or(JoinHandle::is_finished);
            match member.link.replies.pop() {
                Ok(Reply::Link { interface, state, capabilities }) => {
                    self.note(interface, state, capabilities);
                }
                Ok(reply) => {
                    member.owed -= 1;
                    if member.owed == 0 {
                        return Ok(reply);
                    }
                }
                Err(_) if dead || Instant::now() > deadline => return Err(stuck),
                Err(_) => {
                    spins += 1;
                    if spins > 100 {
                        std::thread::sleep(Duration::from_micros(20));
                    } else {
                        std::thread::yield_now();
                    }
                }
            }
        }
    }

    /// Takes in what workers tell by themselves, and answers that come late.
    pub(super) fn listen(&mut self) {
        for worker in 0..self.workers.len() {
            while let Ok(reply) = self.workers[worker].link.replies.pop() {
                match reply {
                    Reply::Link { interface, state, capabilities } => {
                        self.note(interface, state, capabilities);
                    }
                    _ => self.workers[worker].owed -= 1,
                }
            }
        }
    }

    fn note(&mut self, interface: u16, state: LinkState, capabilities: Capabilities) {
        if let Some(Some(attached)) = self.interfaces.get_mut(interface as usize) {
            if state != attached.state {
                tracing::info!(interface = &*attached.name, ?state, "link changed");
            }
            self.outdated |= capabilities != attached.capabilities;
            (attached.state, attached.capabilities) = (state, capabilities);
        }
    }
}
