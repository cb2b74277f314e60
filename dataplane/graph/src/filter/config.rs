//! What control says about filters: which packets an interface lets in and out.
//!
//! Interfaces are named here, as control knows no numbers.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use paceline_wire::ethernet::Mac;

use crate::session::SessionTimeouts;

/// Filters of one interface. What is not set costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterSpec {
    /// Rules for what comes in by the interface. Interfaces may share a policy, which is then compiled once.
    pub input: Option<Arc<PolicySpec>>,
    /// Rules for what leaves by it.
    pub output: Option<Arc<PolicySpec>>,
    /// Name of the groups that say which identity an address has; none: nobody has one.
    pub groups: Option<String>,
    /// Which addresses whoever is behind the interface may use.
    pub guard: Option<GuardSpec>,
    /// How much may come in.
    pub police_input: Option<PolicerSpec>,
    /// How much may leave.
    pub police_output: Option<PolicerSpec>,
    /// How much of what goes to many may come in.
    pub storm: Option<StormSpec>,
    /// The differentiated services code point that packets get which come in, 0 to 63.
    pub dscp: Option<u8>,
    /// Name of an interface that a copy of whatever comes in or leaves is sent out of.
    pub mirror: Option<String>,
}

/// Rules in tiers. The first rule of a tier that matches a packet decides; `Pass` leaves it to the next tier.
///
/// Rules are for IP. Frames of other protocols, ARP among them, meet only rules that name their EtherType, or name nothing but
/// MAC addresses or a VLAN, and pass if none of these matches; those with the tag of a VLAN, behind which is not looked, are for the
/// policy's default then. Neighbour discovery and multicast listener discovery pass as ARP
/// does: what may be claimed by them is for the [guard](GuardSpec).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySpec {
    /// Its name, for traces and views.
    pub name: String,
    /// Tiers, the first of which is asked first.
    pub tiers: Vec<TierSpec>,
    /// What becomes of IP packets that no tier decides about.
    pub default: Verdict,
    /// Whether answers to what is permitted are permitted too, and flows are remembered.
    pub stateful: bool,
}

/// A tier of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierSpec {
    /// Its name.
    pub name: String,
    /// Rules, the first of which is tried first.
    pub rules: Vec<RuleSpec>,
    /// What becomes of IP packets that no rule of it matches; `Pass` leaves them to the next tier.
    pub default: Verdict,
}

/// A rule. Packets and bytes that it decides about are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSpec {
    /// Its name. Several rules may have one name, as those do that stand for one with lists.
    pub name: String,
    /// Which packets it is for.
    pub matches: MatchSpec,
    /// What becomes of them.
    pub action: Verdict,
    /// Whether the flow log tells of it.
    pub log: bool,
    /// Name of an interface that copies are sent out of.
    pub mirror: Option<String>,
    /// How much of it is permitted.
    pub police: Option<PolicerSpec>,
    /// The differentiated services code point that packets get, 0 to 63.
    pub dscp: Option<u8>,
    /// Name of an interface that permitted packets leave by, whatever bridge and router would do.
    pub redirect: Option<String>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// It goes on.
    Permit,
    /// It is dropped.
    #[default]
    Deny,
    /// It is dropped, and its sender is told.
    Reject,
    /// The next tier decides; after the last one, the policy's default.
    Pass,
}

impl Verdict {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Permit => "permit",
            Verdict::Deny => "deny",
            Verdict::Reject => "reject",
            Verdict::Pass => "pass",
        }
    }
}

/// Which packets a rule is for. What is not set may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchSpec {
    /// EtherType; 0x0800 is IPv4, 0x86dd IPv6.
    pub ethertype: Option<u16>,
    /// Source network, which also says the version of IP.
    pub source: Option<IpNet>,
    /// Destination network, of the same version.
    pub destination: Option<IpNet>,
    /// IP protocol number.
    pub protocol: Option<u8>,
    /// Source ports, of a protocol that has any.
    pub source_ports: Option<RangeInclusive<u16>>,
    /// Destination ports.
    pub destination_ports: Option<RangeInclusive<u16>>,
    /// Type of ICMP or ICMPv6 message, and its code; the protocol must be one of them.
    pub icmp: Option<(u8, Option<u8>)>,
    /// TCP flags: which are looked at, and which of these are set; the protocol must be TCP.
    pub tcp_flags: Option<(u8, u8)>,
    /// Source MAC address, and which of its bits count.
    pub source_mac: Option<(Mac, Mac)>,
    /// Destination MAC address, and which of its bits count.
    pub destination_mac: Option<(Mac, Mac)>,
    /// VLAN, on a bridge that has any.
    pub vlan: Option<u16>,
    /// Identities of the other end, of which it must be one: of the destination for what comes in, of the source for what leaves. 0
    /// stands for addresses without one.
    pub peer: Option<Arc<BTreeSet<u32>>>,
}

/// Which addresses whoever is behind an interface may use (port security). Broken claims in ARP and neighbour discovery are
/// dropped too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardSpec {
    /// Source MAC addresses, at most 64; none: any.
    pub macs: Vec<Mac>,
    /// Source IP addresses, at most 1024; none: any. Those without an address yet pass (0.0.0.0 to DHCP servers, :: to neighbour
    /// discovery), and so does the link-local one that is [made](Mac::link_local) of the MAC address.
    pub addresses: Vec<IpNet>,
    /// Whether it may say that it is a router (RFC 6105).
    pub router: bool,
}

/// A rate (token bucket, RFC 2697 with one colour).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicerSpec {
    /// Bits a second of Ethernet frames without preamble and checksum, at least 8000.
    pub rate: u64,
    /// Bytes at once, at least 1514.
    pub burst: u64,
}

/// Frames a second that may come in by an interface; none: any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StormSpec {
    /// To all stations.
    pub broadcast: Option<u32>,
    /// To groups.
    pub multicast: Option<u32>,
    /// To stations that the bridge does not know.
    pub unknown: Option<u32>,
}

/// How flows of stateful policies are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSpec {
    /// Sessions of one worker and version of IP, 1 to 4 194 304. 80 to 96 bytes each for IPv4, 144 to 160 for IPv6, from the
    /// first stateful policy on.
    pub limit: u32,
    /// Sessions of one interface among them; 0: as many as there are. An interface that has so many begins others in place of its own
    /// that only one side has used.
    pub per_interface: u32,
    /// How long they live.
    pub timeouts: SessionTimeouts,
}

impl Default for SessionSpec {
    /// 65 536 sessions, of which one interface may have a quarter.
    fn default() -> Self {
        SessionSpec { limit: 1 << 16, per_interface: 1 << 14, timeouts: SessionTimeouts::default() }
    }
}
