//! Errors, fragments, offloads, other protocols.

use paceline_wire::checksum;

use super::*;

#[test]
fn errors_follow_their_flow_in_both_directions() {
    both(
        |config, is_v6| config.mappings = vec![mapping(17, 1234, "B", 53, is_v6)],
        |router| {
            let frame = router.frame(IN, "udp A:500 > R:53");
            let sent = router.rig.send(IN, &frame).remove(0).1;
            let port = u16::from_be_bytes([sent[frame.len() - 58], sent[frame.len() - 57]]);
            // From the remote host, and from a router on the way.
            for from in ["R", "S"] {
                let message = error(router, OUT, from, &sent);
                let out = router.send_frame(OUT, &message);
                assert_eq!(out, format!("0 error {from} > A about A:500 > R:53"));
            }
            // From the inside host about an answer, and from a router inside about one for it.
            let answer = router.frame(OUT, &format!("udp R:53 > N:{port}"));
            let answer = router.rig.send(OUT, &answer).remove(0).1;
            for from in ["A", "B"] {
                let message = error(router, IN, from, &answer);
                let out = router.send_frame(IN, &message);
                assert_eq!(out, format!("1 error N > R about R:53 > N:{port}"));
            }
            // About a flow that came by a mapping, and one between inside hosts.
            let came = router.frame(OUT, "udp S:7 > N:1234");
            let came = router.rig.send(OUT, &came).remove(0).1;
            let message = error(router, IN, "B", &came);
            assert_eq!(router.send_frame(IN, &message), "1 error N > S about S:7 > N:1234");
            let met = router.frame(IN, "udp A:1500 > N:1234");
            let met = router.rig.send(IN, &met).remove(0).1;
            let message = error(router, IN, "B", &met);
            assert_eq!(router.send_frame(IN, &message), "0 error N > A about A:1500 > N:1234");
            // About nothing that is known.
            let other = router.frame(OUT, "udp N:9 > S:9");
            let message = error(router, OUT, "S", &other);
            assert_eq!(router.send_frame(OUT, &message), "nobody-home");
            let other = router.frame(OUT, "udp S:9 > A:9");
            let message = error(router, IN, "A", &other);
            assert_eq!(router.send_frame(IN, &message), "nat-no-session");
        },
    );
}

#[test]
fn what_the_switch_says_about_a_translated_packet_tells_nothing_of_inside() {
    both(
        |_, _| (),
        |router| {
            router.send(IN, "udp A:1500 > R:53");
            let mut frame = router.frame(OUT, "udp R:53 > N:1500");
            if router.is_v6 {
                frame[21] = 1;
            } else {
                frame[22] = 1;
                paceline_wire::ipv4::fill_checksum(&mut frame[14..34]);
            }
            let out = router.send_frame(OUT, &frame);
            assert_eq!(out, "1 error N > R about R:53 > N:1500, ttl-expired");
            // What it says of itself about what was never translated passes.
            let mut frame = router.frame(OUT, "udp R:53 > S:1500");
            if router.is_v6 {
                frame[21] = 1;
            } else {
                frame[22] = 1;
                paceline_wire::ipv4::fill_checksum(&mut frame[14..34]);
            }
            assert_eq!(router.send_frame(OUT, &frame), "1 error O > R about R:53 > S:1500, ttl-expired");
        },
    );
}

/// Parts of a UDP datagram of 2000 bytes of payload.
fn parts(router: &Router, rx: u16, text: &str, id: u8) -> [Vec<u8>; 2] {
    let whole = router.frame_with(rx, text, &[5; 2000]);
    let (front, transport) = whole.split_at(if router.is_v6 { 54 } else { 34 });
    [(0, &transport[..1200]), (1200, &transport[1200..])].map(|(offset, payload)| {
        let mut part = front.to_vec();
        let more = offset == 0;
        if router.is_v6 {
            part[20] = 44;
            part[18..20].copy_from_slice(&(payload.len() as u16 + 8).to_be_bytes());
            let bits = (offset | u16::from(more)).to_be_bytes();
            part.extend_from_slice(&[17, 0, bits[0], bits[1], 0, 0, 0, id]);
        } else {
            part[16..18].copy_from_slice(&(payload.len() as u16 + 20).to_be_bytes());
            part[18..20].copy_from_slice(&[0, id]);
            part[20..22].copy_from_slice(&((offset / 8) | if more { 0x2000 } else { 0 }).to_be_bytes());
            paceline_wire::ipv4::fill_checksum(&mut part[14..34]);
        }
        part.extend_from_slice(payload);
        part
    })
}

#[test]
fn later_parts_follow_the_first() {
    both(
        |config, _| config.workers = 2,
        |router| {
            let [first, later] = parts(router, IN, "udp A:1500 > R:53", 1);
            assert_eq!(router.send_frame(IN, &later), "nat-fragment", "it came before the first");
            let out = router.rig.send(IN, &first).remove(0).1;
            assert_eq!(describe(OUT, &out), "1 part N > R");
            let rest = router.rig.send(IN, &later).remove(0).1;
            assert_eq!(describe(OUT, &rest), "1 part N > R");
            // Both together are a datagram whose checksum is right.
            let skip = if router.is_v6 { 62 } else { 34 };
            let transport = [&out[skip..], &rest[skip..]].concat();
            let addresses = if router.is_v6 { &out[22..54] } else { &out[26..34] };
            let len = (transport.len() as u16 + 17).to_be_bytes();
            assert_eq!(sum(&[addresses, &len, &transport]), 0xffff);
            let port = u16::from_be_bytes([transport[0], transport[1]]);
            let [first, later] = parts(router, OUT, &format!("udp R:53 > N:{port}"), 2);
            assert_eq!(router.send_frame(OUT, &later), "nat-fragment");
            assert_eq!(router.send_frame(OUT, &first), "0 part R > A");
            assert_eq!(router.send_frame(OUT, &later), "0 part R > A");
            router.wait(3);
            assert_eq!(router.send_frame(OUT, &later), "nat-fragment", "too late");
            // Of what is not translated, parts come in any order.
            let [first, later] = parts(router, IN, "udp S:1 > R:53", 3);
            assert_eq!(router.send_frame(IN, &later), "1 part S > R");
            assert_eq!(router.send_frame(IN, &first), "1 part S > R");
            // The switch's own stack puts parts together.
            let [first, later] = parts(router, OUT, "udp S:1 > N:7", 3);
            assert_eq!(router.send_frame(OUT, &first), "nobody-home");
            assert_eq!(router.send_frame(OUT, &later), "nobody-home");
        },
    );
}

#[test]
fn super_packets_keep_their_offload_requests() {
    both(
        |_, _| (),
        |router| {
            for round in 0..3 {
                let text = if round == 0 { "tcp.syn A:1500 > R:53" } else { "tcp.ack A:1500 > R:53" };
                let mut frame = router.frame_with(IN, text, &vec![5; 30_000]);
                let start = if router.is_v6 { 54 } else { 34 };
                let pseudo = |frame: &[u8]| {
                    let len = (frame.len() - start) as u16;
                    let (_, source, destination, _) = split(&frame[14..]);
                    let sum = match (source, destination) {
                        (IpAddr::V4(a), IpAddr::V4(b)) => checksum::pseudo_v4(a.octets(), b.octets(), 6, len),
                        (IpAddr::V6(a), IpAddr::V6(b)) => {
                            checksum::pseudo_v6(&a.octets(), &b.octets(), 6, len.into())
                        }
                        _ => panic!("versions"),
                    };
                    sum.partial().to_be_bytes()
                };
                let partial = pseudo(&frame);
                frame[start + 16..start + 18].copy_from_slice(&partial);
                let offload = VnetHdr {
                    flags: VnetHdr::NEEDS_CSUM,
                    gso_type: if router.is_v6 { VnetHdr::GSO_TCPV6 } else { VnetHdr::GSO_TCPV4 },
                    hdr_len: start as u16 + 20,
                    gso_size: 1400,
                    csum_start: start as u16,
                    csum_offset: 16,
                };
                let out = router.rig.send_offload(IN, &frame, Some(offload)).remove(0);
                assert_eq!((out.0, out.2), (OUT, Some(offload)));
                assert_eq!(out.1[start + 16..start + 18], pseudo(&out.1));
                assert_eq!(out.1.len(), frame.len());
                if round == 0 {
                    router.send(OUT, "tcp.syn.ack R:53 > N:1500");
                }
            }
        },
    );
}

#[test]
fn protocols_without_ports_have_one_host_for_each_remote_end() {
    both(
        |config, is_v6| config.mappings = vec![mapping(132, 7, "B", 7, is_v6), mapping(50, 0, "B", 0, is_v6)],
        |router| {
            assert_eq!(router.send(IN, "gre A > R"), "1 gre N > R");
            assert_eq!(router.send(OUT, "gre R > N"), "0 gre R > A");
            assert_eq!(router.send(IN, "gre B > R"), "nat-protocol");
            assert_eq!(router.send(IN, "gre B > S"), "1 gre N > S");
            assert_eq!(router.send(IN, "sctp A:500 > R:6"), "1 sctp N:500 > R:6");
            assert_eq!(router.send(OUT, "sctp R:6 > N:500"), "0 sctp R:6 > A:500");
            assert_eq!(router.send(IN, "sctp B:500 > R:6"), "nat-protocol");
            assert_eq!(router.send(IN, "sctp B:501 > R:6"), "1 sctp N:501 > R:6");
            assert_eq!(router.send(OUT, "sctp R:8 > N:7"), "0 sctp R:8 > B:7");
            assert_eq!(router.send(IN, "sctp B:7 > R:8"), "1 sctp N:7 > R:8");
            assert_eq!(router.send(IN, "sctp A:9 > N:7"), "nat-protocol", "not between inside hosts");
            router.wait(301);
            assert_eq!(router.send(IN, "gre B > R"), "1 gre N > R");
        },
    );
}

#[test]
fn packets_that_cannot_begin_anything_are_refused() {
    both(
        |_, _| (),
        |router| {
            assert_eq!(router.send(IN, "tcp.rst A:1500 > R:53"), "nat-no-session");
            assert_eq!(router.send(IN, "reply A:1500 > R"), "nat-no-session");
            assert_eq!(router.send(OUT, "reply R:1500 > N"), "nobody-home");
            assert_eq!(router.sessions(), []);
        },
    );
}

#[test]
fn handshakes_offer_no_more_than_fits_outside() {
    both(
        |_, _| (),
        |router| {
            let frame = router.frame(IN, "tcp.syn.mss A:1500 > R:53");
            let out = router.rig.send(IN, &frame).remove(0).1;
            let at = if router.is_v6 { 54 } else { 34 } + 20;
            let most = if router.is_v6 { 1440_u16 } else { 1460 };
            assert_eq!(out[at..at + 4], [&[2, 4][..], &most.to_be_bytes()].concat());
            assert_eq!(describe(OUT, &out), "1 tcp.syn N:1500 > R:53");
        },
    );
}
