//! Flows that begin inside, by a mapping, and between two inside hosts.

use paceline_graph::{Tunnel, TunnelEnds};

use super::*;

#[test]
fn a_host_appears_under_the_outside_address_and_gets_its_answers() {
    both(
        |_, _| (),
        |router| {
            for _ in 0..2 {
                assert_eq!(router.send(IN, "udp A:1500 > R:53"), "1 udp N:1500 > R:53");
                assert_eq!(router.send(OUT, "udp R:53 > N:1500"), "0 udp R:53 > A:1500");
                assert_eq!(router.send(IN, "tcp.syn A:1500 > R:53"), "1 tcp.syn N:1500 > R:53");
                assert_eq!(router.send(OUT, "tcp.syn.ack R:53 > N:1500"), "0 tcp.syn.ack R:53 > A:1500");
                assert_eq!(router.send(IN, "echo A:1500 > R"), "1 echo N:1500 > R");
                assert_eq!(router.send(OUT, "reply R:1500 > N"), "0 reply R:1500 > A");
            }
            assert_eq!(router.sessions().len(), 3);
            let [udp] = router.sessions().into_iter().filter(|s| s.protocol == 17).collect::<Vec<_>>()[..]
            else {
                panic!("{:?}", router.sessions())
            };
            assert_eq!(udp.before, [end(router, "A", 1500), end(router, "R", 53)]);
            assert_eq!(udp.after, [end(router, "N", 1500), end(router, "R", 53)]);
            assert_eq!((udp.packets, udp.worker, udp.is_static, udp.idle), (4, 0, false, 0));
        },
    );
}

#[test]
fn ports_are_kept_where_they_are_free_and_shared_among_remote_ends() {
    both(
        |_, _| (),
        |router| {
            assert_eq!(router.send(IN, "udp A:1500 > R:53"), "1 udp N:1500 > R:53");
            assert_eq!(router.send(IN, "udp B:1500 > S:53"), "1 udp N:1500 > S:53");
            assert_eq!(router.send(IN, "udp B:1500 > R:54"), "1 udp N:1500 > R:54");
            let other = router.send(IN, "udp B:1500 > R:53");
            let port: u16 = other.split([':', ' ']).nth(3).and_then(|p| p.parse().ok()).expect(&other);
            assert!((1000..=1999).contains(&port) && port != 1500, "{other}");
            assert_eq!(router.send(OUT, "udp R:53 > N:1500"), "0 udp R:53 > A:1500");
            let back = router.send(OUT, &format!("udp R:53 > N:{port}"));
            assert_eq!(back, "0 udp R:53 > B:1500");
            // A port that is not among those that are given out.
            let moved = router.send(IN, "udp A:80 > R:53");
            assert!(moved.starts_with("1 udp N:1"), "{moved}");
        },
    );
}

#[test]
fn the_port_of_tunnels_at_the_nat_s_address_is_theirs() {
    both(
        |_, _| (),
        |router| {
            let tunnel = Tunnel {
                vni: 7,
                vrf: 0,
                local: address("N", router.is_v6),
                remote: address("S", router.is_v6),
                port: 1500,
                origin: OUT,
                origin_mac: Mac(OWN),
                group: None,
                ttl: None,
                dscp: None,
                checksum: false,
                learns: false,
            };
            router.rig.snapshot.tunnels = TunnelEnds::new([(9, &tunnel)].into_iter());
            let out = router.send(IN, "udp A:1500 > R:53");
            assert!(out.starts_with("1 udp N:1") && !out.starts_with("1 udp N:1500 "), "{out}");
            assert_eq!(router.send(IN, "tcp.syn A:1500 > R:53"), "1 tcp.syn N:1500 > R:53");
        },
    );
}

#[test]
fn strangers_do_not_get_in() {
    both(
        |_, _| (),
        |router| {
            router.send(IN, "udp A:1500 > R:53");
            for text in [
                "udp S:53 > N:1500",
                "udp R:54 > N:1500",
                "tcp R:53 > N:1500",
                "gre R > N",
                "echo R:1500 > N",
            ] {
                assert_eq!(router.send(OUT, text), "nobody-home", "{text}");
            }
        },
    );
}

#[test]
fn what_is_not_inside_passes_as_it_is() {
    both(
        |_, _| (),
        |router| {
            for host in ["N", "O", "S"] {
                let text = format!("udp {host}:1500 > R:53");
                assert_eq!(router.send(IN, &text), format!("1 {text}"));
            }
            assert_eq!(router.sessions(), []);
            router.configure(|config, _| config.inside.clear());
            assert_eq!(router.send(IN, "udp S:1500 > R:53"), "1 udp N:1500 > R:53");
            assert_eq!(router.send(IN, "udp O:1500 > R:53"), "1 udp O:1500 > R:53");
            router.configure(|config, _| {
                config.addresses4.clear();
                config.addresses6.clear();
            });
            assert_eq!(router.send(IN, "udp A:1500 > R:53"), "1 udp A:1500 > R:53");
            assert_eq!(router.send(OUT, "udp R:53 > N:1500"), "nobody-home");
            router.rig.snapshot.nat = None;
            assert_eq!(router.send(IN, "udp A:1500 > R:53"), "1 udp A:1500 > R:53");
        },
    );
}

#[test]
fn a_mapped_port_is_reached_from_outside_and_answers_from_there() {
    both(
        |config, is_v6| {
            config.mappings = vec![mapping(6, 443, "A", 8443, is_v6), mapping(17, 1234, "B", 53, is_v6)];
        },
        |router| {
            assert_eq!(router.send(OUT, "tcp.syn R:5 > N:443"), "0 tcp.syn R:5 > A:8443");
            assert_eq!(router.send(IN, "tcp.syn.ack A:8443 > R:5"), "1 tcp.syn.ack N:443 > R:5");
            assert_eq!(router.send(OUT, "tcp.ack R:5 > N:443"), "0 tcp.ack R:5 > A:8443");
            assert_eq!(router.send(OUT, "udp R:5 > N:443"), "nobody-home");
            assert_eq!(router.send(OUT, "tcp.rst S:5 > N:443"), "nat-no-session");
            // What the host sends from there by itself has the mapped port, and nobody else gets that.
            assert_eq!(router.send(IN, "udp B:53 > S:9"), "1 udp N:1234 > S:9");
            let other = router.send(IN, "udp A:1234 > S:9");
            assert!(other.starts_with("1 udp N:1") && !other.contains(":1234"), "{other}");
            let sessions = router.sessions();
            assert_eq!(sessions.iter().filter(|s| s.is_static).count(), 2, "{sessions:?}");
            assert_eq!(
                sessions.iter().filter(|s| s.class == paceline_graph::SessionClass::TcpEstablished).count(),
                1
            );
        },
    );
}

#[test]
fn inside_hosts_meet_at_the_outside_address() {
    both(
        |config, is_v6| config.mappings = vec![mapping(6, 443, "A", 8443, is_v6)],
        |router| {
            assert_eq!(router.send(IN, "tcp.syn B:1500 > N:443"), "0 tcp.syn N:1500 > A:8443");
            assert_eq!(router.send(IN, "tcp.syn.ack A:8443 > N:1500"), "0 tcp.syn.ack N:443 > B:1500");
            assert_eq!(router.send(IN, "tcp.ack B:1500 > N:443"), "0 tcp.ack N:1500 > A:8443");
            // Itself, too.
            assert_eq!(router.send(IN, "tcp.syn A:1501 > N:443"), "0 tcp.syn N:1501 > A:8443");
            assert_eq!(router.send(IN, "tcp.syn.ack A:8443 > N:1501"), "0 tcp.syn.ack N:443 > A:1501");
        },
    );
}

#[test]
fn each_host_keeps_to_one_address() {
    both(
        |config, _| {
            config.addresses4.push(Ipv4Addr::new(11, 0, 0, 2));
            config.addresses6.push("2600:ff::2".parse().expect("an address"));
        },
        |router| {
            let mut seen = [0; 2];
            for host in 1..=40 {
                let host = if router.is_v6 { format!("fd00::1{host}") } else { format!("10.0.1.{host}") };
                // Colons part ports from hosts, so the frame is made by another name.
                let from = |router: &mut Router, to: &str| {
                    let mut frame = router.frame(IN, &format!("udp A:1500 > {to}"));
                    readdress(&mut frame, &host);
                    router.send_frame(IN, &frame)
                };
                let (one, other) = (from(router, "R:1"), from(router, "S:2"));
                assert_eq!(one[..7], other[..7]);
                seen[usize::from(one.starts_with("1 udp M"))] += 1;
            }
            assert!(seen.iter().all(|count| *count > 5), "{seen:?}");
        },
    );
}

/// Gives a UDP frame another source address.
pub(super) fn readdress(frame: &mut [u8], host: &str) {
    use paceline_wire::flow::{extract_v4, extract_v6};
    use paceline_wire::rewrite::{rewrite_v4, rewrite_v6};
    let (ip, field) = (&mut frame[14..], paceline_wire::checksum::Field::Full);
    match host.parse().expect("an address") {
        IpAddr::V4(host) => {
            let flow = extract_v4(ip, ip.len()).expect("a flow");
            let key = paceline_wire::flow::Key { source: host.octets(), ..flow.key };
            rewrite_v4(ip, &flow, &key, field).expect("it fits");
        }
        IpAddr::V6(host) => {
            let flow = extract_v6(ip, ip.len()).expect("a flow");
            let key = paceline_wire::flow::Key { source: host.octets(), ..flow.key };
            rewrite_v6(ip, &flow, &key, field).expect("it fits");
        }
    }
}

#[test]
fn a_packet_to_an_outside_address_lives_one_router_less() {
    both(
        |_, _| (),
        |router| {
            router.send(IN, "udp A:1500 > R:53");
            let frame = router.frame(OUT, "udp R:53 > N:1500");
            let out = router.rig.send(OUT, &frame);
            let at = if router.is_v6 { 21 } else { 22 };
            assert_eq!((out[0].0, out[0].1[at]), (IN, frame[at] - 1));
        },
    );
}

#[test]
fn a_trace_says_what_a_packet_becomes() {
    both(
        |_, _| (),
        |router| {
            router.rig.graph.trace().add(1, None);
            router.send(IN, "udp A:1500 > R:53");
            let text = router.rig.graph.trace().records()[0].text.clone();
            let (a, n) = (address("A", router.is_v6), address("N", router.is_v6));
            let r = address("R", router.is_v6);
            let want = format!(
                "protocol 17 {a} port 1500 to {r} port 53 becomes protocol 17 {n} port 1500 to {r} port 53 in main\n"
            );
            assert!(text.ends_with(&want), "{text}");
        },
    );
}

#[test]
fn a_vector_of_many_flows_and_kinds() {
    both(
        |_, _| (),
        |router| {
            let texts: Vec<String> = (0..200)
                .map(|n| match n % 4 {
                    0 => format!("udp A:{} > R:53", 1000 + n),
                    1 => format!("tcp.syn B:{} > S:80", 1000 + n),
                    2 => format!("echo A:{} > S", 1000 + n),
                    _ => format!("udp S:{n} > R:9"),
                })
                .collect();
            let frames: Vec<_> = texts.iter().map(|text| router.frame(IN, text)).collect();
            let frames: Vec<&[u8]> = frames.iter().map(|frame| &frame[..]).collect();
            for _ in 0..3 {
                let out = router.send_all(IN, &frames);
                let want = |text: &String| format!("1 {}", text.replace(" A:", " N:").replace(" B:", " N:"));
                assert_eq!(out, texts.iter().map(want).collect::<Vec<_>>());
            }
            assert_eq!(router.sessions().len(), 150);
        },
    );
}
