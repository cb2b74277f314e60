//! Neighbours of a router: asked for, silent, moved, configured, stood in for, claimed.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::cases;
use crate::engine::Engine;
use crate::station::{Packet, SOON, Station, arp, framed, reach_each_other, text, told};
use crate::switch::Switch;

cases![
    asked_for_by_arp_and_by_neighbour_discovery,
    a_neighbour_that_does_not_answer,
    a_neighbour_that_moves,
    a_configured_neighbour,
    proxy_arp,
    a_storm_of_arp,
    an_address_that_two_claim,
    another_mac_address_of_an_interface,
];

fn start<'e>(engine: &'e Engine, more: [&str; 2]) -> (Station, Station, Switch<'e>) {
    let (a, b) = (Station::new(1), Station::new(2));
    let switch = Switch::configured(engine, &(a.on_tap("", more[0]) + &b.on_tap("", more[1])));
    a.up();
    b.up();
    (a, b, switch)
}

/// What the switch shows of a neighbour.
fn neighbour(switch: &Switch<'_>, address: &str) -> Value {
    let rows = switch.show("neighbours");
    let row = rows.as_array().and_then(|rows| rows.iter().find(|row| row["address"] == address));
    row.cloned().unwrap_or_default()
}

/// A packet of the first host's that the second's wire would carry to some address.
fn sent(a: &Station, to: &str) -> Vec<u8> {
    a.frame(&Packet::new(&a.own()[usize::from(to.contains(':'))], to, &[3; 60]).bytes())
}

fn asked_for_by_arp_and_by_neighbour_discovery(engine: &Engine) {
    let (a, b, switch) = start(engine, [""; 2]);
    assert!(switch.cli(["show", "neighbours"]).ok().contains("no neighbours"));
    reach_each_other(&a, &b);
    for station in [&a, &b] {
        for own in station.own() {
            let row = neighbour(&switch, &own);
            assert_eq!(
                (&row["interface"], &row["mac"]),
                (&station.name().into(), &text(station.macs()[1]).into())
            );
            assert!(["reachable", "stale"].iter().any(|state| row["state"] == *state), "{row}");
        }
    }
    let table = switch.cli(["show", "neighbours"]).ok();
    for part in ["h1", "10.1.0.2", "fd02::2", "02:00:00:00:01:02", "reachable"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let routes = switch.show("routes");
    let is_found = |row: &&Value| row["prefix"] == "10.2.0.2/32" && row["origin"] == "neighbour";
    assert_eq!(routes.as_array().into_iter().flatten().filter(is_found).count(), 1, "{routes}");
}

fn a_neighbour_that_does_not_answer(engine: &Engine) {
    let (a, b, switch) = start(engine, [""; 2]);
    reach_each_other(&a, &b);
    let mut wire = a.wire();
    for (to, by, icmp) in [("10.2.0.99", "10.1.0.1", (3, 1)), ("fd02::99", "fd01::1", (1, 3))] {
        let (before, since) = (switch.dropped("h1", "no-neighbour"), Instant::now());
        wire.send(&[sent(&a, to)]);
        switch.await_that("asked for", |switch| neighbour(switch, to)["state"] == "incomplete");
        assert_eq!(neighbour(&switch, to)["waiting"], 1);
        let frame = wire.hear(Duration::from_secs(15), |frame| told(frame).is_some()).expect("told");
        let told = told(&frame).expect("an error");
        assert_eq!((told.by, told.icmp), (by.parse().expect("an address"), icmp));
        assert!(since.elapsed() > Duration::from_millis(2500), "asked three times, a second apart");
        assert_eq!(switch.dropped("h1", "no-neighbour"), before + 1, "{}", switch.show("drops"));
        // For a moment others are told at once.
        wire.send(&[sent(&a, to)]);
        assert!(wire.hear(SOON, |frame| crate::station::told(frame).is_some()).is_some());
    }
    // More than may wait: the oldest make room, and all are counted.
    let before = switch.dropped("h1", "no-neighbour");
    wire.send(&vec![sent(&a, "10.2.0.98"); 50]);
    switch.await_that("counted", |switch| switch.dropped("h1", "no-neighbour") == before + 32);
    assert_eq!(switch.dropped("h1", "neighbour-limit"), 18, "{}", switch.show("drops"));
    // What is not believed: an answer that nobody asked for.
    let [router, own] = a.macs();
    let answer =
        [&router[..], &own, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &own, &[10, 1, 0, 77], &router, &[10, 1, 0, 1]];
    wire.send(&[answer.concat()]);
    switch.await_that("counted", |switch| switch.dropped_at("thread", "router", "unasked") > 0);
    assert_eq!(switch.show("buffers")["in_use"], 0);
}

fn a_neighbour_that_moves(engine: &Engine) {
    let (a, b, switch) = start(engine, [""; 2]);
    reach_each_other(&a, &b);
    let mac = [2, 0, 0, 0, 2, 0x77];
    b.host.ip(&format!("link set dev h2 address {}", text(mac)));
    // For a second the first answer is believed.
    std::thread::sleep(Duration::from_millis(1200));
    b.wire().send(&[arp(1, mac, "10.2.0.2", "10.2.0.2")]);
    switch.await_that("it has moved", |switch| neighbour(switch, "10.2.0.2")["mac"] == text(mac));
    let mut wire = b.wire();
    a.wire().send(&[sent(&a, "10.2.0.2")]);
    assert!(wire.hear(SOON, |frame| frame[..6] == mac && frame.ends_with(&[3; 60])).is_some());
    a.host.reaches("10.2.0.2");
    // Who says nothing is asked again, before long.
    b.host.ip("link set dev h2 address 02:00:00:00:02:78");
    switch.await_that("asked again", |_| a.host.ping(&["-W", "1", "fd02::2"]).succeeded());
    a.host.reaches("fd02::2");
}

fn a_configured_neighbour(engine: &Engine) {
    let mac = [2, 0, 0, 0, 2, 0x55];
    let fixed = format!(
        "neighbours = [{{ address = \"10.2.0.5\", mac = \"{0}\" }}, {{ address = \"fd02::5\", mac = \"{0}\" }}]",
        text(mac)
    );
    let (a, b, switch) = start(engine, ["", &fixed]);
    let (mut from, mut wire) = (a.wire(), b.wire());
    for to in ["10.2.0.5", "fd02::5"] {
        from.send(&[sent(&a, to)]);
        let packet = Packet::new(&a.own()[usize::from(to.contains(':'))], to, &[3; 60]).forwarded();
        let want = framed(mac, b.macs()[0], &packet);
        assert!(wire.hear(SOON, |frame| frame == want).is_some(), "{to}");
        assert_eq!(neighbour(&switch, to)["state"], "static");
    }
    // Nobody takes its address from it.
    wire.send(&[arp(1, [2, 6, 6, 6, 6, 6], "10.2.0.5", "10.2.0.5")]);
    from.send(&[sent(&a, "10.2.0.5")]);
    assert!(wire.hear(SOON, |frame| frame[..6] == mac && frame.ends_with(&[3; 60])).is_some());
    assert_eq!(neighbour(&switch, "10.2.0.5")["mac"], text(mac));
}

fn proxy_arp(engine: &Engine) {
    let (a, b, _switch) = start(engine, ["proxy_arp = true", ""]);
    // It takes all the world for its own link.
    a.host.ip("route delete default");
    a.host.ip("route add 10.0.0.0/8 dev h1");
    a.host.reaches("10.2.0.2");
    let mut wire = a.wire();
    let is_answer =
        |frame: &[u8], of: [u8; 4]| frame[12..14] == [8, 6] && frame[21] == 2 && frame[28..32] == of;
    for (target, answered) in [
        ("10.2.0.200", true),
        ("10.1.0.1", true),
        // Of its own link, nowhere, and at the other one, which is no proxy.
        ("10.1.0.77", false),
        ("10.9.0.1", false),
    ] {
        wire.send(&[arp(1, a.macs()[1], "10.1.0.2", target)]);
        let of = target.parse::<std::net::Ipv4Addr>().expect("an address").octets();
        let patience = if answered { SOON } else { Duration::from_millis(300) };
        assert_eq!(wire.hear(patience, |frame| is_answer(frame, of)).is_some(), answered, "{target}");
    }
    let mut wire = b.wire();
    wire.send(&[arp(1, b.macs()[1], "10.2.0.2", "10.1.0.2")]);
    assert!(wire.hear(Duration::from_millis(300), |frame| is_answer(frame, [10, 1, 0, 2])).is_none());
}

fn a_storm_of_arp(engine: &Engine) {
    let (a, b, switch) = start(engine, [""; 2]);
    reach_each_other(&a, &b);
    let mut random = fastrand::Rng::with_seed(7);
    let mut frame = |_| {
        let mut mac = [0; 6];
        random.fill(&mut mac);
        mac[0] = 2;
        let sender = format!("10.2.0.{}", random.u8(3..250));
        arp(1, mac, &sender, "10.2.0.1")
    };
    let mut storm: Vec<Vec<u8>> = (0..5000).map(&mut frame).collect();
    // And for each address of 10.2.0.0/16 and beyond: these have no place on the link.
    storm.extend(
        (0..5000_u32)
            .map(|n| arp(1, [2, 1, 1, 1, 1, 1], &format!("10.3.{}.{}", n / 250, n % 250), "10.2.0.1")),
    );
    std::thread::scope(|scope| {
        let storm = scope.spawn(|| b.wire().send(&storm));
        while !storm.is_finished() {
            // One who is known, and one who is not.
            a.host.reaches("10.2.0.2");
            a.host.reaches("10.1.0.1");
        }
        storm.join().expect("sent");
    });
    reach_each_other(&a, &b);
    let rows = switch.count("neighbours");
    assert!(rows < 260, "{rows} entries");
    assert_eq!(neighbour(&switch, "10.3.0.1"), Value::Null);
    assert_eq!(switch.show("buffers")["exhausted"], 0);
}

fn an_address_that_two_claim(engine: &Engine) {
    let (a, b, switch) = start(engine, [""; 2]);
    reach_each_other(&a, &b);
    let mut wire = b.wire();
    wire.send(&[arp(1, [2, 6, 6, 6, 6, 6], "10.2.0.1", "10.2.0.1")]);
    switch.await_that("it is said", |switch| {
        let said = switch.said();
        ["10.2.0.1", "02:06:06:06:06:06", "h2", "defended"].iter().all(|part| said.contains(part))
    });
    // All are told who really has it.
    let is_defence =
        |frame: &[u8]| frame[12..14] == [8, 6] && frame[22..32] == [2, 0, 0, 0, 2, 1, 10, 2, 0, 1];
    assert!(wire.hear(SOON, is_defence).is_some());
    reach_each_other(&a, &b);
}

/// Hosts learn it, and what was known of neighbours goes on.
fn another_mac_address_of_an_interface(engine: &Engine) {
    let b = Station::new(2);
    let veth = b.veth(engine);
    let a = Station::new(1);
    let mac = format!("mac = \"{}\"\n", text(b.macs()[0]));
    let config = a.on_tap("", "") + &b.on_veth("packet", "").replace(&mac, "");
    let switch = Switch::configured(engine, &config);
    a.up();
    b.up();
    reach_each_other(&a, &b);
    // The interface has the address of its device.
    veth.ip(&["link", "set", "dev", "h2-s", "down"]).ok();
    veth.ip(&["link", "set", "dev", "h2-s", "address", "02:00:00:00:02:66"]).ok();
    veth.ip(&["link", "set", "dev", "h2-s", "mtu", "1400"]).ok();
    veth.ip(&["link", "set", "dev", "h2-s", "up"]).ok();
    switch.await_that("they reach each other", |_| a.host.ping(&["-W", "1", "10.2.0.2"]).succeeded());
    reach_each_other(&a, &b);
}
