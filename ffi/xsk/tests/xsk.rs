//! `AF_XDP` sockets of the real kernel, on veths in namespaces made for each test.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use paceline_sys::netns::{Scratch, in_time};
use paceline_sys::wake::{Event, Interest};
use paceline_sys::{Epoll, HugePages, NetNs, Region, link};
use paceline_xsk::{
    Attachment, Desc, KERNEL_HEADROOM, Mode, Options, Program, Umem, XskError, XskQueue, is_down, is_gone,
};

const CHUNK: u32 = 2048;
const CHUNKS: u64 = 64;
const HEADROOM: u32 = 64;

fn umem() -> Arc<Umem> {
    let region = Region::new((CHUNKS * u64::from(CHUNK)) as usize, HugePages::Never).unwrap();
    Arc::new(Umem::new(Arc::new(region), CHUNK, HEADROOM).unwrap())
}

/// The first chunks of the UMEM, some for each socket.
fn chunks(from: u64, count: u64) -> Vec<u64> {
    (from..from + count).map(|chunk| chunk * u64::from(CHUNK)).collect()
}

fn open(net: &NetNs, umem: &Arc<Umem>, name: &str, options: Options) -> Result<XskQueue, XskError> {
    net.run(|| XskQueue::open(umem, link::index(name).unwrap(), 0, options)).unwrap()
}

fn attach(net: &NetNs, name: &str, queue: Option<&XskQueue>, frags: bool) -> Result<Attachment, XskError> {
    let program = Program::load(1, frags)?;
    if let Some(queue) = queue {
        program.direct(queue)?;
    }
    // The program itself may go: the link keeps it.
    net.run(|| program.attach(link::index(name).unwrap())).unwrap()
}

/// A veth from `switch`, where it is called `name`, to `eth0` of a new namespace with this address. What that end sends
/// has finished checksums, as AF_XDP does not carry the order to finish them.
fn host(switch: &Scratch, name: &str, number: u8) -> Option<Scratch> {
    let host = Scratch::for_test()?;
    host.silence();
    switch.silence();
    switch.ip(&format!("link add {name} arp off type veth peer name far"));
    switch.ip(&format!(
        "link set far netns {} name eth0 address 02:00:00:00:00:0{number}",
        host.path().display()
    ));
    host.ip(&format!("address add 10.9.3.{number}/24 dev eth0"));
    host.run(|| paceline_sys::ethtool::set_tx_checksum(&"eth0".parse().unwrap(), false)).unwrap().unwrap();
    switch.up(&[name]);
    host.up(&["eth0"]);
    switch.up(&[name]);
    let other = 3 - number;
    host.ip(&format!("neigh add 10.9.3.{other} lladdr 02:00:00:00:00:0{other} dev eth0"));
    Some(host)
}

fn udp(host: &Scratch, number: u8) -> UdpSocket {
    let socket = host.run(|| UdpSocket::bind(format!("10.9.3.{number}:4000"))).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

/// Waits until the socket is readable and takes what came.
fn receive(queue: &mut XskQueue) -> Vec<Desc> {
    let epoll = Epoll::new().unwrap();
    epoll.add(&*queue, 0, Interest::Read).unwrap();
    assert_eq!(
        epoll.wait(&mut [Event::EMPTY], Some(Duration::from_secs(10))).unwrap(),
        1,
        "nothing received"
    );
    let mut frames = [Desc::default(); 16];
    let got = queue.rx(&mut frames).unwrap();
    frames[..got].to_vec()
}

#[test]
fn a_frame_goes_from_one_socket_s_rx_to_the_other_s_tx() {
    let Some(switch) = Scratch::for_test() else { return };
    let (Some(one), Some(two)) = (host(&switch, "port1", 1), host(&switch, "port2", 2)) else { return };
    let umem = umem();
    let mut left = open(&switch, &umem, "port1", Options::default()).unwrap();
    let mut right = open(&switch, &umem, "port2", Options::default()).unwrap();
    assert!(!left.zero_copy() && left.fallback().is_some(), "veth has no zero-copy");
    let links =
        [("port1", &left), ("port2", &right)].map(|(name, queue)| attach(&switch, name, Some(queue), false));
    assert!(links.iter().all(|link| link.as_ref().unwrap().mode() == Mode::Native));
    assert_eq!(left.fill(&chunks(0, 32)), 32);
    assert_eq!(right.fill(&chunks(32, 32)), 32);

    let (from, to) = (udp(&one, 1), udp(&two, 2));
    let mut done = Vec::new();
    // More than there are chunks, so that they have to go round.
    for number in 0..200_u8 {
        from.send_to(&[number; 100], "10.9.3.2:4000").unwrap();
        let frames = receive(&mut left);
        for frame in &frames {
            assert_eq!(frame.addr % u64::from(CHUNK), u64::from(HEADROOM + KERNEL_HEADROOM));
            assert_eq!((frame.len, frame.more()), (142, false));
        }
        assert_eq!(right.tx(&frames), frames.len());
        assert!(right.needs_wakeup_tx());
        while right.wake_tx().unwrap() {}
        let mut got = [0; 200];
        assert_eq!(to.recv(&mut got).unwrap(), 100);
        assert!(got[..100].iter().all(|&byte| byte == number));

        let mut back = [0; 64];
        let count = right.complete(&mut back).unwrap();
        done.extend_from_slice(&back[..count]);
        let taken = left.fill(&done);
        done.drain(..taken);
    }
    assert_eq!(left.stats().unwrap(), paceline_xsk::Stats::default());
}

#[test]
fn a_frame_of_several_pieces() {
    let Some(switch) = Scratch::for_test() else { return };
    let Some(one) = host(&switch, "port1", 1) else { return };
    one.ip("link set eth0 mtu 9000");
    switch.ip("link set port1 mtu 9000");
    let umem = umem();
    let options = Options { multi_buffer: true, ..Options::default() };
    let mut queue = open(&switch, &umem, "port1", options).unwrap();
    let _link = attach(&switch, "port1", Some(&queue), true).unwrap();
    queue.fill(&chunks(0, 32));
    udp(&one, 1).send_to(&[7; 8000], "10.9.3.2:4000").unwrap();
    let frames = receive(&mut queue);
    let (last, first) = frames.split_last().unwrap();
    assert!(!first.is_empty() && first.iter().all(Desc::more) && !last.more());
    assert_eq!(frames.iter().map(|frame| frame.len).sum::<u32>(), 8042);
}

#[test]
fn the_program_goes_with_its_attachment_and_is_refused_beside_another() {
    let Some(net) = Scratch::for_test() else { return };
    net.ip("link add port1 type veth peer name far");
    let link = attach(&net, "port1", None, false).unwrap();
    assert!(net.ip("link show port1").contains("xdp"));
    let error = attach(&net, "port1", None, false).unwrap_err();
    assert!(matches!(error, XskError::Attached(_)), "{error}");
    drop(link);
    in_time(|| (!net.ip("link show port1").contains("xdp")).then_some(()).ok_or("the program stays"));
    attach(&net, "port1", None, false).unwrap();
    let error = net.run(|| Program::load(1, false).unwrap().attach(12_345)).unwrap().unwrap_err();
    assert!(matches!(error, XskError::NoInterface(12_345)), "{error}");
}

#[test]
fn a_driver_without_xdp_gets_the_generic_mode() {
    let Some(net) = Scratch::for_test() else { return };
    let mut queue = open(&net, &umem(), "lo", Options::default()).unwrap();
    let link = attach(&net, "lo", Some(&queue), false).unwrap();
    assert_eq!(link.mode(), Mode::Generic);
    assert_eq!(link.fallback().unwrap().raw_os_error(), Some(libc::EOPNOTSUPP));
    queue.fill(&chunks(0, 32));
    let socket = net.run(|| UdpSocket::bind("127.0.0.1:4000")).unwrap().unwrap();
    socket.send_to(b"there", "127.0.0.1:4000").unwrap();
    assert_eq!(receive(&mut queue)[0].len, 47);
}

#[test]
fn what_cannot_be_opened_says_why() {
    let Some(net) = Scratch::for_test() else { return };
    net.ip("link add port1 type veth peer name far");
    let umem = umem();
    let ring = open(&net, &umem, "port1", Options { ring_size: 100, ..Options::default() }).unwrap_err();
    assert!(matches!(ring, XskError::RingSize(100)), "{ring}");
    let index = net.run(|| link::index("port1")).unwrap().unwrap();
    let at = |ifindex, queue| net.run(|| XskQueue::open(&umem, ifindex, queue, Options::default())).unwrap();
    assert!(matches!(at(index, 77).unwrap_err(), XskError::NoQueue { queue: 77, .. }));
    assert!(matches!(at(12_345, 0).unwrap_err(), XskError::NoInterface(12_345)));
    let first = at(index, 0).unwrap();
    assert!(matches!(at(index, 0).unwrap_err(), XskError::Busy { queue: 0, .. }));
    drop(first);
    in_time(|| at(index, 0));
    assert!(Program::load(1, false).unwrap().direct(&in_time(|| at(index, 0))).is_ok());
}

#[test]
fn down_and_gone_are_told_apart_and_the_umem_outlives_its_first_socket() {
    let Some(net) = Scratch::for_test() else { return };
    net.ip("link add port1 type veth peer name far1");
    net.ip("link add port2 type veth peer name far2");
    let umem = umem();
    let mut first = open(&net, &umem, "port1", Options::default()).unwrap();
    assert!(is_down(&first.wake_rx().unwrap_err()));
    net.up(&["port1"]);
    assert!(first.wake_rx().is_ok());
    net.ip("link delete port1");
    assert!(is_gone(&first.wake_rx().unwrap_err()));
    assert!(is_gone(&first.wake_tx().unwrap_err()));
    assert_eq!(first.rx(&mut [Desc::default()]), Ok(0));
    let _second = open(&net, &umem, "port2", Options::default()).expect("registers anew");
}

#[test]
fn rings_take_what_they_have_room_for_and_bad_addresses_are_counted() {
    let Some(switch) = Scratch::for_test() else { return };
    let Some(one) = host(&switch, "port1", 1) else { return };
    let umem = umem();
    let options = Options { ring_size: 64, zero_copy: false, ..Options::default() };
    let mut queue = open(&switch, &umem, "port1", options).unwrap();
    let _link = attach(&switch, "port1", Some(&queue), false).unwrap();
    assert_eq!(queue.tx(&[Desc { addr: u64::from(CHUNK) * CHUNKS, len: 60, options: 0 }; 100]), 64);
    assert_eq!(queue.tx(&[Desc::default()]), 0);
    // The kernel stops at each bad one.
    for bad in 1..=64 {
        queue.wake_tx().unwrap();
        assert_eq!(queue.stats().unwrap().tx_invalid, bad);
    }
    assert_eq!(queue.fill(&[u64::from(CHUNK) * CHUNKS, 0]), 2);
    udp(&one, 1).send_to(b"there", "10.9.3.2:4000").unwrap();
    assert_eq!(receive(&mut queue).len(), 1);
    assert_eq!(queue.fill(&[0; 200]), 128);
}
