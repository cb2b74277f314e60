//! A port, its far side, and what both need.

use std::io::{IoSlice, IoSliceMut};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use paceline_buf::{Cache, Packet, Pool, VECTOR_SIZE, Vector};
use paceline_graph::{Capabilities, Drops};
use paceline_packet::{PacketSocket, RxSlot};
use paceline_ports::{
    AfxdpConfig, AfxdpContext, AfxdpPort, Io, LinkState, MemoryPeer, MemoryPort, PacketConfig, PacketPort,
    Port, TapConfig, TapPort, VhostConfig, VhostPort, VhostRole,
};
use paceline_sys::link;
use paceline_sys::netns::Scratch;
use tempfile::TempDir;

use crate::guest::{Guest, Kind};

/// `EtherType` for local experiments (IEEE 802): tells the test's frames from those that the kernel sends by itself.
pub const EXPERIMENT: [u8; 2] = [0x88, 0xb5];
pub const CHUNKS: usize = 512;

/// A port under test.
pub struct Bed {
    pub port: Box<dyn Port>,
    far: Box<dyn Far>,
    /// Longest frame that passes.
    pub longest: usize,
    /// Chunks that the device holds while nothing happens.
    pub lent: usize,
    pool: Arc<Pool>,
    pub cache: Cache,
    pub drops: Drops,
    /// Keeps the device.
    net: Option<Scratch>,
}

/// The other end of the port's wire.
pub trait Far {
    fn send(&mut self, frame: &[u8]);
    /// The next frame, if there is one.
    fn receive(&mut self) -> Option<Vec<u8>>;
    /// Goes or comes back; what the port says meanwhile, if it can.
    fn set_up(&mut self, _up: bool) -> Option<&'static str> {
        None
    }
}

impl Far for MemoryPeer {
    fn send(&mut self, frame: &[u8]) {
        MemoryPeer::send(self, frame);
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        MemoryPeer::receive(self)
    }
}

impl Far for PacketSocket {
    fn send(&mut self, frame: &[u8]) {
        let sent = self.send_batch(&[[IoSlice::new(&[0; 10]), IoSlice::new(frame)]]);
        assert_eq!(sent.expect("sent"), 1);
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        let (mut header, mut frame) = ([0; 10], vec![0; 70_000]);
        let mut bufs = [IoSliceMut::new(&mut header), IoSliceMut::new(&mut frame)];
        let mut slots = [RxSlot::new(&mut bufs)];
        self.recv_batch(&mut slots).ok()?;
        let (len, vlan) = (slots[0].len - 10, slots[0].vlan);
        frame.truncate(len);
        if let Some(tag) = vlan {
            frame.splice(12..12, tag.to_bytes());
        }
        Some(frame)
    }
}

/// A guest that can be started and ended.
struct Vhost {
    kind: Kind,
    guest: Option<Guest>,
    directory: TempDir,
}

impl Far for Vhost {
    fn send(&mut self, frame: &[u8]) {
        let guest = self.guest.as_mut().expect("it runs");
        assert!(guest.send([0; 10], frame), "the queue has room");
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.guest.as_mut()?.receive().map(|(_, frame)| frame)
    }

    fn set_up(&mut self, up: bool) -> Option<&'static str> {
        self.guest = None;
        if up {
            self.guest = Some(Guest::connect(&self.directory.path().join("socket"), self.kind));
        }
        Some("the peer is gone")
    }
}

impl Bed {
    pub fn new(
        port: impl Port + 'static,
        far: impl Far + 'static,
        longest: usize,
        net: Option<Scratch>,
    ) -> Bed {
        let pool = Pool::small(CHUNKS);
        let cache = pool.cache();
        Bed {
            port: Box::new(port),
            far: Box::new(far),
            longest,
            lent: 0,
            pool,
            cache,
            drops: Drops::default(),
            net,
        }
    }

    #[allow(clippy::unnecessary_wraps)] // as the kinds that need root
    pub fn memory() -> Option<Bed> {
        let (port, far) = MemoryPort::pair(Capabilities::ALL);
        Some(Bed::new(port, far, 65_549, None))
    }

    /// A TAP; far is what the kernel's stack is: a socket on the interface.
    pub fn tap() -> Option<Bed> {
        let net = Scratch::for_test()?;
        net.silence();
        let port = net.run(|| TapPort::open(&TapConfig { device: "port".into(), ..TapConfig::default() }));
        let port = port.expect("setns").expect("a tap").remove(0);
        net.ip("link set port mtu 65521");
        net.up(&["port"]);
        let far = socket(&net, "port");
        Some(Bed::new(port, far, 65_535, Some(net)))
    }

    /// A packet socket on one end of a veth; far is the other end.
    pub fn packet() -> Option<Bed> {
        let net = veth(65_535)?;
        let port = net.run(|| PacketPort::open(&PacketConfig { device: "port".into() })).expect("setns");
        let far = socket(&net, "far");
        Some(Bed::new(port.expect("a socket"), far, 65_549, Some(net)))
    }

    /// An AF_XDP socket on one end of a veth; far is the other end.
    pub fn afxdp() -> Option<Bed> {
        let net = veth(3400)?;
        let pool = Pool::small(CHUNKS);
        let context = AfxdpContext::new(&pool).expect("a UMEM");
        let config = AfxdpConfig { device: "port".into(), ring_size: 128, ..AfxdpConfig::default() };
        let port =
            net.run(|| AfxdpPort::open(&context, &config)).expect("setns").expect("a socket").remove(0);
        assert!(port.is_native() && !port.is_zero_copy(), "as veths are");
        let far = socket(&net, "far");
        Some(Bed {
            pool: Arc::clone(&pool),
            cache: pool.cache(),
            lent: 128,
            ..Bed::new(port, far, 3414, Some(net))
        })
    }

    /// A vhost-user device with split rings; far is a guest.
    pub fn vhost_split() -> Option<Bed> {
        Bed::vhost(Kind::SPLIT)
    }

    /// A vhost-user device with packed rings, indirect descriptors and events by index.
    pub fn vhost_packed() -> Option<Bed> {
        Bed::vhost(Kind::PACKED)
    }

    #[allow(clippy::unnecessary_wraps)] // as the kinds that need root
    fn vhost(kind: Kind) -> Option<Bed> {
        let directory = TempDir::new().expect("a directory");
        let config = VhostConfig { socket: directory.path().join("socket"), role: VhostRole::Server };
        let port = VhostPort::open(&config).expect("a socket");
        let far = Vhost { kind, guest: None, directory };
        let mut bed = Bed::new(port, far, 65_549, None);
        bed.set_up(true);
        bed.expect_state(&LinkState::Up);
        Some(bed)
    }

    /// Deletes the device, or ends the peer; what the port then says, if there is either.
    pub fn kill(&mut self) -> Option<&'static str> {
        let Some(net) = &self.net else { return self.far.set_up(false) };
        net.ip("link delete port");
        Some("the device was deleted")
    }

    /// Takes the device or the peer down or up; what the port says when it is down, if there is either.
    pub fn set_up(&mut self, up: bool) -> Option<&'static str> {
        let Some(net) = &self.net else { return self.far.set_up(up) };
        if !up {
            net.ip("link set port down");
        } else if net.ip("link").contains("far@port") {
            net.up(&["port", "far"]);
        } else {
            net.up(&["port"]);
        }
        // A socket of the far side says once that its device was down.
        let _ = self.far.receive();
        Some("the device is down")
    }

    /// Waits until the port says so.
    pub fn expect_state(&mut self, want: &LinkState) {
        let mut state = self.port.state();
        patiently(|| {
            state = self.port.state();
            state == *want
        });
        assert_eq!(state, *want);
    }

    /// Receives until `want` frames of the test have come, or no more come.
    pub fn receive(&mut self, want: usize) -> Vec<Vec<u8>> {
        let (mut got, mut out) = (Vec::new(), Vector::new());
        patiently(|| {
            self.port.receive(&mut Io::new(&mut self.cache, &self.drops), &mut out);
            got.extend(out.as_slice().iter().map(bytes).filter(|frame| ours(frame)));
            self.cache.free_all(&mut out);
            got.len() >= want
        });
        got
    }

    /// Receives until something came, whatever it is.
    pub fn receive_any(&mut self) {
        let mut out = Vector::new();
        patiently(|| {
            self.port.receive(&mut Io::new(&mut self.cache, &self.drops), &mut out);
            !out.is_empty()
        });
        self.cache.free_all(&mut out);
    }

    /// As [`receive`](Self::receive), keeping the chunks, with drops counting as frames.
    pub fn receive_held(&mut self, want: usize) -> Vec<Packet> {
        let (mut got, mut out, before) = (Vec::new(), Vector::new(), self.drops.total());
        patiently(|| {
            self.port.receive(&mut Io::new(&mut self.cache, &self.drops), &mut out);
            out.drain(
                |packet| if ours(&bytes(&packet)) { got.push(packet) } else { self.cache.free(packet) },
            );
            self.port.state();
            got.len() as u64 + self.drops.total() - before >= want as u64
        });
        got
    }

    pub fn far_send(&mut self, frames: &[Vec<u8>]) {
        for frame in frames {
            self.far.send(frame);
        }
    }

    /// Lets the far side receive until `want` frames of the test have come, or no more come.
    pub fn far_receive(&mut self, want: usize) -> Vec<Vec<u8>> {
        let mut got = Vec::new();
        patiently(|| {
            got.extend(std::iter::from_fn(|| self.far.receive()).filter(|frame| ours(frame)));
            got.len() >= want
        });
        got
    }

    pub fn transmit(&mut self, packets: impl IntoIterator<Item = Packet>) {
        let mut vector = Vector::new();
        for packet in packets {
            assert!(vector.push(packet).is_ok(), "a vector holds {VECTOR_SIZE}");
        }
        self.port.transmit(&mut Io::new(&mut self.cache, &self.drops), &mut vector);
        assert!(vector.is_empty());
    }

    /// A packet of these bytes, in as many chunks as it takes.
    pub fn packet_of(&mut self, frame: &[u8]) -> Packet {
        let mut packet = self.cache.alloc().expect("a chunk");
        let mut parts = frame.chunks(packet.tailroom());
        packet.extend(parts.next().unwrap_or_default()).expect("room");
        for part in parts {
            let mut tail = self.cache.alloc().expect("a chunk");
            tail.extend(part).expect("room");
            packet.push_tail(tail);
        }
        packet
    }

    /// Ends the port: every chunk must be back.
    pub fn end(mut self) {
        self.port.close(&mut Io::new(&mut self.cache, &self.drops));
        drop(self.port);
        drop(self.cache);
        assert_eq!(self.pool.stats().free, CHUNKS, "chunks leaked");
    }
}

/// Asks again and again until it is so; gives up when nothing has happened for long enough to be sure.
pub fn patiently(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() && start.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_micros(100));
    }
}

/// Whether the first type behind the tags is the test's.
fn ours(frame: &[u8]) -> bool {
    let mut types = frame.get(12..).unwrap_or_default().chunks(4);
    types
        .find(|part| part[0] != 0x81 && part[..2] != [0x88, 0xa8])
        .is_some_and(|part| part.starts_with(&EXPERIMENT))
}

pub fn bytes(packet: &Packet) -> Vec<u8> {
    packet.segments().flatten().copied().collect()
}

/// A namespace with a veth whose ends are `port` and `far`.
fn veth(mtu: u32) -> Option<Scratch> {
    let net = Scratch::for_test()?;
    net.silence();
    net.ip(&format!("link add port mtu {mtu} type veth peer name far mtu {mtu}"));
    net.up(&["port", "far"]);
    Some(net)
}

fn socket(net: &Scratch, device: &str) -> PacketSocket {
    net.run(|| PacketSocket::open(link::index(device).expect("the device")))
        .expect("setns")
        .expect("a socket")
}
