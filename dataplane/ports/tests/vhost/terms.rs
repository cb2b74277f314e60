//! Whatever driver and device agree upon, frames pass; and nothing passes that they have not agreed upon.

use paceline_buf::VnetHdr;
use paceline_graph::{Capabilities, Reason};
use paceline_ports::{LinkState, Port, VhostRole};

use crate::guest::{Guest, Kind, feature};
use crate::switch::{Switch, frame};

#[test]
fn frames_pass_with_any_features() {
    for bits in 0..16 {
        let kind = Kind {
            packed: bits & 1 != 0,
            indirect: bits & 2 != 0,
            event_index: bits & 4 != 0,
            mergeable: bits & 8 != 0,
            more: 0,
        };
        let mut switch = Switch::new(VhostRole::Server);
        let mut guest = Guest::connect(&switch.socket, kind);
        switch.wait_for(&LinkState::Up);
        for round in 0..400_usize {
            let len = [60, 1514, 9000, 65_000][round % 4];
            let (there, back) = (frame(len, round as u8), frame(60, round as u8));
            assert!(guest.send([0; 10], &there));
            assert!(switch.frame() == there, "{kind:?}, round {round}");
            switch.send(&back);
            let (header, got) = guest.receive().expect("it was sent");
            assert!(header == [0; 10] && got == back, "{kind:?}, round {round}");
        }
        assert_eq!(switch.drops.total(), 0, "{kind:?}");
        switch.end();
    }
}

#[test]
fn offloads_pass_as_agreed() {
    let open = VnetHdr {
        flags: VnetHdr::NEEDS_CSUM,
        gso_type: VnetHdr::GSO_TCPV4,
        hdr_len: 54,
        gso_size: 1400,
        csum_start: 34,
        csum_offset: 16,
    };
    for (more, can) in [
        (0, Capabilities::NONE),
        (feature::GUEST_CSUM, Capabilities { checksum: true, ..Capabilities::NONE }),
        (
            feature::GUEST_CSUM | feature::GUEST_TSO4,
            Capabilities { checksum: true, tso4: true, ..Capabilities::NONE },
        ),
    ] {
        let mut switch = Switch::new(VhostRole::Server);
        assert_eq!(switch.port.capabilities(), Capabilities::NONE, "there is no guest yet");
        let mut guest = Guest::connect(&switch.socket, Kind { more, ..Kind::SPLIT });
        switch.wait_for(&LinkState::Up);
        assert_eq!(switch.port.capabilities(), can);
        for (offload, passes) in [
            (open, can.tso4),
            (VnetHdr { gso_type: VnetHdr::GSO_NONE, ..open }, can.checksum),
            (VnetHdr { gso_type: VnetHdr::GSO_TCPV6, ..open }, false),
            (VnetHdr { gso_type: VnetHdr::GSO_UDP_L4, ..open }, false),
        ] {
            let (sent, before) = (frame(1000, 7), switch.drops.get(Reason::BadOffload));
            let mut packet = switch.cache.alloc().expect("a chunk");
            packet.extend(&sent).expect("room");
            packet.set_offload(offload);
            switch.transmit(packet);
            let got = guest.receive();
            assert_eq!(got, passes.then(|| (offload.to_bytes(), sent)));
            assert_eq!(switch.drops.get(Reason::BadOffload) - before, u64::from(!passes));
        }
        // What the guest leaves open comes with the packet; what nobody offered to do for it does not come.
        let mut seen = None;
        assert!(guest.send(open.to_bytes(), &frame(3000, 1)));
        switch.until(|switch| {
            switch.receive(&mut |packet| seen = Some((packet.offload(), packet.total_len())));
            seen.is_some()
        });
        assert_eq!(seen, Some((Some(open), 3000)));
        let before = switch.drops.get(Reason::BadOffload);
        for header in [
            VnetHdr { csum_start: 2999, ..open },
            VnetHdr { gso_size: 0, ..open },
            VnetHdr { gso_type: VnetHdr::GSO_UDP, ..open },
            VnetHdr { gso_type: 9, ..open },
        ] {
            assert!(guest.send(header.to_bytes(), &frame(3000, 1)));
        }
        switch.until(|switch| {
            assert_eq!(switch.receive(&mut |_| {}), 0);
            switch.drops.get(Reason::BadOffload) - before == 4
        });
        switch.end();
    }
}

#[test]
fn what_is_too_short_or_too_long_is_counted() {
    let mut switch = Switch::new(VhostRole::Server);
    let kind = Kind { mergeable: false, ..Kind::SPLIT };
    let mut guest = Guest::connect(&switch.socket, kind);
    switch.wait_for(&LinkState::Up);
    assert!(guest.tx.offer(&[vec![0; 11]]) && guest.send([0; 10], &[1; 13]));
    assert!(guest.send([0; 10], &vec![1; 65_555]) && guest.send([0; 10], &frame(60, 1)));
    assert_eq!(switch.frame(), frame(60, 1));
    assert_eq!((switch.drops.get(Reason::Runt), switch.drops.get(Reason::TooBig)), (2, 1));
    // The guest has 7 chains of 33 buffers.
    for number in 0..9 {
        switch.send(&frame(60, number));
    }
    assert_eq!(switch.drops.get(Reason::TxFull), 2);
    let got: Vec<_> = std::iter::from_fn(|| guest.receive()).map(|(_, frame)| frame).collect();
    assert_eq!(got, (0..7).map(|number| frame(60, number)).collect::<Vec<_>>());
    switch.end();
}
