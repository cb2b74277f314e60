//! What a user sees of wrong VXLAN segments in a configuration file.

mod common;

use paceline_model::Config;
use paceline_model::config::Host;

/// Bridges with and without VLANs, an underlay, an uplink and a segment that are right, in front of what is wrong.
const FILE: &str = r#"
port = [
    { name = "p0", kind = "null" }, { name = "p1", kind = "null" }, { name = "p2", kind = "null" },
    { name = "p3", kind = "null", mtu = 100 },
]
bridge = [
    { name = "lan", member = [{ port = "p1" }] },
    { name = "vlans", member = [{ port = "p2", vlan = { trunk = [10, 20] } }] },
]
interface = [
    { port = "p0", addresses = ["192.0.2.1/24", "2001:db8::1/64"] },
    { name = "leg", bridge = "lan", addresses = ["10.0.0.1/24"] },
    { port = "p3", addresses = ["198.51.100.1/24"] },
]
[[uplink]]
device = "eth0"
[[vxlan]]
bridge = "lan"
vni = 1
local = "192.0.2.1"
peers = ["192.0.2.2"]
"#;

/// The only message for `[[vxlan]]` with this text behind [`FILE`], with its line in it.
#[track_caller]
fn only(text: &str) -> String {
    common::only_behind(&format!("{FILE}[[vxlan]]\n"), text)
}

#[test]
fn each_wrong_segment_has_its_message() {
    assert!(Config::parse("test.toml", FILE, &Host::default()).is_ok());
    let right = ["bridge = 'lan'", "vni = 2", "underlay = 'p0'", "peers = ['192.0.2.2']"];
    for (others, expected) in [
        (&["vni = 16777216"][..], "2: VNI 16777216: must be 1 to 16777215"),
        (&["vni = 0"], "2: VNI 0: must be 1 to 16777215"),
        (&["bridge = 'wan'"], "1: VXLAN 2: there is no bridge \"wan\""),
        (&["bridge = 'vlans'"], "1: VXLAN 2: needs a vlan, as the members of bridge \"vlans\" have VLANs"),
        (&["bridge = 'vlans'", "vlan = 30"], "5: VXLAN 2: no member of bridge \"vlans\" carries VLAN 30"),
        (&["vlan = 10"], "5: VXLAN 2: has a vlan, but the members of bridge \"lan\" have none"),
        (
            &["bridge = 'vlans'", "vlan = 10", "vni = 1"],
            "2: VXLAN 1: is bridge \"lan\", so VLAN 10 of bridge \"vlans\" needs another vni",
        ),
        (&["vni = 1"], "2: VXLAN 1: is there twice on underlay p0 with IPv4: give one of them all peers"),
        (&["peers = []"], "2: VXLAN 2: needs peers, like 192.0.2.2, a multicast group, like"),
        (&["peers = ['192.0.2.2', '192.0.2.2']"], "4: VXLAN 2: peer 192.0.2.2: is there twice"),
        (&["peers = ['127.0.0.1']"], "4: VXLAN 2: peer 127.0.0.1: must be the address of one other host"),
        (&["peers = ['10.0.0.1']"], "4: VXLAN 2: peer 10.0.0.1: is an address of this switch, on p0"),
        (&["peers = ['192.0.2.2', '2001:db8::2']"], "4: VXLAN 2: 2001:db8::2: all ends of a segment must be"),
        (&["local = '2001:db8::1'"], "5: VXLAN 2: 2001:db8::1: all ends of a segment must be of one IP"),
        (&["group = 'ff05::42'"], "5: VXLAN 2: ff05::42: all ends of a segment must be of one IP"),
        (&["group = '192.0.2.9'"], "5: VXLAN 2: group 192.0.2.9: must be a multicast address"),
        (&["underlay = 'eth7'"], "3: VXLAN 2: underlay \"eth7\": must be a routed [[interface]]"),
        (&["underlay = 'p1'"], "3: VXLAN 2: underlay \"p1\": must be a routed [[interface]]"),
        (&["underlay = 'leg'"], "3: VXLAN 2: underlay leg is the leg of bridge \"lan\", which would carry"),
        (&["underlay = 'p3'"], "3: VXLAN 2: underlay p3: its MTU of 100 bytes has no room"),
        (&["underlay = 'p3'", "peers = ['2001:db8::2']"], "3: VXLAN 2: underlay p3: has no IPv6 address"),
        (&["local = '10.0.0.1'"], "5: VXLAN 2: 10.0.0.1: must be an address of underlay p0"),
        (&["underlay = 'eth0'", "local = '192.0.2.1'"], "5: VXLAN 2: local is what uplink eth0 has for its"),
        (&["underlay = 'eth0'", "group = '239.0.0.1'"], "5: VXLAN 2: group 239.0.0.1: uplink eth0 is shared"),
        (
            &["underlay = 'eth0'", "port = 40000"],
            "5: VXLAN 2: port 40000: is among nat_ports 40000-49999 of uplink eth0, which inside hosts appear under",
        ),
        (&["mtu = 1451"], "5: VXLAN 2: mtu is 1451, must be at most 1450: underlay p0 takes 1500 bytes"),
        (&["mtu = 67"], "5: invalid value: integer `67`, expected a whole number from 68 to 65535"),
        (
            &["ttl = 0"],
            "5: invalid value: integer `0`, expected a whole number from 1 to 255, or \"inherit\"",
        ),
        (
            &["dscp = 'high'"],
            "5: invalid value: string \"high\", expected a code point from 0 to 63, \"cs0\" to",
        ),
        (&["dscp = 64"], "5: invalid value: integer `64`, expected a code point from 0 to 63, \"cs0\" to"),
        (
            &["neighbours = [{ address = '10.0.0.9', mac = '02:00:00:00:00:09', peer = '192.0.2.9' }]"],
            "5: VXLAN 2: neighbour 10.0.0.9: peer 192.0.2.9 must be one of peers",
        ),
        (
            &["neighbours = [{ address = '10.0.0.9', mac = 'ff:ff:ff:ff:ff:ff', peer = '192.0.2.2' }]"],
            "5: VXLAN 2: neighbour 10.0.0.9: mac ff:ff:ff:ff:ff:ff must be the address of one interface",
        ),
        (&["peer = ['192.0.2.2']"], "5: unknown field `peer`, expected one of"),
    ] {
        let key = |line: &str| line.split(" =").next().unwrap_or_default().to_owned();
        let mut lines: Vec<&str> = right.to_vec();
        for other in others {
            match lines.iter().position(|line| key(line) == key(other)) {
                Some(at) => lines[at] = other,
                None => lines.push(other),
            }
        }
        let seen = only(&lines.join("\n"));
        assert!(seen.starts_with(expected), "{others:?}\n{seen}\nshould begin {expected}");
    }
}

#[test]
fn an_underlay_is_named_by_an_address_that_one_interface_has() {
    assert!(
        only("bridge = 'lan'\nvni = 2\nlocal = '192.0.2.7'\npeers = ['192.0.2.2']")
            .starts_with("3: VXLAN 2: 192.0.2.7: must be an address of a routed [[interface]]")
    );
    assert!(
        only("bridge = 'lan'\nvni = 2\npeers = ['192.0.2.2']")
            .starts_with("2: VXLAN 2: needs an underlay, a routed [[interface]] or the device of an")
    );
    // The second version of IP of a segment, and one over the uplink's addresses, whatever they are.
    for text in [
        "bridge = 'lan'\nvni = 1\nunderlay = 'p0'\npeers = ['2001:db8::2']",
        "bridge = 'lan'\nvni = 2\nunderlay = 'eth0'\npeers = ['203.0.113.2']\nttl = 'inherit'\ndscp = 'ef'",
        "bridge = 'vlans'\nvlan = 10\nvni = 10\nlocal = '192.0.2.1'\ngroup = '239.0.0.1'",
    ] {
        let whole = format!("{FILE}[[vxlan]]\n{text}");
        assert!(Config::parse("test.toml", &whole, &Host::default()).is_ok(), "{text}");
    }
}

#[test]
fn names_of_tunnels_are_nobody_else_s() {
    let text = "port = [{ name = 'vxlan:1:192.0.2.2', kind = 'null' }]";
    let problem = common::only(text);
    assert!(problem.message.contains("are those of VXLAN tunnels"), "{problem:?}");
}
