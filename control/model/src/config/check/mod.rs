//! What fields say of each other, and of the host.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::port::{Port, PortKind};
use super::{Bridge, Config, Docker, Stream, VhostUser};
use crate::{BridgeName, IfName, PortName};

/// What a configuration must fit.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The cores that the process may use; none: any will do.
    pub cores: Option<BTreeSet<usize>>,
}

/// One step on the way to a value in the file.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Key(&'static str),
    At(usize),
}

impl From<&'static str> for Step {
    fn from(key: &'static str) -> Self {
        Self::Key(key)
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::At(index)
    }
}

/// Where a value is: `at!["port", 2, "mtu"]`.
macro_rules! at {
    ($($step:expr),*) => { &[$(Step::from($step)),*] };
}

pub(crate) use at;

pub mod acl;
mod interface;
mod memif;
mod nat;
mod route;
mod uplink;
mod vxlan;

/// Collects problems, each with the place of the value it is about.
pub(crate) struct Checks<'t> {
    document: &'t DeTable<'t>,
    problems: Vec<Problem>,
}

impl<'t> Checks<'t> {
    /// None yet, of this document.
    pub(crate) fn of(document: &'t DeTable<'t>) -> Self {
        Self { document, problems: Vec::new() }
    }

    /// What was collected.
    pub(crate) fn done(self) -> Vec<Problem> {
        self.problems
    }

    /// Notes a problem, unless `right`.
    pub(crate) fn expect(&mut self, right: bool, path: &[Step], message: impl FnOnce() -> String) {
        if !right {
            self.problems.push(Problem { message: message(), span: place(self.document, path) });
        }
    }
}

/// The bytes of the value at `path`, or of what is nearest to it if it is not in the file.
fn place(document: &DeTable<'_>, path: &[Step]) -> Range<usize> {
    let Some((&Step::Key(first), path)) = path.split_first() else { return 0..0 };
    let Some(mut value) = document.get(first) else { return 0..0 };
    for step in path {
        let next = match (step, value.get_ref()) {
            (Step::Key(key), DeValue::Table(table)) => table.get(*key),
            (Step::At(index), DeValue::Array(array)) => array.get(*index),
            _ => None,
        };
        let Some(next) = next else { break };
        value = next;
    }
    value.span()
}

/// All problems of a configuration that was read from `document`.
pub(super) fn problems(config: &Config, host: &Host, document: &DeTable<'_>) -> Vec<Problem> {
    let mut checks = Checks::of(document);
    cores(config, host, &mut checks);
    let ports = names(config, &mut checks);
    for (index, port) in config.ports.iter().enumerate() {
        self::port(port, index, &mut checks);
        host_device(port, index, &config.docker, &mut checks);
    }
    memif::sockets(config, &mut checks);
    let mut member_of = BTreeMap::new();
    for (index, bridge) in config.bridges.iter().enumerate() {
        self::bridge(bridge, index, &ports, &mut member_of, &mut checks);
    }
    route::vrfs(config, &mut checks);
    interface::interfaces(config, &member_of, &mut checks);
    route::routes(config, &mut checks);
    nat::nat(config, &mut checks);
    uplink::uplinks(config, &mut checks);
    vxlan::vxlans(config, &mut checks);
    acl::acls(config, &mut checks);
    checks.done()
}

fn cores(config: &Config, host: &Host, checks: &mut Checks<'_>) {
    let Some(cores) = &config.workers.cores else { return };
    checks.expect(!cores.is_empty(), at!["workers", "cores"], || {
        "workers.cores is empty: name at least one core, or leave the field out for the last one".into()
    });
    for (index, &core) in cores.iter().enumerate() {
        let path = at!["workers", "cores", index];
        checks.expect(!cores[..index].contains(&core), path, || format!("core {core}: is named twice"));
        let Some(allowed) = &host.cores else { continue };
        checks.expect(allowed.contains(&core), path, || {
            let allowed: Vec<_> = allowed.iter().map(ToString::to_string).collect();
            format!("core {core}: this process may use cores {} only", allowed.join(", "))
        });
    }
}

/// Checks that names are given once and returns those of ports.
fn names<'c>(config: &'c Config, checks: &mut Checks<'_>) -> BTreeSet<&'c PortName> {
    let (mut ports, mut bridges) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in config.ports.iter().enumerate() {
        let (name, path) = (&port.name, at!["port", index, "name"]);
        checks.expect(ports.insert(name), path, || format!("port {:?}: is there twice", name.as_str()));
        reserved(name, "port", path, checks);
    }
    for (index, bridge) in config.bridges.iter().enumerate() {
        let (name, path) = (&bridge.name, at!["bridge", index, "name"]);
        checks.expect(bridges.insert(name), path, || format!("bridge {:?}: is there twice", name.as_str()));
        checks.expect(!name.as_str().starts_with(BridgeName::DOCKER), path, || {
            format!(
                "bridge {:?}: names that begin with {:?} are those of Docker's networks",
                name.as_str(),
                BridgeName::DOCKER
            )
        });
        checks.expect(!name.as_str().starts_with(BridgeName::TRUNK), path, || {
            format!(
                "bridge {:?}: names that begin with {:?} are those of VLAN sub-interfaces",
                name.as_str(),
                BridgeName::TRUNK
            )
        });
    }
    ports
}

/// Refuses names of ports and interfaces that are made for Docker.
fn reserved(name: &PortName, what: &str, path: &[Step], checks: &mut Checks<'_>) {
    let text = name.as_str();
    for (prefix, whose) in [
        (PortName::DOCKER, "Docker's endpoints"),
        (PortName::BVI, "Docker's gateways"),
        (PortName::UPLINK, "uplinks"),
        (PortName::VXLAN, "VXLAN tunnels"),
    ] {
        checks.expect(!text.starts_with(prefix), path, || {
            format!("{what} {text:?}: names that begin with {prefix:?} are those of {whose}")
        });
    }
    checks.expect(text != PortName::HOST, path, || {
        format!("{what} {text:?}: is the name of the port to the host's own stack: choose another")
    });
}

/// Refuses a TAP that is the way to the host's own stack.
fn host_device(port: &Port, index: usize, docker: &Docker, checks: &mut Checks<'_>) {
    let PortKind::Tap(tap) = &port.kind else { return };
    let device = tap.device.or_else(|| port.name.as_str().parse().ok());
    let clash = docker.enabled && tap.netns.is_none() && device == Some(docker.host_device);
    checks.expect(!clash, at!["port", index, if tap.device.is_some() { "device" } else { "name" }], || {
        let (name, device) = (port.name.as_str(), docker.host_device);
        format!("port {name:?}: device {device} is docker.host_device: choose another for one of them")
    });
}

fn port(port: &Port, index: usize, checks: &mut Checks<'_>) {
    let name = port.name.as_str();
    checks.expect(port.mac.is_none_or(crate::MacAddr::is_unicast), at!["port", index, "mac"], || {
        format!("port {name:?}: mac must be the address of one interface, not of a group or zero")
    });
    match &port.kind {
        PortKind::Tap(tap) => {
            let fine = tap.device.is_some() || name.parse::<IfName>().is_ok();
            checks.expect(fine, at!["port", index, "name"], || {
                format!("port {name:?}: is no interface name (1 to 15 characters, no ':'): set device to one")
            });
        }
        PortKind::VhostUser(vhost) => {
            let socket = &vhost.socket;
            let fine = socket.is_absolute() && socket.as_os_str().len() <= VhostUser::MAX_SOCKET;
            checks.expect(fine, at!["port", index, "socket"], || {
                format!(
                    "port {name:?}: socket {}: must be an absolute path of at most {} bytes",
                    socket.display(),
                    VhostUser::MAX_SOCKET
                )
            });
            checks.expect(port.queues == 1, at!["port", index, "queues"], || {
                format!("port {name:?}: queues = {}: a vhost-user port has one", port.queues)
            });
            checks.expect(port.mac.is_none(), at!["port", index, "mac"], || {
                format!(
                    "port {name:?}: mac is the guest's own: set it there (QEMU: -device virtio-net-pci,mac=…)"
                )
            });
        }
        PortKind::Pcap(pcap) => {
            let fine = pcap.read.is_some() || pcap.write.is_some();
            checks.expect(fine, at!["port", index, "kind"], || {
                format!("port {name:?}: a pcap port needs a file: set read, write or both")
            });
        }
        PortKind::Generator(generator) => {
            checks.expect(!generator.streams.is_empty(), at!["port", index, "kind"], || {
                format!("port {name:?}: a generator needs at least one [[port.stream]]")
            });
            for (number, stream) in generator.streams.iter().enumerate() {
                self::stream(stream, port, index, number, checks);
            }
        }
        PortKind::Memif(memif) => memif::memif(port, memif, index, checks),
        PortKind::Packet(_) | PortKind::Afxdp(_) | PortKind::Null => {}
    }
}

fn stream(stream: &Stream, port: &Port, index: usize, number: usize, checks: &mut Checks<'_>) {
    let path = |field: &'static str| {
        [Step::from("port"), index.into(), "stream".into(), number.into(), field.into()]
    };
    let v6 = stream.src_ip.first().is_ipv6();
    checks.expect(v6 == stream.dst_ip.first().is_ipv6(), &path("dst_ip"), || {
        "dst_ip: must be of the same IP version as src_ip".into()
    });
    checks.expect(
        stream.src_mac.first().is_unicast() && stream.src_mac.last().is_unicast(),
        &path("src_mac"),
        || "src_mac: must be addresses of single interfaces, not of a group or zero".into(),
    );
    // Ethernet, a tag, IP, UDP.
    let tag = if stream.vlan.is_some() { 4 } else { 0 };
    let least = Stream::MIN_SIZE.max(14 + tag + if v6 { 40 } else { 20 } + 8);
    let most = u32::from(port.mtu) + 14 + u32::from(tag);
    checks.expect(!stream.sizes.is_empty(), &path("sizes"), || {
        "sizes: must hold at least one frame size".into()
    });
    for size in &stream.sizes {
        checks.expect(*size >= least && u32::from(*size) <= most, &path("sizes"), || {
            format!(
                "frame size {size}: must be {least} to {most} bytes (MTU {} and headers; FCS not counted)",
                port.mtu
            )
        });
    }
}

fn bridge<'c>(
    bridge: &'c Bridge,
    index: usize,
    ports: &BTreeSet<&PortName>,
    member_of: &mut BTreeMap<&'c PortName, &'c BridgeName>,
    checks: &mut Checks<'_>,
) {
    let aware = bridge.members.first().is_some_and(|member| member.vlan.is_some());
    for (number, member) in bridge.members.iter().enumerate() {
        let port = member.port.as_str();
        let path = at!["bridge", index, "member", number, "port"];
        checks.expect(ports.contains(&member.port), path, || {
            format!("member {port:?}: there is no port of this name")
        });
        if let Some(other) = member_of.insert(&member.port, &bridge.name) {
            checks.expect(false, path, || {
                format!(
                    "member {port:?}: is in bridge {:?} already, and a port is in one bridge only",
                    other.as_str()
                )
            });
        }
        checks.expect(member.vlan.is_some() == aware, at!["bridge", index, "member", number, "vlan"], || {
            let (this, others) = if aware { ("no", "have one") } else { ("a", "have none") };
            format!(
                "member {port:?}: has {this} vlan where members before it {others}; in bridge {:?} either all have one or none",
                bridge.name.as_str()
            )
        });
    }
    let mut seen = BTreeSet::new();
    for (number, entry) in bridge.static_macs.iter().enumerate() {
        let path = |field: &'static str| {
            [Step::from("bridge"), index.into(), "static_macs".into(), number.into(), field.into()]
        };
        let mac = entry.mac;
        checks.expect(mac.is_unicast(), &path("mac"), || {
            format!("static MAC {mac}: must be the address of one interface, not of a group or zero")
        });
        checks.expect(seen.insert((mac, entry.vlan)), &path("mac"), || {
            format!("static MAC {mac}: is there twice")
        });
        let member = bridge.members.iter().find(|member| member.port == entry.port);
        checks.expect(member.is_some(), &path("port"), || {
            format!("static MAC {mac}: port {:?} is no member of this bridge", entry.port.as_str())
        });
        checks.expect(entry.vlan.is_some() == aware, &path("vlan"), || {
            if aware {
                format!("static MAC {mac}: needs a vlan, as the members of this bridge have VLANs")
            } else {
                format!("static MAC {mac}: has a vlan, but the members of this bridge have none")
            }
        });
        if let (Some(id), Some(mode)) = (entry.vlan, member.and_then(|member| member.vlan.as_ref())) {
            checks.expect(mode.carries(id), &path("vlan"), || {
                format!("static MAC {mac}: port {:?} does not carry VLAN {id}", entry.port.as_str())
            });
        }
    }
}
