//! What control shows of the workers. Field names are stable: programs read them.

use serde::Serialize;

/// One interface.
#[derive(Clone, Debug, Serialize)]
pub struct InterfaceView {
    /// Name.
    pub name: String,
    /// Kind of port.
    pub kind: String,
    /// `up`, or `down`.
    pub state: String,
    /// Why it is down.
    pub reason: Option<String>,
    /// Largest Ethernet payload, in bytes.
    pub mtu: u32,
    /// Bridge that it is in.
    pub bridge: Option<String>,
    /// Queues, that is, workers that serve it.
    pub queues: usize,
    /// Frames received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames dropped that came in here, or should have left here.
    pub drops: u64,
}

/// One node, or the receiving or sending side of an interface, on one worker.
#[derive(Clone, Debug, Serialize)]
pub struct NodeView {
    /// Worker.
    pub worker: usize,
    /// `node`, or `interface-rx` and `interface-tx`.
    pub name: String,
    /// Calls with a vector.
    pub vectors: u64,
    /// Packets.
    pub packets: u64,
    /// Packets per vector.
    pub packets_per_vector: f64,
    /// TSC cycles per packet.
    pub cycles_per_packet: f64,
    /// Packets dropped.
    pub drops: u64,
}

/// Drops of one reason at one place.
#[derive(Clone, Debug, Serialize)]
pub struct DropView {
    /// `node` or `interface`; `vrf` for what was for the switch itself, as a host in that table; `thread` for what else the thread
    /// `router` did not take; `host` for what control did not pass on.
    pub scope: &'static str,
    /// Name of it.
    pub name: String,
    /// Reason.
    pub reason: &'static str,
    /// What the reason means.
    pub description: &'static str,
    /// How many.
    pub packets: u64,
}

/// One address of a bridge domain.
#[derive(Clone, Debug, Serialize)]
pub struct MacView {
    /// Bridge.
    pub bridge: String,
    /// VLAN, if the bridge has any.
    pub vlan: Option<u16>,
    /// Address.
    pub mac: String,
    /// Interface it is behind.
    pub interface: String,
    /// Configured, not learned.
    pub is_static: bool,
    /// Seconds since it was seen, to the precision of ageing.
    pub age_s: u32,
}

/// One worker.
#[derive(Clone, Debug, Serialize)]
pub struct WorkerView {
    /// Number.
    pub worker: usize,
    /// Core that it is pinned to.
    pub core: Option<usize>,
    /// `poll`, `adaptive` or `interrupt`.
    pub mode: &'static str,
    /// Turns of its loop.
    pub turns: u64,
    /// Turns that moved packets.
    pub busy_turns: u64,
    /// Times it slept.
    pub sleeps: u64,
    /// Share of the time that it slept, 0 to 1.
    pub asleep: f64,
    /// Packets handed to other workers.
    pub handed_off: u64,
}

/// What a port of a bridge domain is to multicast.
#[derive(Clone, Debug, Serialize)]
pub struct MulticastView {
    /// Bridge.
    pub bridge: String,
    /// VLAN, if the bridge has any.
    pub vlan: Option<u16>,
    /// The group that somebody behind the port is in; none: it leads to a router, which all groups go to.
    pub group: Option<String>,
    /// `member`, or `router` and the version of IP: `router4`, `router6`.
    pub role: &'static str,
    /// Interface.
    pub interface: String,
    /// Seconds for which it is so if nothing more is heard.
    pub left_s: u64,
}

/// One bridge domain.
#[derive(Clone, Debug, Serialize)]
pub struct BridgeView {
    /// Bridge.
    pub name: String,
    /// VLAN, if the bridge has any.
    pub vlan: Option<u16>,
    /// Interfaces in it.
    pub members: Vec<String>,
    /// Addresses known.
    pub macs: usize,
    /// Whether it listens who is in which multicast group.
    pub snooping: bool,
    /// Multicast groups known.
    pub groups: usize,
    /// Times that somebody joined a group for which there was no place: that one is flooded.
    pub groups_refused: u64,
    /// Most addresses it takes.
    pub mac_limit: u32,
    /// Seconds until an address is forgotten, 0 for never.
    pub mac_age_s: u32,
    /// Whether it learns.
    pub learn: bool,
    /// `flood` or `drop`.
    pub unknown_unicast: &'static str,
    /// Addresses learned so far.
    pub learned: u64,
    /// Addresses that moved between ports.
    pub moved: u64,
    /// Addresses refused for want of room.
    pub refused: u64,
    /// Frames from an address that is configured for another port.
    pub misplaced: u64,
    /// Questions for known hosts that were answered in place of a flood.
    pub suppressed: u64,
}

/// A route.
#[derive(Clone, Debug, Serialize)]
pub struct RouteView {
    /// Routing table.
    pub vrf: String,
    /// Prefix.
    pub prefix: String,
    /// Where it comes from: `static` (configuration or command), `connected` (a subnet of an interface), `local` (an address of the
    /// switch), `nat` (an address that inside hosts appear under), `neighbour`.
    pub origin: &'static str,
    /// `forward`, `local`, `translate`, `blackhole`, `unreachable`, `prohibit`; `inactive` if no interface leads to its next hops.
    pub action: &'static str,
    /// Next hops: address, if any, and interface.
    pub next_hops: Vec<String>,
}

/// A neighbour.
#[derive(Clone, Debug, Serialize)]
pub struct NeighbourView {
    /// Interface it is behind.
    pub interface: String,
    /// Its IP address.
    pub address: String,
    /// Its Ethernet address, if it is known.
    pub mac: Option<String>,
    /// `static`, `reachable`, `stale`, `probing`, `incomplete` or `failed`.
    pub state: &'static str,
    /// Seconds since it has this Ethernet address, or has failed.
    pub age_s: u64,
    /// Packets that wait for it.
    pub waiting: usize,
}

/// A routing table.
#[derive(Clone, Debug, Serialize)]
pub struct VrfView {
    /// Its name.
    pub name: String,
    /// Its interfaces.
    pub interfaces: Vec<String>,
    /// IPv4 and IPv6 routes.
    pub routes: usize,
    /// Bytes of memory.
    pub bytes: usize,
}

/// What became of an echo request.
#[derive(Clone, Debug, Serialize)]
pub struct PingView {
    /// `reply`, `error` (somebody on the way told that it cannot arrive) or `silence`.
    pub outcome: &'static str,
    /// The address that asked.
    pub source: String,
    /// Who answered.
    pub from: Option<String>,
    /// Bytes behind the ICMP header of the answer.
    pub bytes: usize,
    /// Time to live or hop limit that the answer had left.
    pub ttl: Option<u8>,
    /// Type and code of the error.
    pub icmp: Option<(u8, u8)>,
    /// Microseconds from the request to the answer, as the switch's control thread saw them.
    pub time_us: u64,
}

/// A VXLAN tunnel. Its counters are those of the interface of its name.
#[derive(Clone, Debug, Serialize)]
pub struct TunnelView {
    /// Name.
    pub name: String,
    /// VXLAN network identifier.
    pub vni: u32,
    /// Bridge that it is in.
    pub bridge: Option<String>,
    /// Routing table of the outer packets.
    pub vrf: String,
    /// This end.
    pub local: String,
    /// The other end, or a multicast group.
    pub remote: String,
    /// UDP port.
    pub port: u16,
    /// The interface that packets for the group leave by, if it is one.
    pub group_interface: Option<String>,
    /// Largest inner Ethernet payload, in bytes.
    pub mtu: u32,
    /// Made because the other end sent something, not configured.
    pub is_learned: bool,
}

/// Address translation, of one version of IP.
#[derive(Clone, Debug, Serialize)]
pub struct NatView {
    /// 4 or 6.
    pub version: u8,
    /// Addresses that inside hosts appear under.
    pub addresses: Vec<String>,
    /// Sessions there are.
    pub sessions: u64,
    /// Sessions begun.
    pub created: u64,
    /// Sessions that ended because of their age.
    pub expired: u64,
    /// Sessions that made way for others.
    pub reclaimed: u64,
    /// Sessions that a new configuration did not allow any more.
    pub flushed: u64,
    /// Sessions not begun as no port was free.
    pub no_port: u64,
    /// Sessions not begun as the table was full.
    pub table_full: u64,
    /// Sessions not begun as the host had as many as it may.
    pub host_limit: u64,
    /// Bytes of memory for sessions, if all of it is in use.
    pub bytes: u64,
}

/// A session of address translation.
#[derive(Clone, Debug, Serialize)]
pub struct NatSessionView {
    /// The worker that keeps it.
    pub worker: usize,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, or the number of the protocol.
    pub protocol: String,
    /// Source of the packet that began it; the port is the identifier of an ICMP query, or 0.
    pub source: String,
    /// Its destination.
    pub destination: String,
    /// What the source became.
    pub new_source: String,
    /// What the destination became.
    pub new_destination: String,
    /// `transitory`, `established`, `unanswered`, `answered` or `query`.
    pub state: &'static str,
    /// Whether it began by a mapping.
    pub is_mapping: bool,
    /// Seconds since its last packet.
    pub idle_s: u32,
    /// Seconds that it lives without another one.
    pub left_s: u32,
    /// Packets of both directions.
    pub packets: u64,
}

/// A policy at an interface.
#[derive(Clone, Debug, Serialize)]
pub struct FilterView {
    /// Interface.
    pub interface: String,
    /// `input` or `output`.
    pub direction: &'static str,
    /// Policy.
    pub policy: String,
    /// Whether it remembers flows.
    pub stateful: bool,
    /// Bytes of memory of its classifiers.
    pub bytes: usize,
    /// Its rules in their order, with the ends of tiers and of the policy, which are named `default`.
    pub rules: Vec<RuleView>,
}

/// How many frames of a kind may come in by an interface.
#[derive(Clone, Debug, Serialize)]
pub struct StormView {
    /// Interface.
    pub interface: String,
    /// `broadcast`, `multicast` or `unknown-unicast`.
    pub kind: &'static str,
    /// How many a second.
    pub frames: u32,
    /// Frames that were dropped.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A rule of a policy.
#[derive(Clone, Debug, Serialize)]
pub struct RuleView {
    /// Tier; empty for the policy's default.
    pub tier: String,
    /// Rule.
    pub name: String,
    /// `permit`, `deny`, `reject` or `pass`.
    pub action: &'static str,
    /// Packets that it decided about. Of flows that are remembered, the first.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Flows of stateful policies, of one version of IP.
#[derive(Clone, Debug, Serialize)]
pub struct FlowsView {
    /// 4 or 6.
    pub version: u8,
    /// Flows that are remembered.
    pub sessions: u64,
    /// Flows begun.
    pub created: u64,
    /// Flows that ended because of their age.
    pub expired: u64,
    /// Flows that made way for others.
    pub reclaimed: u64,
    /// Flows that a new configuration did not allow any more.
    pub flushed: u64,
    /// Flows not begun as the table was full.
    pub table_full: u64,
    /// Bytes of memory, if all of it is in use.
    pub bytes: u64,
}

/// A flow of a stateful policy.
#[derive(Clone, Debug, Serialize)]
pub struct FlowSessionView {
    /// The worker that keeps it.
    pub worker: usize,
    /// The interface.
    pub interface: String,
    /// `input` if its first packet came in by that, `output` if it left.
    pub direction: &'static str,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, or the number of the protocol.
    pub protocol: String,
    /// Source of its first packet; the port is the identifier of an ICMP query, or 0.
    pub source: String,
    /// Its destination.
    pub destination: String,
    /// `transitory`, `established`, `unanswered`, `answered` or `query`.
    pub state: &'static str,
    /// Seconds since its last packet.
    pub idle_s: u32,
    /// Seconds that it lives without another one.
    pub left_s: u32,
    /// Packets of both directions.
    pub packets: u64,
}

/// Something that a rule decided which the flow log is to tell of.
#[derive(Clone, Debug, Serialize)]
pub struct FlowEventView {
    /// Interface.
    pub interface: String,
    /// `input` or `output`.
    pub direction: &'static str,
    /// `permit`, `deny` or `reject`.
    pub action: &'static str,
    /// Policy.
    pub policy: String,
    /// Tier.
    pub tier: String,
    /// Rule.
    pub rule: String,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, or the number of the protocol.
    pub protocol: String,
    /// Source; the port is the type of an ICMP message.
    pub source: String,
    /// Destination; the port is the code of an ICMP message.
    pub destination: String,
    /// Bytes of the frame.
    pub bytes: usize,
}

/// The name of an IP protocol, or its number.
pub(crate) fn protocol_name(protocol: u8) -> String {
    match protocol {
        1 => "icmp".into(),
        6 => "tcp".into(),
        17 => "udp".into(),
        58 => "icmpv6".into(),
        132 => "sctp".into(),
        other => other.to_string(),
    }
}
