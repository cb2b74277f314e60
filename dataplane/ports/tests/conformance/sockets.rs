//! The kernel's own UDP and TCP on the far sides of two ports that are joined.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use paceline_buf::{Packet, Pool, Vector};
use paceline_graph::Drops;
use paceline_ports::{
    AfxdpConfig, AfxdpContext, AfxdpPort, Io, PacketConfig, PacketPort, Port, TapConfig, TapPort,
};
use paceline_sys::ethtool;
use paceline_sys::netns::Scratch;

const CHUNKS: usize = 4096;

/// A host with the address `10.9.0.N` on a port.
struct Host {
    net: Scratch,
    port: Box<dyn Port>,
}

fn tap(number: u8) -> Option<Host> {
    let net = Scratch::for_test()?;
    let config = TapConfig { device: "eth0".into(), ..TapConfig::default() };
    let port = net.run(|| TapPort::open(&config)).expect("setns").expect("a tap").remove(0);
    Some(host(net, &["eth0"], number, port))
}

fn packet(number: u8) -> Option<Host> {
    let net = Scratch::for_test()?;
    net.ip("link add eth0 type veth peer name port");
    net.up(&["port"]);
    let port = net.run(|| PacketPort::open(&PacketConfig { device: "port".into() })).expect("setns");
    Some(host(net, &["eth0", "port"], number, port.expect("a socket")))
}

/// As a container is set up for AF_XDP: it sends what is complete.
fn afxdp(number: u8, context: &AfxdpContext) -> Option<Host> {
    let net = Scratch::for_test()?;
    net.ip("link add eth0 type veth peer name port");
    net.up(&["port"]);
    let name = "eth0".parse().expect("a name");
    net.run(|| ethtool::set_tx_checksum(&name, false)).expect("setns").expect("a setting");
    let config = AfxdpConfig { device: "port".into(), ..AfxdpConfig::default() };
    let port = net.run(|| AfxdpPort::open(context, &config)).expect("setns").expect("a socket").remove(0);
    Some(host(net, &["eth0", "port"], number, port))
}

fn host(net: Scratch, links: &[&str], number: u8, port: impl Port + 'static) -> Host {
    net.ip(&format!("address add 10.9.0.{number}/24 dev eth0"));
    net.up(links);
    Host { net, port: Box::new(port) }
}

/// Carries packets between the ports until told to stop; the length of the longest one with an offload.
fn join(pool: &Arc<Pool>, ports: &mut [Box<dyn Port>; 2], done: &AtomicBool) -> usize {
    let (drops, mut largest) = (Drops::default(), 0);
    let (mut cache, mut vector) = (pool.cache(), Vector::new());
    while !done.load(Relaxed) {
        let [from, to] = ports;
        let mut io = Io::new(&mut cache, &drops);
        from.receive(&mut io, &mut vector);
        let offloaded = vector.as_slice().iter().filter(|packet| packet.offload().is_some());
        largest = offloaded.map(Packet::total_len).fold(largest, usize::max);
        to.transmit(&mut io, &mut vector);
        ports.swap(0, 1);
    }
    for port in ports {
        port.close(&mut Io::new(&mut cache, &drops));
    }
    drop(cache);
    assert_eq!(pool.stats().free, CHUNKS, "chunks leaked");
    largest
}

fn talk(pool: &Arc<Pool>, left: Option<Host>, right: Option<Host>) -> Option<usize> {
    let (left, right) = (left?, right?);
    let (done, largest) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut ports = [left.port, right.port];
    thread::scope(|scope| {
        scope.spawn(|| largest.store(join(pool, &mut ports, &done), Relaxed));
        let told = Stop(&done);
        datagrams(&left.net, &right.net);
        stream(&left.net, &right.net);
        drop(told);
    });
    Some(largest.into_inner())
}

/// Ends the other thread even when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn datagrams(left: &Scratch, right: &Scratch) {
    let bind = |net: &Scratch, address: &str| {
        let socket = net.run(|| UdpSocket::bind(address)).expect("setns").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        socket
    };
    let (a, b) = (bind(left, "10.9.0.1:4000"), bind(right, "10.9.0.2:4000"));
    for len in [0_usize, 1, 18, 1000, 1472, 4000] {
        let sent: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let mut got = vec![0; 5000];
        a.send_to(&sent, "10.9.0.2:4000").expect("sent");
        let (count, from) = uninterrupted(|| b.recv_from(&mut got)).expect("a datagram");
        assert_eq!((&got[..count], from.to_string().as_str()), (&sent[..], "10.9.0.1:4000"));
        b.send_to(&sent, from).expect("sent");
        assert_eq!(uninterrupted(|| a.recv(&mut got)).expect("an answer"), len);
    }
}

/// A wait with a timeout is not taken up again by the kernel when a signal comes in between.
fn uninterrupted<T>(mut wait: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match wait() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn stream(left: &Scratch, right: &Scratch) {
    const LEN: usize = 8 << 20;
    let listener = right.run(|| TcpListener::bind("10.9.0.2:4000")).expect("setns").expect("a listener");
    thread::scope(|scope| {
        scope.spawn(|| {
            let stream =
                left.run(|| TcpStream::connect("10.9.0.2:4000")).expect("setns").expect("a connection");
            both_ways(&stream, LEN);
        });
        both_ways(&listener.accept().expect("a connection").0, LEN);
    });
}

fn both_ways(stream: &TcpStream, len: usize) {
    let byte = |at: usize| (at * 7 / 5) as u8;
    thread::scope(|scope| {
        scope.spawn(|| {
            let bytes: Vec<u8> = (0..len).map(byte).collect();
            let mut stream = stream;
            stream.write_all(&bytes).expect("sent");
        });
        let (mut got, mut stream) = (vec![0; len], stream);
        stream.read_exact(&mut got).expect("received");
        assert!(got.iter().enumerate().all(|(at, &got)| got == byte(at)));
    });
}

/// The longest packet with an offload that passed.
fn largest(left: Option<Host>, right: Option<Host>) -> Option<usize> {
    talk(&Pool::small(CHUNKS), left, right)
}

#[test]
fn two_taps_exchange_super_packets() {
    assert!(largest(tap(1), tap(2)).is_none_or(|largest| largest > 1514));
}

#[test]
fn two_packet_sockets_exchange_super_packets() {
    assert!(largest(packet(1), packet(2)).is_none_or(|largest| largest > 1514));
}

#[test]
fn a_tap_and_a_packet_socket_understand_each_other() {
    assert!(largest(tap(1), packet(2)).is_none_or(|largest| largest > 1514));
}

#[test]
fn two_afxdp_sockets_share_one_memory() {
    let pool = Pool::small(CHUNKS);
    let context = AfxdpContext::new(&pool).expect("a UMEM");
    talk(&pool, afxdp(1, &context), afxdp(2, &context));
}

#[test]
fn an_afxdp_socket_sends_to_a_tap() {
    let pool = Pool::small(CHUNKS);
    let context = AfxdpContext::new(&pool).expect("a UMEM");
    let Some(far) = tap(2) else { return };
    // There is no node here that would finish what the TAP's side leaves open.
    let name = "eth0".parse().expect("a name");
    far.net.run(|| ethtool::set_tx_checksum(&name, false)).expect("setns").expect("a setting");
    talk(&pool, afxdp(1, &context), Some(far));
}
