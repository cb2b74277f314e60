//! What a vhost-user port costs: 64-byte frames to a guest that sends them back, and from it, in TSC cycles per packet.
//!
//! ```text
//! cargo run --release -p paceline-ports --example vhost /tmp/vhost.sock &
//! dpdk-testpmd -l 0,1 --no-pci --no-huge --no-shconf -m 256 \
//!   --vdev=net_virtio_user0,path=/tmp/vhost.sock,queues=1,queue_size=1024 -- --auto-start --no-mlockall --total-num-mbufs=8192
//! ```

use paceline_buf::{Pool, Vector};
use paceline_graph::Drops;
use paceline_ports::{Io, LinkState, Port, VhostConfig, VhostPort, VhostRole};
use paceline_sys::cpu::tsc;

/// Frames that are on their way at a time: no more than the guest's queue takes.
const WINDOW: u64 = 512;
/// Frames of one figure.
const ROUND: u64 = 100_000;
/// Figures.
const ROUNDS: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let socket = std::env::args().nth(1).ok_or("usage: vhost SOCKET")?;
    let mut port = VhostPort::open(&VhostConfig { socket: socket.into(), role: VhostRole::Server })?;
    while port.state() != LinkState::Up {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let pool = Pool::small(4096);
    let (mut cache, drops, mut vector) = (pool.cache(), Drops::default(), Vector::new());
    let (mut figures, mut on_way, mut lost) = (Vec::new(), 0_u64, 0);
    // The first round, in which the guest begins, does not count.
    for round in 0..=ROUNDS {
        let (mut there, mut back, mut sent, mut received, mut idle) = (0, 0, 0_u64, 0_u64, 0_u64);
        while received < ROUND {
            if on_way < WINDOW {
                cache.alloc_into(&mut vector, 256);
                for packet in vector.as_mut_slice() {
                    packet.set_len(64);
                    let frame = packet.data_mut();
                    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
                }
                let count = vector.len() as u64;
                let start = tsc();
                let mut io = Io::new(&mut cache, &drops);
                port.transmit(&mut io, &mut vector);
                there += tsc() - start;
                let dropped = io.lost().packets;
                (sent, on_way, lost) = (sent + count, on_way + count - dropped, lost + dropped);
            }
            let start = tsc();
            port.receive(&mut Io::new(&mut cache, &drops), &mut vector);
            let took = tsc() - start;
            if vector.is_empty() {
                idle += 1;
                // What the guest lost does not come back.
                if idle > 10_000_000 {
                    (on_way, idle) = (0, 0);
                }
                continue;
            }
            (idle, back) = (0, back + took);
            received += vector.len() as u64;
            on_way = on_way.saturating_sub(vector.len() as u64);
            cache.free_all(&mut vector);
        }
        if round > 0 {
            figures.push((there as f64 / sent as f64, back as f64 / received as f64));
        }
    }
    let mut of = |name: &str, which: fn(&(f64, f64)) -> f64| {
        figures.sort_by(|a, b| which(a).total_cmp(&which(b)));
        println!("{name:10} {:4.0} ({:.0})", which(&figures[ROUNDS / 2]), which(&figures[0]));
    };
    of("to guest", |figure| figure.0);
    of("from guest", |figure| figure.1);
    of("both", |figure| figure.0 + figure.1);
    println!("lost       {lost}");
    port.close(&mut Io::new(&mut cache, &drops));
    Ok(())
}
