//! A rate that several workers keep together.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use paceline_sys::cpu::tsc_hz;

use super::config::{PolicerSpec, StormSpec};

/// Fractions of a cycle that a byte's price is counted in.
const FRACTION: u32 = 20;

/// Least bits a second, and bytes at once: one frame.
const MIN_RATE: u64 = 8000;
const MIN_BURST: u64 = 1514;

/// A token bucket as one word: the moment at which it would be full again (GCRA, ITU-T I.371). Any worker may take of it.
#[derive(Debug)]
pub struct Policer {
    spec: PolicerSpec,
    /// Cycles for a byte, times two to the power of [`FRACTION`].
    price: u64,
    /// Cycles that it takes to be full, from empty on.
    depth: u64,
    full_at: AtomicU64,
}

impl Policer {
    /// A full bucket.
    pub fn new(spec: PolicerSpec) -> Policer {
        Policer::with_hz(spec, tsc_hz())
    }

    fn with_hz(spec: PolicerSpec, hz: u64) -> Policer {
        let price = ((u128::from(hz) * 8) << FRACTION) / u128::from(spec.rate.max(1));
        let price = price.min(u64::MAX.into()) as u64;
        Policer { spec, price, depth: cycles(price, spec.burst), full_at: AtomicU64::new(0) }
    }

    /// What it was made of.
    pub fn spec(&self) -> PolicerSpec {
        self.spec
    }

    /// Whether a frame of some bytes may pass at a moment (TSC); if so, it has. One that is longer than the burst, as super-packets
    /// are, passes when the bucket is full, which is then as much below empty: the rate holds, and nothing waits for ever.
    #[inline]
    pub fn passes(&self, now: u64, bytes: usize) -> bool {
        let cost = cycles(self.price, bytes as u64);
        let spend = |full_at: u64| {
            let then = full_at.max(now).saturating_add(cost);
            (full_at <= now || then - now <= self.depth).then_some(then)
        };
        self.full_at.fetch_update(Relaxed, Relaxed, spend).is_ok()
    }
}

/// Whether a rate makes sense.
///
/// # Errors
/// What does not, in words.
pub fn check(spec: PolicerSpec) -> Result<(), String> {
    let PolicerSpec { rate, burst } = spec;
    if rate < MIN_RATE {
        return Err(format!("a rate of {rate} bits a second: at least {MIN_RATE} are possible"));
    }
    if burst < MIN_BURST {
        return Err(format!(
            "a burst of {burst} bytes: no frame of 1514 would fit into less than {MIN_BURST}"
        ));
    }
    Ok(())
}

/// A limit of frames, and what it kept out.
#[derive(Debug)]
pub struct StormLimit {
    policer: Policer,
    /// Frames and bytes that were dropped. Any worker adds to them.
    dropped: [AtomicU64; 2],
}

impl StormLimit {
    /// Whether a frame of some bytes may pass at a moment (TSC); if so, it has.
    #[inline]
    pub fn passes(&self, now: u64, bytes: usize) -> bool {
        // Each frame counts as one byte.
        let passes = self.policer.passes(now, 1);
        if !passes {
            self.dropped[0].fetch_add(1, Relaxed);
            self.dropped[1].fetch_add(bytes as u64, Relaxed);
        }
        passes
    }

    /// Frames and bytes that were dropped.
    pub fn dropped(&self) -> (u64, u64) {
        (self.dropped[0].load(Relaxed), self.dropped[1].load(Relaxed))
    }
}

/// Limits of broadcasts, of multicasts and of frames to unknown stations.
pub fn storm(spec: StormSpec) -> [Option<StormLimit>; 3] {
    // A tenth of a second at once, and at least one.
    let limit =
        |frames: u32| PolicerSpec { rate: 8 * u64::from(frames), burst: u64::from(frames / 10).max(1) };
    [spec.broadcast, spec.multicast, spec.unknown].map(|frames| {
        frames.map(|frames| StormLimit { policer: Policer::new(limit(frames)), dropped: Default::default() })
    })
}

fn cycles(price: u64, bytes: u64) -> u64 {
    ((u128::from(price) * u128::from(bytes)) >> FRACTION).min(u64::MAX.into()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        // 1000 bytes a second, a cycle a microsecond.
        let policer = Policer::with_hz(PolicerSpec { rate: 8000, burst: 3000 }, 1_000_000);
        let passed = |now: u64| (0..10).filter(|_| policer.passes(now, 500)).count();
        assert_eq!((passed(10), passed(10), passed(500_000), passed(500_010)), (6, 0, 0, 1));
        assert_eq!(passed(60_000_000), 6, "no more than the burst");
        let long = |now| policer.passes(now, 3500);
        assert!(long(100_000_000) && !long(100_000_000), "longer than the burst: when full");
        assert_eq!(
            (passed(100_900_000), passed(101_000_000), long(101_000_000)),
            (0, 1, false),
            "it is paid for"
        );
        assert!(!long(103_999_999) && long(104_000_000));
        assert_eq!(passed(0), 0, "time that goes backwards gives nothing");
    }

    #[test]
    fn no_number_breaks_it() {
        for rate in [0, 1, u64::MAX] {
            for burst in [0, 1, u64::MAX] {
                for hz in [0, 1, u64::MAX] {
                    let policer = Policer::with_hz(PolicerSpec { rate, burst }, hz);
                    policer.passes(u64::MAX, usize::MAX);
                    policer.passes(0, 0);
                }
            }
        }
    }
}
