//! What a user sees of wrong lists and filters.

use paceline_model::config::Host;
use paceline_model::{Config, ConfigError};

/// The one message, and what it points to.
fn only(text: &str) -> String {
    match Config::parse("test.toml", text, &Host::default()) {
        Ok(_) => panic!("it is accepted: {text}"),
        Err(ConfigError::Problems { problems, .. }) => {
            assert_eq!(problems.len(), 1, "{text}\n{problems:#?}");
            format!("{} @ {}", problems[0].message, &text[problems[0].span.clone()])
        }
        Err(other) => panic!("{other}"),
    }
}

fn rule(rule: &str) -> String {
    only(&format!(
        "port = [{{ name = 'p', kind = 'null' }}]\nacl = [{{ name = 'a', rules = [{{ action = 'permit', {rule} }}] }}]"
    ))
}

fn port(fields: &str) -> String {
    only(&format!("acl = [{{ name = 'a' }}]\nport = [{{ name = 'p', kind = 'null', {fields} }}]"))
}

#[test]
fn each_wrong_field_has_its_message() {
    for (seen, expected) in [
        (
            rule("from = 'office'"),
            "ACL \"a\", rule 1: there is no group \"office\"; there are none @ 'office'",
        ),
        (
            rule("from = '10.0.0.1/8'"),
            "prefix 10.0.0.1/8: has bits beyond its prefix length; must be 10.0.0.0/8",
        ),
        (rule("from = 'role == \"x\"'"), "\"role == \\\"x\\\"\": must be an address or a prefix"),
        (
            rule("from = '10.0.0.0/8', to = ['fd00::/8']"),
            "ACL \"a\", rule 1: from and to must be of one version of IP",
        ),
        (
            rule("ports = 80"),
            "ACL \"a\", rule 1: ports: go with a protocol that has them, and there is no protocol",
        ),
        (rule("protocol = 'udp', ports = '90-80'"), "90-80: the first must not be above the last"),
        (rule("protocol = 'udp', ports = 65536"), "invalid value: integer `65536`"),
        (rule("protocol = 'tpc'"), "protocol \"tpc\": must be tcp, udp"),
        (rule("protocol = 'udp', icmp = 8"), "ACL \"a\", rule 1: icmp: there is protocol \"udp\": must be"),
        (rule("protocol = 'icmp', icmp = '8/'"), "\"8/\": must be a type of ICMP"),
        (rule("tcp_flags = 'syn'"), "ACL \"a\", rule 1: tcp_flags: must be protocol = \"tcp\" @ 'syn'"),
        (rule("tcp_flags = 'sin'"), "\"sin\": must be flags of fin, syn"),
        (rule("rate = '1kbit'"), "invalid value: string \"1kbit\", expected a rate from 8kbit"),
        (rule("burst = '64kb'"), "ACL \"a\", rule 1: burst: goes with a rate"),
        (port("storm = {}"), "port \"p\": storm: must limit broadcast, multicast or unknown_unicast @ {}"),
        (
            port("storm = { broadcast = 0 }"),
            "invalid value: integer `0`, expected a whole number from 1 to 100000000",
        ),
        (
            port("storm = { all = 5 }"),
            "unknown field `all`, expected one of `broadcast`, `multicast`, `unknown_unicast`",
        ),
        (
            only("sessions = { limit = 0 }"),
            "invalid value: integer `0`, expected a whole number from 1 to 4194304",
        ),
        (
            only("bridge = [{ name = 'b', snooping = 'yes' }]"),
            "unknown variant `yes`, expected one of `off`, `on`, `querier`",
        ),
        (rule("dscp = 64"), "invalid value: integer `64`, expected a code point"),
        (rule("mirror = 'x'"), "ACL \"a\", rule 1: there is no port \"x\"; there are p"),
        (rule("name = '1'"), "ACL \"a\", rule 1: name \"1\" is a number"),
        (rule("vlan = 4095"), "VLAN 4095: must be 1 to 4094"),
        (port("input_acl = ['b']"), "port \"p\": input_acl: there is no ACL \"b\"; there are a @ 'b'"),
        (port("stateful = true"), "port \"p\": stateful: goes with input_acl or output_acl @ true"),
        (port("mirror = 'p'"), "port \"p\": mirror: must be another port"),
        (port("guard = { macs = ['02:00'] }"), "MAC address \"02:00\": must be six"),
        (port("input_acls = ['a']"), "unknown field `input_acls`"),
        (only("acl = [{ name = 'a' }, { name = 'a' }]"), "ACL \"a\": is there twice"),
        (
            only("acl = [{ name = 'a', rules = [{ action = 'allow' }] }]"),
            "unknown variant `allow`, expected one of `permit`",
        ),
        (
            only("port = [{ name = 'p', kind = 'null', dscp = 1 }]\ninterface = [{ port = 'p', dscp = 1 }]"),
            "interface \"p\": its port has filters too: give all of them at one of the two",
        ),
    ] {
        assert!(seen.starts_with(expected), "{seen}\nshould begin {expected}");
    }
}

#[test]
fn a_list_has_a_limit_that_is_named() {
    let list = |rules: usize| {
        let rule = |number: usize| {
            let [_, _, high, low] = u32::try_from(number).expect("few").to_be_bytes();
            format!("{{ action = 'deny', from = '10.{}.{high}.{low}' }}", number >> 16)
        };
        let rules: Vec<_> = (0..rules).map(rule).collect();
        format!("acl = [{{ name = 'a', rules = [{}] }}]", rules.join(",\n"))
    };
    let config = Config::parse("test", &list(100_000), &Host::default()).expect("it is the most");
    assert_eq!(config.acls[0].rules.len(), 100_000);
    let seen = only(&list(100_001));
    assert!(seen.starts_with("ACL \"a\": 100001 rules, each combination of the lists in a rule counted as one: there can be 100000 at most"), "{}", &seen[..200]);
    // A few rules with long lists are many.
    let ports: Vec<_> = (1..=400).map(|port| (port * 2).to_string()).collect();
    let ports = ports.join(",");
    let seen = rule(&format!("protocol = 'tcp', ports = [{ports}], from_ports = [{ports}]"));
    assert!(seen.starts_with("ACL \"a\": 160000 rules"), "{}", &seen[..100]);
}

#[test]
fn rules_that_are_never_reached_are_named() {
    let text = r#"
        [[acl]]
        name = "a"
        rules = [
            { name = "lan", action = "deny", from = "10.0.0.0/8" },
            { action = "permit", from = "10.1.0.0/16", protocol = "tcp", ports = 80 },
            { action = "permit", from = ["10.2.0.0/16", "192.0.2.0/24"] },
            { name = "web", action = "permit", protocol = "tcp", ports = "80-90" },
            { action = "permit", protocol = "tcp", ports = [80, "85-86"] },
            { action = "permit", protocol = "udp", ports = 80 },
        ]
    "#;
    let config = Config::parse("test", text, &Host::default()).unwrap();
    assert_eq!(
        config.warnings(),
        [
            "rule a/2 is never reached: a/lan holds for all its packets, with another action",
            "rule a/5 is never reached: a/web holds for all its packets",
        ]
    );
}
