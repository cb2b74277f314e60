//! Makes a subtree for some routes, which nobody sees before it is linked.

use super::arena::Arena;
use super::memory::UNIT;
use super::shape::{order, start, stride};
use super::word::{Answer, Node, Target, Word};
use super::{Key, Route};
use crate::fib::RouteError;

/// What the last word of a header counts, for the writer alone.
#[derive(Clone, Copy)]
pub(super) struct Weight {
    /// Routes in the node now.
    pub now: u32,
    /// Routes when it was built.
    pub built: u32,
}

impl Weight {
    /// Whether routes have become so many that the node should be wider.
    pub fn is_heavy(self) -> bool {
        self.now >= self.built.saturating_mul(2)
    }

    /// Whether so few will be left without one that the node should be narrower, or go.
    pub fn is_light(self) -> bool {
        self.now <= 3 || self.now <= self.built / 4
    }
}

impl Arena {
    pub fn load(&self, number: u32) -> Word {
        Word(self.fib.memory.load(number))
    }

    pub fn store(&self, number: u32, word: Word) {
        self.fib.memory.store(number, word.0);
    }

    /// Writes a unit: bits of a prefix, and two words more.
    pub fn store_unit(&self, unit: u32, bits: u128, rest: [u64; 2]) {
        let words = [(bits >> 64) as u64, bits as u64, rest[0], rest[1]];
        for (number, word) in (unit << UNIT..).zip(words) {
            self.store(number, Word(word));
        }
    }

    pub fn weight(&self, node: Node) -> Weight {
        let bits = self.load((node.header << UNIT) + 3).0;
        Weight { now: bits as u32, built: (bits >> 32) as u32 }
    }

    pub fn set_weight(&self, node: Node, weight: Weight) {
        self.store((node.header << UNIT) + 3, Word(u64::from(weight.built) << 32 | u64::from(weight.now)));
    }

    /// The bits that all addresses of a node begin with.
    pub fn path(&self, node: Node) -> u128 {
        self.bits(node.header)
    }

    /// What covers a node.
    pub fn cover(&self, node: Node) -> Answer {
        Answer::from_bits(self.load((node.header << UNIT) + 2).0 as u32)
    }

    /// The route of a unit, and what covers it.
    pub fn route(&self, unit: u32) -> (Route, Answer) {
        let answers = self.load((unit << UNIT) + 2).0;
        let own = Answer::from_bits(answers as u32);
        let key = Key { bits: self.bits(unit), len: own.len() };
        (Route { key, value: own.value() }, Answer::from_bits((answers >> 32) as u32))
    }

    fn bits(&self, unit: u32) -> u128 {
        let [high, low] = [0, 1].map(|word| self.load((unit << UNIT) + word).0);
        u128::from(high) << 64 | u128::from(low)
    }

    /// The word for routes, in order, that are longer than `end`, the bits that lead to the word.
    pub fn build(&mut self, routes: &[Route], end: u32, cover: Answer) -> Result<Word, RouteError> {
        Ok(Word::new(match *routes {
            [] => Target::Answer(cover),
            [one] => {
                let unit = self.take(0)?;
                self.store_route(unit, one, cover);
                Target::Routes { first: unit, last: unit }
            }
            // In order, a prefix comes behind those that cover it.
            [second, first] => {
                let unit = self.take(1)?;
                self.store_route(unit, first, cover);
                self.store_route(unit + 1, second, cover);
                Target::Routes { first: unit, last: unit + 1 }
            }
            _ => Target::Node(self.build_node(routes, end, cover)?),
        }))
    }

    fn store_route(&self, unit: u32, route: Route, cover: Answer) {
        self.store_unit(unit, route.key.bits, [answers(route, cover), 0]);
    }

    /// Writes the answers of a unit alone, in one store.
    pub fn store_answers(&self, unit: u32, route: Route, cover: Answer) {
        self.store((unit << UNIT) + 2, Word(answers(route, cover)));
    }

    fn build_node(&mut self, routes: &[Route], end: u32, cover: Answer) -> Result<Node, RouteError> {
        let (start, count) = (start(routes), routes.len() as u32);
        let path = routes[0].key.bits & !u128::MAX.checked_shr(start).unwrap_or(0);
        let mut inner = cover;
        let mut rest = routes;
        if let [whole, others @ ..] = routes
            && u32::from(whole.key.len) == start
        {
            (inner, rest) = (whole.answer(), others);
        }
        let node = self.take_node(start, stride(rest, start), start > end)?;
        self.store_unit(node.header, path, [u64::from(cover.bits()), 0]);
        self.set_weight(node, Weight { now: count, built: count });
        self.fill(node, 0..1 << node.stride, inner);
        while let [route, others @ ..] = rest {
            // Those that end in the node come before the longer ones of the same words.
            if u32::from(route.key.len) <= node.end() {
                self.fill(node, range(node, route.key), route.answer());
                rest = others;
                continue;
            }
            let number = node.word(route.key.bits);
            let same = rest.iter().take_while(|other| node.word(other.key.bits) == number).count();
            let (these, others) = rest.split_at(same);
            let word = self.build(these, node.end(), self.load(number).answer())?;
            self.store(number, word);
            rest = others;
        }
        Ok(node)
    }

    pub fn take_node(&mut self, start: u32, stride: u32, skips: bool) -> Result<Node, RouteError> {
        Ok(Node { start, stride, skips, header: self.take(0)?, words: self.take(order(stride))? })
    }

    /// Writes one answer into words of a node that nobody sees.
    pub fn fill(&self, node: Node, words: std::ops::Range<u32>, answer: Answer) {
        let first = node.words << UNIT;
        for number in first + words.start..first + words.end {
            self.store(number, Word::new(Target::Answer(answer)));
        }
    }
}

fn answers(route: Route, cover: Answer) -> u64 {
    u64::from(cover.bits()) << 32 | u64::from(route.answer().bits())
}

/// The words of a node that a prefix covers, which ends in it or is all of it.
pub(super) fn range(node: Node, key: Key) -> std::ops::Range<u32> {
    let first = node.index(key.bits);
    first..first + (1 << (node.end() - u32::from(key.len)))
}
