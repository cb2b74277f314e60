//! Time, room, other workers and other configurations.

use paceline_graph::NatLimits;
use paceline_graph::SessionClass;

use super::*;

/// Opens a connection from inside.
fn connect(router: &mut Router, from: &str, to: &str) {
    for text in [format!("tcp.syn {from} > {to}"), format!("tcp.ack {from} > {to}")] {
        let out = router.send(IN, &text);
        if text.contains("syn") {
            let parts: Vec<&str> = out.split(' ').collect();
            let answer = format!("tcp.syn.ack {to} > {}", parts[2]);
            assert_eq!(router.send(OUT, &answer), format!("0 tcp.syn.ack {to} > {from}"));
        }
    }
}

#[test]
fn sessions_end_when_their_time_is_over() {
    both(
        |_, _| (),
        |router| {
            for (begin, answer, life) in [
                ("udp A:1500 > R:53", "udp R:53 > N:1500", 300),
                ("tcp.syn A:1500 > R:53", "tcp.syn.ack R:53 > N:1500", 240),
                ("echo A:1500 > R", "reply R:1500 > N", 60),
            ] {
                assert!(router.send(IN, begin).starts_with("1 "));
                for _ in 0..3 {
                    router.wait(life);
                    assert!(router.send(OUT, answer).starts_with("0 "), "{answer} keeps it alive");
                }
                router.wait(life + 1);
                assert_eq!(router.sessions(), [], "control does not see it any more");
                assert_eq!(router.send(OUT, answer), "nobody-home");
                assert_eq!(router.nat().totals()[usize::from(router.is_v6)].sessions, 0);
            }
            connect(router, "A:1500", "R:80");
            router.wait(7440);
            assert_eq!(router.send(OUT, "tcp.ack R:80 > N:1500"), "0 tcp.ack R:80 > A:1500");
            for text in ["tcp.fin.ack R:80 > N:1500", "tcp.ack R:80 > N:1500"] {
                assert!(router.send(OUT, text).starts_with("0 "));
            }
            assert_eq!(router.send(IN, "tcp.fin.ack A:1500 > R:80"), "1 tcp.ack.fin N:1500 > R:80");
            router.wait(240);
            assert_eq!(router.sessions().len(), 1);
            router.wait(1);
            assert_eq!(router.sessions(), []);
            assert_eq!(router.send(OUT, "tcp.ack R:80 > N:1500"), "nobody-home");
            let totals = router.nat().totals()[usize::from(router.is_v6)];
            assert_eq!((totals.created, totals.expired), (4, 4));
        },
    );
}

#[test]
fn without_a_free_port_the_longest_unused_makes_way() {
    both(
        |config, _| config.ports = 1000..=1003,
        |router| {
            for port in 1000..1003 {
                connect(router, &format!("A:{port}"), "R:80");
                router.wait(1);
            }
            assert_eq!(router.send(IN, "tcp.syn A:1003 > R:80"), "1 tcp.syn N:1003 > R:80");
            router.wait(1);
            // The one that is not established loses its port.
            assert_eq!(router.send(IN, "tcp.syn B:7 > R:80"), "1 tcp.syn N:1003 > R:80");
            assert_eq!(router.send(OUT, "tcp.syn.ack R:80 > N:1003"), "0 tcp.syn.ack R:80 > B:7");
            assert_eq!(router.send(IN, "tcp.ack B:7 > R:80"), "1 tcp.ack N:1003 > R:80");
            assert_eq!(router.send(IN, "tcp.syn B:8 > R:80"), "nat-no-port");
            assert!(
                router.send(IN, "tcp.syn B:8 > R:81").starts_with("1 "),
                "another remote port has all ports"
            );
            let totals = router.nat().totals()[usize::from(router.is_v6)];
            assert_eq!((totals.no_port, totals.reclaimed), (1, 1));
        },
    );
}

#[test]
fn a_flood_of_syns_leaves_old_flows_alone() {
    both(
        |config, _| config.limits = NatLimits { sessions: 100, per_host: 0 },
        |router| {
            for port in 1000..1020 {
                connect(router, &format!("A:{port}"), "R:80");
            }
            router.send(IN, "udp A:1100 > R:53");
            assert_eq!(router.send(OUT, "udp R:53 > N:1100"), "0 udp R:53 > A:1100");
            for port in 0..2000 {
                assert!(router.send(IN, &format!("tcp.syn B:{port} > S:80")).starts_with("1 "), "{port}");
            }
            for port in 1000..1020 {
                let answer = router.send(OUT, &format!("tcp.ack R:80 > N:{port}"));
                assert_eq!(answer, format!("0 tcp.ack R:80 > A:{port}"));
            }
            assert_eq!(router.send(OUT, "udp R:53 > N:1100"), "0 udp R:53 > A:1100");
            let totals = router.nat().totals()[usize::from(router.is_v6)];
            assert_eq!((totals.sessions, totals.reclaimed), (100, 2000 - 79));
            for port in 1020..1099 {
                connect(router, &format!("A:{port}"), "R:80");
            }
            assert_eq!(router.send(IN, "tcp.syn B:5 > S:81"), "nat-table-full", "all are established");
        },
    );
}

#[test]
fn a_host_has_no_more_than_its_share() {
    both(
        |config, _| config.limits.per_host = 10,
        |router| {
            for port in 1000..1010 {
                assert!(router.send(IN, &format!("udp A:{port} > R:53")).starts_with("1 "));
            }
            assert_eq!(router.send(IN, "udp A:1010 > R:53"), "nat-host-limit");
            assert_eq!(router.send(IN, "udp B:1010 > R:53"), "1 udp N:1010 > R:53");
            router.wait(301);
            assert_eq!(router.send(IN, "udp A:1010 > R:53"), "1 udp N:1010 > R:53");
        },
    );
}

#[test]
fn sessions_outlive_a_new_configuration_that_allows_them() {
    both(
        |config, is_v6| {
            config.mappings = vec![mapping(6, 443, "A", 8443, is_v6), mapping(6, 444, "B", 444, is_v6)];
        },
        |router| {
            assert_eq!(router.send(IN, "udp A:1500 > R:53"), "1 udp N:1500 > R:53");
            assert_eq!(router.send(OUT, "tcp.syn R:5 > N:443"), "0 tcp.syn R:5 > A:8443");
            assert_eq!(router.send(OUT, "tcp.syn R:5 > N:444"), "0 tcp.syn R:5 > B:444");
            router.configure(|config, is_v6| config.mappings = vec![mapping(6, 444, "B", 444, is_v6)]);
            assert_eq!(router.sessions().len(), 2, "control sees those that are allowed");
            assert_eq!(router.send(OUT, "udp R:53 > N:1500"), "0 udp R:53 > A:1500");
            assert_eq!(router.send(OUT, "tcp.ack R:5 > N:444"), "0 tcp.ack R:5 > B:444");
            assert_eq!(router.send(OUT, "tcp.ack R:5 > N:443"), "nobody-home");
            router.configure(|config, _| {
                config.addresses4 = vec![Ipv4Addr::new(11, 0, 0, 2)];
                config.addresses6 = vec!["2600:ff::2".parse().expect("an address")];
            });
            assert_eq!(router.send(OUT, "udp R:53 > N:1500"), "nobody-home");
            assert_eq!(router.send(IN, "udp A:1500 > R:53"), "1 udp M:1500 > R:53");
            let totals = router.nat().totals()[usize::from(router.is_v6)];
            assert_eq!(
                (totals.sessions, totals.flushed),
                (1, 3),
                "the sweep ends those that nobody asks for"
            );
        },
    );
}

#[test]
fn both_directions_meet_at_one_worker() {
    both(
        |config, is_v6| {
            config.workers = 2;
            config.mappings = vec![mapping(6, 443, "A", 443, is_v6), mapping(6, 60_000, "B", 80, is_v6)];
        },
        |router| {
            for (at, host) in [(false, "A"), (true, "A"), (false, "B"), (true, "B")] {
                for text in [
                    format!("udp {host}:1500 > R:53"),
                    format!("echo {host}:1500 > R"),
                    format!("gre {host} > R"),
                ] {
                    router.rig.at_second = at;
                    let out = router.send(IN, &text);
                    if text.starts_with("gre") && host == "B" {
                        assert_eq!(out, "nat-protocol", "there is one of the protocol already");
                        continue;
                    }
                    let words: Vec<&str> = out.split(' ').collect();
                    let [_, kind, from, ">", to] = words[..] else { panic!("{text}: {out}") };
                    let answer = match kind {
                        "echo" => format!("reply {to}:{} > N", from.rsplit(':').next().expect("a number")),
                        _ => format!("{kind} {to} > {from}"),
                    };
                    for at in [false, true] {
                        router.rig.at_second = at;
                        let back = router.send(OUT, &answer);
                        assert!(
                            back.starts_with("0 ") && back.contains(&format!("> {host}")),
                            "{answer}: {back}"
                        );
                        let again = router.send(IN, &text);
                        assert_eq!(again, out);
                    }
                }
            }
            for (outside, host) in [("443", "A:443"), ("60000", "B:80")] {
                for at in [false, true] {
                    router.rig.at_second = at;
                    let out = router.send(OUT, &format!("tcp.syn R:9 > N:{outside}"));
                    assert_eq!(out, format!("0 tcp.syn R:9 > {host}"));
                    let out = router.send(IN, &format!("tcp.syn.ack {host} > R:9"));
                    assert_eq!(out, format!("1 tcp.syn.ack N:{outside} > R:9"));
                    // By itself, and to another inside host.
                    let out = router.send(IN, &format!("tcp.syn {host} > S:7"));
                    assert_eq!(out, format!("1 tcp.syn N:{outside} > S:7"));
                    let there = router.send(IN, &format!("tcp.syn A:77 > N:{outside}"));
                    let words: Vec<&str> = there.split(' ').collect();
                    router.rig.at_second = !at;
                    let back = router.send(IN, &format!("tcp.syn.ack {host} > {}", words[2]));
                    assert_eq!(back, format!("0 tcp.syn.ack N:{outside} > A:77"), "{there}");
                }
            }
            for session in router.sessions().iter().filter(|s| !s.is_static && s.protocol == 17) {
                let port = session.after[0].port();
                assert_eq!(router.nat().ports.owner(port), session.worker, "{session:?}");
            }
            assert!(router.sessions().iter().any(|s| s.class == SessionClass::Udp));
        },
    );
}

#[test]
fn a_wrong_configuration_is_refused() {
    let refused = |edit: fn(&mut NatConfig)| {
        let mut config = config();
        edit(&mut config);
        Nat::new(&config).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(refused(|_| ()), "");
    assert!(refused(|c| c.workers = 0).contains("0 workers"));
    assert!(refused(|c| c.ports = 0..=9).contains("0 to 9"));
    assert!(refused(|c| (c.ports, c.workers) = (5..=6, 3)).contains("5 to 6"));
    let map = |outside: Option<&str>, port, inside: &str, protocol, inside_port| NatMapping {
        protocol,
        outside: outside.map(|address| address.parse().expect("an address")),
        outside_port: port,
        inside: inside.parse().expect("an address"),
        inside_port,
        vrf: "main".into(),
    };
    let with = |mappings: Vec<NatMapping>| {
        let config = NatConfig { mappings, ..config() };
        Nat::new(&config).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(with(vec![map(Some("11.0.0.1"), 80, "10.0.0.1", 6, 80)]), "");
    assert!(with(vec![map(Some("11.0.0.9"), 80, "10.0.0.1", 6, 80)]).contains("do not fit"));
    assert!(with(vec![map(Some("11.0.0.1"), 80, "fd00::1", 6, 80)]).contains("do not fit"));
    assert!(with(vec![map(None, 80, "10.0.0.1", 132, 81)]).contains("SCTP port 80"));
    let twice = with(vec![map(None, 80, "10.0.0.1", 6, 80), map(Some("11.0.0.1"), 80, "10.0.0.2", 6, 80)]);
    assert!(twice.contains("claim 11.0.0.1 port 80"), "{twice}");
    let stray = NatMapping { vrf: "green".into(), ..map(None, 80, "10.0.0.1", 6, 80) };
    assert!(with(vec![stray]).contains("VRF \"green\", which is not there"));
}
