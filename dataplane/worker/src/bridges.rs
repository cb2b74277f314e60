//! From bridges in names to domains in numbers: one domain for a VLAN-unaware bridge, one for each VLAN of another.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use paceline_graph::{Bridge, BridgeCounters, NO_DOMAIN, VlanPort, Zone};
use paceline_router::snooping::Listener;
use paceline_tables::{MacTable, MulticastTable};
use paceline_wire::ethernet::Mac;

use crate::numbers::Numbers;
use crate::routing::mac_of;
use crate::spec::{BridgeSpec, SnoopingSpec, VlanSpec};

/// A domain as it lives on between two configurations.
#[derive(Clone)]
pub(crate) struct Domain {
    /// The number that packets and snapshots have for it.
    number: u16,
    pub macs: Arc<MacTable>,
    pub counters: Arc<BridgeCounters>,
    pub age_s: u32,
    /// Seconds since the last tick of the table's ages.
    pub since_tick: u32,
    statics: Vec<(u64, u16)>,
    members: Vec<u16>,
    /// Hosts whose addresses are known. One value for all snapshots that it is the same in.
    neighbours: Arc<HashMap<IpAddr, Mac>>,
    /// Who is in which multicast group, if it listens.
    multicast: Option<Arc<MulticastTable>>,
    /// The address that it asks from for groups, if it does.
    querier: Option<Mac>,
}

/// Most multicast groups that a domain knows. What more there are is flooded.
const GROUPS: u32 = 1024;

/// What VLAN-aware domains know.
static NOBODY: BTreeMap<IpAddr, Mac> = BTreeMap::new();

/// Bridge and VLAN (`None`: the bridge is VLAN-unaware).
pub(crate) type DomainKey = (String, Option<u16>);

/// Where an interface is: its own domain, and its VLANs.
pub(crate) struct Place {
    pub domain: u16,
    pub vlan: Option<Arc<VlanPort>>,
    pub zone: Zone,
}

/// All domains and who is in them.
#[derive(Default)]
pub(crate) struct Domains {
    known: BTreeMap<DomainKey, Domain>,
    numbers: Numbers,
    /// Ports that left a domain, which still knows addresses behind them.
    departed: Vec<(Arc<MacTable>, u16)>,
}

impl Domains {
    /// Brings the domains to what is wanted: those that stay keep their addresses and their numbers. `index` finds interfaces that
    /// exist.
    pub(crate) fn configure(
        &mut self,
        bridges: &BTreeMap<String, BridgeSpec>,
        index: impl Fn(&str) -> Option<u16>,
    ) -> (Vec<Bridge>, BTreeMap<u16, Place>) {
        let mut old = std::mem::take(&mut self.known);
        let (mut list, mut places, vacant) = (Vec::new(), BTreeMap::new(), Bridge::vacant());
        for (name, spec) in bridges {
            let mut vlans: Vec<Option<u16>> =
                spec.members.values().flat_map(|m| m.vlan.vlans()).map(Some).collect();
            if spec.members.values().any(|m| m.vlan == VlanSpec::Unaware) || vlans.is_empty() {
                vlans.push(None);
            }
            vlans.sort_unstable();
            vlans.dedup();
            let mut numbers = BTreeMap::new();
            for vlan in vlans {
                let key = (name.clone(), vlan);
                let before = old.remove(&key);
                let number = before.as_ref().map(|domain| domain.number);
                let Some(number) = number.or_else(|| self.numbers.take()) else {
                    tracing::error!(bridge = name, vlan, "too many bridge domains: this one takes no frames");
                    continue;
                };
                let statics: Vec<_> = spec
                    .static_macs
                    .iter()
                    .filter(|s| s.2 == vlan)
                    .filter_map(|s| Some((s.0, index(&s.1)?)))
                    .collect();
                let members: Vec<u16> = spec
                    .members
                    .iter()
                    .filter(|(_, m)| match vlan {
                        None => m.vlan == VlanSpec::Unaware,
                        Some(vlan) => m.vlan.vlans().contains(&vlan),
                    })
                    .filter_map(|(name, _)| index(name))
                    .collect();
                let kept = before.filter(|d| d.macs.limit() == spec.mac_limit);
                let mut domain = kept.unwrap_or_else(|| Domain::new(number, spec.mac_limit));
                let left = domain.members.iter().filter(|port| !members.contains(port));
                self.departed.extend(left.map(|port| (Arc::clone(&domain.macs), *port)));
                domain.members.clone_from(&members);
                let mut domain = domain.with(spec.mac_age_s, statics);
                domain.know(if vlan.is_none() { &spec.neighbours } else { &NOBODY });
                domain.listen(name, spec.snooping);
                numbers.insert(vlan, number);
                if list.len() <= usize::from(number) {
                    list.resize(usize::from(number) + 1, vacant.clone());
                }
                list[usize::from(number)] = Bridge {
                    vlan: vlan.unwrap_or_default(),
                    name: vlan.map_or_else(|| name.as_str().into(), |v| format!("{name}.{v}").into()),
                    macs: Arc::clone(&domain.macs),
                    learn: spec.learn,
                    unknown_unicast: spec.unknown_unicast,
                    members,
                    neighbours: Arc::clone(&domain.neighbours),
                    multicast: domain.multicast.clone(),
                    counters: Arc::clone(&domain.counters),
                };
                self.known.insert(key, domain);
            }
            for (member, how) in &spec.members {
                if let Some(index) = index(member) {
                    let (domain, vlan) = place(&how.vlan, &numbers);
                    places.insert(index, Place { domain, vlan, zone: Zone::new(how.group, how.isolated) });
                }
            }
        }
        for domain in old.into_values() {
            self.numbers.give(domain.number);
        }
        (list, places)
    }

    /// Forgets what was learned on ports that left a domain, whose frames would go on leaving by them, and lets numbers of domains
    /// that ended rest. To be called when all workers use the new configuration: one that uses the old one may learn on such a port
    /// still.
    pub(crate) fn quiet(&mut self) {
        self.numbers.quiet();
        for (macs, port) in self.departed.drain(..) {
            macs.flush_port(port, false);
        }
    }

    /// Forgets what was learned on a port. What is configured for it stays.
    pub(crate) fn forget_port(&self, port: u16) {
        for domain in self.known.values() {
            domain.macs.flush_port(port, false);
        }
    }

    /// Forgets all that was learned on a port.
    pub(crate) fn flush_port(&self, port: u16) {
        for domain in self.known.values() {
            domain.macs.flush_port(port, true);
        }
    }

    /// Domains that listen who is in which multicast group, by their numbers.
    pub(crate) fn listeners(&self) -> BTreeMap<u16, Listener> {
        let listener = |domain: &Domain| {
            Some(Listener {
                table: Arc::clone(domain.multicast.as_ref()?),
                members: domain.members.iter().copied().collect::<BTreeSet<_>>(),
                querier: domain.querier,
            })
        };
        self.known.values().filter_map(|domain| Some((domain.number, listener(domain)?))).collect()
    }

    /// Lets a second pass for numbers that rest: see [`Numbers::second`].
    pub(crate) fn rest(&mut self) {
        self.numbers.second();
    }

    /// Lets a second pass.
    pub(crate) fn second(&mut self) {
        for domain in self.known.values_mut().filter(|d| d.age_s > 0) {
            domain.since_tick += 1;
            if domain.since_tick >= domain.seconds_per_tick() {
                domain.since_tick = 0;
                domain.macs.tick((domain.age_s / domain.seconds_per_tick()) as u8);
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&DomainKey, &Domain)> {
        self.known.iter()
    }
}

impl Domain {
    fn new(number: u16, limit: u32) -> Domain {
        Domain {
            number,
            macs: Arc::new(MacTable::new(limit)),
            counters: Arc::default(),
            age_s: 0,
            since_tick: 0,
            statics: Vec::new(),
            members: Vec::new(),
            neighbours: Arc::default(),
            multicast: None,
            querier: None,
        }
    }

    /// The number that packets and snapshots have for it.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// Whether it listens.
    pub(crate) fn multicast(&self) -> Option<&MulticastTable> {
        self.multicast.as_deref()
    }

    fn listen(&mut self, bridge: &str, snooping: Option<SnoopingSpec>) {
        self.querier = snooping.filter(|snooping| snooping.querier).map(|_| mac_of(bridge));
        if snooping.is_none() {
            self.multicast = None;
        } else if self.multicast.is_none() {
            self.multicast = MulticastTable::new(GROUPS).map(Arc::new);
            if self.multicast.is_none() {
                tracing::error!(bridge, "no memory for multicast groups: they are flooded");
            }
        }
    }

    /// Ages are counted in as many ticks as the table can, so that an address lives at most about a twelfth too long; a tick
    /// is a walk over the table, so it is not more often than once a second.
    pub(crate) fn seconds_per_tick(&self) -> u32 {
        self.age_s.div_ceil(u32::from(MacTable::MAX_TICKS)).max(1)
    }

    fn know(&mut self, neighbours: &BTreeMap<IpAddr, Mac>) {
        let is_same = self.neighbours.len() == neighbours.len()
            && neighbours.iter().all(|(address, mac)| self.neighbours.get(address) == Some(mac));
        if !is_same {
            self.neighbours = Arc::new(neighbours.iter().map(|(address, mac)| (*address, *mac)).collect());
        }
    }

    fn with(mut self, age_s: u32, statics: Vec<(u64, u16)>) -> Domain {
        self.age_s = age_s;
        for (mac, _) in self.statics.iter().filter(|s| !statics.contains(s)) {
            self.macs.remove(*mac);
        }
        for (mac, port) in statics.iter().filter(|s| !self.statics.contains(s)) {
            if !self.macs.insert_static(*mac, *port) {
                tracing::warn!(
                    mac = format_args!("{mac:012x}"),
                    "too many static addresses: one found no place"
                );
            }
        }
        self.statics = statics;
        self
    }
}

fn place(vlan: &VlanSpec, numbers: &BTreeMap<Option<u16>, u16>) -> (u16, Option<Arc<VlanPort>>) {
    let number = |vlan: u16| numbers.get(&Some(vlan)).copied().unwrap_or(NO_DOMAIN);
    let port = match vlan {
        VlanSpec::Unaware => return (numbers.get(&None).copied().unwrap_or(NO_DOMAIN), None),
        VlanSpec::Access(vlan) => VlanPort {
            tpid: 0x8100,
            native: number(*vlan),
            // A frame that is tagged with the port's own VLAN is welcome, as it is on a Linux bridge.
            tagged: vec![(*vlan, number(*vlan))],
            tunnel: false,
        },
        VlanSpec::Tunnel(vlan) => {
            VlanPort { tpid: 0x88a8, native: number(*vlan), tagged: Vec::new(), tunnel: true }
        }
        VlanSpec::Trunk { tagged, native, tpid } => {
            let mut tagged: Vec<_> = tagged.iter().map(|v| (*v, number(*v))).collect();
            tagged.sort_unstable();
            tagged.dedup();
            VlanPort { tpid: *tpid, native: native.map_or(NO_DOMAIN, number), tagged, tunnel: false }
        }
    };
    (port.native, Some(Arc::new(port)))
}

#[cfg(test)]
mod tests {
    use paceline_graph::UnknownUnicast;

    use super::*;
    use crate::spec::MemberSpec;

    fn bridge(members: &[(&str, VlanSpec)]) -> BTreeMap<String, BridgeSpec> {
        let member = |vlan: &VlanSpec| MemberSpec { vlan: vlan.clone(), ..MemberSpec::default() };
        let spec = BridgeSpec {
            mac_limit: 100,
            mac_age_s: 300,
            learn: true,
            unknown_unicast: UnknownUnicast::Flood,
            members: members.iter().map(|(n, v)| ((*n).to_string(), member(v))).collect(),
            static_macs: vec![(7, "p1".into(), None)],
            snooping: None,
            neighbours: BTreeMap::new(),
        };
        BTreeMap::from([("br".to_string(), spec)])
    }

    fn index(name: &str) -> Option<u16> {
        name.strip_prefix('p')?.parse().ok()
    }

    #[test]
    fn every_vlan_is_a_domain_of_its_members() {
        let trunk = VlanSpec::Trunk { tagged: vec![20, 10], native: Some(1), tpid: 0x8100 };
        let (list, places) = Domains::default().configure(
            &bridge(&[("p1", VlanSpec::Access(10)), ("p2", trunk), ("p3", VlanSpec::Tunnel(20))]),
            index,
        );
        let names: Vec<_> = list.iter().map(|b| (&*b.name, b.members.clone())).collect();
        assert_eq!(names, [("br.1", vec![2]), ("br.10", vec![1, 2]), ("br.20", vec![2, 3])]);
        let trunk = places[&2].vlan.as_ref().expect("VLAN-aware");
        assert_eq!((trunk.native, &trunk.tagged), (0, &vec![(10, 1), (20, 2)]));
        assert!(places[&3].vlan.as_ref().is_some_and(|v| v.tunnel));
    }

    #[test]
    fn what_stays_keeps_its_addresses() {
        let mut domains = Domains::default();
        let config = bridge(&[("p1", VlanSpec::Unaware)]);
        let (first, _) = domains.configure(&config, index);
        assert_eq!(first[0].macs.len(), 1, "the static address");
        first[0].macs.learn(9, first[0].macs.hash(9), 1, 0);
        let (second, places) =
            domains.configure(&bridge(&[("p1", VlanSpec::Unaware), ("p2", VlanSpec::Unaware)]), index);
        assert_eq!((second[0].macs.len(), second[0].members.len(), places.len()), (2, 2, 2));
        domains.flush_port(1);
        assert_eq!(second[0].macs.len(), 0);
        let (none, _) = domains.configure(&BTreeMap::new(), index);
        assert!(none.is_empty() && domains.iter().count() == 0);
    }

    #[test]
    fn a_domain_keeps_its_number_and_another_has_it_after_a_rest_alone() {
        let named = |names: &[&str]| -> BTreeMap<String, BridgeSpec> {
            let spec = bridge(&[("p1", VlanSpec::Unaware)]).remove("br").expect("it");
            names.iter().map(|name| ((*name).to_string(), spec.clone())).collect()
        };
        let names = |list: &[Bridge]| list.iter().map(|b| b.name.to_string()).collect::<Vec<_>>();
        let mut domains = Domains::default();
        assert_eq!(names(&domains.configure(&named(&["m", "n"]), index).0), ["m", "n"]);
        // One comes that is the first by its name, and the first one goes.
        assert_eq!(names(&domains.configure(&named(&["a", "m", "n"]), index).0), ["m", "n", "a"]);
        let (list, _) = domains.configure(&named(&["a", "n"]), index);
        assert_eq!(names(&list), ["", "n", "a"]);
        assert!(list[0].is_vacant() && !list[1].is_vacant());
        domains.quiet();
        (1..Numbers::REST).for_each(|_| domains.rest());
        assert_eq!(names(&domains.configure(&named(&["a", "b", "n"]), index).0), ["", "n", "a", "b"]);
        domains.rest();
        assert_eq!(names(&domains.configure(&named(&["a", "b", "c", "n"]), index).0), ["c", "n", "a", "b"]);
        // A table of another size is the same domain.
        let mut resized = named(&["a", "b", "c", "n"]);
        for spec in resized.values_mut() {
            spec.mac_limit = 200;
        }
        assert_eq!(names(&domains.configure(&resized, index).0), ["c", "n", "a", "b"]);
    }

    #[test]
    fn an_address_lives_as_long_as_it_should() {
        for age_s in [1, 10, 60, 300, 86_400] {
            let mut domains = Domains::default();
            let mut config = bridge(&[("p1", VlanSpec::Unaware)]);
            config.get_mut("br").expect("it").mac_age_s = age_s;
            config.get_mut("br").expect("it").static_macs.clear();
            let (list, _) = domains.configure(&config, index);
            let macs = &list[0].macs;
            macs.learn(9, macs.hash(9), 1, macs.now());
            let seconds = (1..200_000).find(|_| {
                domains.second();
                macs.is_empty()
            });
            let seconds = seconds.expect("it ages");
            assert!(
                (age_s - age_s / 12..=age_s + age_s / 6 + 2).contains(&seconds),
                "{age_s} s became {seconds} s"
            );
        }
    }
}
