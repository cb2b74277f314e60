//! Who reaches whom, and whom the other sees.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use paceline_host::{Ports, Target};
use paceline_model::GatewayMode;

use crate::support::{
    Container, HOST, OUTSIDE, World, of, output, pings, plan, publish, sees, serve, serve_at, set, silent,
};

/// A world in which every container and the host outside serve port 80.
fn world() -> Option<World> {
    let world = World::new()?;
    for container in &world.containers {
        serve(&container.net, 80);
    }
    serve(&world.outside, 80);
    Some(world)
}

fn addresses(container: &Container) -> [String; 2] {
    container.ips.map(|ip| ip.to_string())
}

#[test]
fn a_published_port_is_reached_from_everywhere() {
    let Some(world) = world() else { return };
    let [first, second, other] = &world.containers[..] else { panic!("three containers") };
    let (mut host, mut plan) = (world.stack(), plan());
    publish(&mut plan, first, None, 8080, 80);
    let report = world.apply(&mut host, &plan);
    assert!(report.conflicts.is_empty(), "{report:?}");
    for (family, gateway) in [(0, "10.77.0.1"), (1, "fd00:77::1")] {
        let ip = HOST[family];
        sees(&world.outside, ip, 8080, OUTSIDE[family]);
        sees(&world.host, ip, 8080, ip);
        sees(&world.host, gateway, 8080, gateway);
        // Of containers: the answer would otherwise not pass the host.
        sees(&other.net, ip, 8080, gateway);
        sees(&second.net, ip, 8080, gateway);
        sees(&first.net, ip, 8080, gateway);
        silent(&world.outside, ip, 80);
    }
    sees(&world.host, "127.0.0.1", 8080, "10.77.0.1");
    sees(&world.host, "127.9.9.9", 8080, "10.77.0.1");
}

#[test]
fn a_port_published_on_one_address_is_at_no_other() {
    let Some(world) = world() else { return };
    let [first, second, _] = &world.containers[..] else { panic!("three containers") };
    world.host.ip("addr add 192.0.2.7/24 dev eth0");
    let (mut host, mut plan) = (world.stack(), plan());
    publish(&mut plan, first, Some("127.0.0.1"), 8080, 80);
    publish(&mut plan, second, Some("192.0.2.7"), 8080, 80);
    publish(&mut plan, second, Some("2001:db8::1"), 8081, 80);
    publish(&mut plan, second, Some("0.0.0.0"), 8082, 80);
    world.apply(&mut host, &plan);
    sees(&world.host, "127.0.0.1", 8080, "10.77.0.1");
    sees(&world.outside, "192.0.2.7", 8080, OUTSIDE[0]);
    silent(&world.outside, HOST[0], 8080);
    sees(&world.outside, HOST[1], 8081, OUTSIDE[1]);
    silent(&world.outside, HOST[0], 8081);
    sees(&world.outside, HOST[0], 8082, OUTSIDE[0]);
    silent(&world.outside, HOST[1], 8082);
}

#[test]
fn what_the_kernel_cannot_translate_is_passed_on() {
    let Some(world) = world() else { return };
    let [first, second, _] = &world.containers[..] else { panic!("three containers") };
    let (mut host, mut plan, mut ports) = (world.stack(), plan(), Ports::default());
    publish(&mut plan, first, None, 8080, 80);
    publish(&mut plan, second, None, 8081, 80);
    // The second container has no IPv6 address.
    plan.ports[2..].iter_mut().for_each(|port| port.ipv6 = None);
    for (at, endpoint) in [(0, "e1"), (2, "e2")] {
        let target = Target { ipv4: plan.ports[at].ipv4, ipv6: plan.ports[at].ipv6 };
        let published: Vec<_> = plan.ports[at..at + 2].iter().map(|port| port.port).collect();
        let endpoint = endpoint.parse().expect("an ID");
        let failed = world.on_host(async || ports.restore(&endpoint, target, &published));
        assert!(failed.is_empty(), "{failed:?}");
    }
    world.apply(&mut host, &plan);
    sees(&world.host, "::1", 8080, "fd00:77::1");
    sees(&world.host, "::1", 8081, "10.77.0.1");
    world.host.ip("addr add 2001:db8::7/64 dev eth0 nodad");
    for ip in [HOST[1], "2001:db8::7"] {
        sees(&world.outside, ip, 8081, "10.77.0.1");
    }
    // With the sockets there, what the kernel can translate still does not come to them.
    sees(&world.outside, HOST[1], 8080, OUTSIDE[1]);
    sees(&world.outside, HOST[0], 8081, OUTSIDE[0]);
    sees(&world.host, "127.0.0.1", 8081, "10.77.0.1");
    world.on_host(async || ports.release(&"e2".parse().expect("an ID")));
    silent(&world.host, "::1", 8081);
}

#[test]
fn containers_leave_with_the_host_s_address_or_with_their_own() {
    let Some(world) = world() else { return };
    let container = &world.containers[0];
    let (mut host, mut plan) = (world.stack(), plan());
    world.apply(&mut host, &plan);
    for family in [0, 1] {
        sees(&container.net, OUTSIDE[family], 80, HOST[family]);
        assert!(pings(&container.net, OUTSIDE[family]));
        assert!(pings(&container.net, HOST[family]), "the host itself");
        silent(&world.outside, &addresses(container)[family], 80);
        assert!(!pings(&world.outside, &addresses(container)[family]), "not published");
    }
    of(&mut plan, 77).masquerade = false;
    world.apply(&mut host, &plan);
    for family in [0, 1] {
        sees(&container.net, OUTSIDE[family], 80, &addresses(container)[family]);
        silent(&world.outside, &addresses(container)[family], 80);
    }
}

#[test]
fn networks_do_not_reach_each_other() {
    let Some(world) = world() else { return };
    let [first, _, other] = &world.containers[..] else { panic!("three containers") };
    let (mut host, mut plan) = (world.stack(), plan());
    publish(&mut plan, first, None, 8080, 80);
    world.apply(&mut host, &plan);
    for ip in addresses(first) {
        silent(&other.net, &ip, 80);
        assert!(!pings(&other.net, &ip));
        sees(&world.host, &ip, 80, if ip.contains(':') { "fd00:77::1" } else { "10.77.0.1" });
    }
    let counted = world.nft("list chain inet paceline_test between");
    let last = counted.lines().rev().find(|line| line.contains("between networks")).expect("a rule");
    assert!(!last.contains("packets 0 "), "{last}");
}

#[test]
fn nothing_leaves_or_enters_an_internal_network() {
    let Some(world) = world() else { return };
    let [first, _, other] = &world.containers[..] else { panic!("three containers") };
    let (mut host, mut plan) = (world.stack(), plan());
    of(&mut plan, 77).internal = true;
    publish(&mut plan, first, None, 8080, 80);
    publish(&mut plan, other, None, 8088, 80);
    world.apply(&mut host, &plan);
    for family in [0, 1] {
        silent(&first.net, OUTSIDE[family], 80);
        silent(&first.net, HOST[family], 8088);
        silent(&world.outside, HOST[family], 8080);
        silent(&world.outside, &addresses(first)[family], 80);
        sees(&world.outside, HOST[family], 8088, OUTSIDE[family]);
    }
    assert!(pings(&world.host, &addresses(first)[0]), "the host is in the network");
}

#[test]
fn the_host_has_no_address_in_an_isolated_network() {
    let Some(world) = world() else { return };
    let first = &world.containers[0];
    let (mut host, mut plan) = (world.stack(), plan());
    of(&mut plan, 77).ipv4 = GatewayMode::Isolated;
    publish(&mut plan, first, None, 8080, 80);
    world.apply(&mut host, &plan);
    let addresses = world.host.ip("-o addr show dev pace0");
    assert!(!addresses.contains("10.77.") && addresses.contains("fd00:77::1"), "{addresses}");
    silent(&world.outside, HOST[0], 8080);
    silent(&first.net, OUTSIDE[0], 80);
    sees(&world.outside, HOST[1], 8080, OUTSIDE[1]);
    sees(&first.net, OUTSIDE[1], 80, HOST[1]);
}

#[test]
fn of_a_routed_network_published_ports_are_reached_where_they_are() {
    let Some(world) = world() else { return };
    let [first, second, _] = &world.containers[..] else { panic!("three containers") };
    serve(&first.net, 81);
    let (mut host, mut plan) = (world.stack(), plan());
    let network = of(&mut plan, 77);
    (network.ipv4, network.ipv6) = (GatewayMode::Routed, GatewayMode::Routed);
    publish(&mut plan, first, None, 8080, 80);
    world.apply(&mut host, &plan);
    for family in [0, 1] {
        let own = &addresses(first)[family];
        sees(&world.outside, own, 80, OUTSIDE[family]);
        assert!(pings(&world.outside, own));
        assert!(pings(&world.outside, &addresses(second)[family]));
        silent(&world.outside, own, 81);
        silent(&world.outside, &addresses(second)[family], 80);
        silent(&world.outside, HOST[family], 8080);
        sees(&first.net, OUTSIDE[family], 80, own);
    }
}

#[test]
fn a_container_does_not_reach_the_host_s_loopback() {
    let Some(world) = world() else { return };
    let first = &world.containers[0];
    serve_at(&world.host, (Ipv4Addr::LOCALHOST, 9999).into());
    let (mut host, mut plan) = (world.stack(), plan());
    publish(&mut plan, first, None, 8080, 80);
    world.apply(&mut host, &plan);
    assert_eq!(crate::support::get(&world.host, "net/ipv4/conf/pace0/route_localnet"), "1");
    // A container that tries hard, and a switch that does not mind.
    for (net, link) in [(&first.net, "eth0"), (&world.switch, "c0"), (&world.switch, "host0")] {
        set(net, &format!("net/ipv4/conf/{link}/route_localnet"), "1");
    }
    first.net.ip("addr del 127.0.0.1/8 dev lo");
    world.switch.ip("addr del 127.0.0.1/8 dev lo");
    first.net.ip("route add 127.0.0.0/8 via 10.77.0.1 dev eth0");
    silent(&first.net, "127.0.0.1", 9999);
    // It is our rule that keeps it out.
    world.nft("flush chain inet paceline_test loopback");
    sees(&first.net, "127.0.0.1", 9999, "10.77.0.10");
}

#[test]
fn a_client_that_goes_on_talks_to_the_container_that_has_the_port_now() {
    let Some(world) = world() else { return };
    let [first, second, _] = &world.containers[..] else { panic!("three containers") };
    let (mut host, mut plan) = (world.stack(), plan());
    for ip in HOST {
        let to = SocketAddr::new(ip.parse().expect("an address"), 8080);
        let socket = world.outside.run(|| UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }));
        let socket = socket.expect("namespace").expect("bound");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        let asks = || {
            socket.send_to(b"who am I?", to).expect("sent");
            socket.recv_from(&mut [0; 64]).is_ok_and(|(_, from)| from == to)
        };
        for container in [first, second] {
            plan.ports.clear();
            world.apply(&mut host, &plan);
            let _ = asks();
            publish(&mut plan, container, None, 8080, 80);
            world.apply(&mut host, &plan);
            assert!(asks(), "{ip}: the conversation that found nobody");
            // As when it ends.
            let off = "add table inet off; add chain inet off in { type filter hook input priority 0; policy drop; }";
            output(&container.net, "nft", off);
        }
        for container in [first, second] {
            output(&container.net, "nft", "delete table inet off");
        }
    }
}
