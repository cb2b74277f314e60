//! The least that a switch between two TAPs can do, to measure a switch against: `forward A B CORE` makes two TAPs with all
//! offloads, prints "ready", and carries frames between them from then on, polling on one core. No graph, no tables, no
//! counters, one buffer. `scripts/bench-containers` runs it beside the switch.

use std::error::Error;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use paceline_tap::{HEADER, Options, Tap};

/// Frames of one TAP before it is the other's turn, as many as the switch takes for a vector.
const VECTOR: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [a, b, core] = &arguments[..] else { return Err("usage: forward TAP TAP CORE".into()) };
    let mut cores = CpuSet::new();
    cores.set(core.parse()?)?;
    sched_setaffinity(Pid::from_raw(0), &cores)?;
    let taps = [Tap::open(a, Options::default())?, Tap::open(b, Options::default())?];
    println!("ready");
    let mut buffer = vec![0; HEADER + 14 + 65_536];
    loop {
        for (from, to) in [(&taps[0], &taps[1]), (&taps[1], &taps[0])] {
            for _ in 0..VECTOR {
                let Ok(len) = from.read(&mut buffer) else { break };
                // What is refused is lost, as on a wire.
                let _ = to.write(&buffer[..len]);
            }
        }
    }
}
