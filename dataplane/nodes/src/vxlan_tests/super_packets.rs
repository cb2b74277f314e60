//! Super-packets: they leave in a tunnel as one, and come out of it as one.

use paceline_buf::VnetHdr;
use paceline_graph::Reason;
use proptest::prelude::*;

use super::*;
use crate::hop;
use crate::testing::Out;

/// A switch whose ports join packets, as all do beside tunnels.
fn joining(v6: bool, own: u8, other: u8) -> Rig {
    let mut rig = switch(v6, own, other);
    let features = Features { capabilities: Capabilities::ALL, ..Features::default() };
    rig.interface(PORT, Features { tcp_coalesce: true, ..features }, |_| ());
    rig.interface(UNDERLAY, Features { routed: true, udp_coalesce: true, ..features }, |i| {
        i.l3 = Some(L3 { mac: mac(own), address4: None, address6: None, mtu: 1600 });
        i.mtu = 1600;
    });
    rig
}

/// TCP from a station to all, and the request to cut it.
fn tcp(v6: bool, payload: usize, gso_size: u16) -> (Vec<u8>, VnetHdr) {
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [255; 6]);
    let builder = if v6 { builder.ipv6([1; 16], [2; 16], 64) } else { builder.ipv4([1; 4], [2; 4], 64) };
    let bytes: Vec<u8> = (0..payload).map(|at| (at / 5) as u8).collect();
    let mut frame = Vec::new();
    builder.tcp(1, 2, 1000, 512).ack(5).psh().write(&mut frame, &bytes).expect("it fits");
    let l4 = if v6 { 54 } else { 34 };
    let len = (20 + payload) as u16;
    let sum = if v6 {
        paceline_wire::checksum::pseudo_v6(&[1; 16], &[2; 16], 6, len.into())
    } else {
        paceline_wire::checksum::pseudo_v4([1; 4], [2; 4], 6, len)
    };
    frame[l4 + 16..l4 + 18].copy_from_slice(&sum.partial().to_be_bytes());
    let request = VnetHdr {
        flags: VnetHdr::NEEDS_CSUM,
        gso_type: if v6 { VnetHdr::GSO_TCPV6 } else { VnetHdr::GSO_TCPV4 },
        hdr_len: l4 as u16 + 20,
        gso_size,
        csum_start: l4 as u16,
        csum_offset: 16,
    };
    (frame, request)
}

/// What leaves by the underlay for a super-packet that comes in by the port.
fn sent(rig: &mut Rig, frame: &[u8], request: VnetHdr) -> Vec<Out> {
    let mut out = rig.send_offload(PORT, frame, Some(request));
    out.retain(|out| out.0 == UNDERLAY);
    out
}

#[test]
fn a_super_packet_is_one_in_the_tunnel_and_behind_it() {
    for (v6, inner_v6) in [(false, false), (false, true), (true, false), (true, true)] {
        for payload in [1401, 2800, 60_000] {
            let (frame, request) = tcp(inner_v6, payload, 1400);
            let out = sent(&mut joining(v6, 1, 2), &frame, request);
            assert_eq!(out.len(), 1, "{payload} bytes");
            let (l4, headers) = if v6 { (54, 62) } else { (34, 42) };
            let joined = VnetHdr {
                flags: VnetHdr::NEEDS_CSUM,
                gso_type: VnetHdr::GSO_UDP_L4,
                hdr_len: headers,
                gso_size: 8 + 1400 + request.hdr_len,
                csum_start: l4,
                csum_offset: 6,
            };
            assert_eq!(out[0].2, Some(joined));
            let back = joining(v6, 2, 1).send_offload(UNDERLAY, &out[0].1, out[0].2);
            assert_eq!(back, [(PORT, frame, Some(request))]);
        }
    }
}

#[test]
fn nothing_is_joined_for_a_port_that_cannot_cut() {
    let can = Capabilities { uso: false, ..Capabilities::ALL };
    let mut rig = joining(false, 1, 2);
    let features = Features { routed: true, udp_coalesce: true, capabilities: can, ..Features::default() };
    let l3 = rig.snapshot.interface(UNDERLAY).expect("there").l3;
    rig.interface(UNDERLAY, features, |i| (i.l3, i.mtu) = (l3, 1600));
    let (frame, request) = tcp(false, 60_000, 1400);
    let out = sent(&mut rig, &frame, request);
    assert_eq!(out.len(), 43);
    // Nor at the other end.
    let mut far = joining(false, 2, 1);
    let can = Capabilities { tso4: false, ..Capabilities::ALL };
    far.interface(PORT, Features { tcp_coalesce: true, capabilities: can, ..Features::default() }, |_| ());
    let all: Vec<_> = out.iter().map(|out| (&out.1[..], out.2)).collect();
    let out = far.send_all(UNDERLAY, &all);
    assert!(out.len() == 43 && out.iter().all(|out| out.2.is_none()), "{}", out.len());
}

#[test]
fn a_super_packet_of_a_tunnel_is_cut_as_the_kernel_cuts_it() {
    for v6 in [false, true] {
        let (frame, request) = tcp(false, 60_000, 1400);
        let one = sent(&mut joining(v6, 1, 2), &frame, request);
        // Nothing is joined here: the same headers, packet for packet.
        let many = sent(&mut switch(v6, 1, 2), &frame, request);
        assert_eq!((one.len(), many.len()), (1, 43));
        let want: Vec<_> = many.iter().flat_map(|out| switch(v6, 2, 1).send(UNDERLAY, &out.1)).collect();
        let got: Vec<_> = switch(v6, 2, 1).send_offload(UNDERLAY, &one[0].1, one[0].2);
        assert!(got.iter().all(|out| out.2.is_none()));
        assert_eq!(got.into_iter().map(|out| (out.0, out.1)).collect::<Vec<_>>(), want);
        let mut far = switch(v6, 2, 1);
        far.send_offload(UNDERLAY, &one[0].1, one[0].2);
        assert_eq!(far.snapshot.interface(TUNNEL).expect("there").counters[0].rx_packets.get(), 43);
    }
}

#[test]
fn a_super_packet_with_options_is_cut_too() {
    let (frame, request) = tcp(false, 3000, 1000);
    let one = sent(&mut joining(false, 1, 2), &frame, request).remove(0);
    let mut bytes = [&one.1[..34], &[1; 4], &one.1[34..]].concat();
    bytes[14] = 0x46;
    let len = (bytes.len() - 14) as u16;
    bytes[16..18].copy_from_slice(&len.to_be_bytes());
    paceline_wire::ipv4::fill_checksum(&mut bytes[14..38]);
    let moved = one.2.map(|asked| VnetHdr { csum_start: 38, hdr_len: 46, ..asked });
    assert_eq!(joining(false, 2, 1).send_offload(UNDERLAY, &bytes, moved), [(PORT, frame, Some(request))]);
}

#[test]
fn requests_that_cannot_be_are_dropped() {
    let (frame, request) = tcp(false, 3000, 1000);
    let one = sent(&mut joining(false, 1, 2), &frame, request).remove(0);
    let good = one.2.expect("a request");
    let mut far = switch(false, 2, 1);
    for (count, bad) in [
        VnetHdr { gso_size: 0, ..good },
        VnetHdr { csum_offset: 7, ..good },
        VnetHdr { csum_start: 33, ..good },
        VnetHdr { gso_type: VnetHdr::GSO_UDP, ..good },
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(far.send_offload(UNDERLAY, &one.1, Some(bad)), [], "{bad:?}");
        assert_eq!(far.drops(hop::VXLAN_DECAP, Reason::BadOffload), count as u64 + 1, "{bad:?}");
    }
    // Pieces that are too short for what should be in them.
    assert_eq!(far.send_offload(UNDERLAY, &one.1, Some(VnetHdr { gso_size: 20, ..good })), []);
    assert!(far.drops(hop::VXLAN_DECAP, Reason::Runt) > 0);
}

#[test]
fn datagrams_of_others_and_flows_stay_apart() {
    let mut rig = joining(false, 1, 2);
    let of = |ports| ip(false, 0, 64, ports, 100);
    let mut frames = [of((1, 2)), of((1, 2)), of((1, 3)), of((1, 3))];
    for frame in &mut frames {
        frame[..6].fill(255);
    }
    let all: Vec<_> = frames.iter().map(|frame| (&frame[..], None)).collect();
    let out = rig.send_all(PORT, &all);
    let sizes: Vec<_> = out.iter().map(|out| out.2.map(|request| request.gso_size)).collect();
    assert_eq!(sizes, [Some(150), Some(150)], "two flows, two packets each");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hostile_super_packets_break_nothing(
        v6 in any::<bool>(),
        cut in 0..300_usize,
        edits in prop::collection::vec((0..120_usize, any::<u8>()), 0..4),
        size in prop_oneof![0..70_u16, any::<u16>()],
    ) {
        let (frame, request) = tcp(false, 3000, 1000);
        let one = sent(&mut joining(v6, 1, 2), &frame, request).remove(0);
        let (mut bytes, mut asked) = (one.1, one.2.expect("a request"));
        for (at, byte) in edits {
            bytes[at] = byte;
        }
        if !v6 && bytes[14] == 0x45 {
            paceline_wire::ipv4::fill_checksum(&mut bytes[14..34]);
        }
        bytes.truncate(bytes.len() - cut);
        asked.gso_size = size;
        let mut far = joining(v6, 2, 1);
        for (port, out, _) in far.send_offload(UNDERLAY, &bytes, Some(asked)) {
            prop_assert!(port <= SECOND && out.len() >= HEADER_LEN);
        }
    }
}
