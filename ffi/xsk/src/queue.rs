//! A socket on one queue of a device, with its four rings.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use nix::errno::Errno;

use crate::ring::Ring;
use crate::umem::Sharer;
use crate::{BadDescriptor, Desc, Umem, XskError, socket};

/// How to open an [`XskQueue`].
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Entries of the receive and the transmit ring; fill and completion ring have twice as many. A power of two.
    pub ring_size: u32,
    /// Try zero-copy before copy mode. Useless on veth and tap, which have none; the try costs a registration of the UMEM.
    pub zero_copy: bool,
    /// Frames may span several descriptors (Linux 6.6); the program must be loaded with frags.
    pub multi_buffer: bool,
}

impl Default for Options {
    /// 1024 entries, zero-copy where there is, one descriptor per frame.
    fn default() -> Self {
        Self { ring_size: 1024, zero_copy: true, multi_buffer: false }
    }
}

/// What the kernel counted for a socket (`struct xdp_statistics`), since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Received and dropped for other reasons than those below: longer than a chunk, as a rule.
    pub rx_dropped: u64,
    /// Received and dropped as the receive ring was full.
    pub rx_ring_full: u64,
    /// Received and dropped as the fill ring was empty.
    pub rx_fill_ring_empty: u64,
    /// Descriptors in the transmit ring that are not in the UMEM.
    pub tx_invalid: u64,
}

/// An `AF_XDP` socket bound to one queue of a device. All methods return at once.
///
/// A chunk goes round: [`fill`](Self::fill) lends it to the kernel, [`rx`](Self::rx) gives it back with a frame;
/// [`tx`](Self::tx) lends a frame, of this or of another socket on the same [`Umem`], and [`complete`](Self::complete)
/// gives its chunk back. Chunks still lent when the socket is dropped are the caller's again.
#[derive(Debug)]
pub struct XskQueue {
    rx: Ring<Desc>,
    tx: Ring<Desc>,
    fill: Ring<u64>,
    completion: Ring<u64>,
    /// Shared so that the UMEM can tell whether it is open.
    socket: Arc<OwnedFd>,
    umem: Arc<Umem>,
    ifindex: u32,
    queue: u32,
    zero_copy: bool,
    fallback: Option<io::Error>,
}

impl XskQueue {
    /// Opens a socket on `queue` of the interface with this index. Frames come once a [`Program`](crate::Program) is
    /// attached there and [directed](crate::Program::direct) to the socket, and chunks are filled in.
    ///
    /// # Errors
    /// See [`XskError`].
    pub fn open(umem: &Arc<Umem>, ifindex: u32, queue: u32, options: Options) -> Result<Self, XskError> {
        if !options.ring_size.is_power_of_two() || !(64..=32_768).contains(&options.ring_size) {
            return Err(XskError::RingSize(options.ring_size));
        }
        let place = Place { umem, ifindex, queue, options };
        let mut fallback = None;
        if options.zero_copy {
            match place.open(libc::XDP_ZEROCOPY, None) {
                Ok(open) => return Ok(open),
                Err(XskError::System { source, .. }) => fallback = Some(source),
                Err(XskError::NoQueue { .. }) => fallback = Some(Errno::EINVAL.into()),
                Err(other) => return Err(other),
            }
        }
        let mut sharers = umem.sharers();
        sharers.retain(|sharer| sharer.socket.strong_count() > 0);
        let alike = sharers.iter().filter(|sharer| sharer.multi_buffer == options.multi_buffer);
        let mut opened = None;
        for first in alike.filter_map(|sharer| sharer.socket.upgrade()) {
            match place.open(libc::XDP_COPY, Some(&first)) {
                // Its device is gone, so it is bound no more.
                Err(XskError::System { source, .. }) if source.raw_os_error() == Some(libc::EBADF) => {}
                result => {
                    opened = Some(result);
                    break;
                }
            }
        }
        let mut opened = opened.unwrap_or_else(|| place.open(libc::XDP_COPY, None))?;
        opened.fallback = fallback;
        let socket: Weak<OwnedFd> = Arc::downgrade(&opened.socket);
        sharers.push(Sharer { socket, multi_buffer: options.multi_buffer });
        Ok(opened)
    }

    /// Lends free chunks to the kernel for frames to come; how many it took, from the first. Any address in a chunk names
    /// the chunk; one beyond the UMEM is skipped by the kernel.
    #[inline]
    pub fn fill(&mut self, chunks: &[u64]) -> usize {
        self.fill.produce(chunks)
    }

    /// Takes received frames; how many. They begin at a chunk's start + the UMEM's headroom +
    /// [`KERNEL_HEADROOM`](crate::KERNEL_HEADROOM).
    ///
    /// # Errors
    /// [`BadDescriptor`] when the first one does not lie in a chunk of the UMEM; it is taken out of the ring.
    #[inline]
    pub fn rx(&mut self, frames: &mut [Desc]) -> Result<usize, BadDescriptor> {
        let umem = &self.umem;
        let most = frames.len();
        take(&mut self.rx, most, |at, desc: Desc| {
            frames[at] = desc;
            umem.check(desc.addr, desc.len)
        })
    }

    /// Lends frames to the kernel to send; how many it took, from the first. Nothing is sent before
    /// [`wake_tx`](Self::wake_tx) if [`needs_wakeup_tx`](Self::needs_wakeup_tx), which in copy mode is always. One
    /// that is not within a chunk of the UMEM is counted in [`Stats::tx_invalid`] and completed by some kernels only.
    #[inline]
    pub fn tx(&mut self, frames: &[Desc]) -> usize {
        self.tx.produce(frames)
    }

    /// Takes back sent frames by the addresses that were given to [`tx`](Self::tx); how many.
    ///
    /// # Errors
    /// [`BadDescriptor`] when the first one does not lie in the UMEM; it is taken out of the ring.
    #[inline]
    pub fn complete(&mut self, chunks: &mut [u64]) -> Result<usize, BadDescriptor> {
        let umem = &self.umem;
        let most = chunks.len();
        take(&mut self.completion, most, |at, addr: u64| {
            chunks[at] = addr;
            umem.check(addr, 0)
        })
    }

    /// The driver has run out of filled chunks and waits for [`wake_rx`](Self::wake_rx).
    #[inline]
    pub fn needs_wakeup_rx(&self) -> bool {
        self.fill.needs_wakeup()
    }

    /// The kernel looks at the transmit ring only after [`wake_tx`](Self::wake_tx).
    #[inline]
    pub fn needs_wakeup_tx(&self) -> bool {
        self.tx.needs_wakeup()
    }

    /// Tells the kernel to look at the fill ring. Also a way to ask whether the interface is still there.
    ///
    /// # Errors
    /// [`is_down`](crate::is_down) and [`is_gone`](crate::is_gone).
    pub fn wake_rx(&self) -> io::Result<()> {
        socket::wake_rx(&self.socket).map_err(Into::into)
    }

    /// Tells the kernel to look at the transmit ring; in copy mode it sends up to 32 frames within the call. `true` when
    /// there is more to do and this should be called again, perhaps after [`complete`](Self::complete).
    /// A descriptor that is not valid ends the call.
    ///
    /// # Errors
    /// [`is_down`](crate::is_down) and [`is_gone`](crate::is_gone).
    pub fn wake_tx(&self) -> io::Result<bool> {
        match socket::wake_tx(&self.socket) {
            Ok(()) => Ok(false),
            Err(Errno::EAGAIN | Errno::EBUSY | Errno::ENOBUFS) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// What the kernel counted.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn stats(&self) -> io::Result<Stats> {
        let stats = socket::statistics(&self.socket)?;
        Ok(Stats {
            rx_dropped: stats.rx_dropped,
            rx_ring_full: stats.rx_ring_full,
            rx_fill_ring_empty: stats.rx_fill_ring_empty_descs,
            tx_invalid: stats.tx_invalid_descs,
        })
    }

    /// The device reads and writes the UMEM itself; else the kernel copies.
    pub fn zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// Why zero-copy was tried and is not used.
    pub fn fallback(&self) -> Option<&io::Error> {
        self.fallback.as_ref()
    }

    /// The interface's index.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// The number of the queue.
    pub fn queue(&self) -> u32 {
        self.queue
    }
}

impl AsFd for XskQueue {
    /// Readable when a frame was received.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Takes entries until one is bad; that one is taken and reported only when it is the first, so that the good ones before it
/// are not lost.
#[inline]
fn take<T: crate::ring::Entry>(
    ring: &mut Ring<T>,
    most: usize,
    mut check: impl FnMut(usize, T) -> Result<(), BadDescriptor>,
) -> Result<usize, BadDescriptor> {
    let mut bad = Ok(());
    let taken = ring.consume(most, |at, item| match check(at, item) {
        Ok(()) => bad.is_ok(),
        Err(error) if at == 0 => {
            bad = Err(error);
            true
        }
        Err(_) => false,
    });
    bad?;
    taken.map_err(|index| BadDescriptor { addr: index.into(), len: 0 })
}

/// Where a socket is to be opened.
struct Place<'a> {
    umem: &'a Arc<Umem>,
    ifindex: u32,
    queue: u32,
    options: Options,
}

impl Place<'_> {
    fn open(&self, mode: u16, share: Option<&OwnedFd>) -> Result<XskQueue, XskError> {
        let &Self { umem, ifindex, queue, options } = self;
        let at = |step| {
            move |errno: Errno| match errno {
                Errno::EPERM => XskError::Permission { ifindex },
                Errno::ENODEV => XskError::NoInterface(ifindex),
                Errno::EBUSY => XskError::Busy { ifindex, queue },
                Errno::EINVAL if step == "bind" => XskError::NoQueue { ifindex, queue },
                other => XskError::System { ifindex, step, source: other.into() },
            }
        };
        let socket = socket::create().map_err(at("socket"))?;
        if share.is_none() {
            socket::register(&socket, &umem.registration()).map_err(at("XDP_UMEM_REG"))?;
        }
        let (small, large) = (options.ring_size, options.ring_size * 2);
        for (ring, size, step) in [
            (libc::XDP_UMEM_FILL_RING, large, "XDP_UMEM_FILL_RING"),
            (libc::XDP_UMEM_COMPLETION_RING, large, "XDP_UMEM_COMPLETION_RING"),
            (libc::XDP_RX_RING, small, "XDP_RX_RING"),
            (libc::XDP_TX_RING, small, "XDP_TX_RING"),
        ] {
            socket::set_ring_size(&socket, ring, size).map_err(at(step))?;
        }
        let offsets = socket::offsets(&socket).map_err(at("XDP_MMAP_OFFSETS"))?;
        let unmapped = |source| XskError::System { ifindex, step: "mmap of a ring", source };
        let rx = Ring::map(&socket, libc::XDP_PGOFF_RX_RING as u64, offsets.rx, small).map_err(unmapped)?;
        let tx = Ring::map(&socket, libc::XDP_PGOFF_TX_RING as u64, offsets.tx, small).map_err(unmapped)?;
        let fill = Ring::map(&socket, libc::XDP_UMEM_PGOFF_FILL_RING, offsets.fr, large).map_err(unmapped)?;
        let completion =
            Ring::map(&socket, libc::XDP_UMEM_PGOFF_COMPLETION_RING, offsets.cr, large).map_err(unmapped)?;

        let several = if options.multi_buffer { libc::XDP_USE_SG } else { 0 };
        let flags = mode | libc::XDP_USE_NEED_WAKEUP | several;
        socket::bind(&socket, ifindex, queue, flags, share).map_err(at("bind"))?;
        Ok(XskQueue {
            rx,
            tx,
            fill,
            completion,
            socket: Arc::new(socket),
            umem: umem.clone(),
            ifindex,
            queue,
            zero_copy: mode == libc::XDP_ZEROCOPY,
            fallback: None,
        })
    }
}
