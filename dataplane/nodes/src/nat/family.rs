//! What is different between IPv4 and IPv6 in address translation.

use paceline_graph::nat::{Nat, NatSide};
use paceline_graph::{Hop, L3, Reason, TunnelEnds};
use paceline_tables::{Address, Tuple};
use paceline_wire::checksum::{Field, update, update_partial, update_udp};
use paceline_wire::flow::{DCCP, Fault, Flow, Key, Kind, UDP_LITE};
use paceline_wire::fragment::Part;
use paceline_wire::{icmpv4, icmpv6, tcp, udp};

/// What is different between IPv4 and IPv6.
pub trait NatFamily: Send {
    /// An address.
    type Address: Address;
    /// Names of the nodes for packets that leave, and for those that come in.
    const NAMES: [&'static str; 2];
    /// The nodes themselves.
    const HOPS: [Hop; 2];
    /// The node that packets go on to that came in.
    const ROUTE: Hop;
    /// The type in the Ethernet header.
    const ETHERTYPE: [u8; 2];
    /// Another type, and the node that its leaving packets go to.
    const OTHER: Option<([u8; 2], Hop)>;

    /// The configuration and sessions of this version.
    fn side(nat: &Nat) -> &NatSide<Self::Address>;

    /// The interface's own address.
    fn own(l3: &L3) -> Option<Self::Address>;

    /// Whether answers to a flow are for an end of tunnels, which gets them first.
    fn is_tunnel_s(ends: &TunnelEnds, flow: &Tuple<Self::Address>) -> bool;

    /// The flow of a packet that is like most: whole TCP or UDP, no options or extensions. `None` of all others.
    fn plain(ip: &[u8]) -> Option<Tuple<Self::Address>>;

    /// The flags of a packet that is plain and TCP.
    fn flags(ip: &[u8]) -> u8;

    /// Gives a packet, of which [`plain`](Self::plain) has read the flow, another one; `sums` is what that adds to the sums of
    /// addresses, and of addresses and ports.
    fn apply(ip: &mut [u8], to: &Tuple<Self::Address>, sums: (u16, u16), field: Field);

    /// Reads the flow of any packet; `total` is the bytes of the whole.
    ///
    /// # Errors
    /// Why the packet is to be dropped.
    fn see(ip: &[u8], total: usize) -> Result<Seen<Self::Address>, Reason>;

    /// Gives any packet, of which [`see`](Self::see) has read the flow, another one.
    ///
    /// # Errors
    /// Why the packet is to be dropped. It was not changed, or not sent.
    fn rewrite(
        ip: &mut [u8],
        total: usize,
        seen: &Seen<Self::Address>,
        to: &Tuple<Self::Address>,
        field: Field,
    ) -> Result<(), Reason>;

    /// Lowers the segment size that a TCP handshake offers to what fits an MTU.
    fn clamp(ip: &mut [u8], mtu: u16, field: Field);
}

/// A packet as translation sees it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<T> {
    /// The flow that it belongs to: of an ICMP error, the way back of the packet that it quotes.
    pub flow: Tuple<T>,
    /// The flow that its own headers say; of an ICMP error, that of the error.
    pub outer: Tuple<T>,
    /// Type and code, if it is ICMP.
    pub icmp: (u8, u8),
    /// What is behind its IP headers.
    pub kind: Kind,
    /// Which part of a packet it is, if not the whole.
    pub part: Option<Part>,
    /// Flags, if it is TCP.
    pub tcp: u8,
    /// Whether it may begin a session.
    pub begins: bool,
}

/// Whether a protocol has ports, or identifiers, that can be changed. Those of SCTP cannot, as its checksum would have to be
/// computed anew.
pub fn has_ports(protocol: u8) -> bool {
    let is_icmp = matches!(protocol, icmpv4::PROTOCOL | icmpv6::PROTOCOL);
    is_icmp || matches!(protocol, tcp::PROTOCOL | udp::PROTOCOL | UDP_LITE | DCCP)
}

/// The reason that stands for a flow that cannot be read.
#[cold]
pub fn fault(fault: Fault) -> Reason {
    match fault {
        Fault::Header => Reason::IpHeader,
        Fault::Length | Fault::Transport => Reason::IpLength,
        Fault::Routed => Reason::NatProtocol,
    }
}

/// Reads what a packet is from its flow. `queries` are the types of ICMP messages that begin a session, `number` the address
/// of some bytes.
pub fn seen<T: Address, const N: usize>(
    ip: &[u8],
    flow: &Flow<N>,
    icmp: u8,
    queries: &[u8],
    number: impl Fn([u8; N]) -> T,
) -> Seen<T> {
    let key = &flow.key;
    let (protocol, at) = (key.protocol, ip.get(flow.l4..).unwrap_or_default());
    let flags = if flow.kind == Kind::Ports && protocol == tcp::PROTOCOL {
        at.get(tcp::FLAGS_OFFSET).copied()
    } else {
        None
    };
    let tcp = flags.unwrap_or_default();
    let begins = match flow.kind {
        Kind::Ports => tcp & tcp::RST == 0,
        Kind::Query => at.first().is_some_and(|kind| queries.contains(kind)),
        Kind::Other => protocol != icmp,
        Kind::Error | Kind::LaterPart => false,
    };
    let flow_of_key = tuple(key, &number);
    let is_icmp = protocol == icmp && flow.kind != Kind::LaterPart;
    let kind = at.first_chunk::<2>().filter(|_| is_icmp).copied().unwrap_or_default();
    Seen {
        flow: flow_of_key,
        outer: flow_of_key,
        icmp: (kind[0], kind[1]),
        kind: flow.kind,
        part: flow.part,
        tcp,
        begins,
    }
}

/// The flow of a key.
pub fn tuple<T: Address, const N: usize>(key: &Key<N>, number: impl Fn([u8; N]) -> T) -> Tuple<T> {
    Tuple {
        source: number(key.source),
        destination: number(key.destination),
        ports: Tuple::<T>::join(key.source_port, key.destination_port),
        protocol: key.protocol,
        scope: 0,
    }
}

/// The key of a flow.
pub fn key<T: Address, const N: usize>(flow: &Tuple<T>, bytes: impl Fn(T) -> [u8; N]) -> Key<N> {
    Key {
        source: bytes(flow.source),
        destination: bytes(flow.destination),
        source_port: flow.source_port(),
        destination_port: flow.destination_port(),
        protocol: flow.protocol,
    }
}

/// The least bytes of a plain packet's transport header; `None` of a protocol that is not plain.
#[inline(always)]
pub fn least(protocol: u8) -> Option<usize> {
    match protocol {
        udp::PROTOCOL => Some(udp::HEADER_LEN),
        tcp::PROTOCOL => Some(tcp::MIN_LEN),
        _ => None,
    }
}

/// Gives a TCP or UDP header other ports, and its checksum what that and other addresses add.
#[inline(always)]
pub fn transport(header: &mut [u8], protocol: u8, ports: u32, sums: (u16, u16), field: Field) {
    if let Some(place) = header.first_chunk_mut() {
        *place = ports.to_be_bytes();
    }
    let is_udp = protocol == udp::PROTOCOL;
    let at = if is_udp { udp::CHECKSUM_OFFSET } else { tcp::CHECKSUM_OFFSET };
    let Some(place) = header.get_mut(at..).and_then(<[u8]>::first_chunk_mut) else { return };
    let was = u16::from_be_bytes(*place);
    // An old sum of 0xffff is the zero of ones' complement: what is added is the whole of the change.
    let sum = match field {
        Field::Partial => update_partial(was, 0xffff, sums.0),
        Field::Full if is_udp => update_udp(was, 0xffff, sums.1),
        Field::Full => update(was, 0xffff, sums.1),
    };
    *place = sum.to_be_bytes();
}
