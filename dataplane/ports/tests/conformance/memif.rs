//! memif ports: the far side is one more of ours.

use std::sync::Arc;

use paceline_buf::{Cache, Pool, Vector};
use paceline_graph::Drops;
use paceline_ports::{Io, LinkState, MemifConfig, MemifPort, MemifRole, Port, copy_in};
use tempfile::TempDir;

use crate::bed::{Bed, CHUNKS, Far, bytes, patiently};

/// A port as the other side, with buffers of its own.
pub struct Peer {
    pub config: MemifConfig,
    pub port: Option<MemifPort>,
    cache: Cache,
    pool: Arc<Pool>,
    got: Vector,
    /// What it was sent and has not handed on, last first.
    frames: Vec<Vec<u8>>,
    drops: Drops,
    _folder: Folder,
}

impl Peer {
    pub fn new(folder: &Folder, name: &str, role: MemifRole) -> Peer {
        let config = folder.config(name, role);
        let pool = Pool::small(CHUNKS);
        Peer {
            port: Some(open(&config)),
            config,
            cache: pool.cache(),
            pool,
            got: Vector::new(),
            frames: Vec::new(),
            drops: Drops::default(),
            _folder: folder.clone(),
        }
    }
}

/// A folder for sockets, which goes with the last port there.
#[derive(Clone)]
pub struct Folder(Arc<TempDir>);

impl Folder {
    pub fn new() -> Folder {
        Folder(Arc::new(tempfile::tempdir().expect("a folder")))
    }

    /// The configuration of a port whose socket has this name.
    pub fn config(&self, name: &str, role: MemifRole) -> MemifConfig {
        MemifConfig {
            socket: self.0.path().join(name),
            id: 3,
            role,
            secret: "it is me".into(),
            ..MemifConfig::default()
        }
    }
}

pub fn open(config: &MemifConfig) -> MemifPort {
    MemifPort::open(config).expect("a port").remove(0)
}

fn wait_for(port: &mut MemifPort) {
    patiently(|| port.state() == LinkState::Up);
}

impl Peer {
    /// Whether it could send a frame.
    pub fn try_send(&mut self, frame: &[u8]) -> bool {
        let packet = copy_in(&mut self.cache, frame).expect("a chunk");
        assert!(self.got.push(packet).is_ok());
        let port = self.port.as_mut().expect("a port");
        let mut io = Io::new(&mut self.cache, &self.drops);
        port.transmit(&mut io, &mut self.got);
        io.lost().packets == 0
    }
}

impl Far for Peer {
    fn send(&mut self, frame: &[u8]) {
        assert!(self.try_send(frame), "{:?}", self.drops);
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
    let folder = Folder::new();
    let mut port = open(&folder.config("memif.sock", near));
    let mut peer = Peer::new(&folder, "memif.sock", far);
    wait_for(&mut port);
    wait_for(peer.port.as_mut().expect("a port"));
    Bed::new(port, peer, 65_549, None)
}
