//! How cycles are measured: many short windows, and the median of them.
//!
//! A window is short (some milliseconds), so that most of them see no interrupt and no neighbour. The time of the generator
//! is taken around its calls and subtracted; all else of the worker's loop counts.

use paceline_sys::cpu::{tsc, tsc_hz};

use crate::BenchError;
use crate::report::{NodeReport, Report};
use crate::rig::Rig;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Windows, at least 10.
    pub windows: u32,
    /// Vectors in each.
    pub vectors: u32,
}

impl Default for Method {
    fn default() -> Self {
        Method { windows: 50, vectors: 2000 }
    }
}

/// One window.
struct Window {
    cycles: f64,
    generator: f64,
    nodes: Vec<(f64, f64)>,
}

/// Runs a rig and makes the report.
pub(crate) fn measure(
    rig: &mut Rig,
    method: Method,
    scenario: &'static str,
    params: serde_json::Map<String, serde_json::Value>,
) -> Result<Report, BenchError> {
    crate::within("windows", method.windows.into(), 10, 100_000)?;
    crate::within("vectors", method.vectors.into(), 1, 10_000_000)?;
    // Warm-up: every buffer and table line has been touched, every address is fresh.
    window(rig, method.vectors * 3);
    let start = rig.source[0].rx_packets.get();
    let windows: Vec<Window> = (0..method.windows).map(|_| window(rig, method.vectors)).collect();
    let packets = rig.source[0].rx_packets.get() - start;
    if rig.drops() > 0 {
        return Err(BenchError::Drops(rig.drops()));
    }
    let cycles: Vec<f64> = windows.iter().map(|w| w.cycles).collect();
    let median_cycles = median(cycles.clone());
    let names = rig.nodes.iter().map(|n| (*n).to_string()).chain(["null-tx".to_string()]);
    let nodes = names.enumerate().map(|(i, name)| NodeReport {
        name,
        cycles_per_packet: median(windows.iter().map(|w| w.nodes[i].0).collect()),
        packets_per_vector: median(windows.iter().map(|w| w.nodes[i].1).collect()),
    });
    Ok(Report {
        scenario,
        params,
        packets,
        mpps: tsc_hz() as f64 / median_cycles / 1e6,
        tsc_hz: tsc_hz(),
        cycles_per_packet: median_cycles,
        cycles_min: cycles.iter().copied().fold(f64::INFINITY, f64::min),
        cycles_max: cycles.iter().copied().fold(0.0, f64::max),
        generator_cycles_per_packet: median(windows.iter().map(|w| w.generator).collect()),
        nodes: nodes.filter(|n| n.packets_per_vector > 0.0).collect(),
    })
}

/// Counters of all nodes and of the sink: vectors, packets, cycles.
fn counters(rig: &Rig) -> Vec<[u64; 3]> {
    let nodes = rig.node_counters.iter().map(|c| [c.vectors.get(), c.packets.get(), c.cycles.get()]);
    let sink = &rig.sink[0];
    nodes.chain([[sink.tx_vectors.get(), sink.tx_packets.get(), sink.tx_cycles.get()]]).collect()
}

fn window(rig: &mut Rig, vectors: u32) -> Window {
    let before = counters(rig);
    let (packets, generator) = (rig.source[0].rx_packets.get(), rig.source[0].rx_cycles.get());
    let start = tsc();
    for _ in 0..vectors {
        rig.worker.turn();
    }
    let cycles = tsc() - start;
    let packets = (rig.source[0].rx_packets.get() - packets).max(1) as f64;
    let generator = rig.source[0].rx_cycles.get() - generator;
    let after = counters(rig);
    let nodes = after.iter().zip(before).map(|(now, then)| {
        let [vectors, packets, cycles] = [now[0] - then[0], now[1] - then[1], now[2] - then[2]];
        (cycles as f64 / packets.max(1) as f64, packets as f64 / vectors.max(1) as f64)
    });
    Window {
        cycles: (cycles.saturating_sub(generator)) as f64 / packets,
        generator: generator as f64 / packets,
        nodes: nodes.collect(),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
