//! `icmp-error`: ends packets that cannot be routed, and tells their senders why (RFC 1812 §4.3, RFC 4443 §2.4).
//!
//! Next: `ip4-route` or `ip6-route`, which find the way back as for any packet; `punt` for what the switch tells itself about a
//! packet of its own.
//!
//! Cost: a buffer and some 500 bytes of copy for each message. They are limited in number: who sends a flood that cannot be
//! routed gets a thousand answers a second, and keeps no worker from its work.

use paceline_buf::{Packet, Vector};
use paceline_graph::{Bucket, Context, Hop, L3, Node, Reason};
use paceline_sys::cpu::{tsc, tsc_hz};
use paceline_wire::ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN};
use paceline_wire::ipv4::Ipv4Header;
use paceline_wire::ipv6::Ipv6Header;
use paceline_wire::{icmpv4, icmpv6};

use crate::hop;

/// Messages a second and worker, and how many of them at once: what Linux allows (`icmp_msgs_per_sec`, `icmp_msgs_burst`).
const PER_SECOND: u64 = 1000;
const BURST: u64 = 50;

/// The node.
pub struct IcmpError {
    /// How many messages may be sent, by cycles.
    limit: Bucket,
}

impl Default for IcmpError {
    fn default() -> Self {
        IcmpError { limit: Bucket::new(tsc_hz() / PER_SECOND, BURST, tsc()) }
    }
}

impl Node for IcmpError {
    fn name(&self) -> &'static str {
        "icmp-error"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        self.limit.refill(tsc());
        vector.drain(|packet| self.end(cx, packet));
    }
}

impl IcmpError {
    fn end(&mut self, cx: &mut Context<'_>, packet: Packet) {
        let reason = Reason::of(packet.reason);
        if self.limit.has()
            && let Some((message, hop)) = message(cx, &packet, reason)
        {
            self.limit.spend();
            cx.trace(&packet, format_args!("{}: its sender is told", reason.name()));
            cx.send(message, hop);
        }
        cx.drop(packet, reason);
    }
}

/// The message about a packet, addressed to the routing node as if it had come in by the same interface. `None` if nothing may
/// be said, the interface has no address to say it from, or there is no buffer.
fn message(cx: &mut Context<'_>, packet: &Packet, reason: Reason) -> Option<(Packet, Hop)> {
    let l3 = cx.snapshot.interface(packet.rx)?.l3?;
    let ip = packet.data().get(HEADER_LEN..)?;
    let is_v4 = ethernet::ethertype(packet.data())? == ETHERTYPE_IPV4;
    let mut message = cx.cache.alloc()?;
    let Some(len) = write(message.room_mut(), ip, is_v4, reason, packet.aux, &l3) else {
        cx.cache.free(message);
        return None;
    };
    message.set_len(len);
    message.set_own();
    // From an address to itself no router takes it.
    let to_itself = if is_v4 {
        Ipv4Header::read(ip)
            .is_some_and(|header| l3.address4.is_some_and(|own| own.octets() == header.source))
    } else {
        Ipv6Header::read(ip)
            .is_some_and(|header| l3.address6.is_some_and(|own| own.octets() == header.source))
    };
    if to_itself {
        message.reason = Reason::NobodyHome as u16;
    }
    (message.rx, message.domain) = (packet.rx, packet.domain);
    if let Some(record) = packet.trace() {
        message.set_trace(record);
    }
    let hop = match (to_itself, is_v4) {
        (true, _) => hop::PUNT,
        (false, true) => hop::IP4_ROUTE,
        (false, false) => hop::IP6_ROUTE,
    };
    Some((message, hop))
}

/// Writes the frame with the message; `mtu` is that of the next hop, if that is the problem. How long it is.
fn write(out: &mut [u8], ip: &[u8], is_v4: bool, reason: Reason, mtu: u32, own: &L3) -> Option<usize> {
    let (front, room) = out.split_at_mut_checked(HEADER_LEN)?;
    let ethertype = if is_v4 { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
    ethernet::write_header(front, own.mac, own.mac, ethertype)?;
    let len = if is_v4 {
        let problem = match reason {
            Reason::TtlExpired => icmpv4::Problem::TtlExceeded,
            Reason::NeedsFragmentation => icmpv4::Problem::FragmentationNeeded { mtu: mtu as u16 },
            Reason::Prohibited => icmpv4::Problem::AdminProhibited,
            Reason::Unreachable | Reason::NoNeighbour => icmpv4::Problem::HostUnreachable,
            Reason::NoRoute => icmpv4::Problem::NetUnreachable,
            _ => return None,
        };
        icmpv4::write_error(ip, problem, own.address4?.octets(), room)?
    } else {
        let problem = match reason {
            Reason::TtlExpired => icmpv6::Problem::HopLimitExceeded,
            Reason::NeedsFragmentation => icmpv6::Problem::TooBig { mtu },
            Reason::Prohibited => icmpv6::Problem::AdminProhibited,
            Reason::Unreachable | Reason::NoNeighbour => icmpv6::Problem::AddressUnreachable,
            Reason::NoRoute => icmpv6::Problem::NoRoute,
            _ => return None,
        };
        icmpv6::write_error(ip, problem, &own.address6?.octets(), room)?
    };
    Some(HEADER_LEN + len)
}
