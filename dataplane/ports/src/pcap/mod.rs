//! `pcap`: receives the frames of a capture file and writes what it is sent to another.
//!
//! A worker must not wait for a disk. So what is replayed is read into memory before, and what is to be written goes through a
//! bounded queue to a thread of its own.

mod read;
mod recorder;
mod replay;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use paceline_buf::{Pool, Vector};

pub use writer::{PcapWriter, WallClock};

use crate::{Io, LinkState, Port, PortError};
use recorder::Recorder;
use replay::Replay;

/// What a [`PcapPort`] reads and writes; neither is a port that does nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PcapConfig {
    /// The file whose frames are received: pcap or pcapng, Ethernet, up to 256 MiB of frames.
    pub replay: Option<ReplayConfig>,
    /// The file that frames are written to, replaced if it is there.
    pub record: Option<RecordConfig>,
}

/// How to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayConfig {
    /// The file.
    pub file: PathBuf,
    /// From the start again after the last frame.
    pub repeat: bool,
    /// With the intervals of the recording; otherwise as fast as the worker takes them.
    pub timed: bool,
}

/// How to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordConfig {
    /// The file.
    pub file: PathBuf,
    /// Bytes of each frame that are kept; 65 549 keep the longest whole.
    pub snap: u32,
}

/// A port whose wire is a file.
pub struct PcapPort {
    replay: Option<Replay>,
    recorder: Option<Recorder>,
}

impl PcapPort {
    /// Reads the one file, creates the other. `pool` is the one of the worker's packets. May take seconds: to be called by
    /// control.
    ///
    /// # Errors
    /// A file that cannot be read, is none of the formats, too large, empty, or cannot be made.
    pub fn open(config: &PcapConfig, pool: &Arc<Pool>) -> Result<PcapPort, PortError> {
        let replay = config.replay.as_ref().map(Replay::open).transpose()?;
        let recorder = config.record.as_ref().map(|record| Recorder::start(record, pool)).transpose()?;
        Ok(PcapPort { replay, recorder })
    }

    /// Whether the last frame was received (never, if it repeats).
    pub fn is_finished(&self) -> bool {
        self.replay.as_ref().is_none_or(Replay::is_finished)
    }
}

impl Port for PcapPort {
    fn kind(&self) -> &'static str {
        "pcap"
    }

    fn receive(&mut self, io: &mut Io<'_>, out: &mut Vector) {
        if let Some(replay) = &mut self.replay {
            replay.receive(io, out);
        }
    }

    fn transmit(&mut self, io: &mut Io<'_>, vector: &mut Vector) {
        match &mut self.recorder {
            Some(recorder) => recorder.transmit(io, vector),
            None => io.cache.free_all(vector),
        }
    }

    fn is_source(&self) -> bool {
        self.replay.is_some()
    }

    fn state(&mut self) -> LinkState {
        match &self.recorder {
            Some(recorder) if recorder.has_failed() => LinkState::Down("the file cannot be written"),
            _ => LinkState::Up,
        }
    }

    /// Writes what is queued; the file is complete when the port is dropped.
    fn close(&mut self, _io: &mut Io<'_>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.end();
        }
    }
}
