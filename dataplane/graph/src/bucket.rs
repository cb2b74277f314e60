//! A limit on how often something is done.

/// A token bucket without a clock: whoever asks says what time it is, in a unit of its own (cycles, nanoseconds).
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Time that one deed stands for.
    price: u64,
    /// Most time that is saved up.
    most: u64,
    saved: u64,
    last: u64,
}

impl Bucket {
    /// One deed per `price` units of time (at least 1), and up to `burst` of them at once. It starts full.
    pub const fn new(price: u64, burst: u64, now: u64) -> Bucket {
        let price = if price == 0 { 1 } else { price };
        let most = price.saturating_mul(burst);
        Bucket { price, most, saved: most, last: now }
    }

    /// Saves up the time since the last call. Time that goes backwards saves nothing.
    #[inline]
    pub fn refill(&mut self, now: u64) {
        self.saved = self.saved.saturating_add(now.saturating_sub(self.last)).min(self.most);
        self.last = self.last.max(now);
    }

    /// Whether there is enough for one deed.
    #[inline]
    pub const fn has(&self) -> bool {
        self.saved >= self.price
    }

    /// Pays for one deed.
    #[inline]
    pub const fn spend(&mut self) {
        self.saved = self.saved.saturating_sub(self.price);
    }

    /// Pays for one deed, if it may be done now.
    #[inline]
    #[must_use]
    pub fn take(&mut self, now: u64) -> bool {
        self.refill(now);
        let may = self.has();
        if may {
            self.spend();
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_per_price() {
        let mut bucket = Bucket::new(10, 3, 1000);
        let mut taken = |now| (0..10).filter(|_| bucket.take(now)).count();
        assert_eq!(
            [taken(1000), taken(1009), taken(1010), taken(1025), taken(1029), taken(1030)],
            [3, 0, 1, 1, 0, 1]
        );
        assert_eq!(taken(500), 0, "time went backwards");
        assert_eq!(taken(1030), 0, "and is not saved up twice");
        assert_eq!(taken(u64::MAX), 3, "no more than the burst");
    }

    #[test]
    fn no_number_breaks_it() {
        for price in [0, 1, u64::MAX] {
            for burst in [0, 1, u64::MAX] {
                let mut bucket = Bucket::new(price, burst, 0);
                assert_eq!(bucket.take(u64::MAX), burst > 0, "{price} {burst}");
            }
        }
    }
}
