//! What nodes know of the configuration: one immutable value, replaced as a whole.
//!
//! Control builds a new snapshot for every change and sends it to the workers, which take it between two vectors and send
//! the old one back: its last reference is dropped by control, never by a worker. What changes by itself (MAC tables,
//! counters) is shared between snapshots and changes in place.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crossbeam::queue::ArrayQueue;
use ipnet::IpNet;
use paceline_buf::Packet;
use paceline_tables::{Fib4, Fib6, MacTable, MulticastTable};
use paceline_wire::ethernet::Mac;

use crate::adjacency::Adjacencies;
use crate::counters::InterfaceCounters;
use crate::filter::{Filter, Flows};
use crate::hop::Hop;
use crate::nat::Nat;
use crate::tunnel::{Tunnel, TunnelEnds};

/// The domain of a packet or interface that is in none.
pub const NO_DOMAIN: u16 = u16::MAX;

/// The configuration as workers see it.
#[derive(Default)]
pub struct Snapshot {
    /// Interfaces by index; a free index is `None`.
    pub interfaces: Vec<Option<Interface>>,
    /// What the bridge needs of the port a frame leaves by, for the same indices: small, so that it stays in cache.
    pub l2_out: Vec<L2Out>,
    /// Bridge domains by index; at one that none has is a vacant one.
    pub bridges: Vec<Bridge>,
    /// Routing tables by index; at one that none has is an empty one.
    pub vrfs: Vec<Vrf>,
    /// What routes lead to.
    pub adjacencies: Arc<Adjacencies>,
    /// Address translation, if there is any.
    pub nat: Option<Arc<Nat>>,
    /// Which tunnel a packet for one of the switch's addresses comes by.
    pub tunnels: TunnelEnds,
    /// What filters share, if there are any.
    pub flows: Option<Arc<Flows>>,
    /// Where packets wait that are for the switch itself.
    pub punt: Option<Arc<Punt>>,
}

/// Packets for the switch itself, or for a neighbour whose address must be asked for, on their way to control. Each says by
/// its `reason` why it is there.
pub type Punt = ArrayQueue<Packet>;

impl Snapshot {
    /// The interface of an index.
    #[inline(always)]
    pub fn interface(&self, index: u16) -> Option<&Interface> {
        self.interfaces.get(index as usize)?.as_ref()
    }

    /// The name of an interface, for traces.
    pub fn name(&self, index: u16) -> &str {
        self.interface(index).map_or("?", |i| &i.name)
    }

    /// Adds or replaces an interface and what the bridge needs of it.
    pub fn set_interface(&mut self, index: u16, interface: Interface) {
        let want = index as usize + 1;
        if self.interfaces.len() < want {
            self.interfaces.resize_with(want, || None);
            self.l2_out.resize(want, L2Out::default());
        }
        self.l2_out[index as usize] =
            L2Out { hop: interface.output[0], max_frame: interface.mtu + 14, zone: interface.zone };
        self.interfaces[index as usize] = Some(interface);
    }
}

/// One interface.
pub struct Interface {
    /// Its name.
    pub name: Arc<str>,
    /// Largest Ethernet payload that leaves by it, in bytes (68 to 65535).
    pub mtu: u32,
    /// The input arc: features in order, then the node that all packets come to. Empty: nothing comes in yet, and packets wait.
    pub input: Box<[Hop]>,
    /// The output arc: features in order, then the transmit queue.
    pub output: Box<[Hop]>,
    /// The bridge domain of frames without a VLAN decision, or the VRF of a routed interface, or [`NO_DOMAIN`].
    pub domain: u16,
    /// What it is to IP, if it is routed.
    pub l3: Option<L3>,
    /// The subnets that packets may come from, if that is checked.
    pub sources: Option<Arc<[IpNet]>>,
    /// The interface at the other end, if this is one of the two ends of a patch: what leaves by the one comes in by the other.
    pub peer: Option<u16>,
    /// The tunnel, if this is one that can be used.
    pub tunnel: Option<Arc<Tunnel>>,
    /// Which others nothing passes to or from.
    pub zone: Zone,
    /// VLAN handling, if the port is VLAN-aware.
    pub vlan: Option<Arc<VlanPort>>,
    /// What it lets in and out, if it does not let all.
    pub filter: Option<Arc<Filter>>,
    /// What the port can do to unfinished packets.
    pub capabilities: Capabilities,
    /// Where a running capture wants copies of its frames.
    pub capture: Option<Arc<Capture>>,
    /// Counters, one set per worker.
    pub counters: Arc<[InterfaceCounters]>,
}

/// What a routed interface is to IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L3 {
    /// Its Ethernet address: frames to it are routed, others are not.
    pub mac: Mac,
    /// Its IPv4 address, from which it speaks to senders of packets that cannot be routed.
    pub address4: Option<Ipv4Addr>,
    /// Its IPv6 address, as with IPv4.
    pub address6: Option<Ipv6Addr>,
    /// Largest IP packet that leaves by it, in bytes.
    pub mtu: u16,
}

/// A routing table, and the interfaces that use it (virtual routing and forwarding).
pub struct Vrf {
    /// Its name.
    pub name: Arc<str>,
    /// Routes of IPv4: numbers of adjacencies.
    pub fib4: Arc<Fib4>,
    /// Routes of IPv6: numbers of adjacencies.
    pub fib6: Arc<Fib6>,
}

/// The part of an interface that the bridge reads for every frame.
#[derive(Clone, Copy)]
pub struct L2Out {
    /// First hop of the output arc.
    pub hop: Hop,
    /// Longest frame without a tag, in bytes.
    pub max_frame: u32,
    /// Which other ports it is kept apart from.
    pub zone: Zone,
}

/// Split-horizon group and isolation of an interface, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zone(u16);

impl Zone {
    const ISOLATED: u16 = 0x100;
    const INTERNAL: u16 = 0x200;
    const OPEN: u16 = 0x400;

    /// A zone of a split-horizon group (0 for none) and isolation.
    pub const fn new(group: u8, isolated: bool) -> Zone {
        Zone(group as u16 | if isolated { Zone::ISOLATED } else { 0 })
    }

    /// The same, of an interface that exchanges packets with [open](Zone::open) ones alone.
    #[must_use]
    pub const fn internal(self) -> Zone {
        Zone(self.0 | Zone::INTERNAL)
    }

    /// The same, of an interface that internal ones reach.
    #[must_use]
    pub const fn open(self) -> Zone {
        Zone(self.0 | Zone::OPEN)
    }

    /// Whether anything is kept apart from an interface by what it is itself: it is isolated or internal.
    #[inline(always)]
    pub const fn is_guarded(self) -> bool {
        self.0 & (Zone::ISOLATED | Zone::INTERNAL) != 0
    }

    /// Whether it is of a split-horizon group, as tunnels are, whose members do not hear each other here.
    #[inline(always)]
    pub const fn is_grouped(self) -> bool {
        self.0 & 0xff != 0
    }

    /// Whether nothing may pass between two interfaces: they are of one group, both isolated, or one is internal and the other
    /// one not open.
    #[inline(always)]
    pub const fn apart(self, other: Zone) -> bool {
        let (either, both) = (self.0 | other.0, self.0 & other.0);
        either != 0
            && (both & Zone::ISOLATED != 0
                || either & (Zone::INTERNAL | Zone::OPEN) == Zone::INTERNAL
                || (self.0 & 0xff != 0 && self.0 & 0xff == other.0 & 0xff))
    }
}

impl Default for L2Out {
    fn default() -> Self {
        L2Out { hop: Hop::NOWHERE, max_frame: u32::MAX, zone: Zone::default() }
    }
}

/// How a VLAN-aware port treats tags (IEEE 802.1Q clause 6.9). Inside the switch the VLAN is the packet's domain, and the
/// tag is off the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VlanPort {
    /// Tag protocol identifier of the outer tag: 0x8100 (802.1Q) or 0x88a8 (802.1ad).
    pub tpid: u16,
    /// Domain of untagged and priority-tagged frames, or [`NO_DOMAIN`] to drop them.
    pub native: u16,
    /// `(vlan, domain)` of tagged frames, sorted by VLAN.
    pub tagged: Vec<(u16, u16)>,
    /// 802.1Q tunnel: all frames, tagged or not, belong to the native domain and keep their tags.
    pub tunnel: bool,
}

impl VlanPort {
    /// The domain of a VLAN.
    #[inline]
    pub fn domain(&self, vlan: u16) -> Option<u16> {
        self.tagged.binary_search_by_key(&vlan, |t| t.0).ok().map(|i| self.tagged[i].1)
    }

    /// The VLAN whose tag frames of a domain carry on this port; `None` if they leave untagged.
    #[inline]
    pub fn tag(&self, domain: u16) -> Option<u16> {
        if domain == self.native {
            return None;
        }
        self.tagged.iter().find(|t| t.1 == domain).map(|t| t.0)
    }

    /// A domain, if its frames leave by this port.
    #[inline]
    pub fn carried(&self, domain: u16) -> Option<u16> {
        let is_carried = domain != NO_DOMAIN && (domain == self.native || self.tag(domain).is_some());
        is_carried.then_some(domain)
    }
}

/// What to do with a frame whose destination is not in the MAC table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownUnicast {
    /// Send it to all ports.
    Flood,
    /// Drop it.
    Drop,
}

/// One bridge domain: a VLAN-unaware bridge, or one VLAN of a VLAN-aware one.
#[derive(Clone)]
pub struct Bridge {
    /// Its name; `name.vlan` for a VLAN of a bridge.
    pub name: Arc<str>,
    /// The VLAN, or 0.
    pub vlan: u16,
    /// Where its addresses are.
    pub macs: Arc<MacTable>,
    /// Whether source addresses are learned.
    pub learn: bool,
    /// Policy for unknown destinations.
    pub unknown_unicast: UnknownUnicast,
    /// The ports that a flood goes to.
    pub members: Vec<u16>,
    /// Ethernet addresses of known hosts, for which nobody needs to be asked.
    pub neighbours: Arc<HashMap<IpAddr, Mac>>,
    /// Who has asked for which multicast group, if that is overheard; else groups are flooded.
    pub multicast: Option<Arc<MulticastTable>>,
    /// What became of source addresses.
    pub counters: Arc<BridgeCounters>,
}

impl Bridge {
    /// What is in place of a bridge domain that is not there.
    pub fn vacant() -> Bridge {
        Bridge {
            name: "".into(),
            vlan: 0,
            macs: Arc::new(MacTable::new(1)),
            learn: false,
            unknown_unicast: UnknownUnicast::Drop,
            members: Vec::new(),
            neighbours: Arc::default(),
            multicast: None,
            counters: Arc::default(),
        }
    }

    /// Whether it is in place of one that is not there: it takes no packet.
    #[inline]
    pub fn is_vacant(&self) -> bool {
        self.name.is_empty()
    }
}

/// Rare events of a bridge domain, counted by all workers.
#[derive(Debug, Default)]
pub struct BridgeCounters {
    /// Addresses learned.
    pub learned: AtomicU64,
    /// Addresses that moved to another port.
    pub moved: AtomicU64,
    /// Addresses not learned because the table holds its limit or their bucket is full.
    pub refused: AtomicU64,
    /// Frames whose source address is configured for another port.
    pub misplaced: AtomicU64,
    /// Questions for known hosts that were answered in place of a flood.
    pub suppressed: AtomicU64,
}

/// What a port does to unfinished packets by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Fills in TCP and UDP checksums.
    pub checksum: bool,
    /// Cuts TCP over IPv4.
    pub tso4: bool,
    /// Cuts TCP over IPv6.
    pub tso6: bool,
    /// Cuts UDP (`UDP_SEGMENT`, GSO type `UDP_L4`).
    pub uso: bool,
}

impl Capabilities {
    /// Everything: the port passes the offload request on.
    pub const ALL: Capabilities = Capabilities { checksum: true, tso4: true, tso6: true, uso: true };
    /// Nothing: packets must be finished before.
    pub const NONE: Capabilities = Capabilities { checksum: false, tso4: false, tso6: false, uso: false };
}

/// A frame on its way to a capture file.
pub struct Captured {
    /// The frame: a replica.
    pub packet: Packet,
    /// The interface.
    pub interface: u16,
    /// Whether it was leaving.
    pub outbound: bool,
    /// TSC at that moment.
    pub tsc: u64,
}

/// Frames that wait to be written to a capture file.
pub struct Capture {
    /// The queue; control takes from it and frees the packets.
    pub queue: ArrayQueue<Captured>,
    /// Frames that found it full, or no buffer for a replica.
    pub lost: AtomicU64,
    /// Longest part of a frame that is kept, in bytes.
    pub snap: u32,
}
