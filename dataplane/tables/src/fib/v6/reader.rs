//! Lookups.

use super::memory::{FIRST, Memory, UNIT, Unit};
use super::word::{Answer, Node, Target, Word};
use crate::sync::AtomicWord;
use crate::sync::Ordering::Acquire;
use paceline_sys::cpu::prefetch_read;

/// Addresses whose lookups are in flight together in [`Fib6::lookup_batch`].
const BATCH: usize = 64;

/// The forwarding table of IPv6 routes. Any thread may look up; [`Rib6`](crate::Rib6) writes.
///
/// Addresses are numbers with the first byte highest, as [`Ipv6Addr::to_bits`](std::net::Ipv6Addr::to_bits) makes them. A table
/// has 256 MiB of addresses, and takes memory as it is touched: a page when empty, then some 50
/// bytes for a route. Large parts are
/// asked for on huge pages.
pub struct Fib6 {
    pub(super) memory: Memory,
}

impl Fib6 {
    /// The value of the longest prefix of an address, or [`NO_ROUTE`](crate::NO_ROUTE).
    #[inline]
    pub fn lookup(&self, address: u128) -> u32 {
        let reader = Reader(self.memory.units());
        let mut word = reader.root();
        while !word.is_answer() {
            word = reader.step(word, address);
        }
        word.answer().value()
    }

    /// Looks up many addresses, a step of the way for all of 64 at a time, so that their cache misses overlap. Writes as many
    /// values as both slices have room for.
    pub fn lookup_batch(&self, addresses: &[u128], values: &mut [u32]) {
        let reader = Reader(self.memory.units());
        for (addresses, values) in addresses.chunks(BATCH).zip(values.chunks_mut(BATCH)) {
            reader.lookup(addresses, values);
        }
    }
}

/// The table for the length of a vector.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [Unit]);

impl Reader<'_> {
    #[inline(always)]
    fn lookup(self, addresses: &[u128], values: &mut [u32]) {
        let root = self.root();
        let mut words = [Word(0); BATCH];
        let mut waiting = [0_u8; BATCH];
        let mut count = 0;
        for (i, (address, word)) in addresses.iter().zip(&mut words).enumerate() {
            *word = self.step(root, *address);
            self.prefetch(*word, *address);
            waiting[count % BATCH] = i as u8;
            count += usize::from(!word.is_answer());
        }
        while count > 0 {
            let mut still = 0;
            for k in 0..count.min(BATCH) {
                let i = waiting[k];
                let (Some(address), word) = (addresses.get(i as usize), &mut words[i as usize % BATCH])
                else {
                    continue;
                };
                *word = self.step(*word, *address);
                self.prefetch(*word, *address);
                waiting[still % BATCH] = i;
                still += usize::from(!word.is_answer());
            }
            count = still;
        }
        for (word, value) in words.iter().zip(values) {
            *value = word.answer().value();
        }
    }

    #[inline(always)]
    fn root(self) -> Word {
        self.0.get(FIRST as usize).map_or(Word(0), |unit| Word(unit[0].load(Acquire)))
    }

    /// Brings towards the CPU what the next step reads.
    #[inline(always)]
    fn prefetch(self, word: Word, address: u128) {
        let unit = match word.target() {
            Target::Answer(_) => return,
            Target::Routes { first, .. } => first,
            Target::Node(node) => {
                if node.skips {
                    self.0.get(node.header as usize).inspect(|unit| prefetch_read(*unit));
                }
                node.word(address) >> UNIT
            }
        };
        self.0.get(unit as usize).inspect(|unit| prefetch_read(*unit));
    }

    /// Follows a word; where a table had none, to the answer that there is no route.
    #[inline(always)]
    fn step(self, word: Word, address: u128) -> Word {
        match word.target() {
            Target::Answer(_) => Some(word),
            Target::Routes { first, last } => self.ends(first, last, address),
            Target::Node(node) => self.enter(node, address),
        }
        .unwrap_or(Word(0))
    }

    /// What the routes of two units answer, which may be one and the same: the first that matches, or else what covers them.
    /// Both are compared, as a branch on the first is a matter of luck.
    #[inline(always)]
    fn ends(self, first: u32, last: u32, address: u128) -> Option<Word> {
        let [bits @ .., answers, _] = self.0.get(first as usize)?;
        let [others @ .., seconds, _] = self.0.get(last as usize)?;
        let (answers, seconds) = (answers.load(Acquire), seconds.load(Acquire));
        let fits = matches(bits, address, answers as u8);
        let or_else = if matches(others, address, seconds as u8) { seconds } else { seconds >> 32 };
        let answer = if fits { answers } else { or_else };
        Some(Word::new(Target::Answer(Answer::from_bits(answer as u32))))
    }

    #[inline(always)]
    fn enter(self, node: Node, address: u128) -> Option<Word> {
        if node.skips {
            let [bits @ .., other, _] = self.0.get(node.header as usize)?;
            if !matches(bits, address, node.start as u8) {
                return Some(Word::new(Target::Answer(Answer::from_bits(other.load(Acquire) as u32))));
            }
        }
        let number = node.word(address);
        let unit = self.0.get((number >> UNIT) as usize)?;
        Some(Word(unit[number as usize % unit.len()].load(Acquire)))
    }
}

/// Whether an address begins with the first `len` of some bits: 1 to 128.
#[inline(always)]
fn matches([high, low]: &[AtomicWord; 2], address: u128, len: u8) -> bool {
    let bits = u128::from(high.load(Acquire)) << 64 | u128::from(low.load(Acquire));
    (bits ^ address).wrapping_shr(128 - u32::from(len)) == 0
}
