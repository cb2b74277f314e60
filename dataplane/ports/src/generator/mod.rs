//! `generator`: endless, paced or counted streams of UDP datagrams, for benchmarks and tests of a network.

mod config;
mod fields;
mod pace;
mod shape;
mod stream;
#[cfg(test)]
mod tests;

use paceline_buf::Vector;
use paceline_graph::{Capabilities, Reason};

pub use config::{Addresses, GeneratorConfig, Order, Sizes, Span, StreamConfig};

use crate::{Io, Port, PortError, frame};
use pace::Pace;
use stream::Stream;

/// A port that makes up what it receives, and swallows what it is sent.
pub struct GeneratorPort {
    streams: Vec<Running>,
    /// The stream that is served first next time.
    first: usize,
}

struct Running {
    stream: Stream,
    pace: Option<Pace>,
    /// Frames that are still to come.
    left: u64,
}

impl GeneratorPort {
    /// Prepares the streams.
    ///
    /// # Errors
    /// [`PortError::Stream`] for a value out of range.
    pub fn open(config: &GeneratorConfig) -> Result<GeneratorPort, PortError> {
        let mut rng = fastrand::Rng::with_seed(config.seed);
        let mut streams = Vec::with_capacity(config.streams.len());
        for (number, config) in config.streams.iter().enumerate() {
            streams.push(Running {
                stream: Stream::new(number, config, &mut rng)?,
                pace: config.rate.map(|rate| Pace::new(number, rate)).transpose()?,
                left: config.count.unwrap_or(u64::MAX),
            });
        }
        Ok(GeneratorPort { streams, first: 0 })
    }

    /// Whether every stream has sent its count.
    pub fn is_finished(&self) -> bool {
        self.streams.iter().all(|running| running.left == 0)
    }
}

impl Running {
    fn receive(&mut self, io: &mut Io<'_>, out: &mut Vector, want: usize) {
        let mut want = want.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if let Some(pace) = &mut self.pace {
            want = pace.take(want);
        }
        if want == 0 {
            return;
        }
        let made = if self.stream.longest() <= io.cache.pool().chunk_size() - paceline_buf::DATA_OFFSET {
            let start = out.len();
            let made = io.cache.alloc_into(out, want);
            self.stream.fill(&mut out.as_mut_slice()[start..]);
            made
        } else {
            self.receive_long(io, out, want)
        };
        self.left -= want as u64;
        if made < want {
            io.missed(Reason::NoBuffers, (want - made) as u64);
        }
    }

    /// Frames that do not fit into one chunk.
    fn receive_long(&mut self, io: &mut Io<'_>, out: &mut Vector, want: usize) -> usize {
        for made in 0..want {
            let Some(mut packet) = frame::copy_in(io.cache, self.stream.template()) else { return made };
            self.stream.patch(&mut packet);
            if let Err(packet) = out.push(packet) {
                io.drop(packet, Reason::GraphFull);
            }
        }
        want
    }
}

impl Port for GeneratorPort {
    fn kind(&self) -> &'static str {
        "generator"
    }

    #[inline]
    fn receive(&mut self, io: &mut Io<'_>, out: &mut Vector) {
        let count = self.streams.len();
        for served in 0..count {
            let at = (self.first + served) % count;
            let share = out.room() / (count - served);
            self.streams[at].receive(io, out, share);
        }
        self.first = (self.first + 1) % count.max(1);
    }

    fn transmit(&mut self, io: &mut Io<'_>, vector: &mut Vector) {
        io.cache.free_all(vector);
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }
}
