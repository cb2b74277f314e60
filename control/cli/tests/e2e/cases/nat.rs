//! Address translation by the switch itself, on a router without Docker: hosts inside, one outside.

use super::cases;
use crate::engine::Engine;
use crate::host::Host;
use crate::place::{BOTH, Place, Speech};
use crate::switch::Switch;

cases![
    inside_hosts_appear_under_one_address,
    mapped_ports_and_hairpins,
    tenants_may_have_the_same_addresses,
    sessions_are_shown_and_outlive_changes
];

/// Addresses of the two inside hosts, the outside host, and those that inside hosts appear under.
const INSIDE: [[&str; 2]; 2] = [["10.0.0.2", "fd00::2"], ["10.0.0.3", "fd00::3"]];
const OUTSIDE: [&str; 2] = ["192.0.2.10", "2001:db8::10"];
const OWN: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// Three hosts on TAPs of a router.
struct World<'e> {
    switch: Switch<'e>,
    inside: [Host; 2],
    outside: Host,
}

impl<'e> World<'e> {
    fn new(engine: &'e Engine) -> Self {
        let (inside, outside) = ([Host::with_ipv6(), Host::with_ipv6()], Host::with_ipv6());
        let port = |name: &str, host: &Host| {
            format!(
                "[[port]]\nname = \"{name}\"\nkind = \"tap\"\ndevice = \"eth0\"\nnetns = \"{}\"\n",
                host.path()
            )
        };
        let config = [
            port("in0", &inside[0]),
            port("in1", &inside[1]),
            port("out", &outside),
            r#"
            [[bridge]]
            name = "lan"
            member = [{ port = "in0" }, { port = "in1" }]
            [[interface]]
            name = "lan0"
            bridge = "lan"
            addresses = ["10.0.0.1/24", "fd00::1/64"]
            [[interface]]
            port = "out"
            addresses = ["192.0.2.1/24", "2001:db8::1/64"]
            nat = true
            [nat]
            addresses = ["192.0.2.1", "2001:db8::1"]
            ports = "10000-19999"
            inside = ["10.0.0.0/8", "fd00::/8"]
            [[nat.mapping]]
            protocol = "tcp"
            port = 8080
            inside = "10.0.0.2"
            inside_port = 80
            [[nat.mapping]]
            protocol = "udp"
            port = 8080
            inside = "10.0.0.2"
            inside_port = 80
            [[nat.mapping]]
            protocol = "tcp"
            port = 8080
            inside = "fd00::2"
            inside_port = 80
            [[nat.mapping]]
            protocol = "udp"
            port = 8080
            inside = "fd00::2"
            inside_port = 80
            "#
            .into(),
        ];
        let switch = Switch::configured(engine, &config.concat());
        let address = |host: &Host, addresses: [&str; 2]| {
            host.ip(&format!("address add {}/24 dev eth0", addresses[0]));
            host.ip(&format!("address add {}/64 dev eth0 nodad", addresses[1]));
            host.up("eth0");
        };
        for (host, addresses) in inside.iter().zip(INSIDE) {
            address(host, addresses);
            host.ip("route add default via 10.0.0.1");
            host.ip("route add default via fd00::1");
        }
        address(&outside, OUTSIDE);
        Self { switch, inside, outside }
    }

    fn inside(&self, host: usize) -> Place {
        Place::host(&self.inside[host])
    }

    fn outside(&self) -> Place {
        Place::host(&self.outside)
    }
}

fn inside_hosts_appear_under_one_address(engine: &Engine) {
    let world = World::new(engine);
    for speech in BOTH {
        let _server = world.outside().serve(speech, 7000);
        for (host, to) in [0, 1].into_iter().flat_map(|host| OUTSIDE.map(|to| (host, to))) {
            let seen = OWN[usize::from(to.contains(':'))];
            world.inside(host).is_seen_as(speech, to, 7000, seen);
        }
    }
    for to in OUTSIDE {
        world.inside[0].reaches(to);
        world.inside[1].reaches(to);
    }
    // A long ping: fragments both ways.
    assert!(world.inside[0].ping(&["-W", "5", "-s", "4000", OUTSIDE[0]]).succeeded());
    // Nobody comes in without an invitation, also who knows the way; the outer address is the switch's own and answers.
    for (own, addresses) in OWN.iter().zip([[INSIDE[0][0], "10.0.0.0/24"], [INSIDE[0][1], "fd00::/64"]]) {
        world.outside.reaches(own);
        world.outside.ip(&format!("route add {} via {own}", addresses[1]));
    }
}

fn mapped_ports_and_hairpins(engine: &Engine) {
    let world = World::new(engine);
    for speech in BOTH {
        let _server = world.inside(0).serve(speech, 80);
        for (family, own) in OWN.into_iter().enumerate() {
            // From outside the real source is seen; from inside the answer has to come by the switch.
            world.outside().is_seen_as(speech, own, 8080, OUTSIDE[family]);
            world.inside(1).is_seen_as(speech, own, 8080, own);
            world.inside(0).is_seen_as(speech, own, 8080, own);
            world.outside().gets_no_answer(speech, own, 80);
        }
    }
}

fn sessions_are_shown_and_outlive_changes(engine: &Engine) {
    let world = World::new(engine);
    let _server = world.outside().serve(Speech::Udp, 7000);
    world.inside(1).is_seen_as(Speech::Udp, OUTSIDE[0], 7000, OWN[0]);
    let text = world.switch.cli(["show", "nat", "--session", "10.0.0.3"]).ok();
    assert!(text.contains("udp") && text.contains("192.0.2.10:7000") && text.contains("answered"), "{text}");
    let row = &world.switch.show("nat")[0];
    assert_eq!((row["version"].as_u64(), row["sessions"].as_u64()), (Some(4), Some(1)));
    world.switch.cli(["route", "add", "10.99.0.0/16", "--blackhole"]).ok();
    assert_eq!(
        world.switch.show("nat")[0]["sessions"],
        1,
        "another change of the configuration leaves it alone"
    );
    assert_eq!(world.switch.cli(["show", "nat", "--session", "10.0.0.2"]).ok(), "no sessions");
    let routes = world.switch.cli(["show", "routes"]).ok();
    assert!(
        routes.lines().any(|line| line.contains("192.0.2.1/32") && line.contains("translate")),
        "{routes}"
    );
    world.switch.cli(["show", "macs", "--session"]).fails_naming(&["--session", "show nat"]);
}

fn tenants_may_have_the_same_addresses(engine: &Engine) {
    let (tenants, outside) = ([Host::with_ipv6(), Host::with_ipv6()], Host::with_ipv6());
    let port = |name: &str, host: &Host| {
        let netns = host.path();
        format!("[[port]]\nname = \"{name}\"\nkind = \"tap\"\ndevice = \"eth0\"\nnetns = \"{netns}\"\n")
    };
    let config = [
        port("out", &outside),
        r#"
        [[interface]]
        port = "out"
        addresses = ["192.0.2.1/24", "2001:db8::1/64"]
        nat = true
        [nat]
        addresses = ["192.0.2.1", "2001:db8::1"]
        "#
        .into(),
        port("red", &tenants[0]),
        tenant("red", 8080),
        port("blue", &tenants[1]),
        tenant("blue", 8081),
    ];
    let config = config.concat();
    let switch = Switch::configured(engine, &config);
    for host in &tenants {
        host.ip("address add 10.0.0.2/24 dev eth0");
        host.ip("address add fd00::2/64 dev eth0 nodad");
        host.up("eth0");
        host.ip("route add default via 10.0.0.1");
        host.ip("route add default via fd00::1");
    }
    outside.ip("address add 192.0.2.10/24 dev eth0");
    outside.ip("address add 2001:db8::10/64 dev eth0 nodad");
    outside.up("eth0");
    let _server = Place::host(&outside).serve(Speech::Tcp, 7000);
    for (family, to) in OUTSIDE.into_iter().enumerate() {
        // By turns, so that both have sessions.
        for host in tenants.iter().chain(&tenants) {
            host.reaches(to);
            Place::host(host).is_seen_as(Speech::Tcp, to, 7000, OWN[family]);
        }
    }
    // Each serves its own mapped port, from outside and from inside.
    for (number, port) in [8080, 8081].into_iter().enumerate() {
        let place = Place::host(&tenants[number]);
        let _server = place.serve(Speech::Tcp, 80);
        for (family, own) in OWN.into_iter().enumerate() {
            Place::host(&outside).is_seen_as(Speech::Tcp, own, port, OUTSIDE[family]);
            place.is_seen_as(Speech::Tcp, own, port, own);
        }
    }
    let sessions = switch.cli(["show", "nat", "--session", "10.0.0.2"]).ok();
    let of =
        |vrf: &str| sessions.lines().filter(|line| line.split_whitespace().any(|word| word == vrf)).count();
    assert!(of("red") > 0 && of("blue") > 0, "{sessions}");
}

/// A table with a leg, ways out, and the port 80 of its host mapped.
fn tenant(name: &str, outside_port: u16) -> String {
    let mapping = |inside: &str| {
        format!(
            "[[nat.mapping]]\nprotocol = \"tcp\"\nport = {outside_port}\ninside = \"{inside}\"\n\
             inside_port = 80\nvrf = \"{name}\"\n"
        )
    };
    let leg = format!(
        r#"
        [[vrf]]
        name = "{name}"
        [[interface]]
        port = "{name}"
        vrf = "{name}"
        addresses = ["10.0.0.1/24", "fd00::1/64"]
        [[route]]
        vrf = "{name}"
        prefix = "0.0.0.0/0"
        via = "192.0.2.10"
        interface = "out"
        [[route]]
        vrf = "{name}"
        prefix = "::/0"
        via = "2001:db8::10"
        interface = "out"
        "#
    );
    [leg, INSIDE[0].map(mapping).concat()].concat()
}
