//! Routes of the kernel by the links of one namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nix::errno::Errno;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHop, RouteNextHopFlags,
    RouteType,
};

use crate::error::Error;
use crate::links::Links;

/// One way of a route of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkRoute {
    /// Its destinations, without host bits.
    pub prefix: IpNet,
    /// The lowest is taken of those with the same destinations.
    pub metric: u32,
    /// The router; none: destinations are on the link.
    pub via: Option<IpAddr>,
}

impl Links {
    /// Unicast routes of the main table by the link of this index, of both families, sorted. Left out are those that are down, and
    /// those of IPv4 by a router that is known by its IPv6 address (RFC 8950).
    ///
    /// The kernel picks them out, so that it costs little on a host with many routes by other links.
    ///
    /// # Errors
    /// [`Error::Kernel`], [`Error::Closed`]; without the link there are none.
    pub async fn routes(&self, index: u32) -> Result<Vec<LinkRoute>, Error> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut like = RouteMessage::default();
            like.header.address_family = family;
            like.header.table = RouteHeader::RT_TABLE_MAIN;
            like.header.kind = RouteType::Unicast;
            like.attributes.push(RouteAttribute::Oif(index));
            match self.netlink.routes(like).await {
                Ok(found) => routes.extend(found.iter().flat_map(|message| read(message, index))),
                // It looks for the link first.
                Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => return Ok(Vec::new()),
                Err(error) => return Err(self.error("list routes by", &format!("link {index}"), error)),
            }
        }
        routes.sort_unstable();
        Ok(routes)
    }
}

/// The ways of a route by a link.
fn read(message: &RouteMessage, index: u32) -> Vec<LinkRoute> {
    let v4 = message.header.address_family == AddressFamily::Inet;
    let mut destination: IpAddr =
        if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let (mut table, mut metric) = (u32::from(message.header.table), 0);
    let (mut out, mut several) = (None, &[][..]);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = ip(address).unwrap_or(destination),
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Priority(number) => metric = *number,
            RouteAttribute::Oif(number) => out = Some(*number),
            RouteAttribute::MultiPath(hops) => several = hops,
            _ => {}
        }
    }
    let fits = message.header.kind == RouteType::Unicast
        && table == u32::from(RouteHeader::RT_TABLE_MAIN)
        && message.header.source_prefix_length == 0
        && message.header.tos == 0;
    let Some(prefix) =
        IpNet::new(destination, message.header.destination_prefix_length).ok().filter(|_| fits)
    else {
        return Vec::new();
    };
    let dead = message.header.flags.intersects(RouteFlags::Dead | RouteFlags::Linkdown);
    let own = (out == Some(index) && !dead).then_some(&message.attributes[..]);
    let up = |hop: &&RouteNextHop| {
        let down = RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown;
        hop.interface_index == index && !hop.flags.intersects(down)
    };
    let hops = several.iter().filter(up).map(|hop| &hop.attributes[..]);
    let same_family = |attributes: &&[RouteAttribute]| {
        !attributes.iter().any(|attribute| matches!(attribute, RouteAttribute::Via(_)))
    };
    let way = |attributes| LinkRoute { prefix: prefix.trunc(), metric, via: via(attributes) };
    own.into_iter().chain(hops).filter(same_family).map(way).collect()
}

/// The router of a way, if there is one.
fn via(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => ip(address),
        _ => None,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}
