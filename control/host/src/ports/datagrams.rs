//! UDP datagrams passed on, and the answers to them.

use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::room::{Place, Room};

/// Clients at one port; the datagrams of more are dropped.
const MAX: usize = 1024;
/// How long a client may be silent, and its container, until it is forgotten: as the kernel's own translation of UDP has it
/// for those that were answered (`nf_conntrack_udp_timeout_stream`).
const SILENCE: Duration = Duration::from_secs(120);
/// Datagrams of one client that wait.
const WAITING: usize = 64;
/// The largest datagram, in bytes.
const LARGEST: usize = 65535;

/// Who asked, and which of the host's addresses. For an address of one link alone, also by which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Client {
    from: SocketAddr,
    to: IpAddr,
    interface: u32,
}

/// Passes datagrams on, until it is dropped.
pub async fn serve(socket: UdpSocket, target: SocketAddr, room: Arc<Room>) {
    let socket = Arc::new(socket);
    let mut clients: HashMap<Client, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; LARGEST];
    loop {
        let (client, length) = tokio::select! {
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                // One that panicked, of which we do not know which it was, is found closed below.
                if let Ok(client) = ended
                    && clients.get(&client).is_some_and(mpsc::Sender::is_closed)
                {
                    clients.remove(&client);
                }
                continue;
            }
            received = receive(&socket, &mut buffer) => match received {
                Ok(received) => received,
                Err(error) => {
                    tracing::debug!(%target, "a datagram to a published port is lost: {error}");
                    continue;
                }
            },
        };
        let datagram = buffer[..length].to_vec();
        let full = clients.len() >= MAX;
        match clients.get(&client) {
            // What does not fit is lost, as on any network.
            Some(queue) if !queue.is_closed() => drop(queue.try_send(datagram)),
            None if full => {}
            _ => {
                let Some(place) = room.take() else { continue };
                let (queue, datagrams) = mpsc::channel(WAITING);
                drop(queue.try_send(datagram));
                clients.insert(client, queue);
                tasks.spawn(converse(Arc::clone(&socket), client, target, datagrams, place));
            }
        }
    }
}

/// Passes the datagrams of one client on, and the answers back, until both are silent.
async fn converse(
    socket: Arc<UdpSocket>,
    client: Client,
    target: SocketAddr,
    mut datagrams: mpsc::Receiver<Vec<u8>>,
    _place: Place,
) -> Client {
    let container = match connect(target).await {
        Ok(container) => container,
        Err(error) => {
            tracing::debug!(%target, "a published port is not reached: {error}");
            return client;
        }
    };
    let mut buffer = vec![0; LARGEST];
    loop {
        // An error, as when nobody listens in the container, is of one datagram.
        tokio::select! {
            Some(datagram) = datagrams.recv() => { let _ = container.send(&datagram).await; }
            received = container.recv(&mut buffer) => if let Ok(length) = received {
                let _ = answer(&socket, client, &buffer[..length]).await;
            },
            () = sleep(SILENCE) => return client,
        }
    }
}

async fn connect(target: SocketAddr) -> io::Result<UdpSocket> {
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(target).await?;
    Ok(socket)
}

/// The next datagram: whose it is, and its length.
async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(Client, usize)> {
    let receive = || -> io::Result<(Client, usize)> {
        let mut space = nix::cmsg_space!(libc::in6_pktinfo);
        let mut parts = [IoSliceMut::new(buffer)];
        let message =
            recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty())?;
        let from = message.address.as_ref().and_then(address).ok_or(io::ErrorKind::InvalidData)?;
        let to = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some((Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into(), 0))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                Some((IpAddr::from(info.ipi6_addr.s6_addr), info.ipi6_ifindex))
            }
            _ => None,
        });
        let (to, interface) = to.ok_or(io::ErrorKind::InvalidData)?;
        Ok((Client { from, to, interface }, message.bytes))
    };
    socket.async_io(Interest::READABLE, receive).await
}

/// Answers a client from the address that it asked.
async fn answer(socket: &UdpSocket, client: Client, datagram: &[u8]) -> io::Result<()> {
    let to = SockaddrStorage::from(client.from);
    let send = |control: ControlMessage<'_>| {
        let parts = [IoSlice::new(datagram)];
        sendmsg(socket.as_raw_fd(), &parts, &[control], MsgFlags::empty(), Some(&to))?;
        Ok(())
    };
    let answer = || match client.to {
        IpAddr::V4(ip) => {
            let local = libc::in_addr { s_addr: u32::from(ip).to_be() };
            let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: local, ipi_addr: local };
            send(ControlMessage::Ipv4PacketInfo(&info))
        }
        IpAddr::V6(ip) => {
            let local = libc::in6_addr { s6_addr: ip.octets() };
            let info = libc::in6_pktinfo { ipi6_addr: local, ipi6_ifindex: client.interface };
            send(ControlMessage::Ipv6PacketInfo(&info))
        }
    };
    socket.async_io(Interest::WRITABLE, answer).await
}

fn address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let ipv4 = address.as_sockaddr_in().map(|&address| SocketAddr::V4(address.into()));
    ipv4.or_else(|| address.as_sockaddr_in6().map(|&address| SocketAddr::V6(address.into())))
}
