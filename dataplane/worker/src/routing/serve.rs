//! Packets that workers leave to control: neighbours are asked for, questions about own addresses answered, and what is for the
//! switch itself is given to its own small stack.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use paceline_buf::Packet;
use paceline_graph::{Hop, Reason};
use paceline_nodes::{finish_checksum, hop};
use paceline_router::local::{Limits, Local};
use paceline_router::neighbour::{Action, Cause};
use paceline_wire::ethernet::{self, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN, Mac};
use paceline_wire::ipv4::Ipv4Header;
use paceline_wire::ipv6::Ipv6Header;
use paceline_wire::{membership, ndp};

use super::exit::{Exit, Way, route};
use super::lines::{Target, version};
use super::{Leg, Routing};

impl Routing {
    /// Looks at a packet that a worker left to control.
    pub(crate) fn input(&mut self, now: Duration, mut packet: Packet, way: &mut Way) {
        if packet.reason == Reason::NoNeighbour as u16 {
            match self.neighbour_of(&packet) {
                Some((interface, address)) => {
                    self.neighbours.want(now, interface, address, packet, &mut self.actions);
                }
                None => way.drop(packet, Reason::NoNeighbour),
            }
            return self.act(now, way);
        }
        if packet.reason == Reason::UnknownPeer as u16 {
            return self.stranger(packet, way);
        }
        if packet.reason == Reason::Membership as u16 {
            return self.overhear(now, packet, way);
        }
        let ethertype = ethernet::ethertype(packet.data());
        if ethertype == Some(ETHERTYPE_ARP) || is_discovery(packet.data()) {
            let (rx, lines) = (packet.rx, &self.lines);
            let named = |name: &str| self.tables.iter().find(|table| *table.name == *name);
            let table = self.legs.get(&rx).and_then(|leg| named(&leg.vrf));
            let elsewhere = |address: IpAddr| {
                let found = table.and_then(|table| table.find(address));
                found.is_some_and(|(_, number)| {
                    lines.interfaces(number).is_some_and(|all| all.iter().all(|i| *i != rx))
                })
            };
            self.neighbours.input(now, rx, packet.data(), elsewhere, &mut self.actions);
            way.cache.free(packet);
            return self.act(now, way);
        }
        if packet.reason == Reason::NotForUs as u16 && is_membership(packet.data()) {
            if !self.groups.is_member_on(packet.rx) {
                return way.drop(packet, Reason::NotForUs);
            }
            self.groups.input(now, packet.rx, packet.data().get(HEADER_LEN..).unwrap_or_default());
            way.cache.free(packet);
            return;
        }
        if let Some((hop, number, header)) = self.owner_of(&packet) {
            let Some(ethernet) = packet.data_mut().get_mut(..header.len()) else {
                return way.drop(packet, Reason::Runt);
            };
            ethernet.copy_from_slice(&header);
            (packet.tx, packet.feature) = (number, 0);
            way.send(hop, packet);
            return;
        }
        // Routes lead here with the switch's addresses, but for those that mean something on one link alone.
        let is_own =
            |leg: &Leg| destination(packet.data()).is_some_and(|to| is_link_local(to) && leg.answers(to));
        let is_ours =
            packet.reason == Reason::NobodyHome as u16 || self.legs.get(&packet.rx).is_some_and(is_own);
        // Nothing that the switch itself takes comes in super-packets.
        let offload = packet.offload().filter(|offload| offload.needs_csum() || offload.is_gso());
        let is_whole =
            offload.is_none_or(|offload| !offload.is_gso() && finish_checksum(&mut packet, &offload).is_ok());
        if !is_ours || !is_whole {
            let reason = if is_ours { Reason::NobodyHome } else { Reason::of(packet.reason) };
            return way.drop(packet, reason);
        }
        self.scratch.clear();
        packet.segments().for_each(|segment| self.scratch.extend_from_slice(segment));
        let (rx, domain) = (packet.rx, packet.domain);
        way.cache.free(packet);
        if let (Some(leg), Some(ip)) = (self.legs.get(&rx), self.scratch.get(HEADER_LEN..)) {
            let local = self.locals.entry(domain).or_insert_with(|| Local::new(now, Limits::default()));
            let mut exit = Exit { now, way, neighbours: &mut self.neighbours, actions: &mut self.actions };
            local.input(now, ip, |answer| exit.send(leg, domain, answer));
        }
        self.act(now, way);
    }

    /// Does what the time has come for. When there is more to do; `None`: never.
    pub(crate) fn poll(&mut self, now: Duration, way: &mut Way) -> Option<Duration> {
        self.neighbours.poll(now, &mut self.actions);
        self.act(now, way);
        for (domain, local) in &mut self.locals {
            let name = self.tables.get(usize::from(*domain)).map(|table| &table.name);
            let leg = self.legs.values().find(|leg| name.is_some_and(|name| *leg.vrf == **name));
            let mut exit = Exit { now, way, neighbours: &mut self.neighbours, actions: &mut self.actions };
            local.poll(now, |answer| {
                if let Some(leg) = leg {
                    exit.send(leg, *domain, answer);
                }
            });
        }
        self.serve_pings(way);
        self.act(now, way);
        self.serve_words(way);
        self.serve_groups(now, way);
        self.serve_snooping(now, way);
        self.serve_strangers(way);
        let locals = self.locals.values().filter_map(Local::next_deadline);
        let others =
            [self.neighbours.next_deadline(), self.groups.next_deadline(), self.snooping.next_deadline()];
        locals.chain(others.into_iter().flatten()).min()
    }

    fn serve_words(&mut self, way: &mut Way) {
        for (interface, frame) in self.words.drain(..) {
            if let Some(mut packet) = way.packet(&frame) {
                packet.rx = interface;
                way.send(hop::L2_BRIDGE, packet);
            }
        }
    }

    /// Frees the packets that still wait for a neighbour or a tunnel.
    pub(crate) fn end(&mut self, way: &mut Way) {
        self.end_strangers(way);
        let legs: Vec<u16> = self.legs.keys().copied().collect();
        for leg in legs {
            self.neighbours.remove_interface(leg, &mut self.actions);
        }
        for action in self.actions.drain(..) {
            if let Action::Release { packet, .. } | Action::GiveUp { packet, .. } = action {
                way.cache.free(packet);
            }
        }
    }

    /// The neighbour that a packet is to go to: by what its adjacency is for.
    fn neighbour_of(&self, packet: &Packet) -> Option<(u16, IpAddr)> {
        match self.lines.target(packet.aux)? {
            Target::Glean(link) => Some((link.interface, destination(packet.data())?)),
            Target::Neighbour(link, address) => Some((link.interface, *address)),
            _ => None,
        }
    }

    /// Who else has the address that a packet is for: the way to it by a link of two, its interface, and the addresses there.
    fn owner_of(&self, packet: &Packet) -> Option<(Hop, u16, [u8; 12])> {
        let (rx, to) = (self.legs.get(&packet.rx)?, destination(packet.data())?);
        let has = |leg: &&Leg| leg.vrf == rx.vrf && (leg.has(to) || leg.outside.contains(&to));
        let owner = self.legs.values().filter(has).find_map(|leg| leg.owner.as_deref())?;
        let out = self.legs.values().find(|leg| *leg.name == *owner && leg.number != packet.rx)?;
        let mut header = [0; 12];
        header[..6].copy_from_slice(&out.peer?.octets());
        header[6..].copy_from_slice(&out.mac.octets());
        Some((out.out, out.number, header))
    }

    /// Carries out what came of neighbours.
    pub(crate) fn act(&mut self, _now: Duration, way: &mut Way) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Send { interface, frame } => {
                    let Some(leg) = self.legs.get(&interface) else { continue };
                    if let Some(mut packet) = way.packet(&frame) {
                        (packet.rx, packet.tx) = (interface, interface);
                        way.send(leg.out, packet);
                    }
                }
                Action::Resolved { interface, address, mac } => self.resolved(interface, address, mac),
                Action::Lost { interface, address } => self.lost(interface, address),
                Action::Release { packet, interface, mac } => self.release(packet, interface, mac, way),
                Action::GiveUp { mut packet, cause } if cause.is_told() => {
                    packet.reason = Reason::NoNeighbour as u16;
                    way.send(hop::ICMP_ERROR, packet);
                }
                Action::GiveUp { packet, cause: Cause::Crowded | Cause::Full | Cause::Busy } => {
                    way.drop(packet, Reason::NeighbourLimit);
                }
                Action::GiveUp { packet, .. } => way.drop(packet, Reason::NoNeighbour),
                Action::Usable { .. } => {}
                Action::Conflict { interface, address, mac, lost } => {
                    let name = self.legs.get(&interface).map_or("?", |leg| &leg.name);
                    let what = if lost { "not used" } else { "defended" };
                    tracing::warn!(
                        interface = name,
                        "address {address} is claimed by {mac}, too: it is {what}"
                    );
                }
            }
        }
        self.actions = actions;
    }

    /// A packet whose neighbour is known by now, back to where it came from.
    fn release(&mut self, packet: Packet, interface: u16, mac: Mac, way: &mut Way) {
        let to = destination(packet.data());
        if to.is_some_and(is_link_local) {
            return self.send_on_link(packet, interface, mac, way);
        }
        let is_known = match (self.lines.target(packet.aux), to) {
            (Some(Target::Neighbour(..)), _) => true,
            (Some(Target::Glean(_)), Some(address)) => {
                let domain = usize::from(packet.domain);
                // It was known before anything led to it by way of this interface.
                self.has_way(domain, address) || {
                    self.resolved(interface, address, mac);
                    self.has_way(domain, address)
                }
            }
            _ => false,
        };
        if is_known {
            route(way, packet);
        } else {
            way.drop(packet, Reason::NoNeighbour);
        }
    }

    /// Whether routing a packet leads further than to a question about its destination.
    fn has_way(&self, domain: usize, address: IpAddr) -> bool {
        let found = self.tables.get(domain).and_then(|table| table.find(address));
        found.is_some_and(|(_, number)| !matches!(self.lines.target(number), Some(Target::Glean(_))))
    }

    /// Sends an IP packet of the switch's own to a station on a link.
    fn send_on_link(&self, mut packet: Packet, interface: u16, mac: Mac, way: &mut Way) {
        let (Some(leg), Some(ethertype)) = (self.legs.get(&interface), ethernet::ethertype(packet.data()))
        else {
            return way.drop(packet, Reason::NoNeighbour);
        };
        // There is room for it: it has one.
        let _ = ethernet::write_header(packet.data_mut(), mac, leg.mac, ethertype);
        (packet.tx, packet.aux, packet.feature) = (interface, leg.mtu.into(), 0);
        let is_long = packet.total_len() > HEADER_LEN + usize::from(leg.mtu);
        let hop = if is_long && ethertype == ETHERTYPE_IPV4 { hop::IP4_FRAGMENT } else { leg.out };
        way.send(hop, packet);
    }

    /// A neighbour has this MAC address from now on, and a route of its own.
    pub(super) fn resolved(&mut self, interface: u16, address: IpAddr, mac: Mac) {
        let Some(leg) = self.legs.get(&interface) else { return };
        let link = leg.link(version(address));
        self.lines.set(link, address, Some(mac));
        let Some(table) = self.named(&leg.vrf).and_then(|at| self.tables.get_mut(at)) else { return };
        let prefix = IpNet::from(address);
        // Only where its destination would be asked for on this link: other routes go first.
        let asked = table.find(address).and_then(|(_, number)| self.lines.target(number));
        if !matches!(asked, Some(Target::Glean(link)) if link.interface == interface) {
            return;
        }
        // Without a number left there is no route: packets for it are left to control, which drops them.
        let Some(number) = self.lines.take(Target::Neighbour(link, address), Some(mac)) else { return };
        match table.insert(prefix, number, &mut self.lines) {
            Ok(()) => _ = table.found.insert(address, interface),
            Err(error) => tracing::warn!(%address, "no route to a neighbour: {error}"),
        }
    }

    pub(super) fn lost(&mut self, interface: u16, address: IpAddr) {
        let Some(leg) = self.legs.get(&interface) else { return };
        self.lines.set(leg.link(version(address)), address, None);
        if self.is_next_hop((interface, address)) {
            // It may have made room for another one.
            self.unpinned.insert((interface, address));
        }
        let Some(table) = self.named(&leg.vrf).and_then(|at| self.tables.get_mut(at)) else { return };
        if table.found.remove(&address).is_some() {
            table.remove(IpNet::from(address), &mut self.lines);
        }
    }
}

/// Whether a frame is one of IPv6 neighbour discovery.
fn is_discovery(frame: &[u8]) -> bool {
    ethernet::ethertype(frame) == Some(ETHERTYPE_IPV6)
        && frame.get(HEADER_LEN..).is_some_and(ndp::is_discovery)
}

/// Whether a frame is about membership in groups.
fn is_membership(frame: &[u8]) -> bool {
    let is_ip = matches!(ethernet::ethertype(frame), Some(ETHERTYPE_IPV4 | ETHERTYPE_IPV6));
    is_ip && frame.get(HEADER_LEN..).is_some_and(membership::is_membership)
}

/// The IP address that a frame is for.
pub(super) fn destination(frame: &[u8]) -> Option<IpAddr> {
    let ip = frame.get(HEADER_LEN..)?;
    match ethernet::ethertype(frame)? {
        ETHERTYPE_IPV4 => Some(Ipv4Addr::from(Ipv4Header::read(ip)?.destination).into()),
        ETHERTYPE_IPV6 => Some(Ipv6Addr::from(Ipv6Header::read(ip)?.destination).into()),
        _ => None,
    }
}

/// Whether an address means something on its link alone.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
