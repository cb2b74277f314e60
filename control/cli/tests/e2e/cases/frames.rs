//! Frames that nobody should send: random ones, runts, giants. The switch goes on, and none is lost from the counters.

use super::cases;
use super::files::capture_file;
use super::operator::{bridge, port, tap};
use crate::engine::Engine;
use crate::host::{Host, Veth};
use crate::switch::Switch;

cases![on_a_tap, on_a_packet_port, on_an_afxdp_port, from_a_file];

/// For every port, so that nothing is too big for some and not for others.
const LARGE: &str = "mtu = 9100";

/// Why nonsense is dropped.
const REASONS: &[&str] = &["runt", "bad-source-mac", "vlan-not-allowed"];

/// Frames of `shortest` to 9000 bytes, each of another kind of nonsense. Always the same ones: a failure can be repeated.
fn nonsense(shortest: usize) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(7);
    let ethertypes: [[u8; 2]; 6] = [[0x08, 0], [0x86, 0xdd], [0x08, 6], [0x81, 0], [0x88, 0xa8], [0, 46]];
    let mut frame = |number: usize| {
        let length = match number % 8 {
            0 => random.usize(shortest..40),
            1 => random.usize(1500..9000),
            _ => random.usize(shortest..1514),
        };
        let mut frame: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
        // Half of them with a type that makes somebody look further.
        if length >= 14 && number.is_multiple_of(2) {
            frame[12..14].copy_from_slice(&ethertypes[random.usize(..ethertypes.len())]);
        }
        if length >= 14 && number.is_multiple_of(3) {
            // From a proper address.
            frame[6] = 2;
        }
        frame
    };
    (0..4000).map(&mut frame).collect()
}

/// Two hosts that talk, a port `x` that nonsense comes in by, and a port that all of it is flooded to.
fn config(x: &str, a: &Host, b: &Host) -> String {
    let (access, trunk) = ("vlan = { access = 1 }", "vlan = { trunk = [\"1-2000\"], native = 1 }");
    let members = [("x", trunk), ("a", access), ("b", access), ("sink", trunk)];
    tap("a", a, LARGE) + &tap("b", b, LARGE) + x + &port("sink", "null", LARGE) + &bridge("", &members)
}

/// Every frame that came in was dropped under a reason, or went to the sink like everything that is flooded.
fn survives(engine: &Engine, x: &str, reasons: &[&str], up: impl FnOnce(), send: impl FnOnce() -> u64) {
    let (a, b) = (Host::new(), Host::new());
    let switch = Switch::configured(engine, &config(x, &a, &b));
    up();
    // A worker that sleeps looks at devices that are down a few times a second.
    switch.await_that("x is up", |switch| switch.row("interfaces", "x")["state"] == "up");
    let sent = send();
    switch.await_that("all frames", |switch| switch.counter("x", "rx_packets") >= sent);
    assert_eq!(switch.counter("x", "rx_packets"), sent);
    let (out, drops) = (switch.counter("sink", "tx_packets"), switch.counter("x", "drops"));
    assert_eq!(out + drops, sent, "{}", switch.show("drops"));
    assert!(out > 0, "{}", switch.show("drops"));
    for reason in reasons {
        assert!(switch.dropped("x", reason) > 0, "{reason}: {}", switch.show("drops"));
    }
    a.address("a", "10.0.0.1/24");
    b.address("b", "10.0.0.2/24");
    a.reaches("10.0.0.2");
    let buffers = switch.show("buffers");
    assert_eq!(buffers["exhausted"], 0, "{buffers}");
}

fn on_a_tap(engine: &Engine) {
    let host = Host::new();
    survives(
        engine,
        &tap("x", &host, LARGE),
        REASONS,
        || host.up("x"),
        || host.wire("x").send(&nonsense(14)),
    );
}

/// The kernel itself drops a frame whose tag is cut off, before a packet socket sees it.
fn on_a_packet_port(engine: &Engine) {
    let host = Host::new();
    let veth = Veth::new(engine, "x0", &host, "x");
    veth.ip(&["link", "set", "dev", "x0", "mtu", "9000"]).ok();
    host.ip("link set dev x mtu 9000");
    let x = port("x", "packet", "mtu = 9000\ndevice = \"x0\"");
    survives(engine, &x, &REASONS[1..], || host.up("x"), || host.wire("x").send(&nonsense(20)));
}

fn on_an_afxdp_port(engine: &Engine) {
    let host = Host::new();
    let _veth = Veth::new(engine, "x0", &host, "x");
    survives(
        engine,
        &port("x", "afxdp", "device = \"x0\""),
        REASONS,
        || host.up("x"),
        || host.wire("x").send(&nonsense(14)),
    );
}

fn from_a_file(engine: &Engine) {
    let file = engine.dir().join("nonsense.pcap");
    let frames = nonsense(0);
    std::fs::write(&file, capture_file(&frames)).expect("a new file");
    let x = port("x", "pcap", &format!("{LARGE}\nread = \"{}\"", file.display()));
    survives(engine, &x, REASONS, || (), || frames.len() as u64);
}
