//! Arbitrary bytes as frames and as offload requests: everything that reads them answers, nothing panics.
//!
//! Runs for a moment under `cargo test`; `cargo bolero test` runs it for as long as one likes.

use paceline_sys::vnet::VnetHdr;
use paceline_wire::arp::{Arp, FRAME_LEN};
use paceline_wire::checksum::{self, Field, Sum};
use paceline_wire::ethernet::{self, Mac};
use paceline_wire::flow::{self, Key};
use paceline_wire::ipv4::Ipv4Header;
use paceline_wire::ipv6::{self, Ipv6Header};
use paceline_wire::ndp::{self, Message};
use paceline_wire::segment::{MAX_SEGMENTS, Plan};
use paceline_wire::tcp::TcpHeader;
use paceline_wire::udp::UdpHeader;
use paceline_wire::vlan::{self, Tci};
use paceline_wire::{fragment, icmpv4, icmpv6, input, mss, rewrite};

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
    if let Ok(arp) = Arp::parse(frame) {
        assert_eq!(arp.write(arp.destination(), &mut [0; FRAME_LEN]), Some(FRAME_LEN));
        assert_eq!(arp.reply(Mac(2)).target, arp.sender);
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

/// Everything that a router does to a packet, or about it. `total` may lie.
fn route(packet: &[u8], total: usize) {
    let mut copy = packet.to_vec();
    let mut out = [0; 2000];
    if input::check_v4(packet, total).is_ok() {
        // What is sound stays sound.
        let _ = Ipv4Header::read_mut(&mut copy).is_some_and(Ipv4Header::decrement_ttl);
        assert!(input::check_v4(&copy, total).is_ok());
    }
    if let Ok(plan) = fragment::Plan::new(packet, total, 68) {
        let mut end = plan.header_len(0);
        for index in 0..plan.count() {
            assert_eq!(plan.payload_range(index).start, end);
            end = plan.payload_range(index).end;
            let len = plan.write_header(index, &mut out).expect("room for the header");
            assert!(input::check_v4(&out[..len], 68).is_ok() || plan.count() == 1);
        }
        assert!(end <= total);
    }
    if let Some(len) = icmpv4::write_error(packet, icmpv4::Problem::TtlExceeded, [10, 0, 0, 1], &mut out) {
        assert!(input::check_v4(&out[..len], len).is_ok() && icmpv4::quoted(&out[..len]).is_some());
    }
    if let Some(len) = icmpv6::write_error(packet, icmpv6::Problem::NoRoute, &[0xfd; 16], &mut out) {
        assert!(input::check_v6(&out[..len], len).is_ok() && icmpv6::quoted(&out[..len]).is_some());
    }
    let _ = input::check_v6(packet, total).map(|h| input::reach_v6(&h.source, &h.destination));
    let _ = icmpv4::echo_reply(&mut copy) || icmpv6::echo_reply(&mut copy, &[0xfd; 16]);
    let _ = mss::clamp_v4(&mut copy, 500, Field::Full) || mss::clamp_v6(&mut copy, 500, Field::Full);
    match ndp::parse(packet) {
        Ok(Message::Solicitation(message)) => assert!(message.write(&mut out).is_some()),
        Ok(Message::Advertisement(message)) => assert!(message.write(&mut out).is_some()),
        Ok(Message::RouterAdvertisement(message)) => {
            assert!(message.options.prefixes().count() <= message.options.count());
        }
        _ => {}
    }
    translate(packet, total);
}

/// Gives packet and quote other addresses and ports, which are then read from them; back again it is what it was.
fn translate(packet: &[u8], total: usize) {
    let (mut copy, mut quote) = (packet.to_vec(), packet.to_vec());
    if let Ok(flow) = flow::extract_v4(packet, total) {
        let ports = flow.key.protocol != flow::SCTP && flow.key.source_port != 0;
        let port = |old: u16| if ports { old ^ 0x0f0f } else { old };
        let (source_port, destination_port) = (port(flow.key.source_port), port(flow.key.destination_port));
        let to = Key { source: [1, 2, 3, 4], source_port, destination_port, ..flow.key };
        assert_eq!(rewrite::rewrite_v4(&mut copy, &flow, &to, Field::Partial), Ok(()));
        assert_eq!(flow::extract_v4(&copy, total).map(|f| f.key), Ok(to));
        assert_eq!(rewrite::rewrite_v4(&mut copy, &flow, &flow.key, Field::Full), Ok(()));
        assert_eq!(flow::extract_v4(&copy, total), Ok(flow));
    }
    if let Ok(flow) = flow::extract_v6(packet, total) {
        let to = Key { source: [7; 16], ..flow.key };
        assert_eq!(rewrite::rewrite_v6(&mut copy, &flow, &to, Field::Full), Ok(()));
        assert_eq!(flow::extract_v6(&copy, total).map(|f| f.key), Ok(to));
    }
    if let Some((icmp, at)) = icmpv4::quoted(packet)
        && let Ok(flow) = flow::extract_quoted_v4(&packet[at..])
    {
        let to = Key { source: [1, 2, 3, 4], ..flow.key };
        assert_eq!(rewrite::rewrite_quoted_v4(&mut quote, icmp, at, &flow, &to), Ok(()));
    }
    if let Some((icmp, at)) = icmpv6::quoted(packet)
        && let Ok(flow) = flow::extract_quoted_v6(&packet[at..])
    {
        let to = Key { source: [7; 16], ..flow.key };
        assert_eq!(rewrite::rewrite_quoted_v6(&mut quote, icmp, at, &flow, &to), Ok(()));
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
        route(bytes, bytes.len());
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

/// Which packet, what to overwrite, how much of it there is, and how much more there is said to be.
type Routed = (u8, [(u8, u8); 6], u16, u16);

/// Packets that a router sees, with some bytes overwritten and cut anywhere.
#[test]
fn packets_that_nearly_are_right() {
    let v4 = |protocol: u8, rest: &[u8]| {
        let head = [0x45, 0, 2, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let mut packet = [&head[..], rest, &[0; 512]].concat();
        packet.truncate(512);
        paceline_wire::ipv4::fill_checksum(&mut packet[..20]);
        packet
    };
    let v6 = |next: u8, rest: &[u8]| {
        let mut packet =
            [&[0x60, 0, 0, 0, 2, 0, next, 255][..], &[0xfd; 16], &[0xfe; 16], rest, &[0; 512]].concat();
        packet.truncate(552);
        packet
    };
    let syn = [0, 80, 0, 81, 0, 0, 0, 0, 0, 0, 0, 0, 0x60, 2, 0, 0, 0, 0, 0, 0, 2, 4, 5, 0xb4];
    let error = |kind: u8, quote: &[u8]| [&[kind, 1, 0, 0, 0, 0, 0, 0], quote].concat();
    let packets = [
        v4(6, &syn),
        v4(17, &[0, 80, 0, 81]),
        v4(1, &[8, 0, 0, 0, 0, 7]),
        v4(1, &error(3, &v4(6, &syn))),
        v6(6, &syn),
        v6(0, &[17, 0, 1, 4, 0, 0, 0, 0, 0, 80, 0, 81]),
        v6(44, &[17, 0, 0, 1, 0, 0, 0, 9, 0, 80, 0, 81]),
        v6(58, &[128, 0, 0, 0, 0, 7]),
        v6(58, &error(1, &v6(17, &[0, 80, 0, 81]))),
    ];
    bolero::check!().with_type::<Routed>().with_iterations(20_000).for_each(|(which, edits, len, more)| {
        let mut packet = packets[*which as usize % packets.len()].clone();
        for (at, value) in &edits[..*len as usize % 7] {
            packet[*at as usize % 120] = *value;
        }
        route(&packet, packet.len());
        let len = *len as usize % (packet.len() + 1);
        route(&packet[..len], len + *more as usize % 1000);
    });
}

/// What is in a message of neighbour discovery, by type.
#[test]
fn neighbours_that_nearly_are_right() {
    bolero::check!().with_type::<(u8, [(u8, u8); 4], u8)>().with_iterations(20_000).for_each(
        |(kind, edits, len)| {
            let source = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
            let mut packet = [
                &[0x60, 0, 0, 0, 0, 0, 58, 255][..],
                &source,
                &[0xfd; 16],
                &[133 + kind % 4],
                &[0; 3],
                &[1; 84],
            ]
            .concat();
            for (at, value) in &edits[..*len as usize % 5] {
                packet[40 + *at as usize % 88] = *value;
            }
            packet.truncate(48 + *len as usize % 81);
            let body = packet.len() - 40;
            packet[5] = body as u8;
            packet[42..44].fill(0);
            let mut sum = checksum::pseudo_v6(&source, &[0xfd; 16], 58, body as u32);
            sum.add(&packet[40..]);
            packet[42..44].copy_from_slice(&sum.finish().to_be_bytes());
            assert_ne!(ndp::parse(&packet).err(), Some(ndp::Fault::Checksum));
            route(&packet, packet.len());
        },
    );
}
