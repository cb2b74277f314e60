//! Policies and what is in them.

use std::collections::BTreeMap;
use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{IcmpKind, IpProtocol, Peer, Selector, Traffic};
use crate::config::field;
use crate::{GroupName, Interval, PolicyName, RuleName, TierName};

/// All policies, as one file says them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySet {
    /// Tiers in their order, each with its policies in theirs.
    pub tiers: Vec<Tier>,
    /// Addresses with a name.
    pub groups: BTreeMap<GroupName, Vec<IpNet>>,
}

/// Policies that decide together: the first rule among them that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Its name.
    pub name: TierName,
    /// Its policies in their order.
    pub policies: Vec<Policy>,
}

/// Rules for the endpoints that it selects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name, of which there is one in the set.
    pub name: PolicyName,
    /// Whose packets it is about.
    pub selector: Selector,
    /// Rules for what they receive; none: it says nothing of that.
    pub ingress: Option<Vec<Rule>>,
    /// Rules for what they send; none: it says nothing of that.
    pub egress: Option<Vec<Rule>>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name; none: its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<RuleName>,
    /// What becomes of packets for which it holds.
    pub action: Action,
    /// Who sends them, of `ingress` only; none: anybody.
    #[serde(default, deserialize_with = "field::one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Peer>,
    /// Who receives them, of `egress` only; none: anybody.
    #[serde(default, deserialize_with = "field::one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<Peer>,
    /// The protocol; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<IpProtocol>,
    /// Ports that they go to.
    #[serde(default, deserialize_with = "field::one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Interval<u16>>,
    /// Ports that they come from.
    #[serde(default, deserialize_with = "field::one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub from_ports: Vec<Interval<u16>>,
    /// Types of ICMP.
    #[serde(default, deserialize_with = "field::one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub icmp: Vec<IcmpKind>,
    /// Whether the first packet of each flow is told in the flow log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log: bool,
}

/// What becomes of packets for which a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// They pass, whatever later tiers say.
    Allow,
    /// They are dropped.
    Deny,
    /// They are dropped, and their sender is told.
    Reject,
    /// The next tier decides.
    Pass,
    /// They are told in the flow log, and the next rule decides.
    Log,
    /// They pass and are told in the flow log: what a `deny` in this place would stop.
    Audit,
}

impl Action {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Reject => "reject",
            Self::Pass => "pass",
            Self::Log => "log",
            Self::Audit => "audit",
        }
    }

    /// Whether packets pass for good.
    pub const fn lets_through(self) -> bool {
        matches!(self, Self::Allow | Self::Audit)
    }
}

/// Which way a packet goes, seen from the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the endpoint.
    Ingress,
    /// From the endpoint.
    Egress,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Policy {
    /// Its rules for one direction, if it says anything of that.
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }

    /// What a rule is called in counters and the flow log: `db/ingress/1`, or its own name in place of the number.
    pub fn rule_name(&self, direction: Direction, index: usize) -> String {
        let rule = self.rules(direction).and_then(|rules| rules.get(index));
        let own = rule.and_then(|rule| rule.name.as_ref()).map(ToString::to_string);
        format!("{}/{direction}/{}", self.name, own.unwrap_or_else(|| (index + 1).to_string()))
    }
}

impl PolicySet {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.tiers.is_empty() && self.groups.is_empty()
    }

    /// All policies in their order, each with its tier.
    pub fn policies(&self) -> impl Iterator<Item = (&TierName, &Policy)> {
        self.tiers.iter().flat_map(|tier| tier.policies.iter().map(|policy| (&tier.name, policy)))
    }

    /// Prefixes of a peer; none for a selector.
    pub fn prefixes<'s>(&'s self, peer: &'s Peer) -> &'s [IpNet] {
        match peer {
            Peer::Prefix(net) => std::slice::from_ref(net),
            Peer::Group(name) => self.groups.get(name).map_or(&[], Vec::as_slice),
            Peer::Selector(_) => &[],
        }
    }
}

impl Rule {
    /// The other end.
    pub fn peers(&self, direction: Direction) -> &[Peer] {
        match direction {
            Direction::Ingress => &self.from,
            Direction::Egress => &self.to,
        }
    }

    /// Which packets, beside where they come from and go to.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            protocol: self.protocol,
            ports: self.ports.clone(),
            from_ports: self.from_ports.clone(),
            icmp: self.icmp.clone(),
        }
    }
}

/// In one line, as in `allow from role == "web" tcp port 5432`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.action.as_str())?;
        for (word, peers) in [("from", &self.from), ("to", &self.to)] {
            if !peers.is_empty() {
                let peers: Vec<_> = peers.iter().map(ToString::to_string).collect();
                write!(f, " {word} {}", peers.join(" or "))?;
            }
        }
        let traffic = self.traffic().to_string();
        write!(f, "{}{traffic}", if traffic.is_empty() { "" } else { " " })?;
        f.write_str(if self.log { " log" } else { "" })
    }
}
