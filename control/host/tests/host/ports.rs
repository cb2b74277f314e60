//! Ports held on a host.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use paceline_host::{Ports, PortsError, Target};
use paceline_model::interval::Interval;
use paceline_model::{EndpointId, PortRequest, Protocol, PublishedPort};
use paceline_sys::netns::Scratch;

/// A host with one address beside its loopback's.
fn host() -> Option<Scratch> {
    let host = Scratch::for_test()?;
    host.silence();
    host.ip("link add eth0 type veth peer name eth1");
    host.ip("addr add 192.0.2.1/24 dev eth0");
    host.up(&["eth0", "eth1"]);
    Some(host)
}

/// Runs `work` inside a namespace and a runtime.
fn inside(net: &Scratch, work: impl AsyncFnOnce() + Send) {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(work());
    };
    net.run(run).expect("namespace");
}

/// Whether something comes to be soon: a socket is closed by its task, and a moment later if another test forks just then.
async fn in_time(holds: impl Fn() -> bool) -> bool {
    for _ in 0..1000 {
        if holds() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    false
}

fn id(text: &str) -> EndpointId {
    text.parse().expect("an ID")
}

fn target() -> Target {
    Target { ipv4: Some([10, 0, 0, 2].into()), ipv6: None }
}

/// Port 0: any; a last port of 0: no range.
fn request(host_ip: Option<&str>, first: u16, last: u16) -> PortRequest {
    let host_ip = host_ip.map(|ip| ip.parse().expect("an address"));
    let range = Interval::new(first, last.max(first)).expect("a range");
    PortRequest { protocol: Protocol::Tcp, host_ip, host_ports: (first > 0).then_some(range), port: 80 }
}

fn told(result: Result<Vec<PublishedPort>, (PortRequest, PortsError)>) -> String {
    result.expect_err("refused").1.to_string()
}

#[test]
fn a_port_of_tunnels_is_not_published() {
    let Some(net) = host() else { return };
    inside(&net, async || {
        let mut ports = Ports::default();
        let udp =
            |host_ip, first, last| PortRequest { protocol: Protocol::Udp, ..request(host_ip, first, last) };
        let before = udp(Some("192.0.2.1"), 4788, 0);
        ports.reserve(&id("a"), target(), &[before]).expect("published before");
        let end = |port| SocketAddr::new([192, 0, 2, 1].into(), port);
        ports.carry([end(4788), end(4789)].into());
        for host_ip in [None, Some("0.0.0.0"), Some("192.0.2.1")] {
            assert_eq!(
                told(ports.reserve(&id("b"), target(), &[udp(host_ip, 4789, 0)])),
                "192.0.2.1:4789/udp: is VXLAN's at that address: publish another port, or at another address"
            );
        }
        let others = [udp(Some("127.0.0.1"), 4789, 0), udp(None, 4789, 4790), request(None, 4789, 0)];
        let settled = ports.reserve(&id("b"), target(), &others).expect("elsewhere, and by another protocol");
        assert_eq!(settled.iter().map(|port| port.host_port).collect::<Vec<_>>(), [4789, 4790, 4789]);
        ports.reserve(&id("a"), target(), &[before]).expect("it has it already");
    });
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_held() {
    let Some(net) = host() else { return };
    inside(&net, async || {
        let mut ports = Ports::default();
        let _other = TcpListener::bind("127.0.0.1:8080").expect("bound");
        let requests = [request(None, 8000, 0), request(None, 8080, 0)];
        assert_eq!(
            told(ports.reserve(&id("a"), target(), &requests)),
            "0.0.0.0:8080/tcp: is in use by another program on this host: publish another port"
        );
        assert!(in_time(|| TcpListener::bind("0.0.0.0:8000").is_ok()).await, "all or nothing");
        let udp = PortRequest { protocol: Protocol::Udp, ..requests[1] };
        ports.reserve(&id("a"), target(), &[udp]).expect("another protocol");
        assert!(UdpSocket::bind("0.0.0.0:8080").is_err() && UdpSocket::bind("[::]:8080").is_err());
        assert_eq!(
            told(ports.reserve(&id("b"), target(), &[udp])),
            "0.0.0.0:8080/udp: is published already, by endpoint a: publish another port"
        );
        assert_eq!(ports.published(&id("a")).count(), 1);
        let again =
            ports.reserve(&id("a"), target(), &[request(None, 8000, 0), udp]).expect("one is held already");
        assert_eq!((again.len(), again[1].host_port), (2, 8080));
        ports.release(&id("a"));
        let free = in_time(|| UdpSocket::bind("0.0.0.0:8080").is_ok()).await;
        assert!(free, "free again");
    });
}

#[test]
fn one_port_can_be_published_on_several_addresses() {
    let Some(net) = host() else { return };
    inside(&net, async || {
        let mut ports = Ports::default();
        let both = [request(Some("127.0.0.1"), 8080, 0), request(Some("192.0.2.1"), 8080, 0)];
        ports.reserve(&id("a"), target(), &both).expect("two addresses");
        ports.reserve(&id("b"), target(), &[request(Some("::1"), 8080, 0)]).expect("a third");
        let error = told(ports.reserve(&id("c"), target(), &[request(Some("0.0.0.0"), 8080, 0)]));
        assert_eq!(error, "0.0.0.0:8080/tcp: is published already, by endpoint a: publish another port");
        assert_eq!(
            told(ports.reserve(&id("c"), target(), &[request(Some("198.51.100.1"), 80, 0)])),
            "198.51.100.1:80/tcp: this host has no address 198.51.100.1: publish on one of 127.0.0.1, 192.0.2.1, ::1"
        );
    });
}

#[test]
fn any_free_port_and_the_first_of_a_range() {
    let Some(net) = host() else { return };
    inside(&net, async || {
        let mut ports = Ports::default();
        let _taken = TcpListener::bind("[::1]:49153").expect("bound");
        let settled = ports.reserve(&id("a"), target(), &[request(None, 0, 0), request(None, 0, 0)]);
        let settled: Vec<_> = settled.expect("free").iter().map(ToString::to_string).collect();
        assert_eq!(settled, ["*:49154->80/tcp", "*:49155->80/tcp"], "one that both families have");
        let settled =
            ports.reserve(&id("b"), target(), &[request(None, 9000, 9001), request(None, 9000, 9001)]);
        let settled: Vec<_> = settled.expect("free").iter().map(|port| port.host_port).collect();
        assert_eq!(settled, [9000, 9001]);
        assert_eq!(
            told(ports.reserve(&id("c"), target(), &[request(None, 9000, 9001)])),
            "0.0.0.0:9000-9001/tcp: all of these ports are in use: publish others"
        );
        let zero = PortRequest { port: 0, ..request(None, 9002, 0) };
        assert_eq!(told(ports.reserve(&id("c"), target(), &[zero])), "container port 0: must be 1 to 65535");
    });
}

#[test]
fn what_was_settled_before_is_held_again() {
    let Some(net) = host() else { return };
    inside(&net, async || {
        let settled = {
            let mut before = Ports::default();
            before
                .reserve(&id("a"), target(), &[request(None, 8080, 0), request(None, 8081, 0)])
                .expect("free")
        };
        assert!(in_time(|| TcpListener::bind("0.0.0.0:8081").is_ok()).await);
        let _taken = TcpListener::bind("0.0.0.0:8081").expect("free by now");
        let mut ports = Ports::default();
        let failed: Vec<_> =
            ports.restore(&id("a"), target(), &settled).iter().map(ToString::to_string).collect();
        assert_eq!(
            failed,
            ["0.0.0.0:8081/tcp: is in use by another program on this host: publish another port"]
        );
        assert_eq!(ports.published(&id("a")).collect::<Vec<_>>(), settled[..1]);
        assert_eq!(ports.restore(&id("a"), target(), &settled[..1]).len(), 0, "held already");
        assert_eq!(ports.published(&id("a")).count(), 1);
    });
}

#[test]
fn a_host_without_ipv6_publishes_by_ipv4() {
    let Some(net) = Scratch::for_test() else { return };
    net.run(|| std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"))
        .expect("namespace")
        .expect("off");
    inside(&net, async || {
        let mut ports = Ports::default();
        ports.reserve(&id("a"), target(), &[request(None, 8080, 0)]).expect("IPv4");
    });
}

#[test]
fn sctp_is_held_or_refused_clearly() {
    let Some(net) = host() else { return };
    inside(&net, async || {
        let sctp = PortRequest { protocol: Protocol::Sctp, ..request(None, 8080, 0) };
        match Ports::default().reserve(&id("a"), target(), &[sctp]) {
            Ok(settled) => assert_eq!(settled[0].to_string(), "*:8080->80/sctp"),
            Err((_, error)) => {
                assert!(error.to_string().contains("this kernel has no SCTP: load"), "{error}");
            }
        }
    });
}

#[test]
fn a_connection_ends_with_its_port_and_is_closed_when_nobody_answers() {
    let Some(net) = host() else { return };
    let runtime =
        net.run(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build());
    let runtime = runtime.expect("namespace").expect("a runtime");
    net.run(|| {
        let _context = runtime.enter();
        let loopback = Target { ipv4: Some([127, 0, 0, 1].into()), ipv6: None };
        let server = TcpListener::bind("127.0.0.1:80").expect("bound");
        let mut ports = Ports::default();
        let settled =
            ports.reserve(&id("a"), loopback, &[request(Some("192.0.2.1"), 8080, 0)]).expect("free");
        let connect = || {
            let to =
                SocketAddr::new(settled[0].host_ip.unwrap_or(IpAddr::from([0; 4])), settled[0].host_port);
            let stream = TcpStream::connect(to).expect("connected");
            stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
            stream
        };
        let mut client = connect();
        let taken = server.accept().expect("passed on");
        ports.release(&id("a"));
        assert!(matches!(client.read(&mut [0; 1]), Ok(0)), "the client is told");
        drop((taken, server));
        ports.reserve(&id("a"), loopback, &[request(Some("192.0.2.1"), 8080, 0)]).expect("free");
        assert!(!matches!(connect().read(&mut [0; 1]), Ok(1)), "nobody listens");
    })
    .expect("namespace");
}

#[test]
fn all_ports_share_the_room_for_what_is_passed_on() {
    let Some(net) = host() else { return };
    let runtime =
        net.run(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build());
    let runtime = runtime.expect("namespace").expect("a runtime");
    net.run(|| {
        let _context = runtime.enter();
        let loopback = Target { ipv4: Some([127, 0, 0, 1].into()), ipv6: None };
        let server = TcpListener::bind("127.0.0.1:80").expect("bound");
        let (datagrams, mut bytes) = (UdpSocket::bind("127.0.0.1:80").expect("bound"), [0; 16]);
        let mut ports = Ports::with_room(1);
        let tcp = [8080, 8081].map(|port| request(Some("192.0.2.1"), port, 0));
        let udp = PortRequest { protocol: Protocol::Udp, ..tcp[0] };
        ports.reserve(&id("a"), loopback, &[tcp[0], tcp[1], udp]).expect("free");
        let first = TcpStream::connect("192.0.2.1:8080").expect("connected");
        let taken = server.accept().expect("passed on");

        // Another port: one waits, the other one loses what does not fit.
        let _second = TcpStream::connect("192.0.2.1:8081").expect("connected");
        let client = UdpSocket::bind("192.0.2.1:0").expect("bound");
        client.send_to(b"lost", "192.0.2.1:8080").expect("sent");
        while ports.missed() < 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        server.set_nonblocking(true).expect("set");
        assert!(server.accept().is_err(), "it is not passed on");
        server.set_nonblocking(false).expect("set");
        drop((first, taken));
        let (second, _) = server.accept().expect("passed on");
        ports.release(&id("a"));
        drop(second);

        // The places come back a moment after the port has gone.
        ports.reserve(&id("a"), loopback, &[udp]).expect("free");
        datagrams.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let mut arrives = || {
            client.send_to(b"taken", "192.0.2.1:8080").expect("sent");
            datagrams.recv(&mut bytes).ok()
        };
        assert_eq!((0..50).find_map(|_| arrives()), Some(5));
    })
    .expect("namespace");
}
