//! Why packets are dropped.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// Why a packet was dropped. Every drop is counted under exactly one of these, per node and per interface.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// All reasons, in the order of their numbers.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// The name that `show drops` prints, and that programs may rely on.
            pub const fn name(self) -> &'static str {
                match self { $(Reason::$name => $text,)+ }
            }

            /// What it means, in a sentence.
            pub const fn description(self) -> &'static str {
                match self { $(Reason::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

reasons! {
    /// The frame is shorter than its Ethernet header and tags.
    Runt = "runt",
    /// The frame's VLAN is not allowed on the port.
    VlanNotAllowed = "vlan-not-allowed",
    /// The source address is a group address or zero.
    BadSourceMac = "bad-source-mac",
    /// The interface is not a member of a bridge domain.
    NoBridge = "no-bridge",
    /// The destination is a link-local control address (01:80:c2:00:00:0x), which bridges do not forward (IEEE 802.1Q 8.6.3).
    LinkLocalControl = "link-local-control",
    /// The destination is behind the port that the frame came from.
    SamePort = "same-port",
    /// Source and destination port are in one split-horizon group, both are isolated, or one is of an internal network.
    SplitHorizon = "split-horizon",
    /// The destination is unknown and the bridge domain drops unknown unicast.
    UnknownUnicast = "unknown-unicast",
    /// A flood had no other port to go to.
    NoFloodPort = "no-flood-port",
    /// No other port of the bridge domain has asked for the multicast group, and none leads to a router.
    NoListener = "no-listener",
    /// The copy for control of what a host or router said about membership in groups found nobody there.
    Membership = "membership",
    /// The frame is larger than the MTU of the port it should leave by.
    TooBig = "too-big",
    /// No packet buffer was free.
    NoBuffers = "no-buffers",
    /// More packets were waiting inside the graph than it has places for.
    GraphFull = "graph-full",
    /// The port it should leave by does not exist any more.
    NoPort = "no-port",
    /// The port it should leave by is down, or its peer is gone.
    PortDown = "port-down",
    /// The port's transmit queue stayed full.
    TxFull = "tx-full",
    /// The port or the kernel refused the frame.
    TxError = "tx-error",
    /// The frame's offload request makes no sense: lengths or offsets outside the frame.
    BadOffload = "bad-offload",
    /// The frame has more segments or bytes than the port can send.
    TxTooLong = "tx-too-long",
    /// There is not enough headroom to add a header.
    NoHeadroom = "no-headroom",
    /// The queue to the worker that owns the port was full.
    HandoffFull = "handoff-full",
    /// The frame is addressed to another host on the wire than the routed interface.
    NotForUs = "not-for-us",
    /// The frame carries something that routed interfaces do not take.
    UnknownEthertype = "unknown-ethertype",
    /// The IP header is of another version than the frame says, or not whole.
    IpHeader = "ip-header",
    /// The checksum of the IPv4 header is wrong.
    IpChecksum = "ip-checksum",
    /// The IP packet claims to be longer than the frame, or shorter than its header.
    IpLength = "ip-length",
    /// The IP source address is one that no host has (RFC 1812 5.3.7, RFC 4291 2.5).
    MartianSource = "martian-source",
    /// The IP source address is in no subnet of the interface that the packet came in by.
    SpoofedSource = "spoofed-source",
    /// The IP destination address is one that is never routed.
    MartianDestination = "martian-destination",
    /// The packet is for its link alone, and not for a router to forward.
    LinkLocal = "link-local",
    /// The packet is for a group of hosts, and groups are not routed.
    Multicast = "multicast",
    /// The packet is for the switch itself, where nothing takes it.
    NobodyHome = "nobody-home",
    /// The sender has more packets for the switch itself, or for unknown neighbours, than are taken from one sender.
    PuntLimit = "punt-limit",
    /// More packets for the switch itself, or for unknown neighbours, were waiting than there are places for.
    PuntFull = "punt-full",
    /// The packet has passed as many routers as it may.
    TtlExpired = "ttl-expired",
    /// No route leads to the destination.
    NoRoute = "no-route",
    /// The route to the destination is a blackhole.
    Blackhole = "blackhole",
    /// The route says that the destination cannot be reached.
    Unreachable = "unreachable",
    /// The route says that the destination is forbidden.
    Prohibited = "prohibited",
    /// The MAC address of the next hop is not known yet.
    NoNeighbour = "no-neighbour",
    /// Too many packets wait for neighbours, or too many neighbours are new: the packet did not wait, or its sender was not learned.
    NeighbourLimit = "neighbour-limit",
    /// The sender claims to be a neighbour whose MAC address is configured, and has another one.
    NeighbourProtected = "neighbour-protected",
    /// Another station claims to have an address of the switch.
    AddressConflict = "address-conflict",
    /// The question or announcement (ARP, neighbour discovery) is about an address that is not the switch's.
    NotAboutUs = "not-about-us",
    /// What is for the switch itself is not sound: its header, addresses, checksum, or a part of it.
    Malformed = "malformed",
    /// What is for the switch itself answers nothing that it asked, or needs no answer.
    Unasked = "unasked",
    /// The packet is for the switch itself, where nothing takes it, and more senders were to be told so than are in a second.
    RefusalLimit = "refusal-limit",
    /// Not all parts of a packet for the switch itself came in time, or there was no room for them to wait.
    Incomplete = "incomplete",
    /// The packet is larger than the MTU of the interface that it should leave by, and may not be cut.
    NeedsFragmentation = "needs-fragmentation",
    /// No outside port was free for a new flow.
    NatNoPort = "nat-no-port",
    /// The table of translated flows was full, and none of them could make way.
    NatTableFull = "nat-table-full",
    /// The inside host has as many translated flows as it may.
    NatHostLimit = "nat-host-limit",
    /// The packet belongs to no translated flow, and cannot begin one.
    NatNoSession = "nat-no-session",
    /// The packet is a later part of one whose first part, which has the ports, was not seen before it.
    NatFragment = "nat-fragment",
    /// The packet cannot be translated: of its protocol only one inside host can talk to a remote one, and another does.
    NatProtocol = "nat-protocol",
    /// A rule of the interface's policy denies the packet.
    AclDeny = "acl-deny",
    /// A rule of the interface's policy rejects the packet: its sender is told, as often as is allowed.
    AclReject = "acl-reject",
    /// The table of flows was full, and none of them could make way for a new one.
    AclTableFull = "acl-table-full",
    /// The packet is a later part of one whose first part, which has the ports, was not seen before it.
    AclFragment = "acl-fragment",
    /// The packet's flow cannot be told: it is source-routed, an ICMP error that quotes no packet, or behind too many tags.
    AclUnreadable = "acl-unreadable",
    /// The frame comes from a MAC address that may not be used behind the interface.
    GuardMac = "guard-mac",
    /// The packet comes from an IP address that may not be used behind the interface.
    GuardAddress = "guard-address",
    /// The ARP or neighbour discovery message is broken, or claims an address that may not be used behind the interface.
    GuardClaim = "guard-claim",
    /// The frame has more VLAN tags than its addresses are looked for behind.
    GuardTags = "guard-tags",
    /// The packet exceeds the rate that is allowed.
    Policed = "policed",
    /// More broadcasts, multicasts or frames to unknown stations came in by the interface than are allowed.
    Storm = "storm",
    /// The interface is in no routing table.
    NoVrf = "no-vrf",
    /// The tunnel's own address is not one of a routed interface in its routing table, or the interface of its group is missing.
    TunnelDown = "tunnel-down",
    /// The way to the other end of the tunnel leads back into the switch, or the packet is in too many tunnels.
    TunnelLoop = "tunnel-loop",
    /// The packet ends inside the headers of its tunnel.
    TunnelHeader = "tunnel-header",
    /// The VXLAN header names no network.
    VxlanFlags = "vxlan-flags",
    /// The packet of a tunnel came in fragments, which the ends of tunnels do not put together (RFC 7348 4.3).
    TunnelFragment = "tunnel-fragment",
    /// The UDP header claims more bytes than the packet has, or fewer than it needs.
    UdpLength = "udp-length",
    /// The UDP checksum is wrong, or missing where it must not be.
    UdpChecksum = "udp-checksum",
    /// No tunnel that ends at the address is of the packet's network.
    UnknownVni = "unknown-vni",
    /// The packet's network has no tunnel to its sender.
    UnknownPeer = "unknown-peer",
    /// The packet of a tunnel came in by an interface that has neither the address of this end nor the way to its sender.
    TunnelIngress = "tunnel-ingress",
    /// Congestion was met in the tunnel, and the inner packet cannot tell it to its receiver (RFC 6040 4.2).
    EcnMismatch = "ecn-mismatch",
    /// A node ended without deciding about the packet: an error of the program.
    NodeLeft = "node-left",
}

impl Reason {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The reason of a number, as a packet on its way to [`Hop::DROP`](crate::Hop::DROP) carries it.
    pub fn of(number: u16) -> Reason {
        Self::ALL.get(number as usize).copied().unwrap_or(Reason::NodeLeft)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_numbers_are_indices() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::COUNT);
        assert!(Reason::ALL.iter().enumerate().all(|(i, r)| *r as usize == i));
        assert!(Reason::ALL.iter().all(|r| r.description().ends_with('.')));
    }
}
