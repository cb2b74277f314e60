//! What a frame says about addresses: ARP and neighbour discovery, in the same words.

use std::net::IpAddr;

use paceline_wire::arp::{self, Arp, Operation};
use paceline_wire::ethernet::{self, ETHERTYPE_ARP, ETHERTYPE_IPV6, HEADER_LEN, Mac};
use paceline_wire::icmpv6;
use paceline_wire::ipv6::{self, UNSPECIFIED};
use paceline_wire::ndp::{self, Message};

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Who has an address?
    Ask(Ask),
    /// Somebody has an address.
    Tell(Tell),
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Who asks; none if it only asks whether the target is free: then it may not be learned.
    pub sender: Option<IpAddr>,
    /// The station that asks.
    pub mac: Mac,
    /// Whether the station is said to have the sender's address. A solicitation need not say so (RFC 4861 §7.2.3).
    pub tells_mac: bool,
    /// The address in question.
    pub target: IpAddr,
}

/// An answer or announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tell {
    /// The address.
    pub address: IpAddr,
    /// Who has it. An advertisement that answers one who knows need not say so (RFC 4861 §4.4).
    pub mac: Option<Mac>,
    /// The station that sent the frame.
    pub from: Mac,
    /// It answers a question of ours, and so the way to it works in both directions.
    pub solicited: bool,
    /// It is to replace what is known otherwise. ARP's answers never say so, ARP's announcements always.
    pub overrides: bool,
}

/// Why nothing is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The frame ends inside its header, or has a VLAN tag, which none has on its way into a routed interface.
    #[error("the frame ends inside its header, or has a VLAN tag")]
    Ethernet,
    /// The frame is for another station.
    #[error("the frame is for another station")]
    Elsewhere,
    /// The frame is our own, come back.
    #[error("the frame was sent by this interface")]
    Echo,
    /// It is about nothing that is treated here. That includes solicitations of routers, which are not answered: this router
    /// advertises no prefixes, and hosts learn of it by their configuration.
    #[error("the frame is about something else")]
    Other,
    /// It is ARP that is not to be believed.
    #[error(transparent)]
    Arp(arp::Fault),
    /// It is neighbour discovery that is not to be believed.
    #[error(transparent)]
    Ndp(ndp::Fault),
}

impl Heard {
    /// Reads a frame that came in by an interface with the Ethernet address `own`. `frame` is the first segment.
    ///
    /// # Errors
    /// There is nothing in it to act on.
    pub fn read(frame: &[u8], own: Mac) -> Result<Heard, Fault> {
        let header =
            ethernet::parse(frame).filter(|header| header.l3 == HEADER_LEN).ok_or(Fault::Ethernet)?;
        if header.destination != own && !header.destination.is_group() {
            return Err(Fault::Elsewhere);
        }
        if header.source == own {
            return Err(Fault::Echo);
        }
        match header.ethertype {
            ETHERTYPE_ARP => {
                let arp = Arp::parse(frame).map_err(Fault::Arp)?;
                if arp.sender_mac == own {
                    Err(Fault::Echo)
                } else {
                    Ok(from_arp(&arp, header.destination == own))
                }
            }
            ETHERTYPE_IPV6 => from_ndp(&frame[HEADER_LEN..], header.source),
            _ => Err(Fault::Other),
        }
    }
}

fn from_arp(arp: &Arp, is_to_us: bool) -> Heard {
    let mac = arp.sender_mac;
    if arp.operation == Operation::Reply || arp.is_announcement() {
        let solicited = is_to_us && arp.operation == Operation::Reply && !arp.is_announcement();
        let overrides = arp.is_announcement();
        return Heard::Tell(Tell {
            address: arp.sender.into(),
            mac: Some(mac),
            from: mac,
            solicited,
            overrides,
        });
    }
    let sender = (!arp.is_probe()).then_some(arp.sender.into());
    Heard::Ask(Ask { sender, mac, tells_mac: true, target: arp.target.into() })
}

fn from_ndp(packet: &[u8], from: Mac) -> Result<Heard, Fault> {
    // What is not ICMPv6 at all is no fault of neighbour discovery.
    if ipv6::transport(packet).is_none_or(|found| found.protocol != icmpv6::PROTOCOL) {
        return Err(Fault::Other);
    }
    match ndp::parse(packet) {
        Ok(Message::Solicitation(ask)) => Ok(Heard::Ask(Ask {
            sender: (ask.source != UNSPECIFIED).then_some(ask.source.into()),
            mac: ask.link_layer.unwrap_or(from),
            tells_mac: ask.link_layer.is_some(),
            target: ask.target.into(),
        })),
        Ok(Message::Advertisement(tell)) => Ok(Heard::Tell(Tell {
            address: tell.target.into(),
            mac: tell.link_layer,
            from,
            solicited: tell.solicited,
            overrides: tell.overrides,
        })),
        Ok(_) | Err(ndp::Fault::Type(_)) => Err(Fault::Other),
        Err(fault) => Err(Fault::Ndp(fault)),
    }
}
