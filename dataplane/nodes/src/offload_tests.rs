//! Segments that leave the graph are read by `etherparse`; what a segment must look like is tested in `paceline-wire`.

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};

use super::*;
use crate::testing::{Out, Rig, frame, tagged, trunk};
use crate::{Features, hop};

/// Two ports that know each other's address, 1 and 2; the second can do only what it is said to.
fn rig(capabilities: Capabilities) -> Rig {
    let mut rig = Rig::bridge(2);
    rig.interface(1, Features { capabilities, ..Features::default() }, |_| ());
    rig.snapshot.bridges[0].macs.insert_static(0x0200_0000_0002, 1);
    rig
}

/// TCP over IPv4 with `payload` bytes, and the request to cut it.
fn tcp(payload: usize, gso_size: u16) -> (Vec<u8>, VnetHdr) {
    let bytes: Vec<u8> = (0..payload).map(|i| (i / 7) as u8).collect();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(1, 2, 1000, 512)
        .write(&mut frame, &bytes)
        .expect("it fits");
    let request = VnetHdr {
        flags: VnetHdr::NEEDS_CSUM,
        gso_type: VnetHdr::GSO_TCPV4,
        hdr_len: 54,
        gso_size,
        csum_start: 34,
        csum_offset: 16,
    };
    (frame, request)
}

/// UDP over IPv6, its checksum left to be completed.
fn udp(payload: usize) -> (Vec<u8>, VnetHdr, Vec<u8>) {
    let mut finished = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv6([0xfd; 16], [0xfe; 16], 64)
        .udp(1, 2)
        .write(&mut finished, &vec![0x77; payload])
        .expect("it fits");
    let mut partial = finished.clone();
    let seed = checksum::pseudo_v6(&[0xfd; 16], &[0xfe; 16], 17, 8 + payload as u32).partial();
    partial[60..62].copy_from_slice(&seed.to_be_bytes());
    let request =
        VnetHdr { flags: VnetHdr::NEEDS_CSUM, csum_start: 54, csum_offset: 6, ..VnetHdr::default() };
    (partial, request, finished)
}

/// Checks that all are finished TCP segments; their payload together.
fn joined(out: &[Out]) -> Vec<u8> {
    let mut all = Vec::new();
    for (port, bytes, offload) in out {
        assert_eq!((*port, *offload), (1, None));
        let packet = SlicedPacket::from_ethernet(bytes).expect("headers and lengths agree");
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("no TCP") };
        assert_eq!(tcp.calc_checksum_ipv4([10, 0, 0, 1], [10, 0, 0, 2]), Ok(tcp.checksum()));
        assert_eq!(tcp.sequence_number() as usize, 1000 + all.len());
        all.extend_from_slice(tcp.payload());
    }
    all
}

#[test]
fn a_super_packet_leaves_as_finished_segments() {
    let mut rig = rig(Capabilities { checksum: true, ..Capabilities::NONE });
    for payload in [100, 1448, 1449, 60_000] {
        let (bytes, request) = tcp(payload, 1448);
        let out = rig.send_offload(0, &bytes, Some(request));
        assert_eq!(out.len(), payload.div_ceil(1448));
        assert!(out.iter().all(|o| o.1.len() <= 1502));
        assert_eq!(joined(&out), bytes[54..]);
    }
}

#[test]
fn segments_longer_than_a_buffer_are_chains() {
    let mut rig = rig(Capabilities::NONE);
    rig.snapshot.l2_out[1].max_frame = 9014;
    let (bytes, request) = tcp(60_000, 8948);
    let out = rig.send_offload(0, &bytes, Some(request));
    assert_eq!(out.len(), 7);
    assert_eq!(joined(&out), bytes[54..]);
}

#[test]
fn what_the_port_can_do_is_left_to_it() {
    let (bytes, request) = tcp(60_000, 1448);
    let ecn = VnetHdr { gso_type: request.gso_type | VnetHdr::ECN, ..request };
    let mut rig = rig(Capabilities { checksum: true, tso4: true, ..Capabilities::NONE });
    for request in [request, ecn] {
        assert_eq!(rig.send_offload(0, &bytes, Some(request)), [(1, bytes.clone(), Some(request))]);
    }
    let (partial, request, _) = udp(1000);
    assert_eq!(rig.send_offload(0, &partial, Some(request)), [(1, partial, Some(request))]);
}

#[test]
fn a_checksum_is_filled_in_over_a_chain_too() {
    let mut rig = rig(Capabilities::NONE);
    rig.snapshot.l2_out[1].max_frame = 10_000;
    for payload in [0, 1, 1000, 1937, 1938, 1939, 9000] {
        let (partial, request, finished) = udp(payload);
        assert_eq!(rig.send_offload(0, &partial, Some(request)), [(1, finished, None)], "{payload} bytes");
    }
}

#[test]
fn a_verified_checksum_is_no_work() {
    let mut rig = rig(Capabilities::NONE);
    let valid = VnetHdr { flags: VnetHdr::DATA_VALID, ..VnetHdr::default() };
    let plain = frame(1, 2, 64);
    assert_eq!(rig.send_offload(0, &plain, Some(valid)), [(1, plain, None)]);
}

#[test]
fn requests_without_sense_are_dropped() {
    let mut rig = rig(Capabilities::NONE);
    let (bytes, good) = tcp(3000, 1000);
    let checksum = VnetHdr { gso_type: VnetHdr::GSO_NONE, ..good };
    let requests = [
        VnetHdr { gso_size: 0, ..good },
        VnetHdr { gso_size: 1, ..good },
        VnetHdr { gso_type: VnetHdr::GSO_UDP, ..good },
        VnetHdr { gso_type: VnetHdr::GSO_TCPV6, ..good },
        VnetHdr { csum_start: 33, ..good },
        VnetHdr { csum_start: 3053, ..checksum },
        VnetHdr { csum_start: 65_535, csum_offset: 65_535, ..checksum },
        // Inside the frame, but not where headers are.
        VnetHdr { csum_start: 2500, ..checksum },
    ];
    rig.snapshot.l2_out[1].max_frame = 65_549;
    for (count, request) in requests.into_iter().enumerate() {
        assert_eq!(rig.send_offload(0, &bytes, Some(request)), [], "{request:?}");
        assert_eq!(rig.drops(hop::OFFLOAD, Reason::BadOffload), count as u64 + 1, "{request:?}");
    }
    assert_eq!(rig.interface_drops(0), 8);
}

#[test]
fn without_buffers_for_all_segments_none_is_sent() {
    let mut rig = rig(Capabilities::NONE);
    let (bytes, request) = tcp(60_000, 1448);
    // 31 buffers for the packet, 41 for its segments.
    let held = rig.hold_all_but(31 + 41);
    assert_eq!(rig.send_offload(0, &bytes, Some(request)), []);
    assert_eq!((rig.drops(hop::OFFLOAD, Reason::NoBuffers), rig.interface_drops(0)), (1, 1));
    rig.release(held);
    let held = rig.hold_all_but(31 + 42);
    assert_eq!(rig.send_offload(0, &bytes, Some(request)).len(), 42);
    rig.release(held);

    rig.snapshot.l2_out[1].max_frame = 65_549;
    let held = rig.hold_all_but(31 + 10);
    assert_eq!(rig.send_offload(0, &bytes, Some(VnetHdr { gso_size: 30_000, ..request })), []);
    assert_eq!(rig.drops(hop::OFFLOAD, Reason::NoBuffers), 2, "in the middle of a chain");
    rig.release(held);
}

#[test]
fn a_vector_keeps_its_order() {
    let mut rig = rig(Capabilities::NONE);
    let (large, request) = tcp(20_000, 1000);
    let (partial, sum, finished) = udp(100);
    let plain = frame(1, 2, 64);
    let out = rig.send_all(
        0,
        &[
            (&plain, None),
            (&large, Some(request)),
            (&partial, Some(sum)),
            (&large, Some(request)),
            (&plain, None),
        ],
    );
    assert_eq!(out.len(), 1 + 20 + 1 + 20 + 1);
    assert_eq!((&out[0].1, &out[21].1, &out[42].1), (&plain, &finished, &plain));
    assert_eq!(joined(&out[1..21]), large[54..]);
    assert_eq!(joined(&out[22..42]), large[54..]);
}

#[test]
fn more_segments_than_a_vector_holds() {
    let mut rig = rig(Capabilities::NONE);
    let (bytes, request) = tcp(64_000, 50);
    let out = rig.send_offload(0, &bytes, Some(request));
    assert_eq!(out.len(), 1280);
    assert_eq!(joined(&out), bytes[54..]);
}

#[test]
fn tags_are_put_on_before_the_cut() {
    let mut rig = rig(Capabilities::NONE);
    trunk(&mut rig, 1, paceline_graph::NO_DOMAIN, &[(10, 0)]);
    let (input, output) = crate::arcs(1, Features { vlan: true, ..Features::default() });
    let mut interface = rig.snapshot.interfaces[1].take().expect("an interface");
    (interface.input, interface.output, interface.capabilities) = (input, output, Capabilities::NONE);
    rig.snapshot.set_interface(1, interface);
    let (bytes, request) = tcp(3000, 1000);
    let out = rig.send_offload(0, &bytes, Some(request));
    assert_eq!(out.len(), 3);
    assert!(out.iter().all(|o| o.1[12..16] == [0x81, 0, 0, 10]));
    assert_eq!(joined(&out), bytes[54..]);
    // Inner tags are headers like any other.
    let customer = tagged(&bytes, 0x8100, 7);
    let moved = VnetHdr { csum_start: 38, hdr_len: 58, ..request };
    let out = rig.send_offload(0, &customer, Some(moved));
    assert_eq!((out.len(), joined(&out)), (3, bytes[54..].to_vec()));
}

#[test]
fn a_flooded_super_packet_is_cut_for_each_port_from_the_shared_payload() {
    let mut rig = Rig::bridge(4);
    for port in 1..3 {
        rig.interface(port, Features::default(), |_| ());
    }
    let (bytes, request) = tcp(30_000, 1448);
    let out = rig.send_offload(0, &bytes, Some(request));
    let of =
        |port| -> Vec<Out> { out.iter().filter(|o| o.0 == port).map(|o| (1, o.1.clone(), o.2)).collect() };
    assert_eq!((joined(&of(1)), joined(&of(2))), (bytes[54..].to_vec(), bytes[54..].to_vec()));
    assert_eq!(of(3), [(1, bytes, Some(request))]);
}

#[test]
fn a_trace_follows_the_first_segment() {
    let mut rig = rig(Capabilities::NONE);
    rig.graph.trace().add(2, None);
    let (bytes, request) = tcp(3000, 1000);
    rig.send_offload(0, &bytes, Some(request));
    let (partial, request, _) = udp(100);
    rig.send_offload(0, &partial, Some(request));
    let records = rig.graph.trace().records();
    assert!(records[0].text.ends_with("\noffload: cut into 3 segments\n"), "{}", records[0].text);
    assert!(records[1].text.ends_with("\noffload: checksum filled in\n"));
}
