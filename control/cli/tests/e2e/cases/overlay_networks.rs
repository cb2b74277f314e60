//! Docker's networks of mode `overlay`: containers of one switch and those of another, or what is behind the kernel's own tunnel.

use std::process::Command;
use std::time::Duration;

use super::cases;
use crate::command;
use crate::container::Container;
use crate::engine::Engine;
use crate::network::Network;
use crate::outside::Outside;
use crate::place::{BOTH, Place, Speech};
use crate::switch::Switch;
use crate::underlay::{Kernel, Underlay, VERSIONS, Version};
use crate::wire::Wire;

cases![
    containers_of_two_switches,
    containers_and_the_kernel_s_tunnel,
    a_container_that_moves,
    a_gateway_on_every_host,
    a_switch_killed,
    a_network_removed,
    what_an_overlay_cannot_be,
    over_the_host_s_own_device,
    a_port_is_of_tunnels_or_published,
    a_tenant_that_speaks_as_an_end,
    a_tenant_s_own_tunnels_are_data,
];

/// Two switches with Docker, as on two hosts: each with its own device on the wire.
fn two<'e>(engine: &'e Engine, underlay: &Underlay) -> [Switch<'e>; 2] {
    let start = |at: usize| {
        let docker = format!("[docker]\nhost_device = \"pace{at}\"\n");
        let switch = Switch::serving(engine, &(docker + &underlay.ends[at].config()));
        switch.await_that("its port is up", |switch| switch.row("interfaces", "eth0")["state"] == "up");
        switch
    };
    [start(0), start(1)]
}

/// A dual network of a switch in segment 42, whose only other host is this one; without gateways, as two hosts of one
/// engine cannot both have them.
fn segment<'e>(switch: &Switch<'e>, peer: &str, more: &[&str]) -> Network<'e> {
    let peers = format!("peers={peer}");
    let options = [&CONTAINERS[..], &["--opt", &peers, "--opt", "underlay=eth0"], more].concat();
    switch.network(&options)
}

const CONTAINERS: [&str; 11] = [
    "--subnet",
    "10.0.0.0/24",
    "--ipv6",
    "--subnet",
    "fd00::/64",
    "--opt",
    "mode=overlay",
    "--opt",
    "vni=42",
    "--opt",
    "gateway_mode=isolated",
];

/// The options of a container of these addresses.
fn at(number: u8) -> [String; 4] {
    ["--ip".into(), format!("10.0.0.{number}"), "--ip6".into(), format!("fd00::{number}")]
}

fn run<'e>(network: &Network<'e>, number: u8, more: &[&str]) -> Container<'e> {
    let own = at(number);
    network.run(&[&own.each_ref().map(String::as_str)[..], more].concat())
}

fn containers_of_two_switches(engine: &Engine) {
    for version in VERSIONS {
        let underlay = Underlay::new(2);
        let [one, other] = two(engine, &underlay);
        let (here, there) =
            (segment(&one, &version.address(2), &[]), segment(&other, &version.address(1), &[]));
        let (a, b) = (run(&here, 11, &[]), run(&there, 12, &[]));
        assert_eq!(a.link("eth0", "mtu"), (1500 - version.overhead()).to_string());
        for (from, to) in [(&a, 12), (&b, 11)] {
            from.reaches(&format!("10.0.0.{to}"));
            from.reaches(&format!("fd00::{to}"));
        }
        for speech in BOTH {
            let _server = Place::of(&b).serve(speech, 80);
            Place::of(&a).is_seen_as(speech, "10.0.0.12", 80, "10.0.0.11");
            Place::of(&a).is_seen_as(speech, "fd00::12", 80, "fd00::11");
        }
        let row = &one.show("tunnels")[0];
        assert_eq!(row["remote"], version.address(2), "{row}");
        assert_eq!(row["mtu"], 1500 - version.overhead(), "{row}");
        assert_eq!(row["drops"], 0, "{}", one.show("drops"));
        assert_eq!(one.show("networks")[0]["mode"], "overlay");
    }
}

fn containers_and_the_kernel_s_tunnel(engine: &Engine) {
    let underlay = Underlay::new(3);
    let [one, _other] = two(engine, &underlay);
    let network = segment(&one, "198.18.0.2,198.18.0.3", &[]);
    let container = run(&network, 11, &[]);
    let kernel = Kernel::new(&underlay.ends[2]);
    kernel.vxlan(42, Version::V4, &format!("remote {}", Version::V4.address(1)));
    for own in kernel.own() {
        container.reaches(&own);
        kernel.host().reaches(if own.contains(':') { "fd00::11" } else { "10.0.0.11" });
    }
    for speech in BOTH {
        let _servers = (kernel_place(&kernel).serve(speech, 80), Place::of(&container).serve(speech, 81));
        Place::of(&container).is_seen_as(speech, "10.0.0.3", 80, "10.0.0.11");
        kernel_place(&kernel).is_seen_as(speech, "10.0.0.11", 81, "10.0.0.3");
    }
}

fn kernel_place(kernel: &Kernel<'_>) -> Place {
    Place::host(kernel.host())
}

/// With its addresses and the same Ethernet address, and with another one.
fn a_container_that_moves(engine: &Engine) {
    let underlay = Underlay::new(2);
    let [one, other] = two(engine, &underlay);
    let (here, there) = (segment(&one, "198.18.0.2", &[]), segment(&other, "198.18.0.1", &[]));
    let a = run(&here, 11, &[]);
    for (first, then) in
        [("02:00:00:00:77:01", "02:00:00:00:77:01"), ("02:00:00:00:77:02", "02:00:00:00:77:03")]
    {
        let mut moves = run(&here, 12, &["--mac-address", first]);
        for (network, mac) in [(&there, then), (&here, first), (&there, first)] {
            a.reaches("10.0.0.12");
            a.reaches("fd00::12");
            drop(moves);
            moves = run(network, 12, &["--mac-address", mac]);
            // It says no word by itself: one question would be enough for everybody to find it.
            let asked = a.exec(["ping", "-c", "1", "-W", "3", "10.0.0.12"]);
            assert!(asked.succeeded(), "{} {}", one.show("macs"), other.show("macs"));
            let asked = a.exec(["ping", "-c", "1", "-W", "3", "fd00::12"]);
            assert!(asked.succeeded(), "{} {}", one.show("macs"), other.show("macs"));
        }
    }
}

/// How long is waited for what should not come.
const SILENCE: Duration = Duration::from_millis(500);

fn a_gateway_on_every_host(engine: &Engine) {
    let underlay = Underlay::new(2);
    let outside = Outside::new(engine);
    let docker = Switch::serving(engine, &underlay.ends[0].config());
    docker.await_that("its port is up", |switch| switch.row("interfaces", "eth0")["state"] == "up");
    let options =
        ["mode=overlay", "vni=42", "underlay=198.18.0.1", "peers=198.18.0.2"].map(|option| ["--opt", option]);
    let network = docker.network(&[&["--subnet", "10.77.0.0/24"][..], &options.concat()].concat());
    let container = network.run(&["--ip", "10.77.0.11"]);
    let kernel = Kernel::new(&underlay.ends[1]);
    kernel.vxlan(42, Version::V4, &format!("remote {}", Version::V4.address(1)));
    kernel.host().ip("address add 10.77.0.3/24 dev vxlan0");
    let mut wire = kernel.host().wire("vxlan0");
    // Not one of many is lost, while the switch announces the container and asks for it.
    let pings = container.exec(["ping", "-c", "100", "-i", "0.04", "-W", "5", "10.77.0.1"]).ok();
    assert!(pings.contains(" 0% packet loss"), "{pings}\n{}", docker.show("drops"));
    container.reaches("10.77.0.3");
    // Its own gateway, and the outside behind it.
    container.reaches("10.77.0.1");
    container.reaches(Outside::OWN[0]);
    let _server = outside.place().serve(Speech::Tcp, 7000);
    Place::of(&container).is_seen_as(Speech::Tcp, Outside::OWN[0], 7000, Outside::DOCKER_HOST[0]);
    // Nothing of the gateway is seen on the other host: neither a question for it nor a word of it.
    let speaks_of_it = |frame: &[u8]| {
        frame.get(12..14) == Some(&[8, 6])
            && (frame.get(28..32) == Some(&[10, 77, 0, 1]) || frame.get(38..42) == Some(&[10, 77, 0, 1]))
    };
    assert!(wire.hear(SILENCE, speaks_of_it).is_none(), "the gateway leaks");
    // Nor is it another host's way out.
    let mac = docker.show("macs");
    let is_leg =
        |row: &&serde_json::Value| row["interface"].as_str().is_some_and(|name| name.starts_with("bvi-"));
    let row =
        mac.as_array().and_then(|rows| rows.iter().find(is_leg)).expect("the leg has its place").clone();
    let mac = row["mac"].as_str().expect("an address");
    kernel.host().ip(&format!("neighbour replace 10.77.0.1 lladdr {mac} dev vxlan0"));
    kernel.host().cannot_reach("10.77.0.1");
    // Who pretends to be the gateway does not become it.
    kernel.host().ip(&format!("link set dev vxlan0 address {mac}"));
    kernel.host().ip("neighbour flush dev vxlan0");
    kernel.host().cannot_reach("10.77.0.11");
    container.reaches("10.77.0.1");
}

fn a_switch_killed(engine: &Engine) {
    let underlay = Underlay::new(2);
    let [mut one, other] = two(engine, &underlay);
    let (here, there) = (segment(&one, "198.18.0.2", &[]), segment(&other, "198.18.0.1", &[]));
    let (a, b) = (run(&here, 11, &[]), run(&there, 12, &[]));
    a.reaches("10.0.0.12");
    one.kill9();
    one.restart();
    assert_eq!(one.count("tunnels"), 1);
    b.reaches("10.0.0.11");
    a.reaches("fd00::12");
    assert_eq!(a.link("eth0", "mtu"), "1450");
}

fn a_network_removed(engine: &Engine) {
    let underlay = Underlay::new(2);
    let [one, _other] = two(engine, &underlay);
    let network = segment(&one, "198.18.0.2", &[]);
    assert_eq!((one.count("tunnels"), one.count("bridges")), (1, 1));
    drop(network);
    assert_eq!((one.count("tunnels"), one.count("bridges")), (0, 0));
    assert!(one.cli(["show", "tunnels"]).ok().contains("no tunnels"));
    // Its number is free again.
    let _again = segment(&one, "198.18.0.2", &[]);
}

fn what_an_overlay_cannot_be(engine: &Engine) {
    let underlay = Underlay::new(1);
    let file = "[[bridge]]\nname = \"lan\"\n[[vxlan]]\nbridge = \"lan\"\nvni = 7\nunderlay = \"eth0\"\npeers = [\"198.18.0.9\"]\n";
    let switch = Switch::serving(engine, &(underlay.ends[0].config() + file));
    let _network = segment(&switch, "198.18.0.2", &[]);
    let right = [("mode", "overlay"), ("vni", "43"), ("underlay", "eth0"), ("peers", "198.18.0.2")];
    for (name, value, said) in [
        ("vni", "", "needs vni, from 1 to 16777215: the same on all hosts"),
        ("vni", "42", "option vni=42: is that of network"),
        ("vni", "7", "option vni=7: is that of bridge \"lan\" of the configuration file already"),
        ("vni", "16777216", "must be a number from 1 to 16777215"),
        ("mode", "bridge", "goes with mode=overlay only, as do vni, underlay, peers, group"),
        ("peers", "", "needs peers, like 192.0.2.2, a multicast group"),
        ("peers", "198.18.0.1", "is an address of this switch"),
        ("peers", "198.18.0.2,2001:db8:18::2", "all ends of a segment must be of one IP version"),
        ("underlay", "eth7", "must be a routed [[interface]] or the device of an [[uplink]]; there are eth0"),
        ("underlay", "198.18.0.7", "must be an address of a routed [[interface]]"),
        ("mtu", "1451", "must be a number from 68 to 1450: underlay eth0 takes 1500 bytes"),
        ("icc", "false", "goes with mode=bridge only"),
    ] {
        let others = right.iter().filter(|(other, _)| *other != name).copied();
        let given = others.chain((!value.is_empty()).then_some((name, value)));
        let options: Vec<String> =
            given.flat_map(|(name, value)| ["--opt".into(), format!("{name}={value}")]).collect();
        let words =
            [&["--subnet", "10.9.0.0/24"][..], &options.iter().map(String::as_str).collect::<Vec<_>>()];
        Network::try_create(engine, &switch.network_options(&words.concat())).fails_naming(&[said]);
    }
    assert_eq!(switch.count("networks"), 1);
}

/// The host's own device carries the segment, by the first address that it has there, and stays the host's.
fn over_the_host_s_own_device(engine: &Engine) {
    let outside = Outside::new(engine);
    outside.complete();
    let config = format!("[[uplink]]\ndevice = \"{}\"\n", Outside::DEVICE);
    let mut switch = Switch::serving(engine, &config);
    let host = &outside.host;
    for (number, version) in [(42, Version::V4), (43, Version::V6)] {
        let family = usize::from(version == Version::V6);
        let (own, theirs) = (Outside::DOCKER_HOST[family], Outside::OWN[family]);
        let (vni, peers) = (format!("vni={number}"), format!("peers={theirs}"));
        let subnet = format!("10.{number}.0.0/24");
        let options = [
            "--subnet",
            &subnet,
            "--opt",
            "mode=overlay",
            "--opt",
            &vni,
            "--opt",
            &peers,
            "--opt",
            "underlay=outside0",
            "--opt",
            "uplink=outside0",
        ];
        let network = switch.network(&options);
        let container = network.run(&["--ip", &format!("10.{number}.0.11")]);
        let device = format!("vxlan{number}");
        let mtu = 1500 - version.overhead();
        host.ip(&format!(
            "link add {device} type vxlan id {number} local {theirs} remote {own} dstport 4789"
        ));
        host.ip(&format!("link set dev {device} mtu {mtu}"));
        host.address(&device, &format!("10.{number}.0.3/24"));
        let reach = || {
            container.reaches(&format!("10.{number}.0.3"));
            host.reaches(&format!("10.{number}.0.11"));
            for speech in BOTH {
                let _server = Place::of(&container).serve(speech, 80);
                let own = format!("10.{number}.0.11");
                outside.place().is_seen_as(speech, &own, 80, &format!("10.{number}.0.3"));
            }
            // Beside it the device is the host's, and the network's way out.
            host.reaches(own);
            container.reaches(Outside::OWN[0]);
        };
        assert_eq!(container.link("eth0", "mtu"), mtu.to_string());
        reach();
        switch.kill9();
        switch.restart();
        reach();
        host.ip(&format!("link del {device}"));
    }
    switch.stop();
    host.reaches(Outside::DOCKER_HOST[0]);
}

/// What comes for a UDP port of the device's address goes to a container or to a segment.
fn a_port_is_of_tunnels_or_published(engine: &Engine) {
    let outside = Outside::new(engine);
    outside.complete();
    let config = format!("[[uplink]]\ndevice = \"{}\"\n", Outside::DEVICE);
    let switch = Switch::serving(engine, &config);
    let options = |vni: u8, port: u16| {
        let own = ["mode=overlay", "underlay=outside0", "uplink=outside0"].map(String::from);
        let peer = format!("peers={}", Outside::OWN[0]);
        let all = own.into_iter().chain([format!("vni={vni}"), format!("port={port}"), peer]);
        let subnet = ["--subnet".to_string(), format!("10.{vni}.0.0/24")];
        subnet.into_iter().chain(all.flat_map(|option| ["--opt".to_string(), option])).collect::<Vec<_>>()
    };
    let create = |vni, port| {
        let options = options(vni, port);
        let words: Vec<_> = options.iter().map(String::as_str).collect();
        Network::try_create(engine, &switch.network_options(&words))
    };
    create(9, 40001).fails_naming(&["option port", "40001", "nat_ports 40000-49999 of uplink outside0"]);
    let all = options(42, 4789);
    let network = switch.network(&all.iter().map(String::as_str).collect::<Vec<_>>());
    for publish in ["4789:80/udp", "192.0.2.1:4789:80/udp"] {
        network
            .try_run(&["--publish", publish])
            .fails_naming(&["192.0.2.1:4789/udp: is VXLAN's at that address"]);
    }
    let _elsewhere = network.run(&["--publish", "4789:80", "--publish", "127.0.0.1:4789:80/udp"]);
    let container = network.run(&["--publish", "4790:80/udp"]);
    create(43, 4790).fails_naming(&["option port", "4790", "is published at the same address, by endpoint"]);
    drop(container);
    let all = options(43, 4790);
    let _other = switch.network(&all.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Runs ip(8) inside a container, as one could that may change its own links.
#[track_caller]
fn ip_in(container: &Container<'_>, arguments: &str) {
    let run = || command::run(Command::new("ip").args(arguments.split_ascii_whitespace()));
    Place::of(container).inside(run).ok();
}

/// Two networks, red and blue, of a switch, on the underlay whose other end is a kernel; with a container each.
fn tenants<'e>(switch: &Switch<'e>, options: &[&str]) -> ([Network<'e>; 2], [Container<'e>; 2]) {
    let network = |vni: &str, subnet: &str| {
        let vni = format!("vni={vni}");
        let all = ["mode=overlay", &vni, "underlay=eth0", "peers=198.18.0.2"].map(|option| ["--opt", option]);
        switch.network(&[&["--subnet", subnet][..], &all.concat(), options].concat())
    };
    let networks = [network("42", "10.77.0.0/24"), network("43", "10.78.0.0/24")];
    let containers = [networks[0].run(&["--ip", "10.77.0.11"]), networks[1].run(&["--ip", "10.78.0.11"])];
    (networks, containers)
}

/// From inside a container of one tenant, with the address of an end, into another tenant's segment.
fn a_tenant_that_speaks_as_an_end(engine: &Engine) {
    let underlay = Underlay::new(2);
    let switch = Switch::serving(engine, &underlay.ends[0].config());
    switch.await_that("its port is up", |switch| switch.row("interfaces", "eth0")["state"] == "up");
    for (options, at, reason) in [
        (&[][..], "port-guard", "guard-address"),
        (&["--opt", "port_security=false"], "source-check", "spoofed-source"),
    ] {
        let (networks, [red, blue]) = tenants(&switch, options);
        let mut wire = Wire::inside(&Place::of(&blue), "eth0");
        // The end's own address lies on its loopback; packets go by the gateway, which it knows by then.
        red.reaches("10.77.0.1");
        ip_in(&red, "address add 198.18.0.2/32 dev lo");
        ip_in(&red, "link add vxlan9 type vxlan id 43 local 198.18.0.2 remote 198.18.0.1 dstport 4789");
        ip_in(&red, "link set dev vxlan9 address 02:00:00:00:09:09 up");
        ip_in(&red, "address add 10.78.0.99/24 dev vxlan9");
        red.cannot_reach("10.78.0.11");
        let is_its = |frame: &[u8]| frame.get(6..12) == Some(&[2, 0, 0, 0, 9, 9]);
        assert!(wire.hear(SILENCE, is_its).is_none(), "it came into the other segment");
        assert!(switch.dropped_at("node", at, reason) > 0, "{}", switch.show("drops"));
        let macs = switch.show("macs").to_string();
        assert!(!macs.contains("02:00:00:00:09:09"), "{macs}");
        drop(([red, blue], networks));
    }
}

/// A tunnel of a tenant's own inside its segment, with the number of another tenant's: data like any other.
fn a_tenant_s_own_tunnels_are_data(engine: &Engine) {
    let underlay = Underlay::new(2);
    let switch = Switch::serving(engine, &underlay.ends[0].config());
    switch.await_that("its port is up", |switch| switch.row("interfaces", "eth0")["state"] == "up");
    let (_networks, [red, blue]) = tenants(&switch, &[]);
    let kernel = Kernel::new(&underlay.ends[1]);
    kernel.vxlan(42, Version::V4, &format!("remote {}", Version::V4.address(1)));
    kernel.host().ip("address add 10.77.0.3/24 dev vxlan0");
    kernel.host().ip("link add vxlan9 type vxlan id 43 local 10.77.0.3 remote 10.77.0.11 dstport 4789");
    kernel.host().ip("link set dev vxlan9 address 02:00:00:00:09:08 mtu 1400 up");
    kernel.host().ip("address add 10.78.0.98/24 dev vxlan9");
    ip_in(&red, "link add vxlan9 type vxlan id 43 local 10.77.0.11 remote 10.77.0.3 dstport 4789");
    ip_in(&red, "link set dev vxlan9 address 02:00:00:00:09:09 mtu 1400 up");
    ip_in(&red, "address add 10.78.0.99/24 dev vxlan9");
    let mut wire = Wire::inside(&Place::of(&blue), "eth0");
    red.reaches("10.78.0.98");
    // Nor is a question for the other tenant's container one that it hears.
    red.cannot_reach("10.78.0.11");
    let is_theirs = |frame: &[u8]| matches!(frame.get(6..12), Some([2, 0, 0, 0, 9, 8 | 9]));
    assert!(wire.hear(SILENCE, is_theirs).is_none(), "it came into the other segment");
    blue.cannot_reach("10.78.0.98");
}
