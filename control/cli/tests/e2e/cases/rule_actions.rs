//! What rules of lists do besides letting pass, as the stations on all sides see it.

use std::time::Duration;

use super::cases;
use super::operator::{bridge, tap};
use crate::engine::Engine;
use crate::host::Host;
use crate::place::{Place, Speech};
use crate::station::{Packet, SOON, framed, text, told};
use crate::switch::Switch;
use crate::wire::{Wire, frame};

cases![each_action_is_seen, tags_are_those_of_the_port];

/// How long is listened for what should not come.
const SILENCE: Duration = Duration::from_millis(500);
/// Expedited forwarding (RFC 3246), where the type of service is.
const EXPEDITED: u8 = 46 << 2;

/// The datagram over IPv4 for a port, from a wire without tags.
fn datagram(wire: &mut Wire, port: u16, patience: Duration) -> Option<Vec<u8>> {
    wire.hear(patience, |frame| is_datagram(frame, 12, port))
}

/// Whether it is one, and its EtherType is at a place.
fn is_datagram(frame: &[u8], at: usize, port: u16) -> bool {
    let Some(rest) = frame.get(at..).filter(|rest| rest.len() > 26) else { return false };
    rest[..2] == [0x08, 0x00] && rest[11] == 17 && rest[24..26] == port.to_be_bytes()
}

fn packets(switch: &Switch<'_>, rule: &str) -> u64 {
    let rows = switch.show("filters");
    let own = rows.as_array().and_then(|rows| rows.iter().find(|row| row["rule"] == rule));
    own.and_then(|row| row["packets"].as_u64()).unwrap_or_else(|| panic!("no {rule} in {rows}"))
}

fn each_action_is_seen(engine: &Engine) {
    let hosts = ["client", "server", "span", "wash"].map(|name| (name, Host::new()));
    let list = r#"
        [[acl]]
        name = "actions"
        rules = [
            { name = "voice", action = "permit", protocol = "udp", ports = 5060, dscp = "ef" },
            { name = "watch", action = "permit", protocol = "udp", ports = 7, mirror = "span" },
            { name = "wash", action = "permit", protocol = "udp", ports = 8, redirect = "wash" },
            { name = "slow", action = "permit", protocol = "udp", ports = 9, rate = "1mbit", burst = "20kb" },
            { name = "rest", action = "permit" },
        ]
    "#;
    let filters = |name: &str| if name == "client" { "input_acl = [\"actions\"]" } else { "" };
    let ports: String = hosts.iter().map(|(name, host)| tap(name, host, filters(name))).collect();
    let switch = Switch::configured(engine, &(ports + &bridge("", &[("client", ""), ("server", "")]) + list));
    for (number, (name, host)) in (1..).zip(&hosts) {
        host.address(name, &format!("10.0.0.{number}/24"));
    }
    let [client, server, span, wash] = &hosts;
    let [mut at_server, mut at_span, mut at_wash] = [server, span, wash].map(|(name, host)| host.wire(name));
    let (asks, serves) = (Place::host(&client.1), Place::host(&server.1));
    let _servers = [5060, 7, 8].map(|port| serves.serve(Speech::Udp, port));

    // The server's kernel takes the packet, so that its checksum is right, too.
    asks.is_seen_as(Speech::Udp, "10.0.0.2", 5060, "10.0.0.1");
    let marked = datagram(&mut at_server, 5060, SOON).expect("it came");
    assert_eq!(marked[15], EXPEDITED);

    asks.is_seen_as(Speech::Udp, "10.0.0.2", 7, "10.0.0.1");
    let seen = datagram(&mut at_server, 7, SOON).expect("it came");
    assert_eq!(
        (seen[15], datagram(&mut at_span, 7, SOON).as_ref()),
        (0, Some(&seen)),
        "the same, and a copy"
    );

    asks.gets_no_answer(Speech::Udp, "10.0.0.2", 8);
    assert!(datagram(&mut at_wash, 8, SOON).is_some(), "{}", switch.show("drops"));
    assert_eq!(datagram(&mut at_server, 8, SILENCE), None, "it went elsewhere");
    assert_eq!(datagram(&mut at_span, 8, SILENCE), None, "and was not copied");

    // 100 datagrams of 1400 bytes at once are seven times the burst.
    asks.inside(|| {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("inside");
        for _ in 0..100 {
            let _ = socket.send_to(&[0; 1400], "10.0.0.2:9");
        }
    });
    switch.await_that("all of them were judged", |switch| packets(switch, "actions/slow") == 100);
    let dropped = switch.dropped("client", "policed");
    let came = std::iter::from_fn(|| datagram(&mut at_server, 9, SILENCE)).count() as u64;
    assert!(dropped > 0 && came > 0, "{dropped} and {came}: {}", switch.show("drops"));
    assert_eq!(dropped + came, 100, "each is one or the other");
    for rule in ["voice", "watch", "wash"] {
        assert!(packets(&switch, &format!("actions/{rule}")) > 0, "{rule}: {}", switch.show("filters"));
    }
}

/// A host behind an access port and one behind a trunk, which does not tag by itself; what comes from the one is copied to another trunk,
/// and sent there.
fn tags_are_those_of_the_port(engine: &Engine) {
    let hosts = ["access", "trunk", "other"].map(|name| (name, Host::new()));
    let lists = r#"
        [[acl]]
        name = "access"
        rules = [
            { action = "permit", protocol = "udp", ports = 7, mirror = "other" },
            { action = "permit", protocol = "udp", ports = 8, redirect = "other" },
            { action = "permit" },
        ]
        [[acl]]
        name = "trunk"
        rules = [{ action = "reject", protocol = "udp", ports = 82 }, { action = "permit" }]
    "#;
    let filters = |name: &str| match name {
        "other" => String::new(),
        name => format!("input_acl = [\"{name}\"]"),
    };
    let ports: String = hosts.iter().map(|(name, host)| tap(name, host, &filters(name))).collect();
    let vlans = [
        ("access", "vlan = { access = 10 }"),
        ("trunk", "vlan = { trunk = [10] }"),
        ("other", "vlan = { trunk = [10] }"),
    ];
    let switch = Switch::configured(engine, &(ports + &bridge("", &vlans) + lists));
    let [(_, access), (_, trunk), (_, other)] = &hosts;
    access.address("access", "10.0.0.1/24");
    trunk.up("trunk");
    other.up("other");
    let [mut at_trunk, mut at_other] = [trunk.wire("trunk"), other.wire("other")];
    // The bridge knows the station, and floods nothing to the other trunk.
    at_trunk.send(&[tagged(&frame(&[], 1))]);
    switch.await_that("the station is known", |switch| switch.count("macs") > 0);
    access.ip(&format!("neigh replace 10.0.0.2 lladdr {} dev access", text(STATION)));
    let place = Place::host(access);
    for port in [7, 8] {
        place.inside(|| {
            let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("inside");
            socket.send_to(b"hello", ("10.0.0.2", port)).expect("sent");
        });
        let is_it = |frame: &[u8]| is_datagram(frame, 16, port);
        let heard = at_other.hear(SOON, is_it).unwrap_or_else(|| panic!("{port}: {}", switch.show("drops")));
        assert_eq!(heard[12..16], TAG, "port {port}");
        let patience = if port == 7 { SOON } else { SILENCE };
        assert_eq!(at_trunk.hear(patience, is_it), (port == 7).then_some(heard), "port {port}");
    }
    // Who is refused hears of it in the VLAN that it spoke in.
    let refused = [&[0x10, 0, 0, 82, 0, 16, 0, 0][..], &[7; 8]].concat();
    let packet = Packet { first: 17, ..Packet::new("10.0.0.2", "10.0.0.1", &refused) };
    at_trunk.send(&[tagged(&framed([2, 0, 0, 0, 0, 9], STATION, &packet.bytes()))]);
    let answer =
        at_trunk.hear(SOON, |frame| frame.get(12..16) == Some(&TAG) && told(&untagged(frame)).is_some());
    let told = answer
        .and_then(|answer| told(&untagged(&answer)))
        .unwrap_or_else(|| panic!("{}", switch.show("drops")));
    assert_eq!(
        (told.icmp, told.by.to_string().as_str()),
        ((3, 13), "10.0.0.1"),
        "communication is prohibited"
    );
    assert_eq!(switch.dropped("trunk", "acl-reject"), 1, "{}", switch.show("drops"));
}

/// A tag of VLAN 10.
const TAG: [u8; 4] = [0x81, 0x00, 0, 10];
/// The sender of [`frame`].
const STATION: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn tagged(frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &TAG, &frame[12..]].concat()
}

fn untagged(frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &frame[16..]].concat()
}
