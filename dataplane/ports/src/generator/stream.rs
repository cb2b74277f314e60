//! One stream: frames made from templates, with the fields that vary written over.
//!
//! What a frame of a given size has in common with its sisters is laid out once, in 64-byte blocks. One more frame is then a
//! copy of whole cache lines and a dozen stores: 23 to 27 cycles for 64 bytes, with one flow as with 100 000 in random order.
//! A table of prepared headers would instead take those cache lines from the nodes that are to be measured.

use paceline_buf::Packet;
use paceline_wire::ethernet::HEADER_LEN;
use paceline_wire::vlan::TAG_LEN;

use super::config::{Addresses, Order, StreamConfig};
use super::fields::{Fault, Fields};
use super::shape::{Shape, headers};
use crate::PortError;

pub struct Stream {
    shapes: Vec<Shape>,
    /// The shape of the next frame.
    shape: usize,
    fields: Fields,
    walk: Walk,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    V4,
    V4Tagged,
    V6,
    V6Tagged,
}

/// Which source and which destination is next.
struct Walk {
    source: u32,
    sources: u32,
    destination: u32,
    destinations: u32,
    /// Shuffled destinations; empty if they come in sequence.
    order: Vec<u32>,
}

impl Walk {
    #[inline(always)]
    fn next(&mut self) -> (u32, u32) {
        let (source, at) = (self.source, self.destination);
        self.source = if source + 1 == self.sources { 0 } else { source + 1 };
        self.destination = if at + 1 == self.destinations { 0 } else { at + 1 };
        (source, self.order.get(at as usize).copied().unwrap_or(at))
    }
}

impl Stream {
    pub fn new(number: usize, config: &StreamConfig, rng: &mut fastrand::Rng) -> Result<Stream, PortError> {
        let fault = Fault { stream: number };
        let fields = Fields::new(fault, config)?;
        if let Some(vlan) = config.vlan.filter(|&vlan| vlan > 4094) {
            return Err(fault.of("vlan", &vlan, "must lie between 0 and 4094"));
        }
        let sizes = config.sizes.round();
        if !(1..=64).contains(&sizes.len()) {
            return Err(fault.of(
                "sizes",
                &format!("a list of {}", sizes.len()),
                "must be a list of 1 to 64 lengths",
            ));
        }
        if let Some(size) = sizes.iter().find(|size| !(headers(config)..=16_000).contains(size)) {
            let want = "must take the headers (42 bytes, IPv6 62, tagged 4 more) and be at most 16000";
            return Err(fault.of("sizes", size, want));
        }
        if sizes.iter().any(|size| *size < headers(config) + config.payload.len()) {
            let want = "is a number of bytes that must fit into the shortest frame";
            return Err(fault.of("payload", &config.payload.len(), want));
        }
        let (sources, destinations) = (fields.sources(), fields.destinations());
        let mut order = Vec::new();
        if config.order == Order::Random {
            order.extend(0..destinations);
            rng.shuffle(&mut order);
        }
        Ok(Stream {
            shapes: sizes.into_iter().map(|size| Shape::new(config, size)).collect(),
            shape: 0,
            fields,
            walk: Walk { source: 0, sources, destination: 0, destinations, order },
            kind: match (&config.addresses, config.vlan) {
                (Addresses::V4 { .. }, None) => Kind::V4,
                (Addresses::V4 { .. }, Some(_)) => Kind::V4Tagged,
                (Addresses::V6 { .. }, None) => Kind::V6,
                (Addresses::V6 { .. }, Some(_)) => Kind::V6Tagged,
            },
        })
    }

    /// Length of the longest frame.
    pub fn longest(&self) -> usize {
        self.shapes.iter().map(|shape| shape.len).max().unwrap_or(0)
    }

    /// Makes a frame of each empty packet; each has room for the longest.
    #[inline]
    pub fn fill(&mut self, packets: &mut [Packet]) {
        match self.kind {
            Kind::V4 => self.fill_as::<HEADER_LEN, false>(packets),
            Kind::V4Tagged => self.fill_as::<{ HEADER_LEN + TAG_LEN }, false>(packets),
            Kind::V6 => self.fill_as::<HEADER_LEN, true>(packets),
            Kind::V6Tagged => self.fill_as::<{ HEADER_LEN + TAG_LEN }, true>(packets),
        }
    }

    fn fill_as<const L3: usize, const V6: bool>(&mut self, packets: &mut [Packet]) {
        for packet in packets {
            let shape = &self.shapes[self.shape];
            let (room, _) = packet.room_mut().as_chunks_mut::<64>();
            for (to, from) in room.iter_mut().zip(&shape.blocks) {
                *to = *from;
            }
            self.fields.write::<L3, V6>(room.as_flattened_mut(), shape.sum, self.walk.next());
            packet.set_len(shape.len);
            self.next_shape();
        }
    }

    /// The next frame as it is before [`patch`](Self::patch).
    pub fn template(&self) -> &[u8] {
        let shape = &self.shapes[self.shape];
        &shape.blocks.as_flattened()[..shape.len]
    }

    /// Makes the next frame of a packet that holds its [`template`](Self::template), of whatever length.
    pub fn patch(&mut self, packet: &mut Packet) {
        let (sum, head, numbers) = (self.shapes[self.shape].sum, packet.room_mut(), self.walk.next());
        match self.kind {
            Kind::V4 => self.fields.write::<HEADER_LEN, false>(head, sum, numbers),
            Kind::V4Tagged => self.fields.write::<{ HEADER_LEN + TAG_LEN }, false>(head, sum, numbers),
            Kind::V6 => self.fields.write::<HEADER_LEN, true>(head, sum, numbers),
            Kind::V6Tagged => self.fields.write::<{ HEADER_LEN + TAG_LEN }, true>(head, sum, numbers),
        }
        self.next_shape();
    }

    #[inline(always)]
    fn next_shape(&mut self) {
        self.shape = if self.shape + 1 == self.shapes.len() { 0 } else { self.shape + 1 };
    }
}
