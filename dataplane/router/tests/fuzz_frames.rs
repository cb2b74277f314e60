//! Arbitrary bytes as frames and packets, and right ones with wrong bytes: everything answers, nothing panics, nothing grows.
//!
//! Runs for a moment under `cargo test`; `cargo bolero test NAME` lets a fuzzer choose the bytes.

use std::net::IpAddr;
use std::time::Duration;

use paceline_router::local::{Limits, Local, Ping};
use paceline_router::neighbour::{Action, Neighbours, Settings};
use paceline_router::{Frame, Interface};
use paceline_wire::ethernet::Mac;
use paceline_wire::input::{check_v4, check_v6};

const OWN: Mac = Mac(0x0200_0000_0001);
const PEER: Mac = Mac(0x0600_0000_0002);
const NOW: Duration = Duration::from_secs(1);

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

/// A table with a proxy and neighbours that are asked for.
fn table() -> Neighbours<()> {
    let mut table = Neighbours::new(Settings { probes6: 0, ..Settings::default() });
    let nets = ["10.0.0.1/24", "fd00::1/64"].map(|net| net.parse().expect(net)).to_vec();
    table.set_interface(NOW, 1, Interface::new(OWN, nets, true), &mut Vec::new());
    for address in ["10.0.0.2", "fd00::2"] {
        table.want(NOW, 1, ip(address), (), &mut Vec::new());
    }
    table
}

fn hear(table: &mut Neighbours<()>, now: Duration, frame: &[u8]) {
    let mut out = Vec::new();
    table.input(now, 1, frame, |_| true, &mut out);
    table.poll(now, &mut out);
    assert!(table.len() <= 1000 && out.len() < 1000);
    for action in out {
        if let Action::Send { frame, .. } = action {
            etherparse::SlicedPacket::from_ethernet(&frame).expect("what we send is sound");
        }
    }
}

fn take(local: &mut Local, packet: &[u8]) {
    let mut count = 0;
    local.input(NOW, packet, |answer| {
        count += 1;
        let len = answer.len();
        assert!(check_v4(answer, len).is_ok() || check_v6(answer, len).is_ok());
    });
    assert!(count <= 54, "{count}");
}

/// Frames and packets that are right: bytes of them are overwritten.
fn seeds() -> Vec<Vec<u8>> {
    let (a4, b4, a6, b6) = (ip("10.0.0.2"), ip("10.0.0.1"), ip("fd00::2"), ip("fd00::1"));
    let mut seeds: Vec<Vec<u8>> = [
        Frame::ask(PEER, a4, b4, None),
        Frame::ask(PEER, a6, b6, Some(OWN)),
        Frame::probe(PEER, b4),
        Frame::probe(PEER, b6),
        Frame::announcement(PEER, a4),
        Frame::announcement(PEER, a6),
    ]
    .into_iter()
    .map(|frame| frame.expect("one family").to_vec())
    .collect();
    for (source, destination, ethertype) in [(a4, b4, [8, 0]), (a6, b6, [0x86, 0xdd])] {
        let front = [&OWN.octets()[..], &PEER.octets(), &ethertype].concat();
        for size in [8, 3000] {
            let ping = Ping { source, destination, id: 1, sequence: size, size, ttl: 64, whole: false };
            let mut local = Local::new(NOW, Limits::default());
            local.ping(NOW, ping, |packet| seeds.push([&front, packet].concat())).expect("it can be sent");
        }
        // UDP without a checksum, TCP with a wrong one, and what begins as neither.
        let last = seeds.last().expect("some").clone();
        for protocol in [6, 17, 44, 0, 43] {
            let mut other = last.clone();
            let at = if ethertype == [8, 0] { 23 } else { 20 };
            other[at] = protocol;
            seeds.push(other);
        }
    }
    seeds
}

#[test]
fn any_bytes() {
    let (mut table, mut local) = (table(), Local::new(NOW, Limits::default()));
    bolero::check!().with_iterations(10_000).for_each(|bytes: &[u8]| {
        hear(&mut table, NOW, bytes);
        take(&mut local, bytes);
    });
}

/// Which frame, what to overwrite, and how much of it there is.
type Input = (u8, [(u8, u8); 4], u8, u16);

#[test]
fn frames_that_nearly_are_right() {
    let seeds = seeds();
    let (mut table, mut local, mut now) = (table(), Local::new(NOW, Limits::default()), NOW);
    bolero::check!().with_type::<Input>().with_iterations(50_000).for_each(|(which, edits, count, cut)| {
        let mut frame = seeds[*which as usize % seeds.len()].clone();
        for (at, value) in &edits[..*count as usize % 5] {
            let at = *at as usize % frame.len().min(100);
            frame[at] = *value;
        }
        if *cut < 20_000 {
            frame.truncate(*cut as usize % frame.len() + 1);
        }
        // Checksums hide what is behind them: half of the packets get theirs right again.
        if cut % 2 == 0 && frame.len() >= 34 && frame[12..14] == [8, 0] {
            let len = (frame[14] as usize & 15) * 4;
            let end = (14 + len).min(frame.len());
            paceline_wire::ipv4::fill_checksum(&mut frame[14..end]);
        }
        now += Duration::from_millis(10);
        hear(&mut table, now, &frame);
        take(&mut local, frame.get(14..).unwrap_or_default());
    });
}
