//! What policies are made of, and what cannot be one.

use std::collections::BTreeMap;

use paceline_tables::Tuple;
use proptest::prelude::*;

use super::*;
use crate::session::SessionClock;

fn policy(rules: Vec<RuleSpec>, default: Verdict) -> PolicySpec {
    let tiers = vec![TierSpec { name: "main".into(), rules, default: Verdict::Pass }];
    PolicySpec { name: "p".into(), tiers, default, stateful: false }
}

fn rule(name: &str, edit: impl FnOnce(&mut RuleSpec)) -> RuleSpec {
    let mut rule = RuleSpec { name: name.into(), ..RuleSpec::default() };
    edit(&mut rule);
    rule
}

#[test]
fn what_makes_no_sense_is_said() {
    let net = |text: &str| Some(text.parse().expect("a network"));
    let fault = |edit: fn(&mut RuleSpec)| match Policy::new(&policy(vec![rule("r", edit)], Verdict::Deny), 1)
    {
        Err(PolicyError::Rule { policy, tier, rule, fault }) => {
            assert_eq!((policy.as_str(), tier.as_str(), rule.as_str()), ("p", "main", "r"));
            fault
        }
        other => panic!("{:?}", other.err()),
    };
    assert!(fault(|r| r.matches.source_ports = Some(1..=2)).starts_with("names ports"));
    let empty = fault(|r| {
        let first = 9;
        (r.matches.protocol, r.matches.destination_ports) = (Some(6), Some(first..=first - 1));
    });
    assert_eq!(empty, "has the ports 9 to 8, which are none");
    assert!(fault(|r| (r.matches.protocol, r.matches.icmp) = (Some(6), Some((8, None)))).contains("ICMP"));
    assert!(fault(|r| (r.matches.protocol, r.matches.tcp_flags) = (Some(17), Some((2, 2)))).contains("TCP"));
    assert!(fault(|r| r.dscp = Some(64)).contains("64, which is to be 0 to 63"));
    assert!(fault(|r| r.matches.vlan = Some(4095)).contains("4095"));
    assert!(fault(|r| r.police = Some(PolicerSpec { rate: 1, burst: 5000 })).contains("1 bits a second"));
    let mixed =
        rule("r", |r| (r.matches.source, r.matches.destination) = (net("10.0.0.0/8"), net("fd00::/8")));
    assert!(Policy::new(&policy(vec![mixed], Verdict::Deny), 1).is_err());
    let pass = Policy::new(&policy(Vec::new(), Verdict::Pass), 1).err();
    assert_eq!(pass, Some(PolicyError::Default("p".into())));
    let many = Policy::new(&policy(vec![RuleSpec::default(); MAX_RULES], Verdict::Deny), 1).err();
    assert_eq!(many, Some(PolicyError::Rules { policy: "p".into(), rules: MAX_RULES + 2 }));
}

#[test]
fn counts_go_on_in_the_policy_that_follows() {
    let rules = |names: &[&str]| policy(names.iter().map(|name| rule(name, |_| ())).collect(), Verdict::Deny);
    let first = Policy::new(&rules(&["a", "b", "b"]), 2).expect("a policy");
    for (worker, number) in [(0, 0), (1, 0), (0, 1), (1, 2), (1, 2)] {
        assert!(first.decide(worker, Some(100), |_| number).is_some());
    }
    let mut second = Policy::new(&rules(&["b", "c", "a", "b"]), 2).expect("a policy");
    let mut left = Counts::of(&first);
    second.go_on(&mut left);
    second.decide(1, Some(50), |_| 2);
    let counts: Vec<_> = (0..4).map(|number| second.counts(number)).collect();
    assert_eq!(counts, [(1, 100), (0, 0), (3, 250), (2, 200)]);
    // What has gone on once does not do so again; of two policies the sum does.
    let mut third = Policy::new(&rules(&["a"]), 2).expect("a policy");
    third.go_on(&mut left);
    assert_eq!(third.counts(0), (0, 0));
    third.go_on(&mut Counts::of(&first));
    third.go_on(&mut Counts::of(&second));
    assert_eq!(third.counts(0), (5, 450));
}

#[test]
fn identities_come_move_and_go() {
    let mut table = GroupTable::new().expect("memory");
    let entries = |list: &[(&str, u32)]| -> BTreeMap<_, _> {
        list.iter().map(|(net, id)| (net.parse().expect("a network"), *id)).collect()
    };
    let groups = Arc::clone(table.groups());
    let of = |last: u32| u32::identity(&groups, 0x0a00_0000 + last);
    assert_eq!(table.set(&entries(&[("10.0.0.0/8", 1), ("10.0.0.5/32", 2), ("fd00::5/128", 3)])), Ok(true));
    assert_eq!((of(4), of(5), u32::identity(&groups, 1)), (1, 2, 0));
    assert_eq!((u128::identity(&groups, 0xfd00 << 112 | 5), u128::identity(&groups, 5)), (3, 0));
    assert_eq!(table.set(&entries(&[("10.0.0.0/8", 1), ("10.0.0.5/32", 2), ("fd00::5/128", 3)])), Ok(false));
    table.quiet();
    assert_eq!(table.set(&entries(&[("10.0.0.5/32", 7)])), Ok(true));
    assert_eq!((of(4), of(5), u128::identity(&groups, 0xfd00 << 112 | 5)), (0, 7, 0));
    assert!(table.set(&entries(&[("10.0.0.6/32", 0)])).is_err());
}

proptest! {
    #[test]
    fn both_directions_have_one_owner(one: u32, other: u32, workers in 1..9_usize) {
        let flows = Flows::new(SessionSpec::default(), workers, false, None, SessionClock::default());
        let flows = flows.expect("no memory is needed");
        let owner = flows.owner(one, other);
        prop_assert!(owner < workers && owner == flows.owner(other, one));
    }

    /// Tiers against a list that is gone through.
    #[test]
    fn the_first_rule_of_the_first_tier_that_decides(
        tiers in proptest::collection::vec(
            (proptest::collection::vec((0..4_u16, 0..4_u8), 0..6), 0..4_u8), 0..5),
        port in 0..4_u16,
        default in 0..3_u8,
    ) {
        let verdict = |n: u8| [Verdict::Permit, Verdict::Deny, Verdict::Reject, Verdict::Pass][n as usize];
        let spec = PolicySpec {
            name: "p".into(),
            tiers: tiers.iter().map(|(rules, end)| TierSpec {
                name: "t".into(),
                rules: rules.iter().map(|(port, action)| rule("r", |r| {
                    r.action = verdict(*action);
                    (r.matches.protocol, r.matches.destination_ports) = (Some(17), Some(*port..=*port));
                })).collect(),
                default: verdict(*end),
            }).collect(),
            default: verdict(default),
            stateful: false,
        };
        let compiled = Policy::new(&spec, 1).expect("a policy");
        let facts = Facts {
            macs: (paceline_wire::ethernet::Mac(0), paceline_wire::ethernet::Mac(0)),
            ethertype: 0x0800,
            vlan: 0,
            tcp: 0,
        };
        let flow = Tuple { source: 1, destination: 2, ports: port.into(), protocol: 17, scope: 0 };
        let find = |from| u32::find(&compiled, &flow, 0, from, || facts);
        let found = compiled.decide(0, None, find).map(|(_, rule)| rule.verdict);
        let of_tier = |(rules, end): &(Vec<(u16, u8)>, u8)| {
            let hit = rules.iter().find(|(at, _)| *at == port).map_or(*end, |(_, action)| *action);
            Some(verdict(hit)).filter(|verdict| *verdict != Verdict::Pass)
        };
        let wanted = tiers.iter().find_map(of_tier).unwrap_or(verdict(default));
        prop_assert_eq!(found, Some(wanted));
    }
}
