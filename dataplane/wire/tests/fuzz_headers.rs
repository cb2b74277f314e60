//! Arbitrary bytes as frames and as offload requests: everything that reads them answers, nothing panics.
//!
//! Runs for a moment under `cargo test`; `cargo bolero test` runs it for as long as one likes.

use paceline_sys::vnet::VnetHdr;
use paceline_wire::checksum::{self, Sum};
use paceline_wire::ethernet;
use paceline_wire::ipv4::Ipv4Header;
use paceline_wire::ipv6::{self, Ipv6Header};
use paceline_wire::segment::{MAX_SEGMENTS, Plan};
use paceline_wire::tcp::TcpHeader;
use paceline_wire::udp::UdpHeader;
use paceline_wire::vlan::{self, Tci};

/// Everything that reads a frame.
fn read(frame: &[u8]) {
    let parsed = ethernet::parse(frame);
    if let Some(parsed) = parsed {
        assert!(parsed.l3 <= frame.len());
        assert_eq!(ethernet::addresses(frame), Some((parsed.destination, parsed.source)));
        read_packet(&frame[parsed.l3..]);
    }
    if let Some(tci) = vlan::tci(frame) {
        assert_eq!(Tci::new(tci.vlan(), tci.priority()), tci);
    }
    // Headers may start anywhere when offsets lie.
    read_packet(frame);
    let mut copy = frame.to_vec();
    let _ = vlan::pop(&mut copy) && vlan::push(&mut copy, 0x8100, Tci(1));
    assert_eq!(copy.len(), frame.len());
}

fn read_packet(packet: &[u8]) {
    if let Some(header) = Ipv4Header::read(packet) {
        assert!(header.header_len() <= packet.len());
        if let Some(len) = header.payload_len(packet.len()) {
            assert!(header.header_len() + len <= packet.len());
        }
        read_transport(&packet[header.header_len()..]);
    }
    if let Some(found) = ipv6::transport(packet) {
        assert!(found.offset <= packet.len());
        read_transport(&packet[found.offset..]);
    }
    if let Some(len) = Ipv6Header::read(packet).and_then(|h| h.payload_len(packet.len())) {
        assert!(len + 40 <= packet.len());
    }
}

fn read_transport(transport: &[u8]) {
    if let Some(header) = TcpHeader::read(transport) {
        assert!(header.header_len() <= transport.len());
    }
    if let Some(len) = UdpHeader::read(transport).and_then(|h| h.payload_len(transport.len())) {
        assert!(len + 8 <= transport.len());
    }
}

/// Cuts what can be cut and writes every header; completes what is to be completed. Whether it could be cut.
fn offload(request: &VnetHdr, frame: &[u8]) -> bool {
    let (a, b) = frame.split_at(frame.len() / 2);
    let (start, offset) = (request.csum_start as usize, request.csum_offset as usize);
    let done = checksum::finish_partial([a, b], start, offset);
    assert_eq!(done.is_some(), start <= frame.len() && start + offset + 2 <= frame.len());
    let Ok(plan) = Plan::new(frame, frame.len(), request) else { return false };
    assert!((1..=MAX_SEGMENTS).contains(&plan.count()));
    let mut end = plan.header_len();
    let mut out = vec![0; end];
    for index in 0..plan.count() {
        let range = plan.payload_range(index);
        assert_eq!(range.start, end);
        end = range.end;
        plan.write_header(index, Sum::of(&frame[range]), &mut out).expect("room for the headers");
    }
    assert_eq!(end, frame.len());
    true
}

#[test]
fn any_bytes() {
    bolero::check!().with_iterations(20_000).for_each(|bytes: &[u8]| {
        read(bytes);
        if let Some((request, frame)) = bytes.split_first_chunk() {
            offload(&VnetHdr::from_bytes(request), frame);
        }
    });
}

/// Which frame, what to overwrite, the request, and sizes.
type Input = (u8, [(u8, u8); 6], [u8; VnetHdr::LEN], u16);

/// Random bytes seldom are IP: here are frames that are, with some bytes of headers and request overwritten.
#[test]
fn frames_that_nearly_are_right() {
    let frames = [
        (
            VnetHdr::GSO_TCPV4,
            [&[0x08, 0x00, 0x45][..], &[0; 8], &[6], &[0; 22], &[0x50], &[0; 1400]].concat(),
        ),
        (
            VnetHdr::GSO_TCPV6,
            [&[0x86, 0xdd, 0x60][..], &[0; 5], &[6], &[0; 45], &[0x50], &[0; 1400]].concat(),
        ),
        (VnetHdr::GSO_UDP_L4, [&[0x81, 0, 0, 1, 0x08, 0x00, 0x45][..], &[0; 8], &[17], &[0; 1400]].concat()),
    ];
    bolero::check!().with_type::<Input>().with_iterations(20_000).for_each(
        |(which, edits, request, size)| {
            let (kind, rest) = &frames[*which as usize % frames.len()];
            let mut frame = [&[2; 12], &rest[..]].concat();
            let mut request = VnetHdr::from_bytes(request);
            if size % 4 != 0 {
                request = VnetHdr { gso_type: *kind, gso_size: *size, flags: 0, ..request };
                offload(&request, &frame);
            }
            for (at, value) in &edits[..*size as usize % 7] {
                frame[*at as usize % 100] = *value;
            }
            read(&frame);
            offload(&request, &frame);
        },
    );
}
