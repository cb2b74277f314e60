//! What a container keeps while the switch is away. The findings are in the crate's documentation.

use std::net::UdpSocket;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use paceline_attach::{Links, Spec};
use paceline_sys::netns::Scratch;
use paceline_tap::{HEADER, Options, Tap};

mod support;
use support::{get, get_idle, name, open};

const OURS: [u8; 6] = [0x02, 0, 0, 0, 0, 5];
const NEXT: [u8; 6] = [0x02, 0, 0, 0, 0, 9];

fn spec(queues: u16) -> Spec {
    Spec { name: name("plc0"), id: "e1".into(), mac: OURS, mtu: 1400, queues }
}

/// As Docker does after the move, and more routes.
fn configure(sandbox: &Scratch) {
    for step in [
        "addr add 10.7.0.2/24 dev eth0",
        "addr add fd00:7::2/64 dev eth0 nodad",
        "link set eth0 up",
        "route add default via 10.7.0.1",
        "route add 169.254.1.1/32 dev eth0",
        "-6 route add default via fd00:7::1",
        "neigh add 10.7.0.1 lladdr 02:00:00:00:00:09 dev eth0",
    ] {
        sandbox.ip(step);
    }
}

/// Addresses and routes that someone set, without passing states.
fn configuration(sandbox: &Scratch) -> Vec<String> {
    let shown =
        ["-4 -o addr show dev eth0", "-6 -o addr show dev eth0 scope global", "route", "-6 route", "neigh"];
    let text: String = shown.map(|args| sandbox.ip(args)).concat();
    let ours = text.lines().filter(|line| !line.contains("fe80:") && !line.contains("REACHABLE"));
    let ours = ours.filter(|line| !line.contains("lladdr") || line.contains("PERMANENT"));
    ours.map(|line| line.replace(" linkdown", "").trim_end().to_owned()).collect()
}

/// Sends a datagram by the default route.
fn send(sandbox: &Scratch) {
    let sent = sandbox.run(|| UdpSocket::bind("0.0.0.0:0")?.send_to(b"still here", "198.51.100.1:9"));
    sent.expect("namespace").expect("sent");
}

/// Sends that datagram and gives its frame as the switch sees it.
fn sent_frame(sandbox: &Scratch, tap: &Tap) -> Vec<u8> {
    send(sandbox);
    let mut frame = vec![0; 65_600];
    loop {
        poll(&mut [PollFd::new(tap.as_fd(), PollFlags::POLLIN)], PollTimeout::from(5000_u16))
            .expect("polled");
        let length = tap.read(&mut frame).expect("a frame in time");
        let frame = &frame[HEADER..length];
        if frame[12..14] == [0x08, 0x00] && frame.ends_with(b"still here") {
            return frame.to_vec();
        }
    }
}

#[tokio::test]
async fn a_tap_keeps_its_place_without_a_process_and_carries_on_at_once() {
    for queues in [1, 2] {
        let (Some(host), Some(sandbox)) = (Scratch::for_test(), Scratch::for_test()) else { return };
        let outside = Links::host("paceline").expect("host").at(host.path()).await.expect("namespace");
        let inside = outside.at(sandbox.path()).await.expect("namespace");
        let options = Options { multi_queue: queues > 1, ..Options::default() };
        outside.create_tap(&spec(queues)).await.expect("created");
        let tap = open(&host, "plc0", options);
        let index = get(&outside, "plc0").await.index;
        outside.move_to(index, &inside, name("eth0")).await.expect("moved");
        configure(&sandbox);
        let before = configuration(&sandbox);
        assert_eq!(sent_frame(&sandbox, &tap)[..12], [NEXT, OURS].concat());
        drop(tap);
        let idle = get_idle(&inside, "eth0").await;
        assert_eq!(inside.find_container_end("e1").await.expect("found").as_ref(), Some(&idle));
        assert!(idle.up);
        assert_eq!(configuration(&sandbox), before, "{queues} queues, away");
        send(&sandbox);
        let again = open(&sandbox, idle.name.as_str(), options);
        assert!(inside.find(idle.index).await.expect("found").expect("still there").carrier);
        assert_eq!(configuration(&sandbox), before, "{queues} queues, back");
        assert_eq!(sent_frame(&sandbox, &again)[..12], [NEXT, OURS].concat());
    }
}

#[tokio::test]
async fn a_veth_does_not_notice() {
    let (Some(host), Some(sandbox)) = (Scratch::for_test(), Scratch::for_test()) else { return };
    let outside = Links::host("paceline").expect("host").at(host.path()).await.expect("namespace");
    let inside = outside.at(sandbox.path()).await.expect("namespace");
    outside.create_veth(name("plh0"), &spec(1)).await.expect("created");
    let index = get(&outside, "plc0").await.index;
    outside.move_to(index, &inside, name("eth0")).await.expect("moved");
    configure(&sandbox);
    // Nothing of the switch was ever there but the link.
    for (links, link) in [(&outside, "plh0"), (&inside, "eth0")] {
        let link = get(links, link).await;
        assert!(link.up && link.carrier);
    }
    assert!(!sandbox.ip("route").contains("linkdown"));
}
