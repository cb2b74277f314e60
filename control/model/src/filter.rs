//! What an interface lets in and out: rule lists and the rest, in the words of the model.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::policy::Traffic;
use crate::{MacAddr, PortName, Storm, VlanId};

/// Filters of one interface. What is not set is no condition.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DesiredFilter {
    /// Rules for what comes in by the interface: what a container sends.
    pub input: Option<Arc<RuleList>>,
    /// Rules for what leaves by it: what a container receives.
    pub output: Option<Arc<RuleList>>,
    /// Which addresses whoever is behind it may use.
    pub guard: Option<Guard>,
    /// How much may come in.
    pub police_input: Option<Rate>,
    /// How much may leave.
    pub police_output: Option<Rate>,
    /// How many frames may come in of what bridges flood.
    pub storm: Option<Storm>,
    /// The code point that packets get which come in, 0 to 63.
    pub dscp: Option<u8>,
    /// Where a copy of whatever comes in or leaves is sent to.
    pub mirror: Option<PortName>,
}

/// Rules in tiers. The first rule of a tier that holds decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleList {
    /// Its name, for traces and views.
    pub name: String,
    /// Tiers, the first of which is asked first.
    pub tiers: Vec<RuleTier>,
    /// What becomes of packets that no tier decides about.
    pub default: Verdict,
    /// Whether answers to what is permitted are permitted too.
    pub stateful: bool,
}

/// A tier of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleTier {
    /// Its name.
    pub name: String,
    /// Rules, the first of which is tried first.
    pub rules: Vec<ListRule>,
    /// What becomes of packets for which none holds.
    pub default: Verdict,
}

/// A rule of a list. Lists in it that are empty are no condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListRule {
    /// Its name.
    pub name: String,
    /// What becomes of packets for which it holds.
    pub verdict: Verdict,
    /// Where they come from.
    pub sources: Vec<IpNet>,
    /// Where they go to.
    pub destinations: Vec<IpNet>,
    /// Identities of the other end, of which it must be one.
    pub peers: Option<Arc<BTreeSet<u32>>>,
    /// Protocol, ports, types of ICMP.
    pub traffic: Traffic,
    /// TCP flags: which are looked at, and which of these are set.
    pub tcp_flags: Option<(u8, u8)>,
    /// Source MAC address.
    pub mac: Option<MacAddr>,
    /// VLAN.
    pub vlan: Option<VlanId>,
    /// Whether the flow log tells of it.
    pub log: bool,
    /// The code point that packets get, 0 to 63.
    pub dscp: Option<u8>,
    /// How much of it is permitted.
    pub police: Option<Rate>,
    /// Where copies are sent to.
    pub mirror: Option<PortName>,
    /// Where permitted packets leave, whatever bridge and router would do.
    pub redirect: Option<PortName>,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It goes on.
    Permit,
    /// It is dropped.
    #[default]
    Deny,
    /// It is dropped, and its sender is told.
    Reject,
    /// The next tier decides.
    Pass,
}

/// Which addresses whoever is behind an interface may use (port security).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// Source MAC addresses; none: any.
    #[serde(default)]
    pub macs: Vec<MacAddr>,
    /// Source IP addresses; none: any. Link-local ones of IPv6 are always among them.
    #[serde(default, deserialize_with = "crate::policy::file::prefixes")]
    pub addresses: Vec<IpNet>,
    /// Whether it may say that it is a router.
    #[serde(default)]
    pub router: bool,
}

/// A rate with a burst: a token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Bits a second, 8000 to 10^12.
    pub bits: u64,
    /// Bytes at once, at least 1514.
    pub burst: u64,
}
