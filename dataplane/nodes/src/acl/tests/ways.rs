//! What is refused, copied or redirected leaves as all does that leaves by the same port.

use paceline_graph::{L3, NO_DOMAIN};
use paceline_wire::ethernet::Mac;

use super::*;
use crate::testing::{tagged, trunk};

const UDP: &str = "udp 10.0.0.1:5 > 10.0.0.2:6";

fn only(action: Verdict, edit: impl FnOnce(&mut RuleSpec)) -> Option<PolicySpec> {
    let mut rule = rule("all", action, |_| ());
    edit(&mut rule);
    Some(policy(vec![rule], Verdict::Deny, false))
}

/// A host behind a trunk, as VLAN 10, with these policies; its peer is behind another one, as VLAN 20.
fn trunks(input: Option<PolicySpec>, output: Option<PolicySpec>) -> Wall {
    let mut wall = Wall::new(input, output);
    let host = wall.rig.snapshot.interface(HOST).expect("the host");
    let filter = host.filter.clone().expect("a filter");
    let features = Features {
        vlan: true,
        acl_input: filter.policies[0].is_some(),
        acl_output: filter.policies[1].is_some(),
        capabilities: Capabilities::ALL,
        ..Features::default()
    };
    trunk(&mut wall.rig, HOST, NO_DOMAIN, &[(10, 0)]);
    trunk(&mut wall.rig, PEER, NO_DOMAIN, &[(20, 0)]);
    let vlan = wall.rig.snapshot.interface(HOST).and_then(|i| i.vlan.clone());
    wall.rig.interface(HOST, features, |i| (i.vlan, i.filter) = (vlan, Some(filter)));
    wall
}

#[test]
fn who_is_refused_is_told_in_the_vlan_that_the_packet_was_in() {
    for from_host in [true, false] {
        let reject = || only(Verdict::Reject, |_| ());
        let mut wall = if from_host { trunks(reject(), None) } else { trunks(None, reject()) };
        wall.rig.snapshot.bridges[0].macs.insert_static(0x0200_0000_0002, HOST);
        let (sender, vlan) = if from_host { (HOST, 10) } else { (PEER, 20) };
        for text in [UDP, "tcp.syn 10.0.0.1:5 > 10.0.0.2:6", "udp [fd00::1]:5 > [fd00::2]:6"] {
            let sent = tagged(&packet(text), 0x8100, 0xa000 | vlan);
            let (port, answer) = wall.rig.send(sender, &sent).pop().expect("an answer");
            assert_eq!((port, &answer[..6]), (sender, &sent[6..12]), "{text}");
            // Its tag, with the priority, and what is behind.
            assert_eq!(answer[12..18], sent[12..18], "{text}");
        }
    }
}

#[test]
fn what_is_redirected_or_copied_has_the_tag_of_its_vlan_there() {
    let redirect = || only(Verdict::Permit, |rule| rule.redirect = Some("p2".into()));
    let mirror = || only(Verdict::Permit, |rule| rule.mirror = Some("p2".into()));
    let sent = packet(UDP);
    for (native, tags, wanted) in [
        (NO_DOMAIN, &[(30, 0)][..], Some(tagged(&sent, 0x8100, 30))),
        (0, &[], Some(sent.clone())),
        // Of another VLAN: as the native one, or not at all.
        (1, &[(30, 1)], Some(sent.clone())),
        (NO_DOMAIN, &[(30, 1)], None),
    ] {
        let mut wall = Wall::new(redirect(), None);
        trunk(&mut wall.rig, OTHER, native, tags);
        let out: Vec<_> = wanted.iter().map(|frame| (OTHER, frame.clone())).collect();
        assert_eq!(wall.sends(UDP), out, "{native} {tags:?}");
        assert_eq!(wall.drops(Reason::VlanNotAllowed), u64::from(wanted.is_none()));
        wall.set(mirror(), None);
        let out = [vec![(PEER, sent.clone())], out].concat();
        assert_eq!(wall.sends(UDP), out, "{native} {tags:?}");
        assert_eq!(wall.drops(Reason::VlanNotAllowed), 2 * u64::from(wanted.is_none()));
    }
}

#[test]
fn the_domain_of_a_routed_packet_is_no_vlan() {
    let mut wall = Wall::new(only(Verdict::Permit, |rule| rule.redirect = Some("p2".into())), None);
    // Domain 0 would be VLAN 30, but the packet is in routing table 0.
    trunk(&mut wall.rig, OTHER, 5, &[(30, 0)]);
    let filter = wall.rig.snapshot.interface(HOST).and_then(|i| i.filter.clone());
    let features =
        Features { routed: true, acl_input: true, capabilities: Capabilities::ALL, ..Features::default() };
    let l3 = L3 { mac: Mac(0x0200_0000_0002), address4: None, address6: None, mtu: 1500 };
    wall.rig.interface(HOST, features, |i| (i.l3, i.filter) = (Some(l3), filter));
    assert_eq!(wall.sends(UDP), [(OTHER, packet(UDP))]);
}

#[test]
fn copies_of_a_whole_interface_have_the_tags_of_their_port_too() {
    let mut wall = Wall::new(None, None);
    let filter = Filter { mirror: Some(OTHER), ..Filter::default() };
    let features = Features { mirror: true, capabilities: Capabilities::ALL, ..Features::default() };
    wall.rig.interface(HOST, features, |interface| interface.filter = Some(Arc::new(filter)));
    trunk(&mut wall.rig, OTHER, NO_DOMAIN, &[(30, 0)]);
    let (there, back) = (packet(UDP), packet("udp 10.0.0.2:6 > 10.0.0.1:5"));
    assert_eq!(wall.rig.send(HOST, &there), [(PEER, there.clone()), (OTHER, tagged(&there, 0x8100, 30))]);
    assert_eq!(wall.rig.send(PEER, &back), [(HOST, back.clone()), (OTHER, tagged(&back, 0x8100, 30))]);
}
