//! `paceline bench`: benchmark scenarios on this thread, without privilege.

use clap::{Args as ClapArgs, Subcommand};
use paceline_bench::{L2Bridge, Method, Report};

use crate::fail::Fail;
use crate::table::{print_json, say};

/// Options of `bench`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
A scenario runs the daemon's nodes on this thread, from a generator to a null port. Figures are TSC cycles per packet for all
but the generator: the median of many short windows, with the best and the worst. Run it on a quiet machine.

Examples:
  paceline bench l2-bridge
  paceline bench l2-bridge --macs 10000 --json | jq .cycles_per_packet
  taskset -c 1 paceline bench l2-bridge --macs 100000 --windows 200")]
pub struct Bench {
    /// What to measure
    #[command(subcommand)]
    pub scenario: Scenario,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum Scenario {
    /// Bridge frames between pairs of known addresses
    L2Bridge {
        /// Pairs of source and destination address, 1 to 500000; destinations come in random order
        #[arg(long, default_value_t = 1)]
        macs: u32,
        /// Bytes of a frame without its checksum, 60 to 1514
        #[arg(long, default_value_t = 64)]
        size: u16,
        #[command(flatten)]
        how: How,
    },
}

/// How to measure.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub struct How {
    /// Windows, at least 10
    #[arg(long, default_value_t = Method::default().windows)]
    windows: u32,
    /// Vectors in a window
    #[arg(long, default_value_t = Method::default().vectors)]
    vectors: u32,
    /// As JSON, for programs: field names are stable
    #[arg(long)]
    json: bool,
}

/// Runs a scenario and prints what it found.
pub fn bench(options: &Bench) -> Result<(), Fail> {
    let (how, report) = match options.scenario {
        Scenario::L2Bridge { macs, size, how } => {
            (how, paceline_bench::l2_bridge(L2Bridge { macs, size }, how.method()))
        }
    };
    print(&report?, how.json)
}

impl How {
    fn method(self) -> Method {
        Method { windows: self.windows, vectors: self.vectors }
    }
}

fn print(report: &Report, json: bool) -> Result<(), Fail> {
    if json {
        print_json(&serde_json::to_value(report).expect("a report is JSON"))
    } else {
        say(&report.to_string())
    }
}
