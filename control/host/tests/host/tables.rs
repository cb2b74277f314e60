//! What is in the kernel after a plan was applied, and after it was removed.

use std::time::Instant;

use paceline_host::Host;

use crate::support::{HOST, OUTSIDE, World, get, of, output, plan, publish, sees, serve, set, silent};

/// As Docker's engine leaves a host, with a rule of the administrator's, and nothing that lets our packets pass.
const DOCKER: &str = "add table ip filter; add chain ip filter DOCKER-USER; add chain ip filter FORWARD { type filter hook \
     forward priority 0; policy drop; }; add rule ip filter FORWARD counter jump DOCKER-USER; add rule ip filter DOCKER-USER ip \
     saddr 192.0.2.9 drop; add rule ip filter DOCKER-USER counter return";

fn addresses(world: &World) -> String {
    world.host.ip("-o addr show dev pace0")
}

#[test]
fn applying_a_plan_again_changes_nothing() {
    let Some(world) = World::new() else { return };
    let (mut host, mut plan) = (world.stack(), plan());
    publish(&mut plan, &world.containers[0], None, 8080, 80);
    let first = world.apply(&mut host, &plan);
    assert_eq!(first.notes.len(), 3, "two kinds of forwarding, router advertisements: {:?}", first.notes);
    let (rules, links) = (world.rules(), addresses(&world));
    assert_eq!(world.apply(&mut host, &plan).notes, [""; 0], "told once");
    assert_eq!((world.rules(), addresses(&world)), (rules.clone(), links.clone()));
    // As another process does after this one was killed.
    let again = world.apply(&mut world.stack(), &plan);
    assert!(again.notes.is_empty(), "{again:?}");
    assert_eq!((world.rules(), addresses(&world)), (rules, links));
}

#[test]
fn the_device_is_a_link_of_two() {
    let Some(world) = World::new() else { return };
    let (mut host, mut plan) = (world.stack(), plan());
    plan.mtu = 1400;
    world.apply(&mut host, &plan);
    let link = world.host.ip("-o link show pace0");
    for part in ["NOARP", "mtu 1400", "02:00:00:00:00:fe", ",UP"] {
        assert!(link.contains(part), "{part}: {link}");
    }
    let now = addresses(&world);
    for ip in ["10.77.0.1/24", "10.88.0.1/24", "fd00:77::1/64", "fd00:88::1/64"] {
        assert!(now.contains(ip), "{ip}: {now}");
    }
    assert!(!now.contains("fe80:"), "{now}");
    assert!(now.contains("nodad"), "{now}");
    for (setting, value) in [
        ("ipv4/conf/pace0/send_redirects", "0"),
        ("ipv4/conf/pace0/route_localnet", "0"),
        ("ipv4/conf/pace0/forwarding", "1"),
        ("ipv6/conf/pace0/accept_ra", "0"),
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        // It took router advertisements, and goes on.
        ("ipv6/conf/eth0/accept_ra", "2"),
    ] {
        assert_eq!(get(&world.host, &format!("net/{setting}")), value, "{setting}");
    }
}

#[test]
fn forwarding_stays_off_where_no_network_needs_it() {
    let Some(world) = World::new() else { return };
    let (mut host, mut plan) = (world.stack(), plan());
    for number in [77, 88] {
        of(&mut plan, number).internal = true;
    }
    assert!(world.apply(&mut host, &plan).notes.is_empty());
    assert_eq!(get(&world.host, "net/ipv4/ip_forward"), "0");
    assert_eq!(get(&world.host, "net/ipv6/conf/eth0/accept_ra"), "1");
}

#[test]
fn what_is_no_longer_wanted_goes_and_what_is_not_ours_stays() {
    let Some(world) = World::new() else { return };
    let (mut host, mut plan) = (world.stack(), plan());
    world.apply(&mut host, &plan);
    world.host.ip("addr add 198.51.100.1/24 dev pace0");
    plan.networks.remove("n88");
    // By another process: it has not set them itself.
    world.apply(&mut world.stack(), &plan);
    let now = addresses(&world);
    assert!(!now.contains("10.88.") && !now.contains("fd00:88:"), "{now}");
    assert!(now.contains("198.51.100.1/24") && now.contains("10.77.0.1/24"), "{now}");
    assert!(!world.rules().contains("88."), "{}", world.rules());
    world.remove(&mut host);
    let now = addresses(&world);
    assert!(now.contains("198.51.100.1/24") && !now.contains("10.77."), "{now}");
}

#[test]
fn a_device_that_was_opened_anew_is_set_up_anew() {
    let Some(world) = World::new() else { return };
    let (mut host, plan) = (world.stack(), plan());
    world.host.ip("link set pace0 name other");
    let error = world.try_apply(&mut host, &plan).expect_err("there is none").to_string();
    assert!(error.starts_with("device pace0: no such link: "), "{error}");
    world.host.ip("tuntap add pace0 mode tap");
    world.try_apply(&mut host, &plan).expect("applied");
    world.host.ip("link del pace0");
    world.host.ip("tuntap add pace0 mode tap");
    world.try_apply(&mut host, &plan).expect("applied");
    assert!(addresses(&world).contains("10.77.0.1/24"));
    assert!(world.host.ip("-o link show pace0").contains("02:00:00:00:00:fe"));
}

#[test]
fn a_subnet_that_the_host_has_elsewhere_is_an_error_of_that_network_alone() {
    let Some(world) = World::new() else { return };
    world.host.ip("addr add 10.77.0.99/25 dev eth0");
    // A wider one is not in the way.
    world.host.ip("addr add 10.0.0.1/8 dev eth0");
    let (mut host, plan) = (world.stack(), plan());
    let report = world.apply(&mut host, &plan);
    let told: Vec<_> =
        report.conflicts.iter().map(|(network, conflict)| format!("{network}: {conflict}")).collect();
    let expected = "n77: gateway 10.77.0.1/24: this host has 10.77.0.99/25 on eth0, in the same subnet: choose another subnet";
    assert_eq!(told, [expected]);
    let now = addresses(&world);
    assert!(now.contains("10.88.0.1/24") && !now.contains("77"), "{now}");
    assert!(!world.rules().contains("10.77."), "{}", world.rules());
    let check = async |gateway: &str| {
        host.conflict(&[gateway.parse().expect("a net")], plan.device).await.expect("looked")
    };
    assert!(world.on_host(async || check("10.77.0.1/24").await).is_some());
    assert!(world.on_host(async || check("10.78.0.1/24").await).is_none());
    world.host.ip("addr del 10.77.0.99/25 dev eth0");
    let report = world.apply(&mut host, &plan);
    assert!(report.conflicts.is_empty() && addresses(&world).contains("10.77.0.1/24"), "{report:?}");
}

#[test]
fn docker_s_firewall_lets_our_packets_pass_and_keeps_its_own_containers() {
    let Some(world) = World::new() else { return };
    let first = &world.containers[0];
    serve(&first.net, 80);
    serve(&world.outside, 80);
    world.host.ip("link add docker0 type bridge");
    let (mut host, mut plan) = (world.stack(), plan());
    world.apply(&mut host, &plan);
    // The engine starts after the switch.
    world.nft(DOCKER);
    world.apply(&mut host, &plan);
    assert!(!world.nft("list chain ip filter DOCKER-USER").contains("pace0"), "not looked at, soon after");
    host.look_again();
    world.apply(&mut host, &plan);
    assert!(world.nft("list chain ip filter DOCKER-USER").contains("pace0"));
    world.remove(&mut host);
    let before = world.rules();
    publish(&mut plan, first, None, 8080, 80);
    let report = world.apply(&mut host, &plan);
    assert!(!report.notes.iter().any(|note| note.contains("firewall")), "{report:?}");
    sees(&world.outside, HOST[0], 8080, OUTSIDE[0]);
    sees(&first.net, OUTSIDE[0], 80, HOST[0]);
    let rules = world.nft("-s list chain ip filter DOCKER-USER");
    let rules: Vec<_> =
        rules.lines().map(str::trim).filter(|line| line.contains("pace0") || line.contains("192")).collect();
    let expected = [
        "ip saddr 192.0.2.9 drop",
        r#"iifname "pace0" oifname "docker0" return comment "paceline_test""#,
        r#"iifname "pace0" accept comment "paceline_test""#,
        r#"oifname "pace0" accept comment "paceline_test""#,
    ];
    assert_eq!(rules, expected);
    // The program whose chain it is reads it, and finds its own rule again.
    if std::path::Path::new("/usr/sbin/iptables-nft").exists() {
        let read = output(&world.host, "/usr/sbin/iptables-nft", "-S DOCKER-USER");
        assert!(
            read.contains("-A DOCKER-USER -o pace0 -m comment --comment paceline_test -j ACCEPT"),
            "{read}"
        );
        output(&world.host, "/usr/sbin/iptables-nft", "-C DOCKER-USER -j RETURN");
    }
    // A bridge of Docker's more, and a process more.
    world.host.ip("link add br-0123456789ab type bridge");
    world.apply(&mut world.stack(), &plan);
    let rules = world.rules();
    assert_eq!(rules.matches("comment \"paceline_test\"").count(), 4, "{rules}");
    world.remove(&mut host);
    assert_eq!(world.rules(), before);
    silent(&world.outside, HOST[0], 8080);
}

#[test]
fn a_firewall_that_drops_is_told_with_the_commands_that_help() {
    let Some(world) = World::new() else { return };
    let first = &world.containers[0];
    serve(&world.outside, 80);
    world.nft(
        "add table inet wall; add chain inet wall fw { type filter hook forward priority 0; policy drop; }",
    );
    let (mut host, plan) = (world.stack(), plan());
    let report = world.apply(&mut host, &plan);
    let told = report.notes.iter().find_map(|note| note.split_once("to let them: ")).expect("a warning").1;
    silent(&first.net, OUTSIDE[0], 80);
    for command in told.split("; ") {
        world.nft(command.strip_prefix("nft ").expect("a command"));
    }
    sees(&first.net, OUTSIDE[0], 80, HOST[0]);
}

#[test]
fn a_table_that_others_removed_is_made_again() {
    let Some(world) = World::new() else { return };
    let (mut host, mut plan) = (world.stack(), plan());
    world.apply(&mut host, &plan);
    world.nft("flush ruleset");
    publish(&mut plan, &world.containers[0], None, 8080, 80);
    world.apply(&mut host, &plan);
    assert!(world.rules().contains("tcp . 8080 : 10.77.0.10 . 80"));
    // It is there, but not as we left it.
    world.nft("flush map inet paceline_test any4");
    plan.ports.clear();
    world.apply(&mut host, &plan);
    let rules = world.rules();
    assert!(!rules.contains("8080") && rules.contains("chain between"), "{rules}");
}

#[test]
fn two_switches_do_not_meet() {
    let Some(world) = World::new() else { return };
    let (mut one, plan) = (world.stack(), plan());
    world.apply(&mut one, &plan);
    let alone = world.rules();
    let mut plan_of_other = plan.clone();
    plan_of_other.device = "tap9".parse().expect("a name");
    plan_of_other.networks.clear();
    world.host.ip("tuntap add tap9 mode tap");
    let mut other = world.on_host(async || {
        Host::new(paceline_attach::Links::host("paceline other").expect("links"), "paceline other")
    });
    world.try_apply(&mut other, &plan_of_other).expect("applied");
    assert!(
        world.rules().contains("table inet paceline_other")
            && world.rules().contains("table inet paceline_test")
    );
    world.remove(&mut other);
    assert_eq!(world.rules(), alone);
    assert!(addresses(&world).contains("10.77.0.1/24"));
}

#[test]
fn a_thousand_ports_are_cheap() {
    let Some(world) = World::new() else { return };
    let (mut host, mut plan) = (world.stack(), plan());
    for port in 0..500 {
        publish(&mut plan, &world.containers[0], None, 20000 + port, 1000 + port);
    }
    let mut timed = |what: &str, plan: &_| {
        let start = Instant::now();
        world.try_apply(&mut host, plan).expect("applied");
        println!("{what}: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    };
    timed("1000 ports, a new table", &plan);
    timed("nothing new", &plan);
    publish(&mut plan, &world.containers[1], None, 8080, 80);
    timed("two ports more", &plan);
    assert_eq!(world.rules().matches(" : 10.77.0.").count(), 1002);
    plan.ports.drain(..1000);
    timed("1000 ports less", &plan);
    assert_eq!(world.rules().matches(" : 10.77.0.").count(), 2);
    of(&mut plan, 88).masquerade = false;
    timed("another network", &plan);
}

#[test]
fn ipv6_that_is_off_by_default_is_on_where_it_is_needed() {
    let Some(world) = World::new() else { return };
    set(&world.host, "net/ipv6/conf/pace0/disable_ipv6", "1");
    let (mut host, plan) = (world.stack(), plan());
    world.apply(&mut host, &plan);
    assert!(addresses(&world).contains("fd00:77::1/64"));
}
