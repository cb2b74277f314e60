//! `source-check`: lets only packets into routing whose source is in a subnet of the interface (BCP 38, RFC 3704 §2.1).
//!
//! Next: the rest of the input arc.
//!
//! For interfaces whose hosts are not to be trusted, such as containers: behind the switch it is the address that tells networks
//! apart. Link-local sources and no source at all pass: neighbour discovery needs them, and nothing routes them.
//!
//! Cost: a look at the source address, which the router has in its cache.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use paceline_buf::{VECTOR_SIZE, Vector};
use paceline_graph::{Context, Hop, Node, Reason};
use paceline_wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN, ethertype};
use paceline_wire::ipv4::Ipv4Header;
use paceline_wire::ipv6::{self, Ipv6Header};

use crate::refuse;

/// The node.
pub struct SourceCheck {
    hops: Box<[Hop; VECTOR_SIZE]>,
}

impl Default for SourceCheck {
    fn default() -> Self {
        SourceCheck { hops: Box::new([Hop::DROP; VECTOR_SIZE]) }
    }
}

impl Node for SourceCheck {
    fn name(&self) -> &'static str {
        "source-check"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let snapshot = cx.snapshot;
        for (packet, hop) in vector.as_mut_slice().iter_mut().zip(self.hops.iter_mut()) {
            let sources = snapshot.interface(packet.rx).and_then(|interface| interface.sources.as_deref());
            let is_fine = source(packet.data()).is_none_or(|source| {
                sources.is_some_and(|nets| nets.iter().any(|net| net.contains(&source)))
            });
            *hop = if is_fine {
                cx.next_input(packet).unwrap_or(Hop::NOWHERE)
            } else {
                refuse(packet, Reason::SpoofedSource)
            };
        }
        cx.dispatch(vector, &self.hops[..]);
    }
}

/// The source of an IP packet that might be routed.
#[inline]
fn source(frame: &[u8]) -> Option<IpAddr> {
    let ip = frame.get(HEADER_LEN..)?;
    match ethertype(frame)? {
        ETHERTYPE_IPV4 => Some(Ipv4Addr::from(Ipv4Header::read(ip)?.source).into()),
        ETHERTYPE_IPV6 => {
            let source = Ipv6Header::read(ip)?.source;
            let stays = source == ipv6::UNSPECIFIED || ipv6::is_link_local(&source);
            (!stays).then(|| Ipv6Addr::from(source).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use etherparse::PacketBuilder;
    use paceline_graph::Capabilities;

    use super::*;
    use crate::testing::{Rig, frame};
    use crate::{Features, hop};

    fn packet(source: &str) -> Vec<u8> {
        let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let ip = match source.parse::<IpAddr>().expect("an address") {
            IpAddr::V4(source) => ethernet.ipv4(source.octets(), [192, 0, 2, 1], 9),
            IpAddr::V6(source) => ethernet.ipv6(source.octets(), [0x20; 16], 9),
        };
        let mut frame = Vec::new();
        ip.udp(1, 2).write(&mut frame, &[7; 20]).expect("written");
        frame
    }

    #[test]
    fn only_sources_of_the_interface_s_subnets_pass() {
        let mut rig = Rig::bridge(2);
        let features =
            Features { source_check: true, capabilities: Capabilities::ALL, ..Features::default() };
        let nets: Arc<[ipnet::IpNet]> =
            ["10.0.0.0/24", "fd00::/64"].map(|net| net.parse().expect(net)).into();
        // What comes behind is a bridge here, which makes no difference.
        rig.interface(0, features, |i| i.sources = Some(nets));
        for fine in ["10.0.0.2", "10.0.0.255", "fd00::2", "fe80::1", "::"] {
            assert_eq!(rig.ports(0, &packet(fine)), [1], "{fine}");
        }
        assert_eq!(rig.ports(0, &frame(1, 255, 64)), [1], "what is not IP");
        for spoofed in ["10.0.1.2", "0.0.0.0", "192.0.2.9", "fd00:0:0:1::2", "2001:db8::1"] {
            assert_eq!(rig.ports(0, &packet(spoofed)), [], "{spoofed}");
        }
        assert_eq!(rig.drops(hop::SOURCE_CHECK, Reason::SpoofedSource), 5);
    }
}
