//! Real traffic on a shared device: what is ours comes to the socket, and the host lives on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use paceline_sys::netns::{NetNs, Scratch, in_time};
use paceline_xsk::{Filter, Service};

use crate::bed::{HOST4, HOST6, OURS4, OUTSIDE4, TCP, Uplink, filter, hosts, ip};

/// Names the namespace that the test's second process works in.
const VICTIM: &str = "PACELINE_TEST_SHARED_UPLINK";

/// Sends back what it is told, at port 22 of all addresses.
fn echo(host: &NetNs) {
    let listener = host.run(|| TcpListener::bind("[::]:22")).unwrap().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..length]).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn connect(from: &NetNs, to: &str) -> TcpStream {
    let to = SocketAddr::new(ip(to), 22);
    let stream = from.run(|| TcpStream::connect_timeout(&to, Duration::from_secs(5))).unwrap().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

/// Enough that it goes in several segments.
fn talk(stream: &mut TcpStream) {
    let said: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
    for part in said.chunks(10_000) {
        stream.write_all(part).unwrap();
        let mut heard = vec![0; part.len()];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(heard, part);
    }
}

fn udp(net: &Scratch, at: &str) -> UdpSocket {
    let socket = net.run(|| UdpSocket::bind(at)).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

fn pings(from: &Scratch, to: &str) -> bool {
    let out = from.run(|| Command::new("ping").args(["-c1", "-W2", to]).output());
    out.unwrap().unwrap().status.success()
}

fn has_program(host: &Scratch) -> bool {
    host.ip("link show eth0").contains("xdp")
}

#[test]
fn the_host_lives_on_while_what_is_ours_is_taken() {
    let Some((host, outside)) = hosts() else { return };
    echo(&host);
    let mut before = connect(&outside, HOST4);
    let mut uplink = Uplink::open(&host, &filter());
    for to in [HOST4, HOST6] {
        assert!(pings(&outside, to), "{to}");
        talk(&mut connect(&outside, to));
    }
    talk(&mut before);
    assert!(pings(&host, OUTSIDE4));
    assert_eq!(uplink.taken(), 0);

    let (from, kernel) = (udp(&outside, "192.0.2.2:5000"), udp(&host, "0.0.0.0:53"));
    from.send_to(b"ours", (HOST4, 53)).unwrap();
    in_time(|| (uplink.taken() == 1).then_some(()).ok_or("nothing taken"));
    assert!(kernel.recv(&mut [0; 9]).is_err());
    // In three fragments, and all of them ours.
    from.send_to(&[7; 4000], (HOST4, 45_000)).unwrap();
    let mut count = 0;
    in_time(|| {
        count += uplink.taken();
        (count == 3).then_some(()).ok_or("a fragment is missing")
    });
    // To the kernel, whole.
    uplink.handle.set(&Filter { services: [].into(), ..filter() }).unwrap();
    from.send_to(&[7; 4000], (HOST4, 53)).unwrap();
    assert_eq!(kernel.recv(&mut [0; 5000]).unwrap(), 4000);

    // An address that the host has not; somebody has to answer for it.
    outside.ip(&format!("neigh add {OURS4} lladdr 02:00:00:00:00:01 dev eth0"));
    assert!(!pings(&outside, OURS4));
    assert!(uplink.taken() >= 1);
    drop(uplink);
    in_time(|| (!has_program(&host)).then_some(()).ok_or("the program stays"));
    talk(&mut before);
    from.send_to(b"the kernel's", (HOST4, 53)).unwrap();
    assert_eq!(kernel.recv(&mut [0; 50]).unwrap(), 12);
}

#[test]
fn a_killed_process_leaves_the_device_to_the_kernel() {
    if let Ok(path) = std::env::var(VICTIM) {
        let host = NetNs::open(path).unwrap();
        let all =
            Filter { services: [Service { address: ip(HOST4), protocol: TCP, port: 22 }].into(), ..filter() };
        let _uplink = Uplink::open(&host, &all);
        println!("open");
        std::thread::sleep(Duration::from_mins(1));
        return;
    }
    let Some((host, outside)) = hosts() else { return };
    echo(&host);
    let name = "traffic::a_killed_process_leaves_the_device_to_the_kernel";
    let victim = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(VICTIM, host.path())
        .stdout(Stdio::null())
        .spawn();
    let mut victim = victim.unwrap();
    in_time(|| has_program(&host).then_some(()).ok_or("not open"));
    let to = SocketAddr::new(ip(HOST4), 22);
    let refused = outside.run(|| TcpStream::connect_timeout(&to, Duration::from_millis(300))).unwrap();
    assert!(refused.is_err(), "it is the victim's");
    kill(Pid::from_raw(victim.id().cast_signed()), Signal::SIGKILL).unwrap();
    victim.wait().unwrap();
    in_time(|| (!has_program(&host)).then_some(()).ok_or("the program stays"));
    talk(&mut connect(&outside, HOST4));
}
