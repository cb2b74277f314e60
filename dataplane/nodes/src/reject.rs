//! `reject`: ends packets that a policy refuses, and tells their senders: by a reset for TCP, by an ICMP error for all else (RFC 1812
//! §5.2.7.1, RFC 4443 §3.1).
//!
//! Next: the output of the interface that the packet came in by, with the tag that it had; for a packet that should have left,
//! `l2-bridge`, `ip4-route` or `ip6-route`, as if its receiver had answered. So it works for bridged interfaces, which have no
//! address of their own, too. For a station that the bridge does not know behind the interface there is no answer.
//!
//! Cost: a buffer and some 500 bytes of copy for each answer, of which a worker gives at most 1000 a second.

use paceline_buf::{Packet, Vector};
use paceline_graph::{Bucket, Context, Hop, Node, Reason};
use paceline_sys::cpu::{tsc, tsc_hz};
use paceline_wire::ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN};
use paceline_wire::ipv4::Ipv4Header;
use paceline_wire::ipv6::{self, Ipv6Header};
use paceline_wire::{icmpv4, icmpv6, reset, tcp};

use crate::acl::past_filters;
use crate::hop;

/// Answers a second and worker, and how many of them at once, as of `icmp-error`.
const PER_SECOND: u64 = 1000;
const BURST: u64 = 50;

/// The node.
pub struct Reject {
    /// How many answers may be given, by cycles.
    limit: Bucket,
}

impl Default for Reject {
    fn default() -> Self {
        Reject { limit: Bucket::new(tsc_hz() / PER_SECOND, BURST, tsc()) }
    }
}

impl Node for Reject {
    fn name(&self) -> &'static str {
        "reject"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        self.limit.refill(tsc());
        vector.drain(|packet| {
            if self.limit.has()
                && let Some((answer, hop)) = answer(cx, &packet)
            {
                self.limit.spend();
                cx.trace(&packet, format_args!("its sender is told"));
                cx.send(answer, hop);
            }
            cx.drop(packet, Reason::AclReject);
        });
    }
}

/// The answer to a packet, and where it goes. `None` if nothing may be said, or there is no buffer.
fn answer(cx: &mut Context<'_>, packet: &Packet) -> Option<(Packet, Hop)> {
    let frame = packet.data();
    let (destination, source) = ethernet::addresses(frame)?;
    if destination.is_group() || source.is_group() {
        return None;
    }
    let kind = ethernet::ethertype(frame)?;
    let mut answer = cx.cache.alloc()?;
    let Some(len) = write(answer.room_mut(), frame, kind) else {
        cx.cache.free(answer);
        return None;
    };
    answer.set_len(len);
    let left = packet.feature != 0;
    let index = if left { packet.tx } else { packet.rx };
    let way = cx.snapshot.interface(index).and_then(|interface| {
        (answer.rx, answer.domain, answer.aux) = (index, packet.domain, packet.aux);
        if !left {
            return past_filters(cx.snapshot, &mut answer, index, index).ok();
        }
        if interface.l3.is_none() {
            // A flood meets the policies of ports that the receiver is not behind. An answer from there would be learned.
            let macs = cx.snapshot.bridges.get(usize::from(packet.domain))?.macs.reader();
            let is_there = macs.lookup(destination.0, macs.hash(destination.0)) == Some(index);
            return is_there.then_some(hop::L2_BRIDGE);
        }
        answer.domain = interface.domain;
        Some(if kind == ETHERTYPE_IPV4 { hop::IP4_ROUTE } else { hop::IP6_ROUTE })
    });
    let Some(hop) = way else {
        cx.cache.free(answer);
        return None;
    };
    if let Some(record) = packet.trace() {
        answer.set_trace(record);
    }
    Some((answer, hop))
}

/// Writes the frame that answers another one. How long it is.
fn write(out: &mut [u8], frame: &[u8], kind: u16) -> Option<usize> {
    let (destination, source) = ethernet::addresses(frame)?;
    let ip = frame.get(HEADER_LEN..)?;
    let (front, room) = out.split_at_mut_checked(HEADER_LEN)?;
    ethernet::write_header(front, source, destination, kind)?;
    let len = match kind {
        // Of TCP there is nothing to say to a later part, or to a reset.
        ETHERTYPE_IPV4 => {
            let Ipv4Header { destination, protocol, .. } = Ipv4Header::read(ip)?;
            match *protocol {
                tcp::PROTOCOL => reset::write_v4(ip, room),
                _ => icmpv4::write_error(ip, icmpv4::Problem::AdminProhibited, *destination, room),
            }
        }
        ETHERTYPE_IPV6 => {
            let own = Ipv6Header::read(ip)?.destination;
            match ipv6::transport(ip)?.protocol {
                tcp::PROTOCOL => reset::write_v6(ip, room),
                _ => icmpv6::write_error(ip, icmpv6::Problem::AdminProhibited, &own, room),
            }
        }
        _ => None,
    };
    Some(HEADER_LEN + len?)
}
