//! `paceline pcap`

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use paceline_daemon::Client;
use paceline_daemon::api::CaptureRequest;

use crate::args::Pcap;
use crate::fail::Fail;

/// Writes the frames of a port to a file until the switch ends the capture, or the user does.
pub async fn capture(client: &Client, options: Pcap) -> Result<(), Fail> {
    let Pcap { port, file, count, seconds, snap } = options;
    let request = CaptureRequest { port, snap, count, seconds };
    let mut stream = client.stream("/v1/capture", &request).await?;
    // Only now: a request that is refused leaves no empty file.
    let failed = |source| Fail::File { path: file.clone(), source };
    let mut out: Box<dyn Write> = if file == Path::new("-") {
        Box::new(io::stdout())
    } else {
        Box::new(File::create(&file).map_err(failed)?)
    };
    let mut frames = Frames::default();
    loop {
        let bytes = tokio::select! {
            bytes = stream.next() => bytes?,
            _ = tokio::signal::ctrl_c() => None,
        };
        let Some(bytes) = bytes else { break };
        frames.count(&bytes);
        match out.write_all(&bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            written => written.map_err(failed)?,
        }
    }
    eprintln!("{} frames of {} in {}", frames.seen, request.port, file.display());
    Ok(())
}

/// Counts the frames of a pcap stream that comes in pieces.
#[derive(Debug, Default)]
struct Frames {
    seen: u64,
    started: bool,
    header: Vec<u8>,
    /// Bytes of the present frame that are still to come.
    left: usize,
}

impl Frames {
    /// Bytes of the file's header and of each frame's (draft-ietf-opsawg-pcap).
    const FILE: usize = 24;
    const FRAME: usize = 16;

    fn count(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skip = self.left.min(bytes.len());
                (self.left, bytes) = (self.left - skip, &bytes[skip..]);
                continue;
            }
            let want = if self.started { Self::FRAME } else { Self::FILE };
            let take = (want - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if self.header.len() == want {
                if self.started {
                    let length = self.header[8..12].try_into().unwrap_or_default();
                    self.left = u32::from_le_bytes(length) as usize;
                    self.seen += 1;
                }
                self.started = true;
                self.header.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_wherever_the_stream_is_cut() {
        let mut stream = vec![0; 24];
        for length in [60_u32, 0, 1514] {
            stream.extend([0; 8]);
            stream.extend(length.to_le_bytes());
            stream.extend([0; 4]);
            stream.resize(stream.len() + length as usize, 0xff);
        }
        for piece in [1, 7, 24, 100, 10_000] {
            let mut frames = Frames::default();
            stream.chunks(piece).for_each(|bytes| frames.count(bytes));
            assert_eq!((frames.seen, frames.left), (3, 0), "in pieces of {piece}");
        }
    }
}
