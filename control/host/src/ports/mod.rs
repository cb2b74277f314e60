//! Published ports, held on the host.
//!
//! For each there is a socket on each address that it is published on. So a port that another program has is found before
//! the container starts, and none takes it later. What the kernel translates never reaches these sockets. What it cannot does,
//! and is passed on to the container from there: what is for `::1` or a link-local address, which may not leave their link, and
//! what comes by a family that the container has no address of.

mod bind;
mod datagrams;
mod room;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bind::Bound;
use paceline_model::{EndpointId, PortRequest, Protocol, PublishedPort};
use room::Room;
use tokio::task::JoinHandle;

use crate::error::PortsError;

/// Ports to choose from when any will do: the dynamic ones (RFC 6335, section 6), but for the first, as Docker does.
const ANY: (u16, u16) = (49153, 65535);

/// Longest time that a freed port's sockets take to be closed.
const CLOSING: Duration = Duration::from_millis(200);

/// A container's addresses. Leave out that of a family in which the host does not translate ([`GatewayMode::Nat`]).
///
/// [`GatewayMode::Nat`]: paceline_model::GatewayMode::Nat
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Target {
    /// IPv4.
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6.
    pub ipv6: Option<Ipv6Addr>,
}

/// All published ports that this process holds. They are free again when it ends, or when this is dropped.
///
/// A held port costs a descriptor for each address, two for all addresses. What is passed on has room for a quarter as many
/// connections and UDP clients, of all ports together, as the process may have open files when this is made.
#[derive(Debug)]
pub struct Ports {
    held: BTreeMap<EndpointId, Vec<Held>>,
    /// Where to look first when any port will do: what was freed just now is taken last.
    next: u16,
    /// When ports were freed last: their sockets are closed a moment later.
    freed: Option<Instant>,
    room: Arc<Room>,
    /// UDP ports that do not reach the host's stack, as tunnels end there.
    carried: BTreeSet<SocketAddr>,
}

#[derive(Debug)]
struct Held {
    port: PublishedPort,
    /// Free it when they are dropped.
    _sockets: Vec<Holder>,
}

/// What keeps a port: a task that has the socket, or the socket itself.
#[derive(Debug)]
enum Holder {
    Task(JoinHandle<()>),
    Socket { _kept: socket2::Socket },
}

impl Drop for Holder {
    fn drop(&mut self) {
        if let Self::Task(task) = self {
            task.abort();
        }
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self::with(Room::of_process())
    }
}

impl Ports {
    /// Passes on so many connections and UDP clients at once.
    pub fn with_room(most: usize) -> Self {
        Self::with(Room::new(most))
    }

    fn with(room: Room) -> Self {
        Self {
            held: BTreeMap::new(),
            next: ANY.0,
            freed: None,
            room: Arc::new(room),
            carried: BTreeSet::new(),
        }
    }

    /// Says at which UDP ports tunnels end now: nobody else is given these. What is held already stays.
    pub fn carry(&mut self, ends: BTreeSet<SocketAddr>) {
        self.carried = ends;
    }

    /// Connections that had to wait for room, and datagrams that were dropped without.
    pub fn missed(&self) -> u64 {
        self.room.missed()
    }

    /// Publishes ports of an endpoint, all of them or none, in place of those that it has, which may be among them: what was
    /// settled, in the order of the requests. In the namespace of the calling thread.
    ///
    /// # Errors
    /// The request that was refused, and why. Nothing has changed then.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn reserve(
        &mut self,
        endpoint: &EndpointId,
        target: Target,
        requests: &[PortRequest],
    ) -> Result<Vec<PublishedPort>, (PortRequest, PortsError)> {
        let mut kept: Vec<PublishedPort> = self.published(endpoint).collect();
        let (mut settled, mut fresh) = (Vec::new(), Vec::new());
        for request in requests {
            let failed = |error| (*request, error);
            if let Some(at) = kept.iter().position(|port| request.is_met_by(*port)) {
                settled.push(kept.swap_remove(at));
                continue;
            }
            let (port, sockets) = self.settle(request).map_err(failed)?;
            fresh.push((*request, port, sockets));
            settled.push(port);
        }
        // Only now, as what is passed on already is not free at once.
        let room = &self.room;
        let hold =
            |(request, port, sockets)| hold(target, port, sockets, room).map_err(|error| (request, error));
        let fresh = fresh.into_iter().map(hold).collect::<Result<Vec<_>, _>>()?;
        let held = self.held.entry(endpoint.clone()).or_default();
        held.retain(|held| settled.contains(&held.port));
        held.extend(fresh);
        Ok(settled)
    }

    /// Holds again what was settled before this process started; what could not be held, and why. The kernel translates those
    /// all the same. Those that are held already are left as they are.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn restore(
        &mut self,
        endpoint: &EndpointId,
        target: Target,
        ports: &[PublishedPort],
    ) -> Vec<PortsError> {
        let mut failed = Vec::new();
        for port in ports {
            if self.held.get(endpoint).is_some_and(|held| held.iter().any(|held| held.port == *port)) {
                continue;
            }
            let bound = self.bind(port.protocol, port.host_ip, port.host_port);
            match bound.and_then(|sockets| hold(target, *port, sockets, &self.room)) {
                Ok(held) => self.held.entry(endpoint.clone()).or_default().push(held),
                Err(error) => failed.push(error),
            }
        }
        failed
    }

    /// Frees all ports of an endpoint, and ends the connections that are passed on. Fine when it has none.
    pub fn release(&mut self, endpoint: &EndpointId) {
        if self.held.remove(endpoint).is_some() {
            self.freed = Some(Instant::now());
        }
    }

    /// Frees all ports of endpoints that are not to be kept.
    pub fn keep(&mut self, is_kept: impl Fn(&EndpointId) -> bool) {
        let before = self.held.len();
        self.held.retain(|endpoint, _| is_kept(endpoint));
        if self.held.len() < before {
            self.freed = Some(Instant::now());
        }
    }

    /// What an endpoint has published.
    pub fn published(&self, endpoint: &EndpointId) -> impl Iterator<Item = PublishedPort> {
        self.held.get(endpoint).into_iter().flatten().map(|held| held.port)
    }

    /// Finds the first free port of a request.
    fn settle(&mut self, request: &PortRequest) -> Result<(PublishedPort, Vec<Bound>), PortsError> {
        let PortRequest { protocol, host_ip, host_ports, port } = *request;
        if port == 0 {
            return Err(PortsError::ContainerPort);
        }
        let candidates: Vec<u16> = match host_ports {
            None => (self.next..=ANY.1).chain(ANY.0..self.next).collect(),
            Some(range) => (range.first()..=range.last()).collect(),
        };
        for &candidate in &candidates {
            let settled = request.with(candidate);
            let bound = self.refuse_carried(settled).and_then(|()| self.bind(protocol, host_ip, candidate));
            match bound {
                Err(PortsError::InUse(_) | PortsError::Published { .. } | PortsError::Carried(_))
                    if candidates.len() > 1 => {}
                Err(error) => return Err(error),
                Ok(sockets) => {
                    if host_ports.is_none() {
                        self.next = if candidate == ANY.1 { ANY.0 } else { candidate + 1 };
                    }
                    return Ok((settled, sockets));
                }
            }
        }
        let (first, last) = host_ports.map_or(ANY, |range| (range.first(), range.last()));
        let ip = host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        Err(PortsError::NoneFree(format!("{}-{last}/{protocol}", bind::place(ip, first))))
    }

    /// Refuses a port at which tunnels end.
    fn refuse_carried(&self, port: PublishedPort) -> Result<(), PortsError> {
        let is_it = |end: &&SocketAddr| {
            port.protocol == Protocol::Udp && end.port() == port.host_port && port.is_at(end.ip())
        };
        match self.carried.iter().find(is_it) {
            Some(end) => Err(PortsError::Carried(format!("{end}/udp"))),
            None => Ok(()),
        }
    }

    /// Binds all sockets of a port.
    fn bind(&self, protocol: Protocol, ip: Option<IpAddr>, port: u16) -> Result<Vec<Bound>, PortsError> {
        let mut bound = bind::all(protocol, ip, port);
        // It may be one of ours that was freed just now.
        while matches!(bound, Err(PortsError::InUse(_)))
            && self.freed.is_some_and(|freed| freed.elapsed() < CLOSING)
            && self.holder(protocol, ip, port).is_none()
        {
            std::thread::sleep(Duration::from_millis(2));
            bound = bind::all(protocol, ip, port);
        }
        bound.map_err(|error| match error {
            PortsError::InUse(place) => match self.holder(protocol, ip, port) {
                Some(by) => PortsError::Published { port: place, by: by.clone() },
                None => PortsError::InUse(place),
            },
            other => other,
        })
    }

    /// The endpoint of ours that holds a port which is in the way of another one; without an address, at all of them.
    pub fn holder(&self, protocol: Protocol, ip: Option<IpAddr>, port: u16) -> Option<&EndpointId> {
        let meets = |held: &PublishedPort| match (held.host_ip, ip) {
            (Some(one), Some(other)) if one.is_ipv4() == other.is_ipv4() => {
                one == other || one.is_unspecified() || other.is_unspecified()
            }
            (Some(_), Some(_)) => false,
            _ => true,
        };
        let has =
            |held: &Held| held.port.protocol == protocol && held.port.host_port == port && meets(&held.port);
        self.held.iter().find(|(_, ports)| ports.iter().any(has)).map(|(endpoint, _)| endpoint)
    }
}

/// Has what is bound pass on what comes to it.
fn hold(
    target: Target,
    port: PublishedPort,
    sockets: Vec<Bound>,
    room: &Arc<Room>,
) -> Result<Held, PortsError> {
    let hold = |bound: Bound| bound.hold(port.protocol, target, port.port, room);
    let sockets = sockets.into_iter().map(hold).collect::<Result<_, _>>()?;
    Ok(Held { port, _sockets: sockets })
}

impl Target {
    /// Where a client of this address is sent: to an address of its own family, if there is one.
    fn for_client(self, client: IpAddr) -> Option<IpAddr> {
        let (ipv4, ipv6) = (self.ipv4.map(IpAddr::V4), self.ipv6.map(IpAddr::V6));
        if client.is_ipv4() { ipv4.or(ipv6) } else { ipv6.or(ipv4) }
    }
}
