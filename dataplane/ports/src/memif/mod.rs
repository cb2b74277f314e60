//! `memif`: packets through memory that is shared with another process, VPP, DPDK or a container with libmemif.
//!
//! Frames are copied between the shared memory, which is the client's, and our chunks. No offload passes. While packets come,
//! the peer is told that we poll; with the first look that finds nothing it is asked to wake us.
//!
//! A thread of the port's own has the socket ([`line`]). When the peer goes, the port is down until it is back, and says why.

mod line;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use paceline_buf::{Packet, Vector};
use paceline_graph::Reason;
use paceline_memif::message::Text;
use paceline_memif::{Fault, Listener, Pair, Receiver, Sender, Settings, client_memory};
use paceline_wire::ethernet::HEADER_LEN;

use self::line::{Origin, Seat};
use crate::vnet::{ENOUGH, HEADER, LARGEST};
use crate::{Io, LinkState, Port, PortError};

/// The longest frame that is taken.
const LONGEST: usize = LARGEST - HEADER;
/// Looks that find nothing, after which what woke us is forgotten again: the peer may wake us for nothing. Less than a worker
/// takes to wait for the port.
const REST: u32 = 32;
/// Bytes of a socket's path that the kernel takes (`unix(7)`).
const MAX_PATH: usize = 107;

/// Which side of the connection a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemifRole {
    /// Listens on the socket (master).
    Server,
    /// Connects, and brings the memory (slave).
    Client,
}

/// Where the peer is, and what it must agree to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemifConfig {
    /// The socket, up to 107 bytes of path; as server, for this port alone.
    pub socket: PathBuf,
    /// The number of the interface on the socket.
    pub id: u32,
    /// Which side this is.
    pub role: MemifRole,
    /// What the peer shows as its interface, up to 31 bytes.
    pub name: String,
    /// Queues in each direction, 1 to 256, as many as the peer has: one for each worker that shall serve it.
    pub queues: usize,
    /// Frames that may wait in a queue, a power of two from 2 to 16384; as server, the most that the client may choose.
    pub ring_size: u32,
    /// As client, bytes of a buffer: a multiple of 64. Longer frames take several.
    pub buffer_size: u32,
    /// What both sides must know, up to 23 bytes; empty: nothing.
    pub secret: String,
}

impl Default for MemifConfig {
    /// The server of interface 0, with one queue of 1024 frames in buffers of 2048 bytes.
    fn default() -> Self {
        MemifConfig {
            socket: PathBuf::new(),
            id: 0,
            role: MemifRole::Server,
            name: "paceline".into(),
            queues: 1,
            ring_size: 1024,
            buffer_size: 2048,
            secret: String::new(),
        }
    }
}

impl MemifConfig {
    /// What is wrong with it: the field, its value and what would be right.
    fn problem(&self) -> Option<(&'static str, String, &'static str)> {
        let path = self.socket.as_os_str().len();
        let ring = self.ring_size;
        let log2 = ring.trailing_zeros() as u8;
        let memory = client_memory(self.queues.min(256) as u16, log2.min(14), self.buffer_size);
        [
            (!(1..=MAX_PATH).contains(&path), "socket", path as u64, "bytes of path must be 1 to 107"),
            (!(1..=256).contains(&self.queues), "queues", self.queues as u64, "must be 1 to 256"),
            (
                !ring.is_power_of_two() || !(2..=16_384).contains(&ring),
                "ring_size",
                ring.into(),
                "must be a power of two from 2 to 16384",
            ),
            (
                self.buffer_size == 0 || !self.buffer_size.is_multiple_of(64),
                "buffer_size",
                self.buffer_size.into(),
                "must be a multiple of 64",
            ),
            (memory.is_none(), "buffer_size", self.buffer_size.into(), "buffers of all queues exceed 4 GiB"),
            (self.secret.len() > 23, "secret", self.secret.len() as u64, "bytes must be at most 23"),
        ]
        .into_iter()
        .find_map(|(wrong, field, value, want)| wrong.then(|| (field, value.to_string(), want)))
    }
}

/// One queue of a memif interface.
pub struct MemifPort {
    seat: Seat,
    /// The ends of the queue, while there is a connection.
    pair: Option<Pair>,
    /// Why there is none.
    why: Fault,
    /// Looks that found nothing, one after the other.
    quiet: u32,
}

impl MemifPort {
    /// Makes the socket, or begins to connect: one port for each queue. Both go on by themselves until the last one is dropped.
    ///
    /// # Errors
    /// A number out of range; a socket that cannot be made.
    pub fn open(config: &MemifConfig) -> Result<Vec<MemifPort>, PortError> {
        let socket = || config.socket.clone();
        if let Some((field, value, want)) = config.problem() {
            return Err(PortError::Memif { socket: socket(), field, value, want });
        }
        let failed = |source| PortError::Socket { socket: socket(), source };
        let origin = match config.role {
            MemifRole::Server => Origin::Listener(Listener::bind(&config.socket).map_err(failed)?),
            MemifRole::Client => Origin::Path(socket()),
        };
        let settings = Settings {
            id: config.id,
            secret: Text::new(&config.secret),
            name: Text::new(&config.name),
            queues: config.queues as u16,
            log2_slots: config.ring_size.trailing_zeros() as u8,
            buffer_size: config.buffer_size,
        };
        let seats = line::start(origin, settings).map_err(failed)?;
        let port = |seat| MemifPort { seat, pair: None, why: Fault::Closed, quiet: 0 };
        Ok(seats.into_iter().map(port).collect())
    }

    /// Goes over to the connection that there is now.
    #[inline]
    fn renew(&mut self) {
        if self.seat.is_stale() && self.why != Fault::Stopped {
            let new = self.seat.renew(self.pair.take());
            self.why = *new.as_ref().err().unwrap_or(&Fault::Closed);
            self.pair = new.ok();
            self.quiet = 0;
        }
    }

    #[cold]
    fn give_up(&mut self, why: Fault) {
        self.why = why;
        self.seat.give_up(self.pair.take(), why);
    }

    /// Nothing was there: lets the peer wake us from now on. What came meanwhile is taken.
    fn rest(&mut self, io: &mut Io<'_>, out: &mut Vector) -> Result<(), Fault> {
        self.quiet += 1;
        let Some(pair) = self.pair.as_mut().filter(|_| self.quiet % REST == 1) else { return Ok(()) };
        pair.receiver.set_polls(false);
        self.seat.wake().drain();
        receive(&mut pair.receiver, io, out).map(drop)
    }
}

/// Takes what is there; whether something was.
#[inline]
fn receive(receiver: &mut Receiver, io: &mut Io<'_>, out: &mut Vector) -> Result<bool, Fault> {
    let count = receiver.look()?.len();
    let (mut at, mut bytes) = (0, 0);
    while at < count && out.room() > 0 && bytes < ENOUGH {
        // The last frame may not be whole yet.
        let Some(last) = (at..count).find(|&index| !receiver.piece(index).more()) else { break };
        match accept(receiver, io, at, last) {
            Ok(packet) => {
                bytes += packet.total_len();
                if let Err(packet) = out.push(packet) {
                    io.drop(packet, Reason::GraphFull);
                }
            }
            Err(reason) => io.missed(reason, 1),
        }
        at = last + 1;
    }
    receiver.take(at);
    Ok(at > 0)
}

/// Makes a packet of the frame that is in these pieces.
#[inline]
fn accept(receiver: &Receiver, io: &mut Io<'_>, first: usize, last: usize) -> Result<Packet, Reason> {
    let len = receiver.piece(first).len();
    let total =
        if first == last { len } else { (first..=last).map(|index| receiver.piece(index).len()).sum() };
    if total < HEADER_LEN {
        return Err(Reason::Runt);
    }
    let mut packet = io.cache.alloc().ok_or(Reason::NoBuffers)?;
    if first == last
        && let Some(room) = packet.room_mut().get_mut(..len)
    {
        receiver.copy(first, 0, room);
        packet.set_len(len);
        return Ok(packet);
    }
    if total > LONGEST {
        io.cache.free(packet);
        return Err(Reason::TooBig);
    }
    gather(receiver, io, packet, first, last)
}

/// Fills a packet with what is in these pieces, adding as many chunks as it takes.
#[cold]
fn gather(
    receiver: &Receiver,
    io: &mut Io<'_>,
    mut packet: Packet,
    first: usize,
    last: usize,
) -> Result<Packet, Reason> {
    let mut tail = None::<Packet>;
    for index in first..=last {
        let (mut skip, len) = (0, receiver.piece(index).len());
        while skip < len {
            let chunk = tail.as_mut().unwrap_or(&mut packet);
            let filled = chunk.len();
            let room = &mut chunk.room_mut()[filled..];
            let count = room.len().min(len - skip);
            if count > 0 {
                receiver.copy(index, skip, &mut room[..count]);
                chunk.set_len(filled + count);
                skip += count;
                continue;
            }
            if let Some(full) = tail.take() {
                packet.push_tail(full);
            }
            let Some(mut new) = io.cache.alloc() else {
                io.cache.free(packet);
                return Err(Reason::NoBuffers);
            };
            new.reserve(0);
            tail = Some(new);
        }
    }
    if let Some(tail) = tail {
        packet.push_tail(tail);
    }
    Ok(packet)
}

/// Sends packets. After an error, those from the one at that place on were not sent.
#[inline]
fn send(sender: &mut Sender, io: &mut Io<'_>, packets: &[Packet]) -> Result<(), (usize, Fault)> {
    let put = |sender: &mut Sender, packet: &Packet| {
        if packet.is_chained() { sender.put_pieces(packet.segments()) } else { sender.put(packet.data()) }
    };
    sender.refresh().map_err(|fault| (0, fault))?;
    for (at, packet) in packets.iter().enumerate() {
        let failed = |fault| (at, fault);
        let one = &packets[at..=at];
        if packet.total_len() < HEADER_LEN {
            io.refuse(one, Reason::Runt);
            continue;
        }
        if put(sender, packet).map_err(failed)? {
            continue;
        }
        // The peer may have taken something meanwhile.
        sender.publish();
        sender.refresh().map_err(failed)?;
        if !put(sender, packet).map_err(failed)? {
            if sender.is_empty() {
                io.refuse(one, Reason::TxTooLong);
                continue;
            }
            io.refuse(&packets[at..], Reason::TxFull);
            break;
        }
    }
    sender.publish();
    Ok(())
}

impl Port for MemifPort {
    fn kind(&self) -> &'static str {
        "memif"
    }

    #[inline]
    fn receive(&mut self, io: &mut Io<'_>, out: &mut Vector) {
        self.renew();
        let Some(pair) = &mut self.pair else { return };
        let done = match receive(&mut pair.receiver, io, out) {
            Ok(true) => {
                self.quiet = 0;
                if !pair.receiver.polls() {
                    pair.receiver.set_polls(true);
                    self.seat.wake().drain();
                }
                Ok(())
            }
            Ok(false) => self.rest(io, out),
            Err(fault) => Err(fault),
        };
        if let Err(fault) = done {
            self.give_up(fault);
        }
    }

    #[inline]
    fn transmit(&mut self, io: &mut Io<'_>, vector: &mut Vector) {
        self.renew();
        let Some(pair) = &mut self.pair else { return io.drop_all(vector, Reason::PortDown) };
        if let Err((sent, fault)) = send(&mut pair.sender, io, vector.as_slice()) {
            pair.sender.publish();
            io.refuse(&vector.as_slice()[sent..], Reason::PortDown);
            self.give_up(fault);
        }
        io.cache.free_all(vector);
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.seat.wake().as_fd())
    }

    fn state(&mut self) -> LinkState {
        self.renew();
        match &self.pair {
            Some(pair) => {
                // DPDK does not see in time that it should wake us when it looks just before we say so.
                if !pair.receiver.polls() && pair.receiver.is_ready() {
                    self.seat.wake().signal();
                }
                LinkState::Up
            }
            None => LinkState::Down(self.why.text()),
        }
    }

    fn close(&mut self, _io: &mut Io<'_>) {
        self.why = Fault::Stopped;
        self.seat.give_back(self.pair.take());
    }
}
