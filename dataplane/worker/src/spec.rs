//! What control wants of the workers: interfaces and bridges, in names.

use std::collections::BTreeMap;
use std::net::IpAddr;

use imbl::OrdMap;
use ipnet::IpNet;
pub use paceline_graph::filter::{
    FilterSpec, GuardSpec, MatchSpec, PolicerSpec, PolicySpec, RuleSpec, SessionSpec, StormSpec, TierSpec,
    Verdict,
};
use paceline_graph::{NatConfig, UnknownUnicast};
use paceline_wire::ethernet::Mac;

/// All interfaces and bridges that should carry packets. Given whole to [`Engine::configure`](crate::Engine::configure).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Settings of interfaces, by name. One that is attached but not named here carries nothing.
    pub interfaces: BTreeMap<String, InterfaceSpec>,
    /// Bridges by name.
    pub bridges: BTreeMap<String, BridgeSpec>,
    /// Routed interfaces by name. One over a port has that port's name.
    pub routed: BTreeMap<String, RoutedSpec>,
    /// Routing tables by name; that of every routed interface is among them, or is empty.
    pub vrfs: BTreeMap<String, VrfSpec>,
    /// Address translation; its number of workers is the engine's to say.
    pub nat: Option<NatConfig>,
    /// VXLAN tunnels by name: interfaces without a port, members of bridges by these names.
    pub tunnels: BTreeMap<String, TunnelSpec>,
    /// Filters by interface, bridged or routed.
    pub filters: BTreeMap<String, FilterSpec>,
    /// Identities of addresses, 1 to 16 777 215, by the longest prefix; in groups by name, which [`FilterSpec::groups`] uses.
    pub groups: BTreeMap<String, BTreeMap<IpNet, u32>>,
    /// How flows of stateful policies are remembered.
    pub sessions: SessionSpec,
}

/// A routed interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutedSpec {
    /// What it lies on.
    pub over: OverSpec,
    /// Name of the routing table of what comes in by it.
    pub vrf: String,
    /// Its Ethernet address; none: that of the port's device if a station has it, or else one made of its name.
    pub mac: Option<Mac>,
    /// Largest IP packet that leaves by it, in bytes: 68 to 65535.
    pub mtu: u16,
    /// Its addresses, each with the prefix length of its subnet.
    pub addresses: Vec<IpNet>,
    /// Nothing is routed between two isolated interfaces.
    pub isolated: bool,
    /// Nothing is routed between it and any but links of two, which have a [`peer`](RoutedSpec::peer).
    pub internal: bool,
    /// Whether it answers for every address that is reached by another interface (RFC 1027, RFC 4389).
    pub proxy_arp: bool,
    /// Neighbours that are not asked for.
    pub neighbours: BTreeMap<IpAddr, Mac>,
    /// The station at the other end of a link of two: nobody is asked for.
    pub peer: Option<Mac>,
    /// Whether what leaves by it gets an address of [`Topology::nat`]. The interface answers for all of those.
    pub nat: bool,
    /// Whether TCP handshakes that come in or leave by it are lowered to segments that fit its MTU.
    pub mss_clamp: bool,
    /// Whether it takes only packets whose source is in one of its subnets (BCP 38).
    pub source_check: bool,
    /// Name of the interface, a link of two, behind which is who has the addresses of this one too. What comes for them, by any
    /// interface of the routing table, and is not for translation, goes there, by control.
    pub owner: Option<String>,
    /// Of a routed leg: the split-horizon group of its end in the bridge, 0 for none.
    pub group: u8,
}

/// What a routed interface lies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OverSpec {
    /// The port of its own name.
    Port,
    /// A bridge, or one VLAN of it.
    Bridge {
        /// Name of the bridge.
        bridge: String,
        /// The VLAN, if the bridge's members have any.
        vlan: Option<u16>,
    },
}

/// A routing table, beside the routes that addresses and neighbours of its interfaces make, over which these win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VrfSpec {
    /// Routes by prefix. A copy that is changed shares what it has in common with the one it was made of, so that the two compare
    /// in a time that their difference takes, and not all of them.
    pub routes: OrdMap<IpNet, RouteSpec>,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteSpec {
    /// To next hops, 1 to 14, among which flows are spread.
    Via(Vec<PathSpec>),
    /// Nowhere, without a word.
    Blackhole,
    /// Nowhere: the sender is told that the destination cannot be reached.
    Unreachable,
    /// Nowhere: the sender is told that this is forbidden.
    Prohibit,
}

/// A next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSpec {
    /// The router to hand packets to; none: each packet's own destination is on the link.
    pub via: Option<IpAddr>,
    /// The interface to leave by, perhaps one whose own packets have another table; none: the one whose subnet `via` is in.
    pub interface: Option<String>,
}

/// Settings of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceSpec {
    /// Largest Ethernet payload that leaves by it, in bytes: 68 to 65535.
    pub mtu: u32,
}

/// A VXLAN tunnel (RFC 7348): one segment's way to one other endpoint, or to a group of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelSpec {
    /// VXLAN network identifier, below 2²⁴.
    pub vni: u32,
    /// Name of the routing table that the outer packets have.
    pub vrf: String,
    /// This end: an address of a routed interface in that table.
    pub local: IpAddr,
    /// The other end, of the same version of IP; or a multicast group, to which frames are flooded, in place of the other tunnels of its
    /// segment and end.
    pub remote: IpAddr,
    /// For a group: name of the routed interface that packets for it leave by, and that it is joined on.
    pub group_interface: Option<String>,
    /// UDP port of both ends.
    pub port: u16,
    /// Time to live of outer packets, 1 to 255; none: that of the inner IP packet.
    pub ttl: Option<u8>,
    /// Differentiated services code point of outer packets, 0 to 63 (the pipe model of RFC 2983); none: that of the inner IP
    /// packet (the uniform model). The bits of ECN are RFC 6040's in either case.
    pub dscp: Option<u8>,
    /// Whether outer packets carry a UDP checksum. Over IPv6 packets without one are taken only by a tunnel that sends such
    /// (RFC 6935, RFC 6936).
    pub checksum: bool,
    /// Largest inner Ethernet payload, in bytes: 68 to 65535.
    pub mtu: u32,
    /// Other ends that are not configured and send packets of this segment to this end become tunnels of their own, like this
    /// one, beside it in its bridge: how many, and for how long. At most one tunnel of a segment says so. None: no such packet is taken.
    pub learn_peers: Option<LearnPeers>,
}

impl TunnelSpec {
    /// UDP port that IANA has assigned.
    pub const PORT: u16 = 4789;

    /// A tunnel with the settings that the kernel's have by default, over an underlay of 1500 bytes.
    pub fn new(vni: u32, vrf: impl Into<String>, local: IpAddr, remote: IpAddr) -> TunnelSpec {
        TunnelSpec {
            vni,
            vrf: vrf.into(),
            local,
            remote,
            group_interface: None,
            port: Self::PORT,
            ttl: Some(64),
            dscp: Some(0),
            checksum: local.is_ipv6(),
            mtu: 1500 - TunnelSpec::overhead(local),
            learn_peers: None,
        }
    }

    /// Bytes of an outer IP packet in front of the inner Ethernet payload.
    pub const fn overhead(local: IpAddr) -> u32 {
        let ip = if local.is_ipv4() { 20 } else { 40 };
        ip + 8 + 8 + 14
    }
}

/// How other ends of tunnels are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnPeers {
    /// Most of them at once.
    pub limit: u16,
    /// Seconds without a packet from one after which it is forgotten; 0: never.
    pub age_s: u32,
}

impl Default for LearnPeers {
    fn default() -> Self {
        LearnPeers { limit: 64, age_s: 300 }
    }
}

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeSpec {
    /// Most addresses each of its domains learns: 1 to 1 048 576.
    pub mac_limit: u32,
    /// Seconds after which an address that was not seen is forgotten; 0: never.
    pub mac_age_s: u32,
    /// Whether addresses are learned.
    pub learn: bool,
    /// What becomes of frames to unknown destinations.
    pub unknown_unicast: UnknownUnicast,
    /// Its ports, by interface name.
    pub members: BTreeMap<String, MemberSpec>,
    /// Addresses with a fixed place: (address in the low 48 bits, interface, VLAN if the bridge has any).
    pub static_macs: Vec<(u64, String, Option<u16>)>,
    /// Whether it listens who is in which multicast group; else groups are flooded.
    pub snooping: Option<SnoopingSpec>,
    /// Ethernet addresses of known hosts. Questions for them (ARP, neighbour discovery) of VLAN-unaware members are answered in place
    /// of a flood.
    pub neighbours: BTreeMap<IpAddr, Mac>,
}

/// How a bridge listens who is in which multicast group (RFC 4541).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnoopingSpec {
    /// Whether it asks itself where no router does.
    pub querier: bool,
}

/// How an interface is in a bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSpec {
    /// VLAN handling.
    pub vlan: VlanSpec,
    /// Split-horizon group, 0 for none.
    pub group: u8,
    /// No frame passes between two isolated members.
    pub isolated: bool,
}

/// VLAN handling of a member (IEEE 802.1Q).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum VlanSpec {
    /// Tags mean nothing and pass.
    #[default]
    Unaware,
    /// Untagged frames belong to this VLAN; frames leave untagged.
    Access(u16),
    /// Tagged frames of these VLANs, and untagged ones of the native VLAN.
    Trunk {
        /// VLANs that are tagged on the wire.
        tagged: Vec<u16>,
        /// VLAN of untagged frames.
        native: Option<u16>,
        /// Tag protocol identifier: 0x8100 or 0x88a8.
        tpid: u16,
    },
    /// All frames belong to this VLAN and keep their tags (QinQ).
    Tunnel(u16),
}

impl VlanSpec {
    /// All VLANs of the member.
    pub fn vlans(&self) -> Vec<u16> {
        match self {
            VlanSpec::Unaware => Vec::new(),
            VlanSpec::Access(vlan) | VlanSpec::Tunnel(vlan) => vec![*vlan],
            VlanSpec::Trunk { tagged, native, .. } => tagged.iter().chain(native).copied().collect(),
        }
    }
}
