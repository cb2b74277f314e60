//! What a benchmark says. Names and meaning of the fields are a contract with the programs that read them.

use std::fmt;

use serde::Serialize;

/// The result of one scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// Its parameters.
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Packets measured, warm-up not counted.
    pub packets: u64,
    /// Million packets per second that `cycles_per_packet` amounts to.
    pub mpps: f64,
    /// TSC cycles per second.
    pub tsc_hz: u64,
    /// TSC cycles per packet for everything but the generator: the median of the windows.
    pub cycles_per_packet: f64,
    /// The best window.
    pub cycles_min: f64,
    /// The worst window.
    pub cycles_max: f64,
    /// TSC cycles per packet that the generator took, median.
    pub generator_cycles_per_packet: f64,
    /// Nodes and ports on the way.
    pub nodes: Vec<NodeReport>,
}

/// One node, or one side of a port.
#[derive(Clone, Debug, Serialize)]
pub struct NodeReport {
    /// Name.
    pub name: String,
    /// TSC cycles per packet, median of the windows.
    pub cycles_per_packet: f64,
    /// Packets per vector.
    pub packets_per_vector: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params: Vec<_> = self.params.iter().map(|(name, value)| format!("{name} {value}")).collect();
        writeln!(f, "{}: {}", self.scenario, params.join(", "))?;
        writeln!(
            f,
            "  {:.1} cycles per packet (best {:.1}, worst {:.1}), {:.1} Mpps at {:.2} GHz TSC; {} packets",
            self.cycles_per_packet,
            self.cycles_min,
            self.cycles_max,
            self.mpps,
            self.tsc_hz as f64 / 1e9,
            self.packets
        )?;
        writeln!(f, "  of that:")?;
        for node in &self.nodes {
            writeln!(
                f,
                "    {:<16} {:>6.1} cycles per packet, {:>5.1} packets per vector",
                node.name, node.cycles_per_packet, node.packets_per_vector
            )?;
        }
        write!(f, "  and not counted: generator {:.1} cycles per packet", self.generator_cycles_per_packet)
    }
}
