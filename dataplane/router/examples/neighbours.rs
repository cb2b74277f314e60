//! What the slow path costs: nanoseconds for an answer, a question and an echo, bytes for a neighbour.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use paceline_router::local::{Limits, Local, Ping};
use paceline_router::neighbour::{Neighbours, Settings};
use paceline_router::{Frame, Interface};
use paceline_wire::arp::Arp;
use paceline_wire::ethernet::Mac;

const OWN: Mac = Mac(0x0200_0000_0001);
const PEER: Mac = Mac(0x0600_0000_0002);

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

/// Runs something many times and says how long one run took.
fn measure(what: &str, count: u32, mut run: impl FnMut(u32)) {
    let best = (0..5)
        .map(|_| {
            let start = Instant::now();
            (0..count).for_each(&mut run);
            start.elapsed() / count
        })
        .min();
    println!("{what:<42} {:>6} ns", best.unwrap_or_default().as_nanos());
}

/// Bytes of memory that the process has in use.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4096
}

fn main() {
    let settings = Settings {
        each_interface: 1 << 20,
        all: 1 << 20,
        asks: (1_000_000_000, 1 << 20),
        probes6: 0,
        ..Settings::default()
    };
    let mut table: Neighbours<()> = Neighbours::new(settings);
    let (now, mut out) = (Duration::from_secs(1), Vec::new());
    let nets = ["10.0.0.1/8", "fd00::1/64"].map(|net| net.parse().expect(net)).to_vec();
    table.set_interface(now, 1, Interface::new(OWN, nets, false), &mut out);

    for (what, sender, target) in
        [("ARP answer", "10.0.0.2", "10.0.0.1"), ("neighbour discovery answer", "fd00::2", "fd00::1")]
    {
        let frame = Frame::ask(PEER, ip(sender), ip(target), None).expect("one family");
        measure(what, 200_000, |_| {
            out.clear();
            table.input(now, 1, black_box(&frame), |_| false, &mut out);
        });
    }

    let address = |number: u32| Ipv4Addr::from_bits(0x0a01_0000 + number);
    let before = resident();
    let start = Instant::now();
    for number in 0..200_000 {
        out.clear();
        table.want(now, 1, address(number).into(), (), &mut out);
        let mut frame = [0; 42];
        let reply = Arp::request(OWN, [10, 0, 0, 1], address(number).octets()).reply(PEER);
        reply.write(OWN, &mut frame).expect("room");
        table.input(now, 1, &frame, |_| false, &mut out);
    }
    println!(
        "{:<42} {:>6} ns",
        "new neighbour, asked for and answered",
        start.elapsed().as_nanos() / 200_000
    );
    println!("{:<42} {:>6} bytes", "one of 200 000 neighbours", (resident() - before) / 200_000);
    measure("packet for one that is known", 200_000, |number| {
        out.clear();
        table.want(now, 1, black_box(address(number)).into(), (), &mut out);
    });

    let mut local = Local::new(now, Limits::default());
    for (source, destination) in [("10.0.0.2", "10.0.0.1"), ("fd00::2", "fd00::1")] {
        let ping = Ping {
            source: ip(source),
            destination: ip(destination),
            id: 1,
            sequence: 1,
            size: 56,
            ttl: 64,
            whole: true,
        };
        let mut packet = Vec::new();
        local.ping(now, ping, |bytes| packet = bytes.to_vec()).expect("it can be sent");
        measure(
            &format!("echo of 56 bytes, {}", if ping.source.is_ipv4() { "IPv4" } else { "IPv6" }),
            200_000,
            |_| {
                local.input(now, black_box(&packet), |reply| {
                    black_box(reply);
                });
            },
        );
    }
}
