//! A socket on one interface, read and written in batches.

use std::ffi::{c_int, c_uint};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use paceline_sys::VnetHdr;

use crate::PacketError;

/// Bytes of virtio-net header before each frame.
pub const HEADER: usize = VnetHdr::LEN;

/// Most frames that one call moves; longer batches are cut off.
pub const BATCH: usize = 64;

/// What may wait in the socket, in bytes of the kernel's accounting, which counts a super-packet of 64 KiB as about 70:
/// more than a hundred of these. The default would hold three.
const RECEIVE_BUFFER: c_int = 8 << 20;

/// An 802.1Q or 802.1ad tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VlanTag {
    /// The `EtherType` of the tag: 0x8100 or 0x88a8.
    pub tpid: u16,
    /// Priority, DEI and VLAN ID.
    pub tci: u16,
}

impl VlanTag {
    /// The four bytes that go after the source MAC.
    pub fn to_bytes(self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.tpid.to_be_bytes(), self.tci.to_be_bytes());
        [a, b, c, d]
    }
}

/// A place for one received frame.
#[derive(Debug)]
pub struct RxSlot<'a, 'b> {
    /// In: where header and frame go, one after the other. Together [`HEADER`] + 14 + 65536 bytes fit the largest.
    pub bufs: &'a mut [IoSliceMut<'b>],
    /// Out: bytes written, the header included.
    pub len: usize,
    /// Out: the outermost VLAN tag, which the kernel has taken out of the frame. To put it back, insert
    /// [`VlanTag::to_bytes`] at byte 12 and [shift](VnetHdr::shift) the header by 4.
    pub vlan: Option<VlanTag>,
    /// Out: the frame was longer than `bufs`; its end is lost.
    pub truncated: bool,
}

impl<'a, 'b> RxSlot<'a, 'b> {
    /// An empty slot.
    pub fn new(bufs: &'a mut [IoSliceMut<'b>]) -> Self {
        Self { bufs, len: 0, vlan: None, truncated: false }
    }
}

/// The one kind of ancillary data that is asked for: `PACKET_AUXDATA`, as the kernel lays it out on 64 bits.
#[repr(C)]
#[derive(Clone, Copy)]
struct Control {
    header: libc::cmsghdr,
    aux: libc::tpacket_auxdata,
    /// Up to the next multiple of 8, as `CMSG_SPACE` has it.
    padding: u32,
}

/// A packet socket on one interface, promiscuous; never blocks.
///
/// It sees every frame that the interface receives, none that it sends. Both ways each frame has [`HEADER`] bytes of
/// [`VnetHdr`] before it, as on a TAP, and may be a super-packet of 64 KiB with an open checksum.
/// Frames go through the interface's queueing discipline (a veth has none): `PACKET_QDISC_BYPASS` was measured to gain
/// nothing on a veth, hides what is sent from tcpdump, and drops super-packets on a device without segmentation offload.
pub struct PacketSocket {
    fd: OwnedFd,
    messages: Box<[libc::mmsghdr; BATCH]>,
    controls: Box<[Control; BATCH]>,
}

// SAFETY: the pointers in `messages` are written and used within one call and mean nothing between calls.
unsafe impl Send for PacketSocket {}

impl PacketSocket {
    /// Opens a socket on the interface with this index in the calling thread's network namespace.
    /// It stays bound to that interface when that is renamed, and to that namespace.
    ///
    /// # Errors
    /// See [`PacketError`].
    pub fn open(ifindex: u32) -> Result<Self, PacketError> {
        let at = |step| {
            move |errno: Errno| match errno {
                Errno::EPERM => PacketError::Permission,
                Errno::ENODEV => PacketError::NoInterface(ifindex),
                other => PacketError::System { ifindex, step, source: other.into() },
            }
        };
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // Protocol 0: nothing is received until bind, when all options are set.
        // SAFETY: socket takes numbers only.
        let fd = Errno::result(unsafe { libc::socket(libc::AF_PACKET, kind, 0) }).map_err(at("socket"))?;
        // SAFETY: a new descriptor that nobody else has.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };

        set(&fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &RECEIVE_BUFFER).map_err(at("SO_RCVBUFFORCE"))?;
        set(&fd, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1).map_err(at("PACKET_VNET_HDR"))?;
        set(&fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1).map_err(at("PACKET_AUXDATA"))?;
        set(&fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1).map_err(at("PACKET_IGNORE_OUTGOING"))?;
        let promiscuous = libc::packet_mreq {
            mr_ifindex: ifindex.cast_signed(),
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        set(&fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &promiscuous)
            .map_err(at("PACKET_ADD_MEMBERSHIP"))?;
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: ifindex.cast_signed(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let len = size_of_val(&address) as libc::socklen_t;
        // SAFETY: `address` is a sockaddr_ll of `len` bytes.
        let bound = unsafe { libc::bind(fd.as_raw_fd(), ptr::from_ref(&address).cast(), len) };
        Errno::result(bound).map_err(at("bind"))?;

        // SAFETY: both are integers and pointers, for which zero is a value.
        let (message, control) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Ok(Self { fd, messages: Box::new([message; BATCH]), controls: Box::new([control; BATCH]) })
    }

    /// Receives up to `slots.len()` frames, at most [`BATCH`], into the first slots; how many.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, [`is_down`](crate::is_down) (once for each time the interface goes down) and
    /// [`is_gone`](crate::is_gone).
    pub fn recv_batch(&mut self, slots: &mut [RxSlot<'_, '_>]) -> io::Result<usize> {
        let room = slots.len().min(BATCH);
        for ((message, control), slot) in
            self.messages.iter_mut().zip(self.controls.iter_mut()).zip(&mut *slots)
        {
            message.msg_hdr.msg_iov = slot.bufs.as_mut_ptr().cast();
            message.msg_hdr.msg_iovlen = slot.bufs.len();
            message.msg_hdr.msg_control = ptr::from_mut(control).cast();
            message.msg_hdr.msg_controllen = size_of::<Control>();
            control.header.cmsg_len = 0;
        }
        // SAFETY: the first `room` messages point to the slots' buffers (IoSliceMut has the layout of iovec) and to our
        // controls; all of them outlive the call.
        let got = unsafe {
            let messages = self.messages.as_mut_ptr();
            libc::recvmmsg(self.fd.as_raw_fd(), messages, room as c_uint, libc::MSG_DONTWAIT, ptr::null_mut())
        };
        let got = self.moved(got)?;
        for ((message, control), slot) in self.messages.iter().zip(self.controls.iter()).zip(slots).take(got)
        {
            slot.len = message.msg_len as usize;
            slot.truncated = message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            slot.vlan = control.vlan();
        }
        Ok(got)
    }

    /// Sends up to `frames.len()` frames, at most [`BATCH`]; how many were sent. Each is the pieces of a header and the
    /// frame, one after the other.
    ///
    /// # Errors
    /// An error is about the first frame, and none was sent: EMSGSIZE for a frame longer than the MTU that is no
    /// super-packet, EINVAL for a header that contradicts its frame, `WouldBlock` or ENOBUFS for want of room,
    /// [`is_down`](crate::is_down) and [`is_gone`](crate::is_gone).
    pub fn send_batch<'a>(&mut self, frames: &[impl AsRef<[IoSlice<'a>]>]) -> io::Result<usize> {
        let count = frames.len().min(BATCH);
        for (message, frame) in self.messages.iter_mut().zip(frames) {
            let pieces = frame.as_ref();
            message.msg_hdr.msg_iov = pieces.as_ptr().cast_mut().cast();
            message.msg_hdr.msg_iovlen = pieces.len();
            message.msg_hdr.msg_control = ptr::null_mut();
            message.msg_hdr.msg_controllen = 0;
        }
        // SAFETY: the first `count` messages point to the frames' pieces (IoSlice has the layout of iovec), which the
        // kernel only reads; all of them outlive the call.
        let sent = unsafe {
            let messages = self.messages.as_mut_ptr();
            libc::sendmmsg(self.fd.as_raw_fd(), messages, count as c_uint, libc::MSG_DONTWAIT)
        };
        self.moved(sent)
    }

    /// Frames dropped for want of room in the socket since the last call.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn drops(&self) -> io::Result<u32> {
        let mut stats = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut len = size_of_val(&stats) as libc::socklen_t;
        // SAFETY: PACKET_STATISTICS writes a tpacket_stats, at most `len` bytes.
        Errno::result(unsafe {
            let stats = ptr::from_mut(&mut stats).cast();
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                stats,
                &raw mut len,
            )
        })?;
        Ok(stats.tp_drops)
    }

    /// Reads a result, telling an interface that is gone from one that is down: the kernel says ENETDOWN for both.
    fn moved(&self, result: c_int) -> io::Result<usize> {
        match Errno::result(result) {
            Ok(count) => Ok(count as usize),
            Err(Errno::ENETDOWN) if self.is_unbound() => Err(Errno::ENODEV.into()),
            Err(other) => Err(other.into()),
        }
    }

    /// The kernel has taken the socket off its interface, which it does when that is deleted.
    fn is_unbound(&self) -> bool {
        // SAFETY: a sockaddr_ll is integers, for which zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut len = size_of_val(&address) as libc::socklen_t;
        // SAFETY: getsockname writes at most `len` bytes to `address`.
        let named = unsafe {
            libc::getsockname(self.fd.as_raw_fd(), ptr::from_mut(&mut address).cast(), &raw mut len)
        };
        named == 0 && address.sll_ifindex < 0
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl std::fmt::Debug for PacketSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PacketSocket").field("fd", &self.fd).finish_non_exhaustive()
    }
}

impl Control {
    fn vlan(&self) -> Option<VlanTag> {
        let aux = &self.aux;
        let there = self.header.cmsg_len >= size_of::<libc::cmsghdr>() + size_of_val(aux)
            && aux.tp_status & libc::TP_STATUS_VLAN_VALID != 0;
        let known = aux.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
        there.then_some(VlanTag {
            tpid: if known { aux.tp_vlan_tpid } else { libc::ETH_P_8021Q as u16 },
            tci: aux.tp_vlan_tci,
        })
    }
}

fn set<T>(fd: &OwnedFd, level: c_int, option: c_int, value: &T) -> nix::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is `len` bytes, which setsockopt only reads.
    let done = unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, ptr::from_ref(value).cast(), len) };
    Errno::result(done).map(drop)
}
