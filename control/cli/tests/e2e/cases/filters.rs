//! What links let in and out beside policies: port security, rates, lists of the configuration file.

use std::path::Path;

use super::operator::{bridge, check, tap};
use super::{DUAL, SUBNET, cases};
use crate::command;
use crate::container::Container;
use crate::engine::Engine;
use crate::host::Host;
use crate::network::Network;
use crate::place::{Place, Speech};
use crate::switch::Switch;

cases![
    only_its_own_addresses,
    port_security_can_be_off,
    a_rate_is_kept,
    a_storm_is_kept_out,
    copies_go_to_the_mirror,
    lists_of_the_file,
    wrong_lists_are_told,
    the_shipped_lists,
];

fn endpoint_port(switch: &Switch<'_>, mac: &str) -> String {
    let endpoints = switch.show("endpoints");
    let own = endpoints.as_array().and_then(|rows| rows.iter().find(|row| row["mac"] == mac));
    own.and_then(|row| row["port"].as_str()).unwrap_or_else(|| panic!("no {mac} in {endpoints}")).to_owned()
}

/// A container that may do what it likes to its own link.
fn admin<'e>(network: &Network<'e>) -> Container<'e> {
    network.run(&["--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW"])
}

/// Takes another address, and then another MAC address.
fn spoof(container: &Container<'_>, to: &str) -> [bool; 2] {
    container.exec(["ip", "address", "add", "10.77.0.99/24", "dev", "eth0"]).ok();
    let by_ip = container.exec(["ping", "-c", "1", "-W", "1", "-I", "10.77.0.99", to]).succeeded();
    container.exec(["ip", "address", "del", "10.77.0.99/24", "dev", "eth0"]).ok();
    let own = container.link("eth0", "address");
    container.exec(["ip", "link", "set", "eth0", "address", "02:00:00:00:99:99"]).ok();
    let by_mac = container.exec(["ping", "-c", "1", "-W", "1", to]).succeeded();
    container.exec(["ip", "link", "set", "eth0", "address", &own]).ok();
    [by_ip, by_mac]
}

fn only_its_own_addresses(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&DUAL);
    let (liar, victim) = (admin(&network), network.run(&[]));
    let (address, port) =
        (victim.ipv4(&network).to_string(), endpoint_port(&switch, &liar.link("eth0", "address")));
    liar.reaches(&address);
    liar.reaches(&victim.ipv6(&network));
    assert_eq!(spoof(&liar, &address), [false, false], "{}", switch.show("drops"));
    for reason in ["guard-address", "guard-mac"] {
        assert!(switch.dropped(&port, reason) > 0, "{reason}: {}", switch.show("drops"));
    }
    // It asks who has the victim's address, and so says that it has another one itself.
    liar.exec(["ip", "neigh", "flush", "dev", "eth0"]).ok();
    assert!(!spoof(&liar, &address)[0], "{}", switch.show("drops"));
    assert!(switch.dropped(&port, "guard-claim") > 0, "{}", switch.show("drops"));
    // With its own, all is well again.
    liar.reaches(&address);
    liar.reaches(&victim.ipv6(&network));
    // Its kernel's link-local address is its own, and any other one is not: that is asked for before it is taken.
    liar.reaches(&format!("{}%eth0", link_local(&victim)));
    let claims = switch.dropped(&port, "guard-claim");
    liar.exec(["ip", "address", "add", "fe80::99/64", "dev", "eth0"]).ok();
    switch.await_that("the claim is dropped", |switch| switch.dropped(&port, "guard-claim") > claims);
}

/// The link-local address that the kernel has made.
fn link_local(container: &Container<'_>) -> String {
    let told = container.exec(["ip", "-6", "address", "show", "dev", "eth0"]).ok();
    let mut words = told.split_whitespace().filter_map(|word| word.strip_suffix("/64"));
    words.find(|word| word.starts_with("fe80:")).unwrap_or_else(|| panic!("{told}")).to_owned()
}

fn port_security_can_be_off(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&[&SUBNET[..], &["--opt", "port_security=false"]].concat());
    let (a, b) = (admin(&network), network.run(&[]));
    assert!(spoof(&a, &b.ipv4(&network).to_string())[0], "{}", switch.show("drops"));
    // The endpoint's own word goes before the network's.
    let strict = Container::run(engine, &["--network", "none", "--cap-add", "NET_ADMIN"]);
    engine.docker(["network", "disconnect", "none", strict.name()]).ok();
    network.connect(&["--driver-opt", "port_security=true"], &strict).ok();
    assert!(!spoof(&strict, &b.ipv4(&network).to_string())[0], "{}", switch.show("drops"));
}

fn a_rate_is_kept(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&[&SUBNET[..], &["--opt", "rate=1mbit", "--opt", "burst=20kb"]].concat());
    let (a, b) = (network.run(&[]), network.run(&[]));
    let address = b.ipv4(&network).to_string();
    a.reaches(&address);
    let port = endpoint_port(&switch, &a.link("eth0", "address"));
    let endpoints = switch.show("endpoints");
    let shown =
        |field: &str| endpoints.as_array().into_iter().flatten().map(|row| row[field].clone()).collect();
    let (rates, bursts): (Vec<_>, Vec<_>) = (shown("rate"), shown("burst"));
    assert!(
        rates.iter().all(|rate| rate == 1_000_000) && bursts.iter().all(|burst| burst == 20_480),
        "{endpoints}"
    );
    let filters = switch.cli(["show", "filters"]).ok();
    for what in ["port-security", "1000000 bit/s, burst 20480 bytes"] {
        assert!(filters.contains(what), "{filters}");
    }
    // 100 datagrams of 1400 bytes at once are seven times the burst.
    let place = Place::of(&a);
    place.inside(|| {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("inside");
        for _ in 0..100 {
            let _ = socket.send_to(&[0; 1400], format!("{address}:9"));
        }
    });
    switch.await_that("packets beyond the rate are dropped", |switch| switch.dropped(&port, "policed") > 0);
    assert!(switch.dropped(&port, "policed") < 100, "some pass: {}", switch.show("drops"));
}

fn a_storm_is_kept_out(engine: &Engine) {
    let (a, b) = (Host::new(), Host::new());
    let storm = "storm = { broadcast = 100 }";
    let ports = tap("p1", &a, storm) + &tap("p2", &b, "") + &bridge("", &[("p1", ""), ("p2", "")]);
    let switch = Switch::serving(engine, &ports);
    a.address("p1", "10.0.0.1/24");
    b.address("p2", "10.0.0.2/24");
    // Both know each other from here on, and ask nobody.
    a.reaches("10.0.0.2");
    Place::host(&a).inside(|| {
        let socket = std::net::UdpSocket::bind("10.0.0.1:0").expect("inside");
        socket.set_broadcast(true).expect("it may");
        for _ in 0..200 {
            let _ = socket.send_to(&[0; 100], "10.0.0.255:9");
        }
    });
    switch.await_that("a storm is kept out", |switch| switch.dropped("p1", "storm") > 0);
    a.reaches("10.0.0.2");
    let filters = switch.show("filters");
    let rows = filters.as_array().expect("rows");
    let row = rows.iter().find(|row| row["interface"] == "p1").expect("the port's");
    assert_eq!((&row["rule"], &row["action"]), (&"storm-broadcast".into(), &"at most 100 frames/s".into()));
    assert!(row["packets"].as_u64().is_some_and(|packets| (1..200).contains(&packets)), "{filters}");
    // A container says how much by an option of its network.
    let network = switch.network(&[&SUBNET[..], &["--opt", "storm=broadcast=7,multicast=100"]].concat());
    let container = network.run(&[]);
    let port = endpoint_port(&switch, &container.link("eth0", "address"));
    let filters = switch.show("filters");
    let action = |rule: &str| {
        let mut rows = filters.as_array().into_iter().flatten();
        rows.find(|row| row["interface"] == *port && row["rule"] == rule).map(|row| row["action"].clone())
    };
    let limits = ["storm-broadcast", "storm-multicast", "storm-unknown-unicast"].map(action);
    assert_eq!(limits, [Some("at most 7 frames/s".into()), Some("at most 100 frames/s".into()), None]);
}

fn copies_go_to_the_mirror(engine: &Engine) {
    let analyser = Host::new();
    let switch = Switch::serving(engine, &tap("span", &analyser, ""));
    analyser.up("span");
    let network = switch.network(&[&SUBNET[..], &["--opt", "mirror=span"]].concat());
    let a = network.run(&[]);
    a.reaches("10.77.0.1");
    // The request and its answer, at least.
    switch.await_that("copies", |switch| switch.counter("span", "tx_packets") >= 2);
}

/// Two hosts at TAPs in a bridge, the first of which has these filters.
fn hosts<'e>(engine: &'e Engine, filters: &str, more: &str) -> (Vec<Host>, Switch<'e>) {
    let hosts = vec![Host::new(), Host::new()];
    let config = tap("p1", &hosts[0], filters)
        + &tap("p2", &hosts[1], "")
        + &bridge("", &[("p1", ""), ("p2", "")])
        + more;
    let switch = Switch::configured(engine, &config);
    for (number, (host, name)) in hosts.iter().zip(["p1", "p2"]).enumerate() {
        host.address(name, &format!("10.0.0.{}/24", number + 1));
    }
    (hosts, switch)
}

fn lists_of_the_file(engine: &Engine) {
    let lists = r#"
        [[group]]
        name = "servers"
        prefixes = ["10.0.0.2"]
        [[acl]]
        name = "out"
        rules = [
            { name = "http", action = "permit", to = "servers", protocol = "tcp", ports = 80 },
            { name = "ping", action = "permit", protocol = "icmp", icmp = 8 },
            { name = "rest", action = "reject", protocol = "udp" },
        ]
    "#;
    let (hosts, switch) = hosts(
        engine,
        "input_acl = [\"out\"]\nstateful = true\noutput_acl = [\"in\"]",
        &format!("{lists}\n[[acl]]\nname = \"in\"\n"),
    );
    let [a, b] = &hosts[..] else { unreachable!() };
    let (client, server) = (Place::host(a), Place::host(b));
    let _servers = [80, 81].map(|port| server.serve(Speech::Tcp, port));
    // What is permitted has its answers, though the list for the other direction is empty.
    client.is_seen_as(Speech::Tcp, "10.0.0.2", 80, "10.0.0.1");
    a.reaches("10.0.0.2");
    client.gets_no_answer(Speech::Tcp, "10.0.0.2", 81);
    client.is_forbidden(Speech::Udp, "10.0.0.2", 82);
    b.cannot_reach("10.0.0.1");
    assert!(
        switch.dropped("p1", "acl-deny") > 0 && switch.dropped("p1", "acl-reject") > 0,
        "{}",
        switch.show("drops")
    );
}

fn wrong_lists_are_told(engine: &Engine) {
    let port = "[[port]]\nname = \"p\"\nkind = \"null\"\n";
    for (text, parts) in [
        (format!("{port}input_acl = [\"x\"]\n"), &["there is no ACL \"x\"", "none"][..]),
        (format!("{port}stateful = true\n"), &["stateful", "input_acl"]),
        (format!("{port}burst = \"64kb\"\n"), &["burst", "rate"]),
        (format!("{port}rate = \"fast\"\n"), &["fast", "100mbit"]),
        ("[[acl]]\nname = \"a\"\nrules = [{ action = \"permit\", protocol = \"tcp\", ports = \"90-80\" }]\n".into(), &["90-80", "must not be above"]),
        ("[[acl]]\nname = \"a\"\nrules = [{ action = \"permit\", from = \"10.0.0.0/8\", to = \"fd00::/8\" }]\n".into(), &["one version of IP"]),
        ("[[acl]]\nname = \"a\"\nrules = [{ action = \"permit\", from = \"office\" }]\n".into(), &["there is no group \"office\""]),
    ] {
        let file = engine.dir().join(engine.unique("lists"));
        std::fs::write(&file, text).expect("a new file");
        check(&file).fails_naming(parts);
    }
    let shadowed = "[[acl]]\nname = \"a\"\nrules = [{ action = \"deny\", from = \"10.0.0.0/8\" }, { name = \"late\", action = \"permit\", from = \"10.1.0.0/16\" }]\n";
    let file = engine.dir().join(engine.unique("lists"));
    std::fs::write(&file, shadowed).expect("a new file");
    let told = check(&file).ok();
    assert!(
        told.contains(
            "warning: rule a/late is never reached: a/1 holds for all its packets, with another action"
        ),
        "{told}"
    );
}

/// configs/acl.toml, by the steps that its head describes.
fn the_shipped_lists(engine: &Engine) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/acl.toml");
    let checked = check(&file).ok();
    for part in ["to-server (3 rules)", "from-server (0 rules)", "good"] {
        assert!(checked.contains(part), "{part}: {checked}");
    }
    let hosts = ["client", "server", "guest"].map(|device| (device, Host::new()));
    let text = std::fs::read_to_string(file).expect("it is there");
    let switch = Switch::configured(engine, &text);
    for (number, (device, host)) in (1..).zip(&hosts) {
        let netns = host.path();
        command::run(engine.in_namespace("ip").args(["link", "set", device, "netns", &netns])).ok();
        host.address(device, &format!("10.30.0.{number}/24"));
    }
    let [(_, client), (_, server), (_, guest)] = &hosts;
    let _http = Place::host(server).serve(Speech::Tcp, 80);
    client.reaches("10.30.0.2");
    Place::host(client).is_seen_as(Speech::Tcp, "10.30.0.2", 80, "10.30.0.1");
    Place::host(guest).is_forbidden(Speech::Tcp, "10.30.0.2", 80);
    server.cannot_reach("10.30.0.1");
    guest.reaches("10.30.0.1");
    guest.ip("address add 10.30.0.9/24 dev guest");
    assert!(!guest.ping(&["-W", "1", "-I", "10.30.0.9", "10.30.0.1"]).succeeded());
    let guarded = ["guard-claim", "guard-address"].map(|reason| switch.dropped("guest", reason));
    assert!(guarded.iter().sum::<u64>() > 0, "{}", switch.show("drops"));
}
