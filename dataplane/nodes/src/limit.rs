//! How many packets a second get something that costs.

use paceline_sys::cpu::tsc_hz;

/// So many a second, and some at once: the generic cell rate algorithm (ITU-T I.371 annex A), which needs one word for each
/// that is limited.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// Cycles between two at the full rate.
    price: u64,
    /// Cycles that one may be ahead of that.
    ahead: u64,
}

/// When the next one is due, in cycles of the TSC: 0 for who never had one.
pub(crate) type Due = u64;

impl Limit {
    pub(crate) fn new(per_second: u64, burst: u64) -> Limit {
        let price = (tsc_hz() / per_second.max(1)).max(1);
        Limit { price, ahead: price * burst.saturating_sub(1) }
    }

    /// Whether one more may pass now, which is then noted.
    #[inline]
    pub(crate) fn allows(self, due: &mut Due, now: u64) -> bool {
        let next = (*due).max(now);
        let fine = next - now <= self.ahead;
        if fine {
            *due = next + self.price;
        }
        fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let limit = Limit::new(1000, 50);
        let (mut due, start, milli) = (0, 1 << 40, tsc_hz() / 1000);
        let passed = |due: &mut Due, at: u64| (0..200).filter(|_| limit.allows(due, at)).count();
        assert_eq!(passed(&mut due, start), 50);
        assert_eq!(passed(&mut due, start), 0);
        assert_eq!(passed(&mut due, start + 10 * milli), 10);
        assert_eq!(passed(&mut due, start + 10_000 * milli), 50, "no more than a burst is saved up");
        assert_eq!(passed(&mut due, start), 0, "and a clock that goes back gives nothing");
    }
}
