//! Reading a packet segment by segment.

use std::marker::PhantomData;

use crate::chunk::Link;
use crate::packet::Packet;

/// The segments of a packet, first to last.
pub struct Segments<'a> {
    head: Option<&'a [u8]>,
    next: Option<Link>,
    packet: PhantomData<&'a Packet>,
}

impl<'a> Segments<'a> {
    pub(crate) fn new(packet: &'a Packet) -> Segments<'a> {
        // SAFETY: the packet holds its chunk, and the chained flag says that `next` is valid.
        let next = if packet.is_chained() { unsafe { (*packet.chunk().header()).next } } else { None };
        Segments { head: Some(packet.data()), next, packet: PhantomData }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if let Some(head) = self.head.take() {
            return Some(head);
        }
        let link = self.next?;
        // SAFETY: the packet is borrowed for 'a and its links keep every tail held; tails are never written while they
        // are linked, so a shared slice is sound even if another packet shares the tail. Offsets were checked when the
        // link was made.
        unsafe {
            self.next = (*link.chunk.header()).next;
            Some(std::slice::from_raw_parts(link.chunk.at(link.offset as usize), link.len as usize))
        }
    }
}
