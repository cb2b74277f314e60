//! Edits the table in place.

use std::sync::Arc;

use ipnet::Ipv4Net;

use super::entry::Entry;
use super::{FIRST, Fib4, GROUP, GROUP_BITS, ROOT, ROOT_BITS, SLABS, within};
use crate::fib::RouteError;
use crate::fib::retired::{Mark, Retired};
use crate::fib::rib::{Family, Routes};

use crate::sync::AtomicU32;

/// Numbers of groups are below this and, as the first slab starts there, from [`NUMBERS`] on.
const END: u32 = 1 << (FIRST + SLABS as u32);
const NUMBERS: u32 = 1 << FIRST;
/// Routes from which on a table is worth huge pages.
const MANY: usize = 1024;
/// Words of the first level in a page of 4 KiB, and in one of 2 MiB.
const SMALL: usize = 1024;
const HUGE: usize = 1 << 19;

/// Control's side of a [`Fib4`].
pub struct Writer {
    fib: Arc<Fib4>,
    /// For each group, prefixes in it that are longer than the first level. By number.
    longer: Vec<u16>,
    free: Vec<u32>,
    retired: Retired<u32>,
    /// Pages of the first level that were written.
    touched: Box<[bool]>,
    huge: bool,
}

/// A change to every word of a prefix that it is the longest for.
#[derive(Clone, Copy)]
enum Change {
    Insert(Entry),
    /// Takes a length out, and puts in what covers it.
    Remove {
        len: u8,
        cover: Entry,
    },
}

impl Change {
    fn apply(self, word: &AtomicU32) {
        let entry = Entry::load(word);
        match self {
            Change::Insert(new) if entry.len() <= new.len() => new.store(word),
            Change::Remove { len, cover } if entry.len() == len => cover.store(word),
            _ => (),
        }
    }
}

/// The last address of a prefix.
fn last(prefix: Ipv4Net) -> u32 {
    prefix.broadcast().to_bits()
}

impl Writer {
    /// Makes a change to all words of a prefix, down to those of groups.
    fn change(&mut self, prefix: Ipv4Net, change: Change) {
        let first = prefix.network().to_bits();
        let roots = (first >> (32 - ROOT_BITS)) as usize..=(last(prefix) >> (32 - ROOT_BITS)) as usize;
        self.touched[roots.start() / SMALL..=roots.end() / SMALL].fill(true);
        for word in &self.fib.root[roots] {
            match Entry::load(word).group() {
                None => change.apply(word),
                Some(group) => self.fib.group(group).iter().for_each(|word| change.apply(word)),
            }
        }
    }

    /// Makes a change to those words of a group that are in a prefix.
    fn change_in(&self, group: u32, prefix: Ipv4Net, change: Change) {
        let words = within(prefix.network().to_bits())..=within(last(prefix));
        self.fib.group(group).get(words).unwrap_or(&[]).iter().for_each(|word| change.apply(word));
    }

    /// A group that nobody reads.
    fn take(&mut self) -> Result<u32, RouteError> {
        if let Some(group) = self.free.pop() {
            return Ok(group);
        }
        let next = NUMBERS.max(self.longer.len() as u32);
        if next >= END {
            return Err(RouteError::Groups { limit: END - NUMBERS, waiting: self.retired.len() });
        }
        if next.is_power_of_two() {
            self.fib.groups.grow(next << GROUP_BITS)?;
        }
        self.longer.resize(next as usize + 1, 0);
        Ok(next)
    }

    /// Adds a prefix longer than the first level to a /24.
    fn lengthen(&mut self, prefix: Ipv4Net, entry: Entry, new: bool) -> Result<(), RouteError> {
        let root = (prefix.network().to_bits() >> (32 - ROOT_BITS)) as usize;
        let word = &self.fib.clone().root[root];
        let cover = Entry::load(word);
        let group = if let Some(group) = cover.group() {
            self.change_in(group, prefix, Change::Insert(entry));
            group
        } else {
            let group = self.take()?;
            self.fib.group(group).iter().for_each(|word| cover.store(word));
            self.change_in(group, prefix, Change::Insert(entry));
            // From here on readers see it, filled.
            Entry::extended(group).store(word);
            self.touched[root / SMALL] = true;
            group
        };
        self.longer[group as usize] += u16::from(new);
        Ok(())
    }

    /// Takes a prefix longer than the first level out of its /24, and the group with the last one.
    fn shorten(&mut self, rib: &Routes<Self>, prefix: Ipv4Net, cover: Entry) {
        let word = self.fib.root_word(prefix.network().to_bits());
        let Some(group) = Entry::load(word).group() else { return };
        let longer = &mut self.longer[group as usize];
        *longer = longer.saturating_sub(1);
        if *longer > 0 {
            return self.change_in(group, prefix, Change::Remove { len: prefix.prefix_len(), cover });
        }
        let whole = Ipv4Net::new_assert(prefix.network(), ROOT_BITS as u8);
        covering(rib, whole).store(word);
        self.retired.push(group);
    }
}

/// What covers a prefix, but for the default route.
fn covering(rib: &Routes<Writer>, prefix: Ipv4Net) -> Entry {
    let cover = rib.get_lpm(&prefix).filter(|(prefix, _)| prefix.prefix_len() > 0);
    cover.map_or(Entry::NONE, |(prefix, value)| Entry::new(*value, prefix.prefix_len()))
}

impl Family for Writer {
    type Prefix = Ipv4Net;
    type Fib = Fib4;

    fn new() -> Result<Self, RouteError> {
        Ok(Writer {
            fib: Arc::new(Fib4::new()?),
            longer: Vec::new(),
            free: Vec::new(),
            retired: Retired::new(),
            touched: vec![false; ROOT.div_ceil(SMALL)].into(),
            huge: false,
        })
    }

    fn fib(&self) -> &Arc<Fib4> {
        &self.fib
    }

    fn expect(&mut self, routes: usize) {
        if routes >= MANY && !self.huge {
            self.huge = true;
            paceline_sys::region::advise_huge_pages(&*self.fib.root);
        }
    }

    fn insert(
        &mut self,
        rib: &Routes<Self>,
        prefix: Ipv4Net,
        value: u32,
        old: Option<u32>,
    ) -> Result<(), RouteError> {
        self.expect(rib.len());
        let entry = Entry::new(value, prefix.prefix_len());
        match u32::from(prefix.prefix_len()) {
            0 => self.fib.set_default(value),
            1..=ROOT_BITS => self.change(prefix, Change::Insert(entry)),
            _ => self.lengthen(prefix, entry, old.is_none())?,
        }
        Ok(())
    }

    fn remove(&mut self, rib: &Routes<Self>, prefix: Ipv4Net) {
        let (len, cover) = (prefix.prefix_len(), covering(rib, prefix));
        match u32::from(len) {
            0 => self.fib.set_default(crate::NO_ROUTE),
            1..=ROOT_BITS => self.change(prefix, Change::Remove { len, cover }),
            _ => self.shorten(rib, prefix, cover),
        }
    }

    fn mark(&self) -> Mark {
        self.retired.mark()
    }

    fn quiet(&mut self, before: Mark) {
        while let Some(group) = self.retired.pop(before) {
            self.free.push(group);
        }
    }

    /// Pages of the first level that were touched, and groups.
    fn bytes(&self) -> usize {
        let page = if self.huge { HUGE } else { SMALL };
        let pages = self.touched.chunks(page / SMALL).filter(|pages| pages.contains(&true)).count();
        let groups = self.longer.len().saturating_sub(NUMBERS as usize);
        (pages * page + groups * GROUP as usize) * size_of::<AtomicU32>()
    }
}
