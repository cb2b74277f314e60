//! What memif costs our core: 64-byte frames go out to another process, and come back. In two shells:
//!
//! ```sh
//! taskset -c 0 cargo run --release -p paceline-ports --example memif -- /run/bench.sock
//! dpdk-testpmd -l 0,1 --no-pci --no-huge -m 128 --no-shconf \
//!   --vdev=net_memif0,role=client,id=0,socket=/run/bench.sock,socket-abstract=no \
//!   -- --forward-mode=macswap --port-topology=loop --auto-start --total-num-mbufs=8192 --no-mlockall
//! ```
#![forbid(unsafe_code)]

use std::thread;
use std::time::Duration;

use paceline_buf::{Pool, VECTOR_SIZE, Vector};
use paceline_graph::Drops;
use paceline_ports::{Io, LinkState, MemifConfig, MemifPort, Port};
use paceline_sys::cpu::{tsc, tsc_hz};

/// Windows that are measured, and packets in each.
const WINDOWS: usize = 200;
const PACKETS: u64 = 100_000;
/// Packets under way at most.
const UNDER_WAY: u64 = 512;

fn main() {
    let socket = std::env::args().nth(1).expect("the path of a socket");
    let config = MemifConfig { socket: socket.into(), ..MemifConfig::default() };
    let mut port = MemifPort::open(&config).expect("a port").remove(0);
    while port.state() != LinkState::Up {
        thread::sleep(Duration::from_millis(50));
    }
    // A client of DPDK's has no buffers for us before it forwards.
    thread::sleep(Duration::from_secs(1));
    let pool = Pool::small(4096);
    let (mut cache, drops, mut vector) = (pool.cache(), Drops::default(), Vector::new());
    let (mut under_way, mut windows) = (0, Vec::new());
    for _ in 0..WINDOWS {
        let (mut sent, mut got, mut out, mut back) = (0, 0, 0, 0);
        let begin = tsc();
        while got < PACKETS {
            if under_way + VECTOR_SIZE as u64 <= UNDER_WAY {
                cache.alloc_into(&mut vector, VECTOR_SIZE);
                for packet in vector.as_mut_slice() {
                    packet.set_len(64);
                    packet.data_mut().fill(2);
                }
                let count = vector.len() as u64;
                let start = tsc();
                let mut io = Io::new(&mut cache, &drops);
                port.transmit(&mut io, &mut vector);
                out += tsc() - start;
                let gone = count - io.lost().packets;
                (sent, under_way) = (sent + gone, under_way + gone);
            }
            let start = tsc();
            port.receive(&mut Io::new(&mut cache, &drops), &mut vector);
            if !vector.is_empty() {
                back += tsc() - start;
                got += vector.len() as u64;
                under_way = under_way.saturating_sub(vector.len() as u64);
                cache.free_all(&mut vector);
            }
        }
        let rate = got as f64 * tsc_hz() as f64 / (tsc() - begin) as f64 / 1e6;
        windows.push((out / sent.max(1) + back / got, out / sent.max(1), back / got, rate));
    }
    windows.sort_by_key(|window| window.0);
    for (what, (all, out, back, rate)) in [("best", windows[0]), ("median", windows[WINDOWS / 2])] {
        println!("{what}: {all} cycles a packet, {out} out and {back} back; {rate:.1} million a second");
    }
    println!("dropped: {}", drops.total());
    port.close(&mut Io::new(&mut cache, &drops));
}
