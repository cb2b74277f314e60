//! The files in `configs/` are what they say.

use std::collections::BTreeSet;
use std::path::PathBuf;

use paceline_model::config::{Host, PortKind};
use paceline_model::{Config, Model, Over, desired};
use serde_json::Value;

/// Fields that ports of all kinds have for what they let in and out.
const FILTERS: [&str; 9] =
    ["input_acl", "output_acl", "stateful", "guard", "rate", "burst", "storm", "dscp", "mirror"];

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../configs", name].iter().collect()
}

fn load(name: &str) -> Config {
    Config::load(&path(name), &Host::default())
        .unwrap_or_else(|error| panic!("{:?}", miette::Report::new(error)))
}

/// All fields of a value: `port.tap.device` for the field `device` of a port of kind `tap`.
fn fields(value: &Value, prefix: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            let kind = object.get("kind").and_then(Value::as_str);
            for (key, value) in object {
                let common = matches!(key.as_str(), "name" | "kind" | "mtu" | "mac" | "queues")
                    || FILTERS.contains(&key.as_str());
                let path = match kind {
                    Some(kind) if !common => format!("{prefix}.{kind}.{key}"),
                    _ => format!("{prefix}.{key}"),
                };
                fields(value, &path, all);
                all.insert(path);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, prefix, all)),
        _ => {}
    }
}

#[test]
fn the_default_file_is_the_embedded_default() {
    assert_eq!(load("default.toml"), Config::default());
}

#[test]
fn the_example_shows_every_field() {
    let config = load("example.toml");
    // Written out, a configuration has every field, also those that are not set.
    let (mut have, mut shown) = (BTreeSet::new(), BTreeSet::new());
    fields(&serde_json::to_value(&config).unwrap(), "", &mut have);
    let text = std::fs::read_to_string(path("example.toml")).unwrap();
    fields(&serde_json::to_value(toml::from_str::<toml::Table>(&text).unwrap()).unwrap(), "", &mut shown);
    let missing: Vec<_> = have.difference(&shown).collect();
    assert!(missing.is_empty(), "configs/example.toml does not show {missing:?}");
    let kinds: BTreeSet<_> = config.ports.iter().map(|port| port.kind.name()).collect();
    assert_eq!(kinds, PortKind::NAMES.into_iter().collect(), "a port of each kind");
}

#[test]
fn the_bridge_of_an_operator_is_whole() {
    let desired = desired(&load("l2-bridge.toml"), &Model::default());
    assert_eq!(desired.ports.len(), 6);
    let lan = &desired.bridges["lan"];
    assert_eq!(lan.members.len(), 6);
    assert!(lan.members.keys().all(|port| desired.ports.contains_key(port)));
}

#[test]
fn the_overlay_of_an_operator_is_whole() {
    let desired = desired(&load("overlay.toml"), &Model::default());
    let names: Vec<_> = desired.tunnels.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["vxlan:10042:192.0.2.2", "vxlan:10043:192.0.2.2"]);
    assert!(desired.hindered.is_empty());
    for (bridge, port) in [("red", "red0"), ("blue", "blue0")] {
        assert_eq!(desired.bridges[bridge].members.len(), 2);
        assert_eq!(desired.ports[port].mtu, 1450);
    }
    assert!(desired.tunnels.values().all(|tunnel| tunnel.mtu == 1450));
}

#[test]
fn the_lists_of_an_operator_are_whole() {
    let desired = desired(&load("acl.toml"), &Model::default());
    let server = &desired.filters["server"];
    let (input, output) = (server.input.as_ref().unwrap(), server.output.as_ref().unwrap());
    assert!(input.stateful && output.stateful);
    assert_eq!(output.tiers[0].rules[0].sources.len(), 2);
    assert!(desired.filters["guest"].guard.is_some());
    assert!(!desired.filters.contains_key("client"));
}

#[test]
fn the_router_of_an_operator_is_whole() {
    let desired = desired(&load("router.toml"), &Model::default());
    let names: Vec<_> = desired.interfaces.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["bvi0", "core100", "core200", "east", "gen", "sink", "west"]);
    for (name, interface) in &desired.interfaces {
        assert!(desired.vrfs.contains_key(&interface.vrf), "{name}");
        match &interface.over {
            Over::Port(port) => assert!(desired.ports.contains_key(port), "{name}"),
            Over::Bridge { bridge, .. } => assert!(desired.bridges.contains_key(bridge), "{name}"),
        }
    }
    assert_eq!(desired.bridges["v-core"].members.len(), 1);
    assert_eq!((desired.interfaces["west"].mtu, desired.interfaces["core100"].mtu), (1400, 9000));
    assert_eq!((desired.vrfs["default"].routes.len(), desired.vrfs["load"].routes.len()), (6, 1));
}
