//! `paceline bench`: benchmark scenarios, without privilege.

use std::fmt::Display;

use clap::{Args as ClapArgs, Subcommand};
use paceline_bench::{
    AclRules, Ip, IpVersion, L2Bridge, Lengths, Method, NatFlows, Reconfigure, Vxlan, vxlan,
};

use crate::fail::Fail;
use crate::table::{print_json, say};

/// Options of `bench`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
A scenario runs the daemon's nodes on this thread, from a generator to a null port. Figures are TSC cycles per packet for all
but the generator: the median of many short windows, with the best and the worst. Run it on a quiet machine.
reconfigure is another kind: a worker on a thread of its own forwards by one route, while this one adds and removes others,
and tunnels.

Examples:
  paceline bench l2-bridge
  paceline bench l2-bridge --macs 10000 --json | jq .cycles_per_packet
  paceline bench ip4 --routes 500000 --dfz
  paceline bench reconfigure --routes 100000
  paceline bench nat44 --flows 10000
  paceline bench vxlan-encap --tunnels 100 --macs 10000
  paceline bench acl --rules 1000 --mixed
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
    /// Route IPv4 packets
    Ip4 {
        #[command(flatten)]
        table: Table,
        #[command(flatten)]
        how: How,
    },
    /// Route IPv6 packets
    Ip6 {
        #[command(flatten)]
        table: Table,
        #[command(flatten)]
        how: How,
    },
    /// Add and remove routes and tunnels and replace policies while packets are forwarded, none of which may be lost
    Reconfigure {
        /// Routes that come in one change and go in another, 1 to 1000000
        #[arg(long, default_value_t = 10_000)]
        routes: u32,
        /// Changes of one route each, while all the others are there, and of a policy of 1000 rules, 1 to 10000
        #[arg(long, default_value_t = 100)]
        changes: u32,
        /// Tunnels that come in one change and go in another, 0 to 4000
        #[arg(long, default_value_t = 1000)]
        tunnels: u32,
        /// As JSON, for programs: field names are stable
        #[arg(long)]
        json: bool,
    },
    /// Translate IPv4 packets that leave by an outside interface
    Nat44 {
        #[command(flatten)]
        flows: Flows,
        #[command(flatten)]
        how: How,
    },
    /// Filter IPv4 packets by a policy, and route them
    Acl {
        /// Rules that permit, each a network of its own, 1 to 60000; all else is denied
        #[arg(long, default_value_t = 1)]
        rules: u32,
        /// Rules look at different fields; else all look at the same
        #[arg(long)]
        mixed: bool,
        /// Flows are remembered, and all are known from the start
        #[arg(long)]
        stateful: bool,
        /// Destinations, drawn from the rules by chance: 1 to 1000000
        #[arg(long, default_value_t = 10_000)]
        flows: u32,
        /// Bytes of a frame without its checksum, 64 to 1514
        #[arg(long, default_value_t = 64)]
        size: u16,
        #[command(flatten)]
        how: How,
    },
    /// Translate IPv6 packets that leave by an outside interface
    Nat66 {
        #[command(flatten)]
        flows: Flows,
        #[command(flatten)]
        how: How,
    },
    /// Bridge frames into VXLAN tunnels
    VxlanEncap {
        /// Pairs of source and destination address, 1 to 500000, spread over the tunnels; destinations come in random order
        #[arg(long, default_value_t = 1)]
        macs: u32,
        /// Tunnels, each to another end: 1 to 1000
        #[arg(long, default_value_t = 1)]
        tunnels: u32,
        #[command(flatten)]
        outer: Outer,
        #[command(flatten)]
        how: How,
    },
    /// Bridge frames that come by VXLAN tunnels
    VxlanDecap {
        /// Pairs of source and destination address, as many as tunnels to 500000, spread over these [default: one for each]
        #[arg(long, value_name = "N")]
        macs: Option<u32>,
        /// Tunnels, each from another end: 1 to 256
        #[arg(long, default_value_t = 1)]
        tunnels: u32,
        #[command(flatten)]
        outer: Outer,
        #[command(flatten)]
        how: How,
    },
}

/// Flows that are translated.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub struct Flows {
    /// Inside hosts, each with one UDP flow: 1 to 1000000
    #[arg(long, default_value_t = 1)]
    flows: u32,
    /// Bytes of a frame without its checksum, 64 to 1514
    #[arg(long, default_value_t = 64)]
    size: u16,
}

impl Flows {
    fn scenario(self, version: IpVersion) -> NatFlows {
        NatFlows { version, flows: self.flows, size: self.size }
    }
}

/// Packets of tunnels.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub struct Outer {
    /// Tunnels over IPv6, not IPv4
    #[arg(long)]
    ipv6: bool,
    /// Bytes of an inner frame without its checksum, 60 to 1450
    #[arg(long, default_value_t = 64)]
    size: u16,
}

impl Outer {
    fn scenario(self, tunnels: u32, macs: u32) -> Vxlan {
        let version = if self.ipv6 { IpVersion::V6 } else { IpVersion::V4 };
        Vxlan { version, tunnels, macs, size: self.size }
    }
}

/// A forwarding table, and what is looked up in it.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub struct Table {
    /// Routes, 1 to 2000000
    #[arg(long, default_value_t = 1)]
    routes: u32,
    /// Length of all prefixes [default: IPv4 24, and 32 for more than 65536 routes; IPv6 64]
    #[arg(long, value_name = "BITS", conflicts_with_all = ["dfz", "mixed"])]
    length: Option<u8>,
    /// Prefix lengths spread as on the internet
    #[arg(long)]
    dfz: bool,
    /// Prefix lengths spread evenly over 32 to 128 (IPv6)
    #[arg(long, conflicts_with = "dfz")]
    mixed: bool,
    /// Destinations, drawn from the routes by chance: 1 to 1048576 [default: 1 for one route, 65536 for more]
    #[arg(long, value_name = "N")]
    destinations: Option<u32>,
    /// Bytes of a frame without its checksum, 64 to 1514
    #[arg(long, default_value_t = 64)]
    size: u16,
}

impl Table {
    fn scenario(self, version: IpVersion) -> Ip {
        let usual = match version {
            IpVersion::V4 if self.routes > 1 << 16 => 32,
            IpVersion::V4 => 24,
            IpVersion::V6 => 64,
        };
        let lengths = match self {
            Table { dfz: true, .. } => Lengths::Internet,
            Table { mixed: true, .. } => Lengths::Even,
            _ => Lengths::One(self.length.unwrap_or(usual)),
        };
        let destinations = self.destinations.unwrap_or(if self.routes == 1 { 1 } else { 1 << 16 });
        Ip { version, routes: self.routes, lengths, destinations, size: self.size }
    }
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
        Scenario::Ip4 { table, how } => {
            (how, paceline_bench::ip(table.scenario(IpVersion::V4), how.method()))
        }
        Scenario::Ip6 { table, how } => {
            (how, paceline_bench::ip(table.scenario(IpVersion::V6), how.method()))
        }
        Scenario::Reconfigure { routes, changes, tunnels, json } => {
            let report = paceline_bench::reconfigure(Reconfigure { routes, changes, tunnels })?;
            return print(&report, serde_json::to_value(&report), json);
        }
        Scenario::Nat44 { flows, how } => {
            (how, paceline_bench::nat(flows.scenario(IpVersion::V4), how.method()))
        }
        Scenario::Acl { rules, mixed, stateful, flows, size, how } => {
            let params = AclRules { rules, mixed, stateful, flows, size };
            (how, paceline_bench::acl(params, how.method()))
        }
        Scenario::Nat66 { flows, how } => {
            (how, paceline_bench::nat(flows.scenario(IpVersion::V6), how.method()))
        }
        Scenario::VxlanEncap { macs, tunnels, outer, how } => {
            (how, vxlan::encap(outer.scenario(tunnels, macs), how.method()))
        }
        Scenario::VxlanDecap { macs, tunnels, outer, how } => {
            (how, vxlan::decap(outer.scenario(tunnels, macs.unwrap_or(tunnels)), how.method()))
        }
    };
    let report = report?;
    print(&report, serde_json::to_value(&report), how.json)
}

impl How {
    fn method(self) -> Method {
        Method { windows: self.windows, vectors: self.vectors }
    }
}

fn print(text: &impl Display, value: serde_json::Result<serde_json::Value>, json: bool) -> Result<(), Fail> {
    if json { print_json(&value.expect("a report is JSON")) } else { say(&text.to_string()) }
}
