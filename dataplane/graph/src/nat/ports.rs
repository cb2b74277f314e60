//! Which worker owns which ports.

use std::ops::RangeInclusive;

/// The ports that are given out, in equal parts: one for each worker, one behind the other. What is left over at the end is not
/// given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    first: u16,
    /// Ports of one worker.
    part: u32,
    workers: u32,
    /// 2^32 divided by `part`, rounded up: a multiplication instead of a division, exact for numbers below 2^16.
    reciprocal: u64,
}

impl Ports {
    /// Parts of a range. `None` if some worker would have none, or the range begins with 0.
    pub fn new(range: &RangeInclusive<u16>, workers: usize) -> Option<Ports> {
        let (first, workers) = (*range.start(), u32::try_from(workers).ok().filter(|n| *n > 0)?);
        let count = (u32::from(*range.end()) + 1).checked_sub(u32::from(first))?;
        let part = count / workers;
        (first > 0 && part > 0).then(|| Ports {
            first,
            part,
            workers,
            reciprocal: (1_u64 << 32).div_ceil(part.into()),
        })
    }

    /// The worker that owns a port; of one that is not given out, the same one every time.
    #[inline]
    pub fn owner(&self, port: u16) -> usize {
        let inside = u32::from(port).checked_sub(u32::from(self.first));
        let owner = inside.map(|offset| ((u64::from(offset) * self.reciprocal) >> 32) as u32);
        match owner {
            Some(owner) if owner < self.workers => owner as usize,
            _ => ((u32::from(port) * self.workers) >> 16) as usize,
        }
    }

    /// One of the workers, by a hash of which the upper half is used.
    #[inline]
    pub fn spread(&self, hash: u64) -> usize {
        (((hash >> 32) * u64::from(self.workers)) >> 32) as usize
    }

    /// A worker's part: the first port, and how many there are.
    pub fn part(&self, worker: usize) -> (u16, u32) {
        ((u32::from(self.first) + worker as u32 * self.part) as u16, self.part)
    }

    /// Workers that share the ports.
    pub fn workers(&self) -> usize {
        self.workers as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_of_a_part_belongs_to_its_worker() {
        for (range, workers) in [
            (1024..=65535, 1),
            (1024..=65535, 2),
            (1024..=65535, 3),
            (1..=65535, 7),
            (32_768..=65_535, 64),
            (5000..=5003, 4),
            (9..=9, 1),
        ] {
            let ports = Ports::new(&range, workers).expect("ports for all");
            let mut next = *range.start();
            for worker in 0..workers {
                let (first, count) = ports.part(worker);
                assert_eq!(first, next);
                for port in u32::from(first)..u32::from(first) + count {
                    assert_eq!(ports.owner(port as u16), worker, "{port} of {range:?}");
                }
                next = (u32::from(first) + count) as u16;
            }
            assert!((0..=u16::MAX).all(|port| ports.owner(port) < workers));
            assert!((0..64).all(|bit| ports.spread(u64::MAX << bit) < workers));
        }
        assert_eq!(Ports::new(&(5..=6), 3), None);
        assert_eq!(Ports::new(&(0..=600), 3), None);
        assert_eq!(Ports::new(&RangeInclusive::new(7, 6), 1), None);
    }
}
