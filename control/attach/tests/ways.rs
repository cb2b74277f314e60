//! What the kernel knows of ways and neighbours by a link.

mod support;

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use paceline_attach::{LinkRoute, Links, Neighbour};
use paceline_sys::netns::Scratch;
use support::get;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A host with `eth0` to another one, and `eth1` to nowhere.
fn hosts() -> Option<(Scratch, Scratch)> {
    let (host, other) = (Scratch::for_test()?, Scratch::for_test()?);
    host.ip("link add eth0 type veth peer name far address 02:00:00:00:00:02");
    host.ip("link add eth1 type veth peer name far1");
    host.ip(&format!("link set far netns {} name eth0", other.path().display()));
    for (net, number) in [(&host, 1), (&other, 2)] {
        net.ip(&format!("addr add 192.0.2.{number}/24 dev eth0"));
        net.ip(&format!("addr add 2001:db8::{number}/64 dev eth0 nodad"));
        net.ip("link set eth0 up");
    }
    host.ip("addr add 198.51.100.1/24 dev eth1");
    host.up(&["eth0", "eth1", "far1"]);
    other.up(&["eth0"]);
    Some((host, other))
}

#[tokio::test]
async fn routes_by_one_link() {
    let Some((host, _other)) = hosts() else { return };
    for route in [
        "route add default via 192.0.2.2 metric 100",
        "route add default via 198.51.100.2 metric 50",
        "route add 203.0.113.0/24 nexthop via 192.0.2.3 nexthop via 198.51.100.3",
        "route add blackhole 10.0.0.0/8",
        "route add 10.1.0.0/16 via 192.0.2.2 table 77",
        "-6 route add default via 2001:db8::2",
    ] {
        host.ip(route);
    }
    let links = Links::host("test").expect("links").at(host.path()).await.expect("namespace");
    let index = get(&links, "eth0").await.index;
    let routes = links.routes(index).await.expect("routes");
    let route = |prefix: &str, metric, via: Option<&str>| LinkRoute {
        prefix: prefix.parse().expect("a prefix"),
        metric,
        via: via.map(ip),
    };
    let local: IpNet = "fe80::/64".parse().expect("a prefix");
    let routes: Vec<_> = routes.into_iter().filter(|route| route.prefix != local).collect();
    let wanted = [
        route("0.0.0.0/0", 100, Some("192.0.2.2")),
        route("192.0.2.0/24", 0, None),
        route("203.0.113.0/24", 0, Some("192.0.2.3")),
        route("::/0", 1024, Some("2001:db8::2")),
        route("2001:db8::/64", 256, None),
    ];
    assert_eq!(routes, wanted);
    assert_eq!(links.routes(12_345).await.expect("none"), []);
}

#[tokio::test]
async fn a_neighbour_is_asked_for_and_known() {
    let Some((host, other)) = hosts() else { return };
    let links = Links::host("test").expect("links").at(host.path()).await.expect("namespace");
    let index = get(&links, "eth0").await.index;
    for (address, nobody) in [("192.0.2.2", "192.0.2.99"), ("2001:db8::2", "2001:db8::99")] {
        let (address, nobody) = (ip(address), ip(nobody));
        let find = async |address| links.neighbour(index, address).await.expect("found out");
        assert_eq!(find(address).await, Neighbour::UNKNOWN);
        for address in [address, nobody] {
            links.ask_for_neighbour(index, address).await.expect("asked");
        }
        assert_eq!(find(nobody).await, Neighbour { mac: None, idle: false });
        let known = Neighbour { mac: Some([2, 0, 0, 0, 0, 2]), idle: false };
        for _ in 0..100 {
            if find(address).await == known {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(find(address).await, known);
    }
    // One that was known is used while it is made sure of, and forgotten when nobody answers.
    host.ip("neigh change 192.0.2.2 dev eth0 nud stale");
    let find = async || links.neighbour(index, ip("192.0.2.2")).await.expect("found out");
    assert_eq!(find().await, Neighbour { mac: Some([2, 0, 0, 0, 0, 2]), idle: true });
    other.ip("link set eth0 address 02:00:00:00:00:03");
    links.ask_for_neighbour(index, ip("192.0.2.2")).await.expect("asked");
    assert!(!find().await.idle);
    host.ip("neigh replace 192.0.2.2 lladdr 02:00:00:00:00:07 dev eth0 nud permanent");
    assert_eq!(find().await, Neighbour { mac: Some([2, 0, 0, 0, 0, 7]), idle: false });
    assert!(links.neighbour(12_345, ip("192.0.2.2")).await.is_err());
}
