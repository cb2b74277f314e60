//! Frames with the tag of a VLAN, behind which a policy does not look.

use paceline_graph::NO_DOMAIN;
use paceline_wire::ethernet::Mac;

use super::*;
use crate::testing::{frame, tagged, trunk};

const OUTER: [u16; 3] = [0x8100, 0x88a8, 0x9100];

fn hidden() -> Vec<Vec<u8>> {
    let mut arp = frame(1, 2, 64);
    arp[12..14].copy_from_slice(&[8, 6]);
    let inner = [packet("udp 10.0.0.1:5 > 10.0.0.2:6"), packet("echo [fd00::1]:5 > [fd00::2]:5"), arp];
    OUTER.iter().flat_map(|tpid| inner.iter().map(|frame| tagged(frame, *tpid, 0x6007))).collect()
}

#[test]
fn a_vlan_hides_nothing_from_a_policy_that_denies_what_it_does_not_know() {
    for stateful in [false, true] {
        // IP is permitted as it is, and not in a VLAN.
        let ip = || rule("ip", Verdict::Permit, |m| m.protocol = Some(17));
        let spec = || Some(policy(vec![ip()], Verdict::Deny, stateful));
        for (mut wall, from) in [(Wall::new(spec(), None), HOST), (Wall::new(None, spec()), PEER)] {
            for (sent, bytes) in (1..).zip(hidden()) {
                assert_eq!(wall.rig.send(from, &bytes), [], "{bytes:?}");
                assert_eq!(wall.rig.send(from, &tagged(&bytes, 0x8100, 0)), [], "behind a priority, too");
                assert_eq!(wall.drops(Reason::AclDeny), 2 * sent);
            }
            let direction = usize::from(from == PEER);
            let end = wall.policy(direction).rules().len() - 1;
            assert_eq!(wall.policy(direction).counts(end).0, 18, "the policy's default has denied them");
        }
    }
}

#[test]
fn rules_for_addresses_and_vlans_decide_first() {
    for (stateful, default) in [(false, Verdict::Deny), (true, Verdict::Reject)] {
        let mac =
            rule("mac", Verdict::Permit, |m| m.source_mac = Some((Mac(0x0200_0000_0001), Mac(u64::MAX))));
        let mut wall = Wall::new(Some(policy(vec![mac], default, stateful)), None);
        for bytes in hidden() {
            assert_eq!(wall.rig.send(HOST, &bytes), [(PEER, bytes.clone())]);
        }
        assert_eq!(wall.rig.send(HOST, &tagged(&frame(3, 2, 64), 0x8100, 7)), []);
    }
    let mut wall = Wall::new(Some(policy(Vec::new(), Verdict::Permit, false)), None);
    for bytes in hidden() {
        assert_eq!(wall.rig.send(HOST, &bytes), [(PEER, bytes.clone())]);
    }
}

#[test]
fn a_second_tag_on_a_trunk_is_one_of_a_vlan() {
    let mut wall = Wall::new(Some(policy(vec![to_port(Verdict::Permit, 17, 6)], Verdict::Deny, false)), None);
    let filter = wall.rig.snapshot.interface(HOST).and_then(|i| i.filter.clone());
    trunk(&mut wall.rig, HOST, NO_DOMAIN, &[(10, 0)]);
    let vlan = wall.rig.snapshot.interface(HOST).and_then(|i| i.vlan.clone());
    let features =
        Features { vlan: true, acl_input: true, capabilities: Capabilities::ALL, ..Features::default() };
    wall.rig.interface(HOST, features, |i| (i.vlan, i.filter) = (vlan, filter));
    let plain = packet("udp 10.0.0.1:5 > 10.0.0.2:6");
    assert_eq!(wall.rig.send(HOST, &tagged(&plain, 0x8100, 10)), [(PEER, plain.clone())]);
    assert_eq!(wall.rig.send(HOST, &tagged(&tagged(&plain, 0x8100, 7), 0x8100, 10)), []);
}
