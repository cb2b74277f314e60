//! What is refused, copied or redirected leaves as all does that leaves by the same port.

use paceline_buf::VnetHdr;
use paceline_graph::{L3, NO_DOMAIN};
use paceline_wire::ethernet::Mac;

use super::*;
use crate::testing::{tagged, trunk};

const UDP: &str = "udp 10.0.0.1:5 > 10.0.0.2:6";

fn only(action: Verdict, edit: impl FnOnce(&mut RuleSpec)) -> PolicySpec {
    let mut rule = rule("all", action, |_| ());
    edit(&mut rule);
    policy(vec![rule], Verdict::Deny, false)
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
        let reject = || Some(only(Verdict::Reject, |_| ()));
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
    let redirect = || Some(only(Verdict::Permit, |rule| rule.redirect = Some("p2".into())));
    let mirror = || Some(only(Verdict::Permit, |rule| rule.mirror = Some("p2".into())));
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
    let mut wall = Wall::new(Some(only(Verdict::Permit, |rule| rule.redirect = Some("p2".into()))), None);
    // Domain 0 would be VLAN 30, but the packet is in routing table 0.
    trunk(&mut wall.rig, OTHER, 5, &[(30, 0)]);
    let filter = wall.rig.snapshot.interface(HOST).and_then(|i| i.filter.clone());
    let features =
        Features { routed: true, acl_input: true, capabilities: Capabilities::ALL, ..Features::default() };
    let l3 = L3 { mac: Mac(0x0200_0000_0002), address4: None, address6: None, mtu: 1500 };
    wall.rig.interface(HOST, features, |i| (i.l3, i.filter) = (Some(l3), filter));
    assert_eq!(wall.sends(UDP), [(OTHER, packet(UDP))]);
}

/// A super-packet of TCP to another host.
fn super_packet() -> (Vec<u8>, VnetHdr) {
    let mut frame = packet("tcp.ack 10.0.0.1:5 > 10.0.0.2:6");
    frame.resize(54 + 60_000, 7);
    frame[16..18].copy_from_slice(&(40 + 60_000_u16).to_be_bytes());
    paceline_wire::ipv4::fill_checksum(&mut frame[14..34]);
    let request = VnetHdr {
        flags: VnetHdr::NEEDS_CSUM,
        gso_type: VnetHdr::GSO_TCPV4,
        hdr_len: 54,
        gso_size: 1460,
        csum_start: 34,
        csum_offset: 16,
    };
    (frame, request)
}

#[test]
fn what_is_redirected_or_copied_fits_the_port_that_it_leaves_by() {
    let (large, request) = super_packet();
    for is_copy in [true, false] {
        let rule = |rule: &mut RuleSpec| {
            let target = if is_copy { &mut rule.mirror } else { &mut rule.redirect };
            *target = Some("p2".into());
        };
        let mut wall = Wall::new(Some(only(Verdict::Permit, rule)), None);
        wall.rig.snapshot.bridges[0].macs.insert_static(0x0200_0000_0002, PEER);
        let plain = Features { capabilities: Capabilities::NONE, ..Features::default() };
        wall.rig.interface(OTHER, plain, |_| ());
        // A port that cannot cut gets whole segments, as an AF_XDP socket wants them.
        let to_other = |out: Vec<crate::testing::Out>| -> Vec<_> {
            out.into_iter().filter(|(port, ..)| *port == OTHER).collect()
        };
        let segments = to_other(wall.rig.send_offload(HOST, &large, Some(request)));
        assert_eq!(segments.len(), 60_000_usize.div_ceil(1460));
        assert!(segments.iter().all(|(_, frame, offload)| frame.len() <= 1514 && offload.is_none()));
        // One with a smaller MTU gets none, and they are counted.
        wall.rig.interface(OTHER, plain, |interface| interface.mtu = 1400);
        assert_eq!(to_other(wall.rig.send_offload(HOST, &large, Some(request))), []);
        assert_eq!(wall.drops(Reason::TooBig), 1);
        let fits = packet(UDP);
        assert_eq!(to_other(wall.rig.send_offload(HOST, &fits, None)).len(), 1);
        // So does a routed one with an MTU of its own.
        let l3 = L3 { mac: Mac(0x0200_0000_0002), address4: None, address6: None, mtu: 57 };
        wall.rig.interface(OTHER, Features { routed: true, ..plain }, |i| i.l3 = Some(l3));
        assert_eq!(to_other(wall.rig.send_offload(HOST, &fits, None)), []);
        assert_eq!(wall.drops(Reason::TooBig), 2);
    }
}

#[test]
fn copies_of_a_whole_interface_have_tags_and_sizes_of_their_port_too() {
    let mut wall = Wall::new(None, None);
    let filter = Filter { mirror: Some(OTHER), ..Filter::default() };
    let features = Features { mirror: true, capabilities: Capabilities::ALL, ..Features::default() };
    wall.rig.interface(HOST, features, |interface| interface.filter = Some(Arc::new(filter)));
    trunk(&mut wall.rig, OTHER, NO_DOMAIN, &[(30, 0)]);
    let (there, back) = (packet(UDP), packet("udp 10.0.0.2:6 > 10.0.0.1:5"));
    assert_eq!(wall.rig.send(HOST, &there), [(PEER, there.clone()), (OTHER, tagged(&there, 0x8100, 30))]);
    assert_eq!(wall.rig.send(PEER, &back), [(HOST, back.clone()), (OTHER, tagged(&back, 0x8100, 30))]);
    wall.rig.interface(OTHER, Features::default(), |interface| interface.mtu = 57);
    assert_eq!(wall.rig.ports(HOST, &there), [PEER]);
    assert_eq!(wall.rig.drops(hop::MIRROR_INPUT, Reason::TooBig), 1);
}
