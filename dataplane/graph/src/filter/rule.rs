//! One rule as workers see it.

use std::sync::Arc;

use paceline_tables::{AclAddress, AclFields, AclKey, AclRule};
use paceline_wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Mac};
use paceline_wire::flow::{DCCP, SCTP, UDP_LITE};
use paceline_wire::{icmpv4, icmpv6, tcp, udp};

use super::config::{MatchSpec, RuleSpec, Verdict};
use super::policer::{Policer, check};
use crate::counters::Count;

/// A rule, or the end of a tier or policy.
#[derive(Debug)]
pub struct Rule {
    /// Name of its tier; empty for the policy's default.
    pub tier: Arc<str>,
    /// Its name; `default` for the end of a tier or policy.
    pub name: Arc<str>,
    /// What becomes of packets that it matches.
    pub verdict: Verdict,
    /// The first rule of the next tier.
    pub(super) next: u32,
    /// Whether the flow log tells of it.
    pub log: bool,
    /// The code point that packets get.
    pub dscp: Option<u8>,
    /// How much of it is permitted.
    pub policer: Option<Policer>,
    /// Name of the interface that copies are sent out of.
    pub mirror: Option<Arc<str>>,
    /// Name of the interface that packets leave by.
    pub redirect: Option<Arc<str>>,
    /// What it looks at besides the key of the classifier.
    pub(super) more: More,
}

impl Rule {
    /// A rule without anything but a verdict.
    pub(super) fn end(tier: &Arc<str>, verdict: Verdict, next: u32) -> Rule {
        Rule {
            tier: Arc::clone(tier),
            name: "default".into(),
            verdict,
            next,
            log: false,
            dscp: None,
            policer: None,
            mirror: None,
            redirect: None,
            more: More::default(),
        }
    }

    pub(super) fn new(tier: &Arc<str>, spec: &RuleSpec, next: u32) -> Rule {
        Rule {
            name: spec.name.as_str().into(),
            log: spec.log,
            dscp: spec.dscp,
            policer: spec.police.map(Policer::new),
            mirror: spec.mirror.as_deref().map(Into::into),
            redirect: spec.redirect.as_deref().map(Into::into),
            more: More::new(&spec.matches),
            ..Rule::end(tier, spec.action, next)
        }
    }

    /// Whether it does no more than permit.
    pub(super) fn is_plain(&self) -> bool {
        self.verdict == Verdict::Permit && !self.log && !self.has_effects()
    }

    /// Whether each of its packets is to be seen, and not the first of a flow alone.
    pub fn has_effects(&self) -> bool {
        self.dscp.is_some() || self.policer.is_some() || self.mirror.is_some() || self.redirect.is_some()
    }
}

/// What a worker counts of a rule.
#[derive(Debug, Default)]
pub struct RuleCounters {
    /// Packets that it decided about.
    pub packets: Count,
    /// Their bytes.
    pub bytes: Count,
}

/// What is known of a frame besides the key of the classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Destination and source MAC address.
    pub macs: (Mac, Mac),
    /// Its EtherType.
    pub ethertype: u16,
    /// The VLAN that it is in, or 0.
    pub vlan: u16,
    /// Its TCP flags, or 0.
    pub tcp: u8,
}

/// What a rule looks at besides the key of the classifier.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct More {
    /// EtherType of what is not IP.
    ethertype: Option<u16>,
    source: Option<(Mac, Mac)>,
    destination: Option<(Mac, Mac)>,
    vlan: Option<u16>,
    tcp: Option<(u8, u8)>,
}

impl More {
    fn new(spec: &MatchSpec) -> More {
        More {
            ethertype: spec.ethertype.filter(|ethertype| !is_ip(*ethertype)),
            source: spec.source_mac,
            destination: spec.destination_mac,
            vlan: spec.vlan,
            tcp: spec.tcp_flags,
        }
    }

    fn is_any(&self) -> bool {
        self.source.is_none() && self.destination.is_none() && self.vlan.is_none() && self.tcp.is_none()
    }

    pub(super) fn is(&self, facts: &Facts) -> bool {
        let mac = |want: Option<(Mac, Mac)>, mac: Mac| {
            want.is_none_or(|(value, mask)| (value.0 ^ mac.0) & mask.0 == 0)
        };
        self.ethertype.is_none_or(|ethertype| ethertype == facts.ethertype)
            && mac(self.destination, facts.macs.0)
            && mac(self.source, facts.macs.1)
            && self.vlan.is_none_or(|vlan| vlan == facts.vlan)
            && self.tcp.is_none_or(|(mask, value)| facts.tcp & mask == value & mask)
    }
}

const fn is_ip(ethertype: u16) -> bool {
    matches!(ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6)
}

/// Whether frames that are not IP meet a rule: it says which, or looks at nothing that is IP's.
pub(super) fn is_for_others(spec: &MatchSpec) -> bool {
    let looks_at_ip = spec.source.is_some()
        || spec.destination.is_some()
        || spec.protocol.is_some()
        || spec.source_ports.is_some()
        || spec.destination_ports.is_some()
        || spec.icmp.is_some()
        || spec.tcp_flags.is_some()
        || spec.peer.is_some();
    let looks_at_frame = spec.source_mac.is_some() || spec.destination_mac.is_some() || spec.vlan.is_some();
    spec.ethertype.map_or(looks_at_frame, |ethertype| !is_ip(ethertype)) && !looks_at_ip
}

/// What is wrong with a rule, in words that go on a sentence; `None` if nothing is.
pub(super) fn fault(spec: &RuleSpec) -> Option<String> {
    let m = &spec.matches;
    let has_ports = matches!(m.protocol, Some(tcp::PROTOCOL | udp::PROTOCOL | UDP_LITE | DCCP | SCTP));
    let names_ports = m.source_ports.is_some() || m.destination_ports.is_some();
    let empty = [&m.source_ports, &m.destination_ports].into_iter().flatten().find(|ports| ports.is_empty());
    let mixed = m.source.zip(m.destination).is_some_and(|(a, b)| a.addr().is_ipv4() != b.addr().is_ipv4());
    let is_icmp = matches!(m.protocol, None | Some(icmpv4::PROTOCOL | icmpv6::PROTOCOL));
    if names_ports && !has_ports {
        return Some("names ports, and no protocol that has any: TCP, UDP, UDP-Lite, DCCP or SCTP".into());
    }
    if let Some(ports) = empty {
        return Some(format!("has the ports {} to {}, which are none", ports.start(), ports.end()));
    }
    if mixed {
        return Some("has a source and a destination of different versions of IP".into());
    }
    if m.icmp.is_some() && !is_icmp {
        return Some("names a type of ICMP, and another protocol".into());
    }
    if m.tcp_flags.is_some() && !matches!(m.protocol, None | Some(tcp::PROTOCOL)) {
        return Some("names TCP flags, and another protocol".into());
    }
    if let Some(dscp) = spec.dscp.filter(|dscp| *dscp > 63) {
        return Some(format!("has the code point {dscp}, which is to be 0 to 63"));
    }
    if let Some(Err(fault)) = spec.police.map(check) {
        return Some(format!("has {fault}"));
    }
    let vlan = m.vlan.filter(|vlan| !(1..=4094).contains(vlan));
    vlan.map(|vlan| format!("has the VLAN {vlan}, which is to be 1 to 4094"))
}

/// What a rule is in a classifier: one entry, or one for each identity of the peer.
pub(super) fn entries<const N: usize, T: AclAddress<Key = AclKey<N>>>(
    number: u32,
    spec: &MatchSpec,
    entries: &mut Vec<AclRule<N>>,
) {
    let is_v4 = T::default().ip().is_ipv4();
    let (own, icmp) =
        if is_v4 { (ETHERTYPE_IPV4, icmpv4::PROTOCOL) } else { (ETHERTYPE_IPV6, icmpv6::PROTOCOL) };
    let nets = [spec.source, spec.destination];
    let is_other = spec.ethertype.is_some_and(|ethertype| ethertype != own)
        || nets.iter().flatten().any(|net| net.addr().is_ipv4() != is_v4);
    if is_other {
        return;
    }
    let [source, destination] = nets.map(|net| Some((T::from_ip(net?.addr())?, net?.prefix_len())));
    let implied = spec.icmp.map(|_| icmp).or(spec.tcp_flags.map(|_| tcp::PROTOCOL));
    let mut fields = AclFields::<T> {
        source,
        destination,
        protocol: spec.protocol.or(implied),
        source_ports: spec.source_ports.clone(),
        destination_ports: spec.destination_ports.clone(),
        identity: None,
    };
    // Types and codes are where ports are.
    if let Some((kind, code)) = spec.icmp {
        fields.source_ports = Some(u16::from(kind)..=u16::from(kind));
        fields.destination_ports = code.map(|code| u16::from(code)..=u16::from(code));
    }
    let more = !More::new(spec).is_any();
    match &spec.peer {
        None => entries.push(AclRule::new(number, more, &fields)),
        Some(peer) => entries.extend(
            peer.iter()
                .map(|id| AclRule::new(number, more, &AclFields { identity: Some(*id), ..fields.clone() })),
        ),
    }
}
