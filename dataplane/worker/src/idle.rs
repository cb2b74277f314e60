//! What a worker does when there is nothing to do.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use paceline_sys::cpu::{tsc, tsc_hz};
use paceline_sys::wake::EventFd;

use crate::sleeper::Sleeper;

/// How a worker waits for packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// It polls as long as packets come, and sleeps in the kernel after some time without any.
    #[default]
    Adaptive,
    /// It polls always: the core is its own.
    Poll,
    /// It sleeps as soon as there is no packet.
    Interrupt,
}

/// Wakes a worker up, if it sleeps.
pub struct WakeUp {
    event: EventFd,
    sleeper: Sleeper,
}

impl WakeUp {
    /// A new one, awake.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn new() -> io::Result<Arc<WakeUp>> {
        Ok(Arc::new(WakeUp { event: EventFd::new()?, sleeper: Sleeper::awake() }))
    }

    /// Wakes the worker after something was put where it will look.
    pub fn wake(&self) {
        if self.sleeper.sleeps() {
            self.event.signal();
        }
    }

    /// Announces that the worker will sleep; it must look once more at everything before it does.
    pub(crate) fn about_to_sleep(&self) {
        self.sleeper.announce();
    }

    pub(crate) fn awake(&self) {
        self.sleeper.rise();
        self.event.drain();
    }

    pub(crate) fn event(&self) -> &EventFd {
        &self.event
    }
}

/// Decides when to sleep.
pub(crate) struct Idle {
    mode: Mode,
    spin_cycles: u64,
    last_work: u64,
}

impl Idle {
    pub(crate) fn new(mode: Mode, spin: Duration) -> Idle {
        let spin_cycles = (u128::from(tsc_hz()) * spin.as_nanos() / 1_000_000_000) as u64;
        Idle { mode, spin_cycles, last_work: tsc() }
    }

    /// Called once a turn; whether it is time to sleep.
    #[inline]
    pub(crate) fn rest(&mut self, now: u64, worked: bool) -> bool {
        if worked {
            self.last_work = now;
            return false;
        }
        match self.mode {
            Mode::Poll => false,
            Mode::Interrupt => true,
            Mode::Adaptive => now.wrapping_sub(self.last_work) > self.spin_cycles,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_differ_in_when_they_sleep() {
        let hour = Duration::from_secs(3600);
        let start = |mode, spin| Idle::new(mode, spin);
        assert!(!start(Mode::Poll, Duration::ZERO).rest(tsc(), false));
        assert!(start(Mode::Interrupt, hour).rest(tsc(), false));
        assert!(!start(Mode::Interrupt, hour).rest(tsc(), true));
        assert!(!start(Mode::Adaptive, hour).rest(tsc(), false));
        let mut idle = start(Mode::Adaptive, Duration::ZERO);
        assert!(idle.rest(tsc() + 1_000_000, false));
    }
}
