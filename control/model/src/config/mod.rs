//! The configuration file.
//!
//! Every field has a default, an unknown one is refused, and `configs/example.toml` shows and explains all of them.
//! Numbers are checked against their limits while they are read ([`Config::parse`]), what fields say of each other
//! afterwards (`check`); either way the error points to file, line and column.

pub mod acl;
mod bridge;
pub(crate) mod check;
mod error;
pub(crate) mod field;
mod interface;
mod limits;
mod nat;
pub(crate) mod parse;
mod port;
mod route;
mod stream;
mod uplink;
mod vxlan;

use std::path::PathBuf;
use std::sync::OnceLock;

use ipnet::IpNet;
use paceline_sys::HugePages;
use serde::{Deserialize, Serialize};

use crate::policy::file::Group;
use crate::{Attach, DesiredFilter, IfName, PortName, VrfName};

pub use acl::{Acl, AclRule, BitRate, Bytes, Dscp, Filters};
pub use bridge::{Bridge, Member, Snooping, StaticMac, UnknownUnicast};
pub use check::Host;
pub use error::{ConfigError, Problem};
pub use interface::{Interface, InterfaceError, Neighbour, On};
pub(crate) use limits::maybe_between;
pub use nat::{Nat, NatMapping};
pub use port::{Afxdp, Memif, Packet, Pcap, Port, PortKind, Replay, Role, Tap, VhostUser, XdpMode};
pub use route::{Action, StaticRoute, StaticRoutes, Vrf};
pub use stream::{Generator, Stream};
pub use uplink::Uplink;
pub use vxlan::{Remote, Vxlan};

/// The MTU of ports and networks that do not say, in bytes.
pub const DEFAULT_MTU: u16 = 1500;
/// The smallest MTU, in bytes: that of IPv4 (RFC 791).
pub const MIN_MTU: u16 = 68;
/// The largest MTU, in bytes.
pub const MAX_MTU: u16 = 65535;

/// Most rules of an ACL that are compared with each other.
const MAX_COMPARED: usize = 5000;

/// The configuration file. [`Config::default`] is what runs without one.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Config {
    /// `[buffers]`
    pub buffers: Buffers,
    /// `[workers]`
    pub workers: Workers,
    /// `[sessions]`
    pub sessions: Sessions,
    /// `[docker]`
    pub docker: Docker,
    /// `[api]`
    pub api: Api,
    /// `[state]`
    pub state: State,
    /// `[[port]]`
    #[serde(rename = "port")]
    pub ports: Vec<Port>,
    /// `[[bridge]]`
    #[serde(rename = "bridge")]
    pub bridges: Vec<Bridge>,
    /// `[[vrf]]`
    #[serde(rename = "vrf")]
    pub vrfs: Vec<Vrf>,
    /// `[[interface]]`
    #[serde(rename = "interface")]
    pub interfaces: Vec<Interface>,
    /// `[nat]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat: Option<Nat>,
    /// `[[route]]`
    #[serde(rename = "route")]
    pub routes: StaticRoutes,
    /// `[[uplink]]`
    #[serde(rename = "uplink")]
    pub uplinks: Vec<Uplink>,
    /// `[[vxlan]]`
    #[serde(rename = "vxlan")]
    pub vxlans: Vec<Vxlan>,
    /// `[[group]]`
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
    /// `[[acl]]`
    #[serde(rename = "acl")]
    pub acls: Vec<Acl>,
    /// What comes of lists and filters, when it was asked for.
    #[serde(skip)]
    pub(crate) filters: Once<Vec<(PortName, DesiredFilter)>>,
}

/// A value that follows from the others, made when it is first asked for. It makes no difference.
#[derive(Debug, Clone, Default)]
pub(crate) struct Once<T>(pub(crate) OnceLock<T>);

impl<T> PartialEq for Once<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Config {
    /// Devices that networks can have for an uplink. There is one address translation: with a `[nat]` of the file there is none for
    /// networks.
    pub fn uplinks_of_networks(&self) -> impl Iterator<Item = IfName> {
        self.uplinks.iter().filter(|_| self.nat.is_none()).map(|uplink| uplink.device)
    }

    /// What is probably not meant: rules of ACLs that are never reached. Those of longer lists are not compared.
    pub fn warnings(&self) -> Vec<String> {
        let short = self.acls.iter().filter(|acl| acl.rules.len() <= MAX_COMPARED);
        let told = |acl: &Acl, first: usize, index: usize| {
            let actions = [first, index].map(|rule| acl.rules[rule].action);
            let (own, other) = (acl.rule_name(index), acl.rule_name(first));
            let action = if actions[0] == actions[1] { "" } else { ", with another action" };
            format!("rule {own} is never reached: {other} holds for all its packets{action}")
        };
        let all = short.flat_map(|acl| acl.shadowed().map(move |(first, index)| told(acl, first, index)));
        all.collect()
    }

    /// All addresses of interfaces in one routing table, with the prefix length of their subnet.
    pub fn addresses(&self, vrf: &VrfName) -> Vec<(PortName, IpNet)> {
        let interfaces = self.interfaces.iter().filter(|interface| interface.vrf == *vrf);
        let of = |interface: &Interface| {
            let name = interface.name.clone();
            interface.addresses.clone().into_iter().map(move |net| (name.clone(), net))
        };
        interfaces.flat_map(of).collect()
    }
}

/// The memory that packets live in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Buffers {
    /// How many, 1024 to 4194304.
    #[serde(deserialize_with = "limits::between::<_, _, 1024, 4_194_304>")]
    pub count: u32,
    /// Bytes of each, 2048 or 4096: what `AF_XDP` takes as a chunk of aligned memory.
    #[serde(deserialize_with = "limits::chunk")]
    pub size: u32,
    /// Whether they are on huge pages.
    #[serde(with = "HugePagesText")]
    pub hugepages: HugePages,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { count: 16384, size: 4096, hugepages: HugePages::Prefer }
    }
}

/// [`HugePages`] as it is written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "HugePages", rename_all = "lowercase")]
enum HugePagesText {
    Require,
    Prefer,
    Never,
}

/// The threads that move packets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workers {
    /// One worker is pinned to each of these cores. None: one worker on the last core that the process may use.
    pub cores: Option<Vec<usize>>,
    /// What a worker does when there is nothing to do.
    pub mode: WorkerMode,
    /// Microseconds that an adaptive worker looks for packets before it sleeps, 0 to 1000000.
    #[serde(deserialize_with = "limits::between::<_, _, 0, 1_000_000>")]
    pub idle_spin_us: u32,
}

impl Default for Workers {
    fn default() -> Self {
        Self { cores: None, mode: WorkerMode::default(), idle_spin_us: 200 }
    }
}

/// What a worker does when there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerMode {
    /// Looks on for a while, then sleeps until a port wakes it.
    #[default]
    Adaptive,
    /// Looks on for ever: lowest latency, a core always busy.
    Poll,
    /// Sleeps at once.
    Interrupt,
}

/// The driver for Docker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Docker {
    /// Whether there is one.
    pub enabled: bool,
    /// Where the engine finds it; the file's name is the driver's.
    pub socket: PathBuf,
    /// How containers are attached whose network does not say.
    pub attach: Attach,
    /// The TAP that leads from the host's own stack to Docker's networks.
    #[serde(with = "crate::text")]
    pub host_device: IfName,
}

impl Default for Docker {
    fn default() -> Self {
        Self {
            enabled: true,
            socket: "/run/docker/plugins/paceline.sock".into(),
            attach: Attach::DEFAULT,
            host_device: "paceline0".parse().expect("it is an interface name"),
        }
    }
}

/// The socket of the command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// Its path.
    pub socket: PathBuf,
}

impl Default for Api {
    fn default() -> Self {
        Self { socket: "/run/paceline/api.sock".into() }
    }
}

/// How filters with a memory keep connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// Most connections that each worker remembers, of IPv4 and as many of IPv6, 1 to 4194304.
    #[serde(deserialize_with = "limits::between::<_, _, 1, 4_194_304>")]
    pub limit: u32,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { limit: 65_536 }
    }
}

/// What outlives a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// The directory it is in.
    pub dir: PathBuf,
}

impl Default for State {
    fn default() -> Self {
        Self { dir: "/var/lib/paceline".into() }
    }
}
