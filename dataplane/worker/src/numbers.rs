//! Numbers that packets carry, of interfaces, bridge domains and routing tables.
//!
//! A packet may wait for a while with the number that it has: for another worker, for control, for a neighbour. So a number is its
//! owner's as long as that is there, and another's only when every such packet is gone.

use std::collections::VecDeque;

use paceline_graph::NO_DOMAIN;

/// Numbers from 0 on, and those of them that were given back.
pub(crate) struct Numbers {
    /// They are below this.
    limit: u16,
    /// Numbers given out so far.
    count: u16,
    /// Given back, but in the snapshot that workers use.
    leaving: Vec<u16>,
    /// In no snapshot any more, each with the seconds since; the oldest first.
    resting: VecDeque<(u16, u32)>,
}

impl Default for Numbers {
    /// Numbers of domains.
    fn default() -> Self {
        Numbers::below(NO_DOMAIN)
    }
}

impl Numbers {
    /// Numbers below a limit, none of which is in use.
    pub(crate) fn below(limit: u16) -> Numbers {
        Numbers { limit, count: 0, leaving: Vec::new(), resting: VecDeque::new() }
    }

    /// Seconds for which nobody has a number that was given back. No packet waits that long: three seconds for a neighbour, two for a
    /// tunnel, and turns of workers elsewhere.
    pub(crate) const REST: u32 = 10;

    /// How many numbers there are.
    pub(crate) fn limit(&self) -> usize {
        self.limit.into()
    }

    /// How many of them could be taken now.
    pub(crate) fn left(&self) -> usize {
        let rested = self.resting.iter().filter(|(_, seconds)| *seconds >= Self::REST).count();
        usize::from(self.limit - self.count) + rested
    }

    /// A number for a new owner. `None` if all are in use or rest.
    pub(crate) fn take(&mut self) -> Option<u16> {
        self.again().or_else(|| self.fresh())
    }

    /// A number that somebody had before.
    pub(crate) fn again(&mut self) -> Option<u16> {
        self.resting.front().filter(|(_, seconds)| *seconds >= Self::REST)?;
        self.resting.pop_front().map(|(number, _)| number)
    }

    /// A number that nobody had before: the one that follows on the last of these.
    pub(crate) fn fresh(&mut self) -> Option<u16> {
        let number = Some(self.count).filter(|number| *number < self.limit)?;
        self.count += 1;
        Some(number)
    }

    /// Gives a number back.
    pub(crate) fn give(&mut self, number: u16) {
        self.leaving.push(number);
    }

    /// Says that all workers use a snapshot without the numbers that were given back.
    pub(crate) fn quiet(&mut self) {
        self.resting.extend(self.leaving.drain(..).map(|number| (number, 0)));
    }

    /// Lets a second pass, in which every worker took what waited for it.
    pub(crate) fn second(&mut self) {
        for (_, seconds) in &mut self.resting {
            *seconds += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_rests_before_another_one_has_it() {
        let mut numbers = Numbers::default();
        assert_eq!([numbers.take(), numbers.take()], [Some(0), Some(1)]);
        numbers.give(0);
        // While workers may use a snapshot with it, its rest has not begun.
        (0..=Numbers::REST).for_each(|_| numbers.second());
        assert_eq!(numbers.take(), Some(2));
        numbers.quiet();
        (1..Numbers::REST).for_each(|_| numbers.second());
        assert_eq!((numbers.again(), numbers.left()), (None, usize::from(NO_DOMAIN) - 3));
        numbers.second();
        assert_eq!(numbers.left(), usize::from(NO_DOMAIN) - 2);
        assert_eq!([numbers.take(), numbers.take()], [Some(0), Some(3)]);
    }

    #[test]
    fn none_is_given_twice_when_they_run_out() {
        for (mut numbers, limit) in [(Numbers::default(), NO_DOMAIN), (Numbers::below(3), 3)] {
            assert!((0..limit).all(|number| numbers.take() == Some(number)));
            assert_eq!(numbers.take(), None);
        }
    }
}
