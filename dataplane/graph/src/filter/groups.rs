//! Which identity an address has: labels that control gave numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use paceline_tables::{Fib4, Fib6, MAX_VALUE, Mark, Rib4, Rib6, RouteError};

/// Identities of addresses as workers see them; 0 is none.
pub struct Groups {
    /// Of IPv4.
    pub v4: Arc<Fib4>,
    /// Of IPv6.
    pub v6: Arc<Fib6>,
}

/// The same as control edits it, in place.
pub struct GroupTable {
    v4: Rib4,
    v6: Rib6,
    entries: BTreeMap<IpNet, u32>,
    groups: Arc<Groups>,
    marks: Option<(Mark, Mark)>,
}

impl GroupTable {
    /// A table in which nobody has an identity.
    ///
    /// # Errors
    /// The system has not so much memory.
    pub fn new() -> Result<GroupTable, RouteError> {
        let (v4, v6) = (Rib4::new()?, Rib6::new()?);
        let groups = Arc::new(Groups { v4: Arc::clone(v4.fib()), v6: Arc::clone(v6.fib()) });
        Ok(GroupTable { v4, v6, entries: BTreeMap::new(), groups, marks: None })
    }

    /// What workers use.
    pub fn groups(&self) -> &Arc<Groups> {
        &self.groups
    }

    /// Whether all that have an identity keep it in these. Otherwise rules of before and identities of now would meet, if the table
    /// that workers use became these in place.
    pub fn grows_to(&self, wanted: &BTreeMap<IpNet, u32>) -> bool {
        self.entries.iter().all(|(net, identity)| wanted.get(net) == Some(identity))
    }

    /// Brings the identities to these; whether any is another one now.
    ///
    /// # Errors
    /// An identity out of range, or no room. Those before it are as they should be.
    pub fn set(&mut self, wanted: &BTreeMap<IpNet, u32>) -> Result<bool, RouteError> {
        let gone: Vec<IpNet> = self.entries.keys().filter(|net| !wanted.contains_key(net)).copied().collect();
        let mut is_new = !gone.is_empty();
        for net in gone {
            match net {
                IpNet::V4(net) => self.v4.remove(net),
                IpNet::V6(net) => self.v6.remove(net),
            };
            self.entries.remove(&net);
        }
        for (net, identity) in wanted {
            if self.entries.get(net) == Some(identity) {
                continue;
            }
            match net {
                IpNet::V4(net) => self.v4.insert(net.trunc(), *identity)?,
                IpNet::V6(net) => self.v6.insert(net.trunc(), *identity)?,
            };
            self.entries.insert(*net, *identity);
            is_new = true;
        }
        self.marks = Some((self.v4.mark(), self.v6.mark()));
        Ok(is_new)
    }

    /// Says that every worker has passed a quiet point since the last [`set`](Self::set).
    pub fn quiet(&mut self) {
        if let Some((v4, v6)) = self.marks.take() {
            self.v4.quiet(v4);
            self.v6.quiet(v6);
        }
    }
}

/// The highest identity.
pub const MAX_IDENTITY: u32 = MAX_VALUE;
