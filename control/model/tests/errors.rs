//! What a user sees of a wrong configuration file.

mod common;

use miette::{GraphicalReportHandler, GraphicalTheme};
use paceline_model::Config;
use paceline_model::config::Host;
use proptest::prelude::*;

/// All messages, in the order of the file, each behind its line number.
fn problems(text: &str) -> Vec<String> {
    common::problems(text).iter().map(|problem| common::line(text, problem)).collect()
}

/// One message, on line 1 or wherever.
#[track_caller]
fn only(text: &str) -> String {
    common::only_behind("", text)
}

#[test]
fn an_error_shows_file_line_and_caret() {
    let text = "[[port]]\nname = \"p0\"\nkind = \"null\"\nmtu = 67\n";
    let error = Config::parse("test.toml", text, &Host::default()).unwrap_err();
    let mut shown = String::new();
    let theme = GraphicalTheme::unicode_nocolor();
    GraphicalReportHandler::new_themed(theme).render_report(&mut shown, &error).unwrap();
    let expected = "
  × configuration test.toml: 1 problem

Error: \n  × invalid value: integer `67`, expected a whole number from 68 to 65535
   ╭─[test.toml:4:7]
 3 │ kind = \"null\"
 4 │ mtu = 67
   ·       ─┬
   ·        ╰── here
   ╰────
";
    assert_eq!(shown.trim(), expected.trim(), "{shown}");
}

#[test]
fn one_wrong_port_does_not_hide_the_next() {
    let text = r#"
[buffers]
count = 1
[[port]]
name = "a b"
kind = "null"
[[port]]
name = "ok"
kind = "null"
[[port]]
name = "p1"
kind = "packet"
[[bridge]]
name = "br0"
mac_limit = 0
"#;
    let problems = problems(text);
    assert_eq!(problems.len(), 4, "{problems:#?}");
    assert_eq!(problems[0], "3: invalid value: integer `1`, expected a whole number from 1024 to 4194304");
    assert!(problems[1].starts_with("5: port name \"a b\": must be 1 to 63 characters"));
    assert_eq!(problems[2], "10: missing field `device`");
    assert!(problems[3].starts_with("15: invalid value: integer `0`"));
}

#[test]
fn what_does_not_fit_together_is_told_at_once() {
    let text = r#"
workers.cores = [0, 7, 0]
[[port]]
name = "p0"
kind = "null"
[[port]]
name = "p0"
kind = "pcap"
[[port]]
name = "e-0"
kind = "tap"
[[port]]
name = "host"
kind = "null"
[[port]]
name = "bvi-0"
kind = "null"
[[port]]
name = "paceline0"
kind = "tap"
[[bridge]]
name = "v-0"
[[bridge]]
name = "br0"
member = [{ port = "p0", vlan = { access = 1 } }, { port = "p9" }]
static_macs = [{ mac = "ff:ff:ff:ff:ff:ff", port = "p0" }]
[[bridge]]
name = "br1"
member = [{ port = "p0" }]
"#;
    let problems = problems(text);
    let expected = [
        "2: core 7: this process may use cores 0, 1 only",
        "2: core 0: is named twice",
        "7: port \"p0\": is there twice",
        "8: port \"p0\": a pcap port needs a file",
        "10: port \"e-0\": names that begin with \"e-\" are those of Docker",
        "13: port \"host\": is the name of the port to the host's own stack",
        "16: port \"bvi-0\": names that begin with \"bvi-\" are those of Docker's gateways",
        "19: port \"paceline0\": device paceline0 is docker.host_device",
        "22: bridge \"v-0\": names that begin with \"v-\" are those of VLAN sub-interfaces",
        "25: member \"p9\": has no vlan where members before it have one",
        "25: member \"p9\": there is no port of this name",
        "26: static MAC ff:ff:ff:ff:ff:ff: needs a vlan",
        "26: static MAC ff:ff:ff:ff:ff:ff: must be the address of one interface",
        "29: member \"p0\": is in bridge \"br0\" already",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problem}\nshould begin {expected}");
    }
}

#[test]
fn wrong_uplinks_have_their_messages() {
    let uplink = |rest: &str| only(&format!("[[uplink]]\n{rest}"));
    for (seen, expected) in [
        (uplink("shared = true"), "1: missing field `device`"),
        (uplink("device = 'a b'"), "2: interface name \"a b\": must be"),
        (
            uplink("device = 'eth0'\nshare = true"),
            "3: unknown field `share`, expected one of `device`, `shared`",
        ),
        (uplink("device = 'eth+0'"), "2: uplink eth+0: the device's name must be of A-Z"),
        (uplink("device = 'lo'"), "2: uplink lo: is the loopback"),
        (uplink("device = 'paceline0'"), "2: uplink paceline0: is docker.host_device"),
        (
            uplink("device = 'eth0'\nnat_ports = '1000-4000'"),
            "3: uplink eth0: nat_ports 1000-4000: must begin at 1024",
        ),
        (
            uplink("device = 'eth0'\nnat_ports = '4000-4200'"),
            "3: uplink eth0: nat_ports 4000-4200: must be at least 256",
        ),
        (
            uplink("device = 'eth0'\nnat_ports = '5000-4000'"),
            "3: 5000-4000: the first must not be above the last",
        ),
        (uplink("device = 'eth0'\n[[uplink]]\ndevice = 'eth0'"), "4: uplink eth0: is there twice"),
        (
            uplink("device = 'eth0'\n[[uplink]]\ndevice = 'eth1'"),
            "4: uplink eth1: there can be one uplink, and eth0",
        ),
        (
            uplink("device = 'eth0'\n[[port]]\nname = 'p'\nkind = 'packet'\ndevice = 'eth0'"),
            "2: uplink eth0: port \"p\" has this device",
        ),
        (only("[[vrf]]\nname = 'uplink:eth0'"), "2: VRF \"uplink:eth0\": names that begin with"),
        (
            only("[[port]]\nname = 'uplink:eth0'\nkind = 'null'"),
            "2: port \"uplink:eth0\": names that begin with",
        ),
    ] {
        assert!(seen.starts_with(expected), "{seen}\nshould begin {expected}");
    }
}

#[test]
fn each_wrong_field_has_its_message() {
    let port = |rest: &str| only(&format!("[[port]]\nname = \"p0\"\n{rest}"));
    let member = |rest: &str| {
        only(&format!(
            "port = [{{ name = 'p0', kind = 'null' }}]\n[[bridge]]\nname = 'b'\n[[bridge.member]]\nport = 'p0'\n{rest}"
        ))
    };
    for (seen, expected) in [
        (only("[ports]"), "1: \"ports\": there is no such section; there are buffers"),
        (only("port = 1"), "1: port: must be written [[port]]"),
        (only("port = [1]"), "1: port: must be written [[port]]"),
        (only("[buffers]\nsize = 3000"), "2: invalid value: integer `3000`, expected 2048 or 4096"),
        (only("[buffers]\nhugepages = 'maybe'"), "2: unknown variant `maybe`, expected one of"),
        (only("[workers]\ncores = []"), "2: workers.cores is empty"),
        (only("[workers]\ncores = [-1]"), "2: invalid value: integer `-1`"),
        (
            only("[docker]\nattach = 'tun'"),
            "2: unknown variant `tun`, expected one of `tap`, `veth`, `afxdp`",
        ),
        (only("[api]\nsoket = '/x'"), "2: unknown field `soket`, expected `socket`"),
        (port(""), "1: port without a kind: must be kind = \"tap\", \"packet\""),
        (port("kind = 'tub'"), "3: kind = \"tub\": must be \"tap\""),
        (port("kind = 'null'\nfoo = 1"), "4: unknown field `foo`"),
        (
            port("kind = 'tap'\ndevise = 'x'"),
            "4: unknown field `devise`, expected one of `device`, `netns`, `persist`",
        ),
        (
            port("kind = 'tap'\ndevice = 'much-too-long-name'"),
            "4: interface name \"much-too-long-name\": must be",
        ),
        (
            port("kind = 'null'\nmac = '01:00:5e:00:00:01'"),
            "4: port \"p0\": mac must be the address of one interface",
        ),
        (port("kind = 'null'\nmac = '01:00'"), "4: MAC address \"01:00\": must be six"),
        (
            port("kind = 'null'\nqueues = 17"),
            "4: invalid value: integer `17`, expected a whole number from 1 to 16",
        ),
        (
            port("kind = 'null'\nmtu = 70000"),
            "4: invalid value: integer `70000`, expected a whole number from 68",
        ),
        (port("kind = 'vhost-user'"), "1: missing field `socket`"),
        (port("kind = 'vhost-user'\nsocket = 'x'"), "4: port \"p0\": socket x: must be an absolute path"),
        (
            port("kind = 'vhost-user'\nsocket = '/x'\nrole = 'host'"),
            "5: unknown variant `host`, expected one of `master`, `server`, `client`, `slave`",
        ),
        (
            port("kind = 'vhost-user'\nsocket = '/x'\nqueues = 2"),
            "5: port \"p0\": queues = 2: a vhost-user port has one",
        ),
        (
            port("kind = 'vhost-user'\nsocket = '/x'\nmac = '02:00:00:00:00:01'"),
            "5: port \"p0\": mac is the guest's own",
        ),
        (port("kind = 'generator'"), "3: port \"p0\": a generator needs at least one [[port.stream]]"),
        (port("kind = 'generator'\nstream = [{ sizes = 59 }]"), "4: frame size 59: must be 60 to 1514 bytes"),
        (port("kind = 'generator'\nstream = [{ sizes = [] }]"), "4: sizes: must hold at least one"),
        (
            port("kind = 'generator'\nstream = [{ dst_ip = '::1' }]"),
            "4: dst_ip: must be of the same IP version",
        ),
        (
            port("kind = 'generator'\nstream = [{ src_ip = '10.0.0.2-10.0.0.1' }]"),
            "4: 10.0.0.2-10.0.0.1: the first must",
        ),
        (port("kind = 'generator'\nstream = [{ rate_pps = 0 }]"), "4: invalid value: integer `0`"),
        (only("[[port]]\nname = 'a:b'\nkind = 'tap'"), "2: port \"a:b\": is no interface name"),
        (member("vlan = { access = 0 }"), "6: VLAN 0: must be 1 to 4094"),
        (member("vlan = { access = 4095 }"), "6: VLAN 4095: must be 1 to 4094"),
        (member("vlan = { trunk = ['1-4095'] }"), "6: \"1-4095\": VLAN 4095: must be 1 to 4094"),
        (member("vlan = { access = 1, native = 1 }"), "6: vlan.native: is for trunk only"),
        (member("vlan = {}"), "6: vlan: must have exactly one of access"),
        (member("split_horizon_group = 256"), "6: invalid value: integer `256`"),
        (
            only("[[bridge]]\nname = 'n-1'"),
            "2: bridge \"n-1\": names that begin with \"n-\" are those of Docker",
        ),
        (only("a = "), "1: "),
    ] {
        assert!(seen.starts_with(expected), "{seen}\nshould begin {expected}");
    }
}

#[test]
fn a_static_mac_needs_a_member_that_carries_its_vlan() {
    let text = |entry: &str| {
        let text = "port = [{ name = 'p0', kind = 'null' }, { name = 'p1', kind = 'null' }]\n[[bridge]]\nname = 'b'\n";
        format!("{text}member = [{{ port = 'p0', vlan = {{ trunk = ['10-12'] }} }}]\nstatic_macs = [{entry}]")
    };
    assert_eq!(problems(&text("{ mac = '02:00:00:00:00:01', port = 'p0', vlan = 12 }")), [""; 0]);
    let other = only(&text("{ mac = '02:00:00:00:00:01', port = 'p0', vlan = 13 }"));
    assert!(other.contains("port \"p0\" does not carry VLAN 13"), "{other}");
    let stranger = only(&text("{ mac = '02:00:00:00:00:01', port = 'p1', vlan = 12 }"));
    assert!(stranger.contains("port \"p1\" is no member of this bridge"), "{stranger}");
}

#[test]
fn several_syntax_errors_are_told_at_once() {
    assert!(problems("a = \nb = ]\n").len() >= 2);
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load("/nonexistent/x.toml".as_ref(), &Host::default()).unwrap_err();
    assert!(error.to_string().starts_with("configuration /nonexistent/x.toml: No such file"), "{error}");
}

proptest! {
    #[test]
    fn no_text_panics(text in "(\\[\\[?(port|bridge|buffers|interface|route|vrf)\\]?\\]|name|kind|vlan|prefix|via|addresses|=|[0-9]+|\"[a-z]*\"|\\{|\\}|\n|.){0,40}") {
        let _ = problems(&text);
    }
}

#[test]
fn a_memif_port_says_what_is_wrong() {
    let port = |fields: &str| format!("[[port]]\nname = \"v\"\nkind = \"memif\"\n{fields}\n");
    let server = "socket = \"/run/v.sock\"\nrole = \"server\"";
    for (fields, wanted) in [
        ("role = \"server\"", "missing field `socket`"),
        ("socket = \"/run/v.sock\"", "missing field `role`"),
        ("socket = \"\"\nrole = \"master\"", "socket is a path of 0 bytes: must be 1 to 107"),
        ("socket = \"/run/v.sock\"\nrole = \"both\"", "unknown variant `both`"),
    ] {
        let said = problems(&port(fields));
        assert!(said.len() == 1 && said[0].contains(wanted), "{said:?}");
    }
    for (field, wanted) in [
        ("ring_size = 1000", "ring_size is 1000: must be a power of two from 2 to 16384"),
        ("ring_size = 32768", "expected a whole number from 2 to 16384"),
        ("buffer_size = 100", "buffer_size is 100: must be a multiple of 64"),
        (
            "queues = 16\nring_size = 16384\nbuffer_size = 4096",
            "is 2147483648 bytes: must be at most 1073741824",
        ),
        ("secret = \"123456789012345678901234\"", "secret has 24 bytes: must be at most 23"),
        ("mode = \"ip\"", "unknown field `mode`"),
    ] {
        let said = problems(&port(&format!("{server}\n{field}")));
        assert!(said.len() == 1 && said[0].contains(wanted), "{field}: {said:?}");
    }
    let two = |first: &str, second: &str| {
        let second = second.replace("[[port]]\nname = \"v\"", "[[port]]\nname = \"w\"");
        problems(&format!("{first}{second}"))
    };
    let said = two(&port(server), &port(&format!("{server}\nid = 1")));
    assert!(said[0].contains("is that of port \"v\": each server needs its own"), "{said:?}");
    let client = |id: u8| port(&format!("socket = \"/run/v.sock\"\nrole = \"slave\"\nid = {id}"));
    assert!(two(&client(0), &client(0))[0].contains("id 0 is what port \"v\" asks for: choose another id"));
    assert_eq!(two(&client(0), &client(1)), [""; 0]);
}
