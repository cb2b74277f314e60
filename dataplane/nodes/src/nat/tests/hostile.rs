//! Any bytes: nothing panics, no buffer is lost, and what comes out has been translated whole.

use proptest::prelude::*;

use super::*;

const SEEDS: [(u16, &str); 10] = [
    (IN, "udp A:1500 > R:53"),
    (IN, "tcp.syn.mss A:1500 > R:53"),
    (IN, "tcp.ack A:1500 > R:53"),
    (IN, "echo A:1500 > R"),
    (IN, "gre A > R"),
    (IN, "udp A:1500 > N:443"),
    (OUT, "udp R:53 > N:1500"),
    (OUT, "tcp.syn.ack R:53 > N:1500"),
    (OUT, "reply R:1500 > N"),
    (OUT, "udp R:9 > N:443"),
];

proptest! {
    #[test]
    fn random_and_nearly_right_packets_harm_nobody(
        is_v6: bool,
        packets in proptest::collection::vec((
            0..SEEDS.len() + 2,
            proptest::collection::vec((14..120_usize, any::<u8>()), 0..4),
            0..160_usize,
        ), 1..20),
    ) {
        let mut config = NatConfig { ports: 1000..=1999, workers: 2, ..config() };
        config.mappings = vec![mapping(17, 443, "B", 443, is_v6)];
        let mut router = Router::new(&config, is_v6);
        for (seed, edits, len) in packets {
            let (rx, mut frame) = if let Some((rx, text)) = SEEDS.get(seed) {
                (*rx, router.frame(*rx, text))
            } else if seed % 2 == 0 {
                let quoted = router.frame(OUT, "udp N:1500 > R:53");
                (OUT, error(&router, OUT, "S", &quoted))
            } else {
                let quoted = router.frame(OUT, "udp R:53 > A:1500");
                (IN, error(&router, IN, "A", &quoted))
            };
            for (at, value) in edits {
                if let Some(byte) = frame.get_mut(at) {
                    *byte = value;
                }
            }
            if !is_v6 && frame.len() > 34 {
                // Else nearly all would end at the checksum.
                paceline_wire::ipv4::fill_checksum(&mut frame[14..34]);
            }
            frame.truncate(len.max(14));
            for (port, out, _) in router.rig.send_all(rx, &[(&frame, None)]) {
                let own = Mac(OWN + u64::from(port)).octets();
                prop_assert_eq!(&out[6..12], &own[..]);
                if !is_v6 && out[14] == 0x45 {
                    prop_assert_eq!(sum(&[&out[14..34]]), 0xffff);
                }
            }
        }
        let totals = router.nat().totals()[usize::from(is_v6)];
        prop_assert_eq!(totals.sessions, router.sessions().len() as u64);
    }
}

/// Frames that a fuzzer may choose: `cargo bolero test nat::tests::hostile::any_frames`.
#[test]
fn any_frames() {
    bolero::check!().with_type::<(bool, u8, [(u8, u8); 4], Vec<u8>)>().with_iterations(100).for_each(
        |(is_v6, seed, edits, bytes)| {
            let mut router = Router::new(&NatConfig { ports: 1000..=1999, ..config() }, *is_v6);
            let (rx, text) = SEEDS[usize::from(*seed) % SEEDS.len()];
            let mut frame = router.frame(rx, text);
            for (at, value) in edits {
                let at = usize::from(*at) % frame.len();
                frame[at] = *value;
            }
            for (rx, frame) in [(rx, &frame[..]), (IN, &bytes[..bytes.len().min(1600)])] {
                for (port, out, _) in router.rig.send_all(rx, &[(frame, None)]) {
                    assert_eq!(out[6..12], Mac(OWN + u64::from(port)).octets());
                }
            }
        },
    );
}
