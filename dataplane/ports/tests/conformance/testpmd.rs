//! memif ports with DPDK between them: what leaves the port under test goes to a `dpdk-testpmd`, which forwards it to a second
//! memif port of ours, the far side, and back.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use paceline_ports::{LinkState, MemifRole, Port};

use crate::bed::{Bed, Far, patiently};
use crate::memif::{Folder, Peer, open};

/// A frame that is none of a test's.
const PROBE: [u8; 60] = [0; 60];

/// A testpmd takes a whole core.
static ONE: Mutex<()> = Mutex::new(());

/// A testpmd with two memif interfaces, of which it sends to one what it receives by the other.
struct Testpmd {
    /// As what it is started.
    role: &'static str,
    child: Option<Child>,
    far: Peer,
    _one: MutexGuard<'static, ()>,
}

impl Testpmd {
    fn start(&mut self) {
        let folder = self.far.config.socket.parent().expect("a folder").to_owned();
        let device = |number: usize, name: &str| {
            let socket = folder.join(name);
            // DPDK does not replace what it left when it was killed.
            if self.role == "server" {
                let _ = fs::remove_file(&socket);
            }
            let (role, socket) = (self.role, socket.display());
            format!(
                "--vdev=net_memif{number},role={role},id=3,socket={socket},socket-abstract=no,secret=it is me"
            )
        };
        let devices = [device(0, "near.sock"), device(1, "far.sock")];
        let child = Command::new("dpdk-testpmd")
            .args(["-l", "0,1", "--no-pci", "--no-huge", "-m", "128", "--no-shconf", "--no-telemetry"])
            .args(devices)
            .args(["--", "--auto-start", "--forward-mode=io", "--nb-cores=1", "--total-num-mbufs=4096"])
            .args(["--disable-link-check", "--no-mlockall"])
            // It ends when its standard input does.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("dpdk-testpmd starts"));
        let far = self.far.port.as_mut().expect("a port");
        patiently(|| far.state() == LinkState::Up);
        // A client of DPDK's has no buffers for us before it forwards, and it begins with the other port.
        patiently(|| self.far.try_send(&PROBE));
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("ended");
        }
    }
}

impl Far for Testpmd {
    fn send(&mut self, frame: &[u8]) {
        self.far.send(frame);
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.far.receive()
    }

    fn set_up(&mut self, up: bool) -> Option<&'static str> {
        if up {
            self.start();
        } else {
            self.kill();
            let far = self.far.port.as_mut().expect("a port");
            patiently(|| far.state() != LinkState::Up);
        }
        Some(match self.role {
            "server" => "no server listens on the socket",
            _ => "the peer closed the connection",
        })
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Bed {
    /// A server, whose client is DPDK.
    pub fn testpmd_client() -> Option<Bed> {
        through_testpmd(MemifRole::Server, "client")
    }

    /// A client, whose server is DPDK.
    pub fn testpmd_server() -> Option<Bed> {
        through_testpmd(MemifRole::Client, "server")
    }
}

fn through_testpmd(ours: MemifRole, role: &'static str) -> Option<Bed> {
    let version =
        Command::new("dpdk-testpmd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if version.is_err() {
        println!("skipped: there is no dpdk-testpmd (Debian: package dpdk)");
        return None;
    }
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Folder::new();
    let mut port = open(&folder.config("near.sock", ours));
    let far = Peer::new(&folder, "far.sock", ours);
    let mut testpmd = Testpmd { role, child: None, far, _one: one };
    testpmd.start();
    let mut state = LinkState::Up;
    patiently(|| {
        state = port.state();
        state == LinkState::Up
    });
    assert_eq!(state, LinkState::Up);
    let mut bed = Bed::new(port, testpmd, 65_549, None);
    // The probe does not wait for a test that holds all chunks.
    bed.receive_any();
    Some(bed)
}
