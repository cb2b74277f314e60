//! So many per second, by the time stamp counter.

use paceline_sys::cpu;

use super::fields::Fault;
use crate::PortError;

/// A token bucket: it holds what is due in a tenth of a second, and a vector at least.
pub struct Pace {
    rate: u64,
    hz: u64,
    last: u64,
    /// Frames that are due, times `hz`: exact for any rate.
    credit: u64,
    most: u64,
}

impl Pace {
    pub fn new(stream: usize, rate: u64) -> Result<Pace, PortError> {
        if !(1..=1_000_000_000).contains(&rate) {
            return Err(Fault { stream }.of(
                "rate",
                &rate,
                "must lie between 1 and 1000000000 frames per second",
            ));
        }
        let hz = cpu::tsc_hz();
        Ok(Pace { rate, hz, last: cpu::tsc(), credit: 0, most: (rate / 10).max(256) * hz })
    }

    /// Up to `want` frames, as many as are due now.
    pub fn take(&mut self, want: usize) -> usize {
        self.take_at(cpu::tsc(), want)
    }

    fn take_at(&mut self, now: u64, want: usize) -> usize {
        // A second at most, so that the product stays below 2^64 for any clock below 18 GHz.
        let elapsed = now.saturating_sub(self.last).min(self.hz);
        self.last = now;
        self.credit = (self.credit + elapsed * self.rate).min(self.most);
        let count = (self.credit / self.hz).min(want as u64);
        self.credit -= count * self.hz;
        count as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_gives_the_rate_however_often_it_is_asked() {
        for (rate, steps) in [(1_u64, 1000_u64), (999, 7000), (1_000_000, 100_000), (14_880_952, 1_000_000)] {
            let mut pace = Pace::new(0, rate).expect("in range");
            (pace.last, pace.hz, pace.most) = (0, 2_600_000_000, rate.max(256) * 2_600_000_000);
            let got: usize = (1..=steps).map(|i| pace.take_at(i * pace.hz / steps, 256)).sum();
            assert_eq!(got as u64, rate);
        }
        assert!(Pace::new(0, 0).is_err() && Pace::new(0, 1_000_000_001).is_err());
    }

    #[test]
    fn what_was_missed_is_made_up_for_to_a_limit() {
        let mut pace = Pace::new(0, 10_000).expect("in range");
        let later = pace.last + 100 * pace.hz;
        assert_eq!(pace.take_at(later, 256), 256);
        assert_eq!(pace.take_at(later, 10_000), 1000 - 256);
        assert_eq!(pace.take_at(later, 1), 0);
    }
}
