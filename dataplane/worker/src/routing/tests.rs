//! Whatever changes lead to a topology, its tables are as if there had never been another one.

use proptest::prelude::*;

use super::lines::Target;
use super::*;
use crate::spec::{PathSpec, RouteSpec, Topology, VrfSpec};
use paceline_graph::Hop;
use paceline_wire::ethernet::Mac;

const VRFS: [&str; 2] = ["red", "blue"];

/// A step: the legs and the routes that there are from then on, neighbours that are found, and whether workers go over to it.
#[derive(Clone, Debug)]
struct Step {
    legs: BTreeMap<u16, Leg>,
    routes: Vec<(usize, IpNet, RouteSpec)>,
    vrfs: [bool; 2],
    found: Vec<(u16, u8)>,
    /// Legs at whose address tunnels end.
    ends: BTreeSet<u16>,
    is_taken: bool,
}

impl Step {
    fn ends(&self) -> Ends {
        let mut ends = Ends::default();
        for leg in self.legs.values().filter(|leg| self.ends.contains(&leg.number)) {
            let local = ends.local.entry(leg.vrf.clone()).or_default();
            local.extend(leg.addresses.iter().map(IpNet::addr));
        }
        ends
    }
}

/// Leg `number` is in 10.`number`.0.0/24.
fn leg(number: u16, vrf: usize, mtu: u16, is_link: bool, statics: &[u8]) -> Leg {
    let address = |last| IpAddr::from([10, number as u8, 0, last]);
    Leg {
        name: format!("p{number}").into(),
        number,
        vrf: VRFS[vrf].into(),
        mac: Mac(0x0200_0000_0000 + u64::from(number)),
        mtu,
        addresses: vec![IpNet::new(address(1), 24).expect("a prefix")],
        proxy_arp: false,
        statics: statics.iter().map(|last| (address(*last), Mac(u64::from(*last)))).collect(),
        peer: is_link.then_some(Mac(9)),
        out: Hop::port(number),
        outside: Vec::new(),
        owner: None,
    }
}

fn legs() -> impl Strategy<Value = BTreeMap<u16, Leg>> {
    let statics = prop::collection::vec(2_u8..6, 0..3);
    let one = (1_u16..5, 0_usize..2, prop_oneof![Just(1500), Just(1400)], prop::bool::weighted(0.2), statics);
    prop::collection::vec(one, 0..6).prop_map(|all| {
        let made =
            all.iter().map(|(number, vrf, mtu, is_link, s)| (*number, leg(*number, *vrf, *mtu, *is_link, s)));
        made.collect()
    })
}

/// Few prefixes, so that they meet: within the legs' subnets, around them, and elsewhere.
fn prefix() -> impl Strategy<Value = IpNet> {
    let lengths = prop::sample::select(vec![0_u8, 8, 15, 16, 24, 24, 24, 25, 30, 32, 32]);
    (1_u8..5, 0_u8..8, lengths).prop_map(|(second, last, length)| {
        IpNet::new([10, second, 0, last].into(), length).expect("a prefix").trunc()
    })
}

fn route() -> impl Strategy<Value = RouteSpec> {
    let path = (1_u8..5, prop::option::of(2_u8..8), any::<bool>()).prop_map(|(leg, last, named)| PathSpec {
        via: last.map(|last| [10, leg, 0, last].into()),
        interface: named.then(|| format!("p{leg}")),
    });
    prop_oneof![
        4 => prop::collection::vec(path, 1..4).prop_map(RouteSpec::Via),
        1 => Just(RouteSpec::Blackhole),
        1 => Just(RouteSpec::Prohibit),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let routes = prop::collection::vec((0_usize..2, prefix(), route()), 0..12);
    let found = prop::collection::vec((1_u16..5, 2_u8..8), 0..12);
    let step = (
        prop::option::weighted(0.3, legs()),
        routes,
        [prop::bool::weighted(0.9), prop::bool::weighted(0.9)],
        found,
        prop::collection::btree_set(1_u16..5, 0..2),
        prop::bool::weighted(0.8),
    );
    prop::collection::vec(step, 1..8).prop_map(|all| {
        // Legs stay as they were in most steps.
        let mut legs = BTreeMap::new();
        let step = |(new, routes, vrfs, found, ends, is_taken): (Option<_>, _, _, _, _, _)| {
            legs = new.unwrap_or_else(|| legs.clone());
            Step { legs: legs.clone(), routes, vrfs, found, ends, is_taken }
        };
        all.into_iter().map(step).collect()
    })
}

/// The routes of a step on top of those of the one before, so that maps share what they have in common.
fn topology(before: &Topology, step: &Step) -> Topology {
    let mut topology = before.clone();
    for (name, is_there) in VRFS.iter().zip(step.vrfs) {
        if is_there {
            topology.vrfs.entry((*name).into()).or_default();
        } else {
            topology.vrfs.remove(*name);
        }
    }
    for (vrf, prefix, route) in &step.routes {
        if let Some(VrfSpec { routes }) = topology.vrfs.get_mut(VRFS[*vrf]) {
            // The same again takes it out.
            if routes.remove(prefix).as_ref() != Some(route) {
                routes.insert(*prefix, route.clone());
            }
        }
    }
    topology
}

/// Where the routes of all tables lead, in words that do not depend on numbers.
fn shown(routing: &Routing) -> BTreeMap<(String, IpNet), Vec<String>> {
    let mut all = BTreeMap::new();
    for table in &routing.tables {
        for (prefix, number) in table.iter() {
            let words = match routing.lines.target(number) {
                Some(Target::Balance(paths)) => {
                    paths.iter().map(|path| format!("{:?}", routing.lines.target(*path))).collect()
                }
                other => vec![format!("{other:?}")],
            };
            all.insert((table.name.to_string(), prefix), words);
        }
    }
    all
}

/// Every line, as workers see it, by the number that routes have.
fn seen(routing: &Routing) -> BTreeMap<(usize, IpNet), (u32, String)> {
    let tables = routing.tables.iter().enumerate();
    let routes =
        tables.flat_map(|(at, table)| table.iter().map(move |(prefix, number)| ((at, prefix), number)));
    let line = |number| {
        let line = routing.lines.table().get(number);
        format!("{:?} {} {:?}", line.target().action(), line.target().interface(), line.header())
    };
    routes.map(|(key, number)| (key, (number, line(number)))).collect()
}

fn next_hops(routing: &Routing) -> BTreeSet<(u16, IpAddr)> {
    routing.lines.next_hops().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn any_changes_end_in_the_table_that_is_made_from_scratch(steps in steps()) {
        let (mut routing, mut topology) = (Routing::new(), Topology::default());
        for step in &steps {
            topology = self::topology(&topology, step);
            let before = seen(&routing);
            routing.prepare(step.legs.clone(), &topology, step.ends());
            // Nothing is there that was not, and nothing of what stays is another.
            for (key, now) in seen(&routing) {
                prop_assert_eq!(Some(&now), before.get(&key), "{:?} was changed in place", key);
            }
            if !step.is_taken {
                continue;
            }
            routing.complete();
            for (number, last) in &step.found {
                routing.resolved(*number, [10, *number as u8, 0, *last].into(), Mac(77));
            }
            let mut scratch = Routing::new();
            scratch.prepare(step.legs.clone(), &topology, step.ends());
            scratch.complete();
            for table in &routing.tables {
                for (address, interface) in &table.found {
                    scratch.resolved(*interface, *address, Mac(77));
                }
            }
            prop_assert_eq!(shown(&routing), shown(&scratch));
            prop_assert_eq!(next_hops(&routing), next_hops(&scratch));
            prop_assert_eq!(routing.lines_in_use(), scratch.lines_in_use());
            let pinned = |routing: &Routing| {
                let all = routing.neighbours.iter().filter(|neighbour| neighbour.pinned);
                all.map(|neighbour| (neighbour.interface, neighbour.address)).collect::<BTreeSet<_>>()
            };
            prop_assert_eq!(pinned(&routing), pinned(&scratch));
        }
        routing.prepare(BTreeMap::new(), &Topology::default(), Ends::default());
        routing.complete();
        prop_assert_eq!((shown(&routing).len(), routing.lines_in_use()), (0, 0));
    }
}

#[test]
fn a_next_hop_that_does_not_answer_is_passed_over_by_those_that_are_spread() {
    let mut routing = Routing::new();
    let legs = BTreeMap::from([(1, leg(1, 0, 1500, false, &[]))]);
    let hop = |last: u8| IpAddr::from([10, 1, 0, last]);
    let path = |last| PathSpec { via: Some(hop(last)), interface: None };
    let mut topology = Topology::default();
    let prefix: IpNet = "20.0.0.0/8".parse().expect("a prefix");
    let vrf =
        VrfSpec { routes: [(prefix, RouteSpec::Via(vec![path(2), path(3), path(4)]))].into_iter().collect() };
    topology.vrfs.insert("red".into(), vrf);
    routing.prepare(legs, &topology, Ends::default());
    routing.complete();
    let flows = |routing: &Routing| -> Vec<IpAddr> {
        let number = routing.tables[0].get(prefix).expect("there");
        let line = routing.lines.table().get(number);
        let to = |flow: u32| match routing.lines.target(line.path(flow.wrapping_mul(0x9e37_79b9))) {
            Some(Target::Neighbour(_, address)) => *address,
            other => panic!("{other:?}"),
        };
        (0..3000).map(to).collect()
    };
    let share = |flows: &[IpAddr], last| flows.iter().filter(|to| **to == hop(last)).count();
    // As long as nobody has answered, all are asked.
    let asked = flows(&routing);
    assert!((2..5).all(|last| share(&asked, last).abs_diff(1000) < 100));
    routing.resolved(1, hop(2), Mac(2));
    assert_eq!(share(&flows(&routing), 2), 3000, "the only one that is known");
    routing.resolved(1, hop(3), Mac(3));
    routing.resolved(1, hop(4), Mac(4));
    assert_eq!(flows(&routing), asked);
    routing.lost(1, hop(3));
    let without = flows(&routing);
    assert!([2, 4].iter().all(|last| share(&without, *last).abs_diff(1500) < 150), "its share is shared");
    let stay = |(before, now): (&IpAddr, &IpAddr)| *before == hop(3) || before == now;
    assert!(asked.iter().zip(&without).all(stay), "flows of the others stay where they are");
    routing.resolved(1, hop(3), Mac(5));
    assert_eq!(flows(&routing), asked, "it is back");
}

#[test]
fn the_number_of_a_table_is_its_own_until_no_packet_has_it() {
    let topology = |names: &[&str]| Topology {
        vrfs: names.iter().map(|name| ((*name).to_string(), VrfSpec::default())).collect(),
        ..Topology::default()
    };
    let mut routing = Routing::new();
    let names = |routing: &mut Routing, names: &[&str]| {
        // A route, so that there is something to tell.
        let mut topology = topology(names);
        let prefix: IpNet = "20.0.0.0/8".parse().expect("a prefix");
        for vrf in topology.vrfs.values_mut() {
            vrf.routes.insert(prefix, RouteSpec::Blackhole);
        }
        let part = routing.prepare(BTreeMap::new(), &topology, Ends::default());
        part.vrfs.iter().map(|vrf| vrf.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&mut routing, &["red", "tan"]), ["red", "tan"]);
    routing.complete();
    for at in 0..2 {
        routing.locals.insert(at, Local::new(Duration::ZERO, paceline_router::local::Limits::default()));
    }
    // One goes and another one comes in the same step: packets that wait with the number of the first do not enter it.
    assert_eq!(names(&mut routing, &["blue", "tan"]), ["", "tan", "blue"]);
    assert_eq!(routing.locals.keys().collect::<Vec<_>>(), [&1], "the switch is no host there any more");
    assert!(routing.tables[0].iter().next().is_none());
    routing.complete();
    (1..Numbers::REST).for_each(|_| routing.rest());
    assert_eq!(names(&mut routing, &["blue", "tan", "ash"]), ["", "tan", "blue", "ash"]);
    routing.complete();
    routing.rest();
    assert_eq!(names(&mut routing, &["blue", "tan", "ash", "red"]), ["red", "tan", "blue", "ash"]);
    routing.complete();
}
