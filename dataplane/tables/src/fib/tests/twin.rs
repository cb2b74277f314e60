//! One thread against a list.

use proptest::prelude::*;

use super::{Kind, NO_ROUTE, Rib, host, quiet, v4, v6};

/// Routes as bits, length and value, in no order.
#[derive(Default)]
struct Twin(Vec<(u128, u8, u32)>);

impl Twin {
    fn lookup(&self, bits: u128) -> u32 {
        let matching = self.0.iter().filter(|(first, len, _)| (bits ^ first) & !host(*len) == 0);
        matching.max_by_key(|(_, len, _)| *len).map_or(NO_ROUTE, |(.., value)| *value)
    }

    fn remove(&mut self, bits: u128, len: u8) -> Option<u32> {
        let at = self.0.iter().position(|(first, l, _)| (*first, *l) == (bits, len))?;
        Some(self.0.swap_remove(at).2)
    }

    /// Where answers change: at and around the ends of all prefixes.
    fn edges(&self) -> Vec<u128> {
        let ends = self.0.iter().flat_map(|(first, len, _)| [*first, first | host(*len)]);
        ends.flat_map(|end| [end, end.wrapping_sub(1 << 96), end.wrapping_add(1 << 96), end ^ 1]).collect()
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u128, u8, u32),
    Remove(u128, u8),
    /// Of the routes that there are, one by number.
    RemoveOne(usize),
    Quiet,
}

/// Few different bits at borders, so that prefixes nest, touch and stand beside each other.
fn prefix<K: Kind>() -> impl Strategy<Value = (u128, u8)> {
    let len = prop_oneof![3 => proptest::sample::select(K::BORDERS), 1 => K::SHORTEST..=K::WIDTH];
    let base = proptest::sample::select(&[0_u128, 0x0a01_0203_0405_0607_0809_0a0b_0c0d_0e0f, u128::MAX]);
    let flips = proptest::collection::vec(0..K::WIDTH, 0..4);
    (base, flips, len).prop_map(|(base, flips, len)| {
        let bits = flips.iter().fold(base, |bits, flip| bits ^ 1 << (127 - flip));
        (bits & !host(len), len)
    })
}

fn op<K: Kind>() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (prefix::<K>(), 1..1000_u32).prop_map(|((bits, len), value)| Op::Insert(bits, len, value)),
        1 => prefix::<K>().prop_map(|(bits, len)| Op::Remove(bits, len)),
        4 => any::<usize>().prop_map(Op::RemoveOne),
        1 => Just(Op::Quiet),
    ]
}

fn behaves_as_a_list<K: Kind>(ops: Vec<Op>) -> Result<(), TestCaseError> {
    let mut rib = Rib::<K>::new().expect("memory");
    let (mut twin, empty) = (Twin::default(), rib.fib_bytes());
    for op in ops {
        match op {
            Op::Insert(bits, len, value) => {
                let old = twin.remove(bits, len);
                twin.0.push((bits, len, value));
                prop_assert_eq!(rib.insert(K::net(bits, len), value), Ok(old));
            }
            Op::Remove(bits, len) => prop_assert_eq!(rib.remove(K::net(bits, len)), twin.remove(bits, len)),
            Op::RemoveOne(number) if !twin.0.is_empty() => {
                let (bits, len, value) = twin.0[number % twin.0.len()];
                twin.remove(bits, len);
                prop_assert_eq!(rib.remove(K::net(bits, len)), Some(value));
            }
            Op::RemoveOne(_) => (),
            Op::Quiet => quiet(&mut rib),
        }
        let mut edges = twin.edges();
        edges.extend([0, u128::MAX]);
        for (bits, value) in edges.iter().zip(K::lookup(&rib, &edges)) {
            prop_assert_eq!(value, twin.lookup(*bits), "address {:032x}", bits);
        }
        prop_assert_eq!(rib.len(), twin.0.len());
    }
    for (bits, len, value) in twin.0 {
        prop_assert_eq!(rib.remove(K::net(bits, len)), Some(value));
    }
    quiet(&mut rib);
    if K::WIDTH == 128 {
        prop_assert_eq!(rib.fib_bytes(), empty, "all memory came back");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn ipv4_behaves_as_a_list(ops in proptest::collection::vec(op::<v4::Writer>(), 1..80)) {
        behaves_as_a_list::<v4::Writer>(ops)?;
    }

    #[test]
    fn ipv6_behaves_as_a_list(ops in proptest::collection::vec(op::<v6::Writer>(), 1..200)) {
        behaves_as_a_list::<v6::Writer>(ops)?;
    }
}

/// Many routes, whose nodes are built anew as they come and go, against the search of the RIB.
fn behaves_as_the_rib<K: Kind>(spread: u128) {
    let mut random = fastrand::Rng::with_seed(7);
    let mut rib = Rib::<K>::new().expect("memory");
    let mut there = Vec::new();
    for round in 0..30_000_u32 {
        if random.u32(..20_000) > round % 20_000 {
            let len = random.u8(K::SHORTEST.max(K::WIDTH / 4)..=K::WIDTH);
            let net = K::net(random.u128(..) & spread, len);
            rib.insert(net, round + 1).expect("room");
            there.push(net);
        } else if !there.is_empty() {
            rib.remove(there.swap_remove(random.usize(..there.len())));
        }
        if round % 1000 == 0 {
            quiet(&mut rib);
            let addresses: Vec<u128> =
                (0..1000).map(|_| random.u128(..) & (spread | random.u128(..))).collect();
            for (bits, value) in addresses.iter().zip(K::lookup(&rib, &addresses)) {
                let best = rib.covering(K::net(*bits, K::WIDTH)).map_or(NO_ROUTE, |(_, value)| value);
                assert_eq!(value, best, "address {bits:032x} in round {round}");
            }
        }
    }
}

#[test]
fn ipv4_behaves_as_the_rib() {
    behaves_as_the_rib::<v4::Writer>(u128::MAX);
    behaves_as_the_rib::<v4::Writer>(0x0f0f_ffff << 96);
}

#[test]
fn ipv6_behaves_as_the_rib() {
    behaves_as_the_rib::<v6::Writer>(u128::MAX >> 3);
    behaves_as_the_rib::<v6::Writer>(0x0000_0003_000f_0000_000f_0f00_00f0_0f0f);
}
