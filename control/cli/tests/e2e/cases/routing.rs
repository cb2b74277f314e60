//! A router: what goes from one network to another, and what is said about what does not.

use std::net::IpAddr;
use std::time::Duration;

use super::cases;
use crate::engine::Engine;
use crate::host::Host;
use crate::place::{Place, Speech};
use crate::station::{DONT_FRAGMENT, Packet, SOON, Station, Told, framed, reach_each_other, told};
use crate::switch::Switch;
use crate::wire::Wire;

cases![
    between_all_kinds_of_ports,
    senders_are_told_why,
    long_packets,
    what_is_never_routed,
    options_and_extension_headers,
    the_switch_itself,
    a_flood_for_the_switch_itself,
    link_local_addresses,
];

/// How long is waited for what should not come.
const SILENCE: Duration = Duration::from_millis(300);

/// Two hosts on TAPs, with further lines for the first's and the second's interface, and behind all.
fn pair<'e>(engine: &'e Engine, more: [&str; 3]) -> (Station, Station, Switch<'e>) {
    let (a, b) = (Station::new(1), Station::new(2));
    let config = a.on_tap("", more[0]) + &b.on_tap("", more[1]) + more[2];
    let switch = Switch::configured(engine, &config);
    a.up();
    b.up();
    (a, b, switch)
}

fn between_all_kinds_of_ports(engine: &Engine) {
    let all = [1, 2, 3].map(Station::new);
    let _veths = [all[1].veth(engine), all[2].veth(engine)];
    let config = all[0].on_tap("", "") + &all[1].on_veth("packet", "") + &all[2].on_veth("afxdp", "");
    let switch = Switch::configured(engine, &config);
    all.iter().for_each(Station::up);
    switch.await_that("all are up", |switch| {
        all.iter().all(|station| switch.row("interfaces", &station.name())["state"] == "up")
    });
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            reach_each_other(one, other);
            // AF_XDP on a veth carries no checksums that are left to the device, so hosts there speak ICMP alone.
            if at + 1 == 2 || other.name() == "h3" {
                continue;
            }
            let _servers = [Speech::Tcp, Speech::Udp].map(|speech| Place::host(&other.host).serve(speech, 7));
            for (to, from) in other.own().iter().zip(one.own()) {
                one.host.ping(&["-W", "5", "-s", "5000", to]).ok();
                Place::host(&one.host).is_seen_as(Speech::Tcp, to, 7, &from);
                Place::host(&one.host).is_seen_as(Speech::Udp, to, 7, &from);
            }
        }
    }
    assert_eq!(switch.show("buffers")["exhausted"], 0);
}

/// Sends a packet, and hears what is said about it.
#[track_caller]
fn fails(from: &Station, wire: &mut Wire, packet: &Packet<'_>, patience: Duration) -> Told {
    let bytes = packet.bytes();
    wire.send(&[from.frame(&bytes)]);
    let is_it = |frame: &[u8]| told(frame).is_some_and(|told| bytes.starts_with(&told.about[..28]));
    let frame = wire.hear(patience, is_it).unwrap_or_else(|| panic!("nothing is said about {packet:?}"));
    told(&frame).expect("an error")
}

fn senders_are_told_why(engine: &Engine) {
    let routes = r#"
        route = [
            { prefix = "192.0.2.0/24", action = "unreachable" },
            { prefix = "198.51.100.0/24", action = "prohibit" },
            { prefix = "203.0.113.0/24", action = "blackhole" },
            { prefix = "2001:db8:1::/48", action = "unreachable" },
            { prefix = "2001:db8:2::/48", action = "prohibit" },
            { prefix = "2001:db8:3::/48", action = "blackhole" },
        ]
    "#;
    let (a, b) = (Station::new(1), Station::new(2));
    let config = format!("{routes}\n{}{}", a.on_tap("", ""), b.on_tap("", "mtu = 1400"));
    let switch = Switch::configured(engine, &config);
    a.up();
    b.up();
    reach_each_other(&a, &b);
    let (mut wire, [a4, a6], [b4, b6]) = (a.wire(), a.own(), b.own());
    let (short, long) = ([7; 40], [7; 1460]);
    let v4 = |to, payload| Packet::new(&a4, to, payload);
    let v6 = |to, payload| Packet::new(&a6, to, payload);
    let dying = |packet| Packet { ttl: 1, ..packet };
    let whole = |packet| Packet { fragment: DONT_FRAGMENT, ..packet };
    for (packet, icmp, word, reason) in [
        (dying(v4(&b4, &short)), (11, 0), 0, "ttl-expired"),
        (dying(v6(&b6, &short)), (3, 0), 0, "ttl-expired"),
        (whole(v4(&b4, &long)), (3, 4), 1400, "needs-fragmentation"),
        (v6(&b6, &long), (2, 0), 1400, "needs-fragmentation"),
        // It would have come no further anyway.
        (dying(whole(v4(&b4, &long))), (11, 0), 0, "ttl-expired"),
        (dying(v6(&b6, &long)), (3, 0), 0, "ttl-expired"),
        (v4("192.0.2.1", &short), (3, 1), 0, "unreachable"),
        (v6("2001:db8:1::1", &short), (1, 3), 0, "unreachable"),
        (v4("198.51.100.1", &short), (3, 13), 0, "prohibited"),
        (v6("2001:db8:2::1", &short), (1, 1), 0, "prohibited"),
        (v4("8.8.8.8", &short), (3, 0), 0, "no-route"),
        (v6("2001:db8::1", &short), (1, 0), 0, "no-route"),
    ] {
        let before = switch.dropped("h1", reason);
        let heard = fails(&a, &mut wire, &packet, SOON);
        let by: IpAddr =
            a.router()[usize::from(packet.destination.contains(':'))].parse().expect("an address");
        assert_eq!((heard.by, heard.icmp, heard.word), (by, icmp, word), "{packet:?}");
        assert_eq!(switch.dropped("h1", reason), before + 1, "{packet:?}");
    }
    for to in ["203.0.113.1", "2001:db8:3::1"] {
        let packet = Packet::new(if to.contains(':') { &a6 } else { &a4 }, to, &short);
        wire.send(&[a.frame(&packet.bytes())]);
        assert!(wire.hear(SILENCE, |frame| told(frame).is_some()).is_none(), "{to}: silence");
    }
    assert_eq!(switch.dropped("h1", "blackhole"), 2);
    // As people look for it.
    let trace = a.host.run(&["busybox", "traceroute", "-n", "-q", "1", "-w", "2", "-m", "4", &b4]).ok();
    let hops: Vec<&str> = trace.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert!(hops.ends_with(&["10.1.0.1", "10.2.0.2"]), "{trace}");
    let trace = a.host.run(&["busybox", "traceroute6", "-n", "-q", "1", "-w", "2", "-m", "4", &b6]).ok();
    assert!(trace.contains("fd01::1") && trace.lines().any(|line| line.contains("2  fd02::2")), "{trace}");
}

fn long_packets(engine: &Engine) {
    let (a, b) = (Station::new(1), Station::new(2));
    let config = a.on_tap("mtu = 9000", "") + &b.on_tap("mtu = 9000", "mtu = 1280");
    let switch = Switch::configured(engine, &config);
    a.up();
    b.up();
    reach_each_other(&a, &b);
    // They do not ask to be told what fits.
    for station in [&a, &b] {
        station.host.sysctl("net/ipv4/ip_no_pmtu_disc", "1");
    }
    let (mut wire, [a4, _], [b4, _]) = (b.wire(), a.own(), b.own());
    // Cut by the switch, put together by the host; whole and larger than a buffer on the way back.
    for size in ["1300", "5000", "8900", "20000", "60000"] {
        a.host.ping(&["-W", "5", "-s", size, &b4]).ok();
    }
    let payload: Vec<u8> = (0..3000_u32).map(|n| (n / 8) as u8).collect();
    a.wire().send(&[a.frame(&Packet { ttl: 9, ..Packet::new(&a4, &b4, &payload) }.bytes())]);
    let mut parts: Vec<Vec<u8>> = Vec::new();
    while parts.len() < 3 {
        let is_it = |frame: &[u8]| frame[12..14] == [8, 0] && frame[22..24] == [8, 253];
        parts.push(wire.hear(SOON, is_it).expect("a fragment"));
    }
    let place = |part: &[u8]| u16::from_be_bytes([part[20], part[21]]);
    assert_eq!(parts.iter().map(|part| place(part)).collect::<Vec<_>>(), [0x2000, 0x2000 + 157, 314]);
    let together = parts.iter().flat_map(|part| part[34..].to_vec()).collect::<Vec<u8>>();
    assert_eq!(together, payload);
    // IPv6 hosts learn what fits, and cut themselves.
    let _ = a.host.ping(&["-W", "1", "-s", "5000", &b.own()[1]]).succeeded();
    a.host.ping(&["-W", "5", "-s", "5000", &b.own()[1]]).ok();
    assert!(switch.dropped("h1", "needs-fragmentation") > 0);
    assert_eq!(switch.show("buffers")["in_use"], 0);
}

fn what_is_never_routed(engine: &Engine) {
    let (a, b, switch) = pair(engine, [""; 3]);
    reach_each_other(&a, &b);
    let (mut from, mut to, [a4, a6], [b4, b6]) = (a.wire(), b.wire(), a.own(), b.own());
    let payload = [0x5a; 64];
    for (source, destination, reason) in [
        (&*a4, "10.2.0.255", "blackhole"),
        (&a4, "10.2.0.0", "blackhole"),
        (&b4, &*b4, "martian-source"),
        ("127.0.0.1", &b4, "martian-source"),
        ("0.0.0.0", &b4, "martian-source"),
        ("224.0.0.1", &b4, "martian-source"),
        ("255.255.255.255", &b4, "martian-source"),
        ("240.0.0.1", &b4, "martian-source"),
        (&a4, "127.0.0.1", "martian-destination"),
        (&a4, "0.0.0.1", "martian-destination"),
        (&a4, "240.0.0.1", "martian-destination"),
        (&a4, "255.255.255.255", "link-local"),
        (&a4, "169.254.1.1", "link-local"),
        ("169.254.1.1", &b4, "link-local"),
        (&a4, "239.1.2.3", "multicast"),
        (&b6, &b6, "martian-source"),
        ("::1", &b6, "martian-source"),
        ("::", &b6, "link-local"),
        ("ff02::1", &b6, "martian-source"),
        (&a6, "::1", "martian-destination"),
        (&a6, "ff05::2", "multicast"),
        ("fe80::99", &b6, "link-local"),
    ] {
        let before = switch.dropped("h1", reason);
        let packet = Packet::new(source, destination, &payload).bytes();
        from.send(&[a.frame(&packet)]);
        switch.await_that(&format!("{source} to {destination} is counted as {reason}"), |switch| {
            switch.dropped("h1", reason) > before
        });
    }
    assert!(to.hear(SILENCE, |frame| frame.ends_with(&payload)).is_none(), "none came through");
    // What was sent to all on the wire, or to another station, is none of a router's business.
    let packet = Packet::new(&a4, &b4, &payload).bytes();
    from.send(&[framed([0xff; 6], a.macs()[1], &packet), framed([2, 9, 9, 9, 9, 9], a.macs()[1], &packet)]);
    switch.await_that("counted", |switch| switch.dropped("h1", "not-for-us") >= 2);
    assert!(to.hear(SILENCE, |frame| frame.ends_with(&payload)).is_none());
    reach_each_other(&a, &b);
}

fn options_and_extension_headers(engine: &Engine) {
    let (a, b, _switch) = pair(engine, [""; 3]);
    reach_each_other(&a, &b);
    let (mut from, mut to, [a4, a6], [b4, b6]) = (a.wire(), b.wire(), a.own(), b.own());
    let v4 = Packet::new(&a4, &b4, &[1; 50]);
    let v6 = Packet::new(&a6, &b6, &[1; 50]);
    // Record route with room for one address, router alert; padding, and nothing but options.
    let options: [&[u8]; 3] = [&[7, 7, 4, 0, 0, 0, 0, 0], &[0x94, 4, 0, 0], &[1; 40]];
    // Hop-by-hop, destination options, routing (of type 2), fragment.
    let extensions: [(u8, &[u8]); 4] = [
        (0, &[253, 0, 1, 4, 0, 0, 0, 0]),
        (60, &[253, 0, 1, 4, 0, 0, 0, 0]),
        (43, &[253, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        (44, &[253, 0, 0, 1, 1, 2, 3, 4]),
    ];
    let v4 = options.map(|between| Packet { between, ..v4.clone() });
    let v6 = extensions.map(|(first, between)| Packet { between, first, ..v6.clone() });
    for packet in v4.iter().chain(&v6) {
        let [router, own] = b.macs();
        let want = framed(own, router, &packet.forwarded());
        from.send(&[a.frame(&packet.bytes())]);
        assert!(to.hear(SOON, |frame| frame == want).is_some(), "{packet:?}");
    }
}

fn the_switch_itself(engine: &Engine) {
    let (a, b) = (Station::new(1), Station::new(2));
    let config = a.on_tap("", "") + &b.on_tap("mtu = 9000", "");
    let switch = Switch::configured(engine, &config);
    a.up();
    b.up();
    for station in [&a, &b] {
        // Its addresses on this side and on the other one.
        for address in a.router().into_iter().chain(b.router()) {
            for size in ["0", "56", "3000", "8900", "20000", "60000"] {
                let answered = station.host.ping(&["-W", "5", "-s", size, &address]).succeeded();
                assert!(answered, "{address} with {size} bytes: {}", switch.show("drops"));
                // No sender may have more than a share of it, and this is many packets.
                std::thread::sleep(Duration::from_millis(if size == "60000" { 50 } else { 0 }));
            }
            let place = Place::host(&station.host);
            place.is_refused(Speech::Tcp, &address, 80);
            place.is_refused(Speech::Udp, &address, 53);
        }
    }
    assert!(switch.dropped_at("vrf", "default", "nobody-home") >= 16, "{}", switch.show("drops"));
    // Errors are not answered, nor an answer that nobody asked for.
    let reply = [0, 0, 0xff, 0xff, 0, 0, 0, 0];
    let [a4, _] = a.own();
    let reply = Packet { first: 1, ..Packet::new(&a4, "10.1.0.1", &reply) };
    a.wire().send(&[a.frame(&reply.bytes())]);
    switch.await_that("counted", |switch| switch.dropped_at("vrf", "default", "unasked") == 1);
    assert_eq!(switch.show("buffers")["in_use"], 0);
}

fn a_flood_for_the_switch_itself(engine: &Engine) {
    let (a, b, switch) = pair(engine, [""; 3]);
    let c = Host::new();
    drop(c);
    reach_each_other(&a, &b);
    let [a4, _] = a.own();
    // Echo requests: type 8, with a checksum.
    let echo = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    let ping = Packet { first: 1, ..Packet::new(&a4, "10.1.0.1", &echo) };
    let frames = vec![a.frame(&ping.bytes()); 3000];
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            // Faster than the switch answers one sender.
            for _ in 0..5 {
                a.wire().send_at_once(&frames);
            }
        });
        while !flood.is_finished() {
            // By others, through it and to it.
            b.host.reaches("10.2.0.1");
        }
        flood.join().expect("sent");
    });
    assert!(switch.dropped("h1", "punt-limit") > 0, "{}", switch.show("drops"));
    assert_eq!(switch.dropped("h2", "punt-limit"), 0, "{}", switch.show("drops"));
    reach_each_other(&a, &b);
    assert_eq!(switch.show("buffers")["exhausted"], 0);
}

fn link_local_addresses(engine: &Engine) {
    let (a, b) = (Station::new(1), Station::new(2));
    let routes = r#"
        route = [
            { prefix = "172.16.0.0/12", via = "169.254.7.2", interface = "h2" },
            { prefix = "2001:db8::/32", via = "fe80::7", interface = "h2" },
        ]
    "#;
    let more = |station: &Station, address: &str| {
        station.interface("").replace("addresses = [", &format!("addresses = [\"{address}\", "))
    };
    let config = routes.to_string()
        + &a.on_tap("", "")
        + &b.on_tap("", "").replace(&b.interface(""), &more(&b, "169.254.7.1/16"));
    let switch = Switch::configured(engine, &config);
    a.up();
    b.up();
    let name = b.name();
    for address in ["169.254.7.2/16", "fe80::7/64 nodad", "172.16.0.1/32", "2001:db8::1/128 nodad"] {
        b.host.ip(&format!("address add {address} dev {name}"));
    }
    for address in ["172.16.0.1", "2001:db8::1"] {
        a.host.reaches(address);
    }
    let neighbours = switch.show("neighbours");
    let known = |address: &str| {
        let rows = neighbours.as_array().into_iter().flatten();
        rows.filter(|row| row["address"] == address && row["state"] == "reachable").count()
    };
    assert_eq!([known("169.254.7.2"), known("fe80::7")], [1; 2], "{neighbours}");
    // The switch answers there, too.
    b.host.reaches("169.254.7.1");
    b.host.reaches(&format!("fe80::ff:fe00:201%{name}"));
}
