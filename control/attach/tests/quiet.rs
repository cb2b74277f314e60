//! The host's own stack stays out of a veth's host end.

use std::net::UdpSocket;
use std::time::Duration;

use paceline_attach::{Links, Spec};
use paceline_sys::NetNs;
use paceline_sys::netns::Scratch;

mod support;
use support::{get, name};

/// What a socket bound to `address` in `net` gets of a datagram that `from` sends there.
fn heard(net: &NetNs, from: &NetNs, address: &str) -> bool {
    let socket = net.run(|| UdpSocket::bind((address, 0)).expect("bound")).expect("namespace");
    socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let to = socket.local_addr().expect("an address");
    from.run(|| {
        UdpSocket::bind((if to.is_ipv4() { "0.0.0.0" } else { "::" }, 0)).expect("bound").send_to(b"x", to)
    })
    .expect("namespace")
    .expect("sent");
    socket.recv(&mut [0; 8]).is_ok()
}

#[tokio::test]
async fn a_container_does_not_reach_the_host_by_the_host_ends_mac() {
    let (Some(host), Some(sandbox)) = (Scratch::for_test(), Scratch::for_test()) else { return };
    let outside = Links::host("paceline").expect("host").at(host.path()).await.expect("namespace");
    let inside = outside.at(sandbox.path()).await.expect("namespace");
    host.ip("addr add 192.0.2.1/32 dev lo");
    host.ip("addr add 2001:db8::1/128 dev lo nodad");
    let spec = Spec { name: name("plc0"), id: "e1".into(), mac: [2; 6], mtu: 1500, queues: 1 };
    outside.create_veth(name("plh0"), &spec).await.expect("created");
    let near = get(&outside, "plh0").await;
    let far = get(&outside, "plc0").await;
    outside.move_to(far.index, &inside, name("eth0")).await.expect("moved");
    let mac = near.mac.map(|byte| format!("{byte:02x}")).join(":");
    for step in [
        "addr add 10.7.0.2/24 dev eth0",
        "addr add fd00:7::2/64 dev eth0 nodad",
        "link set eth0 up",
        "route add 192.0.2.1/32 dev eth0",
        "-6 route add 2001:db8::1/128 dev eth0",
        &format!("neigh add 192.0.2.1 lladdr {mac} dev eth0"),
        &format!("neigh add 2001:db8::1 lladdr {mac} dev eth0"),
    ] {
        sandbox.ip(step);
    }
    assert!(!heard(&host, &sandbox, "192.0.2.1"), "IPv4");
    // What systemd sets on each new interface, perhaps after us: looser, and for a link without addresses the same.
    host.run(|| std::fs::write("/proc/sys/net/ipv4/conf/plh0/rp_filter", "2").expect("set"))
        .expect("namespace");
    assert!(!heard(&host, &sandbox, "192.0.2.1"), "IPv4, loose");
    assert!(!heard(&host, &sandbox, "2001:db8::1"), "IPv6");
    assert_eq!(host.ip("-6 addr show dev plh0"), "", "no address of the host end");
    let counters = sandbox.ip("-s -o link show eth0");
    let received = counters.split("RX:").nth(1).expect("counters");
    assert!(received.split('\\').nth(1).is_some_and(|row| row.trim_start().starts_with("0 ")), "{counters}");
    // The same without our settings, to know that the test would notice.
    host.run(|| {
        std::fs::write("/proc/sys/net/ipv4/conf/plh0/rp_filter", "0").expect("IPv4");
        std::fs::write("/proc/sys/net/ipv6/conf/plh0/disable_ipv6", "0").expect("IPv6");
        std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "0").expect("all");
    })
    .expect("namespace");
    assert!(heard(&host, &sandbox, "192.0.2.1"), "IPv4 when open");
    assert!(heard(&host, &sandbox, "2001:db8::1"), "IPv6 when open");
}
