use proptest::prelude::*;

use super::*;

const OURS: Mac = Mac(0x0200_0000_0001);
const THEIRS: Mac = Mac(0x0200_0000_0002);
const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [10, 0, 0, 2];

fn written(arp: &Arp) -> [u8; FRAME_LEN] {
    let mut frame = [0; FRAME_LEN];
    assert_eq!(arp.write(arp.destination(), &mut frame), Some(FRAME_LEN));
    frame
}

#[test]
fn the_frame_is_that_of_the_rfc() {
    let frame = written(&Arp::request(OURS, A, B));
    assert_eq!(frame[..14], [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6]);
    assert_eq!(frame[14..22], [0, 1, 8, 0, 6, 4, 0, 1]);
    assert_eq!(frame[22..], [2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    let packet = etherparse::ArpPacketSlice::from_slice(&frame[14..]).expect("ARP");
    assert_eq!((packet.sender_protocol_addr(), packet.target_protocol_addr()), (&A[..], &B[..]));
}

#[test]
fn what_is_written_is_read() {
    let request = Arp::request(OURS, A, B);
    let reply = request.reply(THEIRS);
    assert_eq!((reply.sender, reply.target, reply.destination()), (B, A, OURS));
    for arp in [request, reply, Arp::probe(OURS, B), Arp::announcement(OURS, A)] {
        assert_eq!(Arp::parse(&written(&arp)), Ok(arp));
    }
    assert!(Arp::probe(OURS, B).is_probe() && !request.is_probe() && !reply.is_probe());
    assert!(Arp::announcement(OURS, A).is_announcement() && !request.is_announcement());
    // A probe is answered to the one who asks, who has no address.
    assert_eq!(Arp::parse(&written(&Arp::probe(OURS, B).reply(THEIRS))).map(|a| a.target), Ok([0; 4]));
}

#[test]
fn each_fault_is_named() {
    let request = written(&Arp::request(OURS, A, B));
    let fault = |at: usize, bytes: &[u8]| {
        let mut frame = request;
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        Arp::parse(&frame).expect_err("a fault")
    };
    assert_eq!(Arp::parse(&request[..41]), Err(Fault::Truncated));
    assert_eq!(fault(12, &[8, 0]), Fault::Truncated);
    for (at, byte) in [(15, 6), (16, 9), (18, 8), (19, 16)] {
        assert_eq!(fault(at, &[byte]), Fault::Kind);
    }
    assert_eq!(fault(20, &[0, 3]), Fault::Operation(3));
    assert_eq!(fault(22, &[1]), Fault::SenderMac(Mac(0x0100_0000_0001)));
    assert_eq!(fault(22, &[0; 6]), Fault::SenderMac(Mac(0)));
    for address in [[127, 0, 0, 1], [224, 0, 0, 1], [255; 4], [0, 0, 0, 1]] {
        assert_eq!(fault(28, &address), Fault::Sender, "{address:?}");
        assert_eq!(fault(38, &address), Fault::Target, "{address:?}");
    }
    assert_eq!(fault(38, &[0; 4]), Fault::Target);
    let mut probe = written(&Arp::probe(OURS, B));
    probe[21] = 2;
    assert_eq!(Arp::parse(&probe), Err(Fault::Sender), "nobody answers without an address");
    assert_eq!(Arp::request(OURS, A, B).write(OURS, &mut [0; 41]), None);
}

#[test]
fn a_tagged_frame_is_read() {
    let request = Arp::request(OURS, A, B);
    let frame = written(&request);
    let tagged = [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat();
    assert_eq!(Arp::parse(&tagged), Ok(request));
}

proptest! {
    #[test]
    fn any_frame_is_judged(
        edits in prop::collection::vec((12_usize..42, any::<u8>()), 0..6),
        len in 0_usize..43,
    ) {
        let mut frame = written(&Arp::request(OURS, A, B));
        for (at, value) in edits {
            frame[at] = value;
        }
        if let Ok(arp) = Arp::parse(&frame[..len]) {
            prop_assert!(arp.sender_mac.is_station());
            prop_assert_eq!(&written(&arp)[14..], &frame[14..len]);
        }
    }
}
