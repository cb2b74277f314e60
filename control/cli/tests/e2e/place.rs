//! Programs inside network namespaces: containers', hosts', the engine's own. They are threads of this process whose sockets
//! belong to the namespace that they were made in, so that nothing has to be installed there.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use paceline_sys::NetNs;

use crate::container::Container;
use crate::engine::Engine;
use crate::host::Host;

/// How long an answer may take. Far more than it needs.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long is waited for an answer that should not come.
const SILENCE: Duration = Duration::from_millis(700);

/// What a server and its clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Both.
pub const BOTH: [Speech; 2] = [Speech::Tcp, Speech::Udp];

/// A network namespace.
pub struct Place {
    netns: NetNs,
    name: String,
}

impl Place {
    /// A container's.
    pub fn of(container: &Container<'_>) -> Self {
        Self::at(&format!("/proc/{}/ns/net", container.pid()), container.name())
    }

    /// The one that engine and switch are in: the Docker host.
    pub fn docker_host(engine: &Engine) -> Self {
        Self::at(&engine.netns().to_string_lossy(), "the Docker host")
    }

    /// Another host's.
    pub fn host(host: &Host) -> Self {
        Self::at(&host.path(), "another host")
    }

    fn at(path: &str, name: &str) -> Self {
        Self { netns: NetNs::open(path).expect("a namespace"), name: name.into() }
    }

    /// Serves a port here: who asks is told by which address it is seen. IPv4 and IPv6.
    pub fn serve(&self, speech: Speech, port: u16) -> Server {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, all) = (Arc::clone(&stop), SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
        let thread = match speech {
            Speech::Tcp => {
                let listener =
                    self.netns.run(|| TcpListener::bind(all)).expect("inside").expect("a free port");
                listener.set_nonblocking(true).expect("a socket");
                std::thread::spawn(move || tell_streams(&listener, &stopped))
            }
            Speech::Udp => {
                let socket = self.netns.run(|| UdpSocket::bind(all)).expect("inside").expect("a free port");
                socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket");
                std::thread::spawn(move || tell_datagrams(&socket, &stopped))
            }
        };
        Server { stop, thread: Some(thread) }
    }

    /// Asks a server by which address this place is seen.
    fn ask(&self, speech: Speech, ip: IpAddr, port: u16, patience: Duration) -> Option<IpAddr> {
        let to = SocketAddr::from((ip, port));
        let asked = self.netns.run(|| match speech {
            Speech::Tcp => ask_by_stream(to, patience),
            Speech::Udp => ask_by_datagram(to, patience),
        });
        asked.expect("inside").ok()?.parse().ok()
    }

    /// Reaches a server, which sees `seen`.
    #[track_caller]
    pub fn is_seen_as(&self, speech: Speech, to: &str, port: u16, seen: &str) {
        let ip = to.parse().expect("an address");
        let answer = self.ask(speech, ip, port, PATIENCE).map(|ip| ip.to_string());
        assert_eq!(answer.as_deref(), Some(seen), "{} at {to} {port} {speech:?}", self.name);
    }

    /// Reaches no server.
    #[track_caller]
    pub fn gets_no_answer(&self, speech: Speech, to: &str, port: u16) {
        let answer = self.ask(speech, to.parse().expect("an address"), port, SILENCE);
        assert_eq!(answer, None, "{} at {to} {port} {speech:?}", self.name);
    }

    /// Is told at once that there is no server.
    #[track_caller]
    pub fn is_refused(&self, speech: Speech, to: &str, port: u16) {
        self.is_told(&[ErrorKind::ConnectionRefused], speech, to, port);
    }

    /// Is told at once that it may not: by a RST, or by an ICMP error ("communication administratively prohibited").
    #[track_caller]
    pub fn is_forbidden(&self, speech: Speech, to: &str, port: u16) {
        let told: &[_] = match speech {
            Speech::Tcp => &[ErrorKind::ConnectionRefused],
            // As Linux says it for IPv4 and IPv6.
            Speech::Udp => &[ErrorKind::HostUnreachable, ErrorKind::PermissionDenied],
        };
        self.is_told(told, speech, to, port);
    }

    #[track_caller]
    fn is_told(&self, kinds: &[ErrorKind], speech: Speech, to: &str, port: u16) {
        let to = SocketAddr::from((to.parse::<IpAddr>().expect("an address"), port));
        let asked = self.netns.run(|| match speech {
            Speech::Tcp => TcpStream::connect_timeout(&to, PATIENCE).map(drop),
            Speech::Udp => {
                let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
                socket.connect(to)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                socket.send(b"who am I?")?;
                socket.recv(&mut [0; 64]).map(drop)
            }
        });
        let error = asked.expect("inside").expect_err("nobody serves there");
        assert!(kinds.contains(&error.kind()), "{} at {to} {speech:?}: {error}", self.name);
    }

    /// Whether a server answers soon.
    pub fn is_answered(&self, speech: Speech, to: &str, port: u16) -> bool {
        self.ask(speech, to.parse().expect("an address"), port, SILENCE).is_some()
    }

    /// Runs `work` here.
    pub fn inside<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.netns.run(work).expect("inside")
    }

    /// Takes a TCP port here, as another program would.
    pub fn take(&self, port: u16) -> TcpListener {
        let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        self.netns.run(|| TcpListener::bind(all)).expect("inside").expect("a free port")
    }
}

fn tell_streams(listener: &TcpListener, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        match listener.accept() {
            Ok((mut stream, client)) => {
                let _ = stream.write_all(client.ip().to_canonical().to_string().as_bytes());
                let _ = stream.shutdown(Shutdown::Write);
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn tell_datagrams(socket: &UdpSocket, stop: &AtomicBool) {
    let mut question = [0; 64];
    while !stop.load(Relaxed) {
        if let Ok((_, client)) = socket.recv_from(&mut question) {
            let _ = socket.send_to(client.ip().to_canonical().to_string().as_bytes(), client);
        }
    }
}

fn ask_by_stream(to: SocketAddr, patience: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn ask_by_datagram(to: SocketAddr, patience: Duration) -> std::io::Result<String> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(patience / 5))?;
    let mut answer = [0; 64];
    // A datagram may be lost, and the first may meet a neighbour that has to be asked for.
    for _ in 0..5 {
        socket.send(b"who am I?")?;
        match socket.recv(&mut answer) {
            Ok(len) => return Ok(String::from_utf8_lossy(&answer[..len]).into_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::TimedOut.into())
}

/// A server, which ends with this.
pub struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
