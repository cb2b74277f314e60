//! Which rules are in one table.

use std::collections::HashMap;

use super::rule::masked;
use super::{Acl, AclError, AclKey, AclRule, Detail, Entry, MAX_ENTRIES, Table, hash};

/// Rules of one hash, up to which tables are merged: as many comparisons as cost about one more table.
const CHAIN: u32 = 4;
/// Comparisons of keys that may be spent on merging, so that rules which do not merge take no longer to build than others.
const BUDGET: usize = 1 << 22;
/// Tables that a group of rules is tried with at the cost of bits.
const PARTNERS: usize = 16;

/// A table in the making.
struct Draft<const N: usize> {
    mask: AclKey<N>,
    /// Places of the rules in it.
    rules: Vec<u32>,
    /// How many rules each of its keys has.
    chains: HashMap<AclKey<N>, u32>,
}

impl<const N: usize> Draft<N> {
    fn new(mask: AclKey<N>) -> Draft<N> {
        Draft { mask, rules: Vec::new(), chains: HashMap::new() }
    }

    fn add(&mut self, all: &[AclRule<N>], rules: &[u32]) {
        for rule in rules {
            *self.chains.entry(masked(&all[*rule as usize].value, &self.mask)).or_default() += 1;
        }
        self.rules.extend(rules);
    }

    /// Takes more rules, if few of them fall together with others.
    fn merge(&mut self, all: &[AclRule<N>], rules: &[u32]) -> bool {
        for (done, rule) in rules.iter().enumerate() {
            let key = masked(&all[*rule as usize].value, &self.mask);
            let chain = self.chains.entry(key).or_default();
            *chain += 1;
            if *chain > CHAIN {
                for rule in &rules[..=done] {
                    if let Some(chain) = self.chains.get_mut(&masked(&all[*rule as usize].value, &self.mask))
                    {
                        *chain -= 1;
                    }
                }
                return false;
            }
        }
        self.rules.extend(rules);
        true
    }
}

/// Whether every bit of one mask is in another.
fn is_within<const N: usize>(mask: &AclKey<N>, other: &AclKey<N>) -> bool {
    masked(mask, other) == *mask
}

impl<const N: usize> Acl<N> {
    /// A classifier of these rules.
    ///
    /// # Errors
    /// More of them than [`MAX_ENTRIES`].
    pub fn new(rules: &[AclRule<N>]) -> Result<Acl<N>, AclError> {
        if rules.len() > MAX_ENTRIES {
            return Err(AclError::Entries(rules.len()));
        }
        let drafts = drafts(rules);
        let total: usize = drafts.iter().map(words).sum();
        let mut index = vec![0_u64; total].into_boxed_slice();
        // Entry 0 is none, and so is detail 0.
        let nothing = Entry { value: [0; N], number: 0, next: 0, detail: 0 };
        let mut details = vec![Detail { mask: [0; N], ports: [0; 4], more: false }];
        let mut entries = vec![nothing];
        entries.reserve_exact(rules.len());
        let (mut tables, mut start) = (Vec::with_capacity(drafts.len()), 0);
        for draft in drafts {
            let mut order: Vec<&AclRule<N>> = draft.rules.iter().map(|rule| &rules[*rule as usize]).collect();
            order.sort_by_key(|rule| rule.number);
            let best = order.first().map_or(0, |rule| rule.number);
            let len = words(&draft);
            let table = Table { mask: draft.mask, best, start: start as u32, last: len as u32 - 1 };
            start += len;
            // The highest first, so that each goes in front of those behind it.
            for rule in order.into_iter().rev() {
                let hash = hash(&masked(&rule.value, &table.mask));
                let mut at = table.home(hash);
                while index[at] != 0 && (index[at] >> 32) as u32 != hash {
                    at = table.after(at);
                }
                let next = index[at] as u32;
                index[at] = u64::from(hash) << 32 | entries.len() as u64;
                let AclRule { value, mask, ports, number, more } = *rule;
                let is_whole = mask == table.mask && !more && !rule.has_ranges();
                let detail = if is_whole { 0 } else { details.len() as u32 };
                if !is_whole {
                    details.push(Detail { mask, ports, more });
                }
                entries.push(Entry { value, number, next, detail });
            }
            tables.push(table);
        }
        tables.sort_by_key(|table| table.best);
        Ok(Acl { tables: tables.into(), index, entries: entries.into(), details: details.into() })
    }
}

/// Words of the index that a table gets: it is less than half full.
fn words<const N: usize>(draft: &Draft<N>) -> usize {
    (2 * draft.chains.len() + 1).next_power_of_two()
}

/// All rules in few tables. Large groups of one mask come first; each further one is put where it fits, or shares a table with one
/// at the cost of bits that only one of them looks at, or gets its own.
fn drafts<const N: usize>(all: &[AclRule<N>]) -> Vec<Draft<N>> {
    let mut by_mask: HashMap<AclKey<N>, Vec<u32>> = HashMap::new();
    for (place, rule) in all.iter().enumerate() {
        by_mask.entry(rule.mask).or_default().push(place as u32);
    }
    let mut groups: Vec<(AclKey<N>, Vec<u32>)> = by_mask.into_iter().collect();
    groups.sort_by_key(|(mask, rules)| (std::cmp::Reverse(rules.len()), *mask));
    let mut drafts: Vec<Draft<N>> = Vec::new();
    let mut budget = BUDGET;
    let spend = |budget: &mut usize, cost: usize| {
        let may = *budget >= cost;
        *budget = budget.saturating_sub(cost);
        may
    };
    for (mask, rules) in groups {
        let fits = drafts.iter_mut().any(|draft| {
            is_within(&draft.mask, &mask) && spend(&mut budget, rules.len()) && draft.merge(all, &rules)
        });
        if fits {
            continue;
        }
        let common = drafts.iter_mut().take(PARTNERS).any(|draft| {
            let common = masked(&draft.mask, &mask);
            let cost = draft.rules.len() + rules.len();
            if common == [0; N] || common == draft.mask || !spend(&mut budget, cost) {
                return false;
            }
            let mut both = Draft::new(common);
            let is_short = both.merge(all, &draft.rules) && both.merge(all, &rules);
            if is_short {
                *draft = both;
            }
            is_short
        });
        if !common {
            let mut own = Draft::new(mask);
            own.add(all, &rules);
            drafts.push(own);
        }
    }
    drafts
}
