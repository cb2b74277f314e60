//! What rules look at, and what they do.

use paceline_graph::filter::PolicerSpec;
use paceline_wire::checksum::Sum;
use paceline_wire::ethernet::Mac;

use super::*;
use crate::testing::{frame, tagged, trunk};

fn deny(edit: impl FnOnce(&mut MatchSpec)) -> PolicySpec {
    policy(vec![rule("no", Verdict::Deny, edit)], Verdict::Permit, false)
}

fn net(text: &str) -> ipnet::IpNet {
    text.parse().expect("a network")
}

type Edit = Box<dyn Fn(&mut MatchSpec)>;

#[test]
fn each_field_is_looked_at() {
    let udp = "udp 10.0.0.1:5 > 10.0.0.2:6";
    let six = "udp [fd00::1]:5 > [fd00::2]:6";
    let syn = "tcp.syn 10.0.0.1:5 > 10.0.0.2:6";
    let mac = |n: u64, mask: u64| Some((Mac(0x0200_0000_0000 | n), Mac(mask)));
    let cases: Vec<(Edit, [&str; 2])> = vec![
        (Box::new(|m| m.ethertype = Some(0x0800)), [udp, six]),
        (Box::new(|m| m.ethertype = Some(0x86dd)), [six, udp]),
        (Box::new(|m| m.source = Some(net("10.0.0.0/31"))), [udp, "udp 10.0.0.3:5 > 10.0.0.2:6"]),
        (Box::new(|m| m.destination = Some(net("fd00::2/128"))), [six, "udp [fd00::1]:5 > [fd00::3]:6"]),
        (Box::new(|m| m.protocol = Some(17)), [udp, syn]),
        (
            Box::new(|m| (m.protocol, m.source_ports) = (Some(17), Some(1..=5))),
            [udp, "udp 10.0.0.1:6 > 10.0.0.2:6"],
        ),
        (Box::new(|m| (m.protocol, m.destination_ports) = (Some(6), Some(6..=9))), [syn, udp]),
        (
            Box::new(|m| m.icmp = Some((8, None))),
            ["echo 10.0.0.1:5 > 10.0.0.2:5", "reply 10.0.0.1:5 > 10.0.0.2:5"],
        ),
        (
            Box::new(|m| m.icmp = Some((128, Some(0)))),
            ["echo [fd00::1]:5 > [fd00::2]:5", "echo 10.0.0.1:5 > 10.0.0.2:5"],
        ),
        (Box::new(|m| m.tcp_flags = Some((0x12, 0x02))), [syn, "tcp.syn.ack 10.0.0.1:5 > 10.0.0.2:6"]),
        (Box::new(move |m| m.source_mac = mac(1, 0xffff_ffff_ffff)), [udp, "udp 10.0.0.3:5 > 10.0.0.2:6"]),
        (Box::new(move |m| m.destination_mac = mac(2, 0xff)), [udp, "udp 10.0.0.1:5 > 10.0.0.3:6"]),
        (Box::new(|m| m.peer = Some(Arc::new([7].into()))), [udp, "udp 10.0.0.1:5 > 10.0.0.3:6"]),
        (Box::new(|m| m.peer = Some(Arc::new([0, 9].into()))), ["udp 10.0.0.1:5 > 10.0.0.3:6", udp]),
    ];
    for (number, (edit, [hit, miss])) in cases.into_iter().enumerate() {
        let mut wall = Wall::new(None, None);
        wall.group(&[("10.0.0.2/32", 7), ("10.0.0.0/30", 9), ("10.0.0.3/32", 9), ("fd00::2/128", 7)]);
        if number == 13 {
            wall.group(&[("10.0.0.2/32", 7)]);
        }
        wall.set(Some(deny(edit)), None);
        assert!(!wall.leaves(hit) && wall.leaves(miss), "case {number}: {hit}, {miss}");
        assert_eq!((wall.drops(Reason::AclDeny), wall.policy(0).counts(0).0), (1, 1), "case {number}");
    }
}

#[test]
fn what_leaves_meets_the_other_policy() {
    let mut wall = Wall::new(None, Some(deny(|m| m.source = Some(net("10.0.0.2/32")))));
    assert!(wall.leaves("udp 10.0.0.2:5 > 10.0.0.1:6"));
    assert!(!wall.comes("udp 10.0.0.2:5 > 10.0.0.1:6"));
    assert!(wall.comes("udp 10.0.0.3:5 > 10.0.0.1:6"));
    assert_eq!(wall.rig.drops(hop::ACL_OUTPUT, Reason::AclDeny), 1);
    let (packets, bytes) = wall.policy(1).counts(0);
    assert_eq!((packets, bytes as usize), (1, packet("udp 10.0.0.2:5 > 10.0.0.1:6").len()));
    // The end of the policy counts the rest.
    assert_eq!(wall.policy(1).counts(2).0, 1);
}

#[test]
fn tiers_are_asked_in_turn() {
    let tier = |name: &str, rules, default| TierSpec { name: name.into(), rules, default };
    let spec = |second_default| {
        let first = vec![
            to_port(Verdict::Pass, 17, 1),
            to_port(Verdict::Permit, 17, 2),
            to_port(Verdict::Deny, 17, 3),
        ];
        let second = vec![
            to_port(Verdict::Deny, 17, 1),
            to_port(Verdict::Deny, 17, 2),
            to_port(Verdict::Permit, 17, 4),
        ];
        let tiers = vec![tier("first", first, Verdict::Pass), tier("second", second, second_default)];
        Some(PolicySpec { name: "tiers".into(), tiers, default: Verdict::Permit, stateful: false })
    };
    let arrive = |default| {
        let mut wall = Wall::new(spec(default), None);
        let sent = (1..=5).map(|port| wall.leaves(&format!("udp 10.0.0.1:9 > 10.0.0.2:{port}")));
        sent.collect::<Vec<_>>()
    };
    assert_eq!(arrive(Verdict::Pass), [false, true, false, true, true]);
    assert_eq!(arrive(Verdict::Deny), [false, true, false, true, false]);
}

#[test]
fn a_link_works_whatever_its_policy_and_other_protocols_have_rules_of_their_own() {
    let nothing = || Some(policy(Vec::new(), Verdict::Deny, true));
    let mut wall = Wall::new(nothing(), nothing());
    assert!(!wall.leaves("udp 10.0.0.1:5 > 10.0.0.2:6"));
    let mut arp = frame(1, 255, 64);
    arp[12..14].copy_from_slice(&[8, 6]);
    let mut solicitation = packet("echo [fd00::1]:5 > [fd00::2]:5");
    (solicitation[21], solicitation[54]) = (255, 135);
    for fine in [&frame(1, 255, 64), &arp, &solicitation] {
        assert_eq!(wall.rig.ports(HOST, fine), [PEER]);
    }
    solicitation[21] = 254;
    assert_eq!(wall.rig.ports(HOST, &solicitation), [], "it may come from elsewhere");
    wall.set(Some(deny(|m| m.ethertype = Some(0x88b5))), None);
    assert_eq!((wall.rig.ports(HOST, &frame(1, 255, 64)), wall.rig.ports(HOST, &arp)), (vec![], vec![PEER]));
    wall.set(Some(deny(|m| m.source_mac = Some((Mac(0x0200_0000_0001), Mac(u64::MAX))))), None);
    assert_eq!((wall.rig.ports(HOST, &arp), wall.rig.ports(HOST, &frame(3, 255, 64))), (vec![], vec![PEER]));
}

#[test]
fn a_vlan_is_looked_at_behind_its_tag() {
    let mut wall = Wall::new(None, None);
    let [ten, twenty] = [10, 20].map(|vlan| {
        let domain = wall.rig.domain("vlan", vec![HOST, PEER]);
        wall.rig.snapshot.bridges[domain as usize].vlan = vlan;
        domain
    });
    let filter = {
        wall.set(Some(deny(|m| m.vlan = Some(10))), None);
        wall.rig.snapshot.interface(HOST).and_then(|i| i.filter.clone())
    };
    trunk(&mut wall.rig, PEER, 0, &[(10, ten), (20, twenty)]);
    let features =
        Features { vlan: true, acl_input: true, capabilities: Capabilities::ALL, ..Features::default() };
    let vlan = wall.rig.snapshot.interface(PEER).and_then(|i| i.vlan.clone());
    wall.rig.interface(HOST, features, |i| (i.vlan, i.filter) = (vlan, filter));
    for bytes in [packet("udp 10.0.0.1:5 > 10.0.0.2:6"), frame(1, 255, 64)] {
        assert_eq!(wall.rig.ports(HOST, &tagged(&bytes, 0x8100, 10)), []);
        assert_eq!(wall.rig.ports(HOST, &tagged(&bytes, 0x8100, 20)), [PEER]);
    }
}

#[test]
fn a_tag_without_a_vlan_hides_nothing() {
    let (fine, denied) = (packet("udp 10.0.0.1:5 > 10.0.0.2:6"), packet("udp 10.0.0.1:5 > 10.0.0.2:53"));
    let six = packet("udp [fd00::1]:5 > [fd00::2]:53");
    for (stateful, from_host) in [(false, true), (false, false), (true, true), (true, false)] {
        let spec = || policy(vec![to_port(Verdict::Deny, 17, 53)], Verdict::Permit, stateful);
        let mut wall = if from_host { Wall::new(Some(spec()), None) } else { Wall::new(None, Some(spec())) };
        let (sender, receiver) = if from_host { (HOST, PEER) } else { (PEER, HOST) };
        for tpid in [0x8100, 0x88a8] {
            let tag = |frame: &[u8], tags| (0..tags).fold(frame.to_vec(), |f, _| tagged(&f, tpid, 0xe000));
            for tags in 0..3 {
                assert_eq!(wall.rig.send(sender, &tag(&fine, tags)), [(receiver, fine.clone())], "{tags}");
                assert_eq!(wall.rig.send(sender, &tag(&denied, tags)), [], "{tags}");
                assert_eq!(wall.rig.send(sender, &tag(&six, tags)), [], "{tags}");
            }
            assert_eq!(wall.rig.send(sender, &tag(&fine, 3)), []);
            let whole = tagged(&tag(&fine, 0), 0x8100, 7);
            assert_eq!(wall.rig.send(sender, &tag(&whole, 1)), [(receiver, whole)], "another network's");
            for len in 0..tag(&denied, 2).len() {
                wall.rig.send(sender, &tag(&denied, 2)[..len]);
            }
        }
        assert_eq!(wall.drops(Reason::AclUnreadable), 2);
    }
}

#[test]
fn nobody_answers_for_a_station_that_is_elsewhere() {
    let mut wall = Wall::new(None, Some(policy(Vec::new(), Verdict::Reject, false)));
    let host = |wall: &Wall| {
        let macs = wall.rig.snapshot.bridges[0].macs.reader();
        macs.lookup(0x0200_0000_0002, macs.hash(0x0200_0000_0002))
    };
    for text in ["udp 10.0.0.1:5 > 10.0.0.2:6", "tcp.syn [fd00::1]:5 > [fd00::2]:6"] {
        assert_eq!(wall.rig.send(PEER, &packet(text)), [], "{text}");
        assert_eq!(host(&wall), None, "{text}");
    }
    assert_eq!(wall.rig.drops(hop::REJECT, Reason::AclReject), 2);
}

#[test]
fn who_is_refused_is_told() {
    let reject = || Some(policy(vec![rule("no", Verdict::Reject, |_| ())], Verdict::Permit, false));
    for from_host in [true, false] {
        let mut wall = if from_host { Wall::new(reject(), None) } else { Wall::new(None, reject()) };
        let sender = if from_host { HOST } else { PEER };
        if !from_host {
            wall.rig.snapshot.bridges[0].macs.insert_static(0x0200_0000_0002, HOST);
        }
        for (text, is_tcp) in [
            ("tcp.syn 10.0.0.1:5 > 10.0.0.2:6", true),
            ("udp 10.0.0.1:5 > 10.0.0.2:6", false),
            ("tcp.syn [fd00::1]:5 > [fd00::2]:6", true),
            ("udp [fd00::1]:5 > [fd00::2]:6", false),
        ] {
            let sent = packet(text);
            // The bridge is to know where the sender is.
            let mut known = wall.rig.send(sender, &sent);
            let (port, answer) = known.pop().expect("an answer");
            assert_eq!((port, known.len()), (sender, 0), "{text}");
            assert_eq!((&answer[..6], &answer[6..12]), (&sent[6..12], &sent[..6]));
            let (protocol, l4, pseudo) = if sent[12] == 8 {
                assert_eq!((&answer[26..30], &answer[30..34]), (&sent[30..34], &sent[26..30]));
                (answer[23], 34, paceline_wire::checksum::pseudo_v4([10, 0, 0, 2], [10, 0, 0, 1], 6, 20))
            } else {
                assert_eq!((&answer[22..38], &answer[38..54]), (&sent[38..54], &sent[22..38]));
                let len = (answer.len() - 54) as u32;
                let address = |at: usize| answer[at..at + 16].try_into().expect("an address");
                (
                    answer[20],
                    54,
                    paceline_wire::checksum::pseudo_v6(&address(22), &address(38), answer[20], len),
                )
            };
            let mut sum = if protocol == 1 { Sum::default() } else { pseudo };
            sum.add(&answer[l4..]);
            assert_eq!(sum.finish(), 0, "{text}");
            if is_tcp {
                assert_eq!((protocol, answer[l4 + 13]), (6, 0x14), "{text}");
            } else {
                let unreachable = if protocol == 1 { [3, 13] } else { [1, 1] };
                assert_eq!(answer[l4..l4 + 2], unreachable, "{text}");
            }
        }
        assert_eq!(wall.rig.drops(hop::REJECT, Reason::AclReject), 4);
        // Neither a reset nor an error is answered.
        assert_eq!(wall.rig.send(sender, &packet("tcp.rst 10.0.0.1:5 > 10.0.0.2:6")), []);
        // A flood is not answered for long.
        let syn = packet("tcp.syn 10.0.0.1:5 > 10.0.0.2:6");
        let answers: usize = (0..5000).map(|_| wall.rig.send(sender, &syn).len()).sum();
        assert!(answers < 5000, "{answers}");
    }
}

#[test]
fn rules_do_more_than_permit() {
    let udp = "udp 10.0.0.1:5 > 10.0.0.2:6";
    let permit = |edit: fn(&mut RuleSpec)| {
        let mut rule = rule("yes", Verdict::Permit, |_| ());
        edit(&mut rule);
        move |stateful| Some(policy(vec![rule.clone()], Verdict::Deny, stateful))
    };
    for stateful in [false, true] {
        let mut wall = Wall::new(permit(|rule| rule.dscp = Some(46))(stateful), None);
        for text in [udp, "udp [fd00::1]:5 > [fd00::2]:6", udp] {
            let (port, marked) = wall.sends(text).pop().expect("it arrives");
            let class = if marked[12] == 8 { marked[15] } else { marked[14] << 4 | marked[15] >> 4 };
            assert_eq!((port, class), (PEER, 46 << 2), "{text}");
            if marked[12] == 8 {
                assert_eq!(Sum::of(&marked[14..34]).finish(), 0);
            }
        }
        wall.set(permit(|rule| rule.mirror = Some("p2".into()))(stateful), None);
        for _ in 0..2 {
            assert_eq!(wall.sends(udp), [(PEER, packet(udp)), (OTHER, packet(udp))]);
        }
        wall.set(permit(|rule| rule.redirect = Some("p2".into()))(stateful), None);
        for _ in 0..2 {
            assert_eq!(wall.sends(udp), [(OTHER, packet(udp))]);
        }
        wall.set(permit(|rule| rule.redirect = Some("gone".into()))(stateful), None);
        assert_eq!((wall.sends(udp), wall.drops(Reason::NoPort)), (vec![], 1));
        let slow = |rule: &mut RuleSpec| rule.police = Some(PolicerSpec { rate: 8000, burst: 1514 });
        wall.set(permit(slow)(stateful), None);
        let passed = (0..40).filter(|_| wall.leaves(udp)).count();
        // 72 bytes each; what flows in meanwhile is for a few.
        assert!((21..=39).contains(&passed), "{passed}");
        assert_eq!(wall.drops(Reason::Policed), 40 - passed as u64);
    }
}

#[test]
fn events_are_told_and_a_flood_of_them_is_not() {
    let mut deny = rule("told", Verdict::Deny, |_| ());
    deny.log = true;
    let mut wall = Wall::new(Some(policy(vec![deny], Verdict::Permit, false)), None);
    assert!(!wall.leaves("udp 10.0.0.1:5 > 10.0.0.2:6"));
    let log = Arc::clone(&wall.flows().log);
    let event = log.events.pop().expect("an event");
    assert_eq!((event.interface, event.outbound, event.verdict, event.rule), (HOST, false, Verdict::Deny, 0));
    assert_eq!((event.source.1, event.destination.1, event.protocol), (5, 6, 17));
    assert_eq!(&*event.policy.rules()[0].name, "told");
    for _ in 0..5000 {
        wall.sends("udp 10.0.0.1:5 > 10.0.0.2:6");
    }
    assert_eq!(log.events.len() as u64 + log.lost.load(Relaxed), 5000);
    assert!(log.lost.load(Relaxed) > 0);
}

#[test]
fn a_trace_names_the_rule() {
    let mut wall = Wall::new(Some(policy(vec![to_port(Verdict::Deny, 17, 6)], Verdict::Permit, false)), None);
    wall.rig.graph.trace().add(2, None);
    wall.sends("udp 10.0.0.1:5 > 10.0.0.2:6");
    wall.sends("udp 10.0.0.1:5 > 10.0.0.2:7");
    let records = wall.rig.graph.trace().records();
    let wanted = "acl-input: policy wall, tier main, rule port: deny\nacl-input: dropped: acl-deny\n";
    assert!(records[0].text.ends_with(wanted), "{}", records[0].text);
    assert!(records[1].text.contains("acl-input: policy wall: permit by default\n"), "{}", records[1].text);
}

#[test]
fn a_filter_that_is_gone_lets_pass() {
    let mut wall = Wall::new(Some(deny(|_| ())), None);
    assert!(!wall.leaves("udp 10.0.0.1:5 > 10.0.0.2:6"));
    wall.rig.snapshot.flows = None;
    assert!(wall.leaves("udp 10.0.0.1:5 > 10.0.0.2:6"));
}
