//! Networks and containers come, talk, stop, start and go.

use super::{DUAL, SUBNET, cases};
use crate::container::Container;
use crate::engine::Engine;
use crate::network::Network;
use crate::switch::Switch;

cases![
    network_create_inspect_rm,
    two_containers_talk,
    names_resolve,
    stop_and_start,
    restart_and_kill,
    rm_by_force_frees_everything,
    connect_and_disconnect,
    a_network_in_use_stays,
    fifty_containers_at_once,
];

fn network_create_inspect_rm(engine: &Engine) {
    let switch = Switch::start(engine);
    for _ in 0..2 {
        let network = switch.network(&[&DUAL[..], &["--opt", "com.docker.network.driver.mtu=1400"]].concat());
        let seen = network.inspect();
        assert_eq!(seen["Driver"], switch.driver());
        assert_eq!(seen["IPAM"]["Driver"], switch.driver());
        assert_eq!(seen["IPAM"]["Config"][0]["Subnet"], "10.77.0.0/24");
        assert_eq!(seen["IPAM"]["Config"][1]["Subnet"], "fd77::/64");
        assert_eq!(seen["Options"]["com.docker.network.driver.mtu"], "1400");
        assert_eq!(switch.count("networks"), 1);
        network.remove().ok();
        assert_eq!(switch.count("networks"), 0);
    }
}

fn two_containers_talk(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&DUAL);
    let (a, b) = (network.run(&[]), network.run(&[]));
    a.reaches(&b.ipv4(&network));
    b.reaches(&a.ipv4(&network));
    a.reaches(&b.ipv6(&network));
    b.reaches(&a.ipv6(&network));
    assert_eq!(switch.count("endpoints"), 2);
    assert!(switch.count("macs") >= 2, "both containers' addresses are learned: {}", switch.show("macs"));
}

fn names_resolve(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let (a, b) = (network.run(&[]), network.run(&["--network-alias", "other"]));
    a.reaches(b.name());
    a.reaches("other");
}

fn stop_and_start(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&DUAL);
    let (a, b) = (network.run(&[]), network.run(&[]));
    let address = b.ipv4(&network);
    b.docker("stop");
    assert_eq!(switch.count("endpoints"), 1);
    a.cannot_reach(&address);
    b.docker("start");
    a.reaches(&b.ipv4(&network));
    b.reaches(&a.ipv6(&network));
}

fn restart_and_kill(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let (a, b) = (network.run(&[]), network.run(&[]));
    b.docker("restart");
    a.reaches(&b.ipv4(&network));
    b.docker("kill");
    b.docker("start");
    a.reaches(&b.ipv4(&network));
    b.docker("pause");
    b.docker("unpause");
    b.reaches(&a.ipv4(&network));
}

fn rm_by_force_frees_everything(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&["--subnet", "10.77.0.0/29"]);
    // A /29 holds 6 hosts: a lease that stays behind is felt by the second or third round.
    for _ in 0..3 {
        let containers: Vec<Container<'_>> = (0..3).map(|_| network.run(&[])).collect();
        containers[0].reaches(&containers[2].ipv4(&network));
        drop(containers);
        assert_eq!(switch.count("endpoints"), 0);
    }
}

fn connect_and_disconnect(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let (a, b) = (network.run(&[]), Container::run(engine, &["--network", "none"]));
    for _ in 0..2 {
        // A container on "none" must leave it before it may join another network.
        let _ = engine.docker(["network", "disconnect", "none", b.name()]).succeeded();
        network.connect(&["--ip", "10.77.0.99"], &b).ok();
        a.reaches("10.77.0.99");
        b.reaches(&a.ipv4(&network));
        network.disconnect(&b).ok();
        a.cannot_reach("10.77.0.99");
        assert_eq!(b.links(), ["lo"]);
    }
}

fn a_network_in_use_stays(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let (a, b) = (network.run(&[]), network.run(&[]));
    network.remove().fails_naming(&["active endpoints"]);
    a.reaches(&b.ipv4(&network));
}

fn fifty_containers_at_once(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = Network::create(engine, &switch.network_options(&SUBNET));
    let containers: Vec<Container<'_>> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..50).map(|_| scope.spawn(|| network.run(&[]))).collect();
        starts.into_iter().map(|start| start.join().expect("it starts")).collect()
    });
    assert_eq!(switch.count("endpoints"), 50);
    let mut addresses: Vec<_> = containers.iter().map(|container| container.ipv4(&network)).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 50, "each has an address of its own");
    for address in &addresses {
        containers[0].reaches(address);
    }
    std::thread::scope(|scope| {
        for container in containers {
            scope.spawn(|| drop(container));
        }
    });
    assert_eq!(switch.count("endpoints"), 0);
}
