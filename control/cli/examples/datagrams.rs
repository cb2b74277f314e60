//! 64-byte UDP datagrams, for `scripts/bench-containers`: what one takes to go there and back, and how many arrive.
//!
//! `datagrams echo PORT` sends back whatever comes. `datagrams ping ADDRESS PORT SECONDS` plays with it and prints "P50 P99" of the
//! round trip, in microseconds. `datagrams sink PORT` takes what comes, and prints how many thousand a second came. `datagrams
//! flood ADDRESS PORT SECONDS` sends to it all it can. Echo and sink end when nothing came for a second after something had. All
//! sleep in the kernel while they wait, as most programs do.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

const SIZE: usize = 64;

/// Rounds before the clock counts: neighbours are resolved and caches warm.
const WARM_UP: usize = 200;

/// How long echo and sink wait for the first datagram, and how long after one for the next.
const BEGINNING: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(1);

/// A datagram that is not back by now is lost and sent again.
const LOST: Duration = Duration::from_millis(200);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["echo", port] => echo(port.parse()?),
        ["ping", address, port, seconds] => {
            ping(&connect(address, port)?, Duration::from_secs(seconds.parse()?))
        }
        ["sink", port] => sink(port.parse()?),
        ["flood", address, port, seconds] => {
            flood(&connect(address, port)?, Duration::from_secs(seconds.parse()?));
            Ok(())
        }
        _ => Err("usage: datagrams (echo|sink) PORT | datagrams (ping|flood) ADDRESS PORT SECONDS".into()),
    }
}

fn connect(address: &str, port: &str) -> Result<UdpSocket, Box<dyn Error>> {
    let address: IpAddr = address.parse()?;
    let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((address, port.parse()?))?;
    Ok(socket)
}

fn echo(port: u16) -> Result<(), Box<dyn Error>> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))?;
    socket.set_read_timeout(Some(BEGINNING))?;
    let mut buffer = [0; 2048];
    let (mut length, mut from) = socket.recv_from(&mut buffer)?;
    socket.set_read_timeout(Some(SILENCE))?;
    loop {
        socket.send_to(&buffer[..length], from)?;
        (length, from) = loop {
            match socket.recv_from(&mut buffer) {
                Ok(next) => break next,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_silence) => return Ok(()),
            }
        };
    }
}

fn ping(socket: &UdpSocket, duration: Duration) -> Result<(), Box<dyn Error>> {
    socket.set_read_timeout(Some(LOST))?;
    let mut sequence = 0;
    for _ in 0..WARM_UP {
        round_trip(socket, &mut sequence);
    }
    let mut times = Vec::new();
    let end = Instant::now() + duration;
    while Instant::now() < end {
        times.extend(round_trip(socket, &mut sequence));
    }
    times.sort_unstable();
    let percentile =
        |percent: usize| times.get(times.len() * percent / 100).map(|time| time.as_secs_f64() * 1e6);
    let (p50, p99) = percentile(50).zip(percentile(99)).ok_or("not one datagram came back")?;
    println!("{p50:.1} {p99:.1}");
    Ok(())
}

/// One datagram there and back; none if it was lost.
fn round_trip(socket: &UdpSocket, sequence: &mut u64) -> Option<Duration> {
    *sequence += 1;
    let mut sent = [0; SIZE];
    sent[..8].copy_from_slice(&sequence.to_be_bytes());
    let begin = Instant::now();
    socket.send(&sent).ok()?;
    let mut received = [0; SIZE];
    // An answer to a datagram that was given up for lost may still come.
    while received != sent {
        socket.recv(&mut received).ok()?;
    }
    Some(begin.elapsed())
}

fn sink(port: u16) -> Result<(), Box<dyn Error>> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))?;
    socket.set_read_timeout(Some(BEGINNING))?;
    let mut buffer = [0; 2048];
    socket.recv(&mut buffer)?;
    socket.set_read_timeout(Some(SILENCE))?;
    let (begin, mut count) = (Instant::now(), 0_u64);
    loop {
        match socket.recv(&mut buffer) {
            Ok(_) => count += 1,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_silence) => break,
        }
    }
    // The last one came so long before the silence was noticed.
    let seconds = begin.elapsed().saturating_sub(SILENCE).as_secs_f64();
    println!("{:.0}", count as f64 / seconds / 1000.0);
    Ok(())
}

fn flood(socket: &UdpSocket, duration: Duration) {
    let end = Instant::now() + duration;
    while Instant::now() < end {
        for _ in 0..100 {
            // A full queue of the sender's is a datagram lost, like one lost later.
            let _ = socket.send(&[0; SIZE]);
        }
    }
}
