//! The text of all that does not change with published ports.

use paceline_model::{GatewayMode, HostNetwork, HostPlan};

use crate::plan::Family;

/// Sets of subnets, and the chains.
pub fn frame(plan: &HostPlan) -> String {
    let closed = |family: Family, network: &HostNetwork| !family.leaves(network);
    let routed = |family: Family, network: &HostNetwork| {
        family.leaves(network) && family.mode(network) == GatewayMode::Routed
    };
    let masqueraded = |family: Family, network: &HostNetwork| {
        family.leaves(network) && family.mode(network) == GatewayMode::Nat && network.masquerade
    };
    let mut text = String::new();
    for (family, digit) in [(Family::V4, '4'), (Family::V6, '6')] {
        text += &set(&format!("closed{digit}"), plan, family, closed);
        text += &set(&format!("inside{digit}"), plan, family, Family::leaves);
        text += &set(&format!("routed{digit}"), plan, family, routed);
        text += &set(&format!("masqueraded{digit}"), plan, family, masqueraded);
    }
    text += &chains(plan.device.as_str());
    text
}

/// A set of the subnets of some networks.
fn set(name: &str, plan: &HostPlan, family: Family, has: impl Fn(Family, &HostNetwork) -> bool) -> String {
    let networks = plan.networks.values().filter(|network| has(family, network));
    let mut subnets: Vec<_> = networks.flat_map(|network| family.subnets(network)).collect();
    subnets.sort_unstable();
    let kind = match family {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    };
    let elements = match list(&subnets) {
        none if none.is_empty() => none,
        some => format!(" elements = {{ {some} }};"),
    };
    // Merged, as one subnet of Docker's may lie in another.
    format!("\tset {name} {{ type {kind}; flags interval; auto-merge;{elements} }}\n")
}

fn list(subnets: &[ipnet::IpNet]) -> String {
    subnets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn chains(device: &str) -> String {
    // Names of interfaces have no quotes; backslashes mean nothing within quotes.
    let tap = format!("\"{device}\"");
    format!(
        r#"
	chain loopback {{
		type filter hook prerouting priority raw; policy accept;
		iifname {tap} ip saddr 127.0.0.0/8 counter drop
		iifname {tap} ip daddr 127.0.0.0/8 counter drop
	}}

	chain prerouting {{
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local jump translate
	}}

	chain output {{
		type nat hook output priority -100; policy accept;
		fib daddr type local jump translate
	}}

	chain translate {{
		meta nfproto ipv4 dnat ip to meta l4proto . ip daddr . th dport map @at4
		meta nfproto ipv4 dnat ip to meta l4proto . th dport map @any4
		ip6 daddr {{ ::1, fe80::/10 }} return comment "cannot leave their link: the switch passes these on itself"
		meta nfproto ipv6 dnat ip6 to meta l4proto . ip6 daddr . th dport map @at6
		meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @any6
	}}

	chain postrouting {{
		type nat hook postrouting priority srcnat; policy accept;
		oifname {tap} goto inward
		oifname "lo" return
		ip saddr @masqueraded4 masquerade
		ip6 saddr @masqueraded6 masquerade
	}}

	chain inward {{
		ip saddr 127.0.0.0/8 masquerade
		ct status dnat ip saddr @inside4 masquerade comment "from a container: the answer must come by here"
		ct status dnat ip6 saddr @inside6 masquerade comment "from a container: the answer must come by here"
	}}

	chain forward {{
		type filter hook forward priority filter; policy accept;
		iifname {tap} oifname {tap} goto between
		iifname {tap} goto leaving
		oifname {tap} goto entering
	}}

	chain between {{
		ip saddr @closed4 counter drop comment "from an internal or isolated network"
		ip daddr @closed4 counter drop comment "to an internal or isolated network"
		ip6 saddr @closed6 counter drop comment "from an internal or isolated network"
		ip6 daddr @closed6 counter drop comment "to an internal or isolated network"
		ct state established,related accept
		ct status dnat accept
		counter drop comment "between networks, and not to a published port of the host"
	}}

	chain leaving {{
		ip saddr @closed4 counter drop comment "from an internal or isolated network"
		ip6 saddr @closed6 counter drop comment "from an internal or isolated network"
		ip saddr @masqueraded4 ct state invalid counter drop comment "would leave with the container's address"
		ip6 saddr @masqueraded6 ct state invalid counter drop comment "would leave with the container's address"
	}}

	chain entering {{
		ip daddr @closed4 counter drop comment "to an internal or isolated network"
		ip6 daddr @closed6 counter drop comment "to an internal or isolated network"
		ct state established,related accept
		ct status dnat accept
		ip daddr @routed4 meta l4proto icmp accept
		ip6 daddr @routed6 meta l4proto ipv6-icmp accept
		ip daddr . meta l4proto . th dport @open4 accept
		ip6 daddr . meta l4proto . th dport @open6 accept
		counter drop comment "not published"
	}}
"#
    )
}
