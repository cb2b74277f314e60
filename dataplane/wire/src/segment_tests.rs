//! Segments are judged by `etherparse`, an implementation of none of our code.

use etherparse::{
    IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6Header, Ipv6RawExtHeader, NetSlice,
    PacketBuilder, SingleVlanHeader, SlicedPacket, TransportSlice, VlanHeader, VlanId,
};
use proptest::prelude::*;

use super::*;

/// A super-packet to be made.
#[derive(Clone, Debug)]
struct Sample {
    v6: bool,
    udp: bool,
    /// VLAN tags, 0 to 2.
    tags: u8,
    /// IPv4 options or IPv6 extensions in units of 4 or 8 bytes.
    extra: u8,
    /// TCP options in units of 4 bytes.
    options: u8,
    /// FIN, PSH, ECE and CWR.
    flags: [bool; 4],
    payload: usize,
    gso_size: u16,
}

impl Sample {
    const TCP4: Sample = Sample {
        v6: false,
        udp: false,
        tags: 0,
        extra: 0,
        options: 3,
        flags: [true; 4],
        payload: 10_000,
        gso_size: 1448,
    };

    fn ip(&self) -> IpHeaders {
        let zeros = [0_u8; 320];
        let extra = self.extra as usize;
        if self.v6 {
            let mut header =
                Ipv6Header { source: [0xfd; 16], destination: [0xfe; 16], ..Ipv6Header::default() };
            header.hop_limit = 64;
            let mut extensions = Ipv6Extensions::default();
            if extra > 0 {
                let bytes = &zeros[..extra * 8 - 2];
                extensions.destination_options =
                    Some(Ipv6RawExtHeader::new_raw(IpNumber::TCP, bytes).expect("a length that is right"));
            }
            IpHeaders::Ipv6(header, extensions)
        } else {
            let header = Ipv4Header {
                source: [10, 77, 0, 2],
                destination: [10, 77, 0, 3],
                identification: 0xfffe,
                time_to_live: 64,
                options: zeros[..extra.min(10) * 4].try_into().expect("a length that is right"),
                ..Ipv4Header::default()
            };
            IpHeaders::Ipv4(header, Ipv4Extensions::default())
        }
    }

    /// The frame and its request, as a container's kernel would hand it over.
    fn build(&self) -> (Vec<u8>, VnetHdr) {
        let tag = |id| SingleVlanHeader {
            vlan_id: VlanId::try_new(id).expect("in range"),
            ..SingleVlanHeader::default()
        };
        let start = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let step = match self.tags {
            0 => start.ip(self.ip()),
            1 => start.vlan(VlanHeader::Single(tag(10))).ip(self.ip()),
            _ => {
                let [outer, inner] = [10, 20].map(|id| VlanId::try_new(id).expect("in range"));
                start.double_vlan(outer, inner).ip(self.ip())
            }
        };
        let payload: Vec<u8> = (0..self.payload).map(|i| (i * 31 + i / 251) as u8).collect();
        let mut frame = Vec::new();
        if self.udp {
            step.udp(1111, 2222).write(&mut frame, &payload).expect("it fits");
        } else {
            let mut tcp = step.tcp(1111, 2222, 0xffff_f000, 512).ack(77);
            let [fin, psh, ece, cwr] = self.flags;
            tcp = if fin { tcp.fin() } else { tcp };
            tcp = if psh { tcp.psh() } else { tcp };
            tcp = if ece { tcp.ece() } else { tcp };
            tcp = if cwr { tcp.cwr() } else { tcp };
            let options = vec![1; self.options as usize * 4];
            tcp.options_raw(&options).expect("it fits").write(&mut frame, &payload).expect("it fits");
        }
        let header = if self.udp { 8 } else { 20 + self.options as usize * 4 };
        let request = VnetHdr {
            flags: VnetHdr::NEEDS_CSUM,
            gso_type: match (self.udp, self.v6) {
                (true, _) => VnetHdr::GSO_UDP_L4,
                (false, true) => VnetHdr::GSO_TCPV6,
                (false, false) => VnetHdr::GSO_TCPV4 | VnetHdr::ECN,
            },
            hdr_len: 0,
            gso_size: self.gso_size,
            csum_start: (frame.len() - self.payload - header) as u16,
            csum_offset: if self.udp { 6 } else { 16 },
        };
        (frame, request)
    }
}

/// All segments, the payload summed in two parts as from a chain.
fn cut(frame: &[u8], request: &VnetHdr) -> Result<Vec<Vec<u8>>, Refused> {
    let plan = Plan::new(&frame[..frame.len().min(MAX_HEADERS)], frame.len(), request)?;
    let segment = |index| {
        let payload = &frame[plan.payload_range(index)];
        let (a, b) = payload.split_at(payload.len() / 3);
        let mut sum = Sum::of(a);
        sum.add(b);
        let mut out = vec![0xee; plan.header_len()];
        plan.write_header(index, sum, &mut out).expect("room");
        [&out, payload].concat()
    };
    Ok((0..plan.count()).map(segment).collect())
}

/// Checks one segment and returns its payload.
fn verify(index: usize, last: bool, sample: &Sample, frame: &[u8], segment: &[u8]) -> Vec<u8> {
    let packet = SlicedPacket::from_ethernet(segment).expect("headers and lengths agree");
    assert_eq!(packet.link_exts.len(), sample.tags as usize);
    let (source, destination) = match packet.net.as_ref().expect("IP") {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert_eq!(header.identification, 0xfffe_u16.wrapping_add(index as u16));
            (header.source.to_vec(), header.destination.to_vec())
        }
        NetSlice::Ipv6(ip) => (ip.header().source().to_vec(), ip.header().destination().to_vec()),
        NetSlice::Arp(_) => panic!("ARP"),
    };
    let v4 = |bytes: &[u8]| -> [u8; 4] { bytes.try_into().expect("IPv4") };
    let v6 = |bytes: &[u8]| -> [u8; 16] { bytes.try_into().expect("IPv6") };
    let payload = match packet.transport.as_ref().expect("a transport") {
        TransportSlice::Tcp(tcp) => {
            let want = if sample.v6 {
                tcp.calc_checksum_ipv6(v6(&source), v6(&destination))
            } else {
                tcp.calc_checksum_ipv4(v4(&source), v4(&destination))
            };
            assert_eq!(Ok(tcp.checksum()), want);
            let offset = (index * sample.gso_size as usize) as u32;
            assert_eq!(tcp.sequence_number(), 0xffff_f000_u32.wrapping_add(offset));
            let [fin, psh, ece, cwr] = sample.flags;
            assert_eq!(
                [tcp.fin(), tcp.psh(), tcp.ece(), tcp.cwr(), tcp.ack()],
                [fin && last, psh && last, ece, cwr && index == 0, true]
            );
            tcp.payload()
        }
        TransportSlice::Udp(udp) => {
            let header = udp.to_header();
            let want = if sample.v6 {
                header.calc_checksum_ipv6_raw(v6(&source), v6(&destination), udp.payload())
            } else {
                header.calc_checksum_ipv4_raw(v4(&source), v4(&destination), udp.payload())
            };
            assert_eq!(Ok(udp.checksum()), want);
            assert_ne!(udp.checksum(), 0);
            assert_eq!(udp.length() as usize, 8 + udp.payload().len());
            udp.payload()
        }
        other => panic!("{other:?}"),
    };
    let header = segment.len() - payload.len();
    assert_eq!(masked(sample, &segment[..header]), masked(sample, &frame[..header]), "nothing else changed");
    payload.to_vec()
}

/// Headers without the fields that differ between segments.
fn masked(sample: &Sample, headers: &[u8]) -> Vec<u8> {
    let mut headers = headers.to_vec();
    let l3 = 14 + sample.tags as usize * 4;
    let l4 = headers.len() - if sample.udp { 8 } else { 20 + sample.options as usize * 4 };
    let network: &[usize] = if sample.v6 { &[4, 5] } else { &[2, 3, 4, 5, 10, 11] };
    let transport: &[usize] = if sample.udp { &[4, 5, 6, 7] } else { &[4, 5, 6, 7, 13, 16, 17] };
    for at in network.iter().map(|at| l3 + at).chain(transport.iter().map(|at| l4 + at)) {
        headers[at] = 0;
    }
    headers
}

fn check(sample: &Sample) {
    let (frame, request) = sample.build();
    let segments = cut(&frame, &request).expect("a sane request");
    assert_eq!(segments.len(), sample.payload.div_ceil(sample.gso_size as usize).max(1));
    let mut payload = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        let part = verify(index, last, sample, &frame, segment);
        assert!(last || part.len() == sample.gso_size as usize);
        payload.extend(part);
    }
    assert!(payload == frame[frame.len() - sample.payload..], "the payload is the same");
}

#[test]
fn a_64k_frame_of_each_kind() {
    for (v6, udp) in [(false, false), (true, false), (false, true), (true, true)] {
        for tags in 0..3 {
            check(&Sample { v6, udp, tags, payload: 64_000, ..Sample::TCP4 });
        }
    }
}

#[test]
fn the_ends_of_the_range() {
    for payload in [0, 1, 1447, 1448, 1449, 2896] {
        check(&Sample { payload, ..Sample::TCP4 });
        check(&Sample { payload, udp: true, ..Sample::TCP4 });
    }
    check(&Sample { payload: MAX_SEGMENTS, gso_size: 1, ..Sample::TCP4 });
    check(&Sample { payload: 60_000, gso_size: 65_535, ..Sample::TCP4 });
    check(&Sample { extra: 10, options: 10, tags: 2, ..Sample::TCP4 });
}

#[test]
fn hostile_requests_are_refused() {
    let (frame, good) = Sample::TCP4.build();
    let refused = |request: VnetHdr| cut(&frame, &request).expect_err("hostile");
    assert_eq!(refused(VnetHdr { gso_size: 0, ..good }), Refused::Size(0));
    assert_eq!(refused(VnetHdr { gso_size: 1, ..good }), Refused::Count(10_000));
    assert_eq!(refused(VnetHdr { gso_type: VnetHdr::GSO_UDP, ..good }), Refused::Type(3));
    assert_eq!(refused(VnetHdr { gso_type: 0x7f, ..good }), Refused::Type(0x7f));
    assert_eq!(refused(VnetHdr { gso_type: VnetHdr::GSO_NONE, ..good }), Refused::Type(0));
    for gso_type in [VnetHdr::GSO_TCPV6, VnetHdr::GSO_UDP_L4] {
        assert!(matches!(refused(VnetHdr { gso_type, ..good }), Refused::Headers(_)));
    }
    for csum_start in [0, 33, 35, 65_535] {
        assert!(matches!(refused(VnetHdr { csum_start, ..good }), Refused::Checksum { want_start: 34, .. }));
    }
    assert!(matches!(refused(VnetHdr { csum_offset: 6, ..good }), Refused::Checksum { want_offset: 16, .. }));
    assert!(cut(&frame, &VnetHdr { hdr_len: 65_535, ..good }).is_ok(), "a hint that is not believed");
    let unset = VnetHdr { flags: 0, csum_start: 0, csum_offset: 0, ..good };
    assert_eq!(cut(&frame, &unset), cut(&frame, &good));
    for len in 0..66 {
        assert!(matches!(cut(&frame[..len], &good), Err(Refused::Headers(_))), "{len} bytes");
    }
    let mut fragment = frame.clone();
    fragment[20] = 0x20;
    assert_eq!(cut(&fragment, &good).err(), Some(Refused::Fragment));

    let (frame, good) = Sample { v6: true, extra: 1, ..Sample::TCP4 }.build();
    let mut fragment = frame.clone();
    fragment[20] = 44;
    assert_eq!(cut(&fragment, &good).err(), Some(Refused::Fragment));
    let mut routed = frame.clone();
    (routed[20], routed[57]) = (43, 1);
    assert_eq!(cut(&routed, &good).err(), Some(Refused::Routed));
    let long = Sample { v6: true, extra: 30, ..Sample::TCP4 }.build();
    assert!(matches!(cut(&long.0, &long.1), Err(Refused::Headers(_))), "longer than MAX_HEADERS");
    let request = VnetHdr { gso_size: 65_535, ..good };
    let huge = [frame, vec![0; 70_000]].concat();
    assert_eq!(cut(&huge, &request).err(), Some(Refused::Size(65_535)));
}

#[test]
fn too_little_room_for_the_headers_is_no_panic() {
    let (frame, request) = Sample::TCP4.build();
    let plan = Plan::new(&frame, frame.len(), &request).expect("a sane request");
    for len in 0..plan.header_len() {
        assert_eq!(plan.write_header(0, Sum::default(), &mut vec![0; len]), None);
    }
    let mut out = [0; MAX_HEADERS];
    for index in [plan.count(), usize::MAX] {
        assert!(plan.payload_range(index).is_empty());
        assert_eq!(plan.write_header(index, Sum::default(), &mut out), None);
    }
}

fn sample() -> impl Strategy<Value = Sample> {
    let sizes = (0_usize..65_000, 30_u16..=65_535, any::<bool>());
    let shape = (any::<bool>(), any::<bool>(), 0_u8..=2, 0_u8..=10, 0_u8..=10, any::<[bool; 4]>());
    (shape, sizes).prop_map(|((v6, udp, tags, extra, options, flags), (payload, size, small))| {
        let gso_size = if small { 30 + size % 3000 } else { size };
        Sample {
            v6,
            udp,
            tags,
            extra,
            options,
            flags,
            payload: payload.min(gso_size as usize * 2000),
            gso_size,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_super_packet_is_cut_right(sample in sample()) {
        check(&sample);
    }
}
