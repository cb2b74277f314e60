//! What control wants of the workers: interfaces and bridges, in names.

use std::collections::BTreeMap;

use paceline_graph::UnknownUnicast;

/// All interfaces and bridges that should carry packets. Given whole to [`Engine::configure`](crate::Engine::configure).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Settings of interfaces, by name. One that is attached but not named here carries nothing.
    pub interfaces: BTreeMap<String, InterfaceSpec>,
    /// Bridges by name.
    pub bridges: BTreeMap<String, BridgeSpec>,
}

/// Settings of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceSpec {
    /// Largest Ethernet payload that leaves by it, in bytes: 68 to 65535.
    pub mtu: u32,
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
