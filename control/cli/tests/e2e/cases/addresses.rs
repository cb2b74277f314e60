//! Who gives which address to whom.

use super::{DUAL, SUBNET, cases};
use crate::engine::Engine;
use crate::network::Network;
use crate::switch::Switch;

cases![
    static_ip,
    static_ip_in_use_is_refused,
    static_ip_outside_is_refused,
    static_mac,
    ipv6_alone,
    auxiliary_addresses_are_never_given,
    ip_range,
    a_full_pool_says_so,
    overlapping_pools_are_refused,
    automatic_pools_differ,
    the_default_ipam_driver,
    the_null_ipam_driver,
];

fn static_ip(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&DUAL);
    let a = network.run(&["--ip", "10.77.0.77", "--ip6", "fd77::77"]);
    let b = network.run(&[]);
    b.reaches("10.77.0.77");
    b.reaches("fd77::77");
    a.docker("stop");
    a.docker("start");
    b.reaches("10.77.0.77");
}

fn static_ip_in_use_is_refused(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let _a = network.run(&["--ip", "10.77.0.77"]);
    network.try_run(&["--ip", "10.77.0.77"]).fails_naming(&["10.77.0.77"]);
    assert_eq!(switch.count("endpoints"), 1);
}

fn static_ip_outside_is_refused(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    network.try_run(&["--ip", "10.78.0.1"]).fails_naming(&["10.78.0.1"]);
    assert_eq!(switch.count("endpoints"), 0);
}

fn static_mac(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let a = network.run(&["--mac-address", "02:00:00:00:77:01"]);
    let b = network.run(&[]);
    assert_eq!(a.link("eth0", "address"), "02:00:00:00:77:01");
    assert_eq!(a.leg(&network)["MacAddress"], "02:00:00:00:77:01");
    assert_eq!(b.leg(&network)["MacAddress"], b.link("eth0", "address"));
    b.reaches(&a.ipv4(&network));
}

fn ipv6_alone(engine: &Engine) {
    if engine.version() < (28, 0) {
        println!("skipped: a Docker Engine before 28 has no network without IPv4");
        return;
    }
    let switch = Switch::start(engine);
    let network = switch.network(&["--ipv4=false", "--ipv6", "--subnet", "fd77::/64"]);
    let (a, b) = (network.run(&[]), network.run(&[]));
    a.reaches(&b.ipv6(&network));
}

fn auxiliary_addresses_are_never_given(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&[
        "--subnet",
        "10.77.0.0/29",
        "--gateway",
        "10.77.0.1",
        "--aux-address",
        "printer=10.77.0.2",
        "--aux-address",
        "router=10.77.0.4",
    ]);
    // 1 is the gateway's, 2 and 4 are reserved, 7 is the broadcast address: 3, 5 and 6 are left.
    let containers = [network.run(&[]), network.run(&[]), network.run(&[])];
    let mut given = containers.each_ref().map(|container| container.ipv4(&network).octets()[3]);
    given.sort_unstable();
    assert_eq!(given, [3, 5, 6]);
    network.try_run(&["--ip", "10.77.0.4"]).fails_naming(&["10.77.0.4"]);
}

fn ip_range(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&["--subnet", "10.77.0.0/16", "--ip-range", "10.77.5.0/30"]);
    let a = network.run(&[]);
    assert_eq!(a.ipv4(&network).octets()[..3], [10, 77, 5]);
    let b = network.run(&["--ip", "10.77.200.1"]);
    a.reaches(&b.ipv4(&network));
}

fn a_full_pool_says_so(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&["--subnet", "10.77.0.0/30"]);
    let a = network.run(&[]);
    network.try_run(&[]).fails_naming(&["10.77.0.0/30"]);
    drop(a);
    let _b = network.run(&[]);
}

fn overlapping_pools_are_refused(engine: &Engine) {
    let switch = Switch::start(engine);
    let _network = switch.network(&["--subnet", "10.77.0.0/24"]);
    let again = Network::try_create(engine, &switch.network_options(&["--subnet", "10.77.0.0/16"]));
    again.fails_naming(&["10.77.0.0/16", "10.77.0.0/24"]);
    assert_eq!(switch.count("networks"), 1);
    let _beside = switch.network(&["--subnet", "10.78.0.0/16"]);
}

fn automatic_pools_differ(engine: &Engine) {
    let switch = Switch::start(engine);
    let (one, two) = (switch.network(&[]), switch.network(&[]));
    let subnet = |network: &Network<'_>| network.inspect()["IPAM"]["Config"][0]["Subnet"].clone();
    assert!(subnet(&one).is_string());
    assert_ne!(subnet(&one), subnet(&two));
    let (a, b) = (one.run(&[]), one.run(&[]));
    a.reaches(&b.ipv4(&one));
}

fn the_default_ipam_driver(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = Network::create(engine, &[&["--driver", switch.driver()], &DUAL[..]].concat());
    let (a, b) = (network.run(&[]), network.run(&[]));
    a.reaches(&b.ipv4(&network));
    a.reaches(&b.ipv6(&network));
}

fn the_null_ipam_driver(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = Network::create(engine, &["--driver", switch.driver(), "--ipam-driver", "null"]);
    // No addresses from anyone: the containers bring their own, and the switch carries them.
    let (a, b) = (network.run(&["--cap-add", "NET_ADMIN"]), network.run(&["--cap-add", "NET_ADMIN"]));
    a.exec(["ip", "address", "add", "192.0.2.1/24", "dev", "eth0"]).ok();
    b.exec(["ip", "address", "add", "192.0.2.2/24", "dev", "eth0"]).ok();
    a.reaches("192.0.2.2");
}
