//! Reading neighbour discovery, with every check that RFC 4861 §6.1 and §7.1 ask for.

use crate::icmp::{self, IcmpHeader};
use crate::icmpv6;
use crate::input::is_host_v6;
use crate::ipv6::{self, Ipv6Header};
use crate::ndp::{
    Advertisement, HOP_LIMIT, Message, NEIGHBOR_ADVERTISEMENT, NEIGHBOR_SOLICITATION, OVERRIDE, ROUTER,
    ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION, RouterAdvertisement, RouterSolicitation, SOLICITED,
    Solicitation, solicited_node,
};
use crate::ndp_options::{Options, SOURCE_LINK_LAYER, TARGET_LINK_LAYER};

/// Why a packet is not to be believed. It is dropped without an answer (RFC 4861 §6.1, §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The packet is no ICMPv6, is not whole, or is a fragment (RFC 6980 §5).
    #[error("the packet is not a whole ICMPv6 message")]
    Truncated,
    /// The packet may have come by a router.
    #[error("hop limit {0}: must be {HOP_LIMIT}, so that it is of this link")]
    HopLimit(u8),
    /// The checksum is wrong.
    #[error("the ICMPv6 checksum is wrong")]
    Checksum,
    /// The type is none of the four that are read here.
    #[error("ICMPv6 type {0} is none of neighbour discovery")]
    Type(u8),
    /// The code is not zero.
    #[error("ICMPv6 code {0}: must be 0")]
    Code(u8),
    /// The message is shorter than its fixed part.
    #[error("the message ends inside its fixed part")]
    Length,
    /// An option has length zero or reaches beyond the message.
    #[error("an option has length zero, or reaches beyond the message")]
    Options,
    /// The source is none that may send this: no single host, or none where there must be one.
    #[error("the source address may not send this message")]
    Source,
    /// The destination is none that this may be sent to.
    #[error("the destination address is none that this message may be sent to")]
    Destination,
    /// The target is not the address of one host.
    #[error("the target address is none of one host")]
    Target,
    /// A sender without an address tells its hardware address.
    #[error("the sender has no address, but tells its hardware address")]
    LinkLayer,
}

/// Reads a packet of neighbour discovery. Whatever must be silently discarded by RFC 4861 §6.1 and §7.1 is a fault.
///
/// # Errors
/// The packet is another, or not to be believed.
pub fn parse(packet: &[u8]) -> Result<Message<'_>, Fault> {
    let header = Ipv6Header::read(packet).ok_or(Fault::Truncated)?;
    let len = header.payload_len(packet.len()).ok_or(Fault::Truncated)?;
    let packet = &packet[..ipv6::HEADER_LEN + len];
    let found = ipv6::transport(packet)
        .filter(|t| t.protocol == icmpv6::PROTOCOL && t.part.is_none() && !t.is_routed)
        .ok_or(Fault::Truncated)?;
    let message = &packet[found.offset..];
    let icmp = IcmpHeader::read(message).ok_or(Fault::Truncated)?;
    if !matches!(icmp.kind, ROUTER_SOLICITATION..=NEIGHBOR_ADVERTISEMENT) {
        return Err(Fault::Type(icmp.kind));
    }
    if header.hop_limit != HOP_LIMIT {
        return Err(Fault::HopLimit(header.hop_limit));
    }
    if icmpv6::sum(header, message).finish() != 0 {
        return Err(Fault::Checksum);
    }
    if icmp.code != 0 {
        return Err(Fault::Code(icmp.code));
    }
    // An unspecified source may only ask.
    let asks = matches!(icmp.kind, ROUTER_SOLICITATION | NEIGHBOR_SOLICITATION);
    let is_nobody = header.source == ipv6::UNSPECIFIED;
    let is_fit = if is_nobody { asks } else { is_host_v6(&header.source) };
    if !is_fit {
        return Err(Fault::Source);
    }
    let body = &message[icmp::HEADER_LEN..];
    let message = match icmp.kind {
        ROUTER_SOLICITATION => {
            let link_layer = Options::check(body)?.link_layer(SOURCE_LINK_LAYER);
            Message::RouterSolicitation(RouterSolicitation { source: header.source, link_layer })
        }
        ROUTER_ADVERTISEMENT => Message::RouterAdvertisement(router_advertisement(header, *icmp, body)?),
        NEIGHBOR_SOLICITATION => Message::Solicitation(solicitation(header, body)?),
        _ => Message::Advertisement(advertisement(header, *icmp, body)?),
    };
    // Who has no address has no hardware address that could belong to it.
    match &message {
        Message::Solicitation(Solicitation { link_layer: Some(_), .. })
        | Message::RouterSolicitation(RouterSolicitation { link_layer: Some(_), .. })
            if is_nobody =>
        {
            Err(Fault::LinkLayer)
        }
        _ => Ok(message),
    }
}

/// The target and the options behind it.
fn target(body: &[u8]) -> Result<([u8; 16], Options<'_>), Fault> {
    let (target, options) = body.split_first_chunk().ok_or(Fault::Length)?;
    if !is_host_v6(target) {
        return Err(Fault::Target);
    }
    Ok((*target, Options::check(options)?))
}

fn solicitation(header: &Ipv6Header, body: &[u8]) -> Result<Solicitation, Fault> {
    let (target, options) = target(body)?;
    let Ipv6Header { source, destination, .. } = *header;
    // RFC 4861 §7.1.1 only asks that it be a solicited-node group, but another's is never sent to by mistake.
    if source == ipv6::UNSPECIFIED && destination != solicited_node(&target) {
        return Err(Fault::Destination);
    }
    Ok(Solicitation { source, destination, target, link_layer: options.link_layer(SOURCE_LINK_LAYER) })
}

fn advertisement(header: &Ipv6Header, icmp: IcmpHeader, body: &[u8]) -> Result<Advertisement, Fault> {
    let (target, options) = target(body)?;
    let Ipv6Header { source, destination, .. } = *header;
    let has = |flag| icmp.rest[0] & flag != 0;
    if ipv6::is_multicast(&destination) && has(SOLICITED) {
        return Err(Fault::Destination);
    }
    Ok(Advertisement {
        source,
        destination,
        target,
        router: has(ROUTER),
        solicited: has(SOLICITED),
        overrides: has(OVERRIDE),
        link_layer: options.link_layer(TARGET_LINK_LAYER),
    })
}

fn router_advertisement<'a>(
    header: &Ipv6Header,
    icmp: IcmpHeader,
    body: &'a [u8],
) -> Result<RouterAdvertisement<'a>, Fault> {
    if !ipv6::is_link_local(&header.source) {
        return Err(Fault::Source);
    }
    let (times, options) = body.split_first_chunk::<8>().ok_or(Fault::Length)?;
    let times = u64::from_be_bytes(*times);
    let [hop_limit, flags, l0, l1] = icmp.rest;
    Ok(RouterAdvertisement {
        source: header.source,
        hop_limit,
        flags,
        lifetime: u16::from_be_bytes([l0, l1]),
        reachable: (times >> 32) as u32,
        retransmit: times as u32,
        options: Options::check(options)?,
    })
}
