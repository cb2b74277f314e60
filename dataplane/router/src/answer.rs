//! Replies to those who ask for the switch's addresses, or for addresses that it stands in for.
//!
//! A proxy answers with its own Ethernet address for what another interface leads to (RFC 1027), so that hosts that take the
//! world for one link find their way. For IPv6 it answers likewise, as "proxy" is meant in RFC 4861 §7.2.8; it does not hand
//! solicitations on from link to link, as RFC 4389 has it. Solicitations of routers are not answered.

use std::net::IpAddr;

use paceline_wire::arp::Arp;
use paceline_wire::ethernet::Mac;
use paceline_wire::ipv6::UNSPECIFIED;
use paceline_wire::ndp::Solicitation;

use crate::frame::Frame;
use crate::heard::Ask;
use crate::interface::Interface;

/// Whose address was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The interface's own.
    Own,
    /// One that the switch stands in for.
    Proxied,
}

/// The reply to a question that came in by an interface, and whose address it is about; `None` if it is not ours to answer.
///
/// `is_usable` says of an own address whether it was found to be free: one that is not yet is not answered for (RFC 4862
/// §5.4.3). `is_routed_elsewhere` says of any other whether another interface leads to it, which only a proxy asks.
pub fn answer(
    ask: &Ask,
    interface: &Interface,
    is_usable: impl Fn(IpAddr) -> bool,
    is_routed_elsewhere: impl FnOnce(IpAddr) -> bool,
) -> Option<(Frame, Whose)> {
    let whose = if interface.has(ask.target) {
        is_usable(ask.target).then_some(Whose::Own)
    } else {
        may_stand_in(ask, interface).then_some(Whose::Proxied).filter(|_| is_routed_elsewhere(ask.target))
    }?;
    let frame = match (ask.target, ask.sender) {
        (IpAddr::V4(target), sender) => {
            let sender = match sender {
                Some(IpAddr::V4(sender)) => sender.octets(),
                _ => [0; 4],
            };
            let reply = Arp::request(ask.mac, sender, target.octets()).reply(interface.mac);
            Frame::arp(&reply, reply.destination())
        }
        (IpAddr::V6(target), sender) => {
            let source = match sender {
                Some(IpAddr::V6(sender)) => sender.octets(),
                _ => UNSPECIFIED,
            };
            let ask_again =
                Solicitation { source, destination: UNSPECIFIED, target: target.octets(), link_layer: None };
            let mut reply = ask_again.answer(interface.mac, true);
            if whose == Whose::Proxied {
                // Whoever really has the address is to win (RFC 4861 §7.2.8), and nobody else's source is used.
                reply.overrides = false;
                let IpAddr::V6(own) =
                    interface.source_for(IpAddr::V6(reply.destination.into()), is_usable)?
                else {
                    return None;
                };
                reply.source = own.octets();
            }
            let destination = if reply.solicited { ask.mac } else { Mac::of_group_v6(&reply.destination) };
            Frame::advertisement(interface.mac, destination, &reply)
        }
    };
    Some((frame?, whose))
}

/// Whether a proxy may answer at all. Who asks whether an address is free must not hear that the proxy has it, or no host could
/// ever get one; and link-local addresses are of one link alone.
fn may_stand_in(ask: &Ask, interface: &Interface) -> bool {
    let is_of_the_link = match ask.target {
        IpAddr::V4(_) => false,
        IpAddr::V6(target) => target.is_unicast_link_local(),
    };
    interface.proxy
        && ask.sender.is_some_and(|sender| sender != ask.target)
        && !is_of_the_link
        && interface.may_be_asked_for(ask.target)
}
