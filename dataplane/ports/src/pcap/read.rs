//! Reading capture files into memory.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, PcapError, TsResolution};

use crate::PortError;

/// Bytes of frames that are taken.
const LIMIT: usize = 256 << 20;
/// Longest frame: the largest super-packet with its tags.
const LONGEST: usize = 65_536 + 64;

/// The frames of a file.
#[derive(Default)]
pub struct Frames {
    bytes: Vec<u8>,
    index: Vec<Entry>,
}

struct Entry {
    start: usize,
    /// Nanoseconds after the first frame.
    time: u64,
}

impl Frames {
    /// How many.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// The bytes of one, and its nanoseconds after the first.
    pub fn get(&self, at: usize) -> Option<(&[u8], u64)> {
        let entry = self.index.get(at)?;
        let end = self.index.get(at + 1).map_or(self.bytes.len(), |next| next.start);
        Some((&self.bytes[entry.start..end], entry.time))
    }

    /// Reads a file of either format.
    pub fn read(path: &Path) -> Result<Frames, PortError> {
        let io = |source| PortError::File { file: path.into(), source };
        let mut file = File::open(path).map_err(io)?;
        let mut magic = [0; 4];
        let known = file.read(&mut magic).map_err(io)? == 4;
        file.rewind().map_err(io)?;
        let mut reading = Reading { path, frames: Frames::default(), first: None };
        // The section header's type is the same in both byte orders (draft-ietf-opsawg-pcapng, section 4.1).
        if known && magic == [0x0a, 0x0d, 0x0d, 0x0a] {
            reading.pcapng(BufReader::new(file))?;
        } else {
            reading.pcap(BufReader::new(file))?;
        }
        if reading.frames.len() == 0 {
            return Err(PortError::Empty { file: path.into() });
        }
        Ok(reading.frames)
    }
}

struct Reading<'a> {
    path: &'a Path,
    frames: Frames,
    first: Option<u128>,
}

impl Reading<'_> {
    fn pcap(&mut self, input: impl Read) -> Result<(), PortError> {
        let mut reader = PcapReader::new(input).map_err(|error| self.fault(&error))?;
        self.check_link(reader.header().datalink)?;
        let fraction = match reader.header().ts_resolution {
            TsResolution::MicroSecond => 1000,
            TsResolution::NanoSecond => 1,
        };
        // Raw: the reader's checks would refuse frames that the snap length cut.
        while let Some(packet) = reader.next_raw_packet() {
            let packet = packet.map_err(|error| self.fault(&error))?;
            let time = u128::from(packet.ts_sec) * 1_000_000_000 + u128::from(packet.ts_frac) * fraction;
            self.push(&packet.data, time)?;
        }
        Ok(())
    }

    fn pcapng(&mut self, input: impl Read) -> Result<(), PortError> {
        let mut reader = PcapNgReader::new(input).map_err(|error| self.fault(&error))?;
        let mut interfaces: Vec<Units> = Vec::new();
        while let Some(block) = reader.next_block() {
            match block.map_err(|error| self.fault(&error))? {
                Block::SectionHeader(_) => interfaces.clear(),
                Block::InterfaceDescription(block) => {
                    self.check_link(block.linktype)?;
                    interfaces.push(Units::of(&block));
                }
                Block::EnhancedPacket(packet) => {
                    let units = interfaces
                        .get(packet.interface_id as usize)
                        .ok_or_else(|| self.fault(&PcapError::InvalidInterfaceId(packet.interface_id)))?;
                    // The reader takes every unit for nanoseconds.
                    self.push(&packet.data, units.nanoseconds(packet.timestamp.as_nanos()))?;
                }
                // Simple packets have no time: they come with the one before.
                Block::SimplePacket(packet) => {
                    let time = self.first.unwrap_or_default()
                        + u128::from(self.frames.index.last().map_or(0, |last| last.time));
                    self.push(&packet.data, time)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn push(&mut self, bytes: &[u8], time: u128) -> Result<(), PortError> {
        if bytes.len() > LONGEST {
            let reason = format!("a frame of {} bytes, where {LONGEST} is the most", bytes.len());
            return Err(PortError::Format { file: self.path.into(), reason, frame: self.frames.len() + 1 });
        }
        let frames = &mut self.frames;
        if frames.bytes.len() + bytes.len() > LIMIT || frames.len() > LIMIT / 32 {
            return Err(PortError::TooLarge { file: self.path.into(), limit: LIMIT });
        }
        let first = *self.first.get_or_insert(time);
        frames.index.push(Entry { start: frames.bytes.len(), time: time.saturating_sub(first) as u64 });
        frames.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn check_link(&self, link: DataLink) -> Result<(), PortError> {
        if link == DataLink::ETHERNET {
            return Ok(());
        }
        Err(PortError::LinkType { file: self.path.into(), link: link.into() })
    }

    fn fault(&self, error: &PcapError) -> PortError {
        let reason = match error {
            PcapError::IoError(source) => source.to_string(),
            other => other.to_string(),
        };
        PortError::Format { file: self.path.into(), reason, frame: self.frames.len() + 1 }
    }
}

/// Units of an interface's time stamps: `if_tsresol`, microseconds if there is none (draft-ietf-opsawg-pcapng, section 4.2).
#[derive(Clone, Copy)]
struct Units {
    per_second: u128,
}

impl Units {
    fn of(block: &InterfaceDescriptionBlock<'_>) -> Units {
        let resolution = block.options.iter().find_map(|option| match option {
            InterfaceDescriptionOption::IfTsResol(value) => Some(*value),
            _ => None,
        });
        let resolution = resolution.unwrap_or(6);
        let exponent = u32::from(resolution & 0x7f).min(30);
        let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
        Units { per_second: base.pow(exponent) }
    }

    fn nanoseconds(self, units: u128) -> u128 {
        units * 1_000_000_000 / self.per_second
    }
}
