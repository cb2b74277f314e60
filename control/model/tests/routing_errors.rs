//! What a user sees of wrong interfaces and routes in a configuration file.

use paceline_model::config::Host;
use paceline_model::{Config, ConfigError};

/// Ports, a bridge with VLANs and one without, and interfaces that are right, in front of what is wrong.
const FILE: &str = r#"
port = [
    { name = "p0", kind = "null" }, { name = "p1", kind = "null", mtu = 1000 }, { name = "p2", kind = "null" },
    { name = "p3", kind = "null" }, { name = "p4", kind = "null" },
]
bridge = [
    { name = "lan", member = [{ port = "p3", vlan = { access = 10 } }] },
    { name = "plain", member = [{ port = "p4" }] },
]
[[vrf]]
name = "red"
[[interface]]
port = "p0"
addresses = ["10.0.0.1/24", "10.0.0.9/24", "fd00::1/64", "fe80::1/64"]
"#;

/// The only message for this text behind [`FILE`], with its line in it.
fn only(text: &str) -> String {
    let whole = format!("{FILE}{text}");
    let problems = match Config::parse("test.toml", &whole, &Host::default()) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Problems { problems, .. }) => problems,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(problems.len(), 1, "{text}\n{problems:#?}");
    let (line, own) = (|at: usize| whole[..at].matches('\n').count(), FILE.matches('\n').count());
    format!("{}: {}", line(problems[0].span.start) - own + 1, problems[0].message)
}

fn expect(cases: &[(&str, &str)]) {
    assert!(Config::parse("test.toml", FILE, &Host::default()).is_ok());
    for (text, expected) in cases {
        let seen = only(text);
        assert!(seen.starts_with(expected), "{text}\n{seen}\nshould begin {expected}");
    }
}

#[test]
fn each_wrong_interface_has_its_message() {
    expect(&[
        ("[[interface]]\nname = 'a'", "1: interface: must be on one of port = \"p0\" and bridge = \"br0\""),
        (
            "[[interface]]\nport = 'p2'\nbridge = 'plain'",
            "1: interface: must be on one of port = \"p0\" and bridge",
        ),
        (
            "[[interface]]\nport = 'p2'\nname = 'a'",
            "1: interface \"a\" on port \"p2\": has the name of its port",
        ),
        ("[[interface]]\nport = 'p2'\nvlan = 5", "1: interface on VLAN 5 of port \"p2\": needs a name"),
        ("[[interface]]\nbridge = 'plain'", "1: interface on bridge \"plain\": needs a name"),
        ("[[interface]]\nport = 'p2'\nvlan = 0\nname = 'a'", "3: VLAN 0: must be 1 to 4094"),
        ("[[interface]]\nport = 'p9'", "2: interface \"p9\": there is no port \"p9\""),
        (
            "[[interface]]\nport = 'p3'",
            "2: interface \"p3\": port \"p3\" is in bridge \"lan\", and a port is bridged or routed: take it out",
        ),
        ("[[interface]]\nport = 'p0'", "2: interface \"p0\": port \"p0\" has an interface already"),
        (
            "[[interface]]\nport = 'p0'\nvlan = 5\nname = 'a'",
            "2: interface \"a\": port \"p0\" has interfaces with and without a vlan",
        ),
        ("[[interface]]\nbridge = 'br9'\nname = 'a'", "2: interface \"a\": there is no bridge \"br9\""),
        (
            "[[interface]]\nbridge = 'lan'\nname = 'a'",
            "2: interface \"a\": needs a vlan, as the members of bridge \"lan\" have VLANs",
        ),
        (
            "[[interface]]\nbridge = 'lan'\nname = 'a'\nvlan = 11",
            "4: interface \"a\": no member of bridge \"lan\" carries VLAN 11",
        ),
        (
            "[[interface]]\nbridge = 'plain'\nname = 'a'\nvlan = 11",
            "4: interface \"a\": has a vlan, but the members of bridge \"plain\" have none",
        ),
        ("[[interface]]\nbridge = 'plain'\nname = 'p1'", "3: interface \"p1\": is the name of a port"),
        ("[[interface]]\nbridge = 'plain'\nname = 'bvi-1'", "3: interface \"bvi-1\": names that begin with"),
        (
            "[[interface]]\nbridge = 'plain'\nname = 'host'",
            "3: interface \"host\": is the name of the port to",
        ),
        (
            "[[interface]]\nport = 'p2'\nvrf = 'blue'",
            "3: interface \"p2\": there is no VRF \"blue\": add [[vrf]]",
        ),
        (
            "[[interface]]\nport = 'p2'\nmac = 'ff:ff:ff:ff:ff:ff'",
            "3: interface \"p2\": mac must be the address of one",
        ),
        ("[[interface]]\nport = 'p2'\nmtu = 60", "3: invalid value: integer `60`"),
        (
            "[[interface]]\nport = 'p2'\nmtu = 1501",
            "3: interface \"p2\": mtu is 1501, must be at most that of its",
        ),
        (
            "[[interface]]\nport = 'p1'\naddresses = ['fd01::1/64']",
            "1: interface \"p1\": mtu is 1000, and with IPv6 must be at least 1280",
        ),
        ("[[interface]]\nport = 'p2'\nnatt = true", "3: unknown field `natt`"),
        ("[[vrf]]", "1: missing field `name`"),
    ]);
}

#[test]
fn each_wrong_address_has_its_message() {
    expect(&[
        (
            "[[interface]]\nport = 'p2'\naddresses = ['10.0.1.1']",
            "3: invalid value: string \"10.0.1.1\", expected an address with a prefix length, like \"10.0.0.0/24\"",
        ),
        (
            "[[interface]]\nport = 'p2'\naddresses = ['10.0.1.0/24']",
            "3: interface \"p2\": address 10.0.1.0/24 is the network address of its subnet",
        ),
        (
            "[[interface]]\nport = 'p2'\naddresses = ['10.0.1.255/24']",
            "3: interface \"p2\": address 10.0.1.255/24 is the broadcast address of its subnet",
        ),
        (
            "[[interface]]\nport = 'p2'\naddresses = ['fd01::/64']",
            "3: interface \"p2\": address fd01::/64 is the subnet-router anycast address",
        ),
        (
            "[[interface]]\nport = 'p2'\naddresses = ['224.0.0.1/24']",
            "3: interface \"p2\": address 224.0.0.1/24 is none of one host in a subnet",
        ),
        (
            "[[interface]]\nport = 'p2'\naddresses = ['10.1.0.1/16', '10.0.0.2/24']",
            "3: interface \"p2\": subnet 10.0.0.0/24 overlaps 10.0.0.0/24 of interface \"p0\" in VRF \"default\"",
        ),
        (
            "[[interface]]\nport = 'p2'\naddresses = ['10.1.0.1/24', '10.1.0.1/24']",
            "3: interface \"p2\": address 10.1.0.1/24 is there twice",
        ),
        (
            "[[interface]]\nport = 'p2'\naddresses = ['10.1.0.1/24', '10.1.0.2/16']",
            "3: interface \"p2\": subnet 10.1.0.0/16 overlaps 10.1.0.0/24 of interface \"p2\"",
        ),
        (
            "[[interface]]\nport = 'p2'\nneighbours = [{ address = '10.9.0.1', mac = '02:00:00:00:00:01' }]",
            "3: interface \"p2\": neighbour 10.9.0.1 is in none of its subnets",
        ),
        (
            "[[interface]]\nport = 'p2'\naddresses = ['10.1.0.1/24']\n\
             neighbours = [{ address = '10.1.0.1', mac = '02:00:00:00:00:01' }]",
            "4: interface \"p2\": neighbour 10.1.0.1 is its own address",
        ),
        (
            "[[interface]]\nport = 'p2'\nneighbours = [{ address = 'fe80::9', mac = '01:00:00:00:00:01' }]",
            "3: interface \"p2\": neighbour fe80::9: mac 01:00:00:00:00:01 must be the address of one interface",
        ),
    ]);
    let other_vrf =
        format!("{FILE}[[interface]]\nport = 'p2'\nvrf = 'red'\naddresses = ['10.0.0.1/24', 'fe80::1/64']");
    assert!(Config::parse("test.toml", &other_vrf, &Host::default()).is_ok());
}

#[test]
fn each_wrong_route_has_its_message() {
    let many: Vec<_> = (10..25).map(|last| format!("'10.0.0.{last}'")).collect();
    let many = format!("[[route]]\nprefix = '0.0.0.0/0'\nvia = [{}]", many.join(", "));
    expect(&[
        ("[[route]]\nvia = '10.0.0.2'", "1: missing field `prefix`"),
        (
            "[[route]]\nprefix = '0.0.0.0'",
            "2: invalid value: string \"0.0.0.0\", expected an address with a prefix",
        ),
        (
            "[[route]]\nprefix = '10.1.2.3/16'\nvia = '10.0.0.2'",
            "2: route 10.1.2.3/16: has bits beyond its prefix length; must be 10.1.0.0/16",
        ),
        (
            "[[route]]\nprefix = '0.0.0.0/0'",
            "2: route 0.0.0.0/0: needs either via, interface or both, or an action",
        ),
        (
            "[[route]]\nprefix = '0.0.0.0/0'\nvia = '10.0.0.2'\naction = 'blackhole'",
            "4: route 0.0.0.0/0: needs either via",
        ),
        (
            "[[route]]\nprefix = '0.0.0.0/0'\naction = 'drop'",
            "3: unknown variant `drop`, expected one of `blackhole`",
        ),
        (
            "[[route]]\nprefix = '::/0'\nvia = ['fd00::2', '10.0.0.2']",
            "3: route ::/0: next hop 10.0.0.2 must be an address of IPv6, as the prefix is",
        ),
        (
            "[[route]]\nprefix = '0.0.0.0/0'\nvia = '10.0.1.2'",
            "3: route 0.0.0.0/0: next hop 10.0.1.2 is in no subnet of VRF \"default\"; must be in one of 10.0.0.0/24",
        ),
        (
            "[[route]]\nprefix = '0.0.0.0/0'\nvia = '10.0.0.2'\nvrf = 'red'",
            "3: route 0.0.0.0/0: next hop 10.0.0.2 is in no subnet of VRF \"red\"; must be in one of none",
        ),
        (
            "[[route]]\nprefix = '::/0'\nvia = 'fe80::2'",
            "3: route ::/0: next hop fe80::2 is link-local: say by which",
        ),
        (
            "[[route]]\nprefix = '::/0'\nvia = 'fd00::1'",
            "3: route ::/0: next hop fd00::1 is the address of our",
        ),
        (
            "[[route]]\nprefix = '::/0'\ninterface = 'p9'",
            "3: route ::/0: there is no interface \"p9\"; there are p0",
        ),
        (
            "[[route]]\nprefix = '::/0'\nvia = ['fd00::2', 'fd00::3']\ninterface = 'p9'",
            "4: route ::/0: there is no interface \"p9\"",
        ),
        (
            "[[route]]\nprefix = '::/0'\nvia = ['fd00::2', 'fd00::2']",
            "3: route ::/0: next hop fd00::2 is there twice",
        ),
        (
            "[[route]]\nprefix = '::/0'\nvrf = 'blue'\ninterface = 'p0'",
            "3: route ::/0: there is no VRF \"blue\"",
        ),
        (&many, "3: route 0.0.0.0/0: has 15 next hops; must be 1 to 14"),
        (
            "[[route]]\nprefix = '::/0'\ninterface = 'p0'\n[[route]]\nprefix = '::/0'\naction = 'prohibit'",
            "5: route ::/0: is there twice in VRF \"default\"",
        ),
        ("[[vrf]]\nname = 'red'", "2: VRF \"red\": is there twice"),
    ]);
}

#[test]
fn each_wrong_translation_has_its_message() {
    let outside = "[[interface]]\nport = 'p2'\nnat = true\naddresses = ['192.0.2.1/24']\n[nat]\n";
    let tenant = "[[interface]]\nport = 'p1'\nvrf = 'red'\naddresses = ['10.0.0.1/24']\n";
    let mapping = |fields: &str| format!("{outside}[[nat.mapping]]\nprotocol = 'tcp'\n{fields}");
    let two = "port = 80\ninside = '10.0.0.2'\n[[nat.mapping]]\nprotocol = 'tcp'\n";
    let cases = [
        (
            "[[interface]]\nport = 'p2'\nnat = true".into(),
            "3: interface \"p2\": has nat = true: it needs a section [nat]",
        ),
        ("[nat]".into(), "1: nat: no interface has nat = true"),
        (
            "[nat]\n[[interface]]\nport = 'p2'\nnat = true".into(),
            "1: nat: has no addresses, and no interface with",
        ),
        (format!("{outside}ports = '0-9'"), "6: nat.ports 0-9: must begin at 1"),
        (format!("{outside}ports = '9-0'"), "6: 9-0: the first must not be above the last"),
        (
            format!("{outside}sessions = 1"),
            "6: invalid value: integer `1`, expected a whole number from 1024 to 4194304",
        ),
        (
            mapping("port = 0\ninside = '10.0.0.2'"),
            "8: invalid value: integer `0`, expected a whole number from 1 to 65535",
        ),
        (mapping("port = 80"), "6: missing field `inside`"),
        (
            mapping("port = 80\ninside = 'fd00::2'\noutside = '192.0.2.1'"),
            "9: mapping of tcp port 80: inside fd00::2 must be of the same IP version",
        ),
        (
            mapping(&format!("{two}port = 80\ninside = '10.0.0.3'")),
            "12: mapping of tcp port 80: is there twice",
        ),
        (
            mapping(&format!("{two}port = 81\ninside_port = 80\ninside = '10.0.0.2'")),
            "14: mapping of tcp port 81: 10.0.0.2 port 80 is",
        ),
        (
            format!(
                "{outside}[[nat.mapping]]\nprotocol = 'sctp'\nport = 9\ninside = '10.0.0.2'\ninside_port = 8"
            ),
            "10: mapping of sctp port 9: inside_port 8 must be the same",
        ),
        (
            mapping("port = 80\ninside = '10.0.0.2'\nvrf = 'green'"),
            "10: mapping of tcp port 80: vrf \"green\" is that of no interface",
        ),
        (
            format!("{tenant}{}", mapping("port = 80\ninside = '10.0.0.2'")),
            "13: mapping of tcp port 80: 10.0.0.2 may be in VRF \"default\" or \"red\": set vrf",
        ),
    ];
    // The same port of two hosts that are told apart by their tables.
    let red = "port = 80\ninside = '10.0.0.2'\nvrf = 'red'\n[[nat.mapping]]\nprotocol = 'tcp'\n";
    let both = mapping(&format!("{red}port = 81\ninside = '10.0.0.2'\ninside_port = 80\nvrf = 'default'"));
    let config = Config::parse("test.toml", &format!("{FILE}{tenant}{both}"), &Host::default());
    assert!(config.is_ok(), "{config:?}");
    let cases: Vec<(&str, &str)> =
        cases.iter().map(|(text, expected): &(String, _)| (text.as_str(), *expected)).collect();
    expect(&cases);
}
