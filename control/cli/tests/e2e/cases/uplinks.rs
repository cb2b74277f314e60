//! A device that serves the host's own stack and the switch.

use std::time::{Duration, Instant};

use super::{DUAL, SUBNET, cases};
use crate::command;
use crate::engine::Engine;
use crate::network::Network;
use crate::outside::Outside;
use crate::place::{BOTH, Place, Speech};
use crate::switch::Switch;

cases![
    a_network_shares_the_host_s_device,
    what_an_uplink_cannot_be,
    the_host_lives_on_beside_the_switch,
    a_killed_switch_leaves_the_device_to_the_host,
    an_owned_device,
    a_device_comes_late
];

/// A port of the host's own servers, and one that is the switch's.
const HOST: u16 = 22;
const OURS: u16 = 45_000;

fn config(more: &str) -> String {
    format!("[[uplink]]\ndevice = \"{}\"\n{more}\n", Outside::DEVICE)
}

/// In the Docker host's namespace, where the switch is.
fn reserved(engine: &Engine) -> String {
    let file = "/proc/sys/net/ipv4/ip_local_reserved_ports";
    command::run(engine.in_namespace("cat").arg(file)).ok().trim().to_owned()
}

/// Whether an XDP program is on the device.
fn has_program(engine: &Engine) -> bool {
    command::run(engine.in_namespace("ip").args(["link", "show", Outside::DEVICE])).ok().contains("xdp")
}

/// The switch's port on the device is open and up, and so is the interface.
fn is_up(switch: &Switch<'_>) -> bool {
    let rows = switch.show("interfaces");
    let mut rows = rows.as_array().into_iter().flatten();
    rows.any(|row| row["name"] == "uplink:outside0" && row["kind"] == "afxdp" && row["state"] == "up")
}

#[track_caller]
fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(15);
    while !is() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What the host serves at its own ports is reached, and reaches others.
#[track_caller]
fn the_host_lives(engine: &Engine, outside: &Outside<'_>) {
    let host = Place::docker_host(engine);
    for speech in BOTH {
        let (_ours, _theirs) = (host.serve(speech, HOST), outside.place().serve(speech, 7000));
        for (theirs, ours) in Outside::OWN.iter().zip(Outside::DOCKER_HOST) {
            outside.place().is_seen_as(speech, ours, HOST, theirs);
            host.is_seen_as(speech, theirs, 7000, ours);
        }
    }
    for ours in Outside::DOCKER_HOST {
        outside.host.reaches(ours);
    }
}

fn the_host_lives_on_beside_the_switch(engine: &Engine) {
    let outside = Outside::new(engine);
    let host = Place::docker_host(engine);
    let _server = host.serve(Speech::Udp, OURS);
    let [own, docker_host] = [Outside::OWN[0], Outside::DOCKER_HOST[0]];
    outside.place().is_seen_as(Speech::Udp, docker_host, OURS, own);
    let ip = |words: &[&str]| command::run(engine.in_namespace("ip").args(words)).ok();
    ip(&["route", "add", "203.0.113.0/24", "via", own, "dev", Outside::DEVICE]);

    let mut switch = Switch::configured(engine, &config(""));
    assert!(is_up(&switch), "{}", switch.show("interfaces"));
    assert!(has_program(engine) && reserved(engine) == "40000-49999");
    assert!(
        switch.said().contains("ports 45000 are in nat_ports of an uplink and in use"),
        "{}",
        switch.said()
    );
    outside.place().gets_no_answer(Speech::Udp, docker_host, OURS);
    the_host_lives(engine, &outside);
    // The kernel's route is the switch's too, and its router is found out by the kernel.
    let lists = |what: &str, row: &dyn Fn(&serde_json::Value) -> bool| {
        switch.show(what).as_array().is_some_and(|rows| rows.iter().any(row))
    };
    eventually("the router is known", || {
        lists("neighbours", &|row| row["address"] == own && row["state"] == "static")
    });
    assert!(lists("routes", &|row| row["vrf"] == "uplink:outside0" && row["prefix"] == "203.0.113.0/24"));
    // A further address of the host is the host's alone.
    ip(&["address", "add", "192.0.2.99/24", "dev", Outside::DEVICE]);
    let _tcp = host.serve(Speech::Tcp, OURS);
    outside.place().is_seen_as(Speech::Tcp, "192.0.2.99", OURS, own);
    outside.place().gets_no_answer(Speech::Tcp, docker_host, OURS);
    switch.stop();
    assert!(!has_program(engine) && reserved(engine).is_empty());
    outside.place().is_seen_as(Speech::Udp, docker_host, OURS, own);
}

fn a_killed_switch_leaves_the_device_to_the_host(engine: &Engine) {
    let outside = Outside::new(engine);
    let mut switch = Switch::configured(engine, &config("nat_ports = \"44000-46000\""));
    let _server = Place::docker_host(engine).serve(Speech::Udp, OURS);
    let [own, docker_host] = [Outside::OWN[0], Outside::DOCKER_HOST[0]];
    outside.place().gets_no_answer(Speech::Udp, docker_host, OURS);
    switch.kill9();
    eventually("the program is gone", || !has_program(engine));
    outside.place().is_seen_as(Speech::Udp, docker_host, OURS, own);
    the_host_lives(engine, &outside);
    assert_eq!(reserved(engine), "44000-46000", "until the next start");
    switch.restart();
    assert!(is_up(&switch) && reserved(engine) == "44000-46000");
    outside.place().gets_no_answer(Speech::Udp, docker_host, OURS);
    switch.stop();
    assert_eq!(reserved(engine), "");
}

fn an_owned_device(engine: &Engine) {
    let outside = Outside::new(engine);
    let mut switch = Switch::configured(engine, &config("shared = false"));
    assert!(is_up(&switch) && reserved(engine).is_empty());
    let server = Place::docker_host(engine).serve(Speech::Tcp, HOST);
    outside.place().gets_no_answer(Speech::Tcp, Outside::DOCKER_HOST[0], HOST);
    drop(server);
    // The switch itself answers, with the host's address.
    outside.host.reaches(Outside::DOCKER_HOST[0]);
    switch.stop();
    the_host_lives(engine, &outside);
}

fn a_device_comes_late(engine: &Engine) {
    let mut switch = Switch::configured(engine, &config(""));
    assert!(!is_up(&switch));
    let outside = Outside::new(engine);
    eventually("the port is open", || is_up(&switch));
    the_host_lives(engine, &outside);
    switch.stop();
}

fn a_network_shares_the_host_s_device(engine: &Engine) {
    let outside = Outside::new(engine);
    outside.complete();
    let mut switch = Switch::serving(engine, &config(""));
    let network = switch.network(&[&DUAL[..], &["--opt", "uplink=outside0"]].concat());
    let container = network.run(&["--publish", "8080:80", "--publish", "8080:80/udp"]);
    let (inside, host) = (Place::of(&container), Place::docker_host(engine));
    let all_is_well = |switch: &Switch<'_>| {
        for speech in BOTH {
            let (_theirs, _ours) = (outside.place().serve(speech, 7000), inside.serve(speech, 80));
            for (theirs, ours) in Outside::OWN.iter().zip(Outside::DOCKER_HOST) {
                inside.is_seen_as(speech, theirs, 7000, ours);
                outside.place().is_seen_as(speech, ours, 8080, theirs);
            }
        }
        for theirs in Outside::OWN {
            container.reaches(theirs);
        }
        the_host_lives(engine, &outside);
        let sessions = switch.cli(["show", "nat", "--session", "192.0.2", "--json"]).ok();
        assert!(sessions.contains("192.0.2.1:8080") && sessions.contains("192.0.2.1:4"), "{sessions}");
    };
    all_is_well(&switch);
    // The host and its containers reach each other, by the gateway.
    for (own, gateway) in [container.ipv4(&network).to_string(), container.ipv6(&network).to_string()]
        .iter()
        .zip(["10.77.0.1", "fd77::1"])
    {
        container.reaches(gateway);
        for speech in BOTH {
            let (_theirs, _ours) = (inside.serve(speech, 8000), host.serve(speech, 9000));
            host.is_seen_as(speech, own, 8000, gateway);
            inside.is_seen_as(speech, gateway, 9000, own);
        }
    }
    // By the device's address, too, which is the host's and the network's.
    for (family, address) in Outside::DOCKER_HOST.iter().enumerate() {
        container.reaches(address);
        let own = [container.ipv4(&network).to_string(), container.ipv6(&network).to_string()];
        for speech in BOTH {
            let (_theirs, _ours) = (inside.serve(speech, 80), host.serve(speech, HOST));
            // A server that answers datagrams from whatever address is nearest answers from the gateway's.
            if speech == Speech::Tcp {
                inside.is_seen_as(speech, address, HOST, &own[family]);
            }
            host.is_seen_as(speech, address, 8080, address);
            outside.place().is_seen_as(speech, address, HOST, Outside::OWN[family]);
        }
    }
    // An answer to a ping of the host whose identifier is in the range finds its way.
    let pings = |_| {
        let ping = ["-c", "1", "-W", "2", "-e", "45678", Outside::OWN[0]];
        command::run(engine.in_namespace("ping").args(ping)).succeeded()
    };
    assert!((0..3).all(pings));
    switch.kill9();
    eventually("the program is gone", || !has_program(engine));
    the_host_lives(engine, &outside);
    switch.restart();
    all_is_well(&switch);
    drop(container);
    eventually("the port is given back", || {
        let server = host.serve(Speech::Tcp, 8080);
        let reached = outside.place().is_answered(Speech::Tcp, Outside::DOCKER_HOST[0], 8080);
        drop(server);
        reached
    });
}

fn what_an_uplink_cannot_be(engine: &Engine) {
    let switch = Switch::serving(engine, &config(""));
    for (options, said) in [
        (&["--opt", "uplink=eth7"][..], "option uplink=\"eth7\": must be host or outside0"),
        (&["--opt", "uplink=outside0", "--opt", "gateway_mode=routed"], "goes with gateway_mode=nat"),
        (&["--opt", "uplink=outside0", "--opt", "masquerade=false"], "goes with gateway_mode=nat"),
    ] {
        let options = [&SUBNET[..], options].concat();
        Network::try_create(engine, &switch.network_options(&options)).fails_naming(&[said]);
    }
}
