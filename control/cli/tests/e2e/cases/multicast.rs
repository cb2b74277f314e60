//! Multicast groups: who joins one by a real socket gets it, and others do not.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use serde_json::Value;

use super::cases;
use super::operator::{bridge, tap};
use crate::engine::Engine;
use crate::host::Host;
use crate::place::Place;
use crate::switch::Switch;
use crate::wire::Wire;

cases![a_group_goes_to_who_joined_it, without_a_querier_groups_are_flooded];

const GROUP4: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 7);
const PORT: u16 = 5000;
/// Longer than a querier waits for first answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Three hosts in a bridge that has these lines, at TAPs p1 to p3.
fn hosts<'e>(engine: &'e Engine, more: &str) -> ([Host; 3], Switch<'e>) {
    let hosts = [(); 3].map(|()| Host::with_ipv6());
    let names = ["p1", "p2", "p3"];
    let ports: String = names.iter().zip(&hosts).map(|(name, host)| tap(name, host, "")).collect();
    let switch = Switch::configured(engine, &(ports + &bridge(more, &names.map(|name| (name, "")))));
    for (number, (name, host)) in (1..).zip(names.iter().zip(&hosts)) {
        host.address(name, &format!("10.0.0.{number}/24"));
        host.ip(&format!("address add fd00::{number}/64 dev {name} nodad"));
        host.ip(&format!("route add 224.0.0.0/4 dev {name}"));
    }
    (hosts, switch)
}

fn index(host: &Host, device: &str) -> u32 {
    let link = host.ip(&format!("-o link show dev {device}"));
    link.split(':').next().and_then(|number| number.trim().parse().ok()).expect("a number")
}

/// A socket in both groups.
fn join(host: &Host, number: u8) -> [UdpSocket; 2] {
    let scope = index(host, &format!("p{number}"));
    Place::host(host).inside(|| {
        let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).expect("a socket");
        v4.join_multicast_v4(&GROUP4, &Ipv4Addr::new(10, 0, 0, number)).expect("joined");
        let v6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, PORT + 1)).expect("a socket");
        v6.join_multicast_v6(&GROUP6, scope).expect("joined");
        [v4, v6]
    })
}

/// A host that sends to both groups.
struct Source {
    socket4: UdpSocket,
    socket6: UdpSocket,
    to6: SocketAddr,
}

impl Source {
    fn new(host: &Host) -> Source {
        let scope = index(host, "p1");
        let [socket4, socket6] = Place::host(host).inside(|| {
            [SocketAddr::from(([10, 0, 0, 1], 0)), "[fd00::1]:0".parse().expect("an address")]
                .map(|own| UdpSocket::bind(own).expect("a socket"))
        });
        Source { socket4, socket6, to6: SocketAddrV6::new(GROUP6, PORT + 1, 0, scope).into() }
    }

    fn send(&self, is_ipv6: bool, mark: &str) {
        let sent = if is_ipv6 {
            self.socket6.send_to(mark.as_bytes(), self.to6)
        } else {
            self.socket4.send_to(mark.as_bytes(), (GROUP4, PORT))
        };
        sent.expect("sent");
    }
}

/// Sends to a group, again and again, until a port gets it, or until it gets what all get and not this.
#[track_caller]
fn comes(source: &Source, is_ipv6: bool, wire: &mut Wire, sender: &Host, wanted: bool) {
    let start = std::time::Instant::now();
    let mut round = 0;
    while start.elapsed() < PATIENCE {
        round += 1;
        // What follows goes to all hosts: who has got that and not the datagram does not get it.
        let (mark, end) = (format!("to the group {round}."), format!("to all {round}."));
        source.send(is_ipv6, &mark);
        Place::host(sender).inside(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
            socket.send_to(end.as_bytes(), "224.0.0.1:9").expect("sent");
        });
        let has = |frame: &[u8], text: &str| frame.windows(text.len()).any(|part| part == text.as_bytes());
        let first = wire
            .hear(Duration::from_secs(5), |frame| has(frame, &mark) || has(frame, &end))
            .expect("what goes to all");
        if has(&first, &mark) == wanted {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("after {round} rounds it is not as wanted: {wanted}");
}

fn members(switch: &Switch<'_>, port: &str) -> Vec<String> {
    let groups = switch.show("groups");
    let rows = groups.as_array().into_iter().flatten();
    let own = rows.filter(|row| row["interface"] == port && row["role"] == "member");
    own.filter_map(|row| row["group"].as_str()).map(Into::into).collect()
}

fn a_group_goes_to_who_joined_it(engine: &Engine) {
    let (hosts, switch) = hosts(engine, "snooping = \"querier\"");
    let [a, b, c] = &hosts;
    let (mut at_b, mut at_c) = (b.wire("p2"), c.wire("p3"));
    let source = Source::new(a);
    let sockets = join(b, 2);
    let both = [GROUP4.to_string(), GROUP6.to_string()];
    switch.await_that("both groups are known", |switch| {
        both.iter().all(|group| members(switch, "p2").contains(group))
    });
    for is_ipv6 in [false, true] {
        comes(&source, is_ipv6, &mut at_c, a, false);
        comes(&source, is_ipv6, &mut at_b, a, true);
    }
    for socket in &sockets {
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
        assert!(socket.recv(&mut [0; 100]).is_ok(), "the socket has it");
    }
    assert!(members(&switch, "p3").is_empty(), "{}", switch.show("groups"));
    // Neighbour discovery goes on, and another one may come.
    a.reaches("fd00::3");
    let late = join(c, 3);
    comes(&source, false, &mut at_c, a, true);
    comes(&source, true, &mut at_c, a, true);
    drop(sockets);
    comes(&source, false, &mut at_b, a, false);
    comes(&source, true, &mut at_b, a, false);
    drop(late);
    comes(&source, false, &mut at_c, a, false);
    switch.await_that("nobody is left", |switch| {
        members(switch, "p2").is_empty() && members(switch, "p3").is_empty()
    });
    source.send(false, "to nobody");
    switch.await_that("it is counted", |switch| switch.dropped("p1", "no-listener") > 0);
    let bridges = switch.show("bridges");
    assert_eq!(bridges[0]["snooping"], Value::Bool(true), "{bridges}");
}

fn without_a_querier_groups_are_flooded(engine: &Engine) {
    let (hosts, switch) = hosts(engine, "snooping = \"on\"");
    let [a, b, c] = &hosts;
    let mut at_c = c.wire("p3");
    let source = Source::new(a);
    let _sockets = join(b, 2);
    switch.await_that("the group is known", |switch| members(switch, "p2").contains(&GROUP4.to_string()));
    comes(&source, false, &mut at_c, a, true);
    comes(&source, true, &mut at_c, a, true);
}
