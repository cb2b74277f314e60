//! The template of all frames of one size.

use std::net::Ipv6Addr;

use paceline_wire::checksum::Sum;
use paceline_wire::ethernet::HEADER_LEN;
use paceline_wire::vlan::TAG_LEN;

use super::config::{Addresses, StreamConfig};

const UDP: usize = 8;

/// Bytes of all headers of a stream's frames.
pub fn headers(config: &StreamConfig) -> usize {
    let network = if matches!(config.addresses, Addresses::V4 { .. }) { 20 } else { 40 };
    HEADER_LEN + config.vlan.map_or(0, |_| TAG_LEN) + network + UDP
}

pub struct Shape {
    pub len: usize,
    /// The frame with zeros in the fields that vary, and some zeros behind.
    pub blocks: Vec<[u8; 64]>,
    /// Sum over what does not vary: of the IPv4 header, or of the UDP datagram with its IPv6 pseudo header.
    pub sum: u16,
}

impl Shape {
    pub fn new(config: &StreamConfig, len: usize) -> Shape {
        let mut frame = vec![0; 12];
        if let Some(vlan) = config.vlan {
            frame.extend([0x81, 0x00]);
            frame.extend(vlan.to_be_bytes());
        }
        let l3 = frame.len() + 2;
        match config.addresses {
            // TTL 64, UDP, not to be fragmented (RFC 791).
            Addresses::V4 { .. } => {
                frame.extend([0x08, 0x00, 0x45, 0]);
                frame.extend(((len - l3) as u16).to_be_bytes());
                frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
                frame.extend([0; 8]);
            }
            // Hop limit 64, UDP (RFC 8200). The high halves of the addresses stay, unless there is a list.
            Addresses::V6 { source, destination } => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                frame.extend(((len - l3 - 40) as u16).to_be_bytes());
                frame.extend([17, 64]);
                let listed = !config.destinations.is_empty();
                let destination = if listed { Ipv6Addr::UNSPECIFIED } else { destination.first };
                for address in [source.first, destination] {
                    frame.extend(&address.octets()[..8]);
                    frame.extend([0; 8]);
                }
            }
        }
        let l4 = frame.len();
        let datagram = (len - l4) as u16;
        frame.extend([0; 4]);
        frame.extend(datagram.to_be_bytes());
        frame.extend([0; 2]);
        let pattern = (0..len - frame.len()).map(|at| at as u8);
        frame.extend(config.payload.iter().copied().chain(pattern.skip(config.payload.len())));
        let (sum, least) = match config.addresses {
            // Without a UDP checksum (RFC 768): what is to be measured is not the generator.
            Addresses::V4 { .. } => (Sum::of(&frame[l3..l4]), 64),
            Addresses::V6 { .. } => {
                let mut sum = Sum::of(&[0, 17]);
                sum.add(&datagram.to_be_bytes());
                sum.add(&frame[l3 + 8..]);
                (sum, 128)
            }
        };
        frame.resize(len.next_multiple_of(64).max(least), 0);
        Shape { len, blocks: frame.as_chunks().0.to_vec(), sum: sum.partial() }
    }
}
