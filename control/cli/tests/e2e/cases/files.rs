//! Packets from files and generators, into files, and their way in words.

use std::path::Path;
use std::process::Command;

use super::cases;
use super::operator::{bridge, port, tap};
use crate::command;
use crate::engine::Engine;
use crate::host::Host;
use crate::switch::Switch;

cases![
    replay_and_record,
    replay_of_what_is_no_capture,
    a_generator_is_counted_to_the_last_packet,
    capture_on_a_port,
    the_way_of_a_packet,
];

/// A capture file of these frames (draft-ietf-opsawg-pcap).
pub fn capture_file(frames: &[Vec<u8>]) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).expect("a small file").to_le_bytes();
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        file.extend(word.to_le_bytes());
    }
    for (second, frame) in frames.iter().enumerate() {
        for field in [number(second), number(0), number(frame.len()), number(frame.len())] {
            file.extend(field);
        }
        file.extend(frame);
    }
    file
}

/// The frames of a capture file in this machine's byte order.
fn frames_of(file: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(file).expect("it was written");
    let mut rest = &bytes[24..];
    let mut frames = Vec::new();
    while let Some((head, after)) = rest.split_at_checked(16) {
        let length = u32::from_le_bytes(head[8..12].try_into().expect("four bytes")) as usize;
        frames.push(after[..length].to_vec());
        rest = &after[length..];
    }
    frames
}

/// How many packets tcpdump finds in a file.
fn tcpdump(file: &Path) -> usize {
    let said = command::run(Command::new("tcpdump").args(["--count", "-r"]).arg(file)).ok();
    said.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no number: {said}"))
}

/// A frame of experimental type with these bytes after its header.
fn frame(number: usize, length: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5];
    frame.extend(number.to_be_bytes());
    frame.resize(length, 0xa5);
    frame
}

fn replay_and_record(engine: &Engine) {
    let (input, output) = (engine.dir().join("in.pcap"), engine.dir().join("out.pcap"));
    // Longer than a buffer at the end: chains.
    let frames: Vec<Vec<u8>> =
        (0..1000).map(|n| frame(n, 60 + n % 1400)).chain([frame(1000, 9000)]).collect();
    std::fs::write(&input, capture_file(&frames)).expect("a new file");
    let config = port("in", "pcap", &format!("mtu = 9000\nread = \"{}\"", input.display()))
        + &port("out", "pcap", &format!("mtu = 9000\nwrite = \"{}\"", output.display()))
        + &bridge("", &[("in", ""), ("out", "")]);
    let mut switch = Switch::configured(engine, &config);
    switch.await_that("all frames", |switch| switch.counter("out", "tx_packets") == 1001);
    switch.stop();
    assert_eq!(tcpdump(&output), 1001);
    assert!(frames_of(&output) == frames, "frames arrive as they were, in order");
}

fn replay_of_what_is_no_capture(engine: &Engine) {
    let file = engine.dir().join("no.pcap");
    std::fs::write(&file, "I am no capture file at all, only some words.").expect("a new file");
    let config = port("in", "pcap", &format!("read = \"{}\"", file.display()))
        + &port("missing", "pcap", "read = \"/nowhere/missing.pcap\"")
        + &port("sink", "null", "");
    let switch = Switch::configured(engine, &config);
    for named in ["no.pcap", "missing.pcap"] {
        assert!(switch.said().contains(named), "{}", switch.said());
    }
    assert_eq!(switch.row("interfaces", "sink")["state"], "up");
}

fn a_generator_is_counted_to_the_last_packet(engine: &Engine) {
    let stream = "[[port.stream]]\nsizes = [64, 594, 1514]\ncount = 1000000";
    let config = port("load", "generator", stream)
        + &port("sink", "null", "")
        + &bridge("", &[("load", ""), ("sink", "")]);
    let switch = Switch::configured(engine, &config);
    switch.await_that("a million packets", |switch| switch.counter("sink", "tx_packets") == 1_000_000);
    assert_eq!(switch.counter("load", "rx_packets"), 1_000_000);
    assert_eq!(switch.counter("load", "drops"), 0);
    // 333 334 of 64 bytes, 333 333 of the others.
    assert_eq!(switch.counter("sink", "tx_bytes"), 333_334 * 64 + 333_333 * (594 + 1514));
    let buffers = switch.show("buffers");
    assert_eq!((&buffers["in_use"], &buffers["exhausted"]), (&0.into(), &0.into()), "{buffers}");
}

/// Two hosts that can talk.
fn pair(engine: &Engine) -> (Host, Host, Switch<'_>) {
    let (a, b) = (Host::new(), Host::new());
    let config = tap("a", &a, "") + &tap("b", &b, "") + &bridge("", &[("a", ""), ("b", "")]);
    let switch = Switch::configured(engine, &config);
    a.address("a", "10.0.0.1/24");
    b.address("b", "10.0.0.2/24");
    a.reaches("10.0.0.2");
    (a, b, switch)
}

fn capture_on_a_port(engine: &Engine) {
    let (a, _b, switch) = pair(engine);
    let file = engine.dir().join("capture.pcap");
    let path = file.to_string_lossy();
    switch.cli(["pcap", "nowhere", &path]).fails_naming(&["nowhere"]);
    assert!(!file.exists(), "a capture that is refused leaves no file");
    std::thread::scope(|scope| {
        let capture =
            scope.spawn(|| switch.cli(["pcap", "a", &path, "--count", "10", "--seconds", "30"]).ok());
        while !capture.is_finished() {
            a.reaches("10.0.0.2");
        }
        capture.join().expect("it succeeds");
    });
    assert_eq!(tcpdump(&file), 10);
    let said = command::run(Command::new("tcpdump").args(["-n", "-r", &path, "icmp"])).ok();
    assert!(said.contains("echo request") && said.contains("echo reply"), "both directions: {said}");
    // Cut short.
    std::thread::scope(|scope| {
        let capture = scope.spawn(|| switch.cli(["pcap", "a", &path, "--count", "4", "--snap", "20"]).ok());
        while !capture.is_finished() {
            a.reaches("10.0.0.2");
        }
        capture.join().expect("it succeeds");
    });
    assert!(frames_of(&file).iter().all(|frame| frame.len() == 20));
    assert_eq!(switch.show("buffers")["in_use"], 0);
}

fn the_way_of_a_packet(engine: &Engine) {
    let (a, _b, switch) = pair(engine);
    switch.cli(["trace", "add", "1", "--port", "nowhere"]).fails_naming(&["nowhere"]);
    switch.cli(["trace", "add", "1", "--port", "a"]).ok();
    a.reaches("10.0.0.2");
    let records: serde_json::Value =
        serde_json::from_str(&switch.cli(["trace", "show", "--json"]).ok()).expect("--json prints JSON");
    assert_eq!(records.as_array().map(Vec::len), Some(1), "{records}");
    let words = switch.cli(["trace", "show"]).ok();
    for part in ["a", "l2-bridge", "b"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    switch.cli(["trace", "clear"]).ok();
    assert!(switch.cli(["trace", "show"]).ok().contains("no packet was traced"));
}
