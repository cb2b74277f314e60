//! Receiving from a capture file.

use paceline_buf::Vector;
use paceline_graph::Reason;
use paceline_sys::cpu;

use super::ReplayConfig;
use super::read::Frames;
use crate::{Io, PortError, frame};

pub struct Replay {
    frames: Frames,
    next: usize,
    repeat: bool,
    /// With timing: when this round began, by the time stamp counter.
    start: Option<u64>,
    timed: bool,
}

impl Replay {
    pub fn open(config: &ReplayConfig) -> Result<Replay, PortError> {
        let frames = Frames::read(&config.file)?;
        Ok(Replay { frames, next: 0, repeat: config.repeat, start: None, timed: config.timed })
    }

    pub fn is_finished(&self) -> bool {
        self.next == self.frames.len()
    }

    pub fn receive(&mut self, io: &mut Io<'_>, out: &mut Vector) {
        let now = self.elapsed();
        for _ in 0..out.room() {
            if self.is_finished() && self.repeat {
                (self.next, self.start) = (0, None);
                if self.timed {
                    return;
                }
            }
            let Some((bytes, _)) = self.frames.get(self.next).filter(|&(_, time)| time <= now) else {
                return;
            };
            self.next += 1;
            match frame::copy_in(io.cache, bytes) {
                Some(packet) => {
                    if let Err(packet) = out.push(packet) {
                        io.drop(packet, Reason::GraphFull);
                    }
                }
                None => io.missed(Reason::NoBuffers, 1),
            }
        }
    }

    /// Nanoseconds since the round began; the end of time if there is no timing.
    fn elapsed(&mut self) -> u64 {
        if !self.timed {
            return u64::MAX;
        }
        let now = cpu::tsc();
        let ticks = now.saturating_sub(*self.start.get_or_insert(now));
        (u128::from(ticks) * 1_000_000_000 / u128::from(cpu::tsc_hz())) as u64
    }
}
