//! Filters through the engine: policies change under load, flows go on, identities move.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use ipnet::IpNet;
use paceline_graph::filter::FilterError;

use super::*;
use crate::spec::{FilterSpec, MatchSpec, PolicySpec, RuleSpec, TierSpec, Verdict};

/// A UDP datagram between hosts 10.0.0.n.
fn datagram(source: u8, destination: u8, ports: (u16, u16)) -> Vec<u8> {
    let mac = |n| [2, 0, 0, 0, 0, n];
    let builder = etherparse::PacketBuilder::ethernet2(mac(source), mac(destination));
    let builder = builder.ipv4([10, 0, 0, source], [10, 0, 0, destination], 9).udp(ports.0, ports.1);
    let mut frame = Vec::new();
    builder.write(&mut frame, &[9; 30]).expect("written");
    frame
}

fn policy(name: &str, rules: Vec<RuleSpec>, default: Verdict) -> Arc<PolicySpec> {
    let tiers = vec![TierSpec { name: "main".into(), rules, default: Verdict::Pass }];
    Arc::new(PolicySpec { name: name.into(), tiers, default, stateful: true })
}

fn rule(name: &str, action: Verdict, port: u16) -> RuleSpec {
    let matches =
        MatchSpec { protocol: Some(17), destination_ports: Some(port..=port), ..MatchSpec::default() };
    RuleSpec { name: name.into(), action, matches, ..RuleSpec::default() }
}

fn filtered(output: impl Into<Option<Arc<PolicySpec>>>) -> Topology {
    let filter = FilterSpec { output: output.into(), groups: Some("br".into()), ..FilterSpec::default() };
    let mut topology = topology(&["a", "b"]);
    topology.filters.insert("a".into(), filter);
    topology.groups.insert("br".into(), Arc::default());
    topology
}

#[test]
fn a_policy_is_replaced_and_flows_that_it_permits_go_on() {
    for workers in [1, 2] {
        let mut engine = engine(workers, Mode::Adaptive);
        let [a, b] = ["a", "b"].map(|name| attach(&mut engine, name));
        let open = policy(
            "p",
            vec![rule("one", Verdict::Permit, 1), rule("two", Verdict::Permit, 2)],
            Verdict::Deny,
        );
        engine.configure(filtered(open)).expect("configured");
        for port in [1, 2, 3] {
            b.send(&datagram(2, 1, (9, port)));
        }
        for port in [1, 2] {
            assert!(arrives(&a, &datagram(2, 1, (9, port))));
            a.send(&datagram(1, 2, (port, 9)));
            assert!(arrives(&b, &datagram(1, 2, (port, 9))));
        }
        let one = vec![rule("one", Verdict::Permit, 1)];
        engine.configure(filtered(policy("p", one, Verdict::Deny))).expect("configured");
        for port in [2, 1] {
            b.send(&datagram(2, 1, (9, port)));
        }
        assert!(arrives(&a, &datagram(2, 1, (9, 1))), "the forbidden one does not come before it");
        let view = engine.filters().into_iter().next().expect("a filter");
        assert_eq!((view.interface.as_str(), view.direction, view.policy.as_str()), ("a", "output", "p"));
        let counts: Vec<_> = view.rules.iter().map(|rule| (rule.name.as_str(), rule.packets)).collect();
        // The first rule counts flows, the other ones what was denied before and after.
        assert_eq!(counts[0], ("one", 1), "{counts:?}");
        assert_eq!(counts[2], ("default", 2), "{counts:?}");
        assert_eq!(engine.flows()[0].sessions, 1);
        let session = &engine.flow_sessions()[0];
        assert_eq!((session.source.as_str(), session.destination.as_str()), ("10.0.0.2:9", "10.0.0.1:1"));
        assert_eq!(
            (session.interface.as_str(), session.direction, session.state),
            ("a", "output", "answered")
        );
        full_again(engine);
    }
}

/// One network with an identity.
fn identity(net: &str, number: u32) -> Arc<BTreeMap<IpNet, u32>> {
    Arc::new(BTreeMap::from([(net.parse().expect("a network"), number)]))
}

#[test]
fn nothing_is_lost_while_policies_and_identities_change() {
    let mut engine = engine(1, Mode::Adaptive);
    let [a, b] = ["a", "b"].map(|name| attach(&mut engine, name));
    let friends = |number: u32| {
        // Numbers of identities move, and rules with them.
        let own = 7 + number % 2;
        let matches = MatchSpec { peer: Some(Arc::new([own].into())), ..MatchSpec::default() };
        let mut rules: Vec<RuleSpec> = (0..200).map(|n| rule("other", Verdict::Deny, 1000 + n)).collect();
        rules.push(RuleSpec {
            name: "friends".into(),
            action: Verdict::Permit,
            matches,
            ..RuleSpec::default()
        });
        let mut topology = filtered(policy(&format!("p{number}"), rules, Verdict::Deny));
        let group = Arc::make_mut(topology.groups.get_mut("br").expect("it is there"));
        group.insert("10.0.0.2/32".parse().expect("a network"), own);
        group.insert(format!("10.9.0.{}/32", number % 250).parse().expect("a network"), 7 + number % 3);
        topology
    };
    engine.configure(friends(0)).expect("configured");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = 0_u16;
            while !done.load(Relaxed) || sent < 1000 {
                let frame = datagram(2, 1, (sent, 5));
                b.send(&frame);
                assert!(arrives(&a, &frame), "packet {sent}");
                sent = sent.wrapping_add(1).max(1);
            }
        });
        for number in 1..60 {
            engine.configure(friends(number)).expect("configured");
        }
        done.store(true, Relaxed);
        sender.join().expect("nothing was lost");
    });
    assert_eq!(engine.drops().iter().map(|drop| drop.packets).sum::<u64>(), 0);
    // Who is no friend any more does not come in, not even by a flow that was begun.
    let mut topology = friends(60);
    topology.groups.insert("br".into(), identity("10.0.0.3/32", 7));
    engine.configure(topology).expect("configured");
    b.send(&datagram(2, 1, (1, 5)));
    b.send(&datagram(3, 1, (1, 5)));
    assert!(arrives(&a, &datagram(3, 1, (1, 5))));
    full_again(engine);
}

#[test]
fn what_cannot_be_changes_nothing() {
    let mut engine = engine(1, Mode::Adaptive);
    let [a, b] = ["a", "b"].map(|name| attach(&mut engine, name));
    engine
        .configure(filtered(policy("p", vec![rule("no", Verdict::Deny, 5)], Verdict::Permit)))
        .expect("configured");
    let mut ports = rule("wrong", Verdict::Permit, 1);
    ports.matches.protocol = None;
    let wrong = |topology: Topology, engine: &mut Engine| match engine.configure(topology) {
        Err(EngineError::Filter(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let text = wrong(filtered(policy("p", vec![ports], Verdict::Permit)), &mut engine);
    assert_eq!(
        text,
        "policy p: rule wrong of tier main names ports, and no protocol that has any: TCP, UDP, UDP-Lite, DCCP or SCTP"
    );
    let mut topology = filtered(None);
    topology.groups.clear();
    let error = FilterError::at("a", "there are no groups br".into());
    assert_eq!(wrong(topology, &mut engine), error.to_string());
    let mut topology = filtered(None);
    topology.groups.insert("br".into(), identity("10.0.0.3/32", 0));
    assert_eq!(wrong(topology, &mut engine), "filters: the value of a route is 1 to 16777215, not 0");
    b.send(&datagram(2, 1, (1, 5)));
    b.send(&datagram(2, 1, (1, 6)));
    assert!(arrives(&a, &datagram(2, 1, (1, 6))));
    full_again(engine);
}

#[test]
fn flows_of_an_interface_are_not_those_of_the_next_one_with_its_number() {
    for workers in [1, 2] {
        let mut engine = engine(workers, Mode::Adaptive);
        let [a, b] = ["a", "b"].map(|name| attach(&mut engine, name));
        // What a host begins goes out and is answered; of what comes in otherwise, port 7 alone.
        let mut topology = filtered(policy("p", vec![rule("open", Verdict::Permit, 7)], Verdict::Deny));
        let filter = topology.filters.get_mut("a").expect("there");
        filter.input = Some(policy("all", Vec::new(), Verdict::Permit));
        engine.configure(topology.clone()).expect("configured");
        a.send(&datagram(1, 2, (5, 9)));
        assert!(arrives(&b, &datagram(1, 2, (5, 9))));
        b.send(&datagram(2, 1, (9, 5)));
        assert!(arrives(&a, &datagram(2, 1, (9, 5))), "an answer");
        // Another host, with the same names, numbers, addresses and filters.
        engine.detach("a").expect("detached");
        let a = attach(&mut engine, "a");
        engine.configure(topology).expect("configured");
        b.send(&datagram(2, 1, (9, 5)));
        b.send(&datagram(2, 1, (9, 7)));
        assert!(arrives(&a, &datagram(2, 1, (9, 7))), "it did not ask for the one before");
        // It begins the same flow itself.
        a.send(&datagram(1, 2, (5, 9)));
        assert!(arrives(&b, &datagram(1, 2, (5, 9))));
        b.send(&datagram(2, 1, (9, 5)));
        assert!(arrives(&a, &datagram(2, 1, (9, 5))), "an answer");
        full_again(engine);
    }
}

#[test]
fn flows_are_held_against_the_rules_again_when_their_interface_is_elsewhere() {
    let mut engine = engine(1, Mode::Adaptive);
    let _peers = ["a", "b"].map(|name| attach(&mut engine, name));
    let before = filtered(policy("p", Vec::new(), Verdict::Permit));
    engine.configure(before.clone()).expect("configured");
    let generation = |engine: &Engine| engine.filtering.flows().map(|flows| flows.generation);
    let first = generation(&engine);
    engine.configure(before.clone()).expect("configured");
    assert_eq!(generation(&engine), first, "nothing has changed");
    let mut apart = before;
    let bridge = apart.bridges.remove("br").expect("there");
    apart.bridges.insert("other".into(), bridge);
    engine.configure(apart).expect("configured");
    assert_ne!(generation(&engine), first);
    full_again(engine);
}
