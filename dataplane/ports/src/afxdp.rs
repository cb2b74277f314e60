//! `afxdp`: one queue of any interface of the kernel, through `AF_XDP`.
//!
//! The pool's memory is the UMEM of all these ports, so a frame that one received leaves by another without a copy of ours. A
//! frame must fit into a chunk: 3776 bytes of 4096, 1728 of 2048.
//!
//! No offload passes: at the far end of a veth the transmit checksum must be off, or frames come with sums that nobody
//! finished.
//!
//! A device can be shared with the kernel: then a [`Filter`] says which of its frames come here, and everything else goes to the
//! kernel as before. A device cannot be read in part, so all its queues must be served then.
//!
//! Which chunks the kernel has is kept in a [`Ledger`]; they are taken back only when the socket is closed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use paceline_buf::{Cache, DATA_OFFSET, Ledger, Packet, Pool, VECTOR_SIZE, Vector};
use paceline_graph::Reason;
use paceline_sys::{ethtool, link};
use paceline_wire::ethernet::HEADER_LEN;
use paceline_xsk::{
    Attachment, Desc, Filter, FilterHandle, KERNEL_HEADROOM, Mode, Options, Program, Umem, XskError,
    XskQueue, is_down, is_gone,
};

use crate::{Io, LinkState, Port, PortError};

/// Chunks are lent in batches of this many at least.
const REFILL: usize = 32;
/// Calls to wake the kernel for one vector. In copy mode each sends 32 frames.
const WAKES: usize = 2 * VECTOR_SIZE / 32;

const GONE: &str = "the device was deleted";
const DOWN: &str = "the device is down";
const BROKEN: &str = "the kernel named memory that it was not lent: open the port again";

/// The memory that all AF_XDP ports on one pool share.
#[derive(Clone)]
pub struct AfxdpContext {
    pool: Arc<Pool>,
    umem: Arc<Umem>,
}

impl AfxdpContext {
    /// Describes the pool's memory; it is registered with the kernel by the first port.
    ///
    /// # Errors
    /// None for a pool as it can be made.
    pub fn new(pool: &Arc<Pool>) -> Result<AfxdpContext, PortError> {
        // Received frames start where those of all ports do.
        let headroom = DATA_OFFSET as u32 - KERNEL_HEADROOM;
        let umem = Umem::new(Arc::clone(pool.region()), pool.chunk_size() as u32, headroom);
        let umem = umem.map_err(|source| PortError::Xsk { device: "pool".into(), source })?;
        Ok(AfxdpContext { pool: Arc::clone(pool), umem: Arc::new(umem) })
    }
}

/// Which device to open, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AfxdpConfig {
    /// Name of the interface in the calling thread's network namespace.
    pub device: String,
    /// Queues, from the first: one for each worker that shall serve it. Frames of further queues stay with the kernel.
    pub queues: usize,
    /// Frames that may wait in each direction, a power of two from 64 to 32768. As many chunks are lent to the kernel for
    /// each queue.
    pub ring_size: u32,
    /// Try zero-copy, which network cards may have; veths and TAPs have it not.
    pub zero_copy: bool,
    /// Which frames are ours, of a device that is shared with the kernel; `None`: all of them.
    pub filter: Option<Filter>,
}

impl Default for AfxdpConfig {
    /// One queue, 512 frames, no zero-copy, a device of our own.
    fn default() -> Self {
        AfxdpConfig { device: String::new(), queues: 1, ring_size: 512, zero_copy: false, filter: None }
    }
}

/// The XDP program of an interface, shared by the ports on its queues.
struct Redirect {
    attachment: Attachment,
    filter: Option<FilterHandle>,
    _program: Program,
}

/// One queue of an interface.
pub struct AfxdpPort {
    /// `None` after [`close`](Port::close).
    queue: Option<XskQueue>,
    redirect: Option<Arc<Redirect>>,
    ledger: Ledger,
    /// Chunks to be lent for frames to come, and how many are.
    fill_level: usize,
    filled: usize,
    frames: Box<[Desc; VECTOR_SIZE]>,
    addresses: Box<[u64; VECTOR_SIZE]>,
    /// The kernel has not sent all frames yet.
    unsent: bool,
    fault: Option<&'static str>,
    /// What the kernel dropped: in all, and of that what still has to be counted.
    missed: u64,
    uncounted: u64,
    /// The device's address when it was opened.
    station: Option<[u8; 6]>,
}

impl AfxdpPort {
    /// Opens the first queues of a device, one port for each, and attaches the XDP program.
    ///
    /// # Errors
    /// No such device or queue, another program or socket there, no privilege, a ring size out of range; for a shared device, a
    /// filter that is too large, or queues that would have no port.
    pub fn open(context: &AfxdpContext, config: &AfxdpConfig) -> Result<Vec<AfxdpPort>, PortError> {
        let device = || config.device.clone();
        let failed = |source: XskError| PortError::Xsk { device: device(), source };
        if !(1..=256).contains(&config.queues) {
            return Err(PortError::Queues { device: device(), queues: config.queues });
        }
        let ifindex =
            link::index(&config.device).map_err(|source| PortError::Device { device: device(), source })?;
        let name = config.device.parse().ok();
        let station = name.and_then(|name| link::mac(&name).ok());
        let options =
            Options { ring_size: config.ring_size, zero_copy: config.zero_copy, multi_buffer: false };
        let (program, filter) = match &config.filter {
            None => (Program::load(config.queues as u32, false).map_err(failed)?, None),
            Some(filter) => {
                let has = name.and_then(|name| ethtool::receive_queues(&name).ok()).unwrap_or(1);
                if has as usize > config.queues {
                    return Err(PortError::Uncovered { device: device(), queues: config.queues, has });
                }
                let (program, handle) = Program::shared(config.queues as u32, filter).map_err(failed)?;
                (program, Some(handle))
            }
        };
        let open = |queue: usize| {
            let queue = XskQueue::open(&context.umem, ifindex, queue as u32, options)?;
            program.direct(&queue).map(|()| queue)
        };
        let queues = (0..config.queues).map(open).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        // Chunks first, so that no frame that comes finds none.
        let mut cache = context.pool.cache();
        let mut ports: Vec<_> =
            queues.into_iter().map(|queue| AfxdpPort::new(context, queue, config)).collect();
        for port in &mut ports {
            port.refill(&mut cache);
        }
        match program.attach(ifindex) {
            Ok(attachment) => {
                let redirect = Arc::new(Redirect { attachment, filter, _program: program });
                for port in &mut ports {
                    port.redirect = Some(Arc::clone(&redirect));
                    port.station = station;
                }
                Ok(ports)
            }
            Err(source) => {
                for port in &mut ports {
                    port.release(&mut cache);
                }
                Err(failed(source))
            }
        }
    }

    fn new(context: &AfxdpContext, queue: XskQueue, config: &AfxdpConfig) -> AfxdpPort {
        AfxdpPort {
            queue: Some(queue),
            redirect: None,
            ledger: Ledger::new(&context.pool),
            fill_level: config.ring_size as usize,
            filled: 0,
            frames: Box::new([Desc::default(); VECTOR_SIZE]),
            addresses: Box::new([0; VECTOR_SIZE]),
            unsent: false,
            fault: None,
            missed: 0,
            uncounted: 0,
            station: None,
        }
    }

    /// Takes all chunks back. The socket is closed first: until then the kernel writes to those that it was lent.
    fn release(&mut self, cache: &mut Cache) {
        self.redirect = None;
        self.queue = None;
        self.filled = 0;
        self.ledger.reclaim_all(|packet| cache.free(packet));
    }

    /// Whether the XDP program runs in the driver, and not behind it in the kernel's stack.
    pub fn is_native(&self) -> bool {
        self.redirect.as_ref().is_some_and(|redirect| redirect.attachment.mode() == Mode::Native)
    }

    /// Whether the device itself reads and writes the pool's memory.
    pub fn is_zero_copy(&self) -> bool {
        self.queue.as_ref().is_some_and(XskQueue::zero_copy)
    }

    /// What changes which frames are ours, for a device that is shared with the kernel. It does nothing after the port is closed.
    pub fn filter(&self) -> Option<FilterHandle> {
        self.redirect.as_ref().and_then(|redirect| redirect.filter.clone())
    }

    /// Lends chunks for frames to come.
    #[inline]
    fn refill(&mut self, cache: &mut Cache) {
        let Some(queue) = &mut self.queue else { return };
        while self.filled + REFILL <= self.fill_level {
            let want = (self.fill_level - self.filled).min(VECTOR_SIZE);
            let mut count = 0;
            while count < want
                && let Some(packet) = cache.alloc()
            {
                match self.ledger.lend(packet) {
                    Ok(address) => self.addresses[count] = address,
                    Err(packet) => {
                        cache.free(packet);
                        break;
                    }
                }
                count += 1;
            }
            let lent = queue.fill(&self.addresses[..count]);
            self.filled += lent;
            reclaim(&mut self.ledger, cache, &self.addresses[lent..count]);
            if lent < want {
                break;
            }
        }
        if queue.needs_wakeup_rx() {
            // A device that is down says so again to `state`.
            let _ = queue.wake_rx();
        }
    }

    /// Takes back the chunks of frames that were sent.
    #[inline]
    fn reap(&mut self, cache: &mut Cache) {
        let Some(queue) = &mut self.queue else { return };
        loop {
            match queue.complete(&mut self.addresses[..]) {
                Ok(count) => {
                    reclaim(&mut self.ledger, cache, &self.addresses[..count]);
                    if count < VECTOR_SIZE {
                        return;
                    }
                }
                Err(_) => return self.fault = Some(BROKEN),
            }
        }
    }

    /// Lets the kernel send what lies in the ring.
    #[inline]
    fn kick(&mut self, cache: &mut Cache) {
        for _ in 0..WAKES {
            let Some(queue) = self.queue.as_ref().filter(|queue| queue.needs_wakeup_tx()) else {
                self.unsent = false;
                return;
            };
            match queue.wake_tx() {
                Ok(more) => self.unsent = more,
                Err(error) => {
                    self.fault = Some(fault(&error));
                    return;
                }
            }
            self.reap(cache);
            if !self.unsent {
                return;
            }
        }
    }
}

/// Takes chunks back that were lent and not used.
#[inline]
fn reclaim(ledger: &mut Ledger, cache: &mut Cache, addresses: &[u64]) {
    for &address in addresses {
        if let Some(packet) = ledger.reclaim(address) {
            cache.free(packet);
        }
    }
}

/// A packet of one segment that the kernel can be pointed to.
#[inline]
fn sendable(io: &mut Io<'_>, packet: Packet) -> Option<Packet> {
    let reason = if packet.total_len() < HEADER_LEN {
        Reason::Runt
    } else if packet.is_chained() {
        return flatten(io, packet);
    } else {
        return Some(packet);
    };
    io.drop(packet, reason);
    None
}

/// Copies the segments together: tails may be shared, and cannot be lent to a device.
fn flatten(io: &mut Io<'_>, packet: Packet) -> Option<Packet> {
    let total = packet.total_len();
    let Some(mut flat) = io.cache.alloc() else {
        io.drop(packet, Reason::NoBuffers);
        return None;
    };
    let room = flat.room_mut();
    if total > room.len() {
        io.cache.free(flat);
        io.drop(packet, Reason::TxTooLong);
        return None;
    }
    packet.copy_to(0, &mut room[..total]);
    flat.set_len(total);
    io.cache.free(packet);
    Some(flat)
}

#[cold]
fn fault(error: &io::Error) -> &'static str {
    match error {
        error if is_gone(error) => GONE,
        error if is_down(error) => DOWN,
        _ => "the kernel refuses to send",
    }
}

impl Port for AfxdpPort {
    fn kind(&self) -> &'static str {
        "afxdp"
    }

    fn station(&self) -> Option<[u8; 6]> {
        self.station
    }

    #[inline]
    fn receive(&mut self, io: &mut Io<'_>, out: &mut Vector) {
        if self.uncounted > 0 {
            io.missed(Reason::NoBuffers, std::mem::take(&mut self.uncounted));
        }
        if self.unsent {
            self.kick(io.cache);
        }
        let Some(queue) = &mut self.queue else { return };
        let Ok(count) = queue.rx(&mut self.frames[..out.room()]) else { return self.fault = Some(BROKEN) };
        self.filled = self.filled.saturating_sub(count);
        for frame in &self.frames[..count] {
            let Some(packet) = self.ledger.receive(frame.addr, frame.len) else {
                self.fault = Some(BROKEN);
                continue;
            };
            if packet.len() < HEADER_LEN {
                io.drop(packet, Reason::Runt);
            } else if let Err(packet) = out.push(packet) {
                io.drop(packet, Reason::GraphFull);
            }
        }
        self.refill(io.cache);
    }

    #[inline]
    fn transmit(&mut self, io: &mut Io<'_>, vector: &mut Vector) {
        if self.queue.is_none() || self.fault.is_some() {
            // What lies in the ring cannot be taken out again, so nothing more is put in.
            io.drop_all(vector, Reason::PortDown);
            return;
        }
        self.reap(io.cache);
        let mut count = 0;
        let (frames, ledger) = (&mut self.frames, &mut self.ledger);
        vector.drain(|packet| {
            let Some(packet) = sendable(io, packet) else { return };
            let len = packet.len() as u32;
            match ledger.lend(packet) {
                Ok(addr) => {
                    frames[count] = Desc { addr, len, options: 0 };
                    count += 1;
                }
                Err(packet) => io.drop(packet, Reason::TxError),
            }
        });
        let sent = self.queue.as_mut().map_or(0, |queue| queue.tx(&self.frames[..count]));
        for frame in &self.frames[sent..count] {
            if let Some(packet) = self.ledger.receive(frame.addr, frame.len) {
                io.drop(packet, Reason::TxFull);
            }
        }
        self.kick(io.cache);
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.queue.as_ref().map(AsFd::as_fd)
    }

    fn state(&mut self) -> LinkState {
        let Some(queue) = &self.queue else { return LinkState::Down("closed") };
        if self.fault != Some(BROKEN) {
            self.fault = queue.wake_rx().err().map(|error| fault(&error));
        }
        if let Ok(stats) = queue.stats() {
            // The first counts those for which no chunk was lent, the second those that this worker took too late.
            let missed = stats.rx_dropped + stats.rx_ring_full;
            self.uncounted += missed.saturating_sub(self.missed);
            self.missed = missed;
        }
        self.fault.map_or(LinkState::Up, LinkState::Down)
    }

    fn close(&mut self, io: &mut Io<'_>) {
        self.release(io.cache);
    }
}
