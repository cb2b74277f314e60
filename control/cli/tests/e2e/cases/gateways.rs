//! Ways out of a network and into it: gateway, outside, host, other networks, published ports.

use super::{DUAL, SUBNET, cases};
use crate::container::Container;
use crate::engine::Engine;
use crate::outside::Outside;
use crate::place::{BOTH, Place, Speech};
use crate::station::Station;
use crate::switch::Switch;

cases![
    default_route,
    the_host_and_its_containers_reach_each_other,
    containers_reach_the_outside_with_the_host_s_address,
    published_ports,
    ports_in_use_are_named,
    ephemeral_ports_and_ranges,
    ports_survive_kills_and_restarts,
    ports_end_with_their_container,
    another_network,
    internal,
    internal_beside_an_interface_of_the_file,
    no_masquerade,
    routed,
    isolated,
    no_inter_container_communication,
    the_last_network_takes_all_away,
];

/// Options of a second network.
const OTHER: [&str; 5] = ["--subnet", "10.88.0.0/24", "--ipv6", "--subnet", "fd88::/64"];
const GATEWAYS: [&str; 2] = ["10.77.0.1", "fd77::1"];

/// A container's addresses.
fn addresses(container: &Container<'_>, network: &crate::network::Network<'_>) -> [String; 2] {
    [container.ipv4(network).to_string(), container.ipv6(network).to_string()]
}

fn default_route(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&DUAL);
    let container = network.run(&[]);
    assert_eq!(container.links(), ["eth0", "lo"], "no second leg");
    let routes = [container.exec(["ip", "route"]).ok(), container.exec(["ip", "-6", "route"]).ok()];
    for (routes, gateway) in routes.iter().zip(GATEWAYS) {
        assert!(routes.contains(&format!("default via {gateway}")), "{routes}");
        container.reaches(gateway);
    }
    let rows = switch.show("neighbours");
    let own = container.ipv4(&network).to_string();
    let row =
        rows.as_array().and_then(|rows| rows.iter().find(|row| row["address"] == own)).expect("a neighbour");
    assert_eq!(row["state"], "static");
}

fn the_host_and_its_containers_reach_each_other(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&DUAL);
    let container = network.run(&[]);
    let (inside, host) = (Place::of(&container), Place::docker_host(engine));
    for speech in BOTH {
        let (_theirs, _ours) = (inside.serve(speech, 8000), host.serve(speech, 9000));
        for (own, gateway) in addresses(&container, &network).iter().zip(GATEWAYS) {
            host.is_seen_as(speech, own, 8000, gateway);
            inside.is_seen_as(speech, gateway, 9000, own);
        }
    }
    // What the switch itself asked would be answered to the host.
    for (own, gateway) in addresses(&container, &network).iter().zip(GATEWAYS) {
        let told = switch.cli(["ping", own, "--count", "1"]).fails();
        let expected = format!("the answer to {gateway} would leave by interface host");
        assert!(told.contains(&expected) && told.contains("with ping(8)"), "{told}");
    }
}

fn containers_reach_the_outside_with_the_host_s_address(engine: &Engine) {
    let switch = Switch::start(engine);
    let (outside, network) = (Outside::new(engine), switch.network(&DUAL));
    let container = network.run(&[]);
    let inside = Place::of(&container);
    for speech in BOTH {
        let _server = outside.place().serve(speech, 7000);
        for (there, seen) in Outside::OWN.iter().zip(Outside::DOCKER_HOST) {
            inside.is_seen_as(speech, there, 7000, seen);
        }
    }
    for there in Outside::OWN {
        container.reaches(there);
    }
    // Nobody comes in without an invitation, even if he knows the way.
    outside.route("10.77.0.0/24");
    outside.route("fd77::/64");
    let _server = inside.serve(Speech::Tcp, 8000);
    for own in addresses(&container, &network) {
        outside.place().gets_no_answer(Speech::Tcp, &own, 8000);
        outside.host.cannot_reach(&own);
    }
}

fn published_ports(engine: &Engine) {
    let switch = Switch::start(engine);
    let (outside, network, other) = (Outside::new(engine), switch.network(&DUAL), switch.network(&OTHER));
    let container =
        network.run(&["--publish", "8080:80", "--publish", "8080:80/udp", "--publish", "127.0.0.1:8081:80"]);
    let (near, far) = (network.run(&[]), other.run(&[]));
    let (inside, host) = (Place::of(&container), Place::docker_host(engine));
    for speech in BOTH {
        let _server = inside.serve(speech, 80);
        for (family, at) in Outside::DOCKER_HOST.into_iter().enumerate() {
            // Another host's real address reaches the container.
            outside.place().is_seen_as(speech, at, 8080, Outside::OWN[family]);
            host.is_seen_as(speech, at, 8080, at);
            // Its own port, by hairpin; a neighbour; another network.
            for place in [&inside, &Place::of(&near), &Place::of(&far)] {
                place.is_seen_as(speech, at, 8080, GATEWAYS[family]);
            }
            outside.place().gets_no_answer(speech, at, 80);
        }
        host.is_seen_as(speech, "127.0.0.1", 8080, GATEWAYS[0]);
        host.is_seen_as(speech, "::1", 8080, GATEWAYS[1]);
    }
    let _server = inside.serve(Speech::Tcp, 80);
    host.is_seen_as(Speech::Tcp, "127.0.0.1", 8081, GATEWAYS[0]);
    outside.place().gets_no_answer(Speech::Tcp, Outside::DOCKER_HOST[0], 8081);
    let shown: Vec<_> =
        switch.show("ports").as_array().expect("rows").iter().map(|row| row["published"].clone()).collect();
    assert_eq!(shown, ["*:8080->80/tcp", "127.0.0.1:8081->80/tcp", "*:8080->80/udp"]);
}

fn ports_in_use_are_named(engine: &Engine) {
    let switch = Switch::start(engine);
    let (outside, network) = (Outside::new(engine), switch.network(&DUAL));
    let _first = network.run(&["--publish", "8080:80"]);
    network.try_run(&["--publish", "8080:81"]).fails_naming(&["0.0.0.0:8080/tcp", "published already"]);
    let _taken = Place::docker_host(engine).take(8090);
    network.try_run(&["--publish", "8089:80", "--publish", "8090:80"]).fails_naming(&["8090/tcp", "in use"]);
    network.try_run(&["--publish", "192.0.2.77:8091:80"]).fails_naming(&["192.0.2.77", "has no address"]);
    // Of those nothing is left: the port that was free still is.
    let _second = network.run(&["--publish", "8089:80"]);
    // One port on two addresses of the host.
    let both = ["127.0.0.1:8100:80", "192.0.2.1:8100:80"].map(|port| network.run(&["--publish", port]));
    let _servers = both.each_ref().map(|container| Place::of(container).serve(Speech::Tcp, 80));
    Place::docker_host(engine).is_seen_as(Speech::Tcp, "127.0.0.1", 8100, GATEWAYS[0]);
    outside.place().is_seen_as(Speech::Tcp, Outside::DOCKER_HOST[0], 8100, Outside::OWN[0]);
}

fn ephemeral_ports_and_ranges(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&DUAL);
    let port = |switch: &Switch<'_>, container: u64| {
        let rows = switch.show("ports");
        let row = rows
            .as_array()
            .and_then(|rows| rows.iter().find(|row| row["container_port"] == container))
            .cloned();
        row.and_then(|row| row["host_port"].as_u64()).unwrap_or_else(|| panic!("no {container} in {rows}"))
            as u16
    };
    let any = network.run(&["--publish", "80"]);
    let ranges = [81, 82, 83].map(|inner| network.run(&["--publish", &format!("9000-9002:{inner}")]));
    assert!(port(&switch, 80) >= 49153);
    assert_eq!([81, 82, 83].map(|inner| port(&switch, inner)), [9000, 9001, 9002]);
    network.try_run(&["--publish", "9000-9002:84"]).fails_naming(&["9000-9002"]);
    let _server = Place::of(&any).serve(Speech::Tcp, 80);
    Place::docker_host(engine).is_seen_as(Speech::Tcp, "127.0.0.1", port(&switch, 80), GATEWAYS[0]);
    drop(ranges);
    let _range = network.run(&["--publish", "9000-9001:9000-9001"]);
    assert_eq!([9000, 9001].map(|inner| port(&switch, inner)), [9000, 9001]);
}

fn ports_survive_kills_and_restarts(engine: &Engine) {
    let mut switch = Switch::start(engine);
    let (outside, network) = (Outside::new(engine), switch.network(&DUAL));
    let container = network.run(&["--restart", "always", "--publish", "8080:80", "--publish", "53:53/udp"]);
    let check = |what: &str| {
        let inside = Place::of(&container);
        let (_tcp, _udp) = (inside.serve(Speech::Tcp, 80), inside.serve(Speech::Udp, 53));
        for (at, seen) in Outside::DOCKER_HOST.iter().zip(Outside::OWN) {
            outside.place().is_seen_as(Speech::Tcp, at, 8080, seen);
            outside.place().is_seen_as(Speech::Udp, at, 53, seen);
        }
        println!("{what}: fine");
    };
    check("at first");
    switch.kill9();
    switch.restart();
    check("after a kill of the switch");
    switch.stop();
    switch.restart();
    check("after a restart of the switch");
    container.docker("restart");
    check("after a restart of the container");
    engine.crash();
    engine.boot();
    container.await_running();
    check("after a crash of the engine");
}

fn ports_end_with_their_container(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&DUAL);
    let container = network.run(&["--publish", "8080:80"]);
    assert_eq!(switch.count("ports"), 1);
    network.disconnect(&container).ok();
    assert_eq!(switch.count("ports"), 0);
    drop(Place::docker_host(engine).take(8080));
    network.connect(&[], &container).ok();
    assert_eq!(switch.count("ports"), 1);
    container.docker("stop");
    assert_eq!(switch.count("ports"), 0);
    let _other = network.run(&["--publish", "8080:80"]);
}

fn another_network(engine: &Engine) {
    let switch = Switch::start(engine);
    let (network, other) = (switch.network(&DUAL), switch.network(&OTHER));
    let (a, b) = (network.run(&[]), other.run(&[]));
    let _server = Place::of(&b).serve(Speech::Tcp, 80);
    for own in addresses(&b, &other) {
        a.cannot_reach(&own);
        Place::of(&a).gets_no_answer(Speech::Tcp, &own, 80);
    }
    // By the gateway of the other network neither: it is the host's address, and the host answers.
    a.reaches("10.88.0.1");
    // One that is on both reaches both, and the outside by one of them.
    other.connect(&[], &a).ok();
    a.reaches(&b.ipv4(&other));
}

fn internal(engine: &Engine) {
    let switch = Switch::start(engine);
    // Without port security, which would not let it use another address at all.
    let options = [&DUAL[..], &["--internal", "--opt", "port_security=false"]].concat();
    let (outside, network) = (Outside::new(engine), switch.network(&options));
    let (a, b) = (network.run(&["--cap-add", "NET_ADMIN"]), network.run(&[]));
    for own in addresses(&b, &network) {
        a.reaches(&own);
    }
    assert!(!a.exec(["ip", "route"]).ok().contains("default"));
    // Who makes himself a way out finds it closed.
    a.exec(["ip", "route", "add", "default", "via", GATEWAYS[0]]).ok();
    let _server = outside.place().serve(Speech::Tcp, 7000);
    Place::of(&a).gets_no_answer(Speech::Tcp, Outside::OWN[0], 7000);
    // Also with an address of a network that has one.
    let _other = switch.network(&OTHER);
    a.exec(["ip", "address", "add", "10.88.0.50/32", "dev", "eth0"]).ok();
    a.exec(["ip", "route", "replace", "default", "via", GATEWAYS[0], "src", "10.88.0.50"]).ok();
    Place::of(&a).gets_no_answer(Speech::Tcp, Outside::OWN[0], 7000);
    let rows = switch.show("drops");
    let spoofed =
        |row: &serde_json::Value| row["name"] == "source-check" && row["reason"] == "spoofed-source";
    assert!(rows.as_array().is_some_and(|rows| rows.iter().any(spoofed)), "{rows}");
}

/// An interface of the file is in the routing table of Docker's networks, and internal ones are not reached from there all the same.
fn internal_beside_an_interface_of_the_file(engine: &Engine) {
    let station = Station::new(1);
    let switch = Switch::serving(engine, &station.on_tap("", ""));
    station.up();
    let (open, closed) = (switch.network(&OTHER), switch.network(&[&DUAL[..], &["--internal"]].concat()));
    let (out, inside) = (open.run(&[]), closed.run(&["--cap-add", "NET_ADMIN"]));
    inside.exec(["ip", "route", "add", "default", "via", GATEWAYS[0]]).ok();
    inside.exec(["ip", "-6", "route", "add", "default", "via", GATEWAYS[1]]).ok();
    let (far, near, host) = (Place::host(&station.host), Place::of(&inside), Place::docker_host(engine));
    let _servers =
        (far.serve(Speech::Tcp, 7000), near.serve(Speech::Tcp, 8000), host.serve(Speech::Tcp, 9000));
    for (family, own) in addresses(&inside, &closed).iter().enumerate() {
        near.gets_no_answer(Speech::Tcp, &station.own()[family], 7000);
        far.gets_no_answer(Speech::Tcp, own, 8000);
        station.host.cannot_reach(own);
        host.is_seen_as(Speech::Tcp, own, 8000, GATEWAYS[family]);
        near.is_seen_as(Speech::Tcp, GATEWAYS[family], 9000, own);
    }
    for own in addresses(&out, &open) {
        station.host.reaches(&own);
    }
    for there in station.own() {
        out.reaches(&there);
    }
    assert!(switch.dropped("h1", "split-horizon") > 0, "{}", switch.show("drops"));
}

fn no_masquerade(engine: &Engine) {
    let switch = Switch::start(engine);
    let outside = Outside::new(engine);
    let network = switch.network(&[&DUAL[..], &["--opt", "masquerade=false"]].concat());
    let container = network.run(&[]);
    outside.route("10.77.0.0/24");
    outside.route("fd77::/64");
    let _server = outside.place().serve(Speech::Tcp, 7000);
    for (there, own) in Outside::OWN.iter().zip(addresses(&container, &network)) {
        Place::of(&container).is_seen_as(Speech::Tcp, there, 7000, &own);
    }
}

fn routed(engine: &Engine) {
    let switch = Switch::start(engine);
    let outside = Outside::new(engine);
    let network = switch.network(&[&DUAL[..], &["--opt", "gateway_mode=routed"]].concat());
    let container = network.run(&["--publish", "8080:80"]);
    outside.route("10.77.0.0/24");
    outside.route("fd77::/64");
    let inside = Place::of(&container);
    let (_open, _closed) = (inside.serve(Speech::Tcp, 80), inside.serve(Speech::Tcp, 81));
    for (family, own) in addresses(&container, &network).iter().enumerate() {
        outside.place().is_seen_as(Speech::Tcp, own, 80, Outside::OWN[family]);
        outside.place().gets_no_answer(Speech::Tcp, own, 81);
        outside.host.reaches(own);
        outside.place().gets_no_answer(Speech::Tcp, Outside::DOCKER_HOST[family], 8080);
    }
}

fn isolated(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&[&DUAL[..], &["--opt", "gateway_mode=isolated"]].concat());
    let (a, b) = (network.run(&[]), network.run(&[]));
    assert_eq!(a.links(), ["eth0", "lo"]);
    assert!(!a.exec(["ip", "route"]).ok().contains("default"));
    a.reaches(&b.ipv4(&network));
    a.cannot_reach(GATEWAYS[0]);
    assert!(!engine.links().iter().any(|link| link == "paceline0"), "nothing is needed of the host");
}

fn no_inter_container_communication(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&[&DUAL[..], &["--opt", "icc=false"]].concat());
    let (a, b) = (network.run(&[]), network.run(&["--publish", "8080:80"]));
    for own in addresses(&b, &network) {
        a.cannot_reach(&own);
    }
    for gateway in GATEWAYS {
        a.reaches(gateway);
        let _server = Place::of(&b).serve(Speech::Tcp, 80);
        Place::of(&a).is_seen_as(Speech::Tcp, gateway, 8080, gateway);
    }
}

fn the_last_network_takes_all_away(engine: &Engine) {
    let switch = Switch::start(engine);
    let rules = || crate::command::run(engine.in_namespace("nft").args(["list", "tables"])).ok();
    let before = rules();
    {
        let network = switch.network(&SUBNET);
        let _container = network.run(&["--publish", "8080:80"]);
        assert!(rules().contains("paceline") && engine.links().contains(&"paceline0".to_string()));
    }
    assert_eq!(rules(), before);
    assert!(!engine.links().contains(&"paceline0".to_string()));
}
