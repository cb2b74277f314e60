//! `packet`: an `AF_PACKET` socket on any interface of the kernel, for the host end of a veth above all.
//!
//! The interface outlives the switch with its addresses and its place in a container; the socket is opened again by
//! name. Frames are moved in batches, offloads are passed through as on a TAP.

use std::array;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};

use paceline_buf::{Packet, Vector};
use paceline_graph::{Capabilities, Reason};
use paceline_packet::{PacketSocket, RxSlot, VlanTag, is_down, is_gone};
use paceline_sys::link;
use paceline_wire::vlan::{self, TAG_LEN, Tci};

use crate::tails::Tails;
use crate::vnet::{self, ENOUGH, HEADER, HEADROOM, LARGEST};
use crate::{Io, LinkState, Port, PortError, frame};

/// Frames that one system call receives. Each needs 64 KiB of address space for a super-packet that nobody expected.
const RX_BATCH: usize = 16;
/// Frames that one system call sends.
const TX_BATCH: usize = 32;
/// Small frames after which a port no longer expects super-packets.
const PATIENCE: u32 = 64;

/// Which device to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketConfig {
    /// Name of the interface in the calling thread's network namespace.
    pub device: String,
}

/// A packet socket on one interface.
pub struct PacketPort {
    socket: PacketSocket,
    /// First chunks of the frames of one call; empty between calls.
    heads: Vec<Packet>,
    tails: Tails,
    /// For each frame of a batch the part that does not fit into a chunk. Untouched, and so no memory, until needed.
    spill: Box<[u8]>,
    /// Small frames that may still come before super-packets are no longer expected; 0: they are not.
    patience: u32,
    /// Frames that the kernel dropped as the socket was full, and that still have to be counted.
    missed: u64,
    /// The device's address when it was opened.
    station: Option<[u8; 6]>,
}

/// What became of one receive slot.
#[derive(Clone, Copy, Default)]
struct Got {
    len: usize,
    vlan: Option<VlanTag>,
    truncated: bool,
}

impl From<&RxSlot<'_, '_>> for Got {
    fn from(slot: &RxSlot<'_, '_>) -> Got {
        Got { len: slot.len, vlan: slot.vlan, truncated: slot.truncated }
    }
}

impl PacketPort {
    /// Opens a socket on the device.
    ///
    /// # Errors
    /// No such device, no privilege.
    pub fn open(config: &PacketConfig) -> Result<PacketPort, PortError> {
        let device = || config.device.clone();
        let ifindex =
            link::index(&config.device).map_err(|source| PortError::Device { device: device(), source })?;
        let socket =
            PacketSocket::open(ifindex).map_err(|source| PortError::Packet { device: device(), source })?;
        Ok(PacketPort {
            socket,
            heads: Vec::with_capacity(RX_BATCH),
            tails: Tails::default(),
            spill: vec![0; RX_BATCH * LARGEST].into(),
            patience: 0,
            missed: 0,
            station: config.device.parse().ok().and_then(|name| link::mac(&name).ok()),
        })
    }

    /// Frames that are expected to be small. Whether there may be more.
    #[inline]
    fn receive_small(&mut self, io: &mut Io<'_>, out: &mut Vector) -> bool {
        for _ in 0..RX_BATCH.min(out.room()) {
            let Some(mut head) = io.cache.alloc() else { break };
            head.reserve(HEADROOM);
            self.heads.push(head);
        }
        // Without a single chunk the frames are read all the same, to be counted.
        let want = if self.heads.is_empty() { RX_BATCH } else { self.heads.len() };
        let (mut heads, mut spill) = (self.heads.iter_mut(), self.spill.chunks_mut(LARGEST));
        let mut bufs: [_; RX_BATCH] = array::from_fn(|_| {
            let head = heads.next().map(Packet::room_mut).unwrap_or_default();
            [head, spill.next().unwrap_or_default()].map(IoSliceMut::new)
        });
        let mut slots = bufs.each_mut().map(|bufs| RxSlot::new(bufs));
        let count = self.socket.recv_batch(&mut slots[..want]).unwrap_or(0);
        let got = slots.each_ref().map(Got::from);

        if self.heads.is_empty() {
            io.missed(Reason::NoBuffers, count as u64);
            return count == want;
        }
        for (at, (got, mut packet)) in got.into_iter().zip(self.heads.drain(..)).enumerate() {
            if at >= count {
                io.cache.free(packet);
                continue;
            }
            let room = packet.room_mut().len();
            packet.set_len(got.len);
            if got.len > room {
                self.patience = PATIENCE;
                let rest = &self.spill[at * LARGEST..][..got.len - room];
                if !frame::append(io.cache, &mut packet, rest) {
                    io.drop(packet, Reason::NoBuffers);
                    continue;
                }
            }
            accept(io, out, packet, got);
        }
        count == want
    }

    /// A frame that may be a super-packet. Whether there may be more.
    fn receive_chained(&mut self, io: &mut Io<'_>, out: &mut Vector) -> bool {
        let Some(mut packet) = io.cache.alloc() else { return self.receive_small(io, out) };
        packet.reserve(HEADROOM);
        if !self.tails.post(io.cache, &mut packet) {
            io.cache.free(packet);
            self.tails.release(io.cache);
            return self.receive_small(io, out);
        }
        let socket = &mut self.socket;
        let got = self.tails.offer(&mut packet, |slices| {
            let mut slots = [RxSlot::new(slices)];
            socket.recv_batch(&mut slots).is_ok_and(|count| count == 1).then(|| Got::from(&slots[0]))
        });
        let Some(got) = got else {
            io.cache.free(packet);
            return false;
        };
        self.tails.chain(&mut packet, got.len);
        self.patience = if packet.is_chained() { PATIENCE } else { self.patience - 1 };
        accept(io, out, packet, got);
        true
    }

    /// Sends the first packets of some; how many, or why the first one cannot be sent.
    #[inline]
    fn send(&mut self, packets: &[Packet]) -> Result<usize, Reason> {
        let refusal = |error| vnet::refusal(&error, &packets[0]);
        if packets[0].is_chained() {
            let header = vnet::header(&packets[0]);
            return vnet::gather(&header, &packets[0], |pieces| self.socket.send_batch(&[pieces]))?
                .map_err(refusal);
        }
        let mut run = packets.iter().take_while(|packet| !packet.is_chained());
        let (mut headers, mut count) = ([[0; HEADER]; TX_BATCH], 0);
        let plain: [&[u8]; TX_BATCH] = array::from_fn(|at| {
            let Some(packet) = run.next() else { return &[][..] };
            headers[at] = vnet::header(packet);
            count += 1;
            packet.data()
        });
        let frames: [_; TX_BATCH] =
            array::from_fn(|at| [IoSlice::new(&headers[at]), IoSlice::new(plain[at])]);
        self.socket.send_batch(&frames[..count]).map_err(refusal)
    }
}

/// Turns what was received into a packet of `out`.
#[inline]
fn accept(io: &mut Io<'_>, out: &mut Vector, mut packet: Packet, got: Got) {
    let mut accepted = if got.truncated { Err(Reason::TooBig) } else { vnet::accept(&mut packet) };
    if let (Ok(()), Some(tag)) = (accepted, got.vlan) {
        accepted = put_back(&mut packet, tag);
    }
    match accepted {
        Err(reason) => io.drop(packet, reason),
        Ok(()) => {
            if let Err(packet) = out.push(packet) {
                io.drop(packet, Reason::GraphFull);
            }
        }
    }
}

/// Puts the tag back that the kernel took out.
#[cold]
fn put_back(packet: &mut Packet, tag: VlanTag) -> Result<(), Reason> {
    let frame = packet.prepend(TAG_LEN).map_err(|_| Reason::NoHeadroom)?;
    if vlan::push(frame, tag.tpid, Tci(tag.tci)) { Ok(()) } else { Err(Reason::Runt) }
}

impl Port for PacketPort {
    fn kind(&self) -> &'static str {
        "packet"
    }

    fn station(&self) -> Option<[u8; 6]> {
        self.station
    }

    #[inline]
    fn receive(&mut self, io: &mut Io<'_>, out: &mut Vector) {
        if self.missed > 0 {
            io.missed(Reason::NoBuffers, std::mem::take(&mut self.missed));
        }
        let mut bytes = 0;
        // As many calls as could fill an empty vector, so that frames that are dropped cannot hold the worker up.
        for _ in 0..paceline_buf::VECTOR_SIZE {
            let before = out.len();
            let more = out.room() > 0
                && bytes < ENOUGH
                && if self.patience == 0 {
                    self.receive_small(io, out)
                } else {
                    self.receive_chained(io, out)
                };
            if !more {
                break;
            }
            bytes += out.as_slice()[before..].iter().map(Packet::total_len).sum::<usize>();
        }
        self.tails.release(io.cache);
    }

    #[inline]
    fn transmit(&mut self, io: &mut Io<'_>, vector: &mut Vector) {
        let mut packets = vector.as_slice();
        while !packets.is_empty() {
            match self.send(packets) {
                Ok(sent) if sent > 0 => packets = packets.get(sent..).unwrap_or_default(),
                Err(reason) if vnet::is_lasting(reason) => {
                    io.refuse(packets, reason);
                    break;
                }
                refused => {
                    io.refuse(&packets[..1], refused.err().unwrap_or(Reason::TxError));
                    packets = &packets[1..];
                }
            }
        }
        io.cache.free_all(vector);
    }

    fn capabilities(&self) -> Capabilities {
        vnet::capabilities()
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    /// Sends nothing, not even a header: the kernel looks at the interface first (`packet_snd`), and refuses that after.
    fn state(&mut self) -> LinkState {
        self.missed += u64::from(self.socket.drops().unwrap_or(0));
        match self.socket.send_batch(&[[IoSlice::new(&[])]]) {
            Err(error) if is_gone(&error) => LinkState::Down("the device was deleted"),
            Err(error) if is_down(&error) => LinkState::Down("the device is down"),
            _ => LinkState::Up,
        }
    }
}
