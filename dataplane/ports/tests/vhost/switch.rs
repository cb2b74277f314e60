//! A vhost-user port with what it needs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use paceline_buf::{Cache, Packet, Pool, Vector};
use paceline_graph::Drops;
use paceline_ports::{Io, LinkState, Port, VhostConfig, VhostPort, VhostRole};
use tempfile::TempDir;

const CHUNKS: usize = 1024;

pub struct Switch {
    pub port: VhostPort,
    pub cache: Cache,
    pub drops: Drops,
    pool: Arc<Pool>,
    pub socket: PathBuf,
    _directory: TempDir,
}

impl Switch {
    /// A port in a directory of its own.
    pub fn new(role: VhostRole) -> Switch {
        let directory = TempDir::new().expect("a directory");
        let socket = directory.path().join("socket");
        let port = VhostPort::open(&VhostConfig { socket: socket.clone(), role }).expect("a port");
        let pool = Pool::small(CHUNKS);
        let cache = pool.cache();
        Switch { port, cache, drops: Drops::default(), pool, socket, _directory: directory }
    }

    /// What the port receives in one turn.
    pub fn receive(&mut self, each: &mut dyn FnMut(&Packet)) -> usize {
        let mut vector = Vector::new();
        self.port.receive(&mut Io::new(&mut self.cache, &self.drops), &mut vector);
        vector.as_slice().iter().for_each(each);
        let count = vector.len();
        self.cache.free_all(&mut vector);
        count
    }

    /// Waits for one frame.
    pub fn frame(&mut self) -> Vec<u8> {
        let mut got = None;
        self.until(|switch| {
            switch.receive(&mut |packet| got = Some(packet.segments().flatten().copied().collect()));
            got.is_some()
        });
        got.expect("it came")
    }

    /// Sends a frame.
    pub fn send(&mut self, frame: &[u8]) {
        let mut packet = self.cache.alloc().expect("a chunk");
        packet.extend(frame).expect("room");
        self.transmit(packet);
    }

    pub fn transmit(&mut self, packet: Packet) {
        let mut vector = Vector::new();
        assert!(vector.push(packet).is_ok());
        self.port.transmit(&mut Io::new(&mut self.cache, &self.drops), &mut vector);
    }

    /// Waits until the link is so.
    pub fn wait_for(&mut self, wanted: &LinkState) {
        let mut last = LinkState::Up;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            last = self.port.state();
            if last == *wanted {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("the link is {last:?} and not {wanted:?}");
    }

    pub fn port_state(&mut self) -> LinkState {
        self.port.state()
    }

    pub fn until(&mut self, mut done: impl FnMut(&mut Switch) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < Duration::from_secs(30), "it does not happen: {:?}", self.port.state());
            thread::sleep(Duration::from_micros(50));
        }
    }

    /// Sends back whatever comes, with both addresses exchanged, while `work` goes on. How many frames there were.
    pub fn echo_while<R>(&mut self, work: impl FnOnce() -> R) -> (R, usize) {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let echo = scope.spawn(|| {
                let (mut vector, mut count) = (Vector::new(), 0);
                while !done.load(Ordering::Relaxed) {
                    let mut io = Io::new(&mut self.cache, &self.drops);
                    self.port.receive(&mut io, &mut vector);
                    for packet in vector.as_mut_slice() {
                        let (to, from) = packet.data_mut()[..12].split_at_mut(6);
                        to.swap_with_slice(from);
                    }
                    count += vector.len();
                    self.port.transmit(&mut io, &mut vector);
                    self.port.state();
                    thread::yield_now();
                }
                count
            });
            let stop = Stop(&done);
            let result = work();
            drop(stop);
            (result, echo.join().expect("an echo"))
        })
    }

    /// Ends the port: every chunk must be back, and the socket gone.
    pub fn end(mut self) {
        self.port.close(&mut Io::new(&mut self.cache, &self.drops));
        drop(self.port);
        drop(self.cache);
        assert_eq!(self.pool.stats().free, CHUNKS, "chunks leaked");
    }
}

/// Ends the other thread even when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A frame with a number in it.
pub fn frame(len: usize, number: u8) -> Vec<u8> {
    let mut frame = vec![number; len];
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]);
    frame
}
