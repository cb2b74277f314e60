//! The fields that vary from frame to frame.

use std::net::IpAddr;

use super::config::{Addresses, Span, StreamConfig};
use crate::PortError;

/// Longest span: its shuffled order takes 4 MiB.
const LONGEST_SPAN: u32 = 1 << 20;

/// Which stream an error is about.
#[derive(Clone, Copy)]
pub struct Fault {
    pub stream: usize,
}

impl Fault {
    pub fn of(self, field: &'static str, value: &impl ToString, want: &'static str) -> PortError {
        PortError::Stream { stream: self.stream, field, value: value.to_string(), want }
    }

    fn span(self, field: &'static str, first: u64, count: u32, last: u64) -> Result<Span<u64>, PortError> {
        if !(1..=LONGEST_SPAN).contains(&count) {
            return Err(self.of(field, &count, "a span has 1 to 1048576 values"));
        }
        if first.checked_add(u64::from(count) - 1).is_none_or(|end| end > last) {
            return Err(self.of(
                field,
                &count,
                "goes past the highest value: start lower, or take fewer values",
            ));
        }
        Ok(Span { first, count })
    }
}

pub struct Fields {
    source_mac: Span<u64>,
    destination_mac: Span<u64>,
    /// IPv4 addresses, or the low halves of IPv6 ones.
    source: Span<u64>,
    destination: Span<u64>,
    /// Destinations that follow no pattern, in place of the span.
    listed: Box<[u128]>,
    source_port: Span<u64>,
    destination_port: Span<u64>,
}

impl Span<u64> {
    #[inline(always)]
    fn at(self, number: u32) -> u64 {
        // The longest span, and those as long, need no division.
        self.first + u64::from(if number < self.count { number } else { number % self.count })
    }
}

impl Fields {
    pub fn new(fault: Fault, config: &StreamConfig) -> Result<Fields, PortError> {
        let mac = |field, mac: Span<[u8; 6]>| {
            let mut first = [0; 8];
            first[2..].copy_from_slice(&mac.first);
            fault.span(field, u64::from_be_bytes(first), mac.count, (1 << 48) - 1)
        };
        let port = |field, port: Span<u16>| fault.span(field, port.first.into(), port.count, u16::MAX.into());
        let (source, destination) = match config.addresses {
            Addresses::V4 { source, destination } => {
                let last = u32::MAX.into();
                let span = |field, first: u32, count| fault.span(field, first.into(), count, last);
                (
                    span("source", source.first.to_bits(), source.count)?,
                    span("destination", destination.first.to_bits(), destination.count)?,
                )
            }
            Addresses::V6 { source, destination } => {
                let span = |field, first: u128, count| fault.span(field, first as u64, count, u64::MAX);
                (
                    span("source", source.first.to_bits(), source.count)?,
                    span("destination", destination.first.to_bits(), destination.count)?,
                )
            }
        };
        let is_v4 = matches!(config.addresses, Addresses::V4 { .. });
        if let Some(other) = config.destinations.iter().find(|address| address.is_ipv4() != is_v4) {
            return Err(fault.of("destinations", other, "must be of the version of the other addresses"));
        }
        if config.destinations.len() > LONGEST_SPAN as usize {
            return Err(fault.of("destinations", &config.destinations.len(), "must be 1048576 or fewer"));
        }
        if config.source_mac.first[0] & 1 != 0 {
            let text = config.source_mac.first.map(|byte| format!("{byte:02x}")).join(":");
            return Err(fault.of("source_mac", &text, "must be a unicast address"));
        }
        Ok(Fields {
            source_mac: mac("source_mac", config.source_mac)?,
            destination_mac: mac("destination_mac", config.destination_mac)?,
            source,
            destination,
            listed: config.destinations.iter().map(|address| bits(*address)).collect(),
            source_port: port("source_port", config.source_port)?,
            destination_port: port("destination_port", config.destination_port)?,
        })
    }

    /// How many sources there are: as many as the longest span counts.
    pub fn sources(&self) -> u32 {
        self.source.count.max(self.source_mac.count).max(self.source_port.count)
    }

    /// How many destinations there are.
    pub fn destinations(&self) -> u32 {
        let addresses = self.destination.count.max(self.listed.len() as u32);
        addresses.max(self.destination_mac.count).max(self.destination_port.count)
    }

    /// Writes addresses, ports and the checksum into a frame whose network header is at `L3`. `sum` is the template's; `head`
    /// has 64 bytes at least, 128 with IPv6.
    #[inline(always)]
    pub fn write<const L3: usize, const V6: bool>(&self, head: &mut [u8], sum: u16, (from, to): (u32, u32)) {
        let head = &mut head[..if V6 { 128 } else { 64 }];
        head[..6].copy_from_slice(&self.destination_mac.at(to).to_be_bytes()[2..]);
        head[6..12].copy_from_slice(&self.source_mac.at(from).to_be_bytes()[2..]);
        let l4 = L3 + if V6 { 40 } else { 20 };
        let source_port = self.source_port.at(from) as u16;
        let destination_port = self.destination_port.at(to) as u16;
        head[l4..l4 + 2].copy_from_slice(&source_port.to_be_bytes());
        head[l4 + 2..l4 + 4].copy_from_slice(&destination_port.to_be_bytes());
        let (source, mut destination) = (self.source.at(from), self.destination.at(to));
        let mut sum = u32::from(sum);
        if !self.listed.is_empty() {
            let listed = self.listed[to as usize % self.listed.len()];
            destination = listed as u64;
            if V6 {
                let high = (listed >> 64) as u64;
                head[L3 + 24..L3 + 32].copy_from_slice(&high.to_be_bytes());
                sum += words(high);
            }
        }
        sum += words(source) + words(destination);
        if V6 {
            head[L3 + 16..L3 + 24].copy_from_slice(&source.to_be_bytes());
            head[L3 + 32..L3 + 40].copy_from_slice(&destination.to_be_bytes());
            // A sum of zero is sent as all ones, as zero says that there is none (RFC 8200, section 8.1).
            let sum = match fold(sum + u32::from(source_port) + u32::from(destination_port)) {
                0 => 0xffff,
                sum => sum,
            };
            head[l4 + 6..l4 + 8].copy_from_slice(&sum.to_be_bytes());
        } else {
            head[L3 + 12..L3 + 16].copy_from_slice(&(source as u32).to_be_bytes());
            head[L3 + 16..L3 + 20].copy_from_slice(&(destination as u32).to_be_bytes());
            head[L3 + 10..L3 + 12].copy_from_slice(&fold(sum).to_be_bytes());
        }
    }
}

/// An address as a number, first byte highest.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// A number with the same Internet checksum as the four 16-bit words of `of`.
#[inline(always)]
fn words(of: u64) -> u32 {
    let halves = (of >> 32) + (of & 0xffff_ffff);
    ((halves >> 16) + (halves & 0xffff)) as u32
}

/// The Internet checksum of a sum of words.
#[inline(always)]
fn fold(sum: u32) -> u16 {
    let sum = (sum >> 16) + (sum & 0xffff);
    !((sum >> 16) + sum) as u16
}
