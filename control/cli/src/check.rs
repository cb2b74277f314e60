//! `paceline check`

use std::path::Path;

use paceline_model::config::{Bridge, Interface, On, Port, PortKind, Role, StaticRoute, Vxlan};
use paceline_model::{Config, Desired, DesiredTunnel, Model, PortName, VlanMode, desired};
use serde_json::{Value, json};

use crate::fail::Fail;
use crate::table::{Column, number, plain, print, say, text, words};

const PORTS: &[Column] = &[
    text("port", |row| plain(&row["name"])),
    text("kind", |row| plain(&row["kind"])),
    words("of", |row| plain(&row["of"])),
    number("mtu", |row| plain(&row["mtu"])),
    number("queues", |row| plain(&row["queues"])),
    text("bridge", |row| plain(&row["bridge"])),
    text("vlan", |row| plain(&row["vlan"])),
];

const INTERFACES: &[Column] = &[
    text("interface", |row| plain(&row["name"])),
    text("on", |row| plain(&row["on"])),
    text("vrf", |row| plain(&row["vrf"])),
    number("mtu", |row| plain(&row["mtu"])),
    words("addresses", |row| plain(&row["addresses"])),
];

const TUNNELS: &[Column] = &[
    number("vni", |row| plain(&row["vni"])),
    text("bridge", |row| plain(&row["bridge"])),
    text("local", |row| plain(&row["local"])),
    words("to", |row| plain(&row["to"])),
    number("port", |row| plain(&row["port"])),
    number("mtu", |row| plain(&row["mtu"])),
];

const ROUTES: &[Column] = &[
    text("route", |row| plain(&row["prefix"])),
    text("vrf", |row| plain(&row["vrf"])),
    words("to", |row| plain(&row["to"])),
];

/// Reads a file as `run --config` does, and says what would come of it.
pub fn check(file: &Path) -> Result<(), Fail> {
    let config = Config::load(file, &paceline_daemon::host())?;
    let rows: Vec<_> = config.ports.iter().map(|port| row(port, &config.bridges)).collect();
    print(PORTS, &rows, "no ports")?;
    say(&format!("bridges: {}", list(config.bridges.iter().map(|bridge| bridge.name.as_str()))))?;
    routing(&config)?;
    if !config.acls.is_empty() {
        let lists = config.acls.iter().map(|acl| format!("{} ({} rules)", acl.name, acl.rules.len()));
        say(&format!("ACLs: {}", lists.collect::<Vec<_>>().join(", ")))?;
    }
    let (docker, socket) = (&config.docker, config.docker.socket.display());
    say(&if docker.enabled {
        let (attach, device) = (docker.attach, docker.host_device);
        format!("Docker driver on {socket}, containers attached by {attach}, the host by {device}")
    } else {
        "no Docker driver".into()
    })?;
    let cores = config.workers.cores.as_ref().map(|cores| cores.iter().map(ToString::to_string).collect());
    let cores: Vec<String> = cores.unwrap_or_else(|| vec!["the last one".into()]);
    say(&format!("workers on cores: {}", cores.join(", ")))?;
    let buffers = &config.buffers;
    say(&format!("buffers: {} of {} bytes", buffers.count, buffers.size))?;
    for warning in config.warnings() {
        say(&format!("warning: {warning}"))?;
    }
    say(&format!("{}: good", file.display()))
}

/// Interfaces and routes, for who has any.
fn routing(config: &Config) -> Result<(), Fail> {
    let desired = desired(config, &Model::default());
    let rows: Vec<_> = config.interfaces.iter().map(|own| interface(own, &desired)).collect();
    if !rows.is_empty() {
        print(INTERFACES, &rows, "no interfaces")?;
    }
    let rows: Vec<_> = config.vxlans.iter().map(|own| tunnels(own, &desired)).collect();
    if !rows.is_empty() {
        print(TUNNELS, &rows, "no tunnels")?;
    }
    let rows: Vec<_> = config.routes.iter().map(route).collect();
    if rows.is_empty() { Ok(()) } else { print(ROUTES, &rows, "no routes") }
}

/// A segment. What carries it may be an uplink, whose addresses are the kernel's to say.
fn tunnels(vxlan: &Vxlan, desired: &Desired) -> Value {
    let overlay = vxlan.overlay();
    let found = desired.tunnels.iter().find(|(name, tunnel)| is_of(vxlan, name, tunnel, desired));
    let found = found.map(|(_, tunnel)| tunnel);
    let underlay = vxlan.underlay.as_ref().map(|name| json!(name));
    json!({
        "vni": vxlan.vni,
        "bridge": vxlan.bridge,
        "local": found.map(|tunnel| json!(tunnel.vtep.address)).or(underlay),
        "to": overlay.remotes().map(|remote| remote.to_string()).collect::<Vec<_>>(),
        "port": vxlan.port,
        "mtu": found.map(|tunnel| tunnel.mtu).or(vxlan.mtu),
    })
}

/// Whether a tunnel is a segment's. Of one VNI there may be several, with other ends here, ports or versions of IP.
fn is_of(vxlan: &Vxlan, name: &PortName, tunnel: &DesiredTunnel, desired: &Desired) -> bool {
    let bridge = desired.bridges.get(&vxlan.bridge);
    let member = bridge.and_then(|bridge| bridge.members.get(name));
    let vlan = vxlan.vlan.map(VlanMode::Access);
    member.is_some_and(|member| member.vlan == vlan)
        && (tunnel.vni, tunnel.port) == (vxlan.vni, vxlan.port)
        && vxlan.local.is_none_or(|local| local == tunnel.vtep.address)
        && vxlan.underlay.as_ref().is_none_or(|underlay| *underlay == tunnel.vtep.interface)
        && vxlan.overlay().remotes().any(|remote| remote == tunnel.remote)
}

fn interface(interface: &Interface, desired: &Desired) -> Value {
    let on = match &interface.on {
        On::Port(port) => format!("port {port}"),
        On::Vlan { port, vlan } => format!("port {port}, VLAN {vlan}"),
        On::Bridge { bridge, vlan: None } => format!("bridge {bridge}"),
        On::Bridge { bridge, vlan: Some(vlan) } => format!("bridge {bridge}, VLAN {vlan}"),
    };
    json!({
        "name": interface.name,
        "on": on,
        "vrf": interface.vrf,
        "mtu": desired.interfaces.get(&interface.name).map(|own| own.mtu),
        "addresses": interface.addresses,
    })
}

fn route(route: &StaticRoute) -> Value {
    let by = route.interface.as_ref().map(|interface| format!("by {interface}"));
    let to: Vec<String> = match (route.action, route.via.is_empty()) {
        (Some(action), _) => vec![plain(&json!(action))],
        (None, false) => route.via.iter().map(ToString::to_string).chain(by).collect(),
        (None, true) => by.into_iter().collect(),
    };
    json!({ "prefix": route.prefix, "vrf": route.vrf, "to": to })
}

fn row(port: &Port, bridges: &[Bridge]) -> Value {
    let member = |bridge: &Bridge| bridge.members.iter().find(|member| member.port == port.name).cloned();
    let found = bridges.iter().find_map(|bridge| Some((bridge.name.clone(), member(bridge)?)));
    json!({
        "name": port.name,
        "kind": port.kind.name(),
        "of": of(port),
        "mtu": port.mtu,
        "queues": port.queues,
        "bridge": found.as_ref().map(|(bridge, _)| bridge),
        "vlan": found.and_then(|(_, member)| member.vlan).map(|vlan| tags(&vlan)),
    })
}

/// What a port is made of, in a few words.
fn of(port: &Port) -> String {
    let at = |device: &dyn std::fmt::Display, netns: &Option<String>| match netns {
        Some(netns) => format!("{device} in {netns}"),
        None => device.to_string(),
    };
    match &port.kind {
        PortKind::Tap(tap) => match &tap.device {
            Some(device) => at(device, &tap.netns),
            None => at(&port.name, &tap.netns),
        },
        PortKind::Packet(packet) => at(&packet.device, &packet.netns),
        PortKind::Afxdp(xdp) => at(&xdp.device, &xdp.netns),
        PortKind::VhostUser(vhost) => vhost.socket.display().to_string(),
        PortKind::Memif(memif) => {
            let role = match memif.role {
                Role::Server => "server",
                Role::Client => "client",
            };
            format!("{role} of {} on {}", memif.id, memif.socket.display())
        }
        PortKind::Pcap(pcap) => {
            let file = |word, path: &Option<std::path::PathBuf>| {
                path.as_ref().map(|path| format!("{word} {}", path.display()))
            };
            let files = [file("from", &pcap.read), file("to", &pcap.write)];
            files.into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
        PortKind::Generator(generator) => format!("streams: {}", generator.streams.len()),
        PortKind::Null => "-".into(),
    }
}

fn tags(vlan: &VlanMode) -> String {
    match vlan {
        VlanMode::Access(vlan) => format!("access {vlan}"),
        VlanMode::Tunnel(vlan) => format!("tunnel {vlan}"),
        VlanMode::Trunk { native: Some(native), .. } => format!("trunk, native {native}"),
        VlanMode::Trunk { .. } => "trunk".into(),
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_told_in_words() {
        let text = r#"
            port = [{ name = "p0", kind = "null", mtu = 9000 }]
            interface = [{ name = "a", port = "p0", vlan = 7, addresses = ["10.0.0.1/24"] }]
            route = [
                { prefix = "10.1.0.0/16", via = ["10.0.0.2", "10.0.0.3"], interface = "a" },
                { prefix = "10.2.0.0/16", interface = "a" },
                { prefix = "10.3.0.0/16", action = "prohibit" },
            ]
        "#;
        let config = Config::parse("test", text, &paceline_model::config::Host::default()).unwrap();
        let to: Vec<_> = config.routes.iter().map(|own| plain(&route(own)["to"])).collect();
        assert_eq!(to, ["10.0.0.2 10.0.0.3 by a", "by a", "prohibit"]);
        let row = interface(&config.interfaces[0], &desired(&config, &Model::default()));
        assert_eq!((plain(&row["on"]), plain(&row["mtu"])), ("port p0, VLAN 7".into(), "9000".into()));
    }

    #[test]
    fn a_tunnel_is_its_segment_s() {
        let text = r#"
            port = [
                { name = "p0", kind = "null" }, { name = "p1", kind = "null", mtu = 9000 },
                { name = "p2", kind = "null" },
            ]
            bridge = [{ name = "lan" }, { name = "vlans", member = [{ port = "p2", vlan = { trunk = [10, 20] } }] }]
            interface = [
                { port = "p0", addresses = ["192.0.2.1/24", "192.0.2.7/24"] },
                { port = "p1", addresses = ["198.51.100.1/24"] },
            ]
            vxlan = [
                { bridge = "lan", vni = 1, underlay = "p0", peers = ["203.0.113.1"] },
                { bridge = "lan", vni = 1, underlay = "p1", peers = ["203.0.113.1"] },
                { bridge = "vlans", vlan = 10, vni = 2, local = "192.0.2.7", peers = ["203.0.113.1"], mtu = 1400 },
                { bridge = "vlans", vlan = 10, vni = 2, local = "198.51.100.1", port = 8472, peers = ["203.0.113.1"] },
            ]
        "#;
        let config = Config::parse("test", text, &paceline_model::config::Host::default()).unwrap();
        let desired = desired(&config, &Model::default());
        let rows: Vec<_> = config.vxlans.iter().map(|own| tunnels(own, &desired)).collect();
        let seen: Vec<_> = rows
            .iter()
            .map(|row| ["local", "port", "mtu"].map(|field| plain(&row[field])).join(" "))
            .collect();
        assert_eq!(
            seen,
            [
                "192.0.2.1 4789 1450",
                "198.51.100.1 4789 8950",
                "192.0.2.7 4789 1400",
                "198.51.100.1 8472 8950"
            ]
        );
    }

    #[test]
    fn every_example_can_be_used() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
        assert!(!files.is_empty());
        for file in files {
            check(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }
}
