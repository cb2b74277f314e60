//! The XDP program and its place on an interface.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use paceline_sys::link;

use crate::bpf::{self, Instruction};
use crate::{XskError, XskQueue};

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

/// A loaded program that hands every frame to the socket of the queue on which it came, and to the kernel's stack if there
/// is none. One for each interface, as queues of different interfaces have the same numbers.
#[derive(Debug)]
pub struct Program {
    map: OwnedFd,
    program: OwnedFd,
}

impl Program {
    /// Loads a program for an interface with up to `queues` queues.
    ///
    /// With `frags` it takes frames of several buffers, so the MTU may exceed a page; then a veth also keeps sending
    /// super-packets, which come without their segment size. Without `frags` attaching to a veth makes its other end cut
    /// them, so this is for sockets with [`Options::multi_buffer`](crate::Options::multi_buffer) and large MTUs only.
    ///
    /// # Errors
    /// [`XskError::Permission`] and [`XskError::System`].
    pub fn load(queues: u32, frags: bool) -> Result<Self, XskError> {
        let at = |step| {
            move |source: io::Error| match source.raw_os_error() {
                Some(libc::EPERM) => XskError::Permission { ifindex: 0 },
                _ => XskError::System { ifindex: 0, step, source },
            }
        };
        let map = bpf::create_xskmap(queues).map_err(at("bpf(BPF_MAP_CREATE)"))?;
        let program = bpf::load_xdp(&redirect_to(&map), frags).map_err(at("bpf(BPF_PROG_LOAD)"))?;
        Ok(Self { map, program })
    }

    /// From now on `queue`'s frames go to the socket, until that is closed.
    ///
    /// # Errors
    /// [`XskError::System`] when its number is not below [`load`](Self::load)'s `queues`.
    pub fn direct(&self, queue: &XskQueue) -> Result<(), XskError> {
        bpf::update(&self.map, queue.queue(), queue.as_fd()).map_err(|source| XskError::System {
            ifindex: queue.ifindex(),
            step: "bpf(BPF_MAP_UPDATE_ELEM)",
            source,
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

/// `return bpf_redirect_map(&map, ctx->rx_queue_index, XDP_PASS)`.
fn redirect_to(map: &OwnedFd) -> [Instruction; 6] {
    const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
    const LOAD_WIDE: u8 = 0x18; // BPF_LD | BPF_IMM | BPF_DW, two slots
    const MOVE: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
    const CALL: u8 = 0x85; // BPF_JMP | BPF_CALL
    const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT
    const PSEUDO_MAP_FD: u8 = 1;
    const RX_QUEUE_INDEX: i16 = 16; // in struct xdp_md
    const REDIRECT_MAP: i32 = 51;
    const XDP_PASS: i32 = 2;

    let instruction = |code, destination: u8, source: u8, offset, immediate| Instruction {
        code,
        registers: destination | source << 4,
        offset,
        immediate,
    };
    [
        instruction(LOAD_WORD, 2, 1, RX_QUEUE_INDEX, 0),
        instruction(LOAD_WIDE, 1, PSEUDO_MAP_FD, 0, map.as_raw_fd()),
        instruction(0, 0, 0, 0, 0),
        instruction(MOVE, 3, 0, 0, XDP_PASS),
        instruction(CALL, 0, 0, 0, REDIRECT_MAP),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}
