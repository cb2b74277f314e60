//! The time stamp counter and prefetch.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The time stamp counter, in ticks of [`tsc_hz`] per second. A few nanoseconds to read and not ordered against
/// the instructions around it, so good for a vector of packets and not for a single one.
///
/// On CPUs other than x86-64: nanoseconds of the monotonic clock.
#[inline(always)]
pub fn tsc() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: RDTSC is part of x86-64, and Linux lets user space execute it.
        unsafe { core::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

/// Ticks of [`tsc`] per second.
///
/// The first call compares the counter with the monotonic clock for 20 ms, so make it at start; error below 100 ppm.
/// Measured rather than read from CPUID, which AMD leaves empty and a hypervisor may copy from another host.
pub fn tsc_hz() -> u64 {
    static HZ: OnceLock<u64> = OnceLock::new();
    *HZ.get_or_init(|| {
        let (start, from) = both_clocks();
        std::thread::sleep(Duration::from_millis(20));
        let (end, to) = both_clocks();
        (u128::from(to - from) * 1_000_000_000 / end.duration_since(start).as_nanos()) as u64
    })
}

/// Reads both clocks at one moment: of some tries, the one that was interrupted least.
fn both_clocks() -> (Instant, u64) {
    let sample = |_| {
        let before = tsc();
        let now = Instant::now();
        let width = tsc() - before;
        (width, now, before + width / 2)
    };
    let (_, now, ticks) = (0..16).map(sample).min_by_key(|&(width, ..)| width).expect("16 samples");
    (now, ticks)
}

/// Asks the CPU to fetch the cache line at `what` for reading.
#[inline(always)]
pub fn prefetch_read<T: ?Sized>(what: &T) {
    prefetch_read_at(std::ptr::from_ref(what).cast());
}

/// Asks the CPU to fetch the cache line at `what` for writing.
#[inline(always)]
pub fn prefetch_write<T: ?Sized>(what: &T) {
    prefetch_write_at(std::ptr::from_ref(what).cast());
}

/// As [`prefetch_read`], for any address: a prefetch never faults.
#[inline(always)]
pub fn prefetch_read_at(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint; an address that is not mapped is ignored (Intel SDM, PREFETCHh).
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// As [`prefetch_write`], for any address: a prefetch never faults.
#[inline(always)]
pub fn prefetch_write_at(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint; an address that is not mapped is ignored (Intel SDM, PREFETCHW).
    unsafe {
        use core::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_ET0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_counts_and_its_rate_is_a_cpu_s() {
        let before = tsc();
        let hz = tsc_hz();
        assert!(tsc() > before);
        assert!((100_000_000..20_000_000_000).contains(&hz), "{hz} Hz");
        assert_eq!(tsc_hz(), hz);
    }

    #[test]
    fn a_prefetch_of_any_address_is_harmless() {
        prefetch_read(&[1_u8, 2, 3][..]);
        prefetch_write(&7_u64);
        prefetch_read_at(std::ptr::null());
        prefetch_write_at(std::ptr::without_provenance(usize::MAX));
    }
}
