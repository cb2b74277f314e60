//! Changes that go through a whole subtree.

use super::arena::Arena;
use super::memory::UNIT;
use super::shape::order;
use super::word::{Answer, Node, Target, Word};

/// A change to everything under a prefix that it is the longest for.
#[derive(Clone, Copy)]
pub(super) enum Change {
    Insert(Answer),
    /// Takes a length out, and puts in what covers it.
    Remove {
        len: u8,
        cover: Answer,
    },
}

impl Change {
    /// The new answer, if there is one.
    fn of(self, old: Answer) -> Option<Answer> {
        match self {
            Change::Insert(new) => (old.len() <= new.len()).then_some(new),
            Change::Remove { len, cover } => (old.len() == len).then_some(cover),
        }
    }
}

impl Arena {
    /// Notes that a subtree was unlinked.
    pub fn retire_all(&mut self, word: Word) {
        match word.target() {
            Target::Answer(_) => (),
            Target::Routes { first, last } => self.retire(first, last - first),
            Target::Node(node) => {
                for index in 0..1 << node.stride {
                    self.retire_all(self.load((node.words << UNIT) + index));
                }
                self.retire(node.header, 0);
                self.retire(node.words, order(node.stride));
            }
        }
    }

    /// Makes a change to everything under a word.
    pub fn change(&self, number: u32, change: Change) {
        let word = self.load(number);
        match word.target() {
            Target::Answer(old) => {
                if let Some(new) = change.of(old) {
                    self.store(number, Word::new(Target::Answer(new)));
                }
            }
            Target::Routes { first, last } => (first..=last).for_each(|unit| self.change_cover(unit, change)),
            Target::Node(node) => {
                if let Some(new) = change.of(self.cover(node)) {
                    self.store((node.header << UNIT) + 2, Word(u64::from(new.bits())));
                }
                self.change_words(node, 0..1 << node.stride, change);
            }
        }
    }

    pub fn change_words(&self, node: Node, words: std::ops::Range<u32>, change: Change) {
        let first = node.words << UNIT;
        (first + words.start..first + words.end).for_each(|number| self.change(number, change));
    }

    /// Changes what covers the route of a unit.
    fn change_cover(&self, unit: u32, change: Change) {
        let (route, cover) = self.route(unit);
        if let Some(new) = change.of(cover) {
            self.store_answers(unit, route, new);
        }
    }
}
