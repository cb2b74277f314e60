//! What a port does when its peer does not keep the rules, or sleeps. Frames as such are the conformance suite's.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use paceline_buf::{Cache, Pool, Vector};
use paceline_graph::Drops;
use paceline_memif::Channel;
use paceline_memif::message::{Message, VERSION};
use paceline_sys::wake::{Event, Interest};
use paceline_sys::{Epoll, EventFd};
use tempfile::TempDir;

use super::*;
use crate::copy_in;

/// A client that does by hand what one does. Its ring to the server is at 0, the other one at 256, both of 8 slots.
struct Hand {
    file: File,
    channel: Channel,
}

impl Hand {
    fn connect(socket: &Path) -> Hand {
        let file = File::from(memfd_create(c"hand", MFdFlags::MFD_ALLOW_SEALING).unwrap());
        file.set_len(8192).unwrap();
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK)).unwrap();
        let quiet = EventFd::new().unwrap();
        // A server that has not seen yet that the last client is gone says that it is busy.
        let channel = loop {
            let channel = Channel::connect(socket).unwrap();
            match channel.receive(quiet.as_fd()) {
                Ok(_) => break channel,
                Err(fault) => assert_eq!(fault, Fault::Disconnected),
            }
        };
        let hand = Hand { file, channel };
        for ring in [0, 256] {
            hand.write(ring, &0x3e3_1f20_u32.to_ne_bytes());
            for slot in 0..8_u32 {
                hand.descriptor(ring, slot, 0, 64, 4096 + slot * 64);
            }
        }
        let tell = |message: &Message, fd: Option<OwnedFd>| {
            hand.channel.send(message, fd.as_ref().map(AsFd::as_fd)).unwrap();
            hand.channel.receive(quiet.as_fd()).unwrap().0
        };
        let clone = |fd: &dyn AsFd| Some(fd.as_fd().try_clone_to_owned().unwrap());
        let (secret, name) = (Text::new(""), Text::new("hand"));
        tell(&Message::Init { version: VERSION, id: 0, mode: 0, secret, name }, None);
        tell(&Message::AddRegion { index: 0, size: 8192 }, clone(&hand.file));
        for (to_server, offset) in [(true, 0), (false, 256)] {
            let interrupt = EventFd::new().unwrap();
            let ring = Message::AddRing { to_server, index: 0, region: 0, offset, log2_slots: 3 };
            tell(&ring, clone(&interrupt));
        }
        assert!(matches!(tell(&Message::Connect { name }, None), Message::Connected { .. }));
        hand
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, at).unwrap();
    }

    fn descriptor(&self, ring: u64, slot: u32, flags: u32, len: u32, offset: u32) {
        let words = [flags, len, offset, 0].map(u32::to_ne_bytes);
        self.write(ring + 128 + u64::from(slot) * 16, words.as_flattened());
    }

    fn head(&self, ring: u64, index: u16) {
        self.write(ring + 6, &index.to_ne_bytes());
    }
}

struct Bench {
    port: MemifPort,
    cache: Cache,
    drops: Drops,
    out: Vector,
}

impl Bench {
    fn new(pool: &std::sync::Arc<Pool>, config: &MemifConfig) -> Bench {
        let port = MemifPort::open(config).unwrap().remove(0);
        Bench { port, cache: pool.cache(), drops: Drops::default(), out: Vector::new() }
    }

    fn wait(&mut self, want: &LinkState) {
        let start = Instant::now();
        while self.port.state() != *want {
            assert!(start.elapsed() < Duration::from_secs(20), "{:?}, not {want:?}", self.port.state());
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn receive(&mut self) -> usize {
        self.port.receive(&mut Io::new(&mut self.cache, &self.drops), &mut self.out);
        let count = self.out.len();
        self.cache.free_all(&mut self.out);
        count
    }

    fn send(&mut self, frame: &[u8]) {
        assert!(self.out.push(copy_in(&mut self.cache, frame).unwrap()).is_ok());
        self.port.transmit(&mut Io::new(&mut self.cache, &self.drops), &mut self.out);
    }
}

fn socket() -> (TempDir, MemifConfig) {
    let folder = tempfile::tempdir().unwrap();
    let config = MemifConfig { socket: folder.path().join("memif.sock"), ..MemifConfig::default() };
    (folder, config)
}

/// What a peer does wrong.
type Crime = fn(&Hand);

#[test]
fn a_peer_that_breaks_the_rules_takes_nothing_down_but_itself() {
    let (_folder, config) = socket();
    let pool = Pool::small(64);
    let mut bench = Bench::new(&pool, &config);
    bench.wait(&LinkState::Down("no client is connected"));
    let crimes: [(Fault, Crime); 6] = [
        (Fault::Jump, |hand| hand.head(0, 9)),
        (Fault::Descriptor, |hand| {
            hand.descriptor(0, 0, 0, 64, 8192 - 63);
            hand.head(0, 1);
        }),
        (Fault::Descriptor, |hand| {
            hand.descriptor(0, 0, 1 << 16, 64, 0);
            hand.head(0, 1);
        }),
        (Fault::Descriptor, |hand| {
            hand.descriptor(0, 0, 0, u32::MAX, u32::MAX);
            hand.head(0, 1);
        }),
        (Fault::Chain, |hand| {
            (0..8).for_each(|slot| hand.descriptor(0, slot, 1, 64, 4096));
            hand.head(0, 8);
        }),
        (Fault::Closed, |_| {}),
    ];
    for (fault, commit) in crimes {
        let hand = Hand::connect(&config.socket);
        bench.wait(&LinkState::Up);
        commit(&hand);
        if fault == Fault::Closed {
            drop(hand);
        } else {
            bench.receive();
            assert_eq!(bench.port.state(), LinkState::Down(fault.text()), "at once");
        }
        bench.wait(&LinkState::Down(fault.text()));
        bench.send(&[1; 60]);
    }
    assert_eq!(bench.drops.get(Reason::PortDown), 6);
    let hand = Hand::connect(&config.socket);
    bench.wait(&LinkState::Up);
    // Every page of the memory is gone, and is zeros when it is touched.
    let whole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(&hand.file, whole, 0, 8192).unwrap();
    bench.receive();
    bench.send(&[1; 60]);
    drop(bench);
    assert_eq!(pool.stats().free, 64);
}

#[test]
fn transmit_finds_out_as_well() {
    let (_folder, config) = socket();
    let pool = Pool::small(64);
    let mut bench = Bench::new(&pool, &config);
    let hand = Hand::connect(&config.socket);
    bench.wait(&LinkState::Up);
    bench.send(&[1; 60]);
    assert_eq!(bench.drops.get(Reason::TxFull), 1, "no buffers yet");
    hand.head(256, 2);
    hand.descriptor(256, 1, 0, 64, u32::MAX);
    bench.send(&[1; 60]);
    assert_eq!(bench.drops.total(), 1);
    bench.send(&[1; 60]);
    assert_eq!(bench.drops.get(Reason::PortDown), 1);
    bench.wait(&LinkState::Down(Fault::Descriptor.text()));
}

#[test]
fn runts_and_giants_are_counted() {
    let (_folder, config) = socket();
    let pool = Pool::small(64);
    let mut bench = Bench::new(&pool, &config);
    let hand = Hand::connect(&config.socket);
    bench.wait(&LinkState::Up);
    hand.descriptor(0, 0, 0, 13, 4096);
    hand.descriptor(0, 1, 0, 0, 4096);
    hand.descriptor(0, 2, 0, 14, 4096);
    hand.head(0, 3);
    assert_eq!((bench.receive(), bench.drops.get(Reason::Runt)), (1, 2));
    bench.send(&[1; 13]);
    assert_eq!(bench.drops.get(Reason::Runt), 3);
    hand.head(256, 8);
    bench.send(&[1; 513]);
    assert_eq!(bench.drops.get(Reason::TxTooLong), 1, "eight buffers of 64 bytes");
    bench.send(&[1; 512]);
    bench.send(&[1; 60]);
    assert_eq!((bench.drops.get(Reason::TxFull), bench.drops.total()), (1, 5));
}

#[test]
fn who_rests_is_woken() {
    let (_folder, config) = socket();
    let pool = Pool::small(64);
    let mut server = Bench::new(&pool, &config);
    let mut client = Bench::new(&pool, &MemifConfig { role: MemifRole::Client, ..config });
    server.wait(&LinkState::Up);
    client.wait(&LinkState::Up);
    let (set, mut events) = (Epoll::new().unwrap(), [Event::EMPTY; 1]);
    for [from, to] in [[0, 1], [1, 0]] {
        let mut ends = [&mut server, &mut client];
        set.add(ends[to].port.wake_fd().unwrap(), 0, Interest::Read).unwrap();
        let mut wakes = |limit| set.wait(&mut events, Some(limit)).unwrap() == 1;
        for _ in 0..3 {
            // It looks until it rests.
            (0..2 * REST).for_each(|_| assert_eq!(ends[to].receive(), 0));
            assert!(!wakes(Duration::ZERO));
            ends[from].send(&[1; 60]);
            assert!(wakes(Duration::from_secs(20)));
            assert_eq!(ends[to].receive(), 1);
            // Now it polls, and is left alone.
            ends[from].send(&[1; 60]);
            assert!(!wakes(Duration::ZERO));
            assert_eq!(ends[to].receive(), 1);
        }
        set.remove(ends[to].port.wake_fd().unwrap()).unwrap();
    }
    assert_eq!(server.drops.total() + client.drops.total(), 0);
}

#[test]
fn what_cannot_be_is_told_with_its_field() {
    let (folder, config) = socket();
    let said = |config: &MemifConfig| MemifPort::open(config).err().expect("refused").to_string();
    for (wrong, field) in [
        (MemifConfig { queues: 0, ..config.clone() }, "queues is 0: must be 1 to 256"),
        (MemifConfig { ring_size: 1000, ..config.clone() }, "ring_size is 1000: must be a power of two"),
        (MemifConfig { ring_size: 0, ..config.clone() }, "ring_size is 0"),
        (MemifConfig { ring_size: 32_768, ..config.clone() }, "ring_size is 32768"),
        (MemifConfig { buffer_size: 100, ..config.clone() }, "buffer_size is 100: must be a multiple of 64"),
        (MemifConfig { buffer_size: 1 << 30, ..config.clone() }, "exceed 4 GiB"),
        (MemifConfig { secret: "x".repeat(24), ..config.clone() }, "secret is 24: bytes"),
        (MemifConfig { socket: "x".repeat(108).into(), ..config.clone() }, "socket is 108: bytes of path"),
    ] {
        assert!(said(&wrong).contains(field), "{}", said(&wrong));
    }
    let first = MemifPort::open(&config).unwrap();
    assert!(said(&config).contains("memif.sock: Address already in use"), "{}", said(&config));
    drop(first);
    assert!(MemifPort::open(&config).is_ok());
    let nowhere = MemifConfig { socket: folder.path().join("no/where"), ..config };
    let said = said(&nowhere);
    assert!(
        said.contains("No such file or directory") && said.contains("its directory must exist"),
        "{said}"
    );
}
