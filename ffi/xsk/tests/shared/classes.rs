//! Each class of frame goes where it should.

use bed::{HOST, HOST4, HOST6, OUR_MAC, OURS4, OURS6, OUTSIDE4, OUTSIDE6, TCP, UDP};
use bed::{ethernet, filter, hosts, icmp, ip, ip4, ip6, ports};
use paceline_xsk::{Filter, Service, XskError};

use crate::bed::{self, Uplink};

const SCTP: u8 = 132;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const MORE: u16 = 0x2000;

fn v4(to: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(HOST, 0x0800, &ip4(OUTSIDE4, to, protocol, 0, 0, payload))
}

fn v6(to: &str, next: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(HOST, 0x86dd, &ip6(OUTSIDE6, to, next, payload))
}

#[test]
fn frames_by_class() {
    let Some((host, _outside)) = hosts() else { return };
    let uplink = Uplink::open(&host, &filter());
    let quote4 = |from: &str, protocol, payload: &[u8]| ip4(from, "198.51.100.9", protocol, 0, 0, payload);
    let quote6 = |from: &str, next, payload: &[u8]| ip6(from, "2001:db8:9::9", next, payload);
    let arp = [0, 1, 8, 0, 6, 4, 0, 1].repeat(4);
    let tagged = [&[0, 10, 8, 0][..], &ip4(OUTSIDE4, OURS4, TCP, 0, 0, &ports(1, 2))].concat();
    let options = |to| ethernet(HOST, 0x0800, &ip4(OUTSIDE4, HOST4, UDP, 10, 0, &ports(9, to)));
    let extension = |to: &str| v6(to, 60, &[&[UDP, 0, 1, 4, 0, 0, 0, 0][..], &ports(9, 53)].concat());
    let cases: Vec<(&str, bool, Vec<u8>)> = vec![
        ("a broadcast", false, ethernet([255; 6], 0x0800, &ip4(OUTSIDE4, OURS4, UDP, 0, 0, &ports(1, 2)))),
        (
            "a multicast",
            false,
            ethernet([0x33, 0x33, 0, 0, 0, 1], 0x86dd, &ip6(OUTSIDE6, OURS6, UDP, &ports(1, 2))),
        ),
        ("ARP", false, ethernet(HOST, 0x0806, &arp)),
        ("a VLAN tag", false, ethernet(HOST, 0x8100, &tagged)),
        ("anything to a MAC of ours", true, ethernet(OUR_MAC, 0x88b5, &[1])),
        ("ARP to a MAC of ours", true, ethernet(OUR_MAC, 0x0806, &arp)),
        ("TCP to the host", false, v4(HOST4, TCP, &ports(51000, 22))),
        ("TCP to a published port", true, v4(HOST4, TCP, &ports(51000, 8080))),
        ("UDP to a port published for TCP", false, v4(HOST4, UDP, &ports(51000, 8080))),
        ("UDP to a published port", true, v4(HOST4, UDP, &ports(51000, 53))),
        ("VXLAN", true, v4(HOST4, UDP, &ports(51000, 4789))),
        ("a published port of another address", false, v4(OUTSIDE4, TCP, &ports(51000, 8080))),
        ("below the range", false, v4(HOST4, TCP, &ports(443, 39_999))),
        ("the range's first", true, v4(HOST4, TCP, &ports(443, 40_000))),
        ("the range's last", true, v4(HOST4, UDP, &ports(443, 49_999))),
        ("above the range", false, v4(HOST4, UDP, &ports(443, 50_000))),
        ("SCTP in the range", true, v4(HOST4, SCTP, &ports(443, 41_000))),
        ("a source in the range means nothing", false, v4(HOST4, TCP, &ports(41_000, 22))),
        ("an address of ours", true, v4(OURS4, 47, &[])),
        (
            "a fragment to an address of ours",
            true,
            ethernet(HOST, 0x0800, &ip4(OUTSIDE4, OURS4, UDP, 0, 7, &[1])),
        ),
        ("options and a published port", true, options(53)),
        ("options and another port", false, options(54)),
        ("GRE to the host", false, v4(HOST4, 47, &ports(1, 41_000))),
        ("a ping to the host", false, v4(HOST4, ICMP, &icmp(8, 41_000, &[]))),
        ("an answer to a ping of ours", true, v4(HOST4, ICMP, &icmp(0, 41_000, &[]))),
        ("an answer to a ping of the host", false, v4(HOST4, ICMP, &icmp(0, 7, &[]))),
        ("an answer to a timestamp of ours", true, v4(HOST4, ICMP, &icmp(14, 41_000, &[]))),
        ("an error about us", true, v4(HOST4, ICMP, &icmp(3, 0, &quote4(HOST4, TCP, &ports(41_000, 80))))),
        (
            "an error about a published port",
            true,
            v4(HOST4, ICMP, &icmp(11, 0, &quote4(HOST4, UDP, &ports(53, 80)))),
        ),
        (
            "an error about the host",
            false,
            v4(HOST4, ICMP, &icmp(3, 0, &quote4(HOST4, TCP, &ports(51_000, 80)))),
        ),
        (
            "an error about a ping of ours",
            true,
            v4(HOST4, ICMP, &icmp(3, 0, &quote4(HOST4, ICMP, &icmp(8, 41_000, &[])))),
        ),
        (
            "an error about a ping of the host",
            false,
            v4(HOST4, ICMP, &icmp(3, 0, &quote4(HOST4, ICMP, &icmp(8, 9, &[])))),
        ),
        (
            "an error about somebody else",
            false,
            v4(HOST4, ICMP, &icmp(3, 0, &quote4(OUTSIDE4, TCP, &ports(41_000, 80)))),
        ),
        (
            "an error that quotes options",
            true,
            v4(HOST4, ICMP, &icmp(12, 0, &ip4(HOST4, OURS4, TCP, 10, 0, &ports(41_000, 80)))),
        ),
        (
            "an error that quotes a later fragment",
            false,
            v4(HOST4, ICMP, &icmp(11, 0, &ip4(HOST4, OURS4, TCP, 0, 9, &ports(41_000, 80)))),
        ),
        ("a redirect", false, v4(HOST4, ICMP, &icmp(5, 0, &quote4(HOST4, TCP, &ports(41_000, 80))))),
        ("TCP to the host by IPv6", false, v6(HOST6, TCP, &ports(51000, 22))),
        ("TCP to a published port by IPv6", true, v6(HOST6, TCP, &ports(51000, 8080))),
        ("the range by IPv6", true, v6(HOST6, UDP, &ports(443, 45_000))),
        ("an address of ours by IPv6", true, v6(OURS6, 59, &[])),
        ("an address of ours, extended", true, extension(OURS6)),
        ("a published port, extended", false, extension(HOST6)),
        ("a solicitation of ours", false, v6(OURS6, ICMPV6, &icmp(135, 0, &[]))),
        ("an advertisement", false, v6(HOST6, ICMPV6, &icmp(136, 41_000, &[]))),
        ("a ping to an address of ours", true, v6(OURS6, ICMPV6, &icmp(128, 7, &[]))),
        ("an answer to a ping of ours by IPv6", true, v6(HOST6, ICMPV6, &icmp(129, 41_000, &[]))),
        ("a ping to the host by IPv6", false, v6(HOST6, ICMPV6, &icmp(128, 41_000, &[]))),
        (
            "an error about us by IPv6",
            true,
            v6(HOST6, ICMPV6, &icmp(2, 0, &quote6(HOST6, TCP, &ports(41_000, 80)))),
        ),
        (
            "an error about the host by IPv6",
            false,
            v6(HOST6, ICMPV6, &icmp(1, 0, &quote6(HOST6, TCP, &ports(51_000, 80)))),
        ),
        (
            "an error about a ping of ours by IPv6",
            true,
            v6(HOST6, ICMPV6, &icmp(3, 0, &quote6(HOST6, ICMPV6, &icmp(128, 41_000, &[])))),
        ),
        (
            "an error about somebody else by IPv6",
            false,
            v6(HOST6, ICMPV6, &icmp(1, 0, &quote6(OUTSIDE6, TCP, &ports(41_000, 80)))),
        ),
    ];
    for (what, ours, frame) in &cases {
        assert_eq!(uplink.program.would_take(frame).unwrap(), *ours, "{what}");
        // What is cut off short of its ports is the kernel's, unless the address says enough.
        for length in 14..frame.len() {
            uplink.program.would_take(&frame[..length]).unwrap();
        }
    }
    assert!(!uplink.program.would_take(&v4(HOST4, TCP, &ports(1, 8080)[..3])).unwrap(), "truncated");
    assert!(!uplink.program.would_take(&v6(HOST6, TCP, &ports(1, 8080)[..3])).unwrap(), "truncated");
}

#[test]
fn later_fragments_follow_their_first() {
    let Some((host, _outside)) = hosts() else { return };
    let uplink = Uplink::open(&host, &filter());
    let part = |fragment, port| {
        let payload = ip4(OUTSIDE4, HOST4, UDP, 0, fragment, &ports(9, port));
        uplink.program.would_take(&ethernet(HOST, 0x0800, &payload)).unwrap()
    };
    assert!(!part(3 | MORE, 0), "before the first");
    assert!(part(MORE, 53));
    assert!(part(3 | MORE, 0) && part(6, 0));
    // Another packet with the same identification.
    assert!(!part(MORE, 54));
    assert!(!part(3, 0));
    let other = ip4("192.0.2.3", HOST4, UDP, 0, 3, &[0; 24]);
    assert!(part(MORE, 53) && !uplink.program.would_take(&ethernet(HOST, 0x0800, &other)).unwrap());
}

#[test]
fn a_filter_changes_in_place() {
    let Some((host, _outside)) = hosts() else { return };
    let uplink = Uplink::open(&host, &Filter::default());
    let frame = v4(HOST4, TCP, &ports(9, 8080));
    let takes = || uplink.program.would_take(&frame).unwrap();
    assert!(!takes());
    let first = filter();
    // Ours by another rule, and everything else otherwise.
    let second = Filter { addresses: [ip(HOST4)].into(), ..Filter::default() };
    let third = Filter { shared: [(ip(HOST4), 8000..=9000)].into(), ..Filter::default() };
    uplink.handle.set(&first).unwrap();
    assert_eq!(uplink.handle.get(), first);
    std::thread::scope(|scope| {
        let setter = scope.spawn(|| {
            for filter in [&second, &third, &first].into_iter().cycle().take(300) {
                uplink.handle.set(filter).unwrap();
            }
        });
        let mut rounds = 0;
        while !setter.is_finished() {
            assert!(takes(), "a gap");
            rounds += 1;
        }
        assert!(rounds > 100, "{rounds}");
    });
    uplink.handle.set(&Filter { shared: [(ip(HOST4), 8000..=8079)].into(), ..Filter::default() }).unwrap();
    assert!(!takes());
    #[expect(clippy::reversed_empty_ranges, reason = "no ports")]
    let none = 9000..=8000;
    uplink.handle.set(&Filter { shared: [(ip(HOST4), none)].into(), ..Filter::default() }).unwrap();
    assert!(!takes());
}

#[test]
fn too_much_changes_nothing() {
    let Some((host, _outside)) = hosts() else { return };
    let uplink = Uplink::open(&host, &filter());
    let many = |count: u32| (0..count).map(|number| number.to_be_bytes().into()).collect();
    let error = uplink.handle.set(&Filter { addresses: many(4097), ..Filter::default() }).unwrap_err();
    assert!(matches!(error, XskError::Filter { count: 4097, limit: 4096, .. }), "{error}");
    assert!(uplink.program.would_take(&v4(HOST4, TCP, &ports(9, 8080))).unwrap());
    let service = |port| Service { address: ip(HOST4), protocol: TCP, port };
    let services = (0..=u16::MAX).map(service).collect();
    let all = Filter { services, addresses: many(4096), ..filter() };
    uplink.handle.set(&all).unwrap();
    let shifted = |number: u32| (number + 5000).to_be_bytes().into();
    uplink.handle.set(&Filter { addresses: (0..4096).map(shifted).collect(), ..all }).unwrap();
    assert!(uplink.program.would_take(&v4(HOST4, TCP, &ports(9, 22))).unwrap());
}
