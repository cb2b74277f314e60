//! What the command line takes.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum, ValueHint};
use ipnet::IpNet;
use paceline_model::config::Api;
use paceline_model::{PortName, VrfName};

use crate::bench::Bench;

/// A userspace packet switch, and a network and IPAM driver for Docker.
#[derive(Debug, Parser)]
#[command(
    name = "paceline",
    version,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        paceline run                                  serve Docker, with no configuration file\n  \
        docker network create -d paceline --ipam-driver paceline --subnet 10.77.0.0/24 fast\n  \
        paceline show interfaces\n  \
        paceline trace add 1 && paceline trace show   the way of the next packet"
)]
pub struct Args {
    /// Socket of the API [default: /run/paceline/api.sock, or what the configuration says]
    #[arg(long, global = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub api_socket: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Args {
    /// Where a running switch is found.
    pub fn api_socket(&self) -> PathBuf {
        self.api_socket.clone().unwrap_or_else(|| Api::default().socket)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the switch, until SIGTERM or Ctrl-C
    Run(Run),
    /// Check a configuration file, and show what it would make
    #[command(after_help = "Exit status: 0 if the file can be used, 1 if not.\n\nExamples:\n  \
        paceline check configs/l2-bridge.toml")]
    Check {
        /// The file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Show what the running switch has and does
    Show(Show),
    /// Follow packets through the graph
    #[command(subcommand)]
    Trace(Trace),
    /// Forget what was learned or recorded
    #[command(subcommand)]
    Clear(Clear),
    /// Capture the frames of a port to a file
    Pcap(Pcap),
    /// Add routes, or take them out
    #[command(subcommand)]
    Route(RouteCommand),
    /// Policies by labels: who may reach whom
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Show what rules with log have decided
    Flows(Flows),
    /// Ask a host for an answer, from the switch
    Ping(Ping),
    /// Measure the switch on this machine
    Bench(Bench),
    /// Print completions for a shell
    #[command(after_help = "Examples:\n  \
        paceline completions bash > /etc/bash_completion.d/paceline\n  \
        paceline completions zsh > \"${fpath[1]}/_paceline\"")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Options of `run`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Without a file the embedded default runs: one worker, a Docker driver, no ports of its own; configs/default.toml shows it.
Options take precedence over the file. Messages go to standard error; RUST_LOG=debug makes them more.
A stop, also by kill -9, leaves containers attached; the next start on the same state directory takes them up.

Examples:
  paceline run
  paceline run --config configs/l2-bridge.toml
  paceline run --no-docker --config sim.toml --api-socket /tmp/api.sock --state-dir /tmp/state   (without root)")]
pub struct Run {
    /// Configuration file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Directory of the durable state [default: /var/lib/paceline]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state_dir: Option<PathBuf>,
    /// Socket for Docker; the file's name is the driver's [default: /run/docker/plugins/paceline.sock]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub docker_socket: Option<PathBuf>,
    /// Do not serve Docker
    #[arg(long, conflicts_with = "docker_socket")]
    pub no_docker: bool,
}

/// Options of `show`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    paceline show interfaces\n  \
    paceline show nat --session 10.0.0.2\n  \
    paceline show runtime --json | jq '.[] | {name, cycles_per_packet}'")]
pub struct Show {
    /// What to show
    #[arg(value_enum)]
    pub what: What,
    /// As JSON, for programs: field names are stable
    #[arg(long)]
    pub json: bool,
    /// With nat: its sessions, all or those with this address or part of one
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "")]
    pub session: Option<String>,
}

/// What can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Ports: kind, state, bridge, packets and drops
    Interfaces,
    /// Bridge domains: members, limits, addresses learned, moved and refused
    Bridges,
    /// Learned and static addresses
    Macs,
    /// Multicast groups that bridges with snooping know: who is in them, and which ports lead to routers
    Groups,
    /// VXLAN tunnels: segment, bridge, ends, packets and drops
    Tunnels,
    /// Routing tables: interfaces, number of routes, memory
    Vrfs,
    /// Routes: where they come from, what they do, next hops
    Routes,
    /// Neighbours: address, MAC address, state
    Neighbours,
    /// Address translation: addresses, sessions and why some were not begun; the sessions with --session
    Nat,
    /// Nodes of the graph: vectors, packets per vector, cycles per packet
    Runtime,
    /// Dropped packets by place and reason
    Drops,
    /// Packet memory
    Buffers,
    /// Rules of policies and lists at each interface, and how much they have decided about
    Filters,
    /// Flows that stateful policies and lists remember
    Sessions,
    /// Docker's networks
    Networks,
    /// Published ports of containers, which `docker ps` does not show
    Ports,
    /// Docker's endpoints: addresses, state and errors
    Endpoints,
    /// Worker threads: core, mode, turns, share of the time asleep
    Workers,
    /// Version and place of the running switch
    Version,
}

/// Options of `trace`.
#[derive(Debug, Subcommand)]
pub enum Trace {
    /// Record the way of the next packets
    #[command(after_help = "Examples:\n  \
        paceline trace add 10\n  \
        paceline trace add 1 --port uplink")]
    Add {
        /// How many packets, 1 to 10000
        count: usize,
        /// Only packets that come in by this port
        #[arg(long)]
        port: Option<String>,
    },
    /// Show what was recorded
    #[command(after_help = "Examples:\n  \
        paceline trace show\n  \
        paceline trace show --json | jq -r '.[0].text'")]
    Show {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Stop recording and forget all records
    #[command(after_help = "Examples:\n  paceline trace clear")]
    Clear,
}

/// Options of `clear`.
#[derive(Debug, Subcommand)]
pub enum Clear {
    /// Forget learned addresses; static ones stay
    #[command(after_help = "Examples:\n  paceline clear macs\n  paceline clear macs --bridge lan")]
    Macs {
        /// Only those of this bridge
        #[arg(long)]
        bridge: Option<String>,
    },
    /// Forget a network that was removed in Docker while the switch was down, and free its subnets
    #[command(after_help = "Examples:\n  paceline show networks\n  paceline clear network 4a5be4b0")]
    Network {
        /// Its ID, or so much of the beginning that no other has it
        id: String,
    },
    /// Stop tracing and forget all records
    #[command(after_help = "Examples:\n  paceline clear trace")]
    Trace,
}

/// Options of `pcap`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Frames that enter and frames that leave by the port are captured, until the count, the time or Ctrl-C.
Wireshark and tcpdump open the file.

Examples:
  paceline pcap uplink /tmp/uplink.pcap --seconds 10
  paceline pcap e-0123456789ab - | tcpdump -n -r -")]
pub struct Pcap {
    /// The port, as in `paceline show interfaces`
    pub port: String,
    /// The file to write, made anew; - is standard output
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// End after so many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: Option<u64>,
    /// Keep at most so many bytes of each frame, 1 to 262144 [default: all]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=262_144))]
    pub snap: Option<u32>,
}

/// Options of `route`.
#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// Add a route, or change it; it outlives a restart
    #[command(after_help = "Examples:\n  \
        paceline route add 10.0.0.0/8 --via 192.168.1.1\n  \
        paceline route add ::/0 --via fe80::1 --interface uplink\n  \
        paceline route add 10.9.0.0/16 --via 10.1.0.1 --via 10.2.0.1   flows are spread over both\n  \
        paceline route add 10.66.0.0/16 --blackhole --vrf blue")]
    Add(AddRouteArgs),
    /// Take a route out
    #[command(after_help = "Examples:\n  paceline route del 10.0.0.0/8")]
    Del {
        /// The destinations
        prefix: IpNet,
        /// The routing table
        #[arg(long, value_name = "NAME", default_value = VrfName::DEFAULT)]
        vrf: VrfName,
    },
}

/// Options of `route add`.
#[derive(Debug, ClapArgs)]
pub struct AddRouteArgs {
    /// The destinations
    pub prefix: IpNet,
    /// A router to hand packets to; several: flows are spread over them
    #[arg(long, value_name = "ADDRESS", required_unless_present_any = ["interface", "Nowhere"])]
    pub via: Vec<IpAddr>,
    /// The interface to leave by [default: the one whose subnet the router is in]
    #[arg(long, value_name = "NAME")]
    pub interface: Option<PortName>,
    /// The routing table
    #[arg(long, value_name = "NAME", default_value = VrfName::DEFAULT)]
    pub vrf: VrfName,
    /// Nowhere
    #[command(flatten)]
    pub what: Nowhere,
}

/// A route that leads nowhere.
#[derive(Debug, ClapArgs)]
#[group(multiple = false, conflicts_with_all = ["via", "interface"])]
pub struct Nowhere {
    /// Drop the packets without a word
    #[arg(long)]
    pub blackhole: bool,
    /// Drop the packets, and tell senders that they cannot arrive
    #[arg(long)]
    pub unreachable: bool,
    /// Drop the packets, and tell senders that this is forbidden
    #[arg(long)]
    pub prohibit: bool,
}

/// Options of `flows`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Rules with log = true, and those whose action is log or audit, tell of the first packet of each flow.

Examples:
  paceline flows
  paceline flows --follow
  paceline flows --json | jq -r '.[] | select(.verdict == \"deny\") | .source'")]
pub struct Flows {
    /// As JSON, for programs: field names are stable; with --follow, an object a line
    #[arg(long)]
    pub json: bool,
    /// Go on, as it happens
    #[arg(long, short)]
    pub follow: bool,
}

/// Options of `policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Put the policies of a file in place of all that there are; they outlive a restart
    #[command(after_help = "\
What changes is printed. A file with a mistake changes nothing.

Examples:
  paceline policy apply shop.toml --dry-run
  paceline policy apply shop.toml")]
    Apply {
        /// The file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Only print what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Show policies, and how much each rule has decided about
    #[command(after_help = "Examples:\n  \
        paceline policy show\n  \
        paceline policy show --json | jq '.[] | select(.packets > 0) | {name, packets}'")]
    Show {
        /// As JSON, for programs: field names are stable
        #[arg(long)]
        json: bool,
    },
    /// Say whether a packet may pass, and which rule says so
    #[command(after_help = "\
An end is an endpoint (its port, or the beginning of its ID, as in `paceline show endpoints`), an address or a prefix.
Exit status: 0 if it may pass, 1 if not.

Examples:
  paceline policy test 10.77.0.10 10.77.0.20 5432
  paceline policy test e-0123456789ab 8.8.8.8 53/udp
  paceline policy test 192.0.2.0/24 10.77.0.20 8/icmp")]
    Test {
        /// Who sends it
        from: String,
        /// Who receives it
        to: String,
        /// Port and protocol: 5432, 53/udp, 8/icmp (a type), gre
        port: String,
        /// As JSON, for programs: field names are stable
        #[arg(long)]
        json: bool,
    },
    /// Take one policy out
    #[command(after_help = "Examples:\n  paceline policy delete db")]
    Delete {
        /// Its name
        policy: String,
    },
}

/// Options of `ping`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Exit status: 0 if there was an answer, 1 if not.

Examples:
  paceline ping 10.0.0.2
  paceline ping fd00::2 --vrf blue --count 1 --size 1400
  paceline ping fe80::1 --interface wan")]
pub struct Ping {
    /// Who is asked
    pub address: IpAddr,
    /// The routing table that leads there
    #[arg(long, value_name = "NAME", default_value = VrfName::DEFAULT)]
    pub vrf: VrfName,
    /// The interface to ask by; link-local addresses need one [default: the one that a route leads by]
    #[arg(long, short = 'I', value_name = "NAME")]
    pub interface: Option<PortName>,
    /// The address to ask from [default: that of the interface that leads there]
    #[arg(long, value_name = "ADDRESS")]
    pub source: Option<IpAddr>,
    /// How many requests
    #[arg(long, short, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// Seconds between two
    #[arg(long, short, value_name = "S", default_value_t = 1.0, value_parser = interval)]
    pub interval: f64,
    /// Bytes behind the ICMP header, up to 65000
    #[arg(long, short, value_name = "BYTES", default_value_t = 56, value_parser = clap::value_parser!(u16).range(..=65_000))]
    pub size: u16,
    /// Time to live, or hop limit
    #[arg(long, short, value_name = "HOPS", default_value_t = 64, value_parser = clap::value_parser!(u8).range(1..))]
    pub ttl: u8,
    /// Let no router cut it
    #[arg(long)]
    pub whole: bool,
}

fn interval(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "must be a number of seconds from 0 to 3600".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_explains_itself_with_an_example() {
        fn walk(command: &clap::Command, above: bool) {
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                let name = sub.get_name();
                assert!(sub.get_about().is_some() && !sub.is_hide_set(), "{name}");
                let example = sub.get_after_help().is_some_and(|help| help.to_string().contains("Example"));
                assert!(above || example || sub.has_subcommands(), "{name} has no example");
                walk(sub, example);
            }
        }
        walk(&Args::command(), false);
    }

    #[test]
    fn the_api_socket_goes_anywhere() {
        for line in [
            ["paceline", "--api-socket", "/a", "show", "macs"],
            ["paceline", "show", "macs", "--api-socket", "/a"],
        ] {
            assert_eq!(Args::parse_from(line).api_socket(), PathBuf::from("/a"));
        }
        assert!(Args::try_parse_from(["paceline", "run", "--no-docker", "--docker-socket", "/a"]).is_err());
        assert!(Args::try_parse_from(["paceline", "pcap", "p", "f", "--count", "0"]).is_err());
    }
}
