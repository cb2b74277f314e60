//! How two sides come to share memory.
//!
//! ```text
//! server: hello ▶        ack ▶             ack ▶           ack ▶          connected ▶
//! client:         ◀ init       ◀ add region      ◀ add ring     ◀ connect
//! ```

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::memory::Memory;
use crate::message::{ETHERNET, Message, NAME_LEN, SECRET_LEN, Text, VERSION};
use crate::receive::Receiver;
use crate::ring::{MAX_LOG2_SLOTS, Memories, Ring, Side};
use crate::send::Sender;
use crate::signal::Signal;
use crate::{Channel, Fault};

/// Most regions that a client may bring.
const MAX_REGIONS: usize = 16;
/// Most bytes that all of them may have: what is not there yet comes to be when it is looked at, and is then ours.
const MAX_BYTES: u64 = 1 << 30;
/// Buffers begin at a page.
const PAGE: usize = 4096;

/// What a side is, and wants.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The interface's number on the socket, the same on both sides.
    pub id: u32,
    /// What both sides must know, up to 23 bytes of text; empty: nothing. A server without one takes any.
    pub secret: Text<SECRET_LEN>,
    /// The interface's name, as the peer may show it.
    pub name: Text<NAME_LEN>,
    /// Queue pairs, the same on both sides.
    pub queues: u16,
    /// Slots of each ring, as a power of two, 1 to 14: as client; as server, the most that clients are told of.
    pub log2_slots: u8,
    /// Bytes of a buffer, as client: a multiple of 64. A server uses the client's.
    pub buffer_size: u32,
}

/// One queue: a ring in each direction.
#[derive(Debug)]
pub struct Pair {
    /// What comes.
    pub receiver: Receiver,
    /// What goes.
    pub sender: Sender,
}

/// Bytes of memory that a client of these settings brings; `None`: more than offsets reach.
pub fn client_memory(queues: u16, log2_slots: u8, buffer_size: u32) -> Option<usize> {
    let rings = 2 * usize::from(queues);
    let buffers = (rings << log2_slots).checked_mul(buffer_size as usize)?;
    let bytes = buffers.checked_add(buffers_at(queues, log2_slots))?;
    u32::try_from(bytes).is_ok().then_some(bytes)
}

/// Where a client's buffers begin: behind the rings.
fn buffers_at(queues: u16, log2_slots: u8) -> usize {
    (2 * usize::from(queues) * Ring::bytes(log2_slots)).next_multiple_of(PAGE)
}

/// As server: lets a client connect. A client that is refused is told why.
///
/// # Errors
/// All that the client can do wrong; `stop` became readable.
pub fn serve(channel: &Channel, settings: &Settings, stop: BorrowedFd<'_>) -> Result<Vec<Pair>, Fault> {
    said(channel, Offer::default().serve(channel, settings, stop))
}

/// As client: connects. A server that is refused is told why.
///
/// # Errors
/// All that the server can do wrong; no memory; `stop` became readable.
pub fn join(channel: &Channel, settings: &Settings, stop: BorrowedFd<'_>) -> Result<Vec<Pair>, Fault> {
    said(channel, try_join(channel, settings, stop))
}

/// Tells the peer why not.
fn said<T>(channel: &Channel, result: Result<T, Fault>) -> Result<T, Fault> {
    result.inspect_err(|fault| {
        if !matches!(fault, Fault::Closed | Fault::Disconnected) {
            let _ = channel.send(&Message::disconnect(*fault), None);
        }
    })
}

/// A ring that the client named.
struct Named {
    region: u16,
    offset: u32,
    log2_slots: u8,
    interrupt: OwnedFd,
}

/// What the client has said so far.
#[derive(Default)]
struct Offer {
    memories: Vec<Memory>,
    /// Bytes of all of them.
    bytes: u64,
    to_server: Vec<Named>,
    to_client: Vec<Named>,
}

impl Offer {
    fn serve(
        mut self,
        channel: &Channel,
        settings: &Settings,
        stop: BorrowedFd<'_>,
    ) -> Result<Vec<Pair>, Fault> {
        let hello = Message::Hello {
            name: settings.name,
            versions: (VERSION, VERSION),
            max_region: MAX_REGIONS as u16 - 1,
            max_to_client: settings.queues - 1,
            max_to_server: settings.queues - 1,
            max_log2_slots: settings.log2_slots,
        };
        channel.send(&hello, None)?;
        let (Message::Init { version, id, mode, secret, .. }, _) = channel.receive(stop)? else {
            return Err(Fault::Message);
        };
        let wanted = settings.secret.bytes();
        for (right, fault) in [
            (version == VERSION, Fault::Version),
            (id == settings.id, Fault::Id),
            (mode == ETHERNET, Fault::Mode),
            (wanted.is_empty() || secret.bytes() == wanted, Fault::Secret),
        ] {
            if !right {
                return Err(fault);
            }
        }
        channel.send(&Message::Ack, None)?;
        loop {
            match channel.receive(stop)? {
                (Message::AddRegion { index, size }, fd) => self.add_region(index, size, fd)?,
                (Message::AddRing { to_server, index, region, offset, log2_slots }, fd) => {
                    let interrupt = fd.ok_or(Fault::NoDescriptor)?;
                    let rings = if to_server { &mut self.to_server } else { &mut self.to_client };
                    if usize::from(index) != rings.len() || index >= settings.queues {
                        return Err(Fault::RingIndex);
                    }
                    rings.push(Named { region, offset, log2_slots, interrupt });
                }
                (Message::Connect { .. }, _) => break,
                _ => return Err(Fault::Message),
            }
            channel.send(&Message::Ack, None)?;
        }
        let pairs = self.connect(settings)?;
        channel.send(&Message::Connected { name: settings.name }, None)?;
        Ok(pairs)
    }

    fn add_region(&mut self, index: u16, size: u64, fd: Option<OwnedFd>) -> Result<(), Fault> {
        let file = fd.ok_or(Fault::NoDescriptor)?;
        if usize::from(index) != self.memories.len() || self.memories.len() == MAX_REGIONS {
            return Err(Fault::RegionIndex);
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > MAX_BYTES {
            return Err(Fault::RegionSize);
        }
        self.memories.push(Memory::foreign(file, size)?);
        Ok(())
    }

    fn connect(self, settings: &Settings) -> Result<Vec<Pair>, Fault> {
        let Self { memories, to_server, to_client, .. } = self;
        let queues = usize::from(settings.queues);
        if to_server.len() != queues || to_client.len() != queues {
            return Err(Fault::Queues);
        }
        let memories: Memories = memories.into();
        let find = |named: &Named| {
            let ring = Ring::find(&memories, named.region, named.offset, named.log2_slots)?;
            if ring.is_signed() { Ok(ring) } else { Err(Fault::Cookie) }
        };
        let mut pairs = Vec::with_capacity(queues);
        for (to_server, to_client) in to_server.into_iter().zip(to_client) {
            let (receiving, sending) = (find(&to_server)?, find(&to_client)?);
            let wake = signal(&to_server.interrupt).map(|_| to_server.interrupt)?;
            pairs.push(Pair {
                receiver: Receiver::new(receiving, Side::Server, wake),
                sender: Sender::new(sending, Side::Server, signal(&to_client.interrupt)?),
            });
        }
        Ok(pairs)
    }
}

/// The means to raise an eventfd, which is raised once, to see that it is one.
fn signal(interrupt: &OwnedFd) -> Result<Signal, Fault> {
    let own = interrupt.try_clone().map_err(|_| Fault::System)?;
    let signal = Signal::new(own).map_err(|_| Fault::System)?;
    signal.raise().map_err(|_| Fault::Interrupt)?;
    Ok(signal)
}

fn try_join(channel: &Channel, settings: &Settings, stop: BorrowedFd<'_>) -> Result<Vec<Pair>, Fault> {
    let (Message::Hello { versions, max_to_client, max_to_server, max_log2_slots, .. }, _) =
        channel.receive(stop)?
    else {
        return Err(Fault::Message);
    };
    if !(versions.0..=versions.1).contains(&VERSION) {
        return Err(Fault::Version);
    }
    // The numbers are the largest index: one less than there may be.
    if max_to_client.min(max_to_server) < settings.queues - 1 {
        return Err(Fault::Queues);
    }
    let log2_slots = settings.log2_slots.min(max_log2_slots).min(MAX_LOG2_SLOTS);
    let bytes = client_memory(settings.queues, log2_slots, settings.buffer_size).ok_or(Fault::System)?;
    let (memory, file) = Memory::own(bytes).map_err(|_| Fault::System)?;
    let memories: Memories = Arc::new([memory]);

    let tell = |message: &Message, fd: Option<BorrowedFd<'_>>| {
        channel.send(message, fd)?;
        match channel.receive(stop)? {
            (Message::Ack, _) => Ok(()),
            _ => Err(Fault::Message),
        }
    };
    let Settings { id, secret, name, .. } = *settings;
    tell(&Message::Init { version: VERSION, id, mode: ETHERNET, secret, name }, None)?;
    tell(&Message::AddRegion { index: 0, size: bytes as u64 }, Some(file.as_fd()))?;
    let mut sides = Vec::new();
    for (direction, to_server) in [(0, true), (1, false)] {
        for index in 0..settings.queues {
            let number = u32::from(direction * settings.queues + index);
            let offset = number * Ring::bytes(log2_slots) as u32;
            let first = buffers_at(settings.queues, log2_slots) as u32;
            let first = first + (number << log2_slots) * settings.buffer_size;
            let ring = Ring::find(&memories, 0, offset, log2_slots)?;
            ring.sign();
            let interrupt = OwnedFd::from(interrupt()?);
            let message = Message::AddRing { to_server, index, region: 0, offset, log2_slots };
            tell(&message, Some(interrupt.as_fd()))?;
            sides.push((ring, Side::Client { first, size: settings.buffer_size }, interrupt));
        }
    }
    let receiving = sides.split_off(usize::from(settings.queues));
    let mut pairs = Vec::with_capacity(usize::from(settings.queues));
    for ((ring, side, interrupt), (own, own_side, wake)) in sides.into_iter().zip(receiving) {
        pairs.push(Pair {
            receiver: Receiver::new(own, own_side, wake),
            sender: Sender::new(ring, side, signal(&interrupt)?),
        });
    }
    channel.send(&Message::Connect { name }, None)?;
    let (Message::Connected { .. }, _) = channel.receive(stop)? else { return Err(Fault::Message) };
    // Not before: DPDK's server sets both indexes to 0 when it connects.
    for pair in &mut pairs {
        pair.receiver.open();
    }
    Ok(pairs)
}

fn interrupt() -> Result<EventFd, Fault> {
    EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(|_| Fault::System)
}
