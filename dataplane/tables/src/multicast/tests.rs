use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::MacTable;

/// What a table should know, in maps.
#[derive(Default)]
struct Twin {
    groups: BTreeMap<IpAddr, BTreeSet<u16>>,
    routers: [BTreeSet<u16>; 2],
    modes: [Mode; 2],
}

impl Twin {
    fn forward(&self, group: IpAddr) -> Option<BTreeSet<u16>> {
        let version = usize::from(group.is_ipv6());
        let (mode, members) = (self.modes[version], self.groups.get(&group));
        if !mode.is_known || members.is_none() && mode.is_crowded {
            return None;
        }
        let members = members.into_iter().flatten();
        Some(members.chain(&self.routers[version]).copied().collect())
    }
}

/// A few groups, so that they meet: of both versions, and such as differ in one word alone.
fn group(number: u8) -> IpAddr {
    match number % 4 {
        0 => [239, 0, 0, number].into(),
        1 => [0xff3e, 0, 0, 0, 0, 0, 0, u16::from(number)].into(),
        2 => [0xff05, 0, 0, u16::from(number), 0, 0, 0, 0].into(),
        _ => [0xff05, 0, 0, 0, 0, 0, 0xef00, u16::from(number)].into(),
    }
}

fn ports(table: &MulticastTable, group: IpAddr) -> Option<BTreeSet<u16>> {
    let mut set = PortSet::default();
    table.forward(group, &mut set).then(|| set.iter().collect())
}

proptest! {
    #[test]
    fn it_does_what_maps_do(steps in prop::collection::vec((0_u8..5, any::<u8>(), 0_u16..MacTable::PORTS, 0_u8..8), 0..200)) {
        let (table, mut twin) = (MulticastTable::new(1000).expect("memory"), Twin::default());
        for (step, number, port, bits) in steps {
            let group = group(number);
            let is_ipv6 = number & 1 == 1;
            let version = usize::from(is_ipv6);
            // Few ports, some of one word and some of others.
            let port = port % 5 * 50;
            match step {
                0 | 1 => {
                    prop_assert_eq!(table.join(group, port), Ok(()));
                    twin.groups.entry(group).or_default().insert(port);
                }
                2 => {
                    table.leave(group, port);
                    let is_empty = twin.groups.get_mut(&group).is_some_and(|ports| {
                        ports.remove(&port);
                        ports.is_empty()
                    });
                    if is_empty {
                        twin.groups.remove(&group);
                    }
                }
                3 => {
                    table.set_router(is_ipv6, port, bits & 1 != 0);
                    let routers = &mut twin.routers[version];
                    if bits & 1 != 0 { routers.insert(port) } else { routers.remove(&port) };
                }
                _ => {
                    twin.modes[version] = Mode::of(bits);
                    table.set_mode(is_ipv6, Mode::of(bits));
                }
            }
            prop_assert_eq!(table.len(), twin.groups.len());
            for group in (0..=u8::MAX).map(self::group) {
                prop_assert_eq!(ports(&table, group), twin.forward(group), "{}", group);
            }
            for is_ipv6 in [false, true] {
                let version = usize::from(is_ipv6);
                let mut set = PortSet::default();
                prop_assert_eq!(table.answers(is_ipv6, &mut set), twin.modes[version].is_asked);
                prop_assert_eq!(&set.iter().collect::<BTreeSet<_>>(), &twin.routers[version]);
            }
        }
    }
}

#[test]
fn a_table_takes_as_many_groups_as_it_may() {
    let table = MulticastTable::new(1024).expect("memory");
    let group = |number: u32| IpAddr::from((0xef00_0000 + number).to_be_bytes());
    for number in 0..1024 {
        assert_eq!(table.join(group(number), 7), Ok(()), "{number}");
    }
    assert_eq!(table.join(group(1024), 7), Err(NoPlace));
    assert_eq!(table.join(group(3), 8), Ok(()), "a group that is there takes any port");
    table.leave(group(5), 7);
    assert_eq!((table.join(group(1024), 7), table.len()), (Ok(()), 1024));
    table.join(group(3), MacTable::PORTS).expect("it is there");
    table.set_mode(false, Mode { is_known: true, ..Mode::default() });
    assert_eq!(ports(&table, group(3)), Some([7, 8].into()), "what can be no port is none");
}

/// A reader beside a writer that gives a few places to ever other groups sees no port that a group never had.
#[test]
fn readers_never_see_another_group_s_ports() {
    let table = MulticastTable::new(4).expect("memory");
    table.set_mode(false, Mode { is_known: true, ..Mode::default() });
    let group = |number: u16| IpAddr::from([239, 0, 0, number as u8]);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while seen < 2000 {
                for number in 0..64 {
                    for port in ports(&table, group(number)).unwrap_or_default() {
                        assert_eq!(port, number);
                        seen += 1;
                    }
                }
            }
        });
        let mut number = 0;
        while !reader.is_finished() {
            table.join(group(number), number).expect("a place");
            table.leave(group((number + 62) % 64), (number + 62) % 64);
            number = (number + 1) % 64;
        }
        reader.join().expect("the reader");
    });
}
