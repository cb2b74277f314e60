//! Any bytes: nothing panics, no buffer is lost, and nothing comes out that was not sent.

use proptest::prelude::*;

use super::*;

const SEEDS: [&str; 8] = [
    "udp 10.0.0.1:5 > 10.0.0.2:53",
    "tcp.syn 10.0.0.1:5 > 10.0.0.2:80",
    "tcp.ack 10.0.0.2:80 > 10.0.0.1:5",
    "echo 10.0.0.1:7 > 10.0.0.2:7",
    "udp [fd00::1]:5 > [fd00::2]:53",
    "tcp.syn.ack [fd00::2]:53 > [fd00::1]:5",
    "echo [fd00::1]:7 > [fd00::2]:7",
    "reply [fd00::2]:7 > [fd00::1]:7",
];

proptest! {
    #[test]
    fn random_and_nearly_right_packets_harm_nobody(
        stateful: bool,
        default in prop_oneof![Just(Verdict::Permit), Just(Verdict::Deny), Just(Verdict::Reject)],
        packets in proptest::collection::vec((
            0..SEEDS.len(),
            any::<bool>(),
            any::<bool>(),
            proptest::collection::vec((0..100_usize, any::<u8>()), 0..5),
            0..160_usize,
        ), 1..30),
    ) {
        let rules = || vec![
            to_port(Verdict::Permit, 17, 53),
            rule("flags", Verdict::Reject, |m| m.tcp_flags = Some((0x3f, 0))),
            rule("mac", Verdict::Deny, |m| m.vlan = Some(3)),
            rule("six", Verdict::Permit, |m| m.source = Some("fd00::/16".parse().expect("a network"))),
        ];
        let spec = || Some(policy(rules(), default, stateful));
        let mut wall = Wall::new(None, None);
        wall.workers = 2;
        wall.set(spec(), spec());
        for (seed, from_host, at_second, edits, len) in packets {
            let mut frame = packet(SEEDS[seed]);
            for (at, value) in edits {
                if let Some(byte) = frame.get_mut(at) {
                    *byte = value;
                }
            }
            frame.truncate(len);
            wall.rig.at_second = at_second;
            let sender = if from_host { HOST } else { PEER };
            for (port, out) in wall.rig.send(sender, &frame) {
                prop_assert!(out == frame || port == sender, "{:?} became {:?}", frame, out);
            }
        }
    }
}

/// Frames that a fuzzer may choose: `cargo bolero test acl::tests::hostile::any_frames`.
#[test]
fn any_frames() {
    bolero::check!().with_type::<(bool, u8, [(u8, u8); 4], Vec<u8>)>().with_iterations(100).for_each(
        |(stateful, seed, edits, bytes)| {
            let rules = || vec![to_port(Verdict::Permit, 17, 53), to_port(Verdict::Reject, 6, 80)];
            let spec = || Some(policy(rules(), Verdict::Deny, *stateful));
            let mut wall = Wall::new(spec(), spec());
            let mut frame = packet(SEEDS[usize::from(*seed) % SEEDS.len()]);
            for (at, value) in edits {
                let at = usize::from(*at) % frame.len();
                frame[at] = *value;
            }
            for (sender, frame) in
                [(HOST, &frame[..]), (PEER, &frame), (HOST, &bytes[..bytes.len().min(1600)])]
            {
                for (port, out) in wall.rig.send(sender, frame) {
                    assert!(out == frame || port == sender, "{frame:?} became {out:?}");
                }
            }
        },
    );
}
