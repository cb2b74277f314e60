//! Classifier: the first of many rules that matches a packet.
//!
//! Tuple space search with merging (Srinivasan, Suri, Varghese 1999; Daly et al., TupleMerge, 2017). Rules whose masks let the same
//! bits count are in one hash table, and so are rules with further bits, as long as few of them fall together: each is compared by its
//! own mask in the end. Of a range of ports the bits that all its ports have in common are in the mask; the rest is a
//! comparison. So every rule is one entry, whatever its ranges.
//!
//! Tables are searched in the order of their best rules, and the search ends where the rest can have none better than what was
//! found. A table is an index of 64-bit words (32 bits of hash, number of the entry), less than half full, and entries of half a cache
//! line for IPv4 and one for IPv6. What is not in a table is told by the index alone as a rule, which stays in the first-level cache.
//! A rule that looks at more than its table, a range among them, has a second part for that.
//!
//! A classifier never changes: another set of rules is another classifier, built by control.

mod build;
mod rule;
#[cfg(test)]
mod tests;

pub use rule::{AclAddress, AclFields, AclKey, AclRule, acl_word};
use rule::{masked, within};

/// No rule.
pub const NO_RULE: u32 = u32::MAX;
/// Most entries of a classifier.
pub const MAX_ENTRIES: usize = 1 << 20;

/// Rules for keys of `N` words.
pub struct Acl<const N: usize> {
    tables: Box<[Table<N>]>,
    index: Box<[u64]>,
    entries: Box<[Entry<N>]>,
    details: Box<[Detail<N>]>,
}

/// A hash table, which is a part of the index.
#[derive(Clone, Copy)]
struct Table<const N: usize> {
    /// The bits that count in it.
    mask: AclKey<N>,
    /// The lowest rule in it.
    best: u32,
    /// Where it starts in the index.
    start: u32,
    /// Its number of words, a power of two, less one.
    last: u32,
}

/// A rule in a table: half a cache line for IPv4, one for IPv6.
#[repr(C, align(32))]
#[derive(Clone, Copy)]
struct Entry<const N: usize> {
    value: AclKey<N>,
    number: u32,
    /// The next entry of the same hash, a higher rule; 0 for none.
    next: u32,
    /// What else there is to compare; 0 if the rule's mask is the table's, and it looks at nothing else.
    detail: u32,
}

/// What a rule looks at that its table does not.
#[derive(Clone, Copy)]
struct Detail<const N: usize> {
    mask: AclKey<N>,
    ports: [u16; 4],
    /// More of the packet has to be looked at.
    more: bool,
}

/// Why there is no such classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AclError {
    /// More rules than a classifier takes.
    #[error("{0} entries, of which a rule takes one for each peer identity: there may be {MAX_ENTRIES}")]
    Entries(usize),
}

impl<const N: usize> Acl<N> {
    /// The lowest rule from `from` on that matches a key, or [`NO_RULE`]. `more` says of a rule that looks at more of the packet
    /// than the key whether it matches.
    #[inline(always)]
    pub fn find(&self, key: &AclKey<N>, from: u32, more: impl Fn(u32) -> bool) -> u32 {
        let mut found = NO_RULE;
        for table in &self.tables {
            if table.best >= found {
                break;
            }
            let short = masked(key, &table.mask);
            let hash = hash(&short);
            let mut at = table.home(hash);
            let mut entry = loop {
                let word = self.index[at];
                if word == 0 || (word >> 32) as u32 == hash {
                    break word as u32;
                }
                at = table.after(at);
            };
            while let Some(one) = self.entries.get(entry as usize).filter(|_| entry != 0) {
                if one.number >= found {
                    break;
                }
                let matches = match self.details.get(one.detail as usize).filter(|_| one.detail != 0) {
                    None => one.value == short,
                    Some(detail) => {
                        masked(key, &detail.mask) == one.value
                            && within(&detail.ports, key)
                            && (!detail.more || more(one.number))
                    }
                };
                if matches && one.number >= from {
                    found = one.number;
                    break;
                }
                entry = one.next;
            }
        }
        found
    }

    /// Whether there is no rule in it.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Tables it has, each of which a lookup may have to ask.
    pub fn tables(&self) -> usize {
        self.tables.len()
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.tables)
            + size_of_val(&*self.index)
            + size_of_val(&*self.entries)
            + size_of_val(&*self.details)
    }
}

impl<const N: usize> Table<N> {
    /// Where in the index a hash belongs.
    #[inline(always)]
    fn home(&self, hash: u32) -> usize {
        (self.start + (hash & self.last)) as usize
    }

    /// The place after one.
    #[inline(always)]
    fn after(&self, at: usize) -> usize {
        (self.start + ((at as u32 - self.start + 1) & self.last)) as usize
    }
}

/// A hash of a key.
#[inline(always)]
fn hash<const N: usize>(key: &AclKey<N>) -> u32 {
    // Halves of products, folded together (as wyhash does), with digits of the golden ratio, so that no word hides another one.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for pair in key.chunks(2) {
        let other = pair.get(1).copied().unwrap_or_default() ^ 0xf39c_c060_5ced_c834;
        let product = u128::from(pair[0] ^ state) * u128::from(other);
        state = (product >> 64) as u64 ^ product as u64;
    }
    (state >> 32) as u32
}
