//! Segments of TCP through the node, and through `offload` back; what happens to datagrams is tested with tunnels.

use etherparse::{IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, PacketBuilder};
use etherparse::{Ipv6Header, TcpHeader};
use paceline_buf::VnetHdr;
use paceline_graph::Capabilities;
use proptest::prelude::*;

use crate::Features;
use crate::testing::{Out, Rig, frame};

/// Two ports; what leaves by the second is joined, or cut.
fn rig(joins: bool) -> Rig {
    let mut rig = Rig::bridge(2);
    let capabilities = if joins { Capabilities::ALL } else { Capabilities::NONE };
    rig.interface(1, Features { capabilities, tcp_coalesce: joins, ..Features::default() }, |_| ());
    rig.snapshot.bridges[0].macs.insert_static(0x0200_0000_0002, 1);
    rig
}

/// A segment of a stream, and what is wrong with it.
#[derive(Clone, Debug)]
struct Segment {
    v6: bool,
    flow: u16,
    sequence: u32,
    id: u16,
    atomic: bool,
    payload: usize,
    edit: fn(&mut TcpHeader),
    /// A byte behind the Ethernet header that is changed after checksums were made.
    broken: Option<usize>,
}

impl Segment {
    fn new(sequence: u32, payload: usize) -> Segment {
        Segment { v6: false, flow: 1, sequence, id: 0, atomic: true, payload, edit: |_| (), broken: None }
    }

    fn frame(&self) -> Vec<u8> {
        let ip = if self.v6 {
            IpHeaders::Ipv6(
                Ipv6Header { hop_limit: 64, source: [1; 16], destination: [2; 16], ..Ipv6Header::default() },
                Ipv6Extensions::default(),
            )
        } else {
            let mut header = Ipv4Header::new(0, 64, IpNumber::TCP, [1; 4], [2; 4]).expect("short");
            (header.identification, header.dont_fragment) = (self.id, self.atomic);
            IpHeaders::Ipv4(header, Ipv4Extensions::default())
        };
        let mut header = TcpHeader::new(self.flow, 80, self.sequence, 512);
        (header.ack, header.acknowledgment_number) = (true, 77);
        (self.edit)(&mut header);
        let payload: Vec<u8> = (0..self.payload).map(|at| (at + self.sequence as usize) as u8).collect();
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ip(ip)
            .tcp_header(header)
            .write(&mut bytes, &payload)
            .expect("written");
        if let Some(at) = self.broken {
            let at = 14 + at % (bytes.len() - 14);
            bytes[at] ^= 0x11;
        }
        bytes
    }
}

fn through(rig: &mut Rig, frames: &[Vec<u8>]) -> Vec<Out> {
    let frames: Vec<_> = frames.iter().map(|frame| (&frame[..], None)).collect();
    rig.send_all(0, &frames)
}

/// What packets are cut into again. Of IPv4 packets that may not be fragmented the identification means nothing.
fn cut(out: &[Out]) -> Vec<Vec<u8>> {
    cut_by(&mut rig(false), out)
}

fn cut_by(rig: &mut Rig, out: &[Out]) -> Vec<Vec<u8>> {
    out.iter().flat_map(|(_, bytes, offload)| rig.send_offload(0, bytes, *offload)).map(|out| out.1).collect()
}

fn without_id(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut frames = frames.to_vec();
    for frame in &mut frames {
        if frame.len() >= 34 && frame[12..15] == [8, 0, 0x45] && frame[20] & 0x40 != 0 {
            frame[18..20].fill(0);
            frame[24..26].fill(0);
        }
    }
    frames
}

#[test]
fn a_stream_becomes_super_packets() {
    for v6 in [false, true] {
        let psh =
            |last: bool| -> fn(&mut TcpHeader) { if last { |header| header.psh = true } else { |_| () } };
        let frames: Vec<_> = (0..100_u32)
            .map(|at| Segment {
                v6,
                edit: psh(at == 99),
                ..Segment::new(at * 1400, if at == 99 { 7 } else { 1400 })
            })
            .map(|segment| segment.frame())
            .collect();
        let out = through(&mut rig(true), &frames);
        let header = if v6 { 74 } else { 54 };
        let lens: Vec<usize> = out.iter().map(|out| out.1.len() - header).collect();
        // 65 535 bytes are 46 segments and their headers.
        assert_eq!(lens, [46 * 1400, 46 * 1400, 7 * 1400 + 7]);
        let request = VnetHdr {
            flags: VnetHdr::NEEDS_CSUM,
            gso_type: if v6 { VnetHdr::GSO_TCPV6 } else { VnetHdr::GSO_TCPV4 },
            hdr_len: header as u16,
            gso_size: 1400,
            csum_start: header as u16 - 20,
            csum_offset: 16,
        };
        assert!(out.iter().all(|out| out.2 == Some(request)), "{:?}", out[0].2);
        assert_eq!(without_id(&cut(&out)), without_id(&frames));
    }
}

#[test]
fn small_segments_are_joined_up_to_what_a_port_takes() {
    let frames: Vec<_> = (0..130).map(|at| Segment::new(at * 10, 10).frame()).collect();
    let lens: Vec<usize> = through(&mut rig(true), &frames).iter().map(|out| out.1.len() - 54).collect();
    assert_eq!(lens, [630, 630, 40]);
}

#[test]
fn what_does_not_follow_stays_apart() {
    let first = Segment::new(u32::MAX - 49, 100);
    let next = Segment::new(50, 100);
    let count = |segments: &[Segment]| {
        let frames: Vec<_> = segments.iter().map(Segment::frame).collect();
        let out = through(&mut rig(true), &frames);
        assert_eq!(without_id(&cut(&out)), without_id(&frames), "{segments:?}");
        out.len()
    };
    assert_eq!(count(&[first.clone(), next.clone()]), 1, "over the end of the numbers");
    let edits: [fn(&mut TcpHeader); 9] = [
        |header| header.window_size = 511,
        |header| header.acknowledgment_number = 78,
        |header| header.destination_port = 81,
        |header| header.syn = true,
        |header| header.rst = true,
        |header| header.cwr = true,
        |header| header.ece = true,
        |header| header.urg = true,
        |header| header.set_options_raw(&[1; 4]).expect("room"),
    ];
    for edit in edits {
        assert_eq!(count(&[first.clone(), Segment { edit, ..next.clone() }]), 2);
        assert_eq!(count(&[Segment { edit, ..first.clone() }, next.clone()]), 2);
    }
    assert_eq!(count(&[first.clone(), Segment { flow: 2, ..next.clone() }]), 2);
    assert_eq!(count(&[first.clone(), Segment { sequence: 51, ..next.clone() }]), 2);
    assert_eq!(count(&[first.clone(), Segment { payload: 101, ..next.clone() }]), 2);
    assert_eq!(count(&[first.clone(), Segment { payload: 0, ..next.clone() }]), 2);
    assert_eq!(count(&[first.clone(), Segment { payload: 99, ..next.clone() }]), 1);
    // Nothing follows a short one, nor the end.
    let third = Segment { sequence: 149, ..next.clone() };
    assert_eq!(count(&[first.clone(), Segment { payload: 99, ..next.clone() }, third]), 2);
    let end: fn(&mut TcpHeader) = |header| header.fin = true;
    let third = Segment { sequence: 150, ..next.clone() };
    assert_eq!(count(&[first.clone(), Segment { edit: end, ..next.clone() }, third]), 2);
    assert_eq!(count(&[Segment { edit: end, ..first.clone() }, next.clone()]), 2);
    // The numbers of what may be cut go on.
    let cuttable = |segment: &Segment, id| Segment { id, atomic: false, ..segment.clone() };
    assert_eq!(count(&[cuttable(&first, 9), cuttable(&next, 10)]), 1);
    assert_eq!(count(&[cuttable(&first, 9), cuttable(&next, 9)]), 2);
    // A wrong checksum, in either one: the last byte is payload.
    let broken = |segment: &Segment| Segment { broken: Some(139), ..segment.clone() };
    for segments in [[first.clone(), broken(&next)], [broken(&first), next.clone()]] {
        let frames: Vec<_> = segments.iter().map(Segment::frame).collect();
        let out: Vec<_> = through(&mut rig(true), &frames).into_iter().map(|out| out.1).collect();
        assert_eq!(out, frames);
    }
}

#[test]
fn others_in_between_keep_their_place() {
    let [a, b] = [Segment::new(0, 100).frame(), Segment::new(100, 100).frame()];
    let other = frame(1, 2, 64);
    let out = through(&mut rig(true), &[a.clone(), other.clone(), b.clone()]);
    assert_eq!(out.into_iter().map(|out| out.1).collect::<Vec<_>>(), [a.clone(), other.clone(), b.clone()]);
    let out = through(&mut rig(true), &[other.clone(), a, b, other.clone()]);
    assert_eq!((out.len(), out[1].1.len()), (3, 254));
    assert_eq!((&out[0].1, &out[2].1), (&other, &other));
}

fn segments() -> impl Strategy<Value = Vec<Segment>> {
    let edits: Vec<fn(&mut TcpHeader)> = vec![
        |_| (),
        |_| (),
        |_| (),
        |_| (),
        |header| header.psh = true,
        |header| header.fin = true,
        |header| header.cwr = true,
        |header| header.window_size = 9,
        |header| header.set_options_raw(&[1, 1, 1, 1]).expect("room"),
    ];
    let one = (
        0..2_u16,
        prop::sample::select(edits),
        prop::sample::select(vec![0, 1, 99, 100, 100, 100, 101]),
        0..20_u8,
    );
    (any::<bool>(), any::<bool>(), any::<u32>(), prop::collection::vec(one, 1..80)).prop_map(
        |(v6, atomic, start, all)| {
            let (mut next, mut flow_now) = ([start; 2], 0);
            let mut id = start as u16;
            let make = |(flow, edit, payload, luck): (u16, fn(&mut TcpHeader), usize, u8)| {
                // Flows come in runs.
                if luck < 4 {
                    flow_now = flow;
                }
                id = id.wrapping_add(if luck == 4 { 2 } else { 1 });
                let at = &mut next[flow_now as usize];
                *at = at.wrapping_add(u32::from(luck == 5));
                let sequence = *at;
                *at = at.wrapping_add(payload as u32);
                Segment { v6, atomic, flow: flow_now, sequence, id, payload, edit, broken: None }
            };
            all.into_iter().map(make).collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_joined_is_cut_into_the_same_packets(segments in segments()) {
        let frames: Vec<_> = segments.iter().map(Segment::frame).collect();
        let out = through(&mut rig(true), &frames);
        prop_assert_eq!(without_id(&cut(&out)), without_id(&frames));
    }

    #[test]
    fn broken_segments_pass_as_they_are(
        segments in segments(),
        broken in prop::collection::vec((0..80_usize, 0..200_usize), 0..20),
    ) {
        let mut segments = segments;
        for (at, byte) in broken {
            let at = at % segments.len();
            segments[at].broken = Some(byte);
        }
        let frames: Vec<_> = segments.iter().map(Segment::frame).collect();
        let out = through(&mut rig(true), &frames);
        // Those that were not joined are untouched, and the others are whole ones in a row.
        let (mut cutter, mut rest) = (rig(false), &frames[..]);
        for one in &out {
            if one.2.is_none() {
                prop_assert_eq!(&one.1, &rest[0]);
                rest = &rest[1..];
                continue;
            }
            let parts = cut_by(&mut cutter, std::slice::from_ref(one));
            let (own, others) = rest.split_at(parts.len());
            prop_assert_eq!(without_id(&parts), without_id(own));
            rest = others;
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn any_bytes_pass(frames in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..90), any::<bool>()), 1..20)) {
        let head = Segment::new(0, 10).frame();
        let frames: Vec<Vec<u8>> = frames
            .into_iter()
            .map(|(tail, is_v6)| {
                let kind = if is_v6 { &[0x86, 0xdd, 0x60][..] } else { &[8, 0, 0x45] };
                [&head[..12], kind, &tail].concat()
            })
            .collect();
        let out: Vec<_> = through(&mut rig(true), &frames).into_iter().map(|out| out.1).collect();
        prop_assert_eq!(out, frames);
    }
}
