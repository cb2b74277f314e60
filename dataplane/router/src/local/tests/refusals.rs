//! What is refused, and what is not answered at all.

use super::*;

#[test]
fn a_closed_port_is_told_from_the_address_that_was_asked() {
    for pair in PAIRS {
        let mut local = local();
        let out = input(&mut local, &datagram(pair));
        let view = View::read(&out[0]).expect("sound");
        assert_eq!((view.source, view.destination), (ip(pair.1), ip(pair.0)));
        let expected = if view.source.is_ipv4() { [3, 3] } else { [1, 4] };
        assert_eq!(view.payload()[..2], expected);
        assert!(view.is_true());
        assert!(input(&mut local, &out[0]).is_empty(), "and not to the error");
    }
}

#[test]
fn a_protocol_without_anybody_is_told() {
    for pair in PAIRS {
        let out = input(&mut local(), &packet(pair, 132, vec![0; 40], None));
        let view = View::read(&out[0]).expect("sound");
        let expected = if view.source.is_ipv4() { [3, 2] } else { [4, 1] };
        assert_eq!(view.payload()[..2], expected);
    }
    assert!(input(&mut local(), &packet(PAIRS[1], 59, vec![0; 4], None)).is_empty(), "no next header");
    assert!(
        input(&mut local(), &packet(PAIRS[1], 1, vec![8; 40], None)).len() == 1,
        "ICMP of the other version"
    );
}

#[test]
fn a_segment_is_answered_by_the_reset_that_ends_it() {
    let (syn, ack, fin, rst) = (2, 0x10, 1, 4);
    // Flags and payload; sequence number, acknowledgment and flags of the answer.
    let cases = [
        (syn, 0, Some((0, 6, 0x14))),
        (syn, 10, Some((0, 16, 0x14))),
        (fin, 3, Some((0, 9, 0x14))),
        (ack, 10, Some((77, 0, 4))),
        (syn | ack, 0, Some((77, 0, 4))),
        (rst, 0, None),
        (rst | ack, 0, None),
    ];
    for pair in PAIRS {
        for (flags, payload, expected) in cases {
            let mut local = local();
            let out = input(&mut local, &segment(pair, flags, payload));
            let answer = out.first().map(|packet| {
                let view = View::read(packet).expect("sound");
                assert!(view.is_true() && view.source == ip(pair.1));
                let header = tcp::TcpHeader::read(view.payload()).expect("TCP");
                assert_eq!((header.source.get(), header.destination.get()), (80, 99));
                (header.sequence.get(), header.acknowledgment.get(), header.flags)
            });
            assert_eq!(answer, expected, "{flags:#x} {payload}");
            assert!(out.iter().all(|reset| input(&mut local, reset).is_empty()), "a reset is not answered");
        }
    }
}

#[test]
fn damage_is_not_answered() {
    for pair in PAIRS {
        for mut packet in [request(pair, 56).remove(0), datagram(pair), segment(pair, 2, 0)] {
            let mut local = local();
            *packet.last_mut().expect("bytes") ^= 1;
            assert!(input(&mut local, &packet).is_empty());
            assert_eq!(local.counters().malformed, 1);
        }
    }
}

#[test]
fn groups_and_broadcast_are_not_answered() {
    for pair in [("10.0.0.2", "255.255.255.255"), ("10.0.0.2", "224.0.0.1"), ("fd00::2", "ff02::1")] {
        for packet in [request(pair, 56).remove(0), datagram(pair), segment(pair, 2, 0)] {
            let mut local = local();
            assert!(input(&mut local, &packet).is_empty());
            assert_eq!(local.counters().groups, 1);
        }
    }
    for pair in [
        ("224.0.0.1", "10.0.0.1"),
        ("255.255.255.255", "10.0.0.1"),
        ("ff02::1", "fd00::1"),
        ("::", "fd00::1"),
    ] {
        assert!(input(&mut local(), &datagram(pair)).is_empty());
    }
}

#[test]
fn refusals_are_limited_and_echoes_are_not() {
    let mut local = local();
    for _ in 0..200 {
        input(&mut local, &datagram(PAIRS[0]));
        input(&mut local, &segment(PAIRS[1], 2, 0));
        input(&mut local, &request(PAIRS[0], 56)[0]);
    }
    assert_eq!(
        (local.counters().refused, local.counters().limited, local.counters().echoed),
        (BURST, 400 - BURST, 200)
    );
}
