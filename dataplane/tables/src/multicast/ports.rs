//! Sets of ports, a bit each.

use crate::mac::MacTable;
use crate::sync::AtomicU64;
use crate::sync::Ordering::{Acquire, Release};

/// Words of a set. One more word has a bit for each of them that is not 0.
const WORDS: usize = MacTable::PORTS as usize / 64;

/// A set of ports of one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSet {
    used: u64,
    words: [u64; WORDS],
}

impl Default for PortSet {
    fn default() -> Self {
        PortSet { used: 0, words: [0; WORDS] }
    }
}

impl PortSet {
    /// Takes all ports out.
    pub fn clear(&mut self) {
        for word in bits(self.used) {
            self.words[word] = 0;
        }
        self.used = 0;
    }

    /// Takes a port in; none above those that there are.
    pub fn insert(&mut self, port: u16) {
        let word = usize::from(port) / 64;
        if let Some(bits) = self.words.get_mut(word) {
            *bits |= 1 << (port % 64);
            self.used |= 1 << word;
        }
    }

    /// The ports, in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        bits(self.used).flat_map(|word| bits(self.words[word]).map(move |bit| (word * 64 + bit) as u16))
    }
}

/// The bits of a word that are set, from the lowest on.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros() as usize;
        word &= word.wrapping_sub(1);
        (bit < 64).then_some(bit)
    })
}

/// A set that one thread writes and others read.
#[derive(zerocopy::FromZeros)]
#[repr(C)]
pub(super) struct SharedPorts {
    used: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl Default for SharedPorts {
    fn default() -> Self {
        SharedPorts { used: AtomicU64::new(0), words: [const { AtomicU64::new(0) }; WORDS] }
    }
}

impl SharedPorts {
    /// Adds its ports to another set.
    pub fn add_to(&self, ports: &mut PortSet) {
        for at in bits(self.used.load(Acquire)) {
            let word = self.words[at].load(Acquire);
            if word != 0 {
                ports.words[at] |= word;
                ports.used |= 1 << at;
            }
        }
    }

    /// Adds a port. One that no port can be is passed over.
    pub fn insert(&self, port: u16) {
        let Some(word) = self.words.get(usize::from(port / 64)) else { return };
        word.fetch_or(1 << (port % 64), Release);
        self.used.fetch_or(1 << (port / 64), Release);
    }

    /// Takes a port out; whether none is left.
    pub fn remove(&self, port: u16) -> bool {
        if let Some(word) = self.words.get(usize::from(port / 64))
            && word.fetch_and(!(1 << (port % 64)), Release) & !(1 << (port % 64)) == 0
        {
            self.used.fetch_and(!(1 << (port / 64)), Release);
        }
        self.used.load(Acquire) == 0
    }
}
