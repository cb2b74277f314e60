//! Flows that are remembered.

use paceline_graph::{NO_DOMAIN, SessionTimeouts};

use super::*;
use crate::testing::{tagged, trunk};

/// A host that may ask anybody anything, and is asked TCP port 80 alone.
fn host() -> Wall {
    let output = policy(vec![to_port(Verdict::Permit, 6, 80)], Verdict::Deny, true);
    Wall::new(None, Some(output))
}

#[test]
fn answers_pass_and_what_nobody_asked_for_does_not() {
    let mut wall = host();
    for (ask, answer) in [
        ("udp 10.0.0.1:5 > 10.0.0.2:53", "udp 10.0.0.2:53 > 10.0.0.1:5"),
        ("udp [fd00::1]:5 > [fd00::2]:53", "udp [fd00::2]:53 > [fd00::1]:5"),
        ("tcp.syn 10.0.0.1:5 > 10.0.0.2:443", "tcp.syn.ack 10.0.0.2:443 > 10.0.0.1:5"),
        ("echo 10.0.0.1:7 > 10.0.0.2:7", "reply 10.0.0.2:7 > 10.0.0.1:7"),
        ("echo [fd00::1]:7 > [fd00::2]:7", "reply [fd00::2]:7 > [fd00::1]:7"),
    ] {
        assert!(!wall.comes(answer), "{answer} before");
        assert!(wall.leaves(ask), "{ask}");
        assert!(wall.comes(answer) && wall.comes(answer), "{answer}");
        assert!(wall.leaves(ask), "{ask} again");
    }
    assert_eq!((wall.sessions(), wall.drops(Reason::AclDeny)), (5, 5));
    assert!(!wall.comes("udp 10.0.0.2:54 > 10.0.0.1:5"), "another port");
    assert!(wall.comes("tcp.syn 10.0.0.2:9 > 10.0.0.1:80"), "what is permitted begins a flow");
    assert!(wall.leaves("tcp.syn.ack 10.0.0.1:80 > 10.0.0.2:9"));
    assert_eq!(wall.sessions(), 6);
}

#[test]
fn flows_end_when_they_are_not_used() {
    let mut wall = host();
    let SessionTimeouts { udp, tcp_transitory, tcp_established, .. } = SessionTimeouts::default();
    let (ask, answer) = ("udp 10.0.0.1:5 > 10.0.0.2:53", "udp 10.0.0.2:53 > 10.0.0.1:5");
    assert!(wall.leaves(ask));
    wall.pass(udp);
    assert!(wall.comes(answer), "the last second");
    wall.pass(udp + 1);
    assert!(!wall.comes(answer));
    let (syn, back) = ("tcp.syn 10.0.0.1:5 > 10.0.0.2:53", "tcp.ack 10.0.0.2:53 > 10.0.0.1:5");
    assert!(wall.leaves(syn));
    wall.pass(tcp_transitory + 1);
    assert!(!wall.comes(back), "no handshake");
    assert!(wall.leaves(syn) && wall.comes("tcp.syn.ack 10.0.0.2:53 > 10.0.0.1:5"));
    assert!(wall.leaves("tcp.ack 10.0.0.1:5 > 10.0.0.2:53"));
    wall.pass(tcp_established);
    assert!(wall.comes(back));
    assert!(wall.comes("tcp.rst 10.0.0.2:53 > 10.0.0.1:5"));
    wall.pass(tcp_transitory + 1);
    assert!(!wall.comes(back), "it was reset");
    assert_eq!(wall.sessions(), 0);
}

#[test]
fn a_connection_is_found_in_the_middle_and_a_reset_begins_none() {
    let mut wall = host();
    assert!(wall.leaves("tcp.rst 10.0.0.1:5 > 10.0.0.2:53"));
    assert_eq!(wall.sessions(), 0);
    assert!(wall.leaves("tcp.ack 10.0.0.1:5 > 10.0.0.2:53"));
    assert!(wall.comes("tcp.ack 10.0.0.2:53 > 10.0.0.1:5"));
    assert!(wall.comes("tcp.ack 10.0.0.2:9 > 10.0.0.1:80"), "by rule");
}

#[test]
fn flows_are_held_against_a_new_policy() {
    let open = || policy(Vec::new(), Verdict::Permit, true);
    let shut = || policy(vec![to_port(Verdict::Deny, 17, 53)], Verdict::Permit, true);
    let none = || Some(policy(Vec::new(), Verdict::Deny, true));
    let mut wall = Wall::new(Some(open()), none());
    for port in [53, 54] {
        assert!(wall.leaves(&format!("udp 10.0.0.1:5 > 10.0.0.2:{port}")));
        assert!(wall.comes(&format!("udp 10.0.0.2:{port} > 10.0.0.1:5")));
    }
    assert!(wall.leaves("echo 10.0.0.1:7 > 10.0.0.2:7"));
    wall.set(Some(shut()), none());
    assert!(!wall.comes("udp 10.0.0.2:53 > 10.0.0.1:5"), "an answer shows it too");
    assert!(!wall.leaves("udp 10.0.0.1:5 > 10.0.0.2:53"));
    assert!(wall.comes("udp 10.0.0.2:54 > 10.0.0.1:5") && wall.leaves("udp 10.0.0.1:5 > 10.0.0.2:54"));
    assert!(wall.comes("reply 10.0.0.2:7 > 10.0.0.1:7"));
    assert_eq!((wall.sessions(), wall.flows().v4()[0].counters.flushed.get()), (2, 1));
    // A rule that does more is met by all further packets.
    let mut marked = rule("mark", Verdict::Permit, |_| ());
    marked.dscp = Some(8);
    wall.set(Some(policy(vec![marked], Verdict::Permit, true)), none());
    assert!(wall.comes("udp 10.0.0.2:54 > 10.0.0.1:5"));
    for _ in 0..2 {
        let (_, frame) = wall.sends("udp 10.0.0.1:5 > 10.0.0.2:54").pop().expect("it arrives");
        assert_eq!(frame[15], 8 << 2);
    }
}

#[test]
fn a_new_identity_ends_what_was_the_old_one_s() {
    let friends = |m: &mut MatchSpec| m.peer = Some(Arc::new([5].into()));
    let spec = || Some(policy(vec![rule("friends", Verdict::Permit, friends)], Verdict::Deny, true));
    let mut wall = Wall::new(None, None);
    wall.group(&[("10.0.0.2/32", 5)]);
    wall.set(None, spec());
    assert!(wall.comes("udp 10.0.0.2:5 > 10.0.0.1:6"));
    assert!(!wall.comes("udp 10.0.0.3:5 > 10.0.0.1:6"));
    wall.group(&[("10.0.0.3/32", 5), ("10.0.0.2/32", 6)]);
    wall.set(None, spec());
    assert!(!wall.comes("udp 10.0.0.2:5 > 10.0.0.1:6"));
    assert!(wall.comes("udp 10.0.0.3:5 > 10.0.0.1:6"));
}

#[test]
fn a_flood_does_not_end_what_both_sides_use() {
    let mut wall = host();
    assert!(wall.leaves("udp 10.0.0.1:5 > 10.0.0.2:53") && wall.comes("udp 10.0.0.2:53 > 10.0.0.1:5"));
    for port in 1000..2000 {
        assert!(wall.comes(&format!("tcp.syn 10.0.0.2:{port} > 10.0.0.1:80")));
    }
    assert_eq!((wall.sessions(), wall.flows().v4()[0].counters.reclaimed.get()), (64, 937));
    assert!(wall.comes("udp 10.0.0.2:53 > 10.0.0.1:5"));
    // With nothing but those there is no room.
    for port in 1000..1063 {
        assert!(wall.leaves(&format!("udp 10.0.0.1:{port} > 10.0.0.2:53")), "{port}");
        assert!(wall.comes(&format!("udp 10.0.0.2:53 > 10.0.0.1:{port}")), "{port}");
    }
    assert!(!wall.leaves("udp 10.0.0.1:9 > 10.0.0.2:53"));
    assert_eq!(wall.drops(Reason::AclTableFull), 1);
}

/// Parts of a packet: bytes from the start of the payload on.
fn parts(text: &str) -> [Vec<u8>; 2] {
    let whole = packet(text);
    let cut = |from: usize, to: usize, more: u16| {
        let mut part = [&whole[..34], &whole[34 + from..34 + to]].concat();
        part[16..18].copy_from_slice(&((20 + to - from) as u16).to_be_bytes());
        part[18..20].copy_from_slice(&[7, 7]);
        part[20..22].copy_from_slice(&(more | (from as u16 / 8)).to_be_bytes());
        paceline_wire::ipv4::fill_checksum(&mut part[14..34]);
        part
    };
    [cut(0, 16, 0x2000), cut(16, whole.len() - 34, 0)]
}

#[test]
fn parts_follow_their_first() {
    for stateful in [false, true] {
        let input = policy(vec![to_port(Verdict::Permit, 17, 53)], Verdict::Deny, stateful);
        let mut wall = Wall::new(Some(input), None);
        let [first, later] = parts("udp 10.0.0.1:5 > 10.0.0.2:53");
        assert_eq!(wall.rig.ports(HOST, &later), [], "before the first");
        assert_eq!((wall.rig.ports(HOST, &first), wall.rig.ports(HOST, &later)), (vec![PEER], vec![PEER]));
        let [first, later] = parts("udp 10.0.0.1:5 > 10.0.0.2:54");
        assert_eq!((wall.rig.ports(HOST, &first), wall.rig.ports(HOST, &later)), (vec![], vec![]));
        assert_eq!((wall.drops(Reason::AclFragment), wall.drops(Reason::AclDeny)), (1, 2));
    }
}

#[test]
fn parts_of_an_echo_follow_their_first() {
    for stateful in [false, true] {
        let echoes = rule("echo", Verdict::Permit, |m| m.icmp = Some((8, None)));
        let mut wall = Wall::new(Some(policy(vec![echoes], Verdict::Deny, stateful)), None);
        for part in parts("echo 10.0.0.1:5 > 10.0.0.2:5") {
            assert_eq!(wall.rig.ports(HOST, &part), [PEER], "stateful: {stateful}");
        }
        for part in parts("reply 10.0.0.1:6 > 10.0.0.2:6") {
            assert_eq!(wall.rig.ports(HOST, &part), [], "stateful: {stateful}");
        }
    }
}

#[test]
fn errors_about_a_flow_pass_with_it() {
    let mut wall = host();
    let asked = packet("udp 10.0.0.1:5 > 10.0.0.2:53");
    let error = |about: &[u8]| {
        let mut frame = [&about[6..12], &about[..6], &about[12..14]].concat();
        let mut message = [0; 600];
        let problem = paceline_wire::icmpv4::Problem::PortUnreachable;
        let len = paceline_wire::icmpv4::write_error(&about[14..], problem, [10, 0, 0, 9], &mut message);
        frame.extend(&message[..len.expect("an error")]);
        frame
    };
    assert_eq!(wall.rig.ports(PEER, &error(&asked)), []);
    assert!(wall.leaves("udp 10.0.0.1:5 > 10.0.0.2:53"));
    assert_eq!(wall.rig.ports(PEER, &error(&asked)), [HOST]);
    assert_eq!(wall.rig.ports(PEER, &error(&packet("udp 10.0.0.1:6 > 10.0.0.2:53"))), []);
}

#[test]
fn errors_go_to_who_sent_what_they_quote() {
    use paceline_wire::{icmpv4, icmpv6, ipv4};
    let mut wall = host();
    let asked = ["udp 10.0.0.1:5 > 10.0.0.2:53", "udp [fd00::1]:5 > [fd00::2]:53"].map(packet);
    for sent in &asked {
        assert_eq!(wall.rig.ports(HOST, sent), [PEER]);
        let mut frame = [&sent[6..12], &sent[..6], &sent[12..14]].concat();
        let (mut message, ip) = ([0; 1300], &sent[14..]);
        let is_v4 = sent[12] == 8;
        let len = if is_v4 {
            icmpv4::write_error(ip, icmpv4::Problem::PortUnreachable, [10, 0, 0, 9], &mut message)
        } else {
            icmpv6::write_error(ip, icmpv6::Problem::PortUnreachable, &[0xfd; 16], &mut message)
        };
        frame.extend(&message[..len.expect("an error")]);
        assert_eq!(wall.rig.ports(PEER, &frame), [HOST]);
        // The last octet of the outer destination.
        if is_v4 {
            frame[33] = 7;
            ipv4::fill_checksum(&mut frame[14..34]);
        } else {
            frame[53] = 7;
        }
        assert_eq!(wall.rig.ports(PEER, &frame), [], "to another host");
    }
    assert_eq!(wall.drops(Reason::AclDeny), 2);
}

#[test]
fn flows_meet_at_their_worker() {
    let mut wall = host();
    wall.workers = 2;
    wall.set(None, Some(policy(vec![to_port(Verdict::Permit, 6, 80)], Verdict::Deny, true)));
    let mut owners = [0; 2];
    for (number, host) in (2..40).enumerate() {
        for (at_second, text) in [
            (number % 2 == 0, format!("udp 10.0.0.1:5 > 10.0.0.{host}:53")),
            (number % 3 == 0, format!("udp 10.0.0.{host}:53 > 10.0.0.1:5")),
        ] {
            wall.rig.at_second = at_second;
            let is_from_host = text.starts_with("udp 10.0.0.1:");
            let arrives = if is_from_host { wall.leaves(&text) } else { wall.comes(&text) };
            assert!(arrives, "{text}");
        }
        let [a, b] = [0, 1].map(|worker: usize| wall.flows().v4()[worker].sessions.len());
        owners = [a, b];
    }
    assert_eq!(owners.iter().sum::<usize>(), 38);
    assert!(owners.iter().all(|count| *count > 5), "{owners:?}");
    assert!(!wall.comes("udp 10.0.0.50:53 > 10.0.0.1:5"));
}

#[test]
fn packets_of_known_flows_that_are_handed_over_together_go_on_behind_the_policy() {
    let mut wall = host();
    wall.workers = 2;
    wall.set(None, Some(policy(vec![to_port(Verdict::Permit, 6, 80)], Verdict::Deny, true)));
    let (ask, answer) = ("udp 10.0.0.1:5 > 10.0.0.2:53", "udp 10.0.0.2:53 > 10.0.0.1:5");
    assert!(wall.leaves(ask) && wall.comes(answer));
    let (asks, answers) = (packet(ask), packet(answer));
    for at_second in [false, true] {
        wall.rig.at_second = at_second;
        for (from, to, frame) in [(HOST, PEER, &asks), (PEER, HOST, &answers)] {
            let out = wall.rig.send_all(from, &[(frame, None), (frame, None), (frame, None)]);
            let ports: Vec<u16> = out.iter().map(|(port, ..)| *port).collect();
            assert_eq!(ports, [to; 3]);
        }
    }
}

/// The host behind a trunk, as VLAN 10, with a policy for what it gets.
fn host_behind_a_trunk() -> Wall {
    let mut wall = Wall::new(None, None);
    wall.workers = 2;
    wall.set(None, Some(policy(Vec::new(), Verdict::Permit, true)));
    let filter = wall.rig.snapshot.interface(HOST).and_then(|i| i.filter.clone());
    trunk(&mut wall.rig, HOST, NO_DOMAIN, &[(10, 0)]);
    let vlan = wall.rig.snapshot.interface(HOST).and_then(|i| i.vlan.clone());
    let features =
        Features { vlan: true, acl_output: true, capabilities: Capabilities::ALL, ..Features::default() };
    wall.rig.interface(HOST, features, |i| (i.vlan, i.filter) = (vlan, filter));
    wall
}

#[test]
fn a_policy_that_is_gone_when_a_packet_comes_to_its_worker_takes_no_feature_along() {
    let sent = packet("udp 10.0.0.2:5 > 10.0.0.1:6");
    for at_second in [false, true] {
        let mut wall = host_behind_a_trunk();
        wall.rig.at_second = at_second;
        wall.rig.on_the_way = Some(|snapshot| {
            let host = snapshot.interfaces[HOST as usize].as_mut().expect("the host");
            host.output = host.output.iter().copied().filter(|hop| *hop != hop::ACL_OUTPUT).collect();
        });
        assert_eq!(wall.rig.send(PEER, &sent), [(HOST, tagged(&sent, 0x8100, 10))]);
    }
}

#[test]
fn a_packet_keeps_its_priority_on_the_way_to_its_worker() {
    let sent = packet("udp 10.0.0.2:5 > 10.0.0.1:6");
    for at_second in [false, true] {
        let mut wall = host_behind_a_trunk();
        trunk(&mut wall.rig, PEER, NO_DOMAIN, &[(20, 0)]);
        wall.rig.at_second = at_second;
        let out = wall.rig.send(PEER, &tagged(&sent, 0x8100, 0xb014));
        assert_eq!(out, [(HOST, tagged(&sent, 0x8100, 0xb00a))]);
    }
}
