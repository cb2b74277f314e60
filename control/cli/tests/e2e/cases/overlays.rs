//! VXLAN segments of the configuration file: between two switches, and with the kernel's own device at the other end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::cases;
use super::operator::{bridge, tap};
use crate::engine::Engine;
use crate::host::Host;
use crate::outside::Outside;
use crate::place::{BOTH, Place};
use crate::switch::Switch;
use crate::underlay::{End, Kernel, Underlay, VERSIONS, Version};
use crate::wire::frame;

cases![
    two_switches,
    two_versions_of_ip_at_once,
    the_kernel_at_the_other_end,
    super_packets_stay_whole,
    a_group_with_the_kernel,
    who_is_learned,
    segments_that_nobody_has,
    two_tenants_with_the_same_addresses,
    frames_that_do_not_fit,
    three_ends_and_no_loop,
    known_neighbours,
    a_station_that_moves,
    a_switch_killed,
    a_vlan_is_a_segment,
    an_underlay_that_comes_late,
    the_shipped_example,
];

/// How long is waited for what should not come.
const SILENCE: Duration = Duration::from_millis(300);

/// Bytes that one host sends to another by TCP.
const POURED: usize = 4 << 20;

/// A host behind a switch, by a TAP in the bridge `lan`.
struct Guest {
    host: Host,
    number: u8,
}

impl Guest {
    fn new(number: u8) -> Self {
        Self { host: Host::with_ipv6(), number }
    }

    /// Its port, and the bridge of that.
    fn config(&self) -> String {
        tap("lan0", &self.host, "") + &bridge("", &[("lan0", "")])
    }

    /// Gives it its addresses, in a link of this MTU.
    fn up(&self, mtu: u16) -> &Self {
        self.host.ip(&format!("link set dev lan0 address 02:00:00:00:01:0{} mtu {mtu}", self.number));
        self.host.address("lan0", &format!("{}/24", self.own()[0]));
        self.host.ip(&format!("address add {}/64 dev lan0 nodad", self.own()[1]));
        self
    }

    fn own(&self) -> [String; 2] {
        [format!("10.0.0.{}", self.number), format!("fd00::{}", self.number)]
    }
}

/// `[[vxlan]]` of the bridge `lan`, with further lines.
fn vxlan(vni: u32, more: &str) -> String {
    format!("[[vxlan]]\nbridge = \"lan\"\nvni = {vni}\nunderlay = \"eth0\"\n{more}\n")
}

fn peers(version: Version, numbers: &[u8]) -> String {
    let all: Vec<_> = numbers.iter().map(|number| format!("\"{}\"", version.address(*number))).collect();
    format!("peers = [{}]\n", all.join(", "))
}

/// A switch with a guest, at an end of the underlay, with the segments of these lines.
fn start<'e>(engine: &'e Engine, end: &End, guest: &Guest, segments: &str) -> Switch<'e> {
    let switch = Switch::configured(engine, &(end.config() + &guest.config() + segments));
    switch.await_that("its port is up", |switch| switch.row("interfaces", "eth0")["state"] == "up");
    switch
}

/// Everything that hosts say to each other, both ways: pings, small and as large as the link takes, TCP and UDP.
#[track_caller]
fn talk(a: (&Host, &[String; 2]), b: (&Host, &[String; 2]), mtu: u16) {
    for ((from, seen), (to, own)) in [(&a, &b), (&b, &a)] {
        let (here, there) = (Place::host(from), Place::host(to));
        for (version, address) in own.iter().enumerate() {
            from.reaches(address);
            let most = mtu - [28, 48][version];
            from.ping(&["-W", "5", "-s", &most.to_string(), address]).ok();
            from.ping(&["-W", "5", "-s", "4000", address]).ok();
            for speech in BOTH {
                let _server = there.serve(speech, 7);
                here.is_seen_as(speech, address, 7, &seen[version]);
            }
        }
    }
}

/// The tunnel to an end.
#[track_caller]
fn tunnel(switch: &Switch<'_>, vni: u32, version: Version, number: u8) -> serde_json::Value {
    switch.row("tunnels", &format!("vxlan:{vni}:{}", version.address(number)))
}

fn two_switches(engine: &Engine) {
    for version in VERSIONS {
        let underlay = Underlay::new(2);
        let (a, b) = (Guest::new(1), Guest::new(2));
        let segment = |other| vxlan(42, &peers(version, &[other]));
        let one = start(engine, &underlay.ends[0], &a, &segment(2));
        let other = start(engine, &underlay.ends[1], &b, &segment(1));
        let mtu = 1500 - version.overhead();
        a.up(mtu);
        b.up(mtu);
        talk((&a.host, &a.own()), (&b.host, &b.own()), mtu);
        let row = tunnel(&one, 42, version, 2);
        assert_eq!(
            (&row["vni"], &row["mtu"], &row["port"]),
            (&42.into(), &mtu.into(), &4789.into()),
            "{row}"
        );
        assert_eq!((&row["bridge"], &row["state"]), (&"lan".into(), &"up".into()), "{row}");
        assert_eq!((&row["local"], &row["remote"]), (&version.address(1).into(), &version.address(2).into()));
        assert!(row["rx_packets"].as_u64() > Some(20) && row["tx_bytes"].as_u64() > Some(5000), "{row}");
        assert_eq!(row["drops"], 0, "{}", one.show("drops"));
        let table = one.cli(["show", "tunnels"]).ok();
        assert!(table.contains("42") && table.contains(&version.address(2)), "{table}");
        let macs = one.show("macs");
        let behind = |row: &&serde_json::Value| row["mac"] == "02:00:00:00:01:02";
        let place = macs.as_array().and_then(|rows| rows.iter().find(behind)).expect("it is known");
        assert_eq!(place["interface"], row["name"], "{macs}");
        assert!(one.show("bridges")[0]["members"].to_string().contains("vxlan:42:"));
        assert_eq!(
            (one.show("buffers")["in_use"].clone(), other.show("buffers")["in_use"].clone()),
            (0.into(), 0.into())
        );
    }
}

fn two_versions_of_ip_at_once(engine: &Engine) {
    let underlay = Underlay::new(3);
    let guests = [1, 2, 3].map(Guest::new);
    let both = vxlan(42, &peers(Version::V4, &[2])) + &vxlan(42, &peers(Version::V6, &[3]));
    let segments = [both, vxlan(42, &peers(Version::V4, &[1])), vxlan(42, &peers(Version::V6, &[1]))];
    let _switches: Vec<_> = underlay
        .ends
        .iter()
        .zip(&guests)
        .zip(&segments)
        .map(|((end, guest), segment)| start(engine, end, guest, segment))
        .collect();
    let [a, b, c] = guests.each_ref().map(|guest| guest.up(1430));
    talk((&a.host, &a.own()), (&b.host, &b.own()), 1430);
    talk((&a.host, &a.own()), (&c.host, &c.own()), 1430);
    // What came by a tunnel goes into no other one.
    b.host.cannot_reach(&c.own()[0]);
}

fn the_kernel_at_the_other_end(engine: &Engine) {
    for version in VERSIONS {
        let underlay = Underlay::new(2);
        let guest = Guest::new(1);
        let switch = start(engine, &underlay.ends[0], &guest, &vxlan(42, &peers(version, &[2])));
        let mtu = 1500 - version.overhead();
        guest.up(mtu);
        let kernel = Kernel::new(&underlay.ends[1]);
        kernel.vxlan(42, version, &format!("remote {}", version.address(1)));
        talk((&guest.host, &guest.own()), (kernel.host(), &kernel.own()), mtu);
        let row = tunnel(&switch, 42, version, 2);
        assert_eq!(row["drops"], 0, "{}", switch.show("drops"));
    }
}

/// Sends bytes by TCP to an address of another host, which gets these.
#[track_caller]
fn pour(from: &Host, to: &Host, address: &str) {
    let listener = Place::host(to).take(5001);
    let bytes: Vec<u8> = (0..POURED).map(|at| (at / 3 + at / 7001) as u8).collect();
    let sent = bytes.clone();
    let taker = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        let mut got = Vec::new();
        stream.read_to_end(&mut got).expect("all of it");
        got == sent
    });
    from.reaches(address);
    let mut stream = Place::host(from).inside(|| TcpStream::connect((address, 5001))).expect("connected");
    stream.write_all(&bytes).expect("sent");
    drop(stream);
    assert!(taker.join().expect("it ended"), "what came to {address} is not what was sent");
}

fn super_packets_stay_whole(engine: &Engine) {
    for version in VERSIONS {
        let underlay = Underlay::new(3);
        let (a, b) = (Guest::new(1), Guest::new(2));
        let one = start(engine, &underlay.ends[0], &a, &vxlan(42, &peers(version, &[2, 3])));
        let other = start(engine, &underlay.ends[1], &b, &vxlan(42, &peers(version, &[1])));
        let mtu = 1500 - version.overhead();
        a.up(mtu);
        b.up(mtu);
        let kernel = Kernel::new(&underlay.ends[2]);
        kernel.vxlan(42, version, &format!("remote {}", version.address(1)));
        let [a_own, b_own, kernel_own] = [a.own(), b.own(), kernel.own()];
        for inner in 0..2 {
            pour(&a.host, &b.host, &b_own[inner]);
            pour(&b.host, &a.host, &a_own[inner]);
            pour(&a.host, kernel.host(), &kernel_own[inner]);
            pour(kernel.host(), &a.host, &a_own[inner]);
        }
        // Of what is in segments, acknowledgments included, there is less each way than the bytes would need.
        for (switch, poured) in [(&one, 4), (&other, 2)] {
            let most = (poured * POURED / 1400) as u64;
            for (port, field) in [
                ("eth0", "rx_packets"),
                ("eth0", "tx_packets"),
                ("lan0", "rx_packets"),
                ("lan0", "tx_packets"),
            ] {
                let count = switch.counter(port, field);
                assert!(count < most, "{port} {field}: {count} of {most}, {}", switch.show("interfaces"));
            }
        }
    }
}

fn a_group_with_the_kernel(engine: &Engine) {
    for version in VERSIONS {
        let underlay = Underlay::new(3);
        let guests = [1, 2].map(Guest::new);
        let segment = vxlan(42, &format!("group = \"{}\"\n", version.group()));
        let switches: Vec<_> = underlay
            .ends
            .iter()
            .zip(&guests)
            .map(|(end, guest)| start(engine, end, guest, &segment))
            .collect();
        let mtu = 1500 - version.overhead();
        let [a, b] = guests.each_ref().map(|guest| guest.up(mtu));
        let kernel = Kernel::new(&underlay.ends[2]);
        kernel.vxlan(42, version, &format!("group {} dev eth0", version.group()));
        talk((&a.host, &a.own()), (kernel.host(), &kernel.own()), mtu);
        talk((&a.host, &a.own()), (&b.host, &b.own()), mtu);
        let rows = switches[0].show("tunnels");
        let learned = rows.as_array().into_iter().flatten().filter(|row| row["is_learned"] == true).count();
        assert_eq!(learned, 2, "{rows}");
    }
}

fn who_is_learned(engine: &Engine) {
    for (learns, row_count) in [(true, 2), (false, 1)] {
        let underlay = Underlay::new(3);
        let guest = Guest::new(1);
        let more = format!("{}learn_peers = {learns}\n", peers(Version::V4, &[2]));
        let switch = start(engine, &underlay.ends[0], &guest, &vxlan(42, &more));
        guest.up(1450);
        let stranger = Kernel::new(&underlay.ends[2]);
        stranger.vxlan(42, Version::V4, &format!("remote {}", Version::V4.address(1)));
        if learns {
            stranger.host().reaches(&guest.own()[0]);
        } else {
            stranger.host().cannot_reach(&guest.own()[0]);
            assert!(switch.dropped("eth0", "unknown-peer") > 0, "{}", switch.show("drops"));
        }
        assert_eq!(switch.count("tunnels"), row_count, "{}", switch.show("tunnels"));
    }
}

fn segments_that_nobody_has(engine: &Engine) {
    let underlay = Underlay::new(2);
    let guest = Guest::new(1);
    let switch = start(engine, &underlay.ends[0], &guest, &vxlan(42, &peers(Version::V4, &[2])));
    guest.up(1450);
    let kernel = Kernel::new(&underlay.ends[1]);
    kernel.vxlan(43, Version::V4, &format!("remote {}", Version::V4.address(1)));
    kernel.host().cannot_reach(&guest.own()[0]);
    switch.await_that("they are counted", |switch| switch.dropped("eth0", "unknown-vni") > 0);
    assert_eq!(tunnel(&switch, 42, Version::V4, 2)["rx_packets"], 0);
}

/// Each of two switches has both segments, with a guest of the same addresses in each.
fn two_tenants_with_the_same_addresses(engine: &Engine) {
    let underlay = Underlay::new(2);
    let side = |end: &End, number: u8| {
        let (red, blue) = (Guest::new(number), Guest::new(number));
        let other = peers(Version::V4, &[3 - number]);
        let blue_config = blue.config().replace("\"lan0\"", "\"blue0\"").replace("\"lan\"", "\"blue\"");
        let config = red.config()
            + &blue_config
            + &vxlan(1, &other)
            + &vxlan(2, &other).replace("bridge = \"lan\"", "bridge = \"blue\"");
        let switch = Switch::configured(engine, &(end.config() + &config));
        blue.host.ip("link set dev blue0 name lan0");
        red.up(1450);
        blue.up(1450);
        (switch, red, blue)
    };
    let (one, red_a, blue_a) = side(&underlay.ends[0], 1);
    let (other, red_b, blue_b) = side(&underlay.ends[1], 2);
    talk((&red_a.host, &red_a.own()), (&red_b.host, &red_b.own()), 1450);
    talk((&blue_a.host, &blue_a.own()), (&blue_b.host, &blue_b.own()), 1450);
    // Not a frame of one tenant comes to the other, whatever is sent: floods, and frames for the other's own address.
    for (from, own, not) in [(&red_a, &red_b, &blue_b), (&blue_a, &blue_b, &red_b)] {
        let (mut sender, mut theirs, mut others) =
            (from.host.wire("lan0"), own.host.wire("lan0"), not.host.wire("lan0"));
        let mut flood = frame(&[], 7);
        flood[..6].copy_from_slice(&[0xff; 6]);
        let mut aimed = frame(&[], 8);
        aimed[..6].copy_from_slice(&[2, 0, 0, 0, 1, 2]);
        for sent in [flood, aimed] {
            sender.send(std::slice::from_ref(&sent));
            assert!(theirs.hear(Duration::from_secs(5), |heard| *heard == sent[..]).is_some());
            assert!(others.hear(SILENCE, |heard| *heard == sent[..]).is_none(), "it leaked");
        }
    }
    // Nor does one stand in for the other.
    blue_b.host.ip("link set dev lan0 down");
    blue_a.host.cannot_reach(&blue_b.own()[0]);
    red_a.host.reaches(&red_b.own()[0]);
    drop((one, other));
}

fn frames_that_do_not_fit(engine: &Engine) {
    let underlay = Underlay::new(2);
    let (a, b) = (Guest::new(1), Guest::new(2));
    let one = start(engine, &underlay.ends[0], &a, &vxlan(42, &peers(Version::V4, &[2])));
    let _other = start(engine, &underlay.ends[1], &b, &vxlan(42, &peers(Version::V4, &[1])));
    // Their links take 50 bytes more than fit.
    a.up(1500);
    b.up(1500);
    a.host.reaches(&b.own()[0]);
    a.host.ping(&["-W", "5", "-s", "1422", &b.own()[0]]).ok();
    assert_eq!(one.dropped("lan0", "too-big"), 0);
    assert!(!a.host.ping(&["-W", "1", "-s", "1423", &b.own()[0]]).succeeded(), "1451 bytes do not fit");
    assert!(one.dropped("lan0", "too-big") > 0, "{}", one.show("drops"));
    a.host.reaches(&b.own()[0]);
}

fn three_ends_and_no_loop(engine: &Engine) {
    let underlay = Underlay::new(3);
    let guests = [1, 2, 3].map(Guest::new);
    let others = |own: u8| -> Vec<u8> { [1, 2, 3].into_iter().filter(|number| *number != own).collect() };
    let switches: Vec<_> = underlay
        .ends
        .iter()
        .zip(&guests)
        .map(|(end, guest)| start(engine, end, guest, &vxlan(42, &peers(Version::V4, &others(guest.number)))))
        .collect();
    let [a, b, c] = guests.each_ref().map(|guest| guest.up(1450));
    for (one, other) in [(a, b), (b, c), (c, a)] {
        talk((&one.host, &one.own()), (&other.host, &other.own()), 1450);
    }
    // A flood comes to each once.
    let sent = {
        let mut flood = frame(&[], 9);
        flood[..6].copy_from_slice(&[0xff; 6]);
        flood
    };
    let mut wires = [b, c].map(|guest| guest.host.wire("lan0"));
    a.host.wire("lan0").send(std::slice::from_ref(&sent));
    for wire in &mut wires {
        assert!(wire.hear(Duration::from_secs(5), |heard| *heard == sent[..]).is_some());
        assert!(wire.hear(SILENCE, |heard| *heard == sent[..]).is_none(), "twice");
    }
    assert_eq!(switches[0].count("tunnels"), 2);
}

fn known_neighbours(engine: &Engine) {
    let underlay = Underlay::new(2);
    let guest = Guest::new(1);
    let known = ["10.0.0.2", "fd00::2"].map(|address| {
        format!("{{ address = \"{address}\", mac = \"02:00:00:00:01:02\", peer = \"198.18.0.2\" }}")
    });
    let more = format!("{}neighbours = [{}]\n", peers(Version::V4, &[2]), known.join(", "));
    let switch = start(engine, &underlay.ends[0], &guest, &vxlan(42, &more));
    guest.up(1450);
    let kernel = Kernel::new(&underlay.ends[1]);
    kernel.vxlan(42, Version::V4, &format!("remote {}", Version::V4.address(1)));
    let mut wire = kernel.host().wire("vxlan0");
    // The bridge answers for it, so the question floods nowhere; what is for it goes where it is.
    for own in kernel.own() {
        guest.host.reaches(&own);
    }
    let asks = |heard: &[u8]| {
        heard.get(12..14) == Some(&[8, 6]) && heard.get(20..22) == Some(&[0, 1]) && heard[..6] == [0xff; 6]
    };
    assert!(wire.hear(SILENCE, asks).is_none(), "it was asked for");
    let macs = switch.show("macs");
    let fixed = |row: &&serde_json::Value| row["mac"] == "02:00:00:00:01:02" && row["is_static"] == true;
    let place = macs.as_array().and_then(|rows| rows.iter().find(fixed)).expect("it is static");
    assert_eq!(place["interface"], "vxlan:42:198.18.0.2", "{macs}");
    // Others are asked for.
    guest.host.cannot_reach("10.0.0.77");
    assert!(wire.hear(Duration::from_secs(5), asks).is_some());
}

/// From one host to another, with its addresses.
fn a_station_that_moves(engine: &Engine) {
    let underlay = Underlay::new(3);
    let [a, b] = [1, 2].map(Guest::new);
    let later = Guest::new(2);
    let guests = [&a, &b, &later];
    let others = |own: u8| -> Vec<u8> { [1, 2, 3].into_iter().filter(|number| *number != own).collect() };
    let _switches: Vec<_> = (1..)
        .zip(&underlay.ends)
        .zip(guests)
        .map(|((number, end), guest)| {
            start(engine, end, guest, &vxlan(42, &peers(Version::V4, &others(number))))
        })
        .collect();
    a.up(1450);
    b.up(1450);
    a.host.reaches(&b.own()[0]);
    b.host.ip("link set dev lan0 down");
    // A kernel keeps an address that it has just learned for a second (arp(7): locktime).
    std::thread::sleep(Duration::from_millis(1100));
    later.up(1450);
    // It says a word, as a machine does that was moved.
    later.host.reaches(&a.own()[0]);
    a.host.reaches(&later.own()[0]);
    a.host.reaches(&later.own()[1]);
}

fn a_switch_killed(engine: &Engine) {
    let underlay = Underlay::new(2);
    let (a, b) = (Guest::new(1), Guest::new(2));
    let persist = |guest: &Guest| guest.config().replace("kind = \"tap\"", "kind = \"tap\"\npersist = true");
    let config = underlay.ends[0].config() + &persist(&a) + &vxlan(42, &peers(Version::V4, &[2]));
    let mut one = Switch::configured(engine, &config);
    let _other = start(engine, &underlay.ends[1], &b, &vxlan(42, &peers(Version::V4, &[1])));
    a.up(1450);
    b.up(1450);
    a.host.reaches(&b.own()[0]);
    one.kill9();
    one.restart();
    assert_eq!(one.count("tunnels"), 1);
    a.host.up("lan0");
    a.host.reaches(&b.own()[0]);
    b.host.reaches(&a.own()[0]);
}

fn a_vlan_is_a_segment(engine: &Engine) {
    let underlay = Underlay::new(2);
    let guest = Guest::new(1);
    let config = tap("lan0", &guest.host, "")
        + &bridge("", &[("lan0", "vlan = { trunk = [10, 20] }")])
        + &vxlan(10, &format!("vlan = 10\n{}", peers(Version::V4, &[2])))
        + &vxlan(20, &format!("vlan = 20\n{}", peers(Version::V4, &[2])));
    let switch = Switch::configured(engine, &(underlay.ends[0].config() + &config));
    switch.await_that("its port is up", |switch| switch.row("interfaces", "eth0")["state"] == "up");
    guest.host.up("lan0");
    let kernel = Kernel::new(&underlay.ends[1]);
    kernel.vxlan(20, Version::V4, &format!("remote {}", Version::V4.address(1)));
    let (mut inside, mut outside) = (guest.host.wire("lan0"), kernel.host().wire("vxlan0"));
    let tagged = |vlan, number| frame(&[(0x8100, vlan)], number);
    inside.send(&[tagged(10, 1), tagged(20, 2)]);
    let heard = outside.hear(Duration::from_secs(5), |heard| heard[..12] == frame(&[], 0)[..12]);
    assert_eq!(heard, Some(frame(&[], 2)), "that of VLAN 20, without its tag");
    outside.send(&[frame(&[], 3)]);
    assert!(inside.hear(Duration::from_secs(5), |heard| *heard == tagged(20, 3)[..]).is_some());
}

fn an_underlay_that_comes_late(engine: &Engine) {
    let guest = Guest::new(1);
    let uplink = format!("[[uplink]]\ndevice = \"{}\"\n", Outside::DEVICE);
    let segment = format!(
        "[[vxlan]]\nbridge = \"lan\"\nvni = 42\nunderlay = \"{}\"\npeers = [\"{}\"]\n",
        Outside::DEVICE,
        Outside::OWN[0]
    );
    let switch = Switch::configured(engine, &(guest.config() + &uplink + &segment));
    let row = switch.row("tunnels", "vxlan:42");
    assert_eq!((&row["state"], &row["bridge"]), (&"error".into(), &"lan".into()), "{row}");
    assert!(row["error"].as_str().is_some_and(|why| why.contains("the device is not there")), "{row}");
    assert!(switch.said().contains("its segment has no way to other hosts: underlay outside0"));
    let outside = Outside::new(engine);
    outside.complete();
    let name = format!("vxlan:42:{}", Outside::OWN[0]);
    switch.await_that("the tunnel is there", |switch| {
        let rows = switch.show("tunnels");
        rows.as_array()
            .is_some_and(|rows| rows.iter().any(|row| row["name"] == name.as_str() && row["state"] == "up"))
    });
    guest.up(1450);
    let [own, docker_host] = [Outside::OWN[0], Outside::DOCKER_HOST[0]];
    outside
        .host
        .ip(&format!("link add vxlan0 type vxlan id 42 local {own} remote {docker_host} dstport 4789"));
    outside.host.ip("link set dev vxlan0 mtu 1450");
    outside.host.address("vxlan0", "10.0.0.3/24");
    outside.host.reaches(&guest.own()[0]);
    guest.host.reaches("10.0.0.3");
    outside.host.reaches(docker_host);
}

/// configs/overlay.toml, by the steps that its head describes.
fn the_shipped_example(engine: &Engine) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/overlay.toml");
    let checked = super::operator::check(&file).ok();
    for part in ["red0", "blue0", "vni", "10042", "192.0.2.2", "1450", "good"] {
        assert!(checked.contains(part), "{part}: {checked}");
    }
    let text = std::fs::read_to_string(file).expect("it is there");
    let underlay = Underlay::new(2);
    let sides: Vec<_> = [("192.0.2.1", "192.0.2.2"), ("192.0.2.2", "192.0.2.1")]
        .iter()
        .zip(&underlay.ends)
        .map(|((own, other), end)| {
            let guests = [Host::new(), Host::new()];
            let text = text
                .replace("192.0.2.1", "OWN")
                .replace("192.0.2.2", other)
                .replace("OWN", own)
                .replace("device = \"eth0\"", &format!("device = \"eth0\"\nnetns = \"{}\"", end.host.path()))
                .replace(
                    "name = \"red0\"\nkind = \"tap\"",
                    &format!("name = \"red0\"\nkind = \"tap\"\nnetns = \"{}\"", guests[0].path()),
                )
                .replace(
                    "name = \"blue0\"\nkind = \"tap\"",
                    &format!("name = \"blue0\"\nkind = \"tap\"\nnetns = \"{}\"", guests[1].path()),
                );
            (Switch::configured(engine, &text), guests)
        })
        .collect();
    for (number, (_, guests)) in (1..).zip(&sides) {
        for (guest, device) in guests.iter().zip(["red0", "blue0"]) {
            guest.ip(&format!("link set dev {device} mtu 1450"));
            guest.address(device, &format!("10.0.0.{number}/24"));
        }
    }
    for tenant in 0..2 {
        sides[0].1[tenant].reaches("10.0.0.2");
        sides[1].1[tenant].reaches("10.0.0.1");
    }
}
