//! `l2-bridge`: generator → bridge → null port, all addresses known.

use std::sync::Arc;

use paceline_graph::{Bridge, BridgeCounters, UnknownUnicast};
use paceline_ports::{GeneratorConfig, Order, Sizes, Span, StreamConfig};
use paceline_tables::MacTable;
use serde_json::json;

use crate::measure::{Method, measure};
use crate::rig::{Rig, SINK, SOURCE};
use crate::{BenchError, Report, within};

/// Parameters of the scenario.
#[derive(Clone, Copy, Debug)]
pub struct L2Bridge {
    /// Pairs of source and destination address, 1 to 500 000; destinations come in random order.
    pub macs: u32,
    /// Bytes of a frame without its checksum, 60 to 1514.
    pub size: u16,
}

const SOURCES: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
const DESTINATIONS: [u8; 6] = [0x06, 0, 0, 0, 0, 1];

/// Runs the scenario.
///
/// # Errors
/// A parameter out of range, no memory, or packets that were lost on the way.
pub fn l2_bridge(params: L2Bridge, method: Method) -> Result<Report, BenchError> {
    within("macs", params.macs.into(), 1, 500_000)?;
    within("size", params.size.into(), 60, 1514)?;
    // Room for some more, as a switch has.
    let macs = Arc::new(MacTable::new((params.macs * 2).max(1000) / 8 * 9));
    for (first, port) in [(SOURCES, SOURCE), (DESTINATIONS, SINK)] {
        let first = first.iter().fold(0, |mac, byte| mac << 8 | u64::from(*byte));
        for mac in first..first + u64::from(params.macs) {
            macs.learn(mac, macs.hash(mac), port, macs.now());
        }
    }
    if macs.len() != params.macs as usize * 2 {
        return Err(BenchError::Table { want: params.macs as usize * 2, got: macs.len() });
    }
    let bridge = Bridge {
        name: "bench".into(),
        vlan: 0,
        macs,
        learn: true,
        unknown_unicast: UnknownUnicast::Flood,
        members: vec![SOURCE, SINK],
        neighbours: Arc::default(),
        multicast: None,
        counters: Arc::new(BridgeCounters::default()),
    };
    let stream = StreamConfig {
        sizes: Sizes::List(vec![params.size.into()]),
        source_mac: Span::new(SOURCES, params.macs),
        destination_mac: Span::new(DESTINATIONS, params.macs),
        order: Order::Random,
        ..StreamConfig::default()
    };
    let mut rig =
        Rig::bridged(&GeneratorConfig { streams: vec![stream], ..GeneratorConfig::default() }, bridge)?;
    let map = [("macs".to_string(), json!(params.macs)), ("size".to_string(), json!(params.size))];
    measure(&mut rig, method, "l2-bridge", map.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_keeps_its_contract() {
        let method = Method { windows: 10, vectors: 20 };
        let report = l2_bridge(L2Bridge { macs: 300, size: 64 }, method).expect("it runs");
        let value = serde_json::to_value(&report).expect("JSON");
        for field in [
            "scenario",
            "params",
            "packets",
            "mpps",
            "tsc_hz",
            "cycles_per_packet",
            "cycles_min",
            "cycles_max",
            "generator_cycles_per_packet",
            "nodes",
        ] {
            assert!(value.get(field).is_some(), "{field} is missing");
        }
        assert_eq!(report.packets, 10 * 20 * 256);
        assert_eq!(
            report.nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(),
            ["l2-bridge", "null-tx"]
        );
        assert!(report.nodes.iter().all(|n| n.packets_per_vector > 255.0));
        assert!(
            report.cycles_min <= report.cycles_per_packet && report.cycles_per_packet <= report.cycles_max
        );
    }

    #[test]
    fn parameters_are_checked() {
        let run = |macs, size| l2_bridge(L2Bridge { macs, size }, Method { windows: 10, vectors: 1 });
        assert!(matches!(run(0, 64), Err(BenchError::Range { name: "macs", .. })));
        assert!(matches!(run(1, 20), Err(BenchError::Range { name: "size", .. })));
    }
}
