//! Packets of a host behind a filtered interface of a bridge: a line says what is sent, and whether it arrives.

mod flows;
mod hostile;
mod link;
mod one_armed;
mod room;
mod rules;
mod tags;
mod ways;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use etherparse::PacketBuilder;
use paceline_graph::filter::{
    Filter, Flows, GroupTable, MatchSpec, Policy, PolicySpec, RuleSpec, SessionSpec, TierSpec, Verdict,
};
use paceline_graph::{Capabilities, Reason, SessionClock};

use crate::testing::Rig;
use crate::{Features, hop};

/// The interface with the filter, another one of the bridge, and one apart.
const HOST: u16 = 0;
const PEER: u16 = 1;
const OTHER: u16 = 2;

/// A bridge of two, and a clock to set.
struct Wall {
    rig: Rig,
    clock: Arc<AtomicU32>,
    session: SessionSpec,
    workers: usize,
    groups: Option<GroupTable>,
}

/// A policy of one tier.
fn policy(rules: Vec<RuleSpec>, default: Verdict, stateful: bool) -> PolicySpec {
    let tiers = vec![TierSpec { name: "main".into(), rules, default: Verdict::Pass }];
    PolicySpec { name: "wall".into(), tiers, default, stateful }
}

fn rule(name: &str, action: Verdict, edit: impl FnOnce(&mut MatchSpec)) -> RuleSpec {
    let mut rule = RuleSpec { name: name.into(), action, ..RuleSpec::default() };
    edit(&mut rule.matches);
    rule
}

/// A rule for TCP or UDP to a port.
fn to_port(action: Verdict, protocol: u8, port: u16) -> RuleSpec {
    rule("port", action, |m| {
        m.protocol = Some(protocol);
        m.destination_ports = Some(port..=port);
    })
}

impl Wall {
    /// Policies for what the host sends, and for what it gets.
    fn new(input: Option<PolicySpec>, output: Option<PolicySpec>) -> Wall {
        let mut wall = Wall {
            rig: Rig::bridge(2),
            clock: Arc::new(AtomicU32::new(1000)),
            session: SessionSpec { limit: 64, ..SessionSpec::default() },
            workers: 1,
            groups: None,
        };
        wall.rig.interface(
            OTHER,
            Features { capabilities: Capabilities::ALL, ..Features::default() },
            |_| (),
        );
        wall.set(input, output);
        wall
    }

    /// Goes over to other policies.
    fn set(&mut self, input: Option<PolicySpec>, output: Option<PolicySpec>) {
        let compile = |spec: PolicySpec| Arc::new(Policy::new(&spec, self.workers).expect("a policy"));
        let policies = [input.map(compile), output.map(compile)];
        let stateful = policies.iter().flatten().any(|policy| policy.stateful);
        let before = self.rig.snapshot.flows.take();
        let clock = SessionClock::Set(Arc::clone(&self.clock));
        let flows = Flows::new(self.session, self.workers, stateful, before.as_deref(), clock);
        self.rig.snapshot.flows = Some(Arc::new(flows.expect("memory")));
        let features = Features {
            acl_input: policies[0].is_some() || stateful,
            acl_output: policies[1].is_some() || stateful,
            capabilities: Capabilities::ALL,
            ..Features::default()
        };
        let groups = self.groups.as_ref().map(|table| Arc::clone(table.groups()));
        let targets = [("p2".into(), OTHER)].into();
        let filter = Filter { policies, stateful, groups, targets, ..Filter::default() };
        self.rig.interface(HOST, features, |interface| interface.filter = Some(Arc::new(filter)));
    }

    fn group(&mut self, entries: &[(&str, u32)]) {
        let mut table = GroupTable::new().expect("memory");
        let entries: BTreeMap<_, _> =
            entries.iter().map(|(net, id)| (net.parse().expect("a network"), *id)).collect();
        assert_eq!(table.set(&entries), Ok(!entries.is_empty()));
        self.groups = Some(table);
    }

    /// What comes out if the host sends something.
    fn sends(&mut self, text: &str) -> Vec<(u16, Vec<u8>)> {
        self.rig.send(HOST, &packet(text))
    }

    /// Whether what the host sends arrives.
    fn leaves(&mut self, text: &str) -> bool {
        let frame = packet(text);
        self.rig.send(HOST, &frame) == [(PEER, frame)]
    }

    /// Whether what is sent to the host arrives.
    fn comes(&mut self, text: &str) -> bool {
        let frame = packet(text);
        self.rig.send(PEER, &frame) == [(HOST, frame)]
    }

    fn drops(&self, reason: Reason) -> u64 {
        self.rig.drops(hop::ACL_INPUT, reason) + self.rig.drops(hop::ACL_OUTPUT, reason)
    }

    fn policy(&self, direction: usize) -> Arc<Policy> {
        let filter = self.rig.snapshot.interface(HOST).and_then(|i| i.filter.clone()).expect("a filter");
        Arc::clone(filter.policies[direction].as_ref().expect("a policy"))
    }

    fn flows(&self) -> &Flows {
        self.rig.snapshot.flows.as_deref().expect("flows")
    }

    fn sessions(&self) -> usize {
        let v4: usize = self.flows().v4().iter().map(|table| table.sessions.len()).sum();
        v4 + self.flows().v6().iter().map(|table| table.sessions.len()).sum::<usize>()
    }

    fn pass(&self, seconds: u32) {
        self.clock.fetch_add(seconds, Relaxed);
    }
}

/// A frame from a line: `udp 10.0.0.1:5 > 10.0.0.2:6`, `tcp.syn.ack [fd00::1]:5 > [fd00::2]:6`, `echo` or `reply` with the identifier
/// in place of ports. Hosts have the MAC address that ends as their IP address does.
fn packet(text: &str) -> Vec<u8> {
    let (kind, ends) = text.split_once(' ').expect("a kind");
    let (source, destination) = ends.split_once(" > ").expect("two ends");
    let end = |text: &str| text.parse::<SocketAddr>().unwrap_or_else(|_| panic!("{text} is no end"));
    let (source, destination) = (end(source), end(destination));
    let mac = |address: IpAddr| {
        let last = match address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        };
        [2, 0, 0, 0, 0, last]
    };
    let ethernet = PacketBuilder::ethernet2(mac(source.ip()), mac(destination.ip()));
    let ip = match (source.ip(), destination.ip()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => ethernet.ipv4(a.octets(), b.octets(), 9),
        (IpAddr::V6(a), IpAddr::V6(b)) => ethernet.ipv6(a.octets(), b.octets(), 9),
        _ => panic!("{text} mixes versions"),
    };
    let (from, to, is_v4) = (source.port(), destination.port(), source.is_ipv4());
    let mut words = kind.split('.');
    let mut frame = Vec::new();
    let data = [7; 30];
    match words.next() {
        Some("udp") => ip.udp(from, to).write(&mut frame, &data),
        Some("tcp") => {
            let mut tcp = ip.tcp(from, to, 100, 1000);
            for word in words {
                tcp = match word {
                    "syn" => tcp.syn(),
                    "ack" => tcp.ack(200),
                    "fin" => tcp.fin(),
                    "rst" => tcp.rst(),
                    _ => panic!("{word} is no flag"),
                };
            }
            tcp.write(&mut frame, &data)
        }
        Some("echo") if is_v4 => ip.icmpv4_echo_request(from, 1).write(&mut frame, &data),
        Some("echo") => ip.icmpv6_echo_request(from, 1).write(&mut frame, &data),
        Some("reply") if is_v4 => ip.icmpv4_echo_reply(from, 1).write(&mut frame, &data),
        Some("reply") => ip.icmpv6_echo_reply(from, 1).write(&mut frame, &data),
        _ => panic!("{kind} is no kind of packet"),
    }
    .expect("written");
    frame
}
