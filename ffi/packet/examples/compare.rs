//! Forwards frames between two veths by the ways that `AF_PACKET` offers, and prints what a frame costs:
//! `cargo run --release -p paceline-packet --example compare` as root.
//!
//! A burst is sent into the first veth, then the clock runs while it is forwarded into the second one, each frame copied
//! once into our memory as the switch does. Median over many bursts, the ways interleaved, so that other load on the
//! machine matters little.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use paceline_packet::{BATCH, HEADER, PacketSocket, RxSlot};
use paceline_sys::netns::Scratch;
use paceline_sys::{VnetHdr, link};

/// Room for the largest super-packet behind its header, and the distance of frames in the ring.
const ROOM: usize = 1 << 17;
/// Frames in the ring.
const RING: usize = 256;

/// Bursts of each way.
const ROUNDS: usize = 2000;

/// A way to receive and to send.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// recvmsg and sendmsg.
    Single,
    /// recvmmsg and sendmmsg.
    Batch,
    /// As `Batch`, past the queueing discipline.
    BatchBypass,
    /// A `TPACKET_V2` receive ring, and sendmmsg.
    Ring,
}

fn main() {
    let ways = [Way::Single, Way::Batch, Way::BatchBypass, Way::Ring];
    for (what, frame, burst) in [("64-byte frames", small(), 32), ("64 KiB super-packets", large(), 8)] {
        let mut lanes = Vec::new();
        for way in ways {
            let Some(lane) = Lane::new(way) else { return };
            lanes.push((way, lane, Vec::with_capacity(ROUNDS)));
        }
        for _ in 0..ROUNDS {
            for (way, lane, costs) in &mut lanes {
                lane.source.send_batch(&vec![[IoSlice::new(&frame)]; burst]).expect("burst");
                let start = Instant::now();
                let moved = match way {
                    Way::Single => (0..burst).map(|_| lane.forward(1)).sum(),
                    Way::Batch | Way::BatchBypass => lane.forward(burst),
                    Way::Ring => lane.forward_ring(burst),
                };
                assert_eq!(moved, burst, "{way:?}");
                costs.push(start.elapsed().as_nanos() as f64 / burst as f64);
            }
        }
        for (way, lane, costs) in &mut lanes {
            costs.sort_by(f64::total_cmp);
            let (cost, bits) = (costs[ROUNDS / 2], (frame.len() - HEADER) as f64 * 8.0);
            let way = format!("{way:?}");
            println!("{what:22}{way:12}{cost:8.0} ns{:8.0} kpps{:8.1} Gbit/s", 1e6 / cost, bits / cost);
            assert_eq!(lane.received(), (ROUNDS * burst) as u64, "frames at the far end");
        }
    }
}

fn small() -> Vec<u8> {
    let mut frame = vec![0; HEADER + 64];
    frame[HEADER..HEADER + 14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
    frame
}

/// TCP over IPv4 with a payload of 45 segments.
fn large() -> Vec<u8> {
    let mut frame = small();
    frame.resize(HEADER + 14 + 20 + 20 + 45 * 1440, 0);
    let header = VnetHdr {
        flags: VnetHdr::NEEDS_CSUM,
        gso_type: VnetHdr::GSO_TCPV4,
        hdr_len: 54,
        gso_size: 1440,
        csum_start: 34,
        csum_offset: 16,
    };
    frame[..HEADER].copy_from_slice(&header.to_bytes());
    let total = (frame.len() - HEADER - 14) as u16;
    let ip = &mut frame[HEADER + 12..];
    ip[..4].copy_from_slice(&[8, 0, 0x45, 0]);
    ip[4..6].copy_from_slice(&total.to_be_bytes());
    ip[10..12].copy_from_slice(&[64, 6]);
    ip[34] = 0x50; // TCP header of 20 bytes
    frame
}

/// Two veth pairs with a forwarder between them.
struct Lane {
    net: Scratch,
    source: PacketSocket,
    left: PacketSocket,
    right: PacketSocket,
    room: Vec<Vec<u8>>,
    ring: *mut u8,
    next: usize,
}

impl Lane {
    fn new(way: Way) -> Option<Self> {
        let net = Scratch::for_test()?;
        net.silence();
        for (near, far) in [("in", "left"), ("right", "out")] {
            net.ip(&format!("link add {near} arp off type veth peer name {far} arp off"));
            net.up(&[near, far]);
        }
        let open = |name: &str| PacketSocket::open(link::index(name).expect("veth")).expect("socket");
        let [source, left, right] = net.run(|| ["in", "left", "right"].map(open)).expect("sockets");
        let mut ring = std::ptr::null_mut();
        match way {
            Way::BatchBypass => set(&right, libc::PACKET_QDISC_BYPASS, &1),
            Way::Ring => ring = map_ring(&left),
            Way::Single | Way::Batch => {}
        }
        Some(Self { net, source, left, right, room: vec![vec![0; ROOM]; BATCH], ring, next: 0 })
    }

    /// Frames that the far end has received.
    fn received(&self) -> u64 {
        let text = self.net.run(|| std::fs::read_to_string("/proc/thread-self/net/dev")).expect("setns");
        let text = text.expect("counters");
        let line = text.lines().find_map(|line| line.trim().strip_prefix("out:")).expect("the far end");
        line.split_whitespace().nth(1).and_then(|count| count.parse().ok()).expect("received packets")
    }

    fn forward(&mut self, batch: usize) -> usize {
        let mut bufs: Vec<_> = self.room[..batch].iter_mut().map(|room| [IoSliceMut::new(room)]).collect();
        let mut slots: Vec<_> = bufs.iter_mut().map(|bufs| RxSlot::new(bufs)).collect();
        let got = self.left.recv_batch(&mut slots).unwrap_or(0);
        let lens: Vec<_> = slots[..got].iter().map(|slot| slot.len).collect();
        self.send(&lens)
    }

    fn send(&mut self, lens: &[usize]) -> usize {
        let pieces = self.room.iter().zip(lens).map(|(room, &len)| [IoSlice::new(&room[..len])]);
        self.right.send_batch(&pieces.collect::<Vec<_>>()).expect("sent")
    }

    fn forward_ring(&mut self, batch: usize) -> usize {
        let mut lens = Vec::with_capacity(batch);
        for room in &mut self.room[..batch] {
            // SAFETY: slot `next` lies within the mapping and starts with a tpacket2_hdr; its status says whose it is.
            // The virtio-net header lies before the frame, which begins at `tp_mac`.
            unsafe {
                let slot = self.ring.add(self.next * ROOM);
                let header = slot.cast::<libc::c_void>().cast::<libc::tpacket2_hdr>();
                let status = AtomicU32::from_ptr(&raw mut (*header).tp_status);
                if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                    break;
                }
                let len = (*header).tp_snaplen as usize + HEADER;
                let from = slot.add((*header).tp_mac as usize - HEADER);
                std::ptr::copy_nonoverlapping(from, room.as_mut_ptr(), len);
                lens.push(len);
                status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            }
            self.next = (self.next + 1) % RING;
        }
        self.send(&lens)
    }
}

/// Gives the socket a ring; it stays mapped until the program ends.
fn map_ring(socket: &PacketSocket) -> *mut u8 {
    set(socket, libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V2 as i32));
    let (size, count) = (ROOM as u32, RING as u32);
    let shape = libc::tpacket_req {
        tp_block_size: size,
        tp_block_nr: count,
        tp_frame_size: size,
        tp_frame_nr: count,
    };
    set(socket, libc::PACKET_RX_RING, &shape);
    let (fd, access) = (socket.as_fd().as_raw_fd(), libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: a new mapping, of the ring's size.
    let ring = unsafe { libc::mmap(std::ptr::null_mut(), ROOM * RING, access, libc::MAP_SHARED, fd, 0) };
    assert_ne!(ring, libc::MAP_FAILED, "mmap: {}", std::io::Error::last_os_error());
    ring.cast()
}

fn set<T>(socket: &PacketSocket, option: i32, value: &T) {
    let (fd, len) = (socket.as_fd().as_raw_fd(), size_of::<T>() as u32);
    // SAFETY: `value` is `len` bytes, which setsockopt only reads.
    let done =
        unsafe { libc::setsockopt(fd, libc::SOL_PACKET, option, std::ptr::from_ref(value).cast(), len) };
    assert_eq!(done, 0, "option {option}: {}", std::io::Error::last_os_error());
}
