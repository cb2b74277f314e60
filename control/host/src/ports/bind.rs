//! Sockets bound to a host's port.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use paceline_model::Protocol;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use super::room::Room;
use super::{Holder, Target, datagrams, streams};
use crate::error::PortsError;

/// Connections that wait to be taken; the kernel's own limit (`net.core.somaxconn`) may be lower.
const BACKLOG: i32 = 1024;

/// A socket that nobody serves yet.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    place: String,
}

impl Bound {
    /// Serves it: what comes is passed on to a port of `target`, as far as there is room.
    ///
    /// # Errors
    /// [`PortsError::System`].
    pub fn hold(
        self,
        protocol: Protocol,
        target: Target,
        port: u16,
        room: &Arc<Room>,
    ) -> Result<Holder, PortsError> {
        let Self { socket, place } = self;
        let serve = || -> io::Result<Holder> {
            let room = Arc::clone(room);
            let local = socket.local_addr()?.as_socket().map(|local| local.ip());
            let target = local.and_then(|local| target.for_client(local)).map(|ip| SocketAddr::new(ip, port));
            Ok(match (protocol, target) {
                (Protocol::Tcp, Some(target)) => {
                    let listener = TcpListener::from_std(socket.into())?;
                    Holder::Task(tokio::spawn(streams::serve(listener, target, room)))
                }
                (Protocol::Udp, Some(target)) => {
                    let socket = UdpSocket::from_std(socket.into())?;
                    Holder::Task(tokio::spawn(datagrams::serve(socket, target, room)))
                }
                // Nothing of ours speaks SCTP; and what has no address is not spoken to.
                _ => Holder::Socket { _kept: socket },
            })
        };
        serve().map_err(|source| PortsError::System { port: place, source })
    }
}

/// Binds a port on an address, or on all: one socket for each family then, as their addresses are told apart.
///
/// # Errors
/// See [`PortsError`].
pub fn all(protocol: Protocol, ip: Option<IpAddr>, port: u16) -> Result<Vec<Bound>, PortsError> {
    if let Some(ip) = ip {
        return Ok(vec![one(protocol, ip, port)?]);
    }
    let mut sockets = vec![one(protocol, Ipv4Addr::UNSPECIFIED.into(), port)?];
    match one(protocol, Ipv6Addr::UNSPECIFIED.into(), port) {
        Ok(socket) => sockets.push(socket),
        // A host without IPv6.
        Err(PortsError::NoAddress { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(sockets)
}

fn one(protocol: Protocol, ip: IpAddr, port: u16) -> Result<Bound, PortsError> {
    let place = format!("{}/{protocol}", place(ip, port));
    match bind(protocol, SocketAddr::new(ip, port)) {
        Ok(socket) => Ok(Bound { socket, place }),
        Err(source) => Err(match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EADDRINUSE) => PortsError::InUse(place),
            Some(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT) => {
                PortsError::NoAddress { port: place, ip, has: addresses() }
            }
            Some(Errno::EPROTONOSUPPORT | Errno::ESOCKTNOSUPPORT) if protocol == Protocol::Sctp => {
                PortsError::NoSctp(place)
            }
            _ => PortsError::System { port: place, source },
        }),
    }
}

fn bind(protocol: Protocol, to: SocketAddr) -> io::Result<Socket> {
    let kind = if protocol == Protocol::Udp { Type::DGRAM } else { Type::STREAM };
    let socket = Socket::new(Domain::for_address(to), kind, Some(i32::from(protocol.number()).into()))?;
    socket.set_nonblocking(true)?;
    if to.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    match protocol {
        // Connections of a process before us may not be forgotten yet. It lets nobody else in.
        Protocol::Tcp => socket.set_reuse_address(true)?,
        // To answer from the address that was asked.
        Protocol::Udp if to.is_ipv4() => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
        Protocol::Udp => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        Protocol::Sctp => {}
    }
    socket.bind(&to.into())?;
    if protocol == Protocol::Tcp {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

/// An address and port as people write them.
pub fn place(ip: IpAddr, port: u16) -> String {
    SocketAddr::new(ip, port).to_string()
}

/// The addresses of the host; those of one link alone are left out.
fn addresses() -> Vec<IpAddr> {
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten().filter_map(|interface| {
        let address = interface.address?;
        let ipv4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        ipv4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    });
    let everywhere = |ip: &IpAddr| !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    all.filter(everywhere).collect::<BTreeSet<_>>().into_iter().collect()
}
