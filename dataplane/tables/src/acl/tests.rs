//! The classifier against a list of rules.

use proptest::option;
use proptest::prelude::*;

use super::*;

/// The twin: the lowest of all rules that match.
fn first<const N: usize>(
    rules: &[AclRule<N>],
    key: &AclKey<N>,
    from: u32,
    more: impl Fn(u32) -> bool,
) -> u32 {
    let matches =
        |rule: &&AclRule<N>| rule.number >= from && rule.is(key) && (!rule.more || more(rule.number));
    rules.iter().filter(matches).map(|rule| rule.number).min().unwrap_or(NO_RULE)
}

/// Few values, so that rules overlap.
fn address() -> impl Strategy<Value = u32> {
    prop_oneof![
        0..8_u32,
        (0..4_u32).prop_map(|a| a << 24),
        (0..4_u32).prop_map(|a| a << 8 | 0x0a00_0000),
        any::<u32>()
    ]
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![0..4_u16, Just(80), Just(1023), Just(1024), Just(u16::MAX), any::<u16>()]
}

fn range() -> impl Strategy<Value = std::ops::RangeInclusive<u16>> {
    (port(), port()).prop_map(|(a, b)| a.min(b)..=a.max(b))
}

fn net() -> impl Strategy<Value = (u32, u8)> {
    (address(), prop_oneof![Just(0_u8), Just(8), Just(24), Just(32), 0..=32_u8])
}

fn fields() -> impl Strategy<Value = AclFields<u32>> {
    let protocol = option::of(prop_oneof![Just(6_u8), Just(17)]);
    (
        option::of(net()),
        option::of(net()),
        protocol,
        option::of(range()),
        option::of(range()),
        option::of(0..3_u32),
    )
        .prop_map(|(source, destination, protocol, source_ports, destination_ports, identity)| {
            AclFields { source, destination, protocol, source_ports, destination_ports, identity }
        })
}

/// The same rule for addresses of 128 bits, of which those of 32 are the upper and the lower ones.
fn wide(fields: &AclFields<u32>) -> AclFields<u128> {
    let net = |(address, length): (u32, u8)| (long(address), if length == 32 { 128 } else { length });
    AclFields {
        source: fields.source.map(net),
        destination: fields.destination.map(net),
        protocol: fields.protocol,
        source_ports: fields.source_ports.clone(),
        destination_ports: fields.destination_ports.clone(),
        identity: fields.identity,
    }
}

fn long(address: u32) -> u128 {
    u128::from(address) << 96 | u128::from(address)
}

type Probe = (u32, u32, u16, u16, u32, u8);

fn probe() -> impl Strategy<Value = Probe> {
    (address(), address(), port(), port(), 0..4_u32, prop_oneof![Just(6_u8), Just(17), Just(1)])
}

fn last(probe: &Probe) -> u64 {
    acl_word(u32::from(probe.2) << 16 | u32::from(probe.3), probe.4, probe.5)
}

proptest! {
    #[test]
    fn finds_what_a_list_finds(
        fields in proptest::collection::vec((fields(), any::<bool>(), 0..60_u32), 0..80),
        probes in proptest::collection::vec((probe(), 0..80_u32), 1..60),
        odd in any::<bool>(),
    ) {
        let more = |number: u32| (number % 2 == 1) == odd;
        let short: Vec<_> = fields.iter().map(|(f, more, n)| AclRule::new(*n, *more, f)).collect();
        let wides: Vec<_> = fields.iter().map(|(f, more, n)| AclRule::new(*n, *more, &wide(f))).collect();
        let acl = Acl::<2>::new(&short).expect("few rules");
        let acl6 = Acl::<5>::new(&wides).expect("few rules");
        // Places that rules are about, besides random ones.
        let mut keys: Vec<(AclKey<2>, AclKey<5>, u32)> = Vec::new();
        for (probe, from) in &probes {
            let key = u32::key(probe.0, probe.1, last(probe));
            keys.push((key, u128::key(long(probe.0), long(probe.1), last(probe)), *from));
        }
        for (rule, wide) in short.iter().zip(&wides) {
            keys.push((rule.value, wide.value, 0));
        }
        for (key, key6, from) in keys {
            prop_assert_eq!(acl.find(&key, from, more), first(&short, &key, from, more));
            prop_assert_eq!(acl6.find(&key6, from, more), first(&wides, &key6, from, more));
        }
    }
}

#[test]
fn entries_are_as_large_as_they_are_said_to_be() {
    assert_eq!((size_of::<Entry<2>>(), size_of::<Entry<5>>()), (32, 64));
}

#[test]
fn an_empty_one_finds_nothing() {
    let acl = Acl::<2>::new(&[]).expect("no rules");
    assert!(acl.is_empty());
    assert_eq!(acl.find(&[1, 2], 0, |_| true), NO_RULE);
}

/// A random number from a number.
fn mixed(number: u32) -> u32 {
    hash(&[u64::from(number), 7])
}

/// Rules that differ in all they can: few tables all the same, and those that do not merge are still found.
#[test]
fn a_hundred_thousand_rules_of_many_masks() {
    let rule = |n: u32| {
        let (a, b) = (mixed(n), mixed(n + 1_000_000));
        let first = mixed(n + 2_000_000) as u16;
        AclRule::new(
            n,
            false,
            &AclFields {
                source: Some((a, (a % 33) as u8)),
                destination: Some((b, (b % 33) as u8)),
                protocol: Some(6).filter(|_| n.is_multiple_of(3)),
                source_ports: None,
                destination_ports: Some(first..=first.saturating_add(n as u16 % 100)),
                identity: None,
            },
        )
    };
    let rules: Vec<AclRule<2>> = (0..100_000).map(rule).collect();
    let acl = Acl::new(&rules).expect("it builds");
    assert!(acl.bytes() < 100_000 * 128, "{}", acl.bytes());
    for n in (0..100_000).step_by(4999) {
        let key = rules[n].value;
        let key = [key[0], key[1] | u64::from(rules[n].ports[2]) << 32 | 6];
        assert_eq!(acl.find(&key, 0, |_| true), first(&rules, &key, 0, |_| true));
    }
}

/// Rules that differ in nothing but ranges that overlap cannot be told apart by any mask.
#[test]
fn rules_that_all_fall_together() {
    let fields =
        |n: u16| AclFields { destination_ports: Some(n..=u16::MAX - n), ..AclFields::<u32>::default() };
    let rules: Vec<AclRule<2>> =
        (0..2000).map(|n| AclRule::new(2000 - u32::from(n), false, &fields(n))).collect();
    let acl = Acl::new(&rules).expect("it builds");
    for port in [0, 1, 1000, 1999, 2000, 40_000, u16::MAX] {
        let key = [1, acl_word(port.into(), 0, 6)];
        assert_eq!(acl.find(&key, 0, |_| true), first(&rules, &key, 0, |_| true));
    }
}

#[test]
fn groups_that_fit_share_a_table() {
    let nets = [(24, 24), (24, 32), (32, 24), (32, 32), (16, 24), (16, 32), (24, 16), (32, 16)];
    let rule = |n: u32| {
        let (source, destination) = nets[n as usize % nets.len()];
        AclRule::new(
            n,
            false,
            &AclFields {
                source: Some((0x0a00_0000 | n << 8, source)),
                destination: Some((0xc000_0000 | n << 8, destination)),
                ..AclFields::<u32>::default()
            },
        )
    };
    let rules: Vec<AclRule<2>> = (0..1000).map(rule).collect();
    let acl = Acl::new(&rules).expect("it builds");
    assert!(acl.tables() <= 3, "{}", acl.tables());
}

#[test]
fn too_many_are_refused() {
    let rule = AclRule::<2>::new(0, false, &AclFields::<u32>::default());
    let error = Acl::new(&vec![rule; MAX_ENTRIES + 1]).err();
    assert_eq!(error, Some(AclError::Entries(MAX_ENTRIES + 1)));
}
