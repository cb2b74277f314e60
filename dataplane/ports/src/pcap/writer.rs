//! Writing capture files.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::SystemTime;

use paceline_buf::Packet;
use paceline_sys::cpu;

/// Writes frames to a capture file in the format of libpcap with nanoseconds (draft-ietf-opsawg-pcap), which Wireshark and
/// tcpdump open.
pub struct PcapWriter<W: Write = BufWriter<File>> {
    out: W,
    snap: u32,
}

impl PcapWriter {
    /// Makes or replaces a file that keeps up to `snap` bytes of each frame.
    ///
    /// # Errors
    /// What opening or writing the file says.
    pub fn create(path: &Path, snap: u32) -> io::Result<Self> {
        PcapWriter::new(BufWriter::new(File::create(path)?), snap)
    }
}

impl<W: Write> PcapWriter<W> {
    /// Starts a capture on any stream, such as a pipe to tcpdump.
    ///
    /// # Errors
    /// What writing to it says.
    pub fn new(mut out: W, snap: u32) -> io::Result<Self> {
        const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
        const VERSION: u32 = 2 | 4 << 16;
        const ETHERNET: u32 = 1;
        for word in [MAGIC_NANOSECONDS, VERSION, 0, 0, snap, ETHERNET] {
            out.write_all(&word.to_le_bytes())?;
        }
        Ok(Self { out, snap })
    }

    /// Appends a frame that passed at `time`, in nanoseconds since 1970.
    ///
    /// # Errors
    /// What writing the file says; what was appended before is still good.
    pub fn write(&mut self, packet: &Packet, time: u64) -> io::Result<()> {
        let total = packet.total_len() as u32;
        let mut left = total.min(self.snap);
        let seconds = (time / 1_000_000_000) as u32;
        for word in [seconds, (time % 1_000_000_000) as u32, left, total] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        for segment in packet.segments() {
            let part = &segment[..segment.len().min(left as usize)];
            self.out.write_all(part)?;
            left -= part.len() as u32;
        }
        Ok(())
    }

    /// Hands everything to the system, so that another process can read it.
    ///
    /// # Errors
    /// What writing the file says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// One moment by both clocks, to turn readings of the time stamp counter into times of day. Take a new one every second or so:
/// it does not follow when the system's clock is set.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    tsc: u64,
    nanoseconds: u64,
    hz: u64,
}

impl WallClock {
    /// Reads both clocks.
    pub fn now() -> WallClock {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        WallClock { tsc: cpu::tsc(), nanoseconds: since.as_nanos() as u64, hz: cpu::tsc_hz() }
    }

    /// Nanoseconds since 1970 of a counter reading, from before or after.
    pub fn at(&self, tsc: u64) -> u64 {
        let ticks = i128::from(tsc) - i128::from(self.tsc);
        (i128::from(self.nanoseconds) + ticks * 1_000_000_000 / i128::from(self.hz)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_are_right() {
        let clock = WallClock { tsc: 5_000, nanoseconds: 1_000_000, hz: 2_000_000_000 };
        assert_eq!([clock.at(5_000), clock.at(4_000), clock.at(7_000)], [1_000_000, 999_500, 1_001_000]);
    }
}
