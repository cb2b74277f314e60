//! What a network is and is not: its edges, its options, several of them.

use super::{DUAL, SUBNET, cases};
use crate::engine::Engine;
use crate::network::Network;
use crate::switch::Switch;

cases![
    mtu,
    internal,
    no_second_leg,
    two_networks_are_isolated,
    several_networks_on_one_container,
    config_only,
    unknown_options_are_refused,
];

fn mtu(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&[&DUAL[..], &["--opt", "com.docker.network.driver.mtu=9000"]].concat());
    let (a, b) = (network.run(&[]), network.run(&[]));
    assert_eq!(a.link("eth0", "mtu"), "9000");
    let address = b.ipv4(&network).to_string();
    a.exec(["ping", "-c", "1", "-W", "5", "-s", "8900", &address]).ok();
    // Larger than the MTU: fragments.
    a.exec(["ping", "-c", "1", "-W", "5", "-s", "20000", &address]).ok();
}

fn internal(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&[&DUAL[..], &["--internal"]].concat());
    let (a, b) = (network.run(&[]), network.run(&[]));
    a.reaches(&b.ipv4(&network));
    a.reaches(&b.ipv6(&network));
    assert!(!a.exec(["ip", "route"]).ok().contains("default"), "an internal network has no way out");
}

fn no_second_leg(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&DUAL);
    let a = network.run(&["--publish", "8080:80"]);
    assert_eq!(a.links(), ["eth0", "lo"]);
    assert!(
        !engine.links().iter().any(|link| link == "docker_gwbridge"),
        "the engine made a docker_gwbridge"
    );
}

fn two_networks_are_isolated(engine: &Engine) {
    let switch = Switch::start(engine);
    let (one, two) = (switch.network(&SUBNET), switch.network(&["--subnet", "10.78.0.0/24"]));
    let (a, b) = (one.run(&["--cap-add", "NET_ADMIN"]), two.run(&[]));
    a.cannot_reach(&b.ipv4(&two));
    // Not even with a route that says it is next door.
    a.exec(["ip", "route", "add", "10.78.0.0/24", "dev", "eth0"]).ok();
    a.cannot_reach(&b.ipv4(&two));
}

fn several_networks_on_one_container(engine: &Engine) {
    let switch = Switch::start(engine);
    let (one, two) = (switch.network(&SUBNET), switch.network(&["--subnet", "10.78.0.0/24"]));
    let (a, b) = (one.run(&[]), two.run(&[]));
    let both = one.run(&[]);
    two.connect(&[], &both).ok();
    assert_eq!(both.links(), ["eth0", "eth1", "lo"]);
    both.reaches(&a.ipv4(&one));
    both.reaches(&b.ipv4(&two));
    a.reaches(&both.ipv4(&one));
    b.reaches(&both.ipv4(&two));
    both.docker("restart");
    both.reaches(&a.ipv4(&one));
    both.reaches(&b.ipv4(&two));
}

fn config_only(engine: &Engine) {
    let switch = Switch::start(engine);
    let options =
        ["--config-only", "--ipam-driver", switch.driver(), "--opt", "com.docker.network.driver.mtu=1400"];
    let config = Network::create(engine, &[&options, &SUBNET[..]].concat());
    let network = Network::create(engine, &["--driver", switch.driver(), "--config-from", config.name()]);
    let (a, b) = (network.run(&[]), network.run(&[]));
    assert_eq!(a.ipv4(&network).octets()[..3], [10, 77, 0]);
    assert_eq!(a.link("eth0", "mtu"), "1400");
    a.reaches(&b.ipv4(&network));
}

fn unknown_options_are_refused(engine: &Engine) {
    let switch = Switch::start(engine);
    for (option, named) in [
        ("colour=blue", "colour"),
        ("attach=pigeon", "pigeon"),
        ("com.docker.network.driver.mtu=67", "67"),
        ("com.docker.network.driver.mtu=many", "many"),
    ] {
        let more = [&SUBNET[..], &["--opt", option]].concat();
        let options = switch.network_options(&more);
        Network::try_create(engine, &options).fails_naming(&[named]);
    }
    assert_eq!(switch.count("networks"), 0);
}
