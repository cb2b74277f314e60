//! Sending to a capture file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use paceline_buf::{Packet, Pool, Vector};
use paceline_graph::Reason;
use paceline_sys::cpu;
use rtrb::{Consumer, Producer, RingBuffer};

use super::RecordConfig;
use super::writer::{PcapWriter, WallClock};
use crate::{Io, PortError};

/// Frames that may wait for the disk: four vectors, a sixteenth of the default pool.
const QUEUE: usize = 1024;

/// The worker's end of the queue, and the thread at its other end.
pub struct Recorder {
    queue: Option<Producer<(Packet, u64)>>,
    failed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    pub fn start(config: &RecordConfig, pool: &Arc<Pool>) -> Result<Recorder, PortError> {
        let file = |source| PortError::File { file: config.file.clone(), source };
        let writer = PcapWriter::create(&config.file, config.snap).map_err(file)?;
        let (queue, consumer) = RingBuffer::new(QUEUE);
        let failed = Arc::new(AtomicBool::new(false));
        let writing =
            Writing { queue: consumer, writer, failed: Arc::clone(&failed), pool: Arc::clone(pool) };
        let thread =
            thread::Builder::new().name("pcap-writer".into()).spawn(|| writing.run()).map_err(file)?;
        Ok(Recorder { queue: Some(queue), failed, thread: Some(thread) })
    }

    pub fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    pub fn transmit(&mut self, io: &mut Io<'_>, vector: &mut Vector) {
        let (Some(queue), false) = (&mut self.queue, self.failed.load(Relaxed)) else {
            io.drop_all(vector, Reason::TxError);
            return;
        };
        let now = cpu::tsc();
        vector.drain(|packet| {
            if let Err(rtrb::PushError::Full((packet, _))) = queue.push((packet, now)) {
                io.drop(packet, Reason::TxFull);
            }
        });
        // A system call only if the thread sleeps, so one per vector at most.
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// No more frames: the thread writes what is queued, and ends.
    pub fn end(&mut self) {
        self.queue = None;
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by its hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

struct Writing {
    queue: Consumer<(Packet, u64)>,
    writer: PcapWriter,
    failed: Arc<AtomicBool>,
    pool: Arc<Pool>,
}

impl Writing {
    fn run(mut self) {
        loop {
            // Asked first: what was queued before the other end went is seen below.
            let last = self.queue.is_abandoned();
            self.drain();
            if last {
                return;
            }
            thread::park_timeout(Duration::from_secs(1));
        }
    }

    fn drain(&mut self) {
        if self.queue.is_empty() {
            return;
        }
        // Both for this burst alone: an idle thread keeps no chunks, and the clock is fresh.
        let (mut cache, clock) = (self.pool.cache(), WallClock::now());
        while let Ok((packet, tsc)) = self.queue.pop() {
            if !self.failed.load(Relaxed) && self.writer.write(&packet, clock.at(tsc)).is_err() {
                self.failed.store(true, Relaxed);
            }
            cache.free(packet);
        }
        if self.writer.flush().is_err() {
            self.failed.store(true, Relaxed);
        }
    }
}
