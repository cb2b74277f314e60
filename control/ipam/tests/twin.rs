//! Pools and leases beside slow and obvious twins: sets of addresses, and every pair of subnets compared.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use paceline_ipam::{
    AddressRequest, IpamError, Plan, PoolId, PoolRequest, Pools, Space, release_address, release_pool,
    request_address, request_pool,
};
use proptest::prelude::*;

/// All addresses of a small subnet, by counting.
fn all(net: &IpNet) -> Vec<IpAddr> {
    let bits = net.max_prefix_len() - net.prefix_len();
    (0..1u32 << bits)
        .map(|offset| match net.network() {
            IpAddr::V4(base) => Ipv4Addr::from_bits(base.to_bits() + offset).into(),
            IpAddr::V6(base) => Ipv6Addr::from_bits(base.to_bits() + u128::from(offset)).into(),
        })
        .collect()
}

/// A pool as a list of the addresses to choose from and a set of those in use.
struct Twin {
    choice: Vec<IpAddr>,
    all: Vec<IpAddr>,
    used: BTreeSet<IpAddr>,
    last: Option<IpAddr>,
}

impl Twin {
    fn new(subnet: &IpNet, range: Option<&IpNet>) -> Self {
        let mut all = all(subnet);
        if all.len() > 2 {
            all.remove(0);
            if matches!(subnet, IpNet::V4(_)) {
                all.pop();
            }
        }
        let choice =
            all.iter().copied().filter(|address| range.is_none_or(|range| range.contains(address))).collect();
        Self { choice, all, used: BTreeSet::new(), last: None }
    }

    fn next(&mut self) -> Option<IpAddr> {
        let behind = self.last.and_then(|last| self.choice.iter().position(|&address| address == last));
        let mut turned = self.choice.clone();
        turned.rotate_left(behind.map_or(0, |at| (at + 1) % self.choice.len()));
        let free = turned.into_iter().find(|address| !self.used.contains(address))?;
        self.last = Some(free);
        self.used.insert(free);
        Some(free)
    }

    fn take(&mut self, address: IpAddr) -> bool {
        self.all.contains(&address) && self.used.insert(address)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Next,
    Take(u8),
    Release(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![3 => Just(Step::Next), 1 => any::<u8>().prop_map(Step::Take), 2 => any::<u8>().prop_map(Step::Release)]
}

/// A subnet of at most 64 addresses, and perhaps a part of it.
fn subnet() -> impl Strategy<Value = (IpNet, Option<IpNet>)> {
    (any::<bool>(), 0u8..=6, any::<u8>(), any::<Option<(u8, u8)>>()).prop_map(|(v6, bits, place, range)| {
        let net = |offset: u32, bits: u8| {
            let text = if v6 {
                format!("fd00::{offset:x}/{}", 128 - bits)
            } else {
                format!("10.0.0.{offset}/{}", 32 - bits)
            };
            text.parse::<IpNet>().unwrap().trunc()
        };
        let whole = net(u32::from(place), bits);
        let range = range.map(|(offset, smaller)| {
            let base = u32::from(place) >> bits << bits;
            net(base + u32::from(offset) % (1 << bits), smaller % (bits + 1))
        });
        (whole, range)
    })
}

proptest! {
    #[test]
    fn leases_are_those_of_the_twin((subnet, range) in subnet(), steps in prop::collection::vec(step(), 0..200)) {
        let mut pools = Pools::default();
        let mut twin = Twin::new(&subnet, range.as_ref());
        let v6 = matches!(subnet, IpNet::V6(_));
        let request = PoolRequest { space: Space::Local, subnet: Some(subnet), range, v6 };
        let pool = match request_pool(&mut pools, &Plan::for_host(b""), &request) {
            Ok(pool) => pool,
            Err(error) => {
                let empty = matches!(error, IpamError::RangeEmpty { .. });
                prop_assert!(empty && twin.choice.is_empty(), "{}", error);
                return Ok(());
            }
        };
        let addresses = all(&subnet);
        let pick = |index: u8| addresses[usize::from(index) % addresses.len()];
        for step in steps {
            match step {
                Step::Next => {
                    let next = request_address(&mut pools, pool, &AddressRequest::default());
                    prop_assert_eq!(next.ok().map(|net| net.addr()), twin.next());
                }
                Step::Take(index) => {
                    let request = AddressRequest { address: Some(pick(index)), ..AddressRequest::default() };
                    prop_assert_eq!(request_address(&mut pools, pool, &request).is_ok(), twin.take(pick(index)));
                }
                Step::Release(index) => {
                    release_address(&mut pools, pool, pick(index));
                    twin.used.remove(&pick(index));
                }
            }
            prop_assert!(pools.leases.keys().map(|lease| lease.address).eq(twin.used.iter().copied()));
        }
        release_pool(&mut pools, pool);
        prop_assert!(pools.leases.is_empty() && pools.pools.is_empty());
    }

    #[test]
    fn pools_of_a_space_never_overlap(
        steps in prop::collection::vec((any::<bool>(), any::<u16>(), 18u8..=32, any::<bool>(), 0u8..4), 1..60),
    ) {
        let mut pools = Pools::default();
        let mut twin: BTreeMap<Space, Vec<IpNet>> = BTreeMap::new();
        let plan = Plan::for_host(b"host");
        for (global, place, len, v6, kind) in steps {
            let space = if global { Space::Global } else { Space::Local };
            let mine = twin.entry(space).or_default();
            let text = if v6 { format!("fd00::{place:x}/{}", len + 96) } else { format!("10.0.{}.{}/{len}", place >> 8, place & 255) };
            let subnet: IpNet = text.parse::<IpNet>().unwrap().trunc();
            match kind {
                0 => {
                    release_pool(&mut pools, PoolId { space, subnet });
                    mine.retain(|other| *other != subnet);
                }
                1 => {
                    let id = request_pool(&mut pools, &plan, &PoolRequest { space, subnet: None, range: None, v6 }).unwrap();
                    mine.push(id.subnet);
                }
                _ => {
                    let overlaps = |other: &IpNet| other.contains(&subnet) || subnet.contains(other);
                    let expected = mine.iter().copied().find(overlaps);
                    let request = PoolRequest { space, subnet: Some(subnet), range: None, v6 };
                    match request_pool(&mut pools, &plan, &request) {
                        Ok(id) => {
                            prop_assert_eq!((expected, id), (None, PoolId { space, subnet }));
                            mine.push(subnet);
                        }
                        Err(IpamError::Overlap { existing, .. }) => {
                            prop_assert!(mine.contains(&existing.subnet) && overlaps(&existing.subnet));
                        }
                        Err(other) => prop_assert!(false, "{}", other),
                    }
                }
            }
        }
        for (space, subnets) in twin {
            let have: BTreeSet<_> = pools.pools.keys().filter(|id| id.space == space).map(|id| id.subnet).collect();
            prop_assert_eq!(have, subnets.into_iter().collect::<BTreeSet<_>>());
        }
    }
}
