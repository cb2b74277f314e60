//! What lookups and updates of the forwarding tables cost. Prints a table; takes some seconds.
//!
//! `cargo run --release -p paceline-tables --example fib`
#![forbid(unsafe_code)]

use std::time::Instant;

use ipnet::{Ipv4Net, Ipv6Net};
use paceline_sys::cpu::tsc;
use paceline_tables::{Rib4, Rib6};

/// Addresses looked up at a time, as a worker does.
const VECTOR: usize = 256;
/// Destinations, random among the routes.
const DESTINATIONS: usize = 1 << 17;

/// Cycles per address: the median and the best of some runs over all destinations.
fn cycles<A: Copy>(addresses: &[A], mut look: impl FnMut(&[A], &mut [u32])) -> (f64, f64) {
    let mut values = [0; VECTOR];
    let mut runs: Vec<f64> = (0..15)
        .map(|_| {
            let start = tsc();
            for vector in addresses.chunks(VECTOR) {
                look(vector, &mut values);
                std::hint::black_box(&values);
            }
            (tsc() - start) as f64 / addresses.len() as f64
        })
        .collect();
    runs.sort_unstable_by(f64::total_cmp);
    (runs[runs.len() / 2], runs[0])
}

/// A line of the table: what it costs to look up and to change, and the memory.
fn line(name: &str, routes: usize, [batch, single]: [(f64, f64); 2], updates: [f64; 2], bytes: [usize; 2]) {
    let [rate_in, rate_out] = updates.map(|seconds| routes as f64 / seconds / 1e6);
    let [fib, all] = bytes.map(|bytes| bytes / routes);
    println!(
        "| {name} | {routes} | {:.1} ({:.1}) | {:.1} ({:.1}) | {rate_in:.2} | {rate_out:.2} | {fib} | {all} |",
        batch.0, batch.1, single.0, single.1
    );
}

fn ipv4(name: &str, nets: &[Ipv4Net]) {
    let mut rib = Rib4::new().expect("memory");
    rib.expect(nets.len());
    let start = Instant::now();
    for (i, net) in nets.iter().enumerate() {
        rib.insert(*net, i as u32 % 1000 + 1).expect("room");
    }
    let insert = start.elapsed().as_secs_f64();
    let mut random = fastrand::Rng::with_seed(5);
    let mut among = || {
        let net = nets[random.usize(..nets.len())];
        net.network().to_bits() | random.u32(..) & net.hostmask().to_bits()
    };
    let to: Vec<u32> = (0..DESTINATIONS).map(|_| among()).collect();
    let fib = rib.fib().clone();
    let batch = cycles(&to, |to, values| fib.lookup_batch(to, values));
    let single =
        cycles(&to, |to, values| to.iter().zip(values).for_each(|(to, value)| *value = fib.lookup(*to)));
    let (routes, bytes) = (rib.len(), [rib.fib_bytes(), rib.bytes()]);
    let start = Instant::now();
    for net in nets {
        rib.remove(*net);
    }
    line(name, routes, [batch, single], [insert, start.elapsed().as_secs_f64()], bytes);
}

fn ipv6(name: &str, nets: &[Ipv6Net]) {
    let mut rib = Rib6::new().expect("memory");
    let (start, mut longest) = (Instant::now(), 0.0_f64);
    for (i, net) in nets.iter().enumerate() {
        let begin = Instant::now();
        rib.insert(*net, i as u32 % 1000 + 1).expect("room");
        longest = longest.max(begin.elapsed().as_secs_f64());
        if i % 1000 == 0 {
            rib.quiet(rib.mark());
        }
    }
    let insert = start.elapsed().as_secs_f64();
    rib.quiet(rib.mark());
    let mut random = fastrand::Rng::with_seed(5);
    let mut among = || {
        let net = nets[random.usize(..nets.len())];
        net.network().to_bits() | random.u128(..) & net.hostmask().to_bits()
    };
    let to: Vec<u128> = (0..DESTINATIONS).map(|_| among()).collect();
    let fib = rib.fib().clone();
    let batch = cycles(&to, |to, values| fib.lookup_batch(to, values));
    let single =
        cycles(&to, |to, values| to.iter().zip(values).for_each(|(to, value)| *value = fib.lookup(*to)));
    let (routes, bytes) = (rib.len(), [rib.fib_bytes(), rib.bytes()]);
    let start = Instant::now();
    for net in nets {
        rib.remove(*net);
    }
    line(name, routes, [batch, single], [insert, start.elapsed().as_secs_f64()], bytes);
    if longest > 1e-3 {
        println!("  longest insertion: {:.1} ms", longest * 1e3);
    }
}

fn main() {
    println!(
        "| routes | number | batch, cycles (best) | single | M inserts/s | M removes/s | FIB B/route | with RIB |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut random = fastrand::Rng::with_seed(1);
    let mut net4 = |lens: std::ops::RangeInclusive<u8>| {
        Ipv4Net::new_assert(random.u32(0x0100_0000..0xe000_0000).into(), random.u8(lens)).trunc()
    };
    ipv4("IPv4, one /24", &[net4(24..=24)]);
    ipv4("IPv4, /32", &(0..10_000).map(|_| net4(32..=32)).collect::<Vec<_>>());
    ipv4("IPv4, /16 to /32", &(0..200_000).map(|_| net4(16..=32)).collect::<Vec<_>>());
    ipv4(
        "IPv4, /24 mostly",
        &(0..1_000_000).map(|i| net4(if i % 8 == 0 { 16..=23 } else { 24..=24 })).collect::<Vec<_>>(),
    );

    let mut random = fastrand::Rng::with_seed(2);
    // All addresses of 2000::/3, or of one provider's /32s.
    let mut net6 = |lens: std::ops::RangeInclusive<u8>, shared: bool| {
        let (len, bits) = (random.u8(lens), random.u128(..) >> 3 | 1 << 125);
        let near = 0x2a01_0000_u128 << 96 | bits & u128::MAX >> 32 | (bits >> 64 & 0x3f) << 96;
        Ipv6Net::new_assert(if shared { near } else { bits }.into(), len).trunc()
    };
    ipv6("IPv6, one /64", &[net6(64..=64, false)]);
    for (name, count, lens) in [
        ("/64", 10_000, 64..=64),
        ("/32 to /128", 10_000, 32..=128),
        ("/32 to /128", 200_000, 32..=128),
        ("/32 to /64", 200_000, 32..=64),
    ] {
        for (shared, where_) in [(false, "in 2000::/3"), (true, "in 64 /32s")] {
            let nets: Vec<Ipv6Net> = (0..count).map(|_| net6(lens.clone(), shared)).collect();
            ipv6(&format!("IPv6, {name} {where_}"), &nets);
        }
    }
    let dense: Vec<Ipv6Net> =
        (0..10_000).map(|i| Ipv6Net::new_assert((0x2001_0db8_u128 << 96 | i << 64).into(), 64)).collect();
    ipv6("IPv6, /64 numbered", &dense);
}
