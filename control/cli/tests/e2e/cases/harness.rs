//! The harness itself, on Docker's own bridge driver: when these fail, the fault is not the switch's.

use super::cases;
use crate::engine::Engine;
use crate::network::Network;

cases![bridge_containers_talk, engine_comes_back];

fn bridge_containers_talk(engine: &Engine) {
    let network = Network::create(
        engine,
        &["--driver", "bridge", "--subnet", "10.99.0.0/24", "--ipv6", "--subnet", "fd99::/64"],
    );
    let (a, b) = (network.run(&[]), network.run(&["--ip", "10.99.0.77"]));
    assert_eq!(b.ipv4(&network).to_string(), "10.99.0.77");
    a.reaches(&b.ipv4(&network));
    b.reaches(&a.ipv6(&network));
    a.reaches(b.name());
    assert_eq!(a.links(), ["eth0", "lo"]);
    b.docker("stop");
    a.cannot_reach("10.99.0.77");
}

fn engine_comes_back(engine: &Engine) {
    let network = Network::create(engine, &["--driver", "bridge", "--subnet", "10.99.0.0/24"]);
    let (a, b) = (network.run(&[]), network.run(&[]));
    engine.crash();
    engine.boot();
    a.docker("start");
    b.docker("start");
    a.reaches(&b.ipv4(&network));
}
