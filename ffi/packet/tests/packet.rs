//! Packet sockets of the real kernel, on veths in namespaces made for each test.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use paceline_packet::{BATCH, HEADER, PacketError, PacketSocket, RxSlot, VlanTag, is_down, is_gone};
use paceline_sys::netns::Scratch;
use paceline_sys::{NetNs, link};

fn open(net: &NetNs, name: &str) -> PacketSocket {
    net.run(|| PacketSocket::open(link::index(name).unwrap())).unwrap().unwrap()
}

/// A namespace with the two ends of a veth up and silent.
fn pair() -> Option<(Scratch, PacketSocket, PacketSocket)> {
    let net = Scratch::for_test()?;
    net.silence();
    net.ip("link add left arp off type veth peer name right arp off");
    net.up(&["left", "right"]);
    let (left, right) = (open(&net, "left"), open(&net, "right"));
    Some((net, left, right))
}

/// A header and a frame with this `EtherType`, numbered and padded.
fn frame(ethertype: u16, number: u8, len: usize) -> Vec<u8> {
    let mut frame = vec![number; HEADER + len];
    frame[..HEADER].fill(0);
    frame[HEADER..HEADER + 12].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
    frame[HEADER + 12..HEADER + 14].copy_from_slice(&ethertype.to_be_bytes());
    frame
}

fn send(socket: &mut PacketSocket, frames: &[Vec<u8>]) -> io::Result<usize> {
    socket.send_batch(&frames.iter().map(|frame| [IoSlice::new(frame)]).collect::<Vec<_>>())
}

/// A frame behind its header, its tag, and whether it was cut off.
type Received = (Vec<u8>, Option<VlanTag>, bool);

/// What waits, each frame in two pieces of `piece` bytes.
fn receive(socket: &mut PacketSocket, piece: usize) -> io::Result<Vec<Received>> {
    let mut room = vec![[vec![0; piece], vec![0; piece]]; BATCH + 1];
    let mut bufs: Vec<_> =
        room.iter_mut().map(|pieces| pieces.each_mut().map(|piece| IoSliceMut::new(piece))).collect();
    let mut slots: Vec<_> = bufs.iter_mut().map(|bufs| RxSlot::new(bufs)).collect();
    let got = socket.recv_batch(&mut slots)?;
    let about: Vec<_> = slots[..got].iter().map(|slot| (slot.len, slot.vlan, slot.truncated)).collect();
    let join = |(pieces, (len, vlan, cut)): (&[Vec<u8>; 2], (usize, _, _))| {
        (pieces.concat()[..len].to_vec(), vlan, cut)
    };
    Ok(room.iter().zip(about).map(join).collect())
}

/// As [`receive`], once this many have come: a veth hands frames over in the kernel's own time.
fn await_frames(socket: &mut PacketSocket, count: usize, piece: usize) -> Vec<Received> {
    let mut got = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    while got.len() < count && Instant::now() < deadline {
        match receive(socket, piece) {
            Ok(mut frames) => {
                assert!(frames.len() <= BATCH);
                got.append(&mut frames);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
    got
}

#[test]
fn a_batch_arrives_in_order_and_is_not_heard_by_its_sender() {
    let Some((_net, mut left, mut right)) = pair() else { return };
    assert_eq!(receive(&mut right, 64).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let frames: Vec<_> = (0..100).map(|number| frame(0x88b5, number, 60 + usize::from(number))).collect();
    assert_eq!(send(&mut left, &frames).unwrap(), BATCH);
    assert_eq!(send(&mut left, &frames[BATCH..]).unwrap(), 100 - BATCH);
    let got = await_frames(&mut right, 100, 100);
    assert_eq!(got.into_iter().map(|(frame, ..)| frame).collect::<Vec<_>>(), frames);
    assert_eq!(receive(&mut left, 64).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(right.drops().unwrap(), 0);
}

#[test]
fn the_outer_tag_comes_beside_the_frame() {
    let Some((_net, mut left, mut right)) = pair() else { return };
    for (tpid, inner) in [(0x8100, 0x88b5), (0x88a8, 0x8100)] {
        let plain = frame(inner, 7, 60);
        let tag = VlanTag { tpid, tci: 0x6123 };
        let mut tagged = plain.clone();
        tagged.splice(HEADER + 12..HEADER + 12, tag.to_bytes());
        assert_eq!(send(&mut left, &[tagged, frame(0x88b5, 8, 60)]).unwrap(), 2);
        assert_eq!(
            await_frames(&mut right, 2, 64),
            [(plain, Some(tag), false), (frame(0x88b5, 8, 60), None, false)]
        );
    }
}

#[test]
fn a_frame_that_does_not_fit_is_marked() {
    let Some((_net, mut left, mut right)) = pair() else { return };
    let long = frame(0x88b5, 1, 200);
    assert_eq!(send(&mut left, &[long.clone(), frame(0x88b5, 2, 60)]).unwrap(), 2);
    let got = await_frames(&mut right, 2, 50);
    assert_eq!(got, [(long[..100].to_vec(), None, true), (frame(0x88b5, 2, 60), None, false)]);
}

#[test]
fn a_refused_frame_stops_the_batch_before_it() {
    let Some((_net, mut left, mut right)) = pair() else { return };
    let frames = [frame(0x88b5, 1, 60), frame(0x88b5, 2, 1600), frame(0x88b5, 3, 60)];
    assert_eq!(send(&mut left, &frames).unwrap(), 1);
    assert_eq!(send(&mut left, &frames[1..]).unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
    assert_eq!(send(&mut left, &frames[2..]).unwrap(), 1);
    assert_eq!(await_frames(&mut right, 2, 64).len(), 2);
}

#[test]
fn down_and_gone_are_told_apart() {
    let Some((net, mut left, mut right)) = pair() else { return };
    let one = [frame(0x88b5, 1, 60)];
    net.ip("link set left down");
    assert!(is_down(&receive(&mut left, 64).unwrap_err()));
    assert_eq!(receive(&mut left, 64).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert!(is_down(&send(&mut left, &one).unwrap_err()));
    net.up(&["left", "right"]);
    assert_eq!(send(&mut left, &one).unwrap(), 1);
    assert_eq!(await_frames(&mut right, 1, 64).len(), 1);

    net.ip("link delete right");
    assert!(is_gone(&receive(&mut left, 64).unwrap_err()));
    assert!(is_gone(&send(&mut left, &one).unwrap_err()));
}

#[test]
fn an_interface_that_is_not_there() {
    let Some(net) = Scratch::for_test() else { return };
    let error = net.run(|| PacketSocket::open(12_345)).unwrap().unwrap_err();
    assert!(matches!(error, PacketError::NoInterface(12_345)), "{error}");
}

#[test]
fn a_stream_between_two_namespaces_travels_in_super_packets() {
    let (Some(left), Some(right), Some(middle)) =
        (Scratch::for_test(), Scratch::for_test(), Scratch::for_test())
    else {
        return;
    };
    let [mut a, mut b] = [("veth1", &left, 1), ("veth2", &right, 2)].map(|(end, host, number)| {
        middle.ip(&format!("link add {end} arp off type veth peer name far"));
        middle.ip(&format!("link set far netns {} name eth0", host.path().display()));
        host.ip(&format!("address add 10.9.2.{number}/24 dev eth0"));
        host.up(&["eth0"]);
        middle.up(&[end]);
        open(&middle, end)
    });
    let (done, largest) = (AtomicBool::new(false), AtomicUsize::new(0));
    let listener = right.run(|| TcpListener::bind("10.9.2.2:4000")).unwrap().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for turn in [true, false] {
                    let (from, to) = if turn { (&mut a, &mut b) } else { (&mut b, &mut a) };
                    let Ok(frames) = receive(from, 33_000) else { continue };
                    let frames: Vec<_> = frames.into_iter().map(|(frame, ..)| frame).collect();
                    largest.fetch_max(frames.iter().map(Vec::len).max().unwrap_or(0), Ordering::Relaxed);
                    assert_eq!(send(to, &frames).unwrap(), frames.len());
                }
            }
        });
        let sender = scope.spawn(|| {
            let mut stream = left.run(|| TcpStream::connect("10.9.2.2:4000")).unwrap().unwrap();
            stream.write_all(&vec![7; 4 << 20]).unwrap();
        });
        let mut got = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut got).unwrap();
        sender.join().unwrap();
        done.store(true, Ordering::Relaxed);
        assert!(got.len() == 4 << 20 && got.iter().all(|&byte| byte == 7));
    });
    assert!(largest.into_inner() > 16_384);
}
