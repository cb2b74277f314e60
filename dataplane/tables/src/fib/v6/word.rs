//! One word of the trie: an answer, or where to look next.

use super::memory::UNIT;

/// The value and length of the longest prefix so far in 24 and 8 bits. All zero where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Answer(u32);

impl Answer {
    pub const NONE: Answer = Answer(0);

    pub fn new(value: u32, len: u8) -> Answer {
        Answer(value << 8 | u32::from(len))
    }

    #[inline(always)]
    pub fn from_bits(bits: u32) -> Answer {
        Answer(bits)
    }

    #[inline(always)]
    pub fn bits(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub fn value(self) -> u32 {
        self.0 >> 8
    }

    #[inline(always)]
    pub fn len(self) -> u8 {
        self.0 as u8
    }
}

/// What a word points at. Blocks are numbered in units of four words.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// Nothing further.
    Answer(Answer),
    /// Routes of a unit each: one, which is both, or two. A prefix stands before those that cover it.
    Routes {
        first: u32,
        last: u32,
    },
    Node(Node),
}

/// A node: `2^stride` words, chosen by the bits of an address from `start` on.
#[derive(Clone, Copy)]
pub(super) struct Node {
    /// Bits of an address before those that choose: 0 to 127.
    pub start: u32,
    /// Bits that choose: 1 to 22.
    pub stride: u32,
    /// Whether bits were skipped on the way here, so that an address may not belong in the node.
    pub skips: bool,
    /// The unit with the bits that all addresses of the node begin with.
    pub header: u32,
    /// The first unit of its words.
    pub words: u32,
}

impl Node {
    /// The place of an address among the words.
    #[inline(always)]
    pub fn index(self, address: u128) -> u32 {
        ((address << self.start >> 64) as u64 >> (64 - self.stride)) as u32
    }

    /// The number of the word for an address.
    #[inline(always)]
    pub fn word(self, address: u128) -> u32 {
        (self.words << UNIT) + self.index(address)
    }

    /// Bits that are decided behind this node.
    pub fn end(self) -> u32 {
        self.start + self.stride
    }
}

/// A word. From the lowest bit on: kind 2; of a node, skips 1, start 7, stride 6, header 24; then the unit 24. Of an answer,
/// the high half. Zero is the answer that there is no route.
#[derive(Clone, Copy)]
pub(super) struct Word(pub u64);

const KIND: u64 = 3;
/// One route; one more says that there are two.
const ONE: u64 = 1;
const NODE: u64 = 3;
const WORDS: u32 = 40;

impl Word {
    pub fn new(target: Target) -> Word {
        Word(match target {
            Target::Answer(answer) => u64::from(answer.0) << 32,
            Target::Routes { first, last } => u64::from(first) << WORDS | (ONE + u64::from(last != first)),
            Target::Node(node) => {
                let shape =
                    u64::from(node.skips) << 2 | u64::from(node.start) << 3 | u64::from(node.stride) << 10;
                shape | u64::from(node.header) << 16 | u64::from(node.words) << WORDS | NODE
            }
        })
    }

    #[inline(always)]
    pub fn is_answer(self) -> bool {
        self.0 & KIND == 0
    }

    /// Of a word that is one.
    #[inline(always)]
    pub fn answer(self) -> Answer {
        Answer((self.0 >> 32) as u32)
    }

    #[inline(always)]
    pub fn target(self) -> Target {
        let unit = (self.0 >> WORDS) as u32;
        match self.0 & KIND {
            NODE => Target::Node(Node {
                start: (self.0 >> 3) as u32 & 0x7f,
                stride: (self.0 >> 10) as u32 & 0x3f,
                skips: self.0 >> 2 & 1 != 0,
                header: (self.0 >> 16) as u32 & 0xff_ffff,
                words: unit,
            }),
            0 => Target::Answer(self.answer()),
            // Without a branch: which of both it is is a matter of luck.
            kind => Target::Routes { first: unit, last: unit + (kind >> 1) as u32 },
        }
    }
}
