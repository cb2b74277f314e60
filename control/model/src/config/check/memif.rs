//! Ports of kind `memif`.

use std::collections::BTreeMap;

use super::{Checks, Step};
use crate::config::{Config, Memif, Port, PortKind, Role};

/// Bytes of a socket's path that the kernel takes (`unix(7)`).
const MAX_PATH: usize = 107;
/// Bytes of a secret.
const MAX_SECRET: usize = 23;
/// Bytes of shared memory of a port: 1 GiB.
const MAX_MEMORY: u64 = 1 << 30;

pub(super) fn memif(port: &Port, memif: &Memif, index: usize, checks: &mut Checks<'_>) {
    let name = port.name.as_str();
    let path = memif.socket.as_os_str().len();
    checks.expect((1..=MAX_PATH).contains(&path), at!["port", index, "socket"], || {
        format!("port {name:?}: socket is a path of {path} bytes: must be 1 to {MAX_PATH}")
    });
    checks.expect(memif.ring_size.is_power_of_two(), at!["port", index, "ring_size"], || {
        let size = memif.ring_size;
        format!("port {name:?}: ring_size is {size}: must be a power of two from 2 to 16384")
    });
    checks.expect(memif.buffer_size.is_multiple_of(64), at!["port", index, "buffer_size"], || {
        let size = memif.buffer_size;
        format!("port {name:?}: buffer_size is {size}: must be a multiple of 64")
    });
    let memory = 2 * u64::from(port.queues) * u64::from(memif.ring_size) * u64::from(memif.buffer_size);
    checks.expect(memory <= MAX_MEMORY, at!["port", index, "buffer_size"], || {
        format!(
            "port {name:?}: 2 x queues x ring_size x buffer_size is {memory} bytes: must be at most {MAX_MEMORY}"
        )
    });
    let secret = memif.secret.len();
    let sound = secret <= MAX_SECRET && !memif.secret.contains('\0');
    checks.expect(sound, at!["port", index, "secret"], || {
        format!("port {name:?}: secret has {secret} bytes: must be at most {MAX_SECRET}, none of them 0")
    });
}

/// Refuses a second server on a socket, and two clients that ask for the same interface.
pub(super) fn sockets(config: &Config, checks: &mut Checks<'_>) {
    let mut taken = BTreeMap::new();
    for (index, port) in config.ports.iter().enumerate() {
        let PortKind::Memif(memif) = &port.kind else { continue };
        let (socket, is_server) = (memif.socket.display(), memif.role == Role::Server);
        // A server has the socket, whatever its number; a client an interface of it.
        let key = (&memif.socket, is_server, if is_server { 0 } else { memif.id });
        let other = taken.insert(key, port.name.as_str());
        checks.expect(other.is_none(), at!["port", index, "socket"], || {
            let (name, other) = (port.name.as_str(), other.unwrap_or_default());
            if is_server {
                format!("port {name:?}: socket {socket} is that of port {other:?}: each server needs its own")
            } else {
                let id = memif.id;
                format!("port {name:?}: socket {socket}, id {id} is what port {other:?} asks for: choose another id")
            }
        });
    }
}
