//! Fragments become packets again (RFC 791 §3.2, RFC 8200 §4.5), with bounded memory.

use std::collections::BTreeMap;
use std::time::Duration;

use paceline_wire::fragment::Part;

use super::piece::{Key, MAX_LEN, Piece, join};

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Packets of which parts are missing (default 64).
    pub packets: usize,
    /// Parts of one packet (default 128: a packet of 64 KiB over links of 576 bytes).
    pub parts: usize,
    /// Bytes of all parts (default 1 MiB).
    pub bytes: usize,
    /// Time after its first part for which a packet is waited for (default 30 s as in Linux; RFC 8200 §4.5 says 60 s).
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { packets: 64, parts: 128, bytes: 1 << 20, time: Duration::from_secs(30) }
    }
}

/// Why a part is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartRefused {
    /// It is no part of a packet, or not one that can be: a length that is no multiple of 8, an end behind 65535, other headers
    /// before the fragment header.
    #[error("the packet is no part that fits anywhere")]
    Malformed,
    /// It covers bytes that another part has, and is not the same part again: the packet is given up (RFC 5722).
    #[error("the part covers bytes of another one")]
    Overlap,
    /// The packet has too many parts, and is given up.
    #[error("the packet has too many parts, or too many bytes for what may wait")]
    TooMany,
}

/// A packet of which all parts are there.
#[derive(Debug)]
pub struct Whole {
    /// The packet, as if it had never been cut.
    pub packet: Vec<u8>,
    /// Bytes of its longest part, as a packet.
    pub longest: usize,
}

struct Assembly {
    key: Key,
    deadline: Duration,
    /// The first part with its headers, which are `header` bytes; and the number of what it carries.
    first: Option<(Vec<u8>, usize, u8)>,
    /// Payloads of all parts but the first, by offset.
    rest: BTreeMap<usize, Vec<u8>>,
    /// Bytes of payload in all, once the last part is there.
    total: Option<usize>,
    /// Bytes of payload that are there.
    have: usize,
    longest: usize,
}

/// Packets of which parts are missing.
pub struct Reassembly {
    limits: Limits,
    /// In the order of their deadlines.
    assemblies: Vec<Assembly>,
    bytes: usize,
    given_up: u64,
}

impl Reassembly {
    /// Nothing waits yet.
    pub fn new(limits: Limits) -> Reassembly {
        Reassembly { limits, assemblies: Vec::new(), bytes: 0, given_up: 0 }
    }

    /// Packets that were given up.
    pub fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Bytes that wait: at most [`Limits::bytes`].
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the next packet has waited too long.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.assemblies.first().map(|assembly| assembly.deadline)
    }

    /// Takes a part in, whose IP header was checked. The packet, if this was the last that was missing.
    ///
    /// # Errors
    /// The part fits nowhere.
    pub fn add(&mut self, now: Duration, packet: &[u8]) -> Result<Option<Whole>, PartRefused> {
        let piece = Piece::read(packet).ok_or(PartRefused::Malformed)?;
        // One that is first and last at once belongs to no others of the same number (RFC 6946).
        if piece.part.is_first() && !piece.part.more {
            let longest = packet.len();
            return Ok(Some(Whole { packet: join(&piece, [piece.payload].into_iter()), longest }));
        }
        let at = match self.assemblies.iter().position(|assembly| assembly.key == piece.key) {
            Some(at) => at,
            None => self.begin(now, piece.key),
        };
        let Some(assembly) = self.assemblies.get_mut(at) else { return Err(PartRefused::TooMany) };
        match assembly.add(&piece, self.limits.parts) {
            Ok(0) => return Ok(None),
            Ok(bytes) => self.bytes += bytes,
            Err(refused) => {
                self.end(at);
                self.given_up += 1;
                return Err(refused);
            }
        }
        if assembly.is_whole() {
            return Ok(self.end(at).finish());
        }
        while self.bytes > self.limits.bytes && !self.assemblies.is_empty() {
            self.end(0);
            self.given_up += 1;
        }
        Ok(None)
    }

    /// Gives up a packet that has waited too long. Its first part, or an empty packet if that is missing; `None` if there is
    /// none.
    pub fn expire(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.next_deadline().filter(|deadline| *deadline <= now)?;
        self.given_up += 1;
        Some(self.end(0).first.map_or_else(Vec::new, |(packet, ..)| packet))
    }

    fn begin(&mut self, now: Duration, key: Key) -> usize {
        if self.assemblies.len() >= self.limits.packets.max(1) {
            self.end(0);
            self.given_up += 1;
        }
        let deadline = now.saturating_add(self.limits.time);
        // Time may go backwards, but the order stays.
        let deadline = self.assemblies.last().map_or(deadline, |last| deadline.max(last.deadline));
        let rest = BTreeMap::new();
        self.assemblies.push(Assembly { key, deadline, first: None, rest, total: None, have: 0, longest: 0 });
        self.assemblies.len() - 1
    }

    fn end(&mut self, at: usize) -> Assembly {
        let assembly = self.assemblies.remove(at);
        self.bytes -= assembly.bytes();
        assembly
    }
}

impl Assembly {
    /// Takes a part in. How many bytes more there are to keep: none if it was there already.
    fn add(&mut self, piece: &Piece<'_>, most: usize) -> Result<usize, PartRefused> {
        let (start, len) = (piece.part.offset as usize, piece.payload.len());
        let end = start + len;
        let fits = match (self.total, piece.part.more) {
            (Some(total), true) => end < total,
            (Some(total), false) => end == total,
            (None, true) => true,
            // Nothing that came before may reach beyond the last part.
            (None, false) => self.last().is_none_or(|last| last <= start),
        };
        let old = if start == 0 { self.first_len() } else { self.rest.get(&start).map(Vec::len) };
        if fits && old == Some(len) {
            return Ok(0);
        }
        let before = self.rest.range(..=start).next_back().map(|(at, bytes)| at + bytes.len());
        let before = before.into_iter().chain(self.first_len()).max().unwrap_or_default();
        let after = self.rest.range(start..).next().map_or(usize::MAX, |(at, _)| *at);
        // The first part is in front of all, where there is nothing before.
        let overlaps = if start == 0 { self.first.is_some() } else { before > start };
        if !fits || overlaps || after < end {
            return Err(PartRefused::Overlap);
        }
        if self.rest.len() + 1 >= most.max(2) {
            return Err(PartRefused::TooMany);
        }
        if !piece.part.more {
            self.total = Some(end);
        }
        self.have += len;
        self.longest = self.longest.max(piece.packet.len());
        if start == 0 {
            self.first = Some((piece.packet.to_vec(), piece.header, piece.protocol));
            return Ok(piece.packet.len());
        }
        self.rest.insert(start, piece.payload.to_vec());
        Ok(len)
    }

    fn first_len(&self) -> Option<usize> {
        self.first.as_ref().map(|(packet, header, _)| packet.len() - header)
    }

    /// Where the last part that is there ends.
    fn last(&self) -> Option<usize> {
        let last = self.rest.last_key_value().map(|(at, bytes)| at + bytes.len());
        last.or_else(|| self.first_len())
    }

    fn bytes(&self) -> usize {
        self.first.as_ref().map_or(0, |(packet, ..)| packet.len())
            + self.rest.values().map(Vec::len).sum::<usize>()
    }

    fn is_whole(&self) -> bool {
        self.total == Some(self.have)
    }

    fn finish(self) -> Option<Whole> {
        let (packet, header, protocol) = self.first?;
        // The first part may have a longer header than the others, which were measured with their own.
        if self.key.0.is_ipv4() && header + self.have > MAX_LEN {
            return None;
        }
        let part = Part { id: 0, offset: 0, more: false };
        let payload = &packet[header..];
        let piece = Piece { key: self.key, part, packet: &packet, payload, header, protocol };
        let payloads = [payload].into_iter().chain(self.rest.values().map(Vec::as_slice));
        Some(Whole { packet: join(&piece, payloads), longest: self.longest })
    }
}
