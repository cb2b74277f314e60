//! ARP for IPv4 over Ethernet (RFC 826), with probes and announcements (RFC 5227).
//!
//! Slices here are whole Ethernet frames. What is written has no padding: who sends on a real wire fills up to 60 bytes.

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ethernet::{self, ETHERTYPE_ARP, ETHERTYPE_IPV4, HEADER_LEN, Mac};
use crate::input::is_host_v4;

/// Bytes of a frame that is written here: Ethernet header and ARP packet.
pub const FRAME_LEN: usize = HEADER_LEN + size_of::<Packet>();

/// The address that is none yet.
const UNSPECIFIED: [u8; 4] = [0; 4];

/// The packet as it is on the wire.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Packet {
    hardware: U16,
    protocol: U16,
    hardware_len: u8,
    protocol_len: u8,
    operation: U16,
    sender_mac: [u8; 6],
    sender: [u8; 4],
    target_mac: [u8; 6],
    target: [u8; 4],
}

/// Number of Ethernet (IANA "ARP Hardware Types").
const ETHERNET: U16 = U16::new(1);
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// What an ARP packet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It asks who has the target's address.
    Request,
    /// It tells the sender's address.
    Reply,
}

/// Why a frame's ARP packet is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The frame is not ARP or ends inside the packet.
    #[error("the frame is not ARP, or ends inside the packet")]
    Truncated,
    /// The addresses are not those of Ethernet and IPv4.
    #[error("the ARP packet is not about IPv4 over Ethernet")]
    Kind,
    /// The operation is neither request nor reply.
    #[error("ARP operation {0}: only 1 (request) and 2 (reply) are known")]
    Operation(u16),
    /// The sender claims a hardware address that is none of one station.
    #[error("the sender's hardware address is {0}, which is none of one station")]
    SenderMac(Mac),
    /// The sender claims an IPv4 address that no host can have, or answers without one.
    #[error("the sender's IPv4 address is none of one host")]
    Sender,
    /// The target is an address that no host can have.
    #[error("the target's IPv4 address is none of one host")]
    Target,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// What it does.
    pub operation: Operation,
    /// The sender's hardware address. It need not be the frame's source: with a virtual router it is not (RFC 5798 §7.3).
    pub sender_mac: Mac,
    /// The sender's address; 0.0.0.0 in a probe.
    pub sender: [u8; 4],
    /// The target's hardware address, which means nothing in a request.
    pub target_mac: Mac,
    /// The target's address.
    pub target: [u8; 4],
}

impl Arp {
    /// Reads the ARP packet of a frame with up to two VLAN tags.
    ///
    /// # Errors
    /// The frame is no ARP, or says what cannot be: nothing of it may be learned.
    pub fn parse(frame: &[u8]) -> Result<Arp, Fault> {
        let ethernet =
            ethernet::parse(frame).filter(|e| e.ethertype == ETHERTYPE_ARP).ok_or(Fault::Truncated)?;
        let (packet, _) = Packet::ref_from_prefix(&frame[ethernet.l3..]).map_err(|_| Fault::Truncated)?;
        if (packet.hardware, packet.protocol.get()) != (ETHERNET, ETHERTYPE_IPV4)
            || (packet.hardware_len, packet.protocol_len) != (6, 4)
        {
            return Err(Fault::Kind);
        }
        let operation = match packet.operation.get() {
            REQUEST => Operation::Request,
            REPLY => Operation::Reply,
            other => return Err(Fault::Operation(other)),
        };
        let sender_mac = Mac::from_octets(packet.sender_mac);
        if !sender_mac.is_station() {
            return Err(Fault::SenderMac(sender_mac));
        }
        // A probe has no sender yet, and some announce themselves by a reply whose target is left zero.
        let is_fit = |address, may_be_none| is_host_v4(address) || may_be_none && address == UNSPECIFIED;
        if !is_fit(packet.sender, operation == Operation::Request) {
            return Err(Fault::Sender);
        }
        if !is_fit(packet.target, operation == Operation::Reply) {
            return Err(Fault::Target);
        }
        let target_mac = Mac::from_octets(packet.target_mac);
        Ok(Arp { operation, sender_mac, sender: packet.sender, target_mac, target: packet.target })
    }

    /// Whether it only asks if an address is free: then nobody has it yet, and it may not be learned (RFC 5227 §2.1.1).
    #[inline]
    pub fn is_probe(&self) -> bool {
        self.operation == Operation::Request && self.sender == UNSPECIFIED
    }

    /// Whether it tells, unasked, that the sender has its address (RFC 5227 §2.3; "gratuitous").
    #[inline]
    pub fn is_announcement(&self) -> bool {
        self.sender == self.target
    }

    /// Asks who has `target`.
    #[inline]
    pub const fn request(mac: Mac, sender: [u8; 4], target: [u8; 4]) -> Arp {
        Arp { operation: Operation::Request, sender_mac: mac, sender, target_mac: Mac(0), target }
    }

    /// Asks whether `target` is free, without claiming it.
    #[inline]
    pub const fn probe(mac: Mac, target: [u8; 4]) -> Arp {
        Arp::request(mac, UNSPECIFIED, target)
    }

    /// Tells all that `mac` has `address`. It is a request, as RFC 5227 §3 prefers.
    #[inline]
    pub const fn announcement(mac: Mac, address: [u8; 4]) -> Arp {
        Arp::request(mac, address, address)
    }

    /// The answer to a request: `mac` has the address that it asks for.
    #[inline]
    #[must_use]
    pub const fn reply(&self, mac: Mac) -> Arp {
        Arp {
            operation: Operation::Reply,
            sender_mac: mac,
            sender: self.target,
            target_mac: self.sender_mac,
            target: self.sender,
        }
    }

    /// Where the frame goes: a request to all, a reply to its target. To ask a known neighbour whether it is still there, send
    /// a request to it alone (RFC 1122 §2.3.2.1).
    #[inline]
    pub const fn destination(&self) -> Mac {
        match self.operation {
            Operation::Request => Mac::BROADCAST,
            Operation::Reply => self.target_mac,
        }
    }

    /// Writes the frame, from the sender's hardware address to `destination`, and returns its length, [`FRAME_LEN`]. `None`,
    /// and nothing written, if `out` is shorter.
    pub fn write(&self, destination: Mac, out: &mut [u8]) -> Option<usize> {
        let frame = out.get_mut(..FRAME_LEN)?;
        ethernet::write_header(frame, destination, self.sender_mac, ETHERTYPE_ARP)?;
        let packet = Packet {
            hardware: ETHERNET,
            protocol: U16::new(ETHERTYPE_IPV4),
            hardware_len: 6,
            protocol_len: 4,
            operation: U16::new(match self.operation {
                Operation::Request => REQUEST,
                Operation::Reply => REPLY,
            }),
            sender_mac: self.sender_mac.octets(),
            sender: self.sender,
            target_mac: self.target_mac.octets(),
            target: self.target,
        };
        frame[HEADER_LEN..].copy_from_slice(packet.as_bytes());
        Some(FRAME_LEN)
    }
}

#[cfg(test)]
#[path = "arp_tests.rs"]
mod tests;
