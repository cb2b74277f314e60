//! What happens when there is no memory left.

use ipnet::Ipv6Net;
use prefix_trie::PrefixMap;

use super::Writer;
use super::memory::END;
use crate::fib::RouteError;
use crate::fib::rib::{Family, Routes};

fn net(text: &str) -> Ipv6Net {
    text.parse().expect("a prefix")
}

/// As the RIB does it.
fn insert(writer: &mut Writer, rib: &mut Routes<Writer>, net: Ipv6Net, value: u32) -> Result<(), RouteError> {
    let old = rib.insert(net, value);
    writer.insert(rib, net, value, old).inspect_err(|_| _ = rib.remove(&net))
}

#[test]
fn a_full_table_refuses_routes_and_lets_them_go() {
    let (mut writer, mut rib) = (Writer::new().expect("memory"), PrefixMap::new());
    insert(&mut writer, &mut rib, net("2001:db8::/32"), 1).expect("room");
    insert(&mut writer, &mut rib, net("2001:db8:1::/48"), 2).expect("room");
    let empty = writer.bytes();
    for order in (0..END.ilog2()).rev() {
        while writer.arena.take(order).is_ok() {}
    }
    writer.arena.commit();
    let full = writer.bytes();
    assert!(full > empty && full < 256 << 20);

    let refused = insert(&mut writer, &mut rib, net("2001:db8:2::/48"), 3);
    assert!(matches!(refused, Err(RouteError::Nodes { waiting: 1, .. })), "{refused:?}");
    let look = |writer: &Writer, text| writer.fib().lookup(net(text).network().to_bits());
    assert_eq!([look(&writer, "2001:db8:1::1/128"), look(&writer, "2001:db8:2::1/128")], [2, 1]);
    insert(&mut writer, &mut rib, net("2001:db8:1::/48"), 4).expect("it is there");
    assert_eq!((look(&writer, "2001:db8:1::1/128"), writer.bytes()), (4, full));

    rib.remove(&net("2001:db8:1::/48"));
    writer.remove(&rib, net("2001:db8:1::/48"));
    assert_eq!(look(&writer, "2001:db8:1::1/128"), 1);
    rib.remove(&net("2001:db8::/32"));
    writer.remove(&rib, net("2001:db8::/32"));
    assert_eq!(look(&writer, "2001:db8:1::1/128"), 0);
    let again = insert(&mut writer, &mut rib, net("2001:db8:2::/48"), 3);
    assert!(matches!(again, Err(RouteError::Nodes { .. })), "before a quiet point");
    writer.quiet(writer.mark());
    insert(&mut writer, &mut rib, net("2001:db8:2::/48"), 3).expect("room again");
    assert_eq!(look(&writer, "2001:db8:2::1/128"), 3);
}
