//! Bridge domains: who reaches whom, with which tags, and what is remembered.

use super::cases;
use super::operator::{bridge, port, tap};
use crate::engine::Engine;
use crate::host::{Host, Veth};
use crate::switch::Switch;
use crate::wire::{Wire, carries, frame};

cases![
    access_and_trunk,
    tunnels_keep_tags,
    isolated_members,
    split_horizon_groups,
    addresses_are_limited_and_cleared,
    static_addresses,
    what_is_too_big_is_dropped,
];

/// `count` hosts with the addresses 10.0.0.1 and so on at TAPs that are called p1 and so on, in a bridge whose members have these lines.
fn hosts<'e>(engine: &'e Engine, members: &[&str]) -> (Vec<Host>, Switch<'e>) {
    let names: Vec<String> = (1..=members.len()).map(|number| format!("p{number}")).collect();
    let hosts: Vec<Host> = members.iter().map(|_| Host::new()).collect();
    let ports = hosts.iter().zip(&names).map(|(host, name)| tap(name, host, ""));
    let lines: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(members.iter().copied()).collect();
    let switch = Switch::configured(engine, &(ports.collect::<String>() + &bridge("", &lines)));
    for (number, (host, name)) in hosts.iter().zip(&names).enumerate() {
        host.address(name, &format!("10.0.0.{}/24", number + 1));
    }
    (hosts, switch)
}

/// Their devices, as wires.
fn wires(hosts: &[Host]) -> Vec<Wire> {
    (1..).zip(hosts).map(|(number, host)| host.wire(&format!("p{number}"))).collect()
}

fn access_and_trunk(engine: &Engine) {
    let members = [
        "vlan = { access = 10 }",
        "vlan = { access = 20 }",
        "vlan = { trunk = [\"10-15\"], native = 20 }",
        "vlan = { trunk = [10], tpid = \"802.1ad\" }",
    ];
    let (hosts, switch) = hosts(engine, &members);
    let mut wires = wires(&hosts);
    let [red, blue, trunk, other] = &mut wires[..] else { unreachable!() };
    let (plain, q, ad) = (frame(&[], 1), frame(&[(0x8100, 10)], 1), frame(&[(0x88a8, 10)], 1));
    carries(red, plain.clone(), &mut [(trunk, Some(q.clone())), (other, Some(ad.clone())), (blue, None)]);
    carries(trunk, q.clone(), &mut [(red, Some(plain.clone())), (other, Some(ad.clone())), (blue, None)]);
    carries(other, ad.clone(), &mut [(red, Some(plain.clone())), (trunk, Some(q.clone())), (blue, None)]);
    // The native VLAN of one trunk is none of the other's.
    carries(trunk, plain.clone(), &mut [(blue, Some(plain.clone())), (red, None), (other, None)]);
    carries(blue, plain.clone(), &mut [(trunk, Some(plain.clone())), (red, None), (other, None)]);
    assert_eq!(switch.dropped("p3", "vlan-not-allowed"), 0, "{}", switch.show("drops"));
    // A tag of an access port's own VLAN is as good as none.
    carries(red, q.clone(), &mut [(trunk, Some(q)), (other, Some(ad)), (blue, None)]);
    // Not a VLAN of that trunk; not the VLAN of that access port; no tag where one must be.
    carries(trunk, frame(&[(0x8100, 16)], 1), &mut [(red, None), (blue, None), (other, None)]);
    carries(red, frame(&[(0x8100, 20)], 1), &mut [(trunk, None), (blue, None), (other, None)]);
    carries(other, plain, &mut [(red, None), (blue, None), (trunk, None)]);
    for port in ["p1", "p3", "p4"] {
        assert_eq!(switch.dropped(port, "vlan-not-allowed"), 1, "{port}: {}", switch.show("drops"));
    }
    hosts[1].reaches("10.0.0.3");
    hosts[0].cannot_reach("10.0.0.2");
}

fn tunnels_keep_tags(engine: &Engine) {
    let members = [
        "vlan = { tunnel = 100 }",
        "vlan = { tunnel = 100 }",
        "vlan = { tunnel = 200 }",
        "vlan = { trunk = [100], tpid = \"802.1ad\" }",
    ];
    let (hosts, _switch) = hosts(engine, &members);
    let mut wires = wires(&hosts);
    let [a, b, other, core] = &mut wires[..] else { unreachable!() };
    for own in [&[][..], &[(0x8100, 7)], &[(0x8100, 7), (0x8100, 8)], &[(0x88a8, 9), (0x8100, 8)]] {
        let inside = frame(own, 3);
        let outside = frame(&[&[(0x88a8, 100)], own].concat(), 3);
        carries(
            a,
            inside.clone(),
            &mut [(b, Some(inside.clone())), (core, Some(outside.clone())), (other, None)],
        );
        carries(core, outside, &mut [(a, Some(inside.clone())), (b, Some(inside)), (other, None)]);
    }
    hosts[0].reaches("10.0.0.2");
    hosts[0].cannot_reach("10.0.0.3");
}

fn isolated_members(engine: &Engine) {
    let (hosts, _switch) = hosts(engine, &["isolated = true", "isolated = true", ""]);
    hosts[0].cannot_reach("10.0.0.2");
    hosts[0].reaches("10.0.0.3");
    hosts[2].reaches("10.0.0.2");
}

fn split_horizon_groups(engine: &Engine) {
    let (one, two) = ("split_horizon_group = 1", "split_horizon_group = 2");
    let (hosts, switch) = hosts(engine, &[one, one, two, ""]);
    hosts[0].cannot_reach("10.0.0.2");
    hosts[0].reaches("10.0.0.3");
    hosts[0].reaches("10.0.0.4");
    hosts[3].reaches("10.0.0.2");
    // Known by now, and still out of reach.
    let neighbour = hosts[3].ip("neighbour show 10.0.0.2").split_whitespace().nth(4).map(str::to_owned);
    hosts[0].ip(&format!("neighbour replace 10.0.0.2 lladdr {} dev p1", neighbour.expect("it is known")));
    hosts[0].cannot_reach("10.0.0.2");
    assert!(switch.dropped("p1", "split-horizon") > 0, "{}", switch.show("drops"));
}

fn addresses_are_limited_and_cleared(engine: &Engine) {
    let stream = "[[port.stream]]\nsrc_mac = \"02:00:00:00:01:00-02:00:00:00:01:63\"\ncount = 1000";
    let fixed = "static_macs = [{ mac = \"02:00:00:00:ff:01\", port = \"sink\" }]\nmac_limit = 10";
    let config = port("load", "generator", stream)
        + &port("sink", "null", "")
        + &bridge(fixed, &[("load", ""), ("sink", "")]);
    let switch = Switch::configured(engine, &config);
    switch.await_that("1000 packets", |switch| switch.counter("sink", "tx_packets") == 1000);
    let lan = switch.row("bridges", "lan");
    assert_eq!((&lan["macs"], &lan["mac_limit"]), (&10.into(), &10.into()), "{lan}");
    assert!(lan["refused"].as_u64() > Some(0), "{lan}");
    assert_eq!(switch.count("macs"), 10);
    switch.cli(["clear", "macs", "--bridge", "nowhere"]).fails_naming(&["nowhere"]);
    switch.cli(["clear", "macs", "--bridge", "lan"]).ok();
    let macs = switch.show("macs");
    assert_eq!(macs.as_array().map(Vec::len), Some(1), "{macs}");
    assert_eq!((&macs[0]["mac"], &macs[0]["is_static"]), (&"02:00:00:00:ff:01".into(), &true.into()));
}

fn static_addresses(engine: &Engine) {
    let stream = |mac: &str, count| {
        format!("[[port.stream]]\nsrc_mac = \"{mac}\"\ndst_mac = \"02:00:00:00:ff:01\"\ncount = {count}")
    };
    let fixed = "static_macs = [{ mac = \"02:00:00:00:ff:01\", port = \"sink\" }]";
    // Another port says that the address is behind it: it is not believed.
    let config = port("load", "generator", &stream("02:00:00:00:00:01", 500))
        + &port("liar", "generator", &stream("02:00:00:00:ff:01", 100))
        + &port("sink", "null", "")
        + &port("other", "null", "")
        + &bridge(fixed, &[("load", ""), ("liar", ""), ("sink", ""), ("other", "")]);
    let switch = Switch::configured(engine, &config);
    switch.await_that("600 packets", |switch| {
        switch.counter("load", "rx_packets") == 500 && switch.counter("liar", "rx_packets") == 100
    });
    assert!(switch.counter("sink", "tx_packets") >= 500, "{}", switch.show("interfaces"));
    assert_eq!(switch.counter("other", "tx_packets"), 0);
    // Counted once for frames that follow each other.
    assert!(switch.row("bridges", "lan")["misplaced"].as_u64() > Some(0), "{}", switch.show("bridges"));
}

fn what_is_too_big_is_dropped(engine: &Engine) {
    let hosts = [Host::new(), Host::new(), Host::new()];
    let veth = Veth::new(engine, "jumbo0", &hosts[1], "b");
    veth.ip(&["link", "set", "jumbo0", "mtu", "9000"]).ok();
    hosts[1].ip("link set dev b mtu 9000");
    let config = tap("a", &hosts[0], "mtu = 9000")
        + &port("b", "packet", "mtu = 9000\ndevice = \"jumbo0\"")
        + &tap("c", &hosts[2], "mtu = 1500")
        + &bridge("", &[("a", ""), ("b", ""), ("c", "")]);
    let switch = Switch::configured(engine, &config);
    for (number, (host, device)) in hosts.iter().zip(["a", "b", "c"]).enumerate() {
        host.address(device, &format!("10.0.0.{}/24", number + 1));
        // The MTU of a TAP is the port's.
        if device != "b" {
            let expected = if device == "a" { "mtu 9000" } else { "mtu 1500" };
            assert!(host.ip(&format!("link show dev {device}")).contains(expected), "{device}");
        }
    }
    hosts[0].reaches("10.0.0.3");
    hosts[0].ping(&["-W", "5", "-s", "8900", "10.0.0.2"]).ok();
    assert_eq!(switch.dropped("a", "too-big"), 0, "{}", switch.show("drops"));
    assert!(
        !hosts[0].ping(&["-W", "1", "-s", "3000", "10.0.0.3"]).succeeded(),
        "3000 bytes do not pass 1500"
    );
    assert_eq!(switch.dropped("a", "too-big"), 1, "{}", switch.show("drops"));
    hosts[0].ping(&["-W", "5", "-s", "1472", "10.0.0.3"]).ok();
}
