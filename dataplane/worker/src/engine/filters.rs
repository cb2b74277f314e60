//! Filters: from what control wants to what workers use, and what they show of themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use ipnet::IpNet;
use paceline_graph::filter::{
    Filter, FilterError, FlowTable, Flows, GroupTable, Guard, MAX_IDENTITY, Policer, Policy, SessionSpec,
    StormLimit, policers,
};
use paceline_graph::{SessionClass, SessionClock};
use paceline_nodes::Features;
use paceline_tables::{Address, RouteError};

use super::{Engine, EngineError};
use crate::spec::{FilterSpec, PolicySpec, Topology, VlanSpec};
use crate::view::{
    FilterView, FlowEventView, FlowSessionView, FlowsView, RuleView, StormView, protocol_name,
};

/// Policies as they are wanted, and compiled.
type Policies = Vec<(Arc<PolicySpec>, Arc<Policy>)>;

/// What an interface is to filters beside their rules: its number, bridges with the VLANs that it has there, and its routing table.
#[derive(Default, PartialEq, Eq)]
struct Spot {
    number: Option<u16>,
    bridges: Vec<(String, VlanSpec)>,
    vrf: Option<String>,
}

/// Filters, and what they were made from.
#[derive(Default)]
pub(super) struct Filtering {
    filters: BTreeMap<String, FilterSpec>,
    wanted_groups: BTreeMap<String, BTreeMap<IpNet, u32>>,
    sessions: SessionSpec,
    /// Where interfaces with filters are.
    spots: BTreeMap<String, Spot>,
    /// Numbers that were given to other interfaces since they were looked at.
    renewed: BTreeSet<u16>,
    policies: Policies,
    groups: BTreeMap<String, GroupTable>,
    guards: BTreeMap<String, Arc<Guard>>,
    policers: BTreeMap<(String, bool), Arc<Policer>>,
    storms: BTreeMap<String, Arc<[Option<StormLimit>; 3]>>,
    flows: Option<Arc<Flows>>,
}

impl Filtering {
    /// Compiles what a topology wants. After an error what workers use is as it was before, but for identities of hosts that had
    /// none, if it is memory that there was not: those that found room have them.
    fn prepare(
        &mut self,
        topology: &Topology,
        workers: usize,
        index: impl Fn(&str) -> Option<u16>,
    ) -> Result<(), FilterError> {
        let spots = spots(topology, index);
        let numbers = spots.values().filter_map(|spot| spot.number);
        let renewed: Vec<u16> = numbers.filter(|number| self.renewed.contains(number)).collect();
        let is_same = renewed.is_empty()
            && self.spots == spots
            && self.filters == topology.filters
            && self.wanted_groups == topology.groups
            && self.sessions == topology.sessions;
        if is_same {
            return Ok(());
        }
        let policies = self.compile(topology, workers)?;
        let mut guards = BTreeMap::new();
        for (interface, spec) in &topology.filters {
            let at = |problem| FilterError::at(interface, problem);
            if let Some(guard) = &spec.guard {
                guards.insert(interface.clone(), Arc::new(Guard::new(guard).map_err(|e| at(e.to_string()))?));
            }
            if let Some(dscp) = spec.dscp.filter(|dscp| *dscp > 63) {
                return Err(at(format!("its code point is {dscp}, and is to be 0 to 63")));
            }
            if let Some(groups) = spec.groups.as_ref().filter(|name| !topology.groups.contains_key(*name)) {
                return Err(at(format!("there are no groups {groups}")));
            }
            for spec in [spec.police_input, spec.police_output].into_iter().flatten() {
                policers::check(spec).map_err(at)?;
            }
        }
        let is_identity = |identity: &u32| (1..=MAX_IDENTITY).contains(identity);
        if let Some(wrong) = topology.groups.values().flat_map(BTreeMap::values).find(|id| !is_identity(id)) {
            return Err(RouteError::Value(*wrong).into());
        }
        let stateful = policies.iter().any(|(_, policy)| policy.stateful);
        let flows = if topology.filters.is_empty() {
            None
        } else {
            let (before, clock) = (self.flows.as_deref(), SessionClock::default());
            let mut flows = Flows::new(topology.sessions, workers, stateful, before, clock)?;
            for number in &renewed {
                flows.renew(*number);
            }
            Some(Arc::new(flows))
        };
        let mut groups = BTreeMap::new();
        for (name, wanted) in &topology.groups {
            // Who is new there was nobody to the rules that are in use.
            if let Some(table) = self.groups.get_mut(name).filter(|table| table.grows_to(wanted)) {
                table.set(wanted)?;
                continue;
            }
            // Another table, which workers take together with the rules.
            let mut table = GroupTable::new()?;
            table.set(wanted)?;
            groups.insert(name.clone(), table);
        }
        self.groups.extend(groups);
        self.police(topology);
        (self.policies, self.guards, self.flows) = (policies, guards, flows);
        self.filters.clone_from(&topology.filters);
        self.wanted_groups.clone_from(&topology.groups);
        (self.sessions, self.spots) = (topology.sessions, spots);
        self.renewed.retain(|number| !renewed.contains(number));
        Ok(())
    }

    /// All policies, each compiled once; those that are as before, with what they have counted.
    fn compile(&self, topology: &Topology, workers: usize) -> Result<Policies, FilterError> {
        let mut policies: Policies = Vec::new();
        for spec in topology.filters.values().flat_map(|filter| filter.input.iter().chain(&filter.output)) {
            if find(&policies, spec).is_some() {
                continue;
            }
            let policy = if let Some(policy) = find(&self.policies, spec) {
                policy
            } else {
                let before = self.policies.iter().find(|(before, _)| before.name == spec.name);
                Arc::new(Policy::new(spec, workers, before.map(|(_, policy)| &**policy))?)
            };
            policies.push((Arc::clone(spec), policy));
        }
        Ok(policies)
    }

    /// Policers: those that are as before go on.
    fn police(&mut self, topology: &Topology) {
        let mut all = BTreeMap::new();
        let mut storms = BTreeMap::new();
        for (interface, spec) in &topology.filters {
            for (out, wanted) in [(false, spec.police_input), (true, spec.police_output)] {
                let Some(wanted) = wanted else { continue };
                let key = (interface.clone(), out);
                let before = self.policers.get(&key).filter(|policer| policer.spec() == wanted);
                let policer = before.cloned().unwrap_or_else(|| Arc::new(Policer::new(wanted)));
                all.insert(key, policer);
            }
            if let Some(wanted) = spec.storm {
                let is_same = self.filters.get(interface).is_some_and(|before| before.storm == spec.storm);
                let before = self.storms.get(interface).filter(|_| is_same);
                let storm = before.cloned().unwrap_or_else(|| Arc::new(policers::storm(wanted)));
                storms.insert(interface.clone(), storm);
            }
        }
        (self.policers, self.storms) = (all, storms);
    }

    /// Says that a number is another interface's from now on.
    pub(super) fn renew(&mut self, number: u16) {
        self.renewed.insert(number);
    }

    /// What workers share.
    pub(super) fn flows(&self) -> Option<Arc<Flows>> {
        self.flows.clone()
    }

    /// The filter of an interface.
    pub(super) fn filter(&self, name: &str, index: impl Fn(&str) -> Option<u16>) -> Option<Arc<Filter>> {
        let spec = self.filters.get(name)?;
        let policy = |spec: &Option<Arc<PolicySpec>>| find(&self.policies, spec.as_ref()?);
        let policies = [policy(&spec.input), policy(&spec.output)];
        let mut targets: HashMap<Arc<str>, u16> = HashMap::new();
        for rule in policies.iter().flatten().flat_map(|policy| policy.rules()) {
            for name in rule.mirror.iter().chain(&rule.redirect) {
                if let Some(number) = index(name) {
                    targets.insert(Arc::clone(name), number);
                }
            }
        }
        let policer = |out| self.policers.get(&(name.to_string(), out)).cloned();
        Some(Arc::new(Filter {
            stateful: policies.iter().flatten().any(|policy| policy.stateful),
            policies,
            groups: spec
                .groups
                .as_ref()
                .and_then(|name| self.groups.get(name))
                .map(|t| Arc::clone(t.groups())),
            guard: self.guards.get(name).cloned(),
            policers: [policer(false), policer(true)],
            storm: self.storms.get(name).cloned(),
            dscp: spec.dscp,
            mirror: spec.mirror.as_deref().and_then(index),
            targets,
        }))
    }

    /// Says that every worker has passed a quiet point since identities changed.
    pub(super) fn quiet(&mut self) {
        self.groups.retain(|name, _| self.wanted_groups.contains_key(name));
        self.groups.values_mut().for_each(GroupTable::quiet);
    }
}

fn find(policies: &[(Arc<PolicySpec>, Arc<Policy>)], spec: &Arc<PolicySpec>) -> Option<Arc<Policy>> {
    let is = |(known, _): &&(Arc<PolicySpec>, Arc<Policy>)| Arc::ptr_eq(known, spec) || known == spec;
    policies.iter().find(is).map(|(_, policy)| Arc::clone(policy))
}

/// Where interfaces with filters are.
fn spots(topology: &Topology, index: impl Fn(&str) -> Option<u16>) -> BTreeMap<String, Spot> {
    let spot = |name: &String| Spot {
        number: index(name),
        bridges: Vec::new(),
        vrf: topology.routed.get(name).map(|routed| routed.vrf.clone()),
    };
    let mut spots: BTreeMap<String, Spot> =
        topology.filters.keys().map(|name| (name.clone(), spot(name))).collect();
    for (bridge, spec) in &topology.bridges {
        for (name, member) in &spec.members {
            if let Some(spot) = spots.get_mut(name) {
                spot.bridges.push((bridge.clone(), member.vlan.clone()));
            }
        }
    }
    spots
}

/// The features that filters need.
pub(super) fn features(spec: Option<&FilterSpec>, features: Features) -> Features {
    let Some(spec) = spec else { return features };
    let stateful = [&spec.input, &spec.output].into_iter().flatten().any(|policy| policy.stateful);
    Features {
        acl_input: spec.input.is_some() || stateful,
        acl_output: spec.output.is_some() || stateful,
        guard: spec.guard.is_some(),
        storm: spec.storm.is_some(),
        police_input: spec.police_input.is_some(),
        police_output: spec.police_output.is_some(),
        dscp: spec.dscp.is_some(),
        mirror: spec.mirror.is_some(),
        ..features
    }
}

impl Engine {
    /// Compiles the filters of the topology.
    pub(super) fn prepare_filters(&mut self) -> Result<(), EngineError> {
        let numbers: HashMap<Arc<str>, u16> = (0..)
            .zip(&self.interfaces)
            .filter_map(|(at, i)| Some((Arc::clone(&i.as_ref()?.name), at)))
            .collect();
        let index = |name: &str| numbers.get(name).copied();
        Ok(self.filtering.prepare(&self.topology, self.workers.len(), index)?)
    }

    /// Policies by interface and direction, with what their rules have decided. Interfaces with one policy show the sum of all.
    pub fn filters(&self) -> Vec<FilterView> {
        let mut views = Vec::new();
        for (interface, spec) in &self.filtering.filters {
            for (direction, policy) in [("input", &spec.input), ("output", &spec.output)] {
                let Some(policy) = policy.as_ref().and_then(|spec| find(&self.filtering.policies, spec))
                else {
                    continue;
                };
                let rule = |(number, rule): (usize, &paceline_graph::filter::Rule)| {
                    let (packets, bytes) = policy.counts(number);
                    let (tier, name) = (rule.tier.to_string(), rule.name.to_string());
                    RuleView { tier, name, action: rule.verdict.name(), packets, bytes }
                };
                views.push(FilterView {
                    interface: interface.clone(),
                    direction,
                    policy: policy.name.to_string(),
                    stateful: policy.stateful,
                    bytes: policy.bytes(),
                    rules: policy.rules().iter().enumerate().map(rule).collect(),
                });
            }
        }
        views
    }

    /// What storm control lets in by each interface that has it, and what it kept out.
    pub fn storms(&self) -> Vec<StormView> {
        let mut views = Vec::new();
        for (interface, limits) in &self.filtering.storms {
            let Some(spec) = self.filtering.filters.get(interface).and_then(|spec| spec.storm) else {
                continue;
            };
            let kinds = [
                ("broadcast", spec.broadcast),
                ("multicast", spec.multicast),
                ("unknown-unicast", spec.unknown),
            ];
            for ((kind, frames), limit) in kinds.into_iter().zip(&**limits) {
                let (Some(frames), Some(limit)) = (frames, limit) else { continue };
                let (packets, bytes) = limit.dropped();
                views.push(StormView { interface: interface.clone(), kind, frames, packets, bytes });
            }
        }
        views
    }

    /// Flows of stateful policies in numbers, by version of IP.
    pub fn flows(&self) -> Vec<FlowsView> {
        let Some(flows) = &self.filtering.flows else { return Vec::new() };
        vec![totals(4, flows.v4()), totals(6, flows.v6())]
    }

    /// All flows of stateful policies, ordered by interface and source. One that a new policy forbids is among them until its next
    /// packet.
    pub fn flow_sessions(&self) -> Vec<FlowSessionView> {
        let Some(flows) = &self.filtering.flows else { return Vec::new() };
        let mut all = Vec::new();
        self.list(flows, flows.v4(), &mut all);
        self.list(flows, flows.v6(), &mut all);
        all.sort_unstable_by(|a, b| {
            (&a.interface, &a.source, &a.destination).cmp(&(&b.interface, &b.source, &b.destination))
        });
        all
    }

    fn list<T: Address>(&self, flows: &Flows, tables: &[FlowTable<T>], all: &mut Vec<FlowSessionView>) {
        let now = flows.now();
        for (worker, table) in tables.iter().enumerate() {
            for entry in table.sessions.entries() {
                let flow = entry.before;
                let (Some(class), Some(left)) =
                    (SessionClass::of(entry.state.class), flows.timeouts().left(entry.state, now))
                else {
                    continue;
                };
                let end = |address: T, port| self::end((address.ip(), port));
                all.push(FlowSessionView {
                    worker,
                    interface: self.name_of(flow.scope),
                    direction: direction(entry.flags & paceline_graph::filter::LEFT != 0),
                    protocol: protocol_name(flow.protocol),
                    source: end(flow.source, flow.source_port()),
                    destination: end(flow.destination, flow.destination_port()),
                    state: class.name(),
                    idle_s: now.saturating_sub(entry.state.seen),
                    left_s: left,
                    packets: entry.packets,
                });
            }
        }
    }

    /// Takes what filters have told since this was asked last, and how much of it was lost in all.
    pub fn flow_events(&self) -> (Vec<FlowEventView>, u64) {
        let Some(flows) = &self.filtering.flows else { return (Vec::new(), 0) };
        let mut events = Vec::new();
        // As many as there are places, so that who makes much to tell does not keep control.
        for _ in 0..flows.log.events.capacity() {
            let Some(event) = flows.log.events.pop() else { break };
            let Some(rule) = event.policy.rules().get(event.rule as usize) else { continue };
            events.push(FlowEventView {
                interface: self.name_of(event.interface),
                direction: direction(event.outbound),
                action: event.verdict.name(),
                policy: event.policy.name.to_string(),
                tier: rule.tier.to_string(),
                rule: rule.name.to_string(),
                protocol: protocol_name(event.protocol),
                source: end(event.source),
                destination: end(event.destination),
                bytes: event.bytes,
            });
        }
        (events, flows.log.lost.load(Relaxed))
    }

    fn name_of(&self, index: u16) -> String {
        let attached = self.interfaces.get(index as usize).and_then(Option::as_ref);
        attached.map_or_else(|| "?".into(), |attached| attached.name.to_string())
    }
}

const fn direction(out: bool) -> &'static str {
    if out { "output" } else { "input" }
}

fn end((address, port): (IpAddr, u16)) -> String {
    super::nat::end(SocketAddr::new(address, port))
}

fn totals<T: Address>(version: u8, tables: &[FlowTable<T>]) -> FlowsView {
    let sum = |of: fn(&FlowTable<T>) -> u64| tables.iter().map(of).sum();
    FlowsView {
        version,
        sessions: sum(|table| table.sessions.len() as u64),
        created: sum(|table| table.counters.created.get()),
        expired: sum(|table| table.counters.expired.get()),
        reclaimed: sum(|table| table.counters.reclaimed.get()),
        flushed: sum(|table| table.counters.flushed.get()),
        table_full: sum(|table| table.counters.table_full.get()),
        bytes: sum(|table| table.sessions.bytes() as u64),
    }
}
