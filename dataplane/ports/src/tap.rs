//! `tap`: one queue of a TAP device, for containers and for the host's own stack.
//!
//! A frame is one system call, and the system call is what it costs. By measurement (Linux 6.18), read(2) of a small frame
//! takes 630 ns, readv(2) 730 ns, and 800 ns with places for 64 KiB in chunks. So small frames are read into one large buffer of
//! the port and copied to a chunk, which takes 10 ns; once a super-packet came, frames are read straight into chains of
//! chunks, until so many small ones have followed that the stream seems to have ended.

use std::os::fd::{AsFd, BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use paceline_buf::{Packet, Vector};
use paceline_graph::{Capabilities, Reason};
use paceline_tap::{Offloads, Options, Tap};

use crate::tails::Tails;
use crate::vnet::{self, ENOUGH, HEADER, HEADROOM, LARGEST};
use crate::{Io, LinkState, Port, PortError, frame};

/// Small frames after which a port no longer expects super-packets.
const PATIENCE: u32 = 64;

/// Which device to open, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapConfig {
    /// Name of the device in the calling thread's network namespace; `%d` in it stands for the first free number.
    pub device: String,
    /// Queues, 1 to 256: one for each worker that shall serve it. The same as when a persistent device was made.
    pub queues: usize,
    /// The device stays when the switch ends.
    pub persist: bool,
    /// What the kernel may leave for us to do.
    pub offloads: Offloads,
}

impl Default for TapConfig {
    /// One queue of `tap%d`, with all offloads, gone with the port.
    fn default() -> Self {
        TapConfig { device: "tap%d".into(), queues: 1, persist: false, offloads: Offloads::ALL }
    }
}

/// One queue of a TAP device.
pub struct TapPort {
    tap: Tap,
    tails: Tails,
    /// Where small frames are read to.
    staging: Box<[u8]>,
    /// Small frames that may still come before super-packets are no longer expected; 0: they are not.
    patience: u32,
}

/// What one read brought.
enum Read {
    Frame(Packet),
    /// A frame that was dropped, and counted.
    Dropped,
    Nothing,
}

impl TapPort {
    /// Opens or creates the device: one port for each queue.
    ///
    /// # Errors
    /// A name that is none, a device of another kind or in use, no privilege.
    pub fn open(config: &TapConfig) -> Result<Vec<TapPort>, PortError> {
        if !(1..=256).contains(&config.queues) {
            return Err(PortError::Queues { device: config.device.clone(), queues: config.queues });
        }
        let multi_queue = config.queues > 1;
        let first = Tap::open(
            &config.device,
            Options { multi_queue, persist: config.persist, offloads: config.offloads },
        )?;
        let further = (1..config.queues).map(|_| first.attach_queue()).collect::<Result<Vec<_>, _>>()?;
        Ok(std::iter::once(first).chain(further).map(TapPort::new).collect())
    }

    /// A port on a queue that is open.
    pub fn new(tap: Tap) -> TapPort {
        TapPort { tap, tails: Tails::default(), staging: vec![0; LARGEST].into(), patience: 0 }
    }

    /// The queue.
    pub fn tap(&self) -> &Tap {
        &self.tap
    }

    /// A frame that is expected to be small.
    #[inline]
    fn read_small(&mut self, io: &mut Io<'_>) -> Read {
        let Ok(len) = self.tap.read(&mut self.staging) else { return Read::Nothing };
        let Some(mut packet) = io.cache.alloc() else { return no_buffers(io) };
        packet.reserve(HEADROOM);
        if !frame::fill_chain(io.cache, &mut packet, &self.staging[..len.min(LARGEST)]) {
            io.cache.free(packet);
            return no_buffers(io);
        }
        if packet.is_chained() {
            self.patience = PATIENCE;
        }
        accept(io, packet)
    }

    /// A frame that may be a super-packet.
    fn read_chained(&mut self, io: &mut Io<'_>) -> Read {
        let Some(mut packet) = io.cache.alloc() else { return self.read_small(io) };
        packet.reserve(HEADROOM);
        if !self.tails.post(io.cache, &mut packet) {
            io.cache.free(packet);
            self.tails.release(io.cache);
            return self.read_small(io);
        }
        let Ok(len) = self.tails.offer(&mut packet, |slices| self.tap.read_vectored(slices)) else {
            io.cache.free(packet);
            return Read::Nothing;
        };
        self.tails.chain(&mut packet, len);
        self.patience = if packet.is_chained() { PATIENCE } else { self.patience - 1 };
        accept(io, packet)
    }

    /// Sends one packet; the header goes into its headroom.
    #[inline]
    fn send(&self, packet: &mut Packet) -> Result<(), Reason> {
        let header = vnet::header(packet);
        let sent = if !packet.is_chained()
            && let Ok(room) = packet.prepend(HEADER)
        {
            room[..HEADER].copy_from_slice(&header);
            // What is refused is counted as it was given.
            self.tap.write(packet.data()).inspect_err(|_| packet.trim_front(HEADER))
        } else {
            vnet::gather(&header, packet, |pieces| self.tap.write_vectored(pieces))?
        };
        sent.map(drop).map_err(|error| vnet::refusal(&error, packet))
    }
}

#[inline]
fn accept(io: &mut Io<'_>, mut packet: Packet) -> Read {
    match vnet::accept(&mut packet) {
        Ok(()) => Read::Frame(packet),
        Err(reason) => {
            io.drop(packet, reason);
            Read::Dropped
        }
    }
}

#[cold]
fn no_buffers(io: &mut Io<'_>) -> Read {
    io.missed(Reason::NoBuffers, 1);
    Read::Dropped
}

impl Port for TapPort {
    fn kind(&self) -> &'static str {
        "tap"
    }

    #[inline]
    fn receive(&mut self, io: &mut Io<'_>, out: &mut Vector) {
        let mut bytes = 0;
        for _ in 0..out.room() {
            if bytes >= ENOUGH {
                break;
            }
            let read = if self.patience == 0 { self.read_small(io) } else { self.read_chained(io) };
            match read {
                Read::Frame(packet) => {
                    bytes += packet.total_len();
                    if let Err(packet) = out.push(packet) {
                        io.drop(packet, Reason::GraphFull);
                    }
                }
                Read::Dropped => {}
                Read::Nothing => break,
            }
        }
        self.tails.release(io.cache);
    }

    #[inline]
    fn transmit(&mut self, io: &mut Io<'_>, vector: &mut Vector) {
        let packets = vector.as_mut_slice();
        for at in 0..packets.len() {
            if let Err(reason) = self.send(&mut packets[at]) {
                if vnet::is_lasting(reason) {
                    io.refuse(&packets[at..], reason);
                    break;
                }
                io.refuse(&packets[at..=at], reason);
            }
        }
        io.cache.free_all(vector);
    }

    fn capabilities(&self) -> Capabilities {
        vnet::capabilities()
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.tap.as_fd())
    }

    /// A TAP is writable exactly while its interface is up, and in error when it was deleted (`tun_chr_poll`).
    fn state(&mut self) -> LinkState {
        let mut ask = [PollFd::new(self.tap.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut ask, PollTimeout::ZERO).map(|_| ask[0].revents().unwrap_or(PollFlags::empty())) {
            Ok(events) if events.contains(PollFlags::POLLERR) => LinkState::Down("the device was deleted"),
            Ok(events) if !events.contains(PollFlags::POLLOUT) => LinkState::Down("the device is down"),
            _ => LinkState::Up,
        }
    }
}
