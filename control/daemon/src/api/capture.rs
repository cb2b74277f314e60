//! `POST /v1/capture`: the frames of a port as a stream in the format of pcap.
//!
//! The client writes the file, so that it is the client's, and a client that hangs up ends the capture.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use futures_util::stream;
use paceline_buf::{Cache, Pool};
use paceline_graph::Capture;
use paceline_ports::{PcapWriter, WallClock};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::error::ApiError;
use crate::Switch;

/// Bytes of a frame that are kept at most: all of it, whatever the MTU.
const SNAP: u32 = 262_144;
/// How often frames are collected: often enough for the queue not to fill at some 100 000 packets per second.
const INTERVAL: Duration = Duration::from_millis(5);
/// Chunks that may wait for a slow client; behind them frames are lost, and counted.
const CHUNKS: usize = 64;

/// What to capture.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureRequest {
    /// The port.
    pub port: String,
    /// Bytes of each frame that are kept, 1 to 262 144; none: all.
    pub snap: Option<u32>,
    /// Ends after so many frames.
    pub count: Option<u64>,
    /// Ends after so many seconds.
    pub seconds: Option<u64>,
}

pub async fn capture(
    State(switch): State<Arc<Switch>>,
    request: Result<Json<CaptureRequest>, JsonRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Json(request) = request?;
    let snap = request.snap.unwrap_or(SNAP);
    if !(1..=SNAP).contains(&snap) {
        return Err(ApiError::Field { field: "snap", value: snap.to_string(), right: "1 to 262144 bytes" });
    }
    let (capture, pool) = switch.engine(|engine| {
        Ok::<_, ApiError>((engine.capture_start(&request.port, snap)?, Arc::clone(engine.pool())))
    })?;
    let (sender, mut receiver) = mpsc::channel(CHUNKS);
    let running = Running { switch, request, capture, pool, snap };
    // It waits for time and for the client: a thread of its own.
    tokio::task::spawn_blocking(move || running.run(sender));
    let stream = stream::poll_fn(move |context| receiver.poll_recv(context));
    Ok(([(CONTENT_TYPE, "application/vnd.tcpdump.pcap")], Body::from_stream(stream)))
}

type Chunk = Result<Bytes, io::Error>;

struct Running {
    switch: Arc<Switch>,
    request: CaptureRequest,
    capture: Arc<Capture>,
    pool: Arc<Pool>,
    snap: u32,
}

impl Running {
    fn run(self, sender: mpsc::Sender<Chunk>) {
        let out = Stream { chunk: Vec::new(), sender };
        // An error only says that the client has gone.
        let _ = self.copy(out);
        let port = self.request.port.as_str();
        if let Err(error) = self.switch.engine(|engine| engine.capture_stop(port)) {
            tracing::warn!(port, "the capture was not ended: {error}");
        }
        self.drain(&mut self.pool.cache());
        let lost = self.capture.lost.load(Relaxed);
        if lost > 0 {
            tracing::warn!(port, lost, "the capture could not keep up: frames are missing in it");
        }
    }

    fn copy(&self, out: Stream) -> io::Result<()> {
        let end = self.request.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let mut left = self.request.count.unwrap_or(u64::MAX);
        let sender = out.sender.clone();
        let mut writer = PcapWriter::new(out, self.snap)?;
        writer.flush()?;
        loop {
            let over = end.is_some_and(|end| Instant::now() >= end);
            let (mut cache, clock) = (self.pool.cache(), WallClock::now());
            while left > 0
                && let Some(captured) = self.capture.queue.pop()
            {
                left -= 1;
                let written = writer.write(&captured.packet, clock.at(captured.tsc));
                cache.free(captured.packet);
                written?;
            }
            drop(cache);
            writer.flush()?;
            if over || left == 0 || sender.is_closed() || self.switch.is_stopping() {
                return Ok(());
            }
            std::thread::sleep(INTERVAL);
        }
    }

    fn drain(&self, cache: &mut Cache) {
        while let Some(captured) = self.capture.queue.pop() {
            cache.free(captured.packet);
        }
    }
}

/// Collects what is written and sends it at each flush.
struct Stream {
    chunk: Vec<u8>,
    sender: mpsc::Sender<Chunk>,
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.chunk));
        self.sender.blocking_send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
