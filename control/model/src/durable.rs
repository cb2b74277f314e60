//! [`Model`]: all that outlives a restart, and the journal of what changed in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use imbl::OrdMap;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::options::LinkOptions;
use crate::policy::{Labels, Policy, PolicySet, Tier};
use crate::{
    BridgeName, Endpoint, EndpointId, GroupName, IfName, MacAddr, Network, NetworkId, Pools, PortName, Route,
    RouteId, TierName, name,
};

/// Digits of Docker's ID in our names of bridges and ports, as many as `docker network ls` shows.
const DIGITS: usize = 12;
/// Digits of Docker's ID in a link's name, which is short: `plc` and 11 of them.
const LINK_DIGITS: usize = 11;
/// Longest name of an interface (`IFNAMSIZ` less its final zero).
const LINK_MAX: usize = 15;

/// Everything that Docker and the command line have asked for and that must outlive us. What the configuration file asks for is not in here:
/// the file itself is its durable form.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Docker's networks.
    pub networks: Table<NetworkId, Network>,
    /// Docker's endpoints.
    pub endpoints: Table<EndpointId, Endpoint>,
    /// Address pools and leases.
    pub pools: Pools,
    /// Routes that the operator added, beside those of the configuration file.
    #[serde(default)]
    pub routes: Table<RouteId, Route>,
    /// Tiers of policies, each with its place and its policies.
    #[serde(default)]
    pub tiers: Table<TierName, PlacedTier>,
    /// Addresses with a name, for policies.
    #[serde(default)]
    pub groups: Table<GroupName, Vec<IpNet>>,
}

/// A tier of policies, and where it is among the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacedTier {
    /// Its place, from 0.
    pub place: u32,
    /// Its policies in their order.
    pub policies: Vec<Policy>,
}

impl Model {
    /// Endpoints of one network.
    pub fn endpoints_of<'a>(&'a self, network: &'a NetworkId) -> impl Iterator<Item = &'a Endpoint> + 'a {
        self.endpoints.values().filter(move |endpoint| endpoint.network == *network)
    }

    /// An endpoint's own labels, over those of its network.
    pub fn labels_of(&self, endpoint: &Endpoint) -> Labels {
        let network = self.networks.get(&endpoint.network);
        network.map(|network| network.options.labels.with(&endpoint.labels)).unwrap_or_default()
    }

    /// What was asked for the link of an endpoint: its own options, over those of its network.
    pub fn link_of(&self, endpoint: &Endpoint) -> LinkOptions {
        let network = self.networks.get(&endpoint.network);
        network.map_or_else(
            || endpoint.link_options.clone(),
            |network| endpoint.link_options.over(&network.options.link),
        )
    }

    /// All policies.
    pub fn policies(&self) -> PolicySet {
        let mut tiers: Vec<_> = self.tiers.iter().collect();
        tiers.sort_by_key(|(_, tier)| tier.place);
        let tier = |(name, tier): (&TierName, &PlacedTier)| Tier {
            name: name.clone(),
            policies: tier.policies.clone(),
        };
        let groups = self.groups.iter().map(|(name, prefixes)| (name.clone(), prefixes.clone())).collect();
        PolicySet { tiers: tiers.into_iter().map(tier).collect(), groups }
    }

    /// Puts these policies in place of all others.
    pub fn set_policies(&mut self, set: &PolicySet) {
        for name in self.tiers.keys().cloned().collect::<Vec<_>>() {
            self.tiers.remove(&name);
        }
        for name in self.groups.keys().cloned().collect::<Vec<_>>() {
            self.groups.remove(&name);
        }
        for (place, tier) in (0..).zip(&set.tiers) {
            self.tiers.insert(tier.name.clone(), PlacedTier { place, policies: tier.policies.clone() });
        }
        for (name, prefixes) in &set.groups {
            self.groups.insert(name.clone(), prefixes.clone());
        }
    }

    /// The Ethernet address of each network's gateway, no two the same. It follows from the network's ID, or its VNI, alone but
    /// for one chance in 2^39, so that neighbours may remember it.
    pub fn gateway_macs(&self) -> BTreeMap<&NetworkId, MacAddr> {
        let (mut macs, mut taken) = (BTreeMap::new(), BTreeSet::new());
        for (id, network) in self.networks.iter() {
            let seed = network.gateway_seed();
            let mut nth = (0..).map(|nth| MacAddr::made_of(&seed, nth));
            macs.extend(nth.find(|mac| taken.insert(*mac)).map(|mac| (id, mac)));
        }
        macs
    }

    /// The name for the bridge of a network to be: `n-` and the first 12 digits of its ID, or more if that is taken.
    /// Kept in the network afterwards: a name never changes under a running bridge.
    pub fn bridge_name(&self, id: &NetworkId) -> BridgeName {
        let taken = |name: &str| self.networks.values().any(|network| network.bridge.as_str() == name);
        checked(&name::unique(BridgeName::DOCKER, id.as_str(), DIGITS, BridgeName::MAX_LEN, taken))
    }

    /// The name for the port of an endpoint to be: `e-` and the first 12 digits of its ID, or more if that is taken.
    pub fn port_name(&self, id: &EndpointId) -> PortName {
        let taken = |name: &str| self.endpoints.values().any(|endpoint| endpoint.port.as_str() == name);
        checked(&name::unique(PortName::DOCKER, id.as_str(), DIGITS, PortName::MAX_LEN, taken))
    }

    /// The name for the link of an endpoint to be, in the host's namespace: `plc` and the first 11 digits of its ID, or
    /// another if that is taken.
    pub fn link_name(&self, id: &EndpointId) -> IfName {
        let taken = |name: &str| self.endpoints.values().any(|endpoint| endpoint.link.as_str() == name);
        checked(&name::unique("plc", id.as_str(), LINK_DIGITS, LINK_MAX, taken))
    }

    /// Whether no row differs from what it was at the last [`settle`](Self::settle).
    pub fn is_settled(&self) -> bool {
        let Self { networks, endpoints, pools: Pools { pools, leases, offers }, routes, tiers, groups } =
            self;
        networks.changes().next().is_none()
            && endpoints.changes().next().is_none()
            && pools.changes().next().is_none()
            && leases.changes().next().is_none()
            && offers.changes().next().is_none()
            && routes.changes().next().is_none()
            && tiers.changes().next().is_none()
            && groups.changes().next().is_none()
    }

    /// Takes back all changes since the last [`settle`](Self::settle).
    pub fn roll_back(&mut self) {
        let Self { networks, endpoints, pools: Pools { pools, leases, offers }, routes, tiers, groups } =
            self;
        networks.roll_back();
        endpoints.roll_back();
        pools.roll_back();
        leases.roll_back();
        offers.roll_back();
        routes.roll_back();
        tiers.roll_back();
        groups.roll_back();
    }

    /// Forgets how to take changes back: they are on disk.
    pub fn settle(&mut self) {
        let Self { networks, endpoints, pools: Pools { pools, leases, offers }, routes, tiers, groups } =
            self;
        networks.settle();
        endpoints.settle();
        pools.settle();
        leases.settle();
        offers.settle();
        routes.settle();
        tiers.settle();
        groups.settle();
    }
}

/// A name that was put together from a prefix and a checked ID, so that it is one.
fn checked<T: std::str::FromStr<Err: std::fmt::Debug>>(name: &str) -> T {
    name.parse().expect("a prefix and the characters of an ID make a name")
}

/// A map that remembers what it held before, so that the store writes only what changed and a failed write is taken
/// back. Read it as the map it is, of which a copy costs nothing; write with [`insert`](Self::insert), [`remove`](Self::remove)
/// and [`get_mut`](Self::get_mut).
#[derive(Debug, Clone)]
pub struct Table<K: Ord, V> {
    rows: OrdMap<K, V>,
    /// Of each row that was touched since the last `settle`, what it was then.
    before: BTreeMap<K, Option<V>>,
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    /// Sets a row; returns what it was.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.note(&key);
        self.rows.insert(key, value)
    }

    /// Takes a row out; returns what it was.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.note(key);
        self.rows.remove(key)
    }

    /// A row to change.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.note(key);
        self.rows.get_mut(key)
    }

    /// The rows that differ from what they were at the last [`settle`](Model::settle), each with what it is now: nothing
    /// if it is gone.
    pub fn changes(&self) -> impl Iterator<Item = (&K, Option<&V>)>
    where
        V: PartialEq,
    {
        let rows = self.before.iter().map(|(key, before)| (key, before.as_ref(), self.rows.get(key)));
        rows.filter(|(_, before, now)| before != now).map(|(key, _, now)| (key, now))
    }

    fn note(&mut self, key: &K) {
        if !self.before.contains_key(key) {
            self.before.insert(key.clone(), self.rows.get(key).cloned());
        }
    }

    fn roll_back(&mut self) {
        for (key, value) in std::mem::take(&mut self.before) {
            match value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }

    fn settle(&mut self) {
        self.before.clear();
    }
}

impl<K: Ord, V> Deref for Table<K, V> {
    type Target = OrdMap<K, V>;

    fn deref(&self) -> &Self::Target {
        &self.rows
    }
}

/// Rows as they were read: nothing is touched.
impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for Table<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(rows: I) -> Self {
        Self { rows: rows.into_iter().collect(), before: BTreeMap::new() }
    }
}

impl<K: Ord, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: OrdMap::new(), before: BTreeMap::new() }
    }
}

/// Equal by what they hold, whatever they held before.
impl<K: Ord, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}

impl<K: Ord + Serialize, V: Serialize> Serialize for Table<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.rows.iter())
    }
}

impl<'de, K: Ord + Clone + Deserialize<'de>, V: Clone + Deserialize<'de>> Deserialize<'de> for Table<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_rollback_is_as_if_nothing_had_been(
            start in prop::collection::btree_map(0u8..16, any::<u8>(), 0..16),
            edits in prop::collection::vec((0u8..16, any::<Option<u8>>(), any::<bool>()), 0..40),
        ) {
            let mut table: Table<u8, u8> = start.clone().into_iter().collect();
            let as_map = |table: &Table<u8, u8>| table.iter().map(|(key, value)| (*key, *value)).collect::<BTreeMap<_, _>>();
            let mut twin = start.clone();
            for (key, value, in_place) in edits {
                match (value, in_place) {
                    (Some(value), true) => {
                        if let Some(row) = table.get_mut(&key) { *row = value; }
                        twin.entry(key).and_modify(|row| *row = value);
                    }
                    (Some(value), false) => prop_assert_eq!(table.insert(key, value), twin.insert(key, value)),
                    (None, _) => prop_assert_eq!(table.remove(&key), twin.remove(&key)),
                }
            }
            prop_assert_eq!(as_map(&table), twin.clone());
            // The changes are enough to bring a copy up to date.
            let mut copy = start.clone();
            for (&key, now) in table.changes() {
                match now {
                    Some(&value) => copy.insert(key, value),
                    None => copy.remove(&key),
                };
            }
            prop_assert_eq!(&copy, &twin);
            table.roll_back();
            prop_assert_eq!(as_map(&table), start);
            prop_assert_eq!(table.changes().count(), 0);
        }
    }

    #[test]
    fn names_of_twins_differ_and_are_names() {
        let mut model = Model::default();
        let id = |last: char| -> EndpointId { format!("{}{last}", "a".repeat(63)).parse().unwrap() };
        for last in ['1', '2', '3'] {
            let id = id(last);
            let endpoint = Endpoint::example(&model, id.clone(), "net".parse().unwrap());
            model.endpoints.insert(id, endpoint);
        }
        let names: Vec<_> = model.endpoints.values().map(|e| (e.port.as_str(), e.link.as_str())).collect();
        assert_eq!(names[0], ("e-aaaaaaaaaaaa", "plcaaaaaaaaaaa"));
        assert_eq!(names[1], ("e-aaaaaaaaaaaaa", "plcaaaaaaaaaaaa"));
        assert_eq!(names[2], ("e-aaaaaaaaaaaaaa", "plcaaaaaaaaaa.2"));
    }
}
