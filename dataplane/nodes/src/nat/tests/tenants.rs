//! Inside hosts of several routing tables that have the same addresses, behind one outside interface.

use std::collections::BTreeMap;

use super::*;

/// The inside interfaces of the tables `red` and `blue`, whose numbers are 1 and 2.
const RED: u16 = 2;
const BLUE: u16 = 3;
const TENANTS: [u16; 2] = [RED, BLUE];

/// Runs a test for both versions, with two more tables. Each has a way to its own inside hosts and to the outside; the outside's table has
/// none to them.
fn both_tenants(edit: impl Fn(&mut NatConfig, bool), test: impl Fn(&mut Router)) {
    both(edit, |router| {
        let lines = Arc::clone(&router.rig.snapshot.adjacencies);
        router.rig.snapshot.vrfs = vec![table("main", None)];
        for (port, number) in TENANTS.into_iter().zip([6, 8]) {
            let features = Features { routed: true, capabilities: Capabilities::ALL, ..Features::default() };
            router.rig.interface(port, features, |interface| {
                let mac = Mac(OWN + u64::from(port));
                let own = |is_v6| address("I", is_v6);
                let (IpAddr::V4(own4), IpAddr::V6(own6)) = (own(false), own(true)) else {
                    panic!("versions")
                };
                interface.l3 = Some(L3 { mac, address4: Some(own4), address6: Some(own6), mtu: 1500 });
                interface.domain = port - 1;
            });
            for (version, number) in [(IpVersion::V4, number), (IpVersion::V6, number + 1)] {
                let link = Link { interface: port, mtu: 1500, source: Mac(OWN + u64::from(port)), version };
                lines.get(number).forward(link, Mac(NEXT + u64::from(port)));
            }
            let name = if port == RED { "red" } else { "blue" };
            router.rig.snapshot.vrfs.push(table(name, Some(number)));
        }
        test(router);
    });
}

/// A table with ways to the outside and to the NAT's addresses; to inside hosts by the adjacency of this number, and the next one for IPv6.
fn table(name: &str, inside: Option<u32>) -> Vrf {
    let (mut rib4, mut rib6) = (Rib4::new().expect("room"), Rib6::new().expect("room"));
    let inside4 = inside.map(|number| ("10.0.0.0/16", number));
    for (net, number) in [("0.0.0.0/0", 2), ("11.0.0.0/30", 5)].into_iter().chain(inside4) {
        rib4.insert(net.parse().expect("a prefix"), number).expect("room");
    }
    let inside6 = inside.map(|number| ("fd00::/16", number + 1));
    for (net, number) in [("::/0", 4), ("2600:ff::/64", 5)].into_iter().chain(inside6) {
        rib6.insert(net.parse().expect("a prefix"), number).expect("room");
    }
    Vrf { name: name.into(), fib4: Arc::clone(rib4.fib()), fib6: Arc::clone(rib6.fib()) }
}

/// A mapping to a host of a table.
fn mapping_to(vrf: &str, port: u16, host: &str, inside_port: u16, is_v6: bool) -> NatMapping {
    NatMapping { vrf: vrf.into(), ..mapping(6, port, host, inside_port, is_v6) }
}

/// The port that a packet got, as it left.
fn port_of(out: &str) -> u16 {
    let port = out.split("N:").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    port.unwrap_or_else(|| panic!("{out}"))
}

#[test]
fn answers_come_to_the_host_that_asked_and_not_to_its_namesake() {
    both_tenants(
        |_, _| (),
        |router| {
            for text in ["tcp.syn A:1500 > R:80", "udp A:1500 > R:53", "echo A:1500 > R"] {
                let ports = TENANTS.map(|from| {
                    let out = router.send(from, text);
                    assert!(out.starts_with("1 "), "{out}");
                    (from, port_of(&out))
                });
                assert_ne!(ports[0].1, ports[1].1, "each has a port of its own");
                for (to, port) in ports {
                    let (answer, seen) = match &text[..3] {
                        "tcp" => (format!("tcp.syn.ack R:80 > N:{port}"), "tcp.syn.ack R:80 > A:1500"),
                        "udp" => (format!("udp R:53 > N:{port}"), "udp R:53 > A:1500"),
                        _ => (format!("reply R:{port} > N"), "reply R:1500 > A"),
                    };
                    for _ in 0..2 {
                        assert_eq!(router.send(OUT, &answer), format!("{to} {seen}"));
                        assert_eq!(port_of(&router.send(to, text)), port, "it stays its own");
                    }
                }
            }
            let mut vrfs: Vec<_> = router.sessions().iter().map(|session| session.vrfs).collect();
            vrfs.sort_unstable();
            assert_eq!(vrfs, [[1, 0], [1, 0], [1, 0], [2, 0], [2, 0], [2, 0]]);
            assert_eq!((router.nat().vrf(1), router.nat().vrf(3)), (Some("red"), None));
        },
    );
}

#[test]
fn errors_and_parts_find_their_table() {
    both_tenants(
        |_, _| (),
        |router| {
            for from in TENANTS {
                let frame = router.frame(from, "udp A:500 > R:53");
                let sent = router.rig.send(from, &frame).remove(0).1;
                let message = error(router, OUT, "S", &sent);
                let out = router.send_frame(OUT, &message);
                assert_eq!(out, format!("{from} error S > A about A:500 > R:53"));
                let port = port_of(&describe(OUT, &sent));
                let answer = router.frame(OUT, &format!("udp R:53 > N:{port}"));
                let answer = router.rig.send(OUT, &answer).remove(0).1;
                let message = error(router, from, "A", &answer);
                let out = router.send_frame(from, &message);
                assert_eq!(out, format!("1 error N > R about R:53 > N:{port}"));
                // About an answer that has no more routers to pass: the message is that of the table of the host.
                let mut late = router.frame(OUT, &format!("udp R:53 > N:{port}"));
                if router.is_v6 {
                    late[21] = 1;
                } else {
                    late[22] = 1;
                    paceline_wire::ipv4::fill_checksum(&mut late[14..34]);
                }
                let out = router.send_frame(OUT, &late);
                assert_eq!(out, format!("1 error N > R about R:53 > N:{port}, ttl-expired"));
            }
        },
    );
}

#[test]
fn mapped_ports_lead_to_hosts_of_their_table() {
    both_tenants(
        |config, is_v6| {
            config.workers = 2;
            config.mappings =
                vec![mapping_to("red", 443, "A", 8443, is_v6), mapping_to("blue", 444, "A", 8443, is_v6)];
        },
        |router| {
            for at_second in [false, true] {
                for (to, port) in TENANTS.into_iter().zip([443, 444]) {
                    router.rig.at_second = at_second;
                    let out = router.send(OUT, &format!("tcp.syn R:5 > N:{port}"));
                    assert_eq!(out, format!("{to} tcp.syn R:5 > A:8443"));
                    let out = router.send(to, "tcp.syn.ack A:8443 > R:5");
                    assert_eq!(out, format!("1 tcp.syn.ack N:{port} > R:5"));
                    // By itself, too.
                    let out = router.send(to, "tcp.syn A:8443 > S:9");
                    assert_eq!(out, format!("1 tcp.syn N:{port} > S:9"));
                    let out = router.send(OUT, &format!("tcp.syn.ack S:9 > N:{port}"));
                    assert_eq!(out, format!("{to} tcp.syn.ack S:9 > A:8443"));
                    // From a neighbour of the same table, and from the namesake of that in the other one.
                    for from in TENANTS {
                        let out = router.send(from, &format!("tcp.syn B:77 > N:{port}"));
                        assert!(out.starts_with(&format!("{to} tcp.syn N:")), "{out}");
                        let met = port_of(&out);
                        let back = router.send(to, &format!("tcp.syn.ack A:8443 > N:{met}"));
                        assert_eq!(back, format!("{from} tcp.syn.ack N:{port} > B:77"));
                    }
                }
            }
        },
    );
}

#[test]
fn each_host_has_a_share_of_its_own() {
    both_tenants(
        |config, _| config.limits.per_host = 3,
        |router| {
            for from in TENANTS {
                for port in 1000..1003 {
                    assert!(router.send(from, &format!("udp A:{port} > R:53")).starts_with("1 "));
                }
                assert_eq!(router.send(from, "udp A:1003 > R:53"), "nat-host-limit");
            }
        },
    );
}

#[test]
fn sessions_end_with_their_table_also_if_another_one_gets_its_number() {
    both_tenants(
        |_, _| (),
        |router| {
            let ports = TENANTS.map(|from| port_of(&router.send(from, "udp A:1500 > R:53")));
            let named = |names: [Option<&str>; 3]| -> BTreeMap<Arc<str>, u16> {
                (0..).zip(names).filter_map(|(at, name)| Some((name?.into(), at))).collect()
            };
            let configure = |router: &mut Router, names: [Option<&str>; 3]| {
                router.configure(|config, _| config.vrfs = named(names));
            };
            configure(router, [Some("main"), None, Some("blue")]);
            assert_eq!(router.sessions().len(), 1, "control sees those that are allowed");
            // No packet came meanwhile, so nobody has ended it yet.
            configure(router, [Some("main"), Some("green"), Some("blue")]);
            assert_eq!(router.sessions().len(), 1);
            let answer = |port: u16| format!("udp R:53 > N:{port}");
            assert_eq!(router.send(OUT, &answer(ports[0])), "nobody-home");
            assert_eq!(router.send(OUT, &answer(ports[1])), format!("{BLUE} udp R:53 > A:1500"));
            let totals = router.nat().totals()[usize::from(router.is_v6)];
            assert_eq!((totals.sessions, totals.flushed), (1, 1));
        },
    );
}
