//! Routing tables: VLANs and bridges as interfaces, several tables, several next hops, commands, changes.

use std::path::Path;

use serde_json::Value;

use super::cases;
use super::operator::{bridge, check, port, tap};
use crate::command;
use crate::engine::Engine;
use crate::host::Host;
use crate::station::{Packet, SOON, Station, arp, framed, reach_each_other};
use crate::switch::Switch;

cases![
    the_shipped_router,
    a_bridge_and_vlans,
    tables_are_apart,
    two_next_hops,
    a_next_hop_that_is_silent,
    routes_by_command,
    routes_outlive_kills,
    pings_of_the_switch,
    a_device_that_comes_back,
];

/// The row of a route.
fn route(switch: &Switch<'_>, vrf: &str, prefix: &str) -> Value {
    let rows = switch.show("routes");
    let is_it = |row: &&Value| row["vrf"] == vrf && row["prefix"] == prefix;
    rows.as_array().into_iter().flatten().find(is_it).cloned().unwrap_or_default()
}

/// configs/router.toml, by the steps that its head describes.
fn the_shipped_router(engine: &Engine) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/router.toml");
    assert!(check(&file).ok().contains("good"));
    let text = std::fs::read_to_string(file).expect("it is there");
    let switch = Switch::configured(engine, &text);
    let [east, west, lab] = ["east", "west", "lab"].map(|name| (name, Host::with_ipv6()));
    for ((name, host), (address, router)) in [&east, &west, &lab].into_iter().zip([
        ("10.1.0.2/24", "10.1.0.1"),
        ("10.2.0.2/24", "10.2.0.1"),
        ("10.3.0.2/24", "10.3.0.1"),
    ]) {
        let path = host.path();
        command::run(engine.in_namespace("ip").args(["link", "set", name, "netns", &path])).ok();
        host.address(name, address);
        host.ip(&format!("route add default via {router}"));
    }
    east.1.ip("address add fd01::2/64 dev east nodad");
    east.1.ip("-6 route add default via fd01::1");
    west.1.ip("address add fd02::2/64 dev west nodad");
    west.1.ip("-6 route add default via fd02::1");
    for there in ["10.2.0.2", "fd02::2", "10.3.0.2", "10.1.0.1", "fd01::1", "10.100.0.1"] {
        east.1.reaches(there);
    }
    let told = east.1.run(&["ping", "-c", "1", "-W", "5", "192.0.2.1"]);
    assert!(told.stdout().contains("Destination Host Unreachable"), "{}", told.stdout());
    let told = east.1.run(&["ping", "-c", "1", "-W", "5", "198.51.100.1"]);
    assert!(told.stdout().contains("Packet filtered"), "{}", told.stdout());
    let silence = east.1.run(&["ping", "-c", "1", "-W", "1", "203.0.113.1"]);
    assert!(silence.stdout().contains("100% packet loss") && !silence.stdout().contains("From"));
    // By an interface, without a router.
    east.1.ip("address add 10.4.0.7/32 dev east");
    west.1.reaches("10.4.0.7");
    switch.cli(["route", "add", "10.5.0.7/32", "--interface", "east"]).ok();
    east.1.ip("address add 10.5.0.7/32 dev east");
    west.1.reaches("10.5.0.7");
    assert!(switch.cli(["ping", "10.2.0.2", "--count", "1"]).ok().contains("1 answered"));
    assert!(switch.cli(["ping", "10.3.0.2", "--count", "1"]).ok().contains("1 answered"));
    switch.await_that("the generator's packets go their way", |switch| {
        switch.counter("sink", "tx_packets") > 100
    });
    // Not even the first ones are lost: they wait until their routes are there.
    assert_eq!(switch.counter("gen", "drops"), 0, "{}", switch.show("drops"));
    let interfaces = switch.cli(["show", "interfaces"]).ok();
    for name in ["east", "west", "bvi0", "core100", "core200", "gen", "sink"] {
        assert!(interfaces.contains(name), "{name}: {interfaces}");
    }
    let routes = switch.cli(["show", "routes"]).ok();
    for part in ["172.16.0.0/12", "10.100.0.254 core100", "prohibit", "load", "198.18.1.3 sink", "blackhole"]
    {
        assert!(routes.contains(part), "{part}: {routes}");
    }
    let vrfs = switch.cli(["show", "vrfs"]).ok();
    assert!(vrfs.contains("default") && vrfs.contains("load"), "{vrfs}");
    let neighbours = switch.cli(["show", "neighbours"]).ok();
    assert!(neighbours.contains("02:00:00:64:00:fe") && neighbours.contains("10.3.0.2"), "{neighbours}");
}

fn a_bridge_and_vlans(engine: &Engine) {
    let (a, b, c) = (Station::new(1), Host::new(), Host::new());
    let trunk = Station::new(2);
    let _veth = trunk.veth(engine);
    let config = a.on_tap("", "")
        + &tap("b", &b, "")
        + &tap("c", &c, "")
        + &port("t", "packet", "device = \"h2-s\"")
        + &bridge("", &[("b", ""), ("c", "")])
        + r#"
        [[interface]]
        name = "leg"
        bridge = "lan"
        addresses = ["10.3.0.1/24"]
        [[interface]]
        name = "t100"
        port = "t"
        vlan = 100
        addresses = ["10.100.0.1/24"]
        mac = "02:00:00:00:64:01"
        neighbours = [{ address = "10.100.0.9", mac = "02:00:00:00:64:09" }]
        [[interface]]
        name = "t200"
        port = "t"
        vlan = 200
        addresses = ["10.200.0.1/24"]
        mac = "02:00:00:00:c8:01"
    "#;
    let switch = Switch::configured(engine, &config);
    a.up();
    b.address("b", "10.3.0.2/24");
    c.address("c", "10.3.0.3/24");
    b.ip("route add default via 10.3.0.1");
    c.ip("route add default via 10.3.0.1");
    trunk.host.up("h2");
    switch.await_that("all are up", |switch| switch.row("interfaces", "t")["state"] == "up");
    for there in ["10.3.0.1", "10.3.0.2", "10.3.0.3", "10.100.0.1", "10.200.0.1"] {
        a.host.reaches(there);
    }
    for there in ["10.1.0.2", "10.3.0.3", "10.100.0.1", "10.200.0.1"] {
        b.reaches(there);
    }
    // With its tag on the wire.
    let mut wire = trunk.wire();
    let packet = Packet::new("10.1.0.2", "10.100.0.9", &[4; 60]);
    a.wire().send(&[a.frame(&packet.bytes())]);
    let plain = framed([2, 0, 0, 0, 0x64, 9], [2, 0, 0, 0, 0x64, 1], &packet.forwarded());
    let tagged = |mut frame: Vec<u8>, vlan| {
        frame.splice(12..12, [0x81, 0, 0, vlan]);
        frame
    };
    let want = tagged(plain, 100);
    assert!(wire.hear(SOON, |frame| frame == want).is_some());
    // Who is there is asked in the same VLAN, and may answer there alone.
    a.wire().send(&[a.frame(&Packet::new("10.1.0.2", "10.200.0.9", &[5; 60]).bytes())]);
    let asks =
        |frame: &[u8], vlan| frame[12..18] == [0x81, 0, 0, vlan, 8, 6] && frame[42..46] == [10, 200, 0, 9];
    assert!(wire.hear(SOON, |frame| asks(frame, 200)).is_some());
    let there = [2, 0, 0, 0, 0xc8, 9];
    let tell = |sender| arp(1, there, sender, &sender.replace(".9", ".1"));
    wire.send(&[tagged(tell("10.200.0.9"), 100)]);
    let known = |switch: &Switch<'_>| {
        let rows = switch.show("neighbours");
        rows.as_array()
            .into_iter()
            .flatten()
            .any(|row| row["address"] == "10.200.0.9" && row["mac"].is_string())
    };
    assert!(!known(&switch));
    wire.send(&[tagged(tell("10.200.0.9"), 200)]);
    switch.await_that("known", known);
    // And the other way, from one VLAN to the port and to the other VLAN.
    let (mut at_a, back) = (a.wire(), Packet::new("10.200.0.9", "10.1.0.2", &[6; 60]));
    wire.send(&[tagged(framed([2, 0, 0, 0, 0xc8, 1], there, &back.bytes()), 200)]);
    let [router, own] = a.macs();
    let want = framed(own, router, &back.forwarded());
    assert!(at_a.hear(SOON, |frame| frame == want).is_some());
    let over = Packet { destination: "10.100.0.9", ..back };
    wire.send(&[tagged(framed([2, 0, 0, 0, 0xc8, 1], there, &over.bytes()), 200)]);
    let want = tagged(framed([2, 0, 0, 0, 0x64, 9], [2, 0, 0, 0, 0x64, 1], &over.forwarded()), 100);
    assert!(wire.hear(SOON, |frame| frame == want).is_some());
    // Without one it belongs nowhere.
    let before = switch.dropped("t", "vlan-not-allowed");
    wire.send(&[framed([2, 0, 0, 0, 0x64, 1], [2, 0, 0, 0, 0x64, 9], &packet.bytes())]);
    switch.await_that("dropped", |switch| switch.dropped("t", "vlan-not-allowed") > before);
}

fn tables_are_apart(engine: &Engine) {
    let all = [1, 2, 3].map(Station::new);
    let other = "vrf = \"red\"";
    let config = "vrf = [{ name = \"red\" }]\n".to_string()
        + &all[0].on_tap("", "")
        + &all[1].on_tap("", other)
        + &all[2].on_tap("", other);
    let switch = Switch::configured(engine, &config);
    all.iter().for_each(Station::up);
    reach_each_other(&all[1], &all[2]);
    for (from, to) in [(0, 1), (1, 0)] {
        for own in all[to].own().iter().chain(&all[to].router()) {
            all[from].host.cannot_reach(own);
        }
    }
    // The same address in both.
    switch.cli(["route", "add", "10.9.0.1/32", "--via", "10.1.0.2"]).ok();
    switch.cli(["route", "add", "10.9.0.1/32", "--via", "10.3.0.2", "--vrf", "red"]).ok();
    for station in [&all[0], &all[2]] {
        station.host.ip(&format!("address add 10.9.0.1/32 dev {}", station.name()));
    }
    all[1].host.reaches("10.9.0.1");
    assert_eq!(switch.row("vrfs", "red")["interfaces"], serde_json::json!(["h2", "h3"]));
    assert!(switch.cli(["ping", "10.3.0.2", "--count", "1"]).fails().contains("no route"));
    switch.cli(["ping", "10.3.0.2", "--count", "1", "--vrf", "red"]).ok();
}

fn two_next_hops(engine: &Engine) {
    let all = [1, 2, 3].map(Station::new);
    let routes = r#"
        route = [
            { prefix = "172.16.0.0/12", via = ["10.2.0.2", "10.3.0.2"] },
            { prefix = "2001:db8::/32", via = ["fd02::2", "fd03::2"] },
        ]
    "#;
    let config = routes.to_string() + &all.iter().map(|station| station.on_tap("", "")).collect::<String>();
    let switch = Switch::configured(engine, &config);
    all.iter().for_each(Station::up);
    all[0].host.reaches("10.2.0.2");
    all[0].host.reaches("10.3.0.2");
    let (mut from, mut ways) = (all[0].wire(), [all[1].wire(), all[2].wire()]);
    for v6 in [false, true] {
        let mut used = [0, 0];
        for flow in 0..32_u8 {
            let to = if v6 { format!("2001:db8::{flow:x}") } else { format!("172.16.0.{flow}") };
            let mark = [if v6 { 0xb6 } else { 0xb4 }, flow, 1, 2, 3, 4, 5, 6, 7, 8];
            let packet = Packet::new(&all[0].own()[usize::from(v6)], &to, &mark).bytes();
            from.send(&vec![all[0].frame(&packet); 3]);
            let is_it = |frame: &[u8]| frame.windows(mark.len()).any(|bytes| bytes == mark);
            let mut heard = |way: usize, patience| ways[way].hear(patience, is_it).is_some();
            let quick = std::time::Duration::from_millis(100);
            let way = usize::from(!heard(0, quick));
            assert!((0..2).all(|_| heard(way, SOON)) || way == 1 && heard(1, SOON), "flow {flow}: lost");
            assert!(!heard(1 - way, std::time::Duration::from_millis(5)), "flow {flow} goes both ways");
            used[way] += 1;
        }
        assert!(used.iter().all(|used| *used > 4), "{used:?}");
    }
    let hops = route(&switch, "default", "172.16.0.0/12")["next_hops"].clone();
    assert_eq!(hops, serde_json::json!(["10.2.0.2 h2", "10.3.0.2 h3"]));
}

fn a_next_hop_that_is_silent(engine: &Engine) {
    let all = [1, 2, 3].map(Station::new);
    let routes = "route = [{ prefix = \"172.16.0.0/12\", via = [\"10.2.0.2\", \"10.3.0.9\"] }]\n";
    let config = routes.to_string() + &all.iter().map(|station| station.on_tap("", "")).collect::<String>();
    let switch = Switch::configured(engine, &config);
    all.iter().for_each(Station::up);
    let is_known = |switch: &Switch<'_>, address: &str| {
        let rows = switch.show("neighbours");
        let is_it = |row: &Value| row["address"] == address && row["mac"].is_string();
        rows.as_array().is_some_and(|rows| rows.iter().any(is_it))
    };
    switch.await_that("one of the two is known", |switch| is_known(switch, "10.2.0.2"));
    let mut from = all[0].wire();
    let mut used = || {
        let mut ways = [all[1].wire(), all[2].wire()];
        let mut used = [0, 0];
        for flow in 0..24_u8 {
            let mark = [0xb5, flow, 1, 2, 3, 4, 5, 6, 7, 8];
            from.send(&[
                all[0].frame(&Packet::new(&all[0].own()[0], &format!("172.16.0.{flow}"), &mark).bytes())
            ]);
            let is_it = |frame: &[u8]| frame.windows(mark.len()).any(|bytes| bytes == mark);
            let deadline = std::time::Instant::now() + SOON;
            let way = loop {
                let quick = std::time::Duration::from_millis(20);
                if let Some(way) = (0..2).find(|way| ways[*way].hear(quick, is_it).is_some()) {
                    break way;
                }
                assert!(std::time::Instant::now() < deadline, "flow {flow}: lost; {}", switch.show("drops"));
            };
            used[way] += 1;
        }
        used
    };
    assert_eq!(used(), [24, 0], "all go by the one that answers");
    all[2].host.ip("address add 10.3.0.9/24 dev h3");
    switch.await_that("the other one is known, too", |switch| is_known(switch, "10.3.0.9"));
    let both = used();
    assert!(both.iter().all(|flows| *flows > 4), "{both:?}");
}

fn routes_by_command(engine: &Engine) {
    let (a, b) = (Station::new(1), Station::new(2));
    let file =
        "route = [{ prefix = \"192.0.2.0/24\", action = \"blackhole\" }]\nvrf = [{ name = \"red\" }]\n";
    let switch = Switch::configured(engine, &(file.to_string() + &a.on_tap("", "") + &b.on_tap("", "")));
    a.up();
    b.up();
    for address in ["10.9.0.1/32", "2001:db8::1/128"] {
        b.host.ip(&format!("address add {address} dev h2"));
    }
    for (prefix, via, there) in
        [("10.9.0.0/16", "10.2.0.2", "10.9.0.1"), ("2001:db8::/32", "fd02::2", "2001:db8::1")]
    {
        a.host.cannot_reach(there);
        switch.cli(["route", "add", prefix, "--via", via]).ok();
        a.host.reaches(there);
        switch.cli(["route", "add", prefix, "--blackhole"]).ok();
        a.host.cannot_reach(there);
        assert_eq!(route(&switch, "default", prefix)["action"], "blackhole");
        switch.cli(["route", "add", prefix, "--via", via, "--interface", "h2"]).ok();
        a.host.reaches(there);
        switch.cli(["route", "del", prefix]).ok();
        a.host.cannot_reach(there);
        assert_eq!(route(&switch, "default", prefix), Value::Null);
    }
    // A more special one goes first.
    switch.cli(["route", "add", "10.9.0.0/16", "--via", "10.2.0.2"]).ok();
    switch.cli(["route", "add", "10.9.0.1/32", "--prohibit"]).ok();
    a.host.cannot_reach("10.9.0.1");
    switch.cli(["route", "del", "10.9.0.1/32"]).ok();
    a.host.reaches("10.9.0.1");
    for (words, parts) in [
        (&["add", "10.8.0.0/16", "--via", "10.7.0.1"][..], &["10.7.0.1", "10.1.0.0/24"][..]),
        (&["add", "10.8.0.0/16", "--via", "fd02::2"], &["fd02::2", "IPv4"]),
        (&["add", "10.8.0.0/16", "--via", "10.2.0.1"], &["10.2.0.1", "h2"]),
        (&["add", "10.8.0.1/16", "--via", "10.2.0.2"], &["10.8.0.1/16", "10.8.0.0/16"]),
        (&["add", "10.8.0.0/16", "--via", "10.2.0.2", "--vrf", "blue"], &["blue", "red"]),
        (&["add", "10.8.0.0/16", "--interface", "h9"], &["h9", "h1"]),
        (&["add", "::/0", "--via", "fe80::1"], &["fe80::1", "link-local"]),
        (&["add", "192.0.2.0/24", "--via", "10.2.0.2"], &["192.0.2.0/24", "configuration file"]),
        (&["del", "192.0.2.0/24"], &["192.0.2.0/24", "configuration file"]),
        (&["del", "10.8.0.0/16"], &["10.8.0.0/16"]),
        (&["add", "10.8.0.0", "--blackhole"], &["10.8.0.0"]),
        (&["add", "10.8.0.0/33", "--blackhole"], &["10.8.0.0/33"]),
        (&["add", "10.8.0.0/16"], &["--via"]),
    ] {
        switch.cli_words(&[&["route"], words].concat()).fails_naming(parts);
    }
    assert_eq!(route(&switch, "default", "10.8.0.0/16"), Value::Null);
}

fn routes_outlive_kills(engine: &Engine) {
    let (a, b) = (Station::new(1), Station::new(2));
    let _veths = [a.veth(engine), b.veth(engine)];
    let config = a.on_veth("packet", "") + &b.on_veth("packet", "");
    let mut switch = Switch::configured(engine, &config);
    a.up();
    b.up();
    b.host.ip("address add 10.9.0.1/32 dev h2");
    switch.cli(["route", "add", "10.9.0.0/16", "--via", "10.2.0.2"]).ok();
    let works = |switch: &Switch<'_>| {
        switch.await_that("it is there again", |_| a.host.ping(&["-W", "1", "10.9.0.1"]).succeeded());
    };
    works(&switch);
    switch.kill9();
    switch.restart();
    works(&switch);
    switch.stop();
    switch.restart();
    works(&switch);
    switch.cli(["route", "del", "10.9.0.0/16"]).ok();
    switch.kill9();
    switch.restart();
    assert_eq!(route(&switch, "default", "10.9.0.0/16"), Value::Null);
}

fn pings_of_the_switch(engine: &Engine) {
    let (a, b, red) = (Station::new(1), Station::new(2), Station::new(3));
    let config = "vrf = [{ name = \"red\" }]\n".to_string()
        + "route = [{ prefix = \"10.50.0.0/16\", via = \"10.1.0.2\" }]\n"
        + &a.on_tap("", "")
        + &b.on_tap("", "")
        + &red.on_tap("", "vrf = \"red\"");
    let switch = Switch::configured(engine, &config);
    [&a, &b, &red].into_iter().for_each(Station::up);
    for own in a.own().iter().chain(&b.own()).chain(&a.router()) {
        for size in ["56", "3000", "20000"] {
            let said = switch.cli(["ping", own, "--count", "1", "--size", size]).ok();
            assert!(said.contains(&format!("{size} bytes from {own}: seq=1 ttl=")), "{said}");
        }
    }
    for own in red.own() {
        let said = switch.cli(["ping", &own, "--count", "2", "--interval", "0", "--vrf", "red"]).ok();
        assert!(said.contains("2 sent, 2 answered, 0 % lost"), "{said}");
        assert!(switch.cli(["ping", &own, "--count", "1"]).fails().contains("no route leads"));
    }
    let said = |words: &[&str]| switch.cli_words(&[&["ping", "--count", "1"], words].concat());
    // Nobody has it: the switch's own words about a neighbour that does not answer.
    assert!(said(&["10.1.0.99"]).stdout().contains("host unreachable"));
    // A host that does not answer.
    b.host.ip("address add 10.2.0.3/32 dev h2");
    b.host.sysctl("net/ipv4/icmp_echo_ignore_all", "1");
    let silent = said(&["10.2.0.2"]);
    assert!(silent.stdout().contains("no answer from 10.2.0.2") && silent.stdout().contains("100 % lost"));
    silent.fails_naming(&["10.2.0.2"]);
    // A router on the way says so.
    a.host.sysctl("net/ipv4/ip_forward", "1");
    a.host.ip("route add unreachable 10.50.0.0/16");
    let told = said(&["10.50.0.1"]);
    assert!(told.stdout().contains("from 10.1.0.2: seq=1 host unreachable"), "{}", told.stdout());
    a.host.ip("route del unreachable 10.50.0.0/16");
    a.host.ip("route add 10.50.0.0/16 via 10.1.0.1");
    let told = said(&["10.50.0.1", "--ttl", "1"]);
    assert!(told.stdout().contains("from 10.1.0.2: seq=1 time to live exceeded"), "{}", told.stdout());
    // An address of one link alone.
    let shown = a.host.run(&["ip", "-6", "-o", "address", "show", "dev", "h1", "scope", "link"]);
    let on_link =
        shown.stdout().split_whitespace().find_map(|word| word.strip_suffix("/64")).expect("there is one");
    let reply = said(&[on_link, "--interface", "h1"]).ok();
    assert!(reply.contains(&format!("56 bytes from {on_link}: seq=1 ttl=64")), "{reply}");
    said(&[on_link]).fails_naming(&[on_link, "link-local", "interface"]);
    said(&["10.2.0.2", "--interface", "h1"]).fails_naming(&["10.2.0.2", "h1"]);
    said(&["10.2.0.2", "--interface", "h9"]).fails_naming(&["h9", "default", "show vrfs"]);
    said(&["10.2.0.2", "--source", "10.9.9.9"]).fails_naming(&["10.9.9.9"]);
    said(&["10.2.0.2", "--vrf", "blue"]).fails_naming(&["blue", "show vrfs"]);
    said(&["fd01::2", "--source", "10.1.0.1"]).fails_naming(&["IPv4", "IPv6"]);
}

/// What routes lead to a device that goes, and comes back; others go on.
fn a_device_that_comes_back(engine: &Engine) {
    let (a, b, c) = (Station::new(1), Station::new(2), Station::new(3));
    let config = "route = [{ prefix = \"10.9.0.0/16\", via = \"10.3.0.2\" }]\n".to_string()
        + &a.on_tap("", "")
        + &b.on_tap("", "")
        + &c.on_veth("packet", "");
    let switch = Switch::configured(engine, &config);
    a.up();
    b.up();
    for _ in 0..3 {
        let veth = c.veth(engine);
        c.up();
        c.host.ip("address add 10.9.0.1/32 dev h3");
        switch.await_that("the port is up", |switch| switch.row("interfaces", "h3")["state"] == "up");
        a.host.reaches("10.9.0.1");
        b.host.reaches("10.3.0.2");
        // Packets are on their way when it goes, and some wait for a neighbour that nobody is.
        let (mut wire, [a4, _]) = (a.wire(), a.own());
        let to = |to| a.frame(&Packet::new(&a4, to, &[6; 60]).bytes());
        let frames: Vec<Vec<u8>> =
            (0..4000).map(|n| to(if n % 10 == 0 { "10.3.0.77" } else { "10.9.0.1" })).collect();
        std::thread::scope(|scope| {
            let flood = scope.spawn(move || wire.send(&frames));
            drop(veth);
            while !flood.is_finished() {
                a.host.reaches("10.2.0.2");
            }
        });
        switch.await_that("the port is down", |switch| switch.row("interfaces", "h3")["state"] != "up");
        a.host.cannot_reach("10.9.0.1");
        reach_each_other(&a, &b);
    }
    switch.await_that("nothing waits", |switch| switch.show("buffers")["in_use"] == 0);
}
