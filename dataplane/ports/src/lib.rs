//! Ports: where packets come from and go to.
//!
//! A [`Port`] is one queue pair of an interface, owned by one worker. An interface with several queues has one port object on
//! each of several workers. Ports know nothing of the graph; they fill vectors and empty vectors.
#![forbid(unsafe_code)]

mod afxdp;
mod error;
mod frame;
mod generator;
mod memif;
mod memory;
mod null;
mod packet;
mod pcap;
mod tails;
mod tap;
mod vhost;
mod vnet;

use std::os::fd::BorrowedFd;

use paceline_buf::{Cache, Packet, Vector};
use paceline_graph::{Capabilities, Drops, Reason};

pub use afxdp::{AfxdpConfig, AfxdpContext, AfxdpPort};
pub use error::PortError;
pub use frame::copy_in;
pub use generator::{Addresses, GeneratorConfig, GeneratorPort, Order, Sizes, Span, StreamConfig};
pub use memif::{MemifConfig, MemifPort, MemifRole};
pub use memory::{MemoryPeer, MemoryPort};
pub use null::NullPort;
pub use paceline_xsk::{Filter, FilterHandle, Service, XskError as FilterError};
pub use packet::{PacketConfig, PacketPort};
pub use pcap::{PcapConfig, PcapPort, PcapWriter, RecordConfig, ReplayConfig, WallClock};
pub use tap::{TapConfig, TapPort};
pub use vhost::{VhostConfig, VhostPort, VhostRole};

/// One queue pair of an interface.
pub trait Port: Send {
    /// The kind of port, as the configuration names it.
    fn kind(&self) -> &'static str;

    /// Appends received packets to `out`, as many as are there and `out` has room for; returns without waiting. The port
    /// sets data, length and offload request; interface and domain are the worker's to set. Frames that had to be
    /// dropped are counted through `io`.
    fn receive(&mut self, io: &mut Io<'_>, out: &mut Vector);

    /// Sends every packet of `vector` and empties it. What cannot be sent is dropped through `io`: a port never keeps a packet
    /// for later, except where a device reads it in place.
    fn transmit(&mut self, io: &mut Io<'_>, vector: &mut Vector);

    /// What the port does to unfinished packets by itself.
    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE
    }

    /// The Ethernet address of the device, if what is sent to it comes in here. A TAP's is that of whoever is at its other end.
    fn station(&self) -> Option<[u8; 6]> {
        None
    }

    /// Readable when [`receive`](Port::receive) would return packets. `None`: the port must be polled (generators, memory).
    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether [`receive`](Port::receive) can ever return packets. A port that cannot is never asked.
    fn is_source(&self) -> bool {
        true
    }

    /// Whether the port's device works, and if not, why. Called by the worker a few times a second, not per vector.
    fn state(&mut self) -> LinkState {
        LinkState::Up
    }

    /// Takes back all buffers that a device holds, before the port is dropped.
    fn close(&mut self, _io: &mut Io<'_>) {}
}

/// Whether a port can carry packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It can.
    Up,
    /// It cannot, for this reason.
    Down(&'static str),
}

/// What a port may use while it receives or sends: buffers, and the means to drop.
pub struct Io<'a> {
    /// Where buffers come from and go to.
    pub cache: &'a mut Cache,
    drops: &'a Drops,
    lost: Lost,
}

/// Packets that a port was given and dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// How many.
    pub packets: u64,
    /// Bytes in them.
    pub bytes: u64,
}

impl<'a> Io<'a> {
    /// For one call of a port, whose drops are counted in `drops`.
    #[inline]
    pub fn new(cache: &'a mut Cache, drops: &'a Drops) -> Io<'a> {
        Io { cache, drops, lost: Lost::default() }
    }

    /// Counts frames that were lost before they became packets.
    #[cold]
    pub fn missed(&mut self, reason: Reason, frames: u64) {
        self.drops.add(reason, frames);
    }

    /// Counts packets as dropped. They stay with the port, which frees them with the others of their vector.
    #[cold]
    pub fn refuse(&mut self, packets: &[Packet], reason: Reason) {
        self.drops.add(reason, packets.len() as u64);
        self.lost.packets += packets.len() as u64;
        self.lost.bytes += packets.iter().map(|packet| packet.total_len() as u64).sum::<u64>();
    }

    /// Drops a packet under a reason.
    #[cold]
    pub fn drop(&mut self, packet: Packet, reason: Reason) {
        self.refuse(std::slice::from_ref(&packet), reason);
        self.cache.free(packet);
    }

    /// Drops all packets of a vector under a reason.
    #[cold]
    pub fn drop_all(&mut self, vector: &mut Vector, reason: Reason) {
        self.refuse(vector.as_slice(), reason);
        self.cache.free_all(vector);
    }

    /// What was dropped so far through this value: after [`Port::transmit`], what was not sent.
    #[inline]
    pub fn lost(&self) -> Lost {
        self.lost
    }
}
