//! A router on a stick: what comes in by a filtered interface leaves by it, too.

use paceline_graph::{Adjacencies, IpVersion, L3, Link, Vrf};
use paceline_tables::{Rib4, Rib6};
use paceline_wire::ethernet::Mac;

use super::*;

const ROUTER: Mac = Mac(0x02ee_0000_0000);

/// Has the host's interface routed, with the policies that it has.
fn route(wall: &mut Wall) {
    let filter = wall.rig.snapshot.interface(HOST).expect("there").filter.clone();
    let features = Features {
        routed: true,
        acl_input: true,
        acl_output: true,
        capabilities: Capabilities::ALL,
        ..Features::default()
    };
    let l3 = L3 { mac: ROUTER, address4: None, address6: None, mtu: 1500 };
    wall.rig.interface(HOST, features, |i| (i.l3, i.filter) = (Some(l3), filter));
}

/// A router with one interface, behind which all hosts are.
fn stick(input: Option<PolicySpec>, output: Option<PolicySpec>) -> Wall {
    let mut wall = Wall::new(None, None);
    wall.workers = 2;
    wall.set(input, output);
    route(&mut wall);
    let (mut rib4, rib6) = (Rib4::new().expect("room"), Rib6::new().expect("room"));
    let lines = Adjacencies::new(2);
    let link = Link { interface: HOST, mtu: 1500, source: ROUTER, version: IpVersion::V4 };
    lines.get(1).forward(link, Mac(0x0200_0000_00aa));
    rib4.insert("10.0.0.0/8".parse().expect("a prefix"), 1).expect("room");
    let (fib4, fib6) = (Arc::clone(rib4.fib()), Arc::clone(rib6.fib()));
    wall.rig.snapshot.vrfs.push(Vrf { name: "v".into(), fib4, fib6 });
    wall.rig.snapshot.adjacencies = Arc::new(lines);
    wall
}

/// Whether a packet that is sent to the router comes back from it.
fn returns(wall: &mut Wall, text: &str) -> bool {
    let mut frame = packet(text);
    frame[..6].copy_from_slice(&ROUTER.octets());
    let ports = wall.rig.ports(HOST, &frame);
    wall.rig.at_second = !wall.rig.at_second;
    assert!(ports.is_empty() || ports == [HOST]);
    !ports.is_empty()
}

#[test]
fn answers_pass_both_policies_of_the_one_interface() {
    let lists = || {
        let from =
            rule("from", Verdict::Permit, |m| m.source = Some("10.0.0.0/24".parse().expect("a network")));
        let input = policy(vec![from], Verdict::Deny, true);
        (input, policy(vec![to_port(Verdict::Permit, 17, 53)], Verdict::Deny, true))
    };
    let (ask, answer) = ("udp 10.0.0.1:5 > 10.0.1.2:53", "udp 10.0.1.2:53 > 10.0.0.1:5");
    for has_output in [true, false] {
        let (input, output) = lists();
        let mut wall = stick(Some(input), Some(output).filter(|_| has_output));
        assert!(!returns(&mut wall, answer), "before it was asked for");
        for _ in 0..4 {
            assert!(returns(&mut wall, ask) && returns(&mut wall, answer));
        }
        assert_eq!(wall.sessions(), 2, "one for each time that it meets a policy");
        assert!(!returns(&mut wall, "udp 10.0.1.2:54 > 10.0.0.1:5"), "what nobody asked for");
        assert_eq!(
            returns(&mut wall, "udp 10.0.0.1:5 > 10.0.1.2:54"),
            !has_output,
            "the other policy's to say"
        );
        let denied = wall.drops(Reason::AclDeny)
            + wall.rig.second.counters()[hop::ACL_INPUT.as_node().expect("a node") as usize]
                .drops
                .get(Reason::AclDeny);
        assert!(denied >= 2, "{denied}");
    }
}

#[test]
fn a_new_policy_ends_the_session_that_it_forbids_and_no_other() {
    let open = || Some(policy(Vec::new(), Verdict::Permit, true));
    let mut wall = stick(open(), open());
    let (ask, answer) = ("udp 10.0.0.1:5 > 10.0.1.2:53", "udp 10.0.1.2:53 > 10.0.0.1:5");
    assert!(returns(&mut wall, ask) && returns(&mut wall, answer));
    wall.set(open(), Some(policy(vec![to_port(Verdict::Deny, 17, 53)], Verdict::Permit, true)));
    route(&mut wall);
    assert!(!returns(&mut wall, ask));
    assert_eq!(wall.sessions(), 1, "that of what comes in");
}
