//! One queue of a TAP device.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use paceline_sys::{IfName, IfNameError, NetNs, VnetHdr, link};

use crate::Offloads;
use crate::ioctl::{self, WithPointer, WithRequest, WithValue};

/// Bytes of virtio-net header before each frame.
pub const HEADER: usize = VnetHdr::LEN;

/// How to open a [`Tap`].
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The device can have several queues ([`Tap::attach_queue`]). Must be as it was when an existing device was created.
    pub multi_queue: bool,
    /// The device stays when its last queue is closed. `false` leaves an existing device as it is; see [`Tap::set_persist`].
    pub persist: bool,
    /// Offloads to ask for; [`Tap::offloads`] tells which were granted.
    pub offloads: Offloads,
}

impl Default for Options {
    /// One queue, gone when closed, all offloads.
    fn default() -> Self {
        Self { multi_queue: false, persist: false, offloads: Offloads::ALL }
    }
}

/// Why a TAP could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// The name cannot be an interface's.
    #[error(transparent)]
    Name(#[from] IfNameError),
    /// The kernel has no TAP driver, or this process may not use it.
    #[error("/dev/net/tun: {0}: needs the module tun, and in a container the device")]
    Driver(io::Error),
    /// Not root.
    #[error("tap {0}: creating or opening it needs CAP_NET_ADMIN: run as root")]
    Permission(IfName),
    /// Another process has the device open, or a device with several queues has no room for one more.
    #[error("tap {0}: in use by another process")]
    Busy(IfName),
    /// The name belongs to an interface that is no TAP, or to one with another choice of [`Options::multi_queue`].
    #[error("tap {name}: exists and is no tap with {}", if *.multi_queue { "several queues" } else { "one queue" })]
    Mismatch {
        /// The name asked for.
        name: IfName,
        /// What was asked for.
        multi_queue: bool,
    },
    /// Another step was refused.
    #[error("tap {name}: {step}: {source}")]
    System {
        /// The name asked for.
        name: IfName,
        /// The ioctl that failed.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// One queue of a TAP device; never blocks. Closed on drop, and with its last queue a device that is not persistent goes.
///
/// `read` gives what the kernel sends out of the interface, `write` what it is to receive there. Each call is one frame with
/// [`HEADER`] bytes of [`VnetHdr`] before it. The send buffer is left unlimited, the driver's default: a written frame is
/// in the kernel's stack at once, so there is no queue to bound.
#[derive(Debug)]
pub struct Tap {
    file: File,
    /// When it was opened: it may have been renamed since.
    opened_as: IfName,
    multi_queue: bool,
    offloads: Offloads,
}

impl Tap {
    /// Creates the device `name` in the calling thread's network namespace, or attaches to it if it exists there without
    /// a process (or, with `multi_queue`, with room for one more queue). `%d` in `name` stands for the first free number.
    ///
    /// A new device is down, and its carrier is on while a queue is open.
    ///
    /// # Errors
    /// See [`TapError`].
    pub fn open(name: &str, options: Options) -> Result<Self, TapError> {
        let (file, name) = attach(IfName::pattern(name)?, options.multi_queue)?;
        let at = |step| move |source| TapError::System { name, step, source };
        // All three are the device's and survive in a persistent one: set each time, as we do not know who set them last.
        ioctl::with_pointer(&file, WithPointer::VnetHdrSize, HEADER as i32).map_err(at("TUNSETVNETHDRSZ"))?;
        ioctl::with_pointer(&file, WithPointer::VnetLittleEndian, 1).map_err(at("TUNSETVNETLE"))?;
        let grants = |step: &Offloads| ioctl::with_value(&file, WithValue::Offload, step.bits()).is_ok();
        let granted = options.offloads.steps_down().find(grants);
        if options.persist {
            ioctl::with_value(&file, WithValue::Persist, 1).map_err(at("TUNSETPERSIST"))?;
        }
        let offloads = granted.unwrap_or(Offloads::NONE);
        Ok(Self { file, opened_as: name, multi_queue: options.multi_queue, offloads })
    }

    /// A further queue of the same device, wherever it has been moved; the kernel spreads flows over the queues.
    ///
    /// # Errors
    /// [`TapError::Mismatch`] when the device was opened with one queue, [`TapError::Busy`] at 256 queues.
    pub fn attach_queue(&self) -> Result<Self, TapError> {
        if !self.multi_queue {
            return Err(TapError::Mismatch { name: self.opened_as, multi_queue: true });
        }
        let at = |step| move |source| TapError::System { name: self.opened_as, step, source };
        let name = self.name().map_err(at("TUNGETIFF"))?;
        let netns = self.netns().map_err(at("TUNGETDEVNETNS"))?;
        let (file, opened_as) = netns.run(|| attach(name, true)).map_err(at("setns"))??;
        Ok(Self { file, opened_as, ..*self })
    }

    /// Takes this queue out of service (`false`: nothing more to read, writes fail) or back in. Multi-queue devices only.
    ///
    /// # Errors
    /// EINVAL with one queue, or when it is so already.
    pub fn set_attached(&self, attached: bool) -> io::Result<()> {
        let mut request = self.opened_as.ifreq();
        let flag = if attached { libc::IFF_ATTACH_QUEUE } else { libc::IFF_DETACH_QUEUE };
        request.ifr_ifru.ifru_flags = flag as i16;
        ioctl::with_request(&self.file, WithRequest::SetQueue, &mut request)
    }

    /// The device's present name, also after it was renamed or moved.
    ///
    /// # Errors
    /// EBADFD when the device is gone.
    pub fn name(&self) -> io::Result<IfName> {
        let mut request = self.opened_as.ifreq();
        ioctl::with_request(&self.file, WithRequest::GetIff, &mut request)?;
        IfName::from_ifreq(&request).map_err(io::Error::other)
    }

    /// The namespace that the device is in now.
    ///
    /// # Errors
    /// EBADFD when the device is gone.
    pub fn netns(&self) -> io::Result<NetNs> {
        ioctl::device_netns(&self.file).map(NetNs::from)
    }

    /// The device's index in the namespace where it is now. A moment's work on another thread: not for the packet path.
    ///
    /// # Errors
    /// EBADFD when the device is gone.
    pub fn ifindex(&self) -> io::Result<u32> {
        let name = self.name()?;
        self.netns()?.run(|| link::index(name.as_str()))?
    }

    /// The offloads that were granted, out of those asked for.
    pub fn offloads(&self) -> Offloads {
        self.offloads
    }

    /// Whether the device stays when its last queue is closed.
    ///
    /// # Errors
    /// EBADFD when the device is gone.
    pub fn set_persist(&self, persist: bool) -> io::Result<()> {
        ioctl::with_value(&self.file, WithValue::Persist, u32::from(persist))
    }

    /// Whether the interface shows a carrier: `false` tells the container that the far side is down.
    ///
    /// # Errors
    /// EBADFD when the device is gone.
    pub fn set_carrier(&self, on: bool) -> io::Result<()> {
        ioctl::with_pointer(&self.file, WithPointer::Carrier, i32::from(on))
    }

    /// Reads one frame behind its header; how many bytes. A frame larger than `buf` is cut off: 64 KiB + 32 fit the largest.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, EINVAL when the header does not fit, [`is_gone`].
    #[inline]
    pub fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buf)
    }

    /// As [`read`](Self::read), scattered over `bufs`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    pub fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&self.file).read_vectored(bufs)
    }

    /// Writes one frame behind its header.
    ///
    /// # Errors
    /// EIO while the interface is down, EINVAL for a header that contradicts the frame or a frame of less than 14 bytes,
    /// [`is_gone`].
    #[inline]
    pub fn write(&self, frame: &[u8]) -> io::Result<usize> {
        (&self.file).write(frame)
    }

    /// As [`write`](Self::write), gathered from `bufs`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[inline]
    pub fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.file).write_vectored(bufs)
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The error says that the device itself was deleted, for instance with its namespace: no later call will do better.
pub fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBADFD)
}

/// Opens the driver and makes the descriptor a queue of `name`; the name that the device got.
fn attach(name: IfName, multi_queue: bool) -> Result<(File, IfName), TapError> {
    let mut driver = OpenOptions::new();
    driver.read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
    let file = driver.open("/dev/net/tun").map_err(TapError::Driver)?;
    let queues = if multi_queue { libc::IFF_MULTI_QUEUE } else { 0 };
    let mut request = name.ifreq();
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | queues) as i16;
    match ioctl::with_request(&file, WithRequest::SetIff, &mut request) {
        Ok(()) => Ok((file, IfName::from_ifreq(&request)?)),
        Err(source) => Err(match source.raw_os_error() {
            Some(libc::EPERM) => TapError::Permission(name),
            Some(libc::EBUSY | libc::E2BIG) => TapError::Busy(name),
            Some(libc::EINVAL) => TapError::Mismatch { name, multi_queue },
            _ => TapError::System { name, step: "TUNSETIFF", source },
        }),
    }
}
