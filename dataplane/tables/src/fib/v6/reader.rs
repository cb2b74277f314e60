//! Lookups.

use super::word::{Answer, Target, UNIT, Word};
use crate::fib::slabs::Slabs;
use crate::sync::AtomicWord;
use crate::sync::Ordering::Acquire;
use paceline_sys::cpu::prefetch_read;

/// Words of the first slab (as a power of two), and slabs: numbers of words end at 2^26, which is 512 MiB.
const FIRST: u32 = if cfg!(loom) { 5 } else { 10 };
const SLABS: usize = 16;
/// The memory of a table.
pub(super) type Words = Slabs<AtomicWord, FIRST, SLABS>;
/// The number of the first word, from which every lookup starts.
pub(super) const ROOT: u32 = 1 << FIRST;
/// Addresses whose lookups are in flight together in [`Fib6::lookup_batch`].
const BATCH: usize = 64;

/// The forwarding table of IPv6 routes. Any thread may look up; [`Rib6`](crate::Rib6) writes.
///
/// Addresses are numbers with the first byte highest, as [`Ipv6Addr::to_bits`](std::net::Ipv6Addr::to_bits) makes them. An empty
/// table takes 8 KiB, and memory doubles when it is full. Large parts are asked for on huge pages.
pub struct Fib6 {
    pub(super) words: Words,
}

impl Fib6 {
    /// The value of the longest prefix of an address, or [`NO_ROUTE`](crate::NO_ROUTE).
    #[inline]
    pub fn lookup(&self, address: u128) -> u32 {
        let mut word = self.root();
        while !word.is_answer() {
            word = self.step(word, address);
        }
        word.answer().value()
    }

    /// Looks up many addresses, a step of the way for all of 64 at a time, so that their cache misses overlap. Writes as many
    /// values as both slices have room for.
    pub fn lookup_batch(&self, addresses: &[u128], values: &mut [u32]) {
        for (addresses, values) in addresses.chunks(BATCH).zip(values.chunks_mut(BATCH)) {
            self.lookup_some(addresses, values);
        }
    }

    #[inline(always)]
    fn lookup_some(&self, addresses: &[u128], values: &mut [u32]) {
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
                let (word, address) = (&mut words[i as usize % BATCH], addresses[i as usize]);
                *word = self.step(*word, address);
                self.prefetch(*word, address);
                waiting[still % BATCH] = i;
                still += usize::from(!word.is_answer());
            }
            count = still;
        }
        for (word, value) in words.iter().zip(values) {
            *value = word.answer().value();
        }
    }

    fn root(&self) -> Word {
        self.load(ROOT)
    }

    /// The word of a number; where there is none, that no route matches.
    #[inline(always)]
    pub(super) fn load(&self, number: u32) -> Word {
        Word(self.words.from(number).first().map_or(0, |word| word.load(Acquire)))
    }

    /// The words of some units.
    #[inline(always)]
    pub(super) fn units<const N: usize>(&self, unit: u32) -> Option<&[AtomicWord; N]> {
        self.words.from(unit << UNIT).first_chunk()
    }

    /// Brings towards the CPU what the next step reads.
    #[inline(always)]
    fn prefetch(&self, word: Word, address: u128) {
        let number = match word.target() {
            Target::Answer(_) => return,
            Target::One(unit) | Target::Two(unit) => unit << UNIT,
            Target::Node(node) => {
                if node.skips {
                    self.words.from(node.header << UNIT).first().inspect(|word| prefetch_read(*word));
                }
                node.word(address)
            }
        };
        self.words.from(number).first().inspect(|word| prefetch_read(*word));
    }

    /// Follows a word.
    #[inline(always)]
    fn step(&self, word: Word, address: u128) -> Word {
        match word.target() {
            Target::Answer(_) => word,
            Target::One(unit) => match self.units(unit) {
                Some(route) => answer(route, address).unwrap_or_else(|other| other),
                None => Word(0),
            },
            Target::Two(unit) => match (self.units(unit), self.units(unit + 1)) {
                (Some(first), Some(second)) => {
                    let second = answer(second, address).unwrap_or_else(|other| other);
                    answer(first, address).unwrap_or(second)
                }
                _ => Word(0),
            },
            Target::Node(node) => {
                if node.skips {
                    let Some([bits @ .., other, _]) = self.units::<4>(node.header) else { return Word(0) };
                    if !matches(bits, address, node.start) {
                        return Word::new(Target::Answer(Answer::from_bits(other.load(Acquire) as u32)));
                    }
                }
                self.load(node.word(address))
            }
        }
    }
}

/// What a route of one unit answers: its own value, or else what covers it.
#[inline(always)]
fn answer([bits @ .., answers, _]: &[AtomicWord; 4], address: u128) -> Result<Word, Word> {
    let answers = answers.load(Acquire);
    let [own, other] = [answers, answers >> 32].map(|bits| Answer::from_bits(bits as u32));
    let fits = matches(bits, address, u32::from(own.len()));
    let word = |answer| Word::new(Target::Answer(answer));
    if fits { Ok(word(own)) } else { Err(word(other)) }
}

/// Whether an address begins with the first `len` of some bits.
#[inline(always)]
fn matches([high, low]: &[AtomicWord; 2], address: u128, len: u32) -> bool {
    let bits = u128::from(high.load(Acquire)) << 64 | u128::from(low.load(Acquire));
    // A shift by all bits counts as by none: no prefix here is of length 0 but one whose bits are 0.
    (bits ^ address).checked_shr(128 - len.min(128)).unwrap_or(0) == 0
}
