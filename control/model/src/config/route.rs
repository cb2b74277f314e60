//! `[[vrf]]` and `[[route]]`

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;

use imbl::OrdMap;
use ipnet::IpNet;
use serde::{Deserialize, Serialize, Serializer};

use super::field;
use crate::{Path, PortName, Route, VrfName};

/// One routing table beside `default`, which is always there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vrf {
    /// Our name of it.
    pub name: VrfName,
}

/// One route: to next hops, by an interface, or nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticRoute {
    /// Its routing table.
    #[serde(default)]
    pub vrf: VrfName,
    /// The destinations.
    #[serde(deserialize_with = "field::one")]
    pub prefix: IpNet,
    /// Next hops, among which flows are spread; one address or a list.
    #[serde(default, deserialize_with = "field::one_or_list")]
    pub via: Vec<IpAddr>,
    /// The interface to leave by; none: the one in whose subnet the next hop is.
    pub interface: Option<PortName>,
    /// What happens to packets that go nowhere.
    pub action: Option<Action>,
}

/// All routes of the file, and the tables that they make, which take a time to make with a hundred thousand of them.
#[derive(Debug, Clone, Default)]
pub struct StaticRoutes {
    list: Vec<StaticRoute>,
    tables: BTreeMap<VrfName, OrdMap<IpNet, Route>>,
}

impl StaticRoutes {
    /// Routes by prefix, of each routing table that has some.
    pub fn tables(&self) -> &BTreeMap<VrfName, OrdMap<IpNet, Route>> {
        &self.tables
    }
}

impl From<Vec<StaticRoute>> for StaticRoutes {
    fn from(list: Vec<StaticRoute>) -> Self {
        let mut tables: BTreeMap<VrfName, OrdMap<IpNet, Route>> = BTreeMap::new();
        for route in &list {
            tables.entry(route.vrf.clone()).or_default().insert(route.prefix, route.route());
        }
        Self { list, tables }
    }
}

/// As they are in the file.
impl Deref for StaticRoutes {
    type Target = [StaticRoute];

    fn deref(&self) -> &[StaticRoute] {
        &self.list
    }
}

impl PartialEq for StaticRoutes {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl Serialize for StaticRoutes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.list.serialize(serializer)
    }
}

/// What happens to packets that go nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Nothing: they are dropped.
    Blackhole,
    /// The sender is told that the destination cannot be reached.
    Unreachable,
    /// The sender is told that this is forbidden.
    Prohibit,
}

impl StaticRoute {
    /// Where it leads.
    pub fn route(&self) -> Route {
        match self.action {
            Some(Action::Blackhole) => Route::Blackhole,
            Some(Action::Unreachable) => Route::Unreachable,
            Some(Action::Prohibit) => Route::Prohibit,
            None if self.via.is_empty() => {
                Route::Via(vec![Path { via: None, interface: self.interface.clone() }])
            }
            None => {
                let path = |&via| Path { via: Some(via), interface: self.interface.clone() };
                Route::Via(self.via.iter().map(path).collect())
            }
        }
    }
}
