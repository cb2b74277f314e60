//! A host with a stack of its own (smoltcp) on a link with the switch: it resolves the switch's address, and the switch resolves
//! its, by frames alone; then it pings, sends UDP to a closed port, and tries to connect.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use paceline_router::Interface;
use paceline_router::local::{Limits, Local, Outcome, Ping};
use paceline_router::neighbour::{Action, Neighbours, Settings};
use paceline_wire::ethernet::{self, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN, Mac};
use paceline_wire::ipv4::Ipv4Header;
use paceline_wire::ipv6::Ipv6Header;
use paceline_wire::ndp;
use smoltcp::iface::{Config, Interface as Stack, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{icmp, tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpCidr};

const OWN: Mac = Mac(0x0200_0000_0001);
const PEER: Mac = Mac(0x0600_0000_0002);

/// The link: frames to the host, and from it.
#[derive(Default)]
struct Wire {
    to_host: VecDeque<Vec<u8>>,
    from_host: VecDeque<Vec<u8>>,
}

struct Received(Vec<u8>);
struct Sending<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push_back(frame);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        Some((Received(self.to_host.pop_front()?), Sending(&mut self.from_host)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.from_host))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        (capabilities.medium, capabilities.max_transmission_unit) = (Medium::Ethernet, 1514);
        capabilities
    }
}

struct Link {
    now: Duration,
    wire: Wire,
    stack: Stack,
    sockets: SocketSet<'static>,
    neighbours: Neighbours<Vec<u8>>,
    local: Local,
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

impl Link {
    fn new() -> Link {
        let mut wire = Wire::default();
        let now = Duration::from_secs(1);
        let mut stack =
            Stack::new(Config::new(EthernetAddress(PEER.octets()).into()), &mut wire, Instant::ZERO);
        stack.update_ip_addrs(|all| {
            for net in ["10.0.0.2/24", "fd00::2/64"] {
                all.push(net.parse::<IpCidr>().expect(net)).expect("room");
            }
        });
        // What is not on the link is asked of the switch: it takes any address for its own here.
        stack.routes_mut().add_default_ipv4_route("10.0.0.1".parse().expect("an address")).expect("room");
        stack.routes_mut().add_default_ipv6_route("fd00::1".parse().expect("an address")).expect("room");
        let mut neighbours =
            Neighbours::new(Settings { probes6: 0, announcements: 0, ..Settings::default() });
        let nets = ["10.0.0.1/24", "fd00::1/64"].map(|net| net.parse().expect(net)).to_vec();
        neighbours.set_interface(now, 1, Interface::new(OWN, nets, false), &mut Vec::new());
        let local = Local::new(now, Limits::default());
        Link { now, wire, stack, sockets: SocketSet::new(Vec::new()), neighbours, local }
    }

    /// Lets both sides speak until both are silent, and some seconds pass.
    fn run(&mut self) {
        for _ in 0..40 {
            self.now += Duration::from_millis(100);
            let now = Instant::from_millis(self.now.as_millis() as i64);
            self.stack.poll(now, &mut self.wire, &mut self.sockets);
            let mut out = Vec::new();
            self.neighbours.poll(self.now, &mut out);
            while let Some(frame) = self.wire.from_host.pop_front() {
                self.hear(&frame, &mut out);
            }
            self.send(out);
        }
    }

    fn hear(&mut self, frame: &[u8], out: &mut Vec<Action<Vec<u8>>>) {
        etherparse::SlicedPacket::from_ethernet(frame).expect("the host sends sound frames");
        let packet = &frame[HEADER_LEN..];
        let is_ndp = ndp::parse(packet).is_ok();
        if is_ndp || ethernet::ethertype(frame) == Some(ETHERTYPE_ARP) {
            self.neighbours.input(self.now, 1, frame, |_| false, out);
            return;
        }
        let mut packets = Vec::new();
        self.local.input(self.now, packet, |packet| packets.push(packet.to_vec()));
        self.route(packets, out);
    }

    /// Hands packets to the link.
    fn route(&mut self, packets: Vec<Vec<u8>>, out: &mut Vec<Action<Vec<u8>>>) {
        for packet in packets {
            let to = match Ipv4Header::read(&packet) {
                Some(header) => IpAddr::from(header.destination),
                None => IpAddr::from(Ipv6Header::read(&packet).expect("IP").destination),
            };
            self.neighbours.want(self.now, 1, to, packet, out);
        }
    }

    fn send(&mut self, out: Vec<Action<Vec<u8>>>) {
        for action in out {
            match action {
                Action::Send { frame, .. } => self.wire.to_host.push_back(frame.to_vec()),
                Action::Release { packet, mac, .. } => {
                    let mut frame = [&[0; HEADER_LEN], &packet[..]].concat();
                    let ethertype = if packet[0] >> 4 == 4 { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
                    ethernet::write_header(&mut frame, mac, OWN, ethertype).expect("room");
                    etherparse::SlicedPacket::from_ethernet(&frame).expect("we send sound frames");
                    self.wire.to_host.push_back(frame);
                }
                Action::GiveUp { cause, .. } => panic!("{cause:?}"),
                _ => {}
            }
        }
    }

    fn icmp(&mut self, endpoint: icmp::Endpoint) -> SocketHandle {
        let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 8192]);
        let mut socket = icmp::Socket::new(buffer(), buffer());
        socket.bind(endpoint).expect("it is free");
        self.sockets.add(socket)
    }
}

#[test]
fn it_pings_addresses_that_are_ours() {
    for to in ["10.0.0.1", "192.168.77.7", "fd00::1", "fd77::7"] {
        let mut link = Link::new();
        let handle = link.icmp(icmp::Endpoint::Ident(7));
        let checksums = ChecksumCapabilities::default();
        let socket = link.sockets.get_mut::<icmp::Socket<'_>>(handle);
        let data = [1; 1000];
        match ip(to) {
            IpAddr::V4(to) => {
                let request = Icmpv4Repr::EchoRequest { ident: 7, seq_no: 1, data: &data };
                let room = socket.send(request.buffer_len(), to.into()).expect("room");
                request.emit(&mut Icmpv4Packet::new_unchecked(room), &checksums);
            }
            IpAddr::V6(to) => {
                let request = Icmpv6Repr::EchoRequest { ident: 7, seq_no: 1, data: &data };
                let room = socket.send(request.buffer_len(), to.into()).expect("room");
                let source = "fd00::2".parse().expect("an address");
                request.emit(&source, &to, &mut Icmpv6Packet::new_unchecked(room), &checksums);
            }
        }
        link.run();
        let (reply, from) = link.sockets.get_mut::<icmp::Socket<'_>>(handle).recv().expect("a reply");
        assert_eq!((IpAddr::from(from), &reply[8..]), (ip(to), &data[..]));
        assert_eq!(link.local.counters().echoed, 1);
    }
}

#[test]
fn it_is_told_that_a_port_is_closed() {
    for to in ["10.0.0.1", "192.168.77.7", "fd00::1", "fd77::7"] {
        let mut link = Link::new();
        let handle = link.icmp(icmp::Endpoint::Udp(5000.into()));
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 4], vec![0; 4096]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(5000).expect("it is free");
        socket.send_slice(&[7; 100], (ip(to), 53)).expect("room");
        link.sockets.add(socket);
        link.run();
        let (error, from) = link.sockets.get_mut::<icmp::Socket<'_>>(handle).recv().expect("an error");
        let expected = if ip(to).is_ipv4() { [3, 3] } else { [1, 4] };
        assert_eq!((IpAddr::from(from), &error[..2]), (ip(to), &expected[..]));
        assert_eq!(link.local.counters().refused, 1);
    }
}

#[test]
fn its_connection_is_reset() {
    for to in ["10.0.0.1", "192.168.77.7", "fd00::1", "fd77::7"] {
        let mut link = Link::new();
        let buffer = || tcp::SocketBuffer::new(vec![0; 1024]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.connect(link.stack.context(), (ip(to), 80), 5000).expect("it is closed");
        let handle = link.sockets.add(socket);
        link.run();
        assert_eq!(link.sockets.get_mut::<tcp::Socket<'_>>(handle).state(), tcp::State::Closed);
        assert_eq!(link.local.counters().refused, 1, "and not tried again");
    }
}

#[test]
fn it_answers_our_ping() {
    for (from, to) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
        let mut link = Link::new();
        let ping = Ping {
            source: ip(from),
            destination: ip(to),
            id: 1,
            sequence: 2,
            size: 1000,
            ttl: 64,
            whole: false,
        };
        let (mut packets, mut out) = (Vec::new(), Vec::new());
        link.local.ping(link.now, ping, |packet| packets.push(packet.to_vec())).expect("it can be sent");
        link.route(packets, &mut out);
        link.send(out);
        link.run();
        let answers: Vec<_> = link.local.answers().map(|answer| (answer.ping, answer.outcome)).collect();
        assert_eq!(answers, [(ping, Outcome::Reply { size: 1000, ttl: 64 })]);
    }
}
