//! Both tables against a list of routes that is searched from end to end, and against the RIB's own search.

mod beside;
mod twin;

use ipnet::{Ipv4Net, Ipv6Net};

use super::rib::Family;
use super::{Fib4, Fib6, MAX_VALUE, NO_ROUTE, Rib, Rib4, Rib6, RouteError, v4, v6};

/// What the tests need of a family. Bits are those of an address from the highest of 128 down, so that both are alike.
trait Kind: Family {
    const WIDTH: u8;
    /// The shortest prefix but the default route: shorter ones of IPv4 take long to write.
    const SHORTEST: u8;
    /// Lengths around which tables change their ways.
    const BORDERS: &'static [u8];
    fn net(bits: u128, len: u8) -> Self::Prefix;
    fn lookup_one(fib: &Self::Fib, bits: u128) -> u32;
    fn lookup_batch(fib: &Self::Fib, bits: &[u128]) -> Vec<u32>;

    /// Looks up in a batch and one by one; nobody must change anything meanwhile.
    fn lookup(rib: &Rib<Self>, bits: &[u128]) -> Vec<u32> {
        let values = Self::lookup_batch(rib.fib(), bits);
        assert!(bits.iter().zip(&values).all(|(bits, value)| Self::lookup_one(rib.fib(), *bits) == *value));
        values
    }
}

impl Kind for v4::Writer {
    const WIDTH: u8 = 32;
    const SHORTEST: u8 = 12;
    const BORDERS: &'static [u8] = &[0, 12, 16, 22, 23, 24, 25, 26, 31, 32];

    fn net(bits: u128, len: u8) -> Ipv4Net {
        Ipv4Net::new_assert(((bits >> 96) as u32).into(), len)
    }

    fn lookup_one(fib: &Fib4, bits: u128) -> u32 {
        fib.lookup((bits >> 96) as u32)
    }

    fn lookup_batch(fib: &Fib4, bits: &[u128]) -> Vec<u32> {
        let addresses: Vec<u32> = bits.iter().map(|bits| (bits >> 96) as u32).collect();
        let mut values = vec![0; bits.len()];
        fib.lookup_batch(&addresses, &mut values);
        values
    }
}

impl Kind for v6::Writer {
    const WIDTH: u8 = 128;
    const SHORTEST: u8 = 1;
    const BORDERS: &'static [u8] = &[0, 1, 2, 32, 33, 48, 62, 63, 64, 65, 66, 126, 127, 128];

    fn net(bits: u128, len: u8) -> Ipv6Net {
        Ipv6Net::new_assert(bits.into(), len)
    }

    fn lookup_one(fib: &Fib6, bits: u128) -> u32 {
        fib.lookup(bits)
    }

    fn lookup_batch(fib: &Fib6, bits: &[u128]) -> Vec<u32> {
        let mut values = vec![0; bits.len()];
        fib.lookup_batch(bits, &mut values);
        values
    }
}

/// All ones from a length on.
fn host(len: u8) -> u128 {
    u128::MAX.checked_shr(len.into()).unwrap_or(0)
}

fn v4(text: &str) -> Ipv4Net {
    text.parse().expect("a prefix")
}

fn v6(text: &str) -> Ipv6Net {
    text.parse().expect("a prefix")
}

#[test]
fn an_empty_table_knows_no_route() {
    let (rib4, rib6) = (Rib4::new().expect("memory"), Rib6::new().expect("memory"));
    assert_eq!((rib4.fib().lookup(0), rib4.fib().lookup(u32::MAX)), (NO_ROUTE, NO_ROUTE));
    assert_eq!((rib6.fib().lookup(0), rib6.fib().lookup(u128::MAX)), (NO_ROUTE, NO_ROUTE));
    assert!(rib4.is_empty() && rib6.is_empty() && rib4.fib_bytes() == 0 && rib6.fib_bytes() < 100);
}

#[test]
fn host_bits_are_left_out_and_values_checked() {
    let mut rib = Rib4::new().expect("memory");
    assert_eq!(rib.insert(v4("10.1.2.3/8"), 7), Ok(None));
    assert_eq!(rib.insert(v4("10.0.0.0/8"), 8), Ok(Some(7)));
    assert_eq!(rib.get(v4("10.9.9.9/8")), Some(8));
    assert_eq!(rib.covering(v4("10.1.0.0/16")), Some((v4("10.0.0.0/8"), 8)));
    assert_eq!(rib.insert(v4("11.0.0.0/8"), 0), Err(RouteError::Value(0)));
    assert_eq!(rib.insert(v4("11.0.0.0/8"), MAX_VALUE + 1), Err(RouteError::Value(MAX_VALUE + 1)));
    assert_eq!(rib.insert(v4("11.0.0.0/32"), MAX_VALUE), Ok(None));
    assert_eq!(rib.fib().lookup(0x0b00_0000), MAX_VALUE);
    assert_eq!(rib.iter().collect::<Vec<_>>(), [(v4("10.0.0.0/8"), 8), (v4("11.0.0.0/32"), MAX_VALUE)]);
    assert_eq!((rib.remove(v4("10.0.0.1/8")), rib.remove(v4("10.0.0.1/8"))), (Some(8), None));
    assert_eq!((rib.fib().lookup(0x0a00_0000), rib.len()), (NO_ROUTE, 1));
}

#[test]
fn the_shortest_prefixes_of_ipv4_are_written_everywhere() {
    let mut rib = Rib4::new().expect("memory");
    for (net, value) in [("128.0.0.0/1", 1), ("0.0.0.0/0", 2), ("192.0.2.1/32", 3), ("192.0.0.0/2", 4)] {
        rib.insert(v4(net), value).expect("room");
    }
    let look =
        |rib: &Rib4| [0x7fff_ffff, 0x8000_0000, 0xc000_0201, 0xc000_0202].map(|at| rib.fib().lookup(at));
    assert_eq!(look(&rib), [2, 1, 3, 4]);
    rib.remove(v4("192.0.0.0/2"));
    rib.remove(v4("0.0.0.0/0"));
    assert_eq!(look(&rib), [0, 1, 3, 1]);
}

/// A route around a subtree, and one that ends where a node begins.
#[test]
fn nodes_are_put_around_nodes() {
    let mut rib = Rib6::new().expect("memory");
    for i in 0..100_u128 {
        let bits = 0x2001_0db8_u128 << 96 | i << 64;
        rib.insert(v6::Writer::net(bits, 64), i as u32 + 1).expect("room");
    }
    for (len, value) in [(48, 1000), (32, 1001), (31, 1002), (3, 1003), (0, 1004), (57, 1005)] {
        rib.insert(v6::Writer::net(0x2001_0db8_u128 << 96, len), value).expect("room");
    }
    rib.insert(v6("2002::/16"), 1006).expect("room");
    let look = |rib: &Rib6, text: &str| rib.fib().lookup(v6(text).network().to_bits());
    assert_eq!(look(&rib, "2001:db8:0:5::1/128"), 6);
    assert_eq!(look(&rib, "2001:db8:0:70::1/128"), 1005);
    assert_eq!(look(&rib, "2001:db8:0:f0::1/128"), 1000);
    assert_eq!(look(&rib, "2001:db8:9::/128"), 1001);
    assert_eq!(look(&rib, "2001:db9::/128"), 1002);
    assert_eq!(look(&rib, "3000::/128"), 1003);
    assert_eq!(look(&rib, "4000::/128"), 1004);
    assert_eq!(look(&rib, "2002::/128"), 1006);
    assert_eq!(rib.remove(v6("2001:db8::/31")), Some(1002));
    assert_eq!(look(&rib, "2001:db9::/128"), 1003);
    assert_eq!(look(&rib, "2001:db8:9::/128"), 1001);
}

/// Nobody reads, so a mark is a quiet point.
fn quiet<F: Family>(rib: &mut Rib<F>) {
    rib.quiet(rib.mark());
}

/// Every address of a group of its own, as many as there may be.
#[test]
#[ignore = "takes 2 GiB of memory"]
fn ipv4_groups_end_with_an_error() {
    let mut rib = Rib4::new().expect("memory");
    let limit = 2_097_136;
    for i in 0..limit {
        rib.insert(v4::Writer::net(u128::from(i << 8) << 96, 32), i + 1).expect("room");
    }
    let one_more = v4::Writer::net(u128::from(limit << 8) << 96, 32);
    assert_eq!(rib.insert(one_more, 1), Err(RouteError::Groups { limit, waiting: 0 }));
    assert_eq!((rib.fib().lookup(limit << 8), rib.get(one_more)), (NO_ROUTE, None));
    assert_eq!(rib.fib().lookup((limit - 1) << 8), limit);
    rib.remove(v4("0.0.1.0/32"));
    assert_eq!(rib.insert(one_more, 1), Err(RouteError::Groups { limit, waiting: 1 }));
    quiet(&mut rib);
    assert_eq!(rib.insert(one_more, 1), Ok(None));
}
