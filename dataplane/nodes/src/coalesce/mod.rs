//! `tcp-coalesce` and `udp-coalesce`: join packets that follow each other in one flow to a super-packet, which the port takes as
//! one, and cuts into the same packets again if it must: what the kernel does in `tcp_gro_receive` and with `UDP_SEGMENT`.
//!
//! Next: the rest of the output arc.
//!
//! Only neighbours in a vector are joined, so that order is kept without a look further; what comes through a tunnel was one
//! super-packet at its other end, and lies so. Payload stays where it is: a super-packet is a chain of its packets' buffers.
//!
//! Cost: for a packet that is nobody's successor a look at its headers. Joined packets are linked from the last to the first, as
//! every link to the end of a chain would walk it.

mod tcp;
#[cfg(test)]
mod tests;
mod udp;

use std::marker::PhantomData;

use paceline_buf::{Packet, VECTOR_SIZE, Vector, VnetHdr};
use paceline_graph::{Context, Hop, Node};
use paceline_wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN, ethertype};
use paceline_wire::ipv4::{self, Ipv4Header};
use paceline_wire::ipv6::{self, Ipv6Header};

pub use tcp::Tcp;
pub use udp::Tunnelled;

/// Most packets of a super-packet. The kernel takes 64 of UDP (`UDP_MAX_SEGMENTS`), ports a header and 63 pieces.
const MOST: usize = 63;
/// Most bytes of an IP packet.
const LONGEST: usize = u16::MAX as usize;

/// What packets are joined.
pub trait Kind: Send + 'static {
    /// The name of its node.
    const NAME: &'static str;

    /// The shape of a packet that others may follow.
    fn begin(packet: &Packet) -> Option<Shape>;

    /// Whether the headers of a packet, which is as long as a next one may be, say that it follows those before. `first` is the first
    /// one of them.
    fn follows(shape: &mut Shape, first: &Packet, packet: &Packet) -> bool;

    /// Finishes the headers of a super-packet, whose lengths are right already; the request to cut it again. `last`: the headers of
    /// its last packet.
    fn finish(shape: &Shape, head: &mut [u8], last: &[u8]) -> Option<VnetHdr>;
}

/// Packets that are to be joined.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    is_v4: bool,
    /// Where the TCP or UDP header starts.
    l4: usize,
    /// Bytes of headers in front of each payload.
    headers: usize,
    /// Bytes of payload of each but the last.
    size: usize,
    /// Bytes of payload so far.
    payload: usize,
    count: usize,
    /// More may follow.
    is_open: bool,
}

impl Shape {
    /// The shape of one packet of a protocol over IP without options, which has the lengths that its headers say. `None` of any other.
    /// `header_len` finds the bytes of the transport header.
    #[inline(always)]
    fn of(frame: &[u8], protocol: u8, header_len: impl Fn(&[u8]) -> Option<usize>) -> Option<Shape> {
        let ip = frame.get(HEADER_LEN..)?;
        let (is_v4, l4) = match ethertype(frame)? {
            ETHERTYPE_IPV4 => {
                let header = Ipv4Header::read(ip)?;
                let is_plain = ip[0] == 0x45
                    && header.protocol == protocol
                    && !header.is_fragment()
                    && usize::from(header.total_len.get()) == ip.len();
                (true, is_plain.then_some(HEADER_LEN + ipv4::MIN_LEN)?)
            }
            ETHERTYPE_IPV6 => {
                let header = Ipv6Header::read(ip)?;
                let is_plain = header.next_header == protocol
                    && usize::from(header.payload_len.get()) + ipv6::HEADER_LEN == ip.len();
                (false, is_plain.then_some(HEADER_LEN + ipv6::HEADER_LEN)?)
            }
            _ => return None,
        };
        let headers = l4 + header_len(frame.get(l4..)?)?;
        let size = frame.len().checked_sub(headers).filter(|size| *size > 0)?;
        Some(Shape { is_v4, l4, headers, size, payload: size, count: 1, is_open: true })
    }

    /// Whether the Ethernet and IP headers of two frames are the same, but for lengths, the identification, and what follows from them.
    #[inline(always)]
    fn is_same_way(&self, a: &[u8], b: &[u8]) -> bool {
        let (until, from) = if self.is_v4 { (16, 20) } else { (18, 20) };
        let same = |from: usize, to: usize| a.get(from..to).is_some_and(|part| b.get(from..to) == Some(part));
        let rest = if self.is_v4 { same(from, 24) && same(26, 34) } else { same(from, self.l4) };
        same(0, until) && rest
    }

    /// Takes a packet in if it is the next one.
    #[inline(always)]
    fn takes<K: Kind>(&mut self, first: &Packet, packet: &Packet) -> bool {
        let Some(payload) = packet.len().checked_sub(self.headers).filter(|len| *len > 0) else {
            return false;
        };
        let fits = self.is_open
            && payload <= self.size
            && self.count < MOST
            && self.headers - HEADER_LEN + self.payload + payload <= LONGEST;
        let goes_along = packet.is_plain() && (packet.tx, packet.feature) == (first.tx, first.feature);
        if !fits || !goes_along || !K::follows(self, first, packet) {
            return false;
        }
        self.payload += payload;
        self.count += 1;
        self.is_open &= payload == self.size;
        true
    }

    /// Writes the lengths of the super-packet into its IP header.
    fn write_len(&self, head: &mut [u8]) -> Option<()> {
        let len = self.headers - HEADER_LEN + self.payload;
        let ip = head.get_mut(HEADER_LEN..self.l4)?;
        if self.is_v4 {
            Ipv4Header::read_mut(ip)?.total_len.set(len as u16);
            ipv4::fill_checksum(ip);
        } else {
            Ipv6Header::read_mut(ip)?.payload_len.set((len - ipv6::HEADER_LEN) as u16);
        }
        Some(())
    }
}

/// The node.
pub struct Coalesce<K> {
    hops: Box<[Hop; VECTOR_SIZE]>,
    /// Which packets are joined to the one before.
    joins: Box<[bool; VECTOR_SIZE]>,
    /// Those in work.
    parts: Vec<Packet>,
    kind: PhantomData<K>,
}

impl<K> Default for Coalesce<K> {
    fn default() -> Self {
        Coalesce {
            hops: Box::new([Hop::DROP; VECTOR_SIZE]),
            joins: Box::new([false; VECTOR_SIZE]),
            parts: Vec::with_capacity(MOST),
            kind: PhantomData,
        }
    }
}

impl<K: Kind> Node for Coalesce<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        // The output arc goes on at the next place for all, so their places are compared before that.
        let packets = vector.as_slice();
        let (mut shape, mut first, mut any) = (None::<Shape>, 0, false);
        for (at, packet) in packets.iter().enumerate() {
            let joins = shape.as_mut().is_some_and(|shape| shape.takes::<K>(&packets[first], packet));
            if !joins {
                (shape, first) = (K::begin(packet), at);
            }
            self.joins[at] = joins;
            any |= joins;
        }
        for (packet, hop) in vector.as_mut_slice().iter_mut().zip(self.hops.iter_mut()) {
            *hop = cx.next_output(packet).unwrap_or(Hop::NOWHERE);
        }
        if !any {
            return cx.dispatch(vector, &self.hops[..]);
        }
        let (hops, joins, parts) = (&self.hops, &self.joins, &mut self.parts);
        let (mut at, mut hop) = (0, Hop::NOWHERE);
        vector.drain(|packet| {
            if !joins[at] {
                send::<K>(cx, parts, hop);
                hop = hops[at];
            }
            parts.push(packet);
            at += 1;
        });
        send::<K>(cx, parts, hop);
    }
}

/// Sends packets as one; `parts` is empty after it.
fn send<K: Kind>(cx: &mut Context<'_>, parts: &mut Vec<Packet>, hop: Hop) {
    if parts.len() > 1 {
        join::<K>(parts);
    }
    parts.drain(..).for_each(|packet| cx.send(packet, hop));
}

/// Joins packets, each of which follows the one before it, to the first.
fn join<K: Kind>(parts: &mut Vec<Packet>) -> Option<()> {
    let (head, rest) = parts.split_first_mut()?;
    let mut shape = K::begin(head)?;
    let last = rest.last()?;
    shape.payload += rest.iter().map(|part| part.len() - shape.headers).sum::<usize>();
    shape.write_len(head.data_mut())?;
    let request = K::finish(&shape, head.data_mut(), last.data())?;
    head.set_offload(request);
    for part in rest {
        part.trim_front(shape.headers);
    }
    while parts.len() > 1
        && let (Some(tail), Some(before)) = (parts.pop(), parts.last_mut())
    {
        before.push_tail(tail);
    }
    Some(())
}
