//! `acl`: generator → `acl-input` → routing node → null port, with policies of any size.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use paceline_graph::filter::{
    Filter, Flows, MatchSpec, Policy, PolicySpec, RuleSpec, SessionSpec, TierSpec, Verdict, scope,
};
use paceline_graph::{Adjacencies, IpVersion, Link, SessionClass, SessionClock, Vrf};
use paceline_ports::{Addresses, GeneratorConfig, Sizes, Span, StreamConfig};
use paceline_tables::{Rib4, Rib6, State, Tuple};
use paceline_wire::ethernet::Mac;
use serde_json::json;

use crate::measure::{Method, measure};
use crate::rig::{Filtered, Rig, Routing, SINK, SOURCE};
use crate::{BenchError, Report, within};

/// Parameters of the scenario.
#[derive(Clone, Copy, Debug)]
pub struct AclRules {
    /// Rules that permit, each a network of its own, 1 to 60 000; all else is denied.
    pub rules: u32,
    /// Whether rules look at different fields, by twelve masks; else all look at the same.
    pub mixed: bool,
    /// Whether flows are remembered; then all are before the first packet.
    pub stateful: bool,
    /// Destinations, drawn from the rules by chance: 1 to 1 000 000.
    pub flows: u32,
    /// Bytes of a frame without its checksum, 64 to 1514.
    pub size: u16,
}

/// Where packets come from, and their ports.
const SENDER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const SENDER_PORT: u16 = 49_152;
const PORT: u16 = 9;
/// UDP.
const PROTOCOL: u8 = 17;
/// The same rules and flows every time.
const SEED: u64 = 7;

/// Runs the scenario.
///
/// # Errors
/// A parameter out of range, no memory, or packets that were lost on the way.
pub fn acl(params: AclRules, method: Method) -> Result<Report, BenchError> {
    within("rules", params.rules.into(), 1, 60_000)?;
    within("flows", params.flows.into(), 1, 1_000_000)?;
    within("size", params.size.into(), 64, 1514)?;
    let mut rng = fastrand::Rng::with_seed(SEED);
    let spec = policy(params.rules, params.mixed, params.stateful);
    let policy = Arc::new(Policy::new(&spec, 1)?);
    let destinations: Vec<Ipv4Addr> = (0..params.flows).map(|_| destination(&spec, &mut rng)).collect();
    let sessions = SessionSpec { limit: params.flows.max(1 << 16), ..SessionSpec::default() };
    let flows = Arc::new(Flows::new(sessions, 1, params.stateful, None, SessionClock::default())?);
    fill(&flows, destinations.clone(), &mut rng)?;
    let (mut rib4, rib6) = (Rib4::new()?, Rib6::new()?);
    rib4.insert(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0), 1)?;
    let adjacencies = Adjacencies::new(2);
    let source = Mac(0x0200_0000_0000 + u64::from(SINK));
    let link = Link { interface: SINK, mtu: 9000, source, version: IpVersion::V4 };
    adjacencies.get(1).forward(link, Mac(0x0600_0000_0001));
    let vrf = Vrf { name: "bench".into(), fib4: Arc::clone(rib4.fib()), fib6: Arc::clone(rib6.fib()) };
    let mac = Mac(0x0200_0000_0000);
    let stream = StreamConfig {
        sizes: Sizes::List(vec![params.size.into()]),
        destination_mac: Span::one(mac.octets()),
        addresses: Addresses::V4 { source: Span::one(SENDER), destination: Span::one(SENDER) },
        destinations: destinations.into_iter().map(IpAddr::from).collect(),
        source_port: Span::one(SENDER_PORT),
        destination_port: Span::one(PORT),
        ..StreamConfig::default()
    };
    let filter = Filter {
        stateful: params.stateful,
        policies: [Some(Arc::clone(&policy)), None],
        ..Filter::default()
    };
    let filtered = Filtered { filter: Arc::new(filter), flows };
    let routing =
        Routing { vrf, adjacencies: Arc::new(adjacencies), mac, nat: None, filtered: Some(filtered) };
    let generator = GeneratorConfig { streams: vec![stream], ..GeneratorConfig::default() };
    let mut rig = Rig::routed(&generator, routing)?;
    let map = [
        ("rules".to_string(), json!(params.rules)),
        ("masks".to_string(), json!(if params.mixed { "mixed" } else { "one" })),
        ("tables".to_string(), json!(policy.tables().0)),
        ("stateful".to_string(), json!(params.stateful)),
        ("flows".to_string(), json!(params.flows)),
        ("size".to_string(), json!(params.size)),
        ("table_bytes".to_string(), json!(policy.bytes())),
    ];
    measure(&mut rig, method, "acl", map.into_iter().collect())
}

/// A policy of so many rules.
pub(crate) fn policy(rules: u32, mixed: bool, stateful: bool) -> PolicySpec {
    let rule = |number: u32| RuleSpec {
        name: format!("rule-{number}"),
        action: Verdict::Permit,
        matches: if mixed { mixed_match(number) } else { one_match(number) },
        ..RuleSpec::default()
    };
    let tier =
        TierSpec { name: "bench".into(), rules: (0..rules).map(rule).collect(), default: Verdict::Deny };
    PolicySpec { name: "bench".into(), tiers: vec![tier], default: Verdict::Deny, stateful }
}

/// The network of a rule, of a prefix length of at least 24.
fn network(number: u32, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from(0x0a00_0000 + number * 256), length))
}

fn one_match(number: u32) -> MatchSpec {
    MatchSpec {
        destination: Some(network(number, 24)),
        protocol: Some(PROTOCOL),
        destination_ports: Some(PORT..=PORT),
        ..MatchSpec::default()
    }
}

/// One of twelve masks: four lengths of the destination; any source, a network or a host; one port, some, or any protocol.
fn mixed_match(number: u32) -> MatchSpec {
    let source = |length| IpNet::V4(Ipv4Net::new_assert(SENDER, length).trunc());
    let fields = MatchSpec {
        destination: Some(network(number, [24, 32, 28, 26][number as usize % 4])),
        source: [None, Some(source(16)), Some(source(32))][number as usize % 3],
        ..MatchSpec::default()
    };
    match number / 12 % 3 {
        0 => MatchSpec { protocol: Some(PROTOCOL), destination_ports: Some(PORT..=PORT), ..fields },
        1 => MatchSpec { protocol: Some(PROTOCOL), destination_ports: Some(1..=100), ..fields },
        _ => fields,
    }
}

/// A destination that a rule permits.
fn destination(spec: &PolicySpec, rng: &mut fastrand::Rng) -> Ipv4Addr {
    let rules = &spec.tiers[0].rules;
    let Some(IpNet::V4(net)) = rules[rng.usize(0..rules.len())].matches.destination else { return SENDER };
    Ipv4Addr::from(u32::from(net.network()) | (rng.u32(..) & u32::from(net.hostmask())))
}

/// Remembers all flows, in an order of chance: those that follow each other in the traffic are not neighbours in the table.
fn fill(flows: &Flows, mut destinations: Vec<Ipv4Addr>, rng: &mut fastrand::Rng) -> Result<(), BenchError> {
    let Some(table) = flows.v4().first() else { return Ok(()) };
    rng.shuffle(&mut destinations);
    let class = SessionClass::UdpNew as u8;
    let state = State { seen: flows.now(), generation: flows.generation, class, track: 0 };
    let want = destinations.len() as u32;
    for destination in destinations {
        let flow = Tuple {
            source: u32::from(SENDER),
            destination: destination.into(),
            ports: Tuple::<u32>::join(SENDER_PORT, PORT),
            protocol: PROTOCOL,
            scope: scope(SOURCE, false),
        };
        // Some are drawn twice.
        if table.sessions.find(&flow).is_none() && flows.begin(table, &flow, 0, state).is_err() {
            return Err(BenchError::Sessions { want, got: table.sessions.len() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_is_permitted() {
        for (rules, mixed, stateful) in
            [(1, false, false), (1000, false, false), (1000, true, false), (100, true, true)]
        {
            let params = AclRules { rules, mixed, stateful, flows: 5000, size: 64 };
            let report = acl(params, Method { windows: 10, vectors: 5 }).expect("it runs");
            assert_eq!(report.packets, 10 * 5 * 256);
            assert!(report.nodes.iter().any(|node| node.name == "acl-input"), "{report}");
        }
    }

    #[test]
    fn parameters_are_checked() {
        let params = AclRules { rules: 0, mixed: false, stateful: false, flows: 1, size: 64 };
        assert!(matches!(acl(params, Method::default()), Err(BenchError::Range { name: "rules", .. })));
    }
}
