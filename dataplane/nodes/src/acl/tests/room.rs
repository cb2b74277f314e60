//! How many flows are remembered, and whose.

use paceline_graph::SessionTimeouts;

use super::*;

/// Two filtered hosts and a server that both may talk to, with room for 64 sessions, of which each host may have 16.
fn hosts() -> Wall {
    let mut wall = Wall::new(None, None);
    wall.session = SessionSpec { limit: 64, per_interface: 16, ..SessionSpec::default() };
    set(&mut wall, |_| ());
    wall.rig.snapshot.bridges[0].members.push(OTHER);
    for (mac, port) in [(1, HOST), (2, PEER), (3, OTHER)] {
        wall.rig.snapshot.bridges[0].macs.insert_static(0x0200_0000_0000 | mac, port);
    }
    wall
}

/// Goes over to other policies, at both hosts.
fn set(wall: &mut Wall, edit: impl FnOnce(&mut RuleSpec)) {
    let mut all = rule("all", Verdict::Permit, |_| ());
    edit(&mut all);
    wall.set(
        Some(policy(vec![all], Verdict::Deny, true)),
        Some(policy(vec![to_port(Verdict::Permit, 6, 80)], Verdict::Deny, true)),
    );
    let filter = wall.rig.snapshot.interface(HOST).and_then(|i| i.filter.clone());
    let features = Features {
        acl_input: true,
        acl_output: true,
        capabilities: Capabilities::ALL,
        ..Features::default()
    };
    wall.rig.interface(PEER, features, |interface| interface.filter = filter);
}

/// Whether a host's question and its answer pass.
fn talks(wall: &mut Wall, host: u16, port: u16) -> bool {
    let address = host + 1;
    let ask = format!("udp 10.0.0.{address}:{port} > 10.0.0.3:53");
    let answer = format!("udp 10.0.0.3:53 > 10.0.0.{address}:{port}");
    wall.rig.ports(host, &packet(&ask)) == [OTHER] && wall.rig.ports(OTHER, &packet(&answer)) == [host]
}

#[test]
fn a_host_with_a_peer_of_its_own_takes_no_more_than_its_share() {
    let mut wall = hosts();
    let all = |wall: &mut Wall, host, ports: std::ops::Range<u16>| {
        ports.filter(|port| talks(wall, host, *port)).count()
    };
    assert_eq!(all(&mut wall, HOST, 1000..1100), 16);
    assert_eq!(wall.drops(Reason::AclInterfaceLimit), 84);
    assert_eq!(wall.flows().v4()[0].counters.interface_limit.get(), 84);
    assert_eq!(all(&mut wall, PEER, 1000..1016), 16, "another one has its own");
    // What is remembered goes on, also where each packet is judged from now on.
    set(&mut wall, |rule| rule.dscp = Some(8));
    assert_eq!((all(&mut wall, HOST, 1000..1020), wall.sessions()), (16, 32));
    // The share is free again with the sessions.
    wall.pass(SessionTimeouts::default().udp + 1);
    assert_eq!((all(&mut wall, HOST, 2000..2100), wall.sessions()), (16, 16));
    // Without a limit there is only that of the table.
    wall.session.per_interface = 0;
    set(&mut wall, |_| ());
    assert_eq!((all(&mut wall, HOST, 3000..3100), wall.sessions()), (48, 64));
    assert_eq!(wall.drops(Reason::AclTableFull), 52);
}

#[test]
fn who_gets_the_number_of_an_interface_gets_its_share_free() {
    let mut wall = hosts();
    let all =
        |wall: &mut Wall, ports: std::ops::Range<u16>| ports.filter(|port| talks(wall, HOST, *port)).count();
    assert_eq!(all(&mut wall, 1000..1020), 16);
    set(&mut wall, |_| ());
    let flows = wall.rig.snapshot.flows.as_mut().and_then(Arc::get_mut);
    flows.expect("nobody else has it").renew(HOST);
    assert_eq!(all(&mut wall, 2000..2020), 16, "what was another one's is not in the way");
    // Those of before end by and by, and take nothing of its count along.
    assert_eq!((all(&mut wall, 1000..1004), wall.sessions()), (0, 28));
    wall.pass(SessionTimeouts::default().udp + 1);
    assert_eq!((all(&mut wall, 3000..3020), wall.sessions()), (16, 16));
}

#[test]
fn a_flood_at_one_host_takes_places_of_its_own_alone() {
    let mut wall = hosts();
    let ask = "udp 10.0.0.2:9 > 10.0.0.3:53";
    // Unanswered, and older than all of the flood.
    assert_eq!(wall.rig.ports(PEER, &packet(ask)), [OTHER]);
    assert!(talks(&mut wall, HOST, 9));
    for port in 1000..2000 {
        let syn = packet(&format!("tcp.syn 10.0.0.3:{port} > 10.0.0.1:80"));
        assert_eq!(wall.rig.ports(OTHER, &syn), [HOST], "a new one takes the place of the oldest");
    }
    assert_eq!((wall.sessions(), wall.flows().v4()[0].counters.reclaimed.get()), (17, 985));
    assert_eq!(wall.rig.ports(OTHER, &packet("udp 10.0.0.3:53 > 10.0.0.2:9")), [PEER], "its answer");
    assert!(talks(&mut wall, HOST, 9), "what both sides have used is kept");
}
