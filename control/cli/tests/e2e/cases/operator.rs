//! Without Docker: what an operator of a network does, with network namespaces as hosts.

use std::path::Path;
use std::process::Command;

use super::cases;
use crate::command::{self, Outcome};
use crate::engine::Engine;
use crate::host::{Host, Veth};
use crate::switch::Switch;
use crate::wire::{carries, frame};

cases![the_shipped_example, everything_can_be_shown, tap_packet_and_afxdp_in_one_bridge];

/// `[[port]]` of a TAP inside a host, with further lines.
pub fn tap(name: &str, host: &Host, more: &str) -> String {
    format!("[[port]]\nname = \"{name}\"\nkind = \"tap\"\nnetns = \"{}\"\n{more}\n", host.path())
}

/// `[[port]]` of any kind, with further lines.
pub fn port(name: &str, kind: &str, more: &str) -> String {
    format!("[[port]]\nname = \"{name}\"\nkind = \"{kind}\"\n{more}\n")
}

/// `[[bridge]]` with further lines, and its members, each with its own.
pub fn bridge(more: &str, members: &[(&str, &str)]) -> String {
    let members =
        members.iter().map(|(port, more)| format!("[[bridge.member]]\nport = \"{port}\"\n{more}\n"));
    format!("[[bridge]]\nname = \"lan\"\n{more}\n{}", members.collect::<String>())
}

/// `paceline check FILE`.
pub fn check(file: &Path) -> Outcome {
    command::run(Command::new(env!("CARGO_BIN_EXE_paceline")).arg("check").arg(file))
}

/// configs/l2-bridge.toml, by the steps that its head describes.
fn the_shipped_example(engine: &Engine) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/l2-bridge.toml");
    let checked = check(&file).ok();
    for part in ["red1", "tap", "access 10", "uplink", "packet", "trunk", "lan", "good"] {
        assert!(checked.contains(part), "{part}: {checked}");
    }
    let capture = engine.dir().join("l2-bridge.pcap");
    let text = std::fs::read_to_string(file).expect("it is there");
    let text = text.replace("/tmp/l2-bridge.pcap", &capture.to_string_lossy());

    let hosts = ["red1", "red2", "blue1"].map(|device| (device, Host::new()));
    let router = Host::new();
    let uplink = Veth::new(engine, "uplink", &router, "eth0");
    let mut switch = Switch::configured(engine, &text);
    for ((device, host), address) in hosts.iter().zip(["10.10.0.1/24", "10.10.0.2/24", "10.20.0.1/24"]) {
        uplink.ip(&["link", "set", device, "netns", &host.path()]).ok();
        host.address(device, address);
    }
    router.up("eth0");

    let [(_, red1), (_, red2), (_, blue1)] = &hosts;
    red1.reaches("10.10.0.2");
    red2.reaches("10.10.0.1");
    assert!(!red1.ping(&["10.20.0.1"]).succeeded(), "no route");
    // Not even with an address of that network.
    red1.address("red1", "10.20.0.9/24");
    red1.cannot_reach("10.20.0.1");
    let [mut red, mut blue, mut trunk] = [red1.wire("red1"), blue1.wire("blue1"), router.wire("eth0")];
    let (plain, tagged) = (frame(&[], 1), |vlan| frame(&[(0x8100, vlan)], 1));
    carries(&mut trunk, tagged(10), &mut [(&mut red, Some(plain.clone())), (&mut blue, None)]);
    carries(&mut trunk, tagged(20), &mut [(&mut blue, Some(plain.clone())), (&mut red, None)]);
    carries(&mut blue, frame(&[], 2), &mut [(&mut trunk, Some(frame(&[(0x8100, 20)], 2))), (&mut red, None)]);

    let macs = switch.show("macs");
    let known = |vlan, interface: &str| {
        let rows = macs.as_array().into_iter().flatten();
        rows.filter(|row| row["vlan"] == vlan && row["interface"] == interface).count()
    };
    assert_eq!(
        [known(10, "red1"), known(10, "red2"), known(20, "blue1"), known(20, "sink")],
        [1; 4],
        "{macs}"
    );
    // The address that came by the trunk in VLAN 20 came by blue1 later.
    assert_eq!([known(10, "uplink"), known(20, "uplink")], [1, 0], "{macs}");
    assert_eq!([known(20, "red1"), known(10, "blue1")], [0; 2], "{macs}");
    switch.stop();
    let flooded = command::run(Command::new("tcpdump").args(["-e", "-n", "-r"]).arg(&capture)).ok();
    assert!(flooded.contains("vlan 10") && flooded.contains("vlan 20"), "{flooded}");
}

fn everything_can_be_shown(engine: &Engine) {
    let (a, b) = (Host::new(), Host::new());
    let config = tap("a", &a, "") + &tap("b", &b, "") + &bridge("", &[("a", ""), ("b", "")]);
    let switch = Switch::configured(engine, &config);
    a.address("a", "10.0.0.1/24");
    b.address("b", "10.0.0.2/24");
    a.reaches("10.0.0.2");
    for what in ["interfaces", "bridges", "macs", "runtime", "buffers", "workers", "version"] {
        let (table, json) = (switch.cli(["show", what]).ok(), switch.show(what));
        assert!(table.lines().count() > 1, "{what}: {table}");
        let first = if json.is_array() { &json[0] } else { &json };
        assert!(first.as_object().is_some_and(|fields| fields.len() > 2), "{what}: {json}");
    }
    for what in ["networks", "endpoints", "groups"] {
        assert_eq!(switch.show(what), serde_json::json!([]), "{what}");
        assert!(switch.cli(["show", what]).ok().contains("no "), "{what}");
    }
    assert!(switch.show("drops").is_array());
    assert_eq!(switch.row("interfaces", "a")["state"], "up");
    assert_eq!(switch.row("interfaces", "a")["bridge"], "lan");
    let packets = |name| switch.row("runtime", name)["packets"].as_u64().unwrap_or_default();
    assert!(packets("l2-bridge") >= 4, "request and answer of ARP and ping: {}", switch.show("runtime"));
    let buffers = switch.show("buffers");
    let number = |field: &str| buffers[field].as_u64().expect("a number");
    assert_eq!(number("total"), number("free") + number("cached") + number("in_use"), "{buffers}");
    assert_eq!(number("exhausted"), 0);
}

fn tap_packet_and_afxdp_in_one_bridge(engine: &Engine) {
    let hosts = [Host::new(), Host::new(), Host::new()];
    let _packet = Veth::new(engine, "packet0", &hosts[1], "b");
    let _afxdp = Veth::new(engine, "afxdp0", &hosts[2], "c");
    let config = tap("a", &hosts[0], "")
        + &port("b", "packet", "device = \"packet0\"")
        + &port("c", "afxdp", "device = \"afxdp0\"")
        + &port("d", "null", "")
        + &bridge("", &[("a", ""), ("b", ""), ("c", ""), ("d", "")]);
    let switch = Switch::configured(engine, &config);
    let addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
    for ((host, device), address) in hosts.iter().zip(["a", "b", "c"]).zip(addresses) {
        host.address(device, &format!("{address}/24"));
    }
    for (number, host) in hosts.iter().enumerate() {
        for address in addresses.iter().filter(|address| **address != addresses[number]) {
            host.reaches(address);
            // Fragments.
            host.ping(&["-W", "5", "-s", "5000", address]).ok();
        }
    }
    assert!(switch.counter("d", "tx_packets") > 0, "what is flooded reaches the null port, too");
}
