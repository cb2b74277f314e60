//! memif ports: the far side is one more of ours.

use std::sync::Arc;

use paceline_buf::{Cache, Pool, Vector};
use paceline_graph::Drops;
use paceline_ports::{Io, LinkState, MemifConfig, MemifPort, MemifRole, Port, copy_in};
use tempfile::TempDir;

use crate::bed::{Bed, Far, bytes, patiently};

/// The other side, with buffers of its own.
struct Peer {
    config: MemifConfig,
    port: Option<MemifPort>,
    cache: Cache,
    pool: Arc<Pool>,
    got: Vector,
    /// What it was sent and has not handed on, last first.
    frames: Vec<Vec<u8>>,
    drops: Drops,
    /// Keeps the socket.
    _folder: Arc<TempDir>,
}

fn open(config: &MemifConfig) -> MemifPort {
    MemifPort::open(config).expect("a port").remove(0)
}

fn wait_for(port: &mut MemifPort) {
    patiently(|| port.state() == LinkState::Up);
}

impl Far for Peer {
    fn send(&mut self, frame: &[u8]) {
        let packet = copy_in(&mut self.cache, frame).expect("a chunk");
        assert!(self.got.push(packet).is_ok());
        let port = self.port.as_mut().expect("a port");
        port.transmit(&mut Io::new(&mut self.cache, &self.drops), &mut self.got);
        assert_eq!(self.drops.total(), 0, "{:?}", self.drops);
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        if self.frames.is_empty() {
            let port = self.port.as_mut()?;
            port.receive(&mut Io::new(&mut self.cache, &self.drops), &mut self.got);
            self.frames = self.got.as_slice().iter().rev().map(bytes).collect();
            self.cache.free_all(&mut self.got);
        }
        self.frames.pop()
    }

    fn set_up(&mut self, up: bool) -> Option<&'static str> {
        if up {
            let mut port = open(&self.config);
            wait_for(&mut port);
            self.port = Some(port);
        } else if let Some(mut port) = self.port.take() {
            port.close(&mut Io::new(&mut self.cache, &self.drops));
        }
        Some(match self.config.role {
            MemifRole::Server => "no server listens on the socket",
            MemifRole::Client => "the peer disconnected",
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.set_up(false);
        let in_use = self.pool.stats().in_use;
        assert!(in_use == 0 || std::thread::panicking(), "{in_use} chunks leaked at the peer");
    }
}

impl Bed {
    /// A server; far is a client.
    #[allow(clippy::unnecessary_wraps)] // as the kinds that need root
    pub fn memif_server() -> Option<Bed> {
        Some(pair(MemifRole::Server, MemifRole::Client))
    }

    /// A client; far is a server.
    #[allow(clippy::unnecessary_wraps)] // as the kinds that need root
    pub fn memif_client() -> Option<Bed> {
        Some(pair(MemifRole::Client, MemifRole::Server))
    }
}

fn pair(near: MemifRole, far: MemifRole) -> Bed {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let config = |role| MemifConfig {
        socket: folder.path().join("memif.sock"),
        id: 3,
        role,
        secret: "it is me".into(),
        ..MemifConfig::default()
    };
    let mut port = open(&config(near));
    let far = open(&config(far));
    wait_for(&mut port);
    let pool = Pool::small(crate::bed::CHUNKS);
    let mut peer = Peer {
        config: config(if near == MemifRole::Server { MemifRole::Client } else { MemifRole::Server }),
        port: Some(far),
        cache: pool.cache(),
        pool,
        got: Vector::new(),
        frames: Vec::new(),
        drops: Drops::default(),
        _folder: folder,
    };
    wait_for(peer.port.as_mut().expect("a port"));
    Bed::new(port, peer, 65_549, None)
}
