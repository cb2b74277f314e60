//! The XDP program and its place on an interface.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use paceline_sys::link;

use crate::bpf::{self, Instruction, Kind, Map};
use crate::filter::{Filter, FilterHandle, Maps};
use crate::{XskError, XskQueue, shared};

const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// Where an XDP program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the kernel's stack, after a socket buffer was made: slower, for any device.
    Generic,
}

/// A loaded program that hands frames to the socket of the queue on which they came, and to the kernel's stack if there
/// is none. One for each interface, as queues of different interfaces have the same numbers.
///
/// It and its maps are nowhere but behind descriptors: when the process ends, in whatever way, the kernel has its device back.
#[derive(Debug)]
pub struct Program {
    map: Map,
    program: OwnedFd,
}

impl Program {
    /// Loads a program for an interface with up to `queues` queues that is ours alone: every frame goes to a socket.
    ///
    /// With `frags` it takes frames of several buffers, so the MTU may exceed a page; then a veth also keeps sending
    /// super-packets, which come without their segment size. Without `frags` attaching to a veth makes its other end cut
    /// them, so this is for sockets with [`Options::multi_buffer`](crate::Options::multi_buffer) and large MTUs only.
    ///
    /// # Errors
    /// [`XskError::Permission`] and [`XskError::System`].
    pub fn load(queues: u32, frags: bool) -> Result<Self, XskError> {
        Self::new(queues, frags, shared::everything)
    }

    /// Loads a program for an interface with up to `queues` queues that is shared with the kernel: what is in the filter goes
    /// to a socket, everything else to the kernel's stack. The filter can be changed by the handle.
    ///
    /// Frames must be in one buffer, as with [`load`](Self::load) without `frags`.
    ///
    /// # Errors
    /// [`XskError::Filter`], [`XskError::Permission`] and [`XskError::System`].
    pub fn shared(queues: u32, filter: &Filter) -> Result<(Self, FilterHandle), XskError> {
        let maps = Maps::new(filter)?;
        let program = Self::new(queues, false, |sockets| shared::program(sockets, &maps))?;
        Ok((program, FilterHandle::new(maps)))
    }

    fn new(queues: u32, frags: bool, code: impl FnOnce(&Map) -> Vec<Instruction>) -> Result<Self, XskError> {
        let at = |step| {
            move |source: io::Error| match source.raw_os_error() {
                Some(libc::EPERM) => XskError::Permission { ifindex: 0 },
                _ => XskError::System { ifindex: 0, step, source },
            }
        };
        let map = Map::new(Kind::Xsk, 4, 4, queues).map_err(at("bpf(BPF_MAP_CREATE)"))?;
        let program = bpf::load_xdp(&code(&map), frags).map_err(at("bpf(BPF_PROG_LOAD)"))?;
        Ok(Self { map, program })
    }

    /// Whether a frame that came on queue 0 would go to that queue's socket. It goes nowhere: this is to look at a filter.
    /// A first fragment is remembered as if it had come.
    ///
    /// # Errors
    /// [`XskError::System`] with EINVAL for a frame below 14 bytes or too large for one buffer.
    pub fn would_take(&self, frame: &[u8]) -> Result<bool, XskError> {
        const XDP_REDIRECT: u32 = 4;
        let verdict = bpf::run_xdp(&self.program, frame);
        let failed = |source| XskError::System { ifindex: 0, step: "bpf(BPF_PROG_TEST_RUN)", source };
        verdict.map(|verdict| verdict == XDP_REDIRECT).map_err(failed)
    }

    /// From now on `queue`'s frames go to the socket, until that is closed.
    ///
    /// # Errors
    /// [`XskError::System`] when its number is not below [`load`](Self::load)'s `queues`.
    pub fn direct(&self, queue: &XskQueue) -> Result<(), XskError> {
        let socket = queue.as_fd().as_raw_fd();
        self.map.update(&queue.queue().to_ne_bytes(), &socket.to_ne_bytes()).map_err(|source| {
            XskError::System { ifindex: queue.ifindex(), step: "bpf(BPF_MAP_UPDATE_ELEM)", source }
        })
    }

    /// Attaches the program to an interface, in the driver if that can, for as long as the [`Attachment`] lives.
    ///
    /// # Errors
    /// [`XskError::Attached`] when another program is there, [`XskError::NoInterface`], [`XskError::Permission`].
    pub fn attach(&self, ifindex: u32) -> Result<Attachment, XskError> {
        let failed = |source: io::Error| match source.raw_os_error() {
            Some(libc::EBUSY | libc::EEXIST) => XskError::Attached(ifindex),
            Some(libc::EPERM) => XskError::Permission { ifindex },
            // The kernel says EINVAL for this too.
            _ if link::name(ifindex).is_err() => XskError::NoInterface(ifindex),
            _ => XskError::System { ifindex, step: "bpf(BPF_LINK_CREATE)", source },
        };
        match bpf::link_xdp(&self.program, ifindex, XDP_FLAGS_DRV_MODE).map_err(failed) {
            Ok(link) => Ok(Attachment { _link: link, mode: Mode::Native, fallback: None }),
            Err(XskError::System { source, .. }) => {
                let link = bpf::link_xdp(&self.program, ifindex, XDP_FLAGS_SKB_MODE).map_err(failed)?;
                Ok(Attachment { _link: link, mode: Mode::Generic, fallback: Some(source) })
            }
            Err(other) => Err(other),
        }
    }
}

/// A program on an interface; dropping it, or the end of the process in whatever way, takes it off.
#[derive(Debug)]
pub struct Attachment {
    _link: OwnedFd,
    mode: Mode,
    fallback: Option<io::Error>,
}

impl Attachment {
    /// Where the program runs.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// With [`Mode::Generic`], why the driver does not run it.
    pub fn fallback(&self) -> Option<&io::Error> {
        self.fallback.as_ref()
    }
}
