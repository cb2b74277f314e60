//! Switch, engine and containers end and return in any order, and nothing is lost or left.

use std::time::Instant;

use super::{DUAL, SUBNET, cases};
use crate::container::Container;
use crate::engine::Engine;
use crate::network::Network;
use crate::switch::Switch;

cases![
    switch_killed,
    switch_killed_with_every_attach,
    switch_stopped_gracefully,
    leases_survive,
    engine_killed,
    engine_and_switch_killed,
    container_dies_while_the_switch_is_down,
    network_removed_while_the_switch_is_down,
];

/// The same two containers talk, on the addresses they had, without Docker having done a thing.
fn still_talk(a: &Container<'_>, b: &Container<'_>, network: &Network<'_>) {
    let since = Instant::now();
    a.reaches(&b.ipv4(network));
    b.reaches(&a.ipv6(network));
    println!("talk again {} ms after the switch serves", since.elapsed().as_millis());
}

fn switch_killed(engine: &Engine) {
    let mut switch = Switch::start(engine);
    let network = switch.network(&DUAL);
    let (a, b) = (network.run(&[]), network.run(&[]));
    a.reaches(&b.ipv4(&network));
    for _ in 0..3 {
        switch.kill9();
        switch.restart();
        still_talk(&a, &b, &network);
        assert_eq!(switch.count("endpoints"), 2);
    }
}

fn switch_killed_with_every_attach(engine: &Engine) {
    let mut switch = Switch::start(engine);
    for attach in ["attach=tap", "attach=veth", "attach=afxdp"] {
        let network = switch.network(&[&DUAL[..], &["--opt", attach]].concat());
        let (a, b) = (network.run(&[]), network.run(&[]));
        switch.kill9();
        switch.restart();
        still_talk(&a, &b, &network);
    }
}

fn switch_stopped_gracefully(engine: &Engine) {
    let mut switch = Switch::start(engine);
    let network = switch.network(&DUAL);
    let (a, b) = (network.run(&[]), network.run(&[]));
    let address = a.link("eth0", "address");
    switch.stop();
    assert_eq!(a.links(), ["eth0", "lo"], "a graceful stop leaves containers attached");
    switch.restart();
    assert_eq!(a.link("eth0", "address"), address);
    still_talk(&a, &b, &network);
}

fn leases_survive(engine: &Engine) {
    let mut switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let a = network.run(&[]);
    switch.kill9();
    switch.restart();
    network.try_run(&["--ip", &a.ipv4(&network).to_string()]).fails();
    let b = network.run(&[]);
    assert_ne!(a.ipv4(&network), b.ipv4(&network));
    a.reaches(&b.ipv4(&network));
    Network::try_create(engine, &switch.network_options(&SUBNET)).fails_naming(&["10.77.0.0/24"]);
}

fn engine_killed(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&DUAL);
    let (a, b) = (network.run(&[]), network.run(&[]));
    engine.crash();
    engine.boot();
    a.docker("start");
    b.docker("start");
    still_talk(&a, &b, &network);
    assert_eq!(
        switch.count("endpoints"),
        2,
        "endpoints from before the crash are gone: {}",
        switch.show("endpoints")
    );
}

fn engine_and_switch_killed(engine: &Engine) {
    let mut switch = Switch::start(engine);
    let network = switch.network(&DUAL);
    let (a, b) = (network.run(&[]), network.run(&[]));
    engine.crash();
    switch.kill9();
    switch.restart();
    engine.boot();
    a.docker("start");
    b.docker("start");
    still_talk(&a, &b, &network);
    assert_eq!(switch.count("endpoints"), 2);
}

fn container_dies_while_the_switch_is_down(engine: &Engine) {
    let mut switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let (a, b) = (network.run(&[]), network.run(&[]));
    let gone = b.ipv4(&network).to_string();
    switch.kill9();
    // Docker asks the switch in vain, gives up and removes it all the same.
    engine.docker(["rm", "--force", b.name()]).ok();
    switch.restart();
    assert_eq!(switch.count("endpoints"), 1, "{}", switch.show("endpoints"));
    let c = network.run(&["--ip", &gone]);
    a.reaches(&c.ipv4(&network));
}

/// Docker removes it all the same, and never says so to the switch: the network and its subnet stay, in sight, until an
/// operator says that it is gone.
fn network_removed_while_the_switch_is_down(engine: &Engine) {
    let mut switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let id = network.inspect()["Id"].as_str().expect("an ID").to_owned();
    switch.kill9();
    network.remove().ok();
    switch.restart();
    let networks = switch.show("networks");
    assert_eq!(
        (networks.as_array().map(Vec::len), &networks[0]["id"]),
        (Some(1), &id.as_str().into()),
        "{networks}"
    );
    Network::try_create(engine, &switch.network_options(&SUBNET)).fails_naming(&["10.77.0.0/24"]);
    switch.cli(["clear", "network", "nothing-like-it"]).fails_naming(&["nothing-like-it"]);
    switch.cli(["clear", "network", &id[..12]]).ok();
    assert_eq!(switch.count("networks"), 0);
    let again = switch.network(&SUBNET);
    let (a, b) = (again.run(&[]), again.run(&[]));
    a.reaches(&b.ipv4(&again));
    // One in use is not lost by mistake.
    let id = again.inspect()["Id"].as_str().expect("an ID").to_owned();
    switch.cli(["clear", "network", &id]).fails_naming(&["endpoint"]);
    a.reaches(&b.ipv4(&again));
}
