//! `reconfigure`: how fast routes and tunnels come and go, and policies are replaced, while packets are forwarded.
//!
//! A worker of its own forwards a generator's packets by one route at full speed, through the same engine as the daemon's, while
//! this thread gives it other topologies. None of them touches that route, so no packet may be lost.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net};
use paceline_graph::UnknownUnicast;
use paceline_ports::{Addresses, GeneratorConfig, GeneratorPort, NullPort, Port, Sizes, Span, StreamConfig};
use paceline_wire::ethernet::Mac;
use paceline_worker::{
    BridgeSpec, Engine, EngineConfig, FilterSpec, InterfaceSpec, MemberSpec, Mode, OverSpec, PathSpec,
    RouteSpec, RoutedSpec, Topology, TunnelSpec, Verdict, VrfSpec,
};
use serde::Serialize;

use crate::{BenchError, acl, within};

/// Parameters of the scenario.
#[derive(Clone, Copy, Debug)]
pub struct Reconfigure {
    /// Routes that come and go, 1 to 1 000 000.
    pub routes: u32,
    /// Changes of one route each, made while all of them are there, 1 to 10 000.
    pub changes: u32,
    /// Tunnels that come in one change and go in another, 0 to 4000.
    pub tunnels: u32,
}

/// What came of it. Names and meaning of the fields are a contract with the programs that read them.
#[derive(Clone, Debug, Serialize)]
pub struct ReconfigureReport {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// Routes that came and went.
    pub routes: u32,
    /// Routes per second that came, all in one change.
    pub added_per_second: f64,
    /// Routes per second that went, all in one change.
    pub removed_per_second: f64,
    /// Time that a change of one route takes while all the others are there: the median, in milliseconds.
    pub change_ms: f64,
    /// The longest.
    pub change_ms_max: f64,
    /// Tunnels that came and went.
    pub tunnels: u32,
    /// Time in which they came, all in one change, in milliseconds.
    pub tunnels_added_ms: f64,
    /// Time in which they went, all in one change, in milliseconds.
    pub tunnels_removed_ms: f64,
    /// Rules of the policy that the packets' interface gets, and that is replaced by another one as often as routes are changed.
    pub rules: u32,
    /// Time that replacing it takes, from its compilation on: the median, in milliseconds.
    pub policy_ms: f64,
    /// The longest.
    pub policy_ms_max: f64,
    /// Packets that were forwarded meanwhile.
    pub packets: u64,
    /// Million of them per second.
    pub mpps: f64,
    /// Packets that were dropped meanwhile, under any reason. Other than 0 is an error.
    pub lost_packets: u64,
}

impl fmt::Display for ReconfigureReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: routes {}", self.scenario, self.routes)?;
        writeln!(
            f,
            "  {:.0} routes added and {:.0} removed per second, all at once",
            self.added_per_second, self.removed_per_second
        )?;
        writeln!(
            f,
            "  a change of one among them takes {:.2} ms (worst {:.2})",
            self.change_ms, self.change_ms_max
        )?;
        writeln!(
            f,
            "  {} tunnels come in {:.1} ms and go in {:.1} ms, all at once\n  a change of a policy of {} rules takes {:.2} ms (worst {:.2})",
            self.tunnels,
            self.tunnels_added_ms,
            self.tunnels_removed_ms,
            self.rules,
            self.policy_ms,
            self.policy_ms_max
        )?;
        write!(
            f,
            "  {} packets were forwarded meanwhile, {:.2} million a second; {} were lost",
            self.packets, self.mpps, self.lost_packets
        )
    }
}

const SOURCE: &str = "source";
const SINK: &str = "sink";
const VRF: &str = "default";
/// The address of the interface that packets come in by.
const MAC: Mac = Mac(0x0200_0000_0001);
/// Where all routes lead.
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 2);
/// Rules of a policy.
const RULES: u32 = 1000;
/// Far more than the first packets need to come through.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the scenario.
///
/// # Errors
/// A parameter out of range, no memory, an engine that does not start, or packets that were lost.
pub fn reconfigure(params: Reconfigure) -> Result<ReconfigureReport, BenchError> {
    within("routes", params.routes.into(), 1, 1_000_000)?;
    within("changes", params.changes.into(), 1, 10_000)?;
    within("tunnels", params.tunnels.into(), 0, 4000)?;
    let mut engine = Engine::start(&EngineConfig { mode: Mode::Poll, ..EngineConfig::default() })?;
    let stream = StreamConfig {
        sizes: Sizes::List(vec![64]),
        destination_mac: Span::one(MAC.octets()),
        addresses: Addresses::V4 {
            source: Span::one(Ipv4Addr::new(198, 18, 0, 10)),
            destination: Span::one(Ipv4Addr::new(198, 19, 0, 1)),
        },
        ..StreamConfig::default()
    };
    let source: Box<dyn Port> = Box::new(GeneratorPort::open(&GeneratorConfig {
        streams: vec![stream],
        ..GeneratorConfig::default()
    })?);
    engine.attach(SINK, vec![Box::new(NullPort)])?;
    engine.attach(SOURCE, vec![source])?;
    let few = topology(0);
    engine.configure(few.clone())?;
    let deadline = Instant::now() + PATIENCE;
    while sent(&mut engine) == 0 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    let (before, start) = (sent(&mut engine), Instant::now());
    let added = timed(&mut engine, topology(params.routes))?;
    let mut changes = Vec::with_capacity(params.changes as usize);
    let mut many = topology(params.routes);
    for number in 0..params.changes {
        // There and gone again, by turns.
        let routes = &mut many.vrfs.entry(VRF.into()).or_default().routes;
        let one = IpNet::from(IpAddr::from([203, 0, 113, 1]));
        if number % 2 == 0 {
            routes.insert(one, RouteSpec::Blackhole);
        } else {
            routes.remove(&one);
        }
        changes.push(timed(&mut engine, many.clone())?);
    }
    let removed = timed(&mut engine, few.clone())?;
    let tunnels_added = timed(&mut engine, with_tunnels(few.clone(), params.tunnels))?;
    let tunnels_removed = timed(&mut engine, few.clone())?;
    let mut policies = Vec::with_capacity(params.changes as usize);
    for number in 0..params.changes {
        let mut policy = acl::policy(RULES, true, true);
        // None of its rules is for the packets.
        (policy.name, policy.tiers[0].default) = (format!("policy-{number}"), Verdict::Permit);
        let filter = FilterSpec { input: Some(Arc::new(policy)), ..FilterSpec::default() };
        let filters = [(SOURCE.to_string(), filter)].into();
        policies.push(timed(&mut engine, Topology { filters, ..few.clone() })?);
    }
    timed(&mut engine, few)?;
    let (packets, elapsed) = (sent(&mut engine) - before, start.elapsed());
    let lost = dropped(&engine);
    engine.stop();
    if lost > 0 {
        return Err(BenchError::Drops(lost));
    }
    changes.sort_unstable();
    policies.sort_unstable();
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    let rate = |time: Duration| f64::from(params.routes) / time.as_secs_f64();
    Ok(ReconfigureReport {
        scenario: "reconfigure",
        routes: params.routes,
        added_per_second: rate(added),
        removed_per_second: rate(removed),
        change_ms: changes.get(changes.len() / 2).copied().map_or(0.0, millis),
        change_ms_max: changes.last().copied().map_or(0.0, millis),
        tunnels: params.tunnels,
        tunnels_added_ms: millis(tunnels_added),
        tunnels_removed_ms: millis(tunnels_removed),
        rules: RULES,
        policy_ms: policies.get(policies.len() / 2).copied().map_or(0.0, millis),
        policy_ms_max: policies.last().copied().map_or(0.0, millis),
        packets,
        mpps: packets as f64 / elapsed.as_secs_f64() / 1e6,
        lost_packets: lost,
    })
}

/// The time that a change takes, until all workers use it and all routes are written.
fn timed(engine: &mut Engine, topology: Topology) -> Result<Duration, BenchError> {
    let start = Instant::now();
    engine.configure(topology)?;
    Ok(start.elapsed())
}

/// Packets that were forwarded so far.
fn sent(engine: &mut Engine) -> u64 {
    engine.interfaces().iter().find(|interface| interface.name == SINK).map_or(0, |sink| sink.tx_packets)
}

/// Packets that were dropped so far, under any reason.
fn dropped(engine: &Engine) -> u64 {
    engine.drops().iter().filter(|row| row.scope == "interface").map(|row| row.packets).sum()
}

/// Two interfaces, the route of the packets, and so many /32 that no packet is for.
fn topology(routes: u32) -> Topology {
    let via = || RouteSpec::Via(vec![PathSpec { via: Some(NEIGHBOUR.into()), interface: None }]);
    let prefix = |address: u32, length| IpNet::from(Ipv4Net::new_assert(address.into(), length).trunc());
    let mut all = VrfSpec::default();
    all.routes.insert(prefix(0xc613_0000, 16), via());
    // Every third address from 20.0.0.0 on.
    all.routes.extend((0..routes).map(|number| (prefix(0x1400_0000 + number * 3, 32), via())));
    let interface = |mac, network: [u8; 4]| RoutedSpec {
        over: OverSpec::Port,
        vrf: VRF.into(),
        mac: Some(mac),
        mtu: 1500,
        addresses: vec![IpNet::from(Ipv4Net::new_assert(network.into(), 24))],
        isolated: false,
        internal: false,
        proxy_arp: false,
        neighbours: [(NEIGHBOUR.into(), Mac(0x0600_0000_0002))].into(),
        peer: None,
        nat: false,
        mss_clamp: false,
        source_check: false,
        owner: None,
        group: 0,
    };
    let mut source = interface(MAC, [198, 18, 0, 1]);
    source.neighbours.clear();
    let sink = interface(Mac(0x0200_0000_0002), [198, 18, 1, 1]);
    Topology {
        interfaces: [SOURCE, SINK].map(|name| (name.to_string(), InterfaceSpec { mtu: 1500 })).into(),
        routed: [(SOURCE.to_string(), source), (SINK.to_string(), sink)].into(),
        vrfs: [(VRF.to_string(), all)].into(),
        ..Topology::default()
    }
}

/// The same with a bridge of so many tunnels, whose underlay is the interface that packets come in by.
fn with_tunnels(mut topology: Topology, tunnels: u32) -> Topology {
    let local = Ipv4Addr::new(198, 18, 0, 1).into();
    let tunnel = |number: u32| {
        let remote = Ipv4Addr::from_bits(0xc613_0001 + number).into();
        (format!("tunnel{number}"), TunnelSpec::new(7, VRF, local, remote))
    };
    topology.tunnels = (0..tunnels).map(tunnel).collect();
    let member = MemberSpec { group: 1, ..MemberSpec::default() };
    let bridge = BridgeSpec {
        mac_limit: 1000,
        mac_age_s: 300,
        learn: true,
        unknown_unicast: UnknownUnicast::Flood,
        members: topology.tunnels.keys().map(|name| (name.clone(), member.clone())).collect(),
        static_macs: Vec::new(),
        snooping: None,
        neighbours: BTreeMap::new(),
    };
    topology.bridges.insert("bridge".into(), bridge);
    topology
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_come_and_go_and_no_packet_does() {
        let report = reconfigure(Reconfigure { routes: 2000, changes: 20, tunnels: 1000 }).expect("it runs");
        assert_eq!((report.routes, report.tunnels, report.lost_packets), (2000, 1000, 0));
        assert!(report.packets > 0 && report.added_per_second > 0.0 && report.change_ms_max > 0.0);
        assert!(report.policy_ms_max > 0.0);
        let error = reconfigure(Reconfigure { routes: 0, changes: 1, tunnels: 0 }).expect_err("out of range");
        assert!(matches!(error, BenchError::Range { name: "routes", .. }), "{error}");
    }
}
