//! Taps of the real kernel, in namespaces made for each test.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use paceline_sys::netns::{Scratch, in_time};
use paceline_sys::{NetNs, VnetHdr, link};
use paceline_tap::{HEADER, Offloads, Options, Tap, TapError, is_gone};

/// Room for the largest super-packet.
const LARGEST: usize = HEADER + 14 + 65536;

fn open(net: &NetNs, name: &str, options: Options) -> Result<Tap, TapError> {
    net.run(|| Tap::open(name, options)).expect("setns")
}

/// A tap with an address, up, in `net`.
fn open_up(net: &Scratch, name: &str, address: &str) -> Tap {
    let tap = open(net, name, Options::default()).expect("tap");
    net.ip(&format!("address add {address} dev {name}"));
    net.up(&[name]);
    tap
}

/// Reads until a frame passes `wanted`.
fn read_until(tap: &Tap, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut buf = vec![0; LARGEST];
    loop {
        match tap.read(&mut buf) {
            Ok(len) if wanted(&buf[HEADER..len]) => return buf[..len].to_vec(),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn is_udp(frame: &[u8]) -> bool {
    frame.len() > 42 && frame[12..14] == [8, 0] && frame[23] == 17
}

#[test]
fn a_datagram_leaves_with_an_open_checksum_and_comes_back() {
    let Some(net) = Scratch::for_test() else { return };
    let tap = open_up(&net, "tap0", "10.9.0.1/24");
    assert_eq!(tap.offloads(), Offloads::ALL);
    net.ip("neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev tap0");
    let socket = net.run(|| UdpSocket::bind("10.9.0.1:4000")).unwrap().unwrap();
    socket.send_to(b"there", "10.9.0.2:4000").unwrap();

    let out = read_until(&tap, is_udp);
    let header = VnetHdr::from_bytes(out[..HEADER].try_into().unwrap());
    assert!(header.needs_csum() && !header.is_gso(), "{header:?}");
    assert_eq!((header.csum_start, header.csum_offset), (34, 6));

    // The same datagram from 10.9.0.2, gathered from pieces; the sum over swapped addresses and ports is the same.
    let mut frame = out[HEADER..].to_vec();
    let (to, from) = (frame[0..6].to_vec(), frame[6..12].to_vec());
    frame[0..6].copy_from_slice(&from);
    frame[6..12].copy_from_slice(&to);
    frame[29] = 2;
    frame[33] = 1;
    let (head, tail) = frame.split_at(50.min(frame.len() - 1));
    let sent =
        tap.write_vectored(&[IoSlice::new(&header.to_bytes()), IoSlice::new(head), IoSlice::new(tail)]);
    assert_eq!(sent.unwrap(), HEADER + frame.len());
    let mut got = [0; 16];
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (len, peer) = socket.recv_from(&mut got).unwrap();
    assert_eq!((&got[..len], peer.to_string()), (&b"there"[..], "10.9.0.2:4000".to_string()));
}

#[test]
fn a_stream_between_two_namespaces_travels_in_super_packets() {
    let (Some(left), Some(right)) = (Scratch::for_test(), Scratch::for_test()) else { return };
    let taps = [open_up(&left, "tap0", "10.9.1.1/24"), open_up(&right, "tap0", "10.9.1.2/24")];
    let (done, largest) = (AtomicBool::new(false), AtomicUsize::new(0));
    let listener = right.run(|| TcpListener::bind("10.9.1.2:4000")).unwrap().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut head, mut tail) = (vec![0; 2048], vec![0; LARGEST]);
            while !done.load(Ordering::Relaxed) {
                for (from, to) in [(&taps[0], &taps[1]), (&taps[1], &taps[0])] {
                    let bufs = &mut [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
                    let Ok(len) = from.read_vectored(bufs) else { continue };
                    largest.fetch_max(len, Ordering::Relaxed);
                    let first = len.min(head.len());
                    let _ = to
                        .write_vectored(&[IoSlice::new(&head[..first]), IoSlice::new(&tail[..len - first])]);
                }
            }
        });
        let sender = scope.spawn(|| {
            let mut stream = left.run(|| TcpStream::connect("10.9.1.2:4000")).unwrap().unwrap();
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

#[test]
fn a_persistent_device_is_opened_again_where_it_was_moved_to() {
    let (Some(host), Some(container)) = (Scratch::for_test(), Scratch::for_test()) else { return };
    let options = Options { persist: true, ..Options::default() };
    let tap = open(&host, "pl%d", options).unwrap();
    assert_eq!(tap.name().unwrap().as_str(), "pl0");
    host.ip(&format!("link set pl0 netns {} name eth0", container.path().display()));
    assert_eq!(tap.name().unwrap().as_str(), "eth0");
    assert_eq!(tap.netns().unwrap().id().unwrap(), container.id().unwrap());
    assert_eq!(tap.ifindex().unwrap(), container.run(|| link::index("eth0")).unwrap().unwrap());
    assert!(matches!(open(&container, "eth0", options), Err(TapError::Busy(_))));
    container.up(&["eth0"]);
    drop(tap);

    in_time(|| container.ip("link show eth0").contains("NO-CARRIER").then_some(()).ok_or("it has a carrier"));
    let again = in_time(|| open(&container, "eth0", Options::default()));
    assert!(container.ip("link show eth0").contains("LOWER_UP"));
    again.set_carrier(false).unwrap();
    assert!(container.ip("link show eth0").contains("NO-CARRIER"));
    again.set_persist(false).unwrap();
    drop(again);
    in_time(|| container.run(|| link::index("eth0")).unwrap().err().ok_or("it is still there"));
}

#[test]
fn queues_attach_and_detach() {
    let (Some(host), Some(container)) = (Scratch::for_test(), Scratch::for_test()) else { return };
    let first = open(&host, "tap0", Options { multi_queue: true, ..Options::default() }).unwrap();
    host.ip(&format!("link set tap0 netns {}", container.path().display()));
    let second = first.attach_queue().unwrap();
    assert_eq!(second.ifindex().unwrap(), first.ifindex().unwrap());
    second.set_attached(false).unwrap();
    assert!(second.set_attached(false).is_err());
    second.set_attached(true).unwrap();
    drop(first);
    assert_eq!(second.name().unwrap().as_str(), "tap0");

    let single = open(&host, "tap1", Options::default()).unwrap();
    assert!(matches!(single.attach_queue(), Err(TapError::Mismatch { .. })));
}

#[test]
fn what_cannot_be_opened_says_why() {
    let Some(net) = Scratch::for_test() else { return };
    let error = |name: &str, options| open(&net, name, options).expect_err(name).to_string();
    assert!(error("a/b", Options::default()).contains("\"a/b\""));
    net.ip("link add left type veth peer name right");
    assert_eq!(error("left", Options::default()), "tap left: exists and is no tap with one queue");
    let _queues = open(&net, "many", Options { multi_queue: true, ..Options::default() }).unwrap();
    assert_eq!(error("many", Options::default()), "tap many: exists and is no tap with one queue");
}

#[test]
fn a_device_that_is_down_or_gone_is_an_error_of_its_own() {
    let Some(net) = Scratch::for_test() else { return };
    let tap = open(&net, "tap0", Options::default()).unwrap();
    let mut buf = [0; 128];
    assert_eq!(tap.read(&mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(tap.write(&buf).unwrap_err().raw_os_error(), Some(libc::EIO));
    net.up(&["tap0"]);
    assert_eq!(tap.write(&buf[..HEADER + 13]).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    net.ip("link delete tap0");
    assert!(is_gone(&tap.write(&buf).unwrap_err()));
    assert!(is_gone(&tap.name().unwrap_err()));
    drop(net);
    assert!(is_gone(&tap.read(&mut buf).unwrap_err()));
}
