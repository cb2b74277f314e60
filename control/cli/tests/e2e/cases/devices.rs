//! Devices that go, and come back.

use std::time::{Duration, Instant};

use super::cases;
use super::operator::{bridge, port, tap};
use crate::engine::Engine;
use crate::host::{Host, Veth};
use crate::switch::Switch;

cases![a_missing_device, a_device_that_goes_down, a_device_that_vanishes];

/// Three hosts: one at a TAP, one at a `packet` and one at an `afxdp` port, if its device is there.
const HOSTS: [(&str, &str); 3] = [("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "10.0.0.3")];

fn config(host: &Host) -> String {
    tap("a", host, "")
        + &port("b", "packet", "device = \"b0\"")
        + &port("c", "afxdp", "device = \"c0\"")
        + &port("d", "null", "")
        + &bridge("", &[("a", ""), ("b", ""), ("c", ""), ("d", "")])
}

fn address(hosts: &[Host; 3], numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        let (device, address) = HOSTS[number];
        hosts[number].address(device, &format!("{address}/24"));
    }
}

/// A state other than up, and why.
fn is_down(switch: &Switch<'_>, name: &str) -> bool {
    let rows = switch.show("interfaces");
    let row = rows.as_array().into_iter().flatten().find(|row| row["name"] == name);
    row.is_some_and(|row| row["state"] != "up" && row["reason"].is_string())
}

fn is_up(switch: &Switch<'_>, name: &str) -> bool {
    let rows = switch.show("interfaces");
    rows.as_array().into_iter().flatten().any(|row| row["name"] == name && row["state"] == "up")
}

/// A switch with nothing to do does nothing, whatever has become of its devices.
#[track_caller]
fn is_calm(switch: &Switch<'_>) {
    let (since, before) = (Instant::now(), switch.processor_s());
    std::thread::sleep(Duration::from_secs(2));
    let share = (switch.processor_s() - before) / since.elapsed().as_secs_f64();
    assert!(share < 0.5, "{:.0} % of a core with no packet to forward", share * 100.0);
}

fn a_missing_device(engine: &Engine) {
    let hosts = HOSTS.map(|_| Host::new());
    let switch = Switch::configured(engine, &config(&hosts[0]));
    for (name, device) in [("b", "b0"), ("c", "c0")] {
        assert!(is_down(&switch, name), "{}", switch.show("interfaces"));
        let reason = switch.row("interfaces", name)["reason"].clone();
        assert!(reason.as_str().is_some_and(|reason| reason.contains(device)), "{reason}");
        assert!(switch.said().contains(device), "{}", switch.said());
    }
    // It comes late: the switch takes it up by itself.
    let _b = Veth::new(engine, "b0", &hosts[1], "b");
    let _c = Veth::new(engine, "c0", &hosts[2], "c");
    address(&hosts, 0..3);
    switch.await_that("they come up", |switch| is_up(switch, "b") && is_up(switch, "c"));
    hosts[0].reaches(HOSTS[1].1);
    hosts[0].reaches(HOSTS[2].1);
}

fn a_device_that_goes_down(engine: &Engine) {
    let hosts = HOSTS.map(|_| Host::new());
    let b = Veth::new(engine, "b0", &hosts[1], "b");
    let c = Veth::new(engine, "c0", &hosts[2], "c");
    let switch = Switch::configured(engine, &config(&hosts[0]));
    address(&hosts, 0..3);
    for (veth, device, number) in [(&b, "b0", 1), (&c, "c0", 2)] {
        let (name, other) = (HOSTS[number].0, HOSTS[3 - number].1);
        hosts[0].reaches(HOSTS[number].1);
        veth.ip(&["link", "set", device, "down"]).ok();
        hosts[0].cannot_reach(HOSTS[number].1);
        switch.await_that("the port is down, and says why", |switch| is_down(switch, name));
        hosts[0].reaches(other);
        is_calm(&switch);
        veth.ip(&["link", "set", device, "up"]).ok();
        switch.await_that("the port is up", |switch| is_up(switch, name));
        hosts[0].reaches(HOSTS[number].1);
    }
}

fn a_device_that_vanishes(engine: &Engine) {
    let hosts = HOSTS.map(|_| Host::new());
    let b = Veth::new(engine, "b0", &hosts[1], "b");
    let c = Veth::new(engine, "c0", &hosts[2], "c");
    let switch = Switch::configured(engine, &config(&hosts[0]));
    address(&hosts, 0..3);
    hosts[0].reaches(HOSTS[1].1);
    hosts[0].reaches(HOSTS[2].1);
    drop(b);
    switch.await_that("the port is down, and says why", |switch| is_down(switch, "b"));
    hosts[0].cannot_reach(HOSTS[1].1);
    hosts[0].reaches(HOSTS[2].1);
    drop(c);
    switch.await_that("the port is down, and says why", |switch| is_down(switch, "c"));
    hosts[0].cannot_reach(HOSTS[2].1);
    is_calm(&switch);
    // The TAP of a host that goes, goes with it; nobody minds.
    let _b = Veth::new(engine, "b0", &hosts[1], "b");
    let _c = Veth::new(engine, "c0", &hosts[2], "c");
    address(&hosts, 1..3);
    switch.await_that("they are up again", |switch| is_up(switch, "b") && is_up(switch, "c"));
    hosts[1].reaches(HOSTS[0].1);
    hosts[2].reaches(HOSTS[1].1);
    let buffers = switch.show("buffers");
    assert_eq!(buffers["exhausted"], 0, "{buffers}");
}
