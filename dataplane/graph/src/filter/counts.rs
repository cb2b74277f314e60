//! What rules have counted, from one policy to those that follow it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::policy::Policy;
use super::rule::Rule;

/// Tier and rule.
type Name = (Arc<str>, Arc<str>);

/// Packets and bytes by tier and rule. Of several rules with one name the first goes on as the first, and so on.
#[derive(Debug, Default)]
pub struct Counts(HashMap<Name, VecDeque<(u64, u64)>>);

impl Counts {
    /// What a policy has counted.
    pub fn of(policy: &Policy) -> Counts {
        let mut counts = Counts::default();
        for (number, rule) in policy.rules().iter().enumerate() {
            let name = (Arc::clone(&rule.tier), Arc::clone(&rule.name));
            counts.0.entry(name).or_default().push_back(policy.counts(number));
        }
        counts
    }

    /// What a rule goes on from, which no other one does then.
    pub(super) fn take(&mut self, rule: &Rule) -> (u64, u64) {
        let counts = self.0.get_mut(&(Arc::clone(&rule.tier), Arc::clone(&rule.name)));
        counts.and_then(VecDeque::pop_front).unwrap_or_default()
    }
}
