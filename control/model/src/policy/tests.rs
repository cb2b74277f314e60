//! What is compiled, beside what the policies themselves say.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;

use super::compile::Lists;
use super::decide::{By, End};
use super::difference::{affected, warnings};
use super::*;
use crate::filter::{RuleList, Verdict};
use crate::{ConfigError, PortName};

/// Three tiers' worth of what users write.
const FILE: &str = r#"
[[tier]]
name = "platform"

[[group]]
name = "office"
prefixes = ["192.0.2.0/24", "2001:db8::/64"]

[[policy]]
name = "no-telnet"
tier = "platform"
selector = "all()"
ingress = [{ name = "telnet", action = "deny", protocol = "tcp", ports = 23 }, { action = "pass" }]

[[policy]]
name = "db"
selector = 'role == "db"'
ingress = [
    { action = "allow", from = 'role == "web"', protocol = "tcp", ports = [5432, "6000-6010"] },
    { action = "reject", from = ["office", "198.51.100.7"], protocol = "icmp", icmp = 8 },
]
egress = []
"#;

fn set(text: &str) -> PolicySet {
    PolicySet::parse("test", text).unwrap_or_else(|error| panic!("{:?}", miette::Report::new(error)))
}

fn party(number: u8, labels: &Labels) -> Party {
    Party {
        id: format!("id{number}").parse().unwrap(),
        port: format!("e-{number}").parse().unwrap(),
        labels: labels.clone(),
        addresses: vec![format!("10.0.0.{number}").parse().unwrap()],
    }
}

fn parties(labels: &[&str]) -> Parties {
    Parties((1..).zip(labels).map(|(number, labels)| party(number, &labels.parse().unwrap())).collect())
}

fn port(number: u8) -> PortName {
    format!("e-{number}").parse().unwrap()
}

fn probe(protocol: IpProtocol, port: u16) -> Probe {
    Probe { protocol, from_port: 40000, port, icmp: protocol.is_icmp().then_some((8, 0)) }
}

fn end<'p>(parties: &'p Parties, address: &str) -> End<'p> {
    let address: IpAddr = address.parse().unwrap();
    End { address, labels: parties.at(address).map(|party| &party.labels) }
}

/// The rule that decides in a list, and how; none: no rule does.
fn run(list: &RuleList, identity: u32, probe: Probe) -> (Option<&str>, Verdict) {
    for tier in &list.tiers {
        let holds = |rule: &&crate::ListRule| {
            rule.peers.as_ref().is_none_or(|peers| peers.contains(&identity)) && rule.traffic.holds(probe)
        };
        match tier.rules.iter().find(holds) {
            Some(rule) if rule.verdict == Verdict::Pass => {}
            Some(rule) => return (Some(&rule.name), rule.verdict),
            None if tier.default == Verdict::Pass => {}
            None => return (None, tier.default),
        }
    }
    (None, list.default)
}

/// By the longest prefix.
fn identity(compiled: &Compiled, address: IpAddr) -> u32 {
    let holding = compiled.identities.iter().filter(|(net, _)| net.contains(&address));
    holding.max_by_key(|(net, _)| net.prefix_len()).map_or(0, |(_, number)| *number)
}

#[test]
fn what_users_write_means_what_they_say() {
    let (set, parties) = (set(FILE), parties(&["role=db", "role=web", "role=app", ""]));
    for (from, to, protocol, port, allowed, why) in [
        ("10.0.0.2", "10.0.0.1", IpProtocol::TCP, 5432, true, "db/ingress/1"),
        ("10.0.0.2", "10.0.0.1", IpProtocol::TCP, 6005, true, "db/ingress/1"),
        ("10.0.0.2", "10.0.0.1", IpProtocol::TCP, 80, false, "default"),
        ("10.0.0.2", "10.0.0.1", IpProtocol::UDP, 5432, false, "default"),
        ("10.0.0.3", "10.0.0.1", IpProtocol::TCP, 5432, false, "default"),
        ("10.0.0.2", "10.0.0.1", IpProtocol::TCP, 23, false, "no-telnet/ingress/telnet"),
        ("192.0.2.9", "10.0.0.1", IpProtocol::ICMP, 0, false, "db/ingress/2"),
        ("198.51.100.7", "10.0.0.1", IpProtocol::ICMP, 0, false, "db/ingress/2"),
        // It may send nothing.
        ("10.0.0.1", "198.51.100.9", IpProtocol::TCP, 80, false, "default"),
        // All tiers that select it pass.
        ("10.0.0.2", "10.0.0.4", IpProtocol::TCP, 80, false, "end"),
    ] {
        let decision = decide(&set, end(&parties, from), end(&parties, to), probe(protocol, port));
        assert_eq!(decision.allowed(), allowed, "{from} {to} {protocol} {port}");
        let own = decision.ingress.or(decision.egress).unwrap();
        let by = match own.by {
            By::Rule { name, .. } => name,
            By::Tier(tier) => tier.to_string(),
            By::End => "end".into(),
        };
        assert_eq!(by, why, "{from} {to} {protocol} {port}");
    }
}

#[test]
fn who_is_not_selected_is_not_touched() {
    let text = "[[policy]]\nname = \"db\"\nselector = 'role == \"db\"'\ningress = []\n";
    let (set, parties) = (set(text), parties(&["role=db", "role=web"]));
    let compiled = compile(&set, &parties);
    assert_eq!(compiled.ports.keys().map(PortName::as_str).collect::<Vec<_>>(), ["e-1"]);
    let lists = &compiled.ports[&port(1)];
    assert!(lists.egress.is_none(), "it says nothing of what they send");
    let list = lists.ingress.as_ref().unwrap();
    assert_eq!(
        (list.default, list.tiers[0].default, list.tiers[0].rules.len()),
        (Verdict::Deny, Verdict::Deny, 0)
    );
    assert_eq!(compile(&PolicySet::default(), &parties), Compiled::default());
}

#[test]
fn endpoints_that_the_same_policies_select_share_a_list() {
    let compiled = compile(&set(FILE), &parties(&["role=db", "role=web", "role=db,env=prod", "role=app"]));
    let list = |number| std::sync::Arc::clone(compiled.ports[&port(number)].ingress.as_ref().unwrap());
    assert!(std::sync::Arc::ptr_eq(&list(1), &list(3)));
    assert!(std::sync::Arc::ptr_eq(&list(2), &list(4)));
    // Those who are not told apart have one identity: of these, only web is.
    assert_eq!(
        compiled.identities.keys().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.2/32", "192.0.2.0/24", "198.51.100.7/32", "2001:db8::/64"]
    );
}

#[test]
fn a_difference_names_rules_and_endpoints() {
    let (old, parties) = (set(FILE), parties(&["role=db", "role=web"]));
    let lines = |from: &PolicySet, to: &PolicySet| -> Vec<String> {
        difference(from, to).iter().map(ToString::to_string).collect()
    };
    let text = FILE.replace("6000-6010", "7000").replace("192.0.2.0/24", "192.0.2.0/25");
    let new = set(&text.replace("egress = []", ""));
    assert_eq!(
        lines(&old, &new),
        [
            "~ group office: 192.0.2.0/25, 2001:db8::/64",
            "~ policy db in tier default, for role == \"db\"",
            "-   db/ingress/1: allow from role == \"web\" tcp port 5432,6000-6010",
            "+   db/ingress/1: allow from role == \"web\" tcp port 5432,7000",
            "-   egress: says nothing of it any more",
        ]
    );
    assert_eq!(affected(&old, &new, &parties), [port(1)]);
    assert_eq!(lines(&old, &old), Vec::<String>::new());
    assert_eq!(affected(&old, &old, &parties), Vec::<PortName>::new());
    let gone = lines(&old, &PolicySet::default());
    assert_eq!(
        (gone.len(), gone[0].as_str()),
        (8, "- policy no-telnet in tier platform, for all()"),
        "{gone:?}"
    );
    assert_eq!(lines(&PolicySet::default(), &old).len(), 8);
}

#[test]
fn what_is_probably_not_meant_is_told() {
    let text = r#"
        [[policy]]
        name = "db"
        selector = 'role == "db"'
        ingress = [
            { action = "deny", from = "10.0.0.0/8" },
            { action = "allow", from = ["10.1.0.0/16", "10.2.0.1"], protocol = "tcp", ports = 80 },
            { action = "allow", from = 'tier == "x"' },
        ]
    "#;
    assert_eq!(
        warnings(&set(text), &parties(&["role=db"])),
        [
            "rule db/ingress/3: no endpoint has a label \"tier\"",
            "rule db/ingress/3: tier == \"x\" selects no endpoint",
            "rule db/ingress/2 (allow from 10.1.0.0/16 or 10.2.0.1/32 tcp port 80) is never reached: db/ingress/1 \
         (deny from 10.0.0.0/8) holds for all its packets, with another action",
        ]
    );
    assert_eq!(
        warnings(&set(text), &parties(&[]))[..2],
        ["policy db: no endpoint has a label \"role\"", "policy db: role == \"db\" selects no endpoint",]
    );
}

#[test]
fn wrong_files_are_told_where_and_why() {
    let problems = |text: &str| -> Vec<String> {
        match PolicySet::parse("test", text) {
            Ok(_) => Vec::new(),
            Err(ConfigError::Problems { problems, .. }) => problems
                .iter()
                .map(|problem| format!("{} @{}", problem.message, &text[problem.span.clone()]))
                .collect(),
            Err(other) => panic!("{other}"),
        }
    };
    let rule = |rule: &str| format!("[[policy]]\nname = \"p\"\nselector = \"all()\"\ningress = [{rule}]\n");
    for (text, expected) in [
        (
            rule("{ action = \"allow\", to = \"10.0.0.1\" }"),
            "policy \"p\", ingress rule 1: to is who has the policy: ingress rules have from",
        ),
        (
            rule("{ action = \"allow\", ports = 80 }"),
            "policy \"p\", ingress rule 1: ports: go with a protocol that has them, and there is no protocol",
        ),
        (
            rule("{ action = \"allow\", from = \"web\" }"),
            "policy \"p\", ingress rule 1: there is no group \"web\"; there are none. Labels are selected like 'role == \"web\"'",
        ),
        (
            rule("{ action = \"allow\", protocol = \"tcp\", ports = \"90-80\" }"),
            "90-80: the first must not be above the last",
        ),
        (
            rule("{ action = \"alow\" }"),
            "unknown variant `alow`, expected one of `allow`, `deny`, `reject`, `pass`, `log`, `audit`",
        ),
        (
            rule("{ action = \"allow\", from = 'role = \"x\"' }"),
            "selector \"role = \\\"x\\\"\": at character 6: \"=\" is no operator",
        ),
        (
            rule("{ action = \"allow\", from = \"10.0.0.1/8\" }"),
            "prefix 10.0.0.1/8: has bits beyond its prefix length; must be 10.0.0.0/8",
        ),
        (
            rule("{ action = \"allow\", name = \"7\" }"),
            "policy \"p\", ingress rule 1: name \"7\" is a number",
        ),
        (rule("{ action = \"allow\", port = 80 }"), "unknown field `port`"),
        (
            "[[policy]]\nname = \"p\"\nselector = \"all()\"\n".into(),
            "policy \"p\": has neither ingress nor egress",
        ),
        (
            "[[policy]]\nname = \"p\"\ntier = \"t\"\nselector = \"all()\"\ningress = []\n".into(),
            "policy \"p\": there is no tier \"t\"; there are default",
        ),
        ("[[rule]]\n".into(), "\"rule\": there is no such section; there are tier, group and policy"),
        (
            "[[group]]\nname = \"g\"\nprefixes = [\"10.0.0.1/8\"]\n".into(),
            "invalid value: string \"10.0.0.1/8\", expected an address, or a prefix without bits beyond its length",
        ),
    ] {
        let found = problems(&text);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{text}\n{found:#?}\n{expected}");
    }
    let rules =
        vec!["{ action = \"allow\", protocol = \"tcp\", ports = [1, 3, 5], from_ports = [1, 3] }"; 300]
            .join(",");
    let logs = vec!["{ action = \"log\", protocol = \"udp\" }"; 60].join(",");
    assert!(
        problems(&rule(&format!("{logs},{rules}")))[0].starts_with("109860 rules, where each combination")
    );
    assert_eq!(problems(&rule(&rules)), [""; 0]);
    let twice = format!("{0}{0}", rule("{ action = \"allow\" }"));
    assert!(problems(&twice)[0].starts_with("policy \"p\": is there twice @\"p\""), "{:?}", problems(&twice));
}

/// Prefixes of which some hold others.
const NETS: [&str; 5] = ["10.0.0.0/8", "10.0.0.0/30", "10.0.0.2/32", "192.0.2.0/24", "0.0.0.0/0"];

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let peer = prop_oneof![
        prop::sample::select(&NETS[..]).prop_map(|net: &str| net.parse().unwrap()),
        Just("office".parse().unwrap()),
        selector::tests::any().prop_map(Peer::Selector),
    ];
    let action = prop::sample::select(vec![
        Action::Allow,
        Action::Deny,
        Action::Reject,
        Action::Pass,
        Action::Log,
        Action::Audit,
    ]);
    let traffic = prop_oneof![
        Just((None, vec![])),
        Just((Some(IpProtocol::UDP), vec![])),
        Just((Some(IpProtocol::TCP), vec!["80".parse().unwrap()])),
        Just((Some(IpProtocol::TCP), vec!["70-81".parse().unwrap(), "443".parse().unwrap()])),
    ];
    let rule =
        (action, prop::collection::vec(peer, 0..3), traffic).prop_map(|(action, from, (protocol, ports))| {
            Rule {
                name: None,
                action,
                from,
                to: Vec::new(),
                protocol,
                ports,
                from_ports: Vec::new(),
                icmp: Vec::new(),
                log: false,
            }
        });
    prop::collection::vec(rule, 0..5)
}

fn sets() -> impl Strategy<Value = PolicySet> {
    let policy = (selector::tests::any(), prop::option::of(rules()), prop::option::of(rules()));
    let tiers = prop::collection::vec(prop::collection::vec(policy, 0..3), 0..4);
    tiers.prop_map(|tiers| {
        let mut number = 0;
        let mut policy = |(selector, ingress, egress): (Selector, Option<Vec<Rule>>, Option<Vec<Rule>>)| {
            number += 1;
            // The same peers, on the other side.
            let turned = |rule: Rule| Rule { to: rule.from, from: Vec::new(), ..rule };
            let egress = egress.map(|rules| rules.into_iter().map(turned).collect());
            Policy { name: format!("p{number}").parse().unwrap(), selector, ingress, egress }
        };
        let tiers = (0..).zip(tiers).map(|(place, policies)| Tier {
            name: format!("t{place}").parse().unwrap(),
            policies: policies.into_iter().map(&mut policy).collect(),
        });
        let office: Vec<IpNet> = vec!["192.0.2.0/25".parse().unwrap(), "10.0.0.3/32".parse().unwrap()];
        PolicySet { tiers: tiers.collect(), groups: [("office".parse().unwrap(), office)].into() }
    })
}

proptest! {
    #[test]
    fn no_file_is_too_bad(at in any::<prop::sample::Index>(), gone in 0..20usize, new in "[a-z0-9 .=!&|(){}',\"\\[\\]\n-]{0,8}") {
        let mut chars: Vec<char> = FILE.chars().collect();
        let at = at.index(chars.len());
        let end = (at + gone).min(chars.len());
        chars.splice(at..end, new.chars());
        let text: String = chars.into_iter().collect();
        if let Err(error) = PolicySet::parse("test", &text) {
            let ConfigError::Problems { problems, .. } = error else { panic!("it was not read") };
            prop_assert!(problems.iter().all(|problem| text.get(problem.span.clone()).is_some()), "{}", text);
        }
    }

    #[test]
    fn what_is_compiled_decides_as_the_policies_do(
        set in sets(),
        labels in prop::collection::vec(selector::tests::labels(), 1..5),
        ports in prop::collection::vec(prop::sample::select(vec![22u16, 75, 80, 443]), 4),
    ) {
        let parties = Parties((1..).zip(&labels).map(|(number, labels)| party(number, labels)).collect());
        let compiled = compile(&set, &parties);
        let outside = ["10.0.0.99", "10.9.9.9", "192.0.2.1", "192.0.2.200", "203.0.113.1"];
        let inside = parties.0.iter().map(|party| party.addresses[0]);
        let all: Vec<IpAddr> = outside.iter().map(|address| address.parse().unwrap()).chain(inside).collect();
        let end = |address| End { address, labels: parties.at(address).map(|party| &party.labels) };
        for party in &parties.0 {
            let own = party.addresses[0];
            let lists = compiled.ports.get(&party.port).cloned().unwrap_or_default();
            for &other in all.iter().filter(|other| **other != own) {
                for (port, protocol) in ports.iter().zip([IpProtocol::TCP, IpProtocol::UDP].into_iter().cycle()) {
                    let probe = probe(protocol, *port);
                    let sent = decide(&set, end(own), end(other), probe).egress;
                    let received = decide(&set, end(other), end(own), probe).ingress;
                    let Lists { ingress, egress } = &lists;
                    for (decided, list) in [(sent, egress), (received, ingress)] {
                        prop_assert_eq!(decided.is_some(), list.is_some());
                        let Some((decided, list)) = decided.zip(list.as_ref()) else { continue };
                        let (name, verdict) = run(list, identity(&compiled, other), probe);
                        let expected = match decided.action {
                            Action::Allow | Action::Audit => Verdict::Permit,
                            Action::Reject => Verdict::Reject,
                            _ => Verdict::Deny,
                        };
                        prop_assert_eq!(verdict, expected, "{} to or from {} {:?}", own, other, probe);
                        match &decided.by {
                            By::Rule { name: by, .. } => prop_assert_eq!(Some(by.as_str()), name),
                            // What was logged before is denied in the name of that rule.
                            _ => prop_assert!(name.is_none_or(|name| decided.logged.iter().any(|log| log == name))),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_difference_is_none_for_the_same_and_some_for_another(a in sets(), b in sets()) {
        prop_assert_eq!(difference(&a, &a), []);
        let names = |set: &PolicySet| set.policies().map(|(tier, policy)| (tier.clone(), policy.clone())).collect::<Vec<_>>();
        prop_assert!(names(&a) == names(&b) || !difference(&a, &b).is_empty());
    }
}
