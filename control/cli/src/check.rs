//! `paceline check`

use std::path::Path;

use paceline_model::config::{Bridge, Port, PortKind};
use paceline_model::{Config, VlanMode};
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

/// Reads a file as `run --config` does, and says what would come of it.
pub fn check(file: &Path) -> Result<(), Fail> {
    let config = Config::load(file, &paceline_daemon::host())?;
    let rows: Vec<_> = config.ports.iter().map(|port| row(port, &config.bridges)).collect();
    print(PORTS, &rows, "no ports")?;
    say(&format!("bridges: {}", list(config.bridges.iter().map(|bridge| bridge.name.as_str()))))?;
    let (docker, socket) = (&config.docker, config.docker.socket.display());
    say(&if docker.enabled {
        format!("Docker driver on {socket}, containers attached by {}", docker.attach)
    } else {
        "no Docker driver".into()
    })?;
    let cores = config.workers.cores.as_ref().map(|cores| cores.iter().map(ToString::to_string).collect());
    let cores: Vec<String> = cores.unwrap_or_else(|| vec!["the last one".into()]);
    say(&format!("workers on cores: {}", cores.join(", ")))?;
    let buffers = &config.buffers;
    say(&format!("buffers: {} of {} bytes", buffers.count, buffers.size))?;
    say(&format!("{}: good", file.display()))
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
