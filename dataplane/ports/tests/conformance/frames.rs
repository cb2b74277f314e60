//! Frames as such: none lost, none twice, in order, whole; and what happens when something breaks.

use paceline_graph::Reason;
use paceline_ports::LinkState;

use crate::bed::{Bed, EXPERIMENT, bytes};

macro_rules! kinds {
    ($($kind:ident)+) => {
        $(mod $kind {
            use super::Bed;

            #[test]
            fn frames_pass_whole_and_in_order() {
                Bed::$kind().map(super::frames_pass_whole_and_in_order);
            }

            #[test]
            fn tags_are_kept() {
                Bed::$kind().map(super::tags_are_kept);
            }

            #[test]
            fn replicas_and_chains_are_sent_whole() {
                Bed::$kind().map(super::replicas_and_chains_are_sent_whole);
            }

            #[test]
            fn an_exhausted_pool_drops_and_recovers() {
                Bed::$kind().map(super::an_exhausted_pool_drops_and_recovers);
            }

            #[test]
            fn a_bad_packet_harms_no_other() {
                Bed::$kind().map(super::a_bad_packet_harms_no_other);
            }

            #[test]
            fn a_device_that_goes_down_comes_back() {
                Bed::$kind().map(super::a_device_that_goes_down_comes_back);
            }

            #[test]
            fn a_device_that_is_deleted_is_reported() {
                Bed::$kind().map(super::a_device_that_is_deleted_is_reported);
            }
        })+
    };
}

kinds! { memory tap packet afxdp vhost_split vhost_packed memif_server memif_client testpmd_client testpmd_server }

/// A frame of a length, with a number in it and bytes that depend on both.
fn frame(len: usize, number: u16) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..len).map(|at| (at * 31 + usize::from(number)) as u8).collect();
    let [high, low] = number.to_be_bytes();
    frame[..12].copy_from_slice(&[2, 0, 0, 0, high, low, 2, 1, 0, 0, high, low]);
    frame[12..14].copy_from_slice(&EXPERIMENT);
    frame
}

fn frames(bed: &Bed) -> Vec<Vec<u8>> {
    let sizes = [14, 15, 60, 64, 590, 1514, 1518, 3776, 3777, 9014, 20_000, 65_535, 65_549, 60, 60];
    let fitting = sizes.into_iter().filter(|&size| size <= bed.longest);
    fitting.enumerate().map(|(number, size)| frame(size, number as u16)).collect()
}

fn frames_pass_whole_and_in_order(mut bed: Bed) {
    assert_eq!(bed.port.state(), LinkState::Up);
    for round in 0..3 {
        let sent = frames(&bed);
        bed.far_send(&sent);
        let got = bed.receive(sent.len());
        assert!(got == sent, "round {round}, in: {:?}", lengths(&got));
        for part in sent.chunks(4) {
            let packets: Vec<_> = part.iter().map(|frame| bed.packet_of(frame)).collect();
            bed.transmit(packets);
        }
        let got = bed.far_receive(sent.len());
        assert!(got == sent, "round {round}, out: {:?}", lengths(&got));
    }
    // More than a vector takes, and more than a batch, of small ones; never more at once than every kind has room for.
    for round in 0..10_u16 {
        let sent: Vec<_> = (0..90).map(|number| frame(60, round * 100 + number)).collect();
        bed.far_send(&sent);
        assert!(bed.receive(sent.len()) == sent, "round {round}, in");
        let packets: Vec<_> = sent.iter().map(|frame| bed.packet_of(frame)).collect();
        bed.transmit(packets);
        assert!(bed.far_receive(sent.len()) == sent, "round {round}, out");
    }
    assert_eq!(bed.drops.seen().collect::<Vec<_>>(), []);
    bed.end();
}

fn tags_are_kept(mut bed: Bed) {
    let tagged = |tags: &[u8], number| {
        let mut frame = frame(100, number);
        frame.splice(12..12, tags.iter().copied());
        frame
    };
    let sent = [
        tagged(&[0x81, 0x00, 0xe0, 0x07], 0),
        tagged(&[0x81, 0x00, 0x00, 0x00], 1),
        tagged(&[0x88, 0xa8, 0x0f, 0xfe], 2),
        tagged(&[0x88, 0xa8, 0x00, 0x0a, 0x81, 0x00, 0x00, 0x14], 3),
        tagged(&[], 4),
    ];
    bed.far_send(&sent);
    assert_eq!(bed.receive(sent.len()), sent);
    let packets: Vec<_> = sent.iter().map(|frame| bed.packet_of(frame)).collect();
    bed.transmit(packets);
    assert_eq!(bed.far_receive(sent.len()), sent);
    bed.end();
}

fn lengths(frames: &[Vec<u8>]) -> Vec<usize> {
    frames.iter().map(Vec::len).collect()
}

fn replicas_and_chains_are_sent_whole(mut bed: Bed) {
    // As a flood has them: two heads and one tail, which neither may write to.
    let sent = frame(1400, 7);
    let mut original = bed.packet_of(&sent);
    let replica = bed.cache.replicate(&mut original).expect("a chunk");
    // A packet without headroom, in pieces that are no multiple of anything.
    let mut tight = bed.cache.alloc().expect("a chunk");
    tight.reserve(0);
    tight.extend(&sent[..17]).expect("room");
    let mut tail = bed.cache.alloc().expect("a chunk");
    tail.extend(&sent[17..]).expect("room");
    tight.push_tail(tail);
    let mut bare = bed.cache.alloc().expect("a chunk");
    bare.reserve(0);
    bare.extend(&sent).expect("room");
    assert!(original.is_chained() && bytes(&replica) == sent && bytes(&tight) == sent);
    bed.transmit([original, tight, replica, bare]);
    assert!(bed.far_receive(4) == vec![sent; 4]);
    assert_eq!(bed.drops.total(), 0);
    bed.end();
}

fn an_exhausted_pool_drops_and_recovers(mut bed: Bed) {
    const SENT: usize = 200;
    let mut held: Vec<_> = std::iter::from_fn(|| bed.cache.alloc()).collect();
    let (pool, mut received) = (held.len(), 0);
    for step in 0..10 {
        bed.far_send(
            &(0..SENT / 10).map(|number| frame(60, (step * 20 + number) as u16)).collect::<Vec<_>>(),
        );
        // What the device was lent before may still be filled.
        let got = bed.receive_held(SENT / 10);
        received += got.len();
        held.extend(got);
    }
    assert!(received < SENT && received <= bed.lent);
    assert_eq!(received as u64 + bed.drops.get(Reason::NoBuffers), SENT as u64);
    let long = frame(bed.longest.min(9014), 6);
    if long.len() > 3776 {
        // One chunk is too little for a long frame, and enough for a short one.
        bed.cache.free(held.remove(0));
        bed.far_send(&[long.clone(), frame(60, 7)]);
        assert_eq!(bed.receive(1), [frame(60, 7)]);
    }
    assert!(held.len() + 1 >= pool);
    held.drain(..).for_each(|packet| bed.cache.free(packet));
    assert!(bed.receive(0).is_empty());
    bed.far_send(std::slice::from_ref(&long));
    assert!(bed.receive(1) == [long]);
    bed.end();
}

fn a_bad_packet_harms_no_other(mut bed: Bed) {
    let (first, last) = (frame(60, 1), frame(60, 2));
    let mut runt = bed.cache.alloc().expect("a chunk");
    runt.extend(&[1; 9]).expect("room");
    let (first_packet, last_packet) = (bed.packet_of(&first), bed.packet_of(&last));
    bed.transmit([first_packet, runt, last_packet]);
    assert!(bed.far_receive(2) == [first, last]);
    assert!(bed.drops.total() <= 1, "{:?}", bed.drops);
    bed.end();
}

fn a_device_that_goes_down_comes_back(mut bed: Bed) {
    if let Some(why) = bed.set_up(false) {
        bed.expect_state(&LinkState::Down(why));
        let packets: Vec<_> = (0..3).map(|number| bed.packet_of(&frame(60, number))).collect();
        bed.transmit(packets);
        assert_eq!(bed.drops.get(Reason::PortDown), 3);
        assert!(bed.receive(0).is_empty());
        bed.set_up(true);
        bed.expect_state(&LinkState::Up);
        let sent = frame(60, 9);
        bed.far_send(std::slice::from_ref(&sent));
        assert!(bed.receive(1) == [sent.clone()]);
        let packet = bed.packet_of(&sent);
        bed.transmit([packet]);
        assert!(bed.far_receive(1) == [sent]);
    }
    bed.end();
}

fn a_device_that_is_deleted_is_reported(mut bed: Bed) {
    if let Some(why) = bed.kill() {
        for _ in 0..2 {
            bed.expect_state(&LinkState::Down(why));
            assert!(bed.receive(0).is_empty());
        }
        let packets: Vec<_> = (0..40).map(|number| bed.packet_of(&frame(60, number))).collect();
        bed.transmit(packets);
        assert_eq!(bed.drops.get(Reason::PortDown), 40);
    }
    bed.end();
}
