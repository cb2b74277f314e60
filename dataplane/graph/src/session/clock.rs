//! The time that sessions age by.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use paceline_sys::cpu::{tsc, tsc_hz};

/// Seconds since some moment.
#[derive(Clone, Debug)]
pub enum SessionClock {
    /// By the time stamp counter.
    Counter {
        /// Its value at second 0.
        start: u64,
        /// Its ticks per second.
        hz: u64,
    },
    /// As a test sets it.
    Set(Arc<AtomicU32>),
}

impl Default for SessionClock {
    fn default() -> Self {
        SessionClock::Counter { start: tsc(), hz: tsc_hz().max(1) }
    }
}

impl SessionClock {
    /// The second. One division: to be read once for a vector.
    #[inline]
    pub fn now(&self) -> u32 {
        match self {
            SessionClock::Counter { start, hz } => (tsc().saturating_sub(*start) / hz) as u32,
            SessionClock::Set(now) => now.load(Relaxed),
        }
    }
}
