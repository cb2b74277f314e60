//! Ports that programs of the host have now (`/proc/net/tcp` and its like; Documentation/networking/proc_net_tcp.rst).

use std::fs;

use crate::ports::PortSet;

/// Sockets of the calling thread's network namespace.
const TABLES: [&str; 6] = ["tcp", "tcp6", "udp", "udp6", "udplite", "udplite6"];

/// Ports of the host's own TCP and UDP sockets, listening, connected or waiting. If a range of theirs becomes the switch's, what
/// comes for them does not reach them any more.
pub fn in_use() -> PortSet {
    let tables =
        TABLES.iter().filter_map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok());
    let mut ports = PortSet::new();
    tables.for_each(|table| table.lines().skip(1).filter_map(local_port).for_each(|port| ports.insert(port)));
    ports
}

/// `  0: 0100007F:1F90 00000000:0000 0A …`: the second word, in hexadecimal.
fn local_port(line: &str) -> Option<u16> {
    let (_, port) = line.split_ascii_whitespace().nth(1)?.rsplit_once(':')?;
    u16::from_str_radix(port, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn a_port_in_use_is_known() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        let ports = in_use();
        assert!(ports.contains(tcp.local_addr().unwrap().port()));
        assert!(ports.contains(udp.local_addr().unwrap().port()));
        assert_eq!(local_port("  0: 0100007F:1F90 00000000:0000 0A"), Some(8080));
        for bad in ["", "0:", "0: x", "0: 00000000:zz"] {
            assert_eq!(local_port(bad), None);
        }
    }
}
