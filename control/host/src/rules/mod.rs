//! A plan as nftables rules.
//!
//! | chain | hook | what it does |
//! |---|---|---|
//! | `loopback` | prerouting, raw | drops what claims to be of, or for, the loopback and comes from a container |
//! | `prerouting`, `output` | nat | published ports of local addresses become a container's |
//! | `postrouting` | nat | masquerades what leaves the host, and what comes from the loopback or a container to a published port |
//! | `forward` | filter | who reaches whom; what it drops is counted |
//!
//! Published ports are elements of maps, which are hash tables to the kernel: a packet costs the same with one and with
//! thousands. When only ports have changed, their elements alone are replaced; the rest of the table, with its counters,
//! stays. When networks have, the table is replaced whole, in one transaction: no packet finds it half made, and what
//! connection tracking knows stays.

mod elements;
mod table;

use elements::Elements;
use paceline_model::HostPlan;

/// The name of the table of the switch with this tag, of which [`paceline_attach::Links`] has one too.
///
/// It is made of what nftables takes in a name; where a character is lost the end tells tags apart.
pub fn table_name(tag: &str) -> String {
    const MAX: usize = 100;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    let tag = tag.strip_prefix("paceline").map_or(tag, str::trim_start);
    let name: String = tag.chars().map(|c| if fits(c) { c } else { '_' }).take(MAX).collect();
    if name == tag {
        return format!("paceline_{name}");
    }
    let hash = paceline_sys::fnv1a(tag.bytes());
    format!("paceline_{name}_{hash:016x}")
}

/// All rules of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The table's name.
    table: String,
    /// The text of chains and of sets of subnets.
    frame: String,
    /// Published ports.
    elements: Elements,
}

impl Rules {
    /// The rules of a plan, in the table of this name.
    pub fn new(table: &str, plan: &HostPlan) -> Self {
        Self { table: table.into(), frame: table::frame(plan), elements: Elements::new(plan) }
    }

    /// The script that makes the table, in place of any of that name.
    pub fn whole(&self) -> String {
        let Self { table, frame, elements } = self;
        format!("{}table inet {table} {{\n{}{frame}}}\n", remove(table), elements.definitions())
    }

    /// The script that makes these rules of others; empty if they are the same, none if only the whole will do.
    pub fn since(&self, before: &Self) -> Option<String> {
        let same = self.table == before.table && self.frame == before.frame;
        same.then(|| self.elements.since(&before.elements, &self.table))
    }
}

/// The script that removes the table of this name, if there is one.
pub fn remove(table: &str) -> String {
    // To delete what is not there is an error; to make what is there is none.
    format!("table inet {table}\ndelete table inet {table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipnet::IpNet;
    use paceline_model::{GatewayMode, HostNetwork, HostPort, Protocol, PublishedPort};

    fn plan() -> HostPlan {
        let network = |number: u8| HostNetwork {
            subnets: vec![net(&format!("10.{number}.0.0/16")), net(&format!("fd00:{number}::/64"))],
            gateways: vec![net(&format!("10.{number}.0.1/16")), net(&format!("fd00:{number}::1/64"))],
            ipv4: GatewayMode::Nat,
            ipv6: GatewayMode::Routed,
            masquerade: true,
            internal: number == 2,
        };
        let networks = [1, 2].map(|number| (format!("n{number}").parse().unwrap(), network(number)));
        HostPlan {
            device: "pace0".parse().unwrap(),
            mac: [2; 6].into(),
            mtu: 1500,
            networks: networks.into(),
            ports: vec![port(1, None, 8080), port(1, Some("192.0.2.1"), 8081), port(2, None, 8082)],
        }
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn port(network: u8, host_ip: Option<&str>, host_port: u16) -> HostPort {
        let host_ip = host_ip.map(|ip| ip.parse().unwrap());
        HostPort {
            endpoint: "e1".parse().unwrap(),
            network: format!("n{network}").parse().unwrap(),
            port: PublishedPort { protocol: Protocol::Tcp, host_ip, host_port, port: 80 },
            ipv4: Some([10, network, 0, 2].into()),
            ipv6: Some(format!("fd00:{network}::2").parse().unwrap()),
        }
    }

    #[test]
    fn the_text() {
        insta::assert_snapshot!(Rules::new("paceline_x", &plan()).whole());
    }

    #[test]
    fn only_ports_that_differ_are_touched() {
        let (before, mut plan) = (Rules::new("x", &plan()), plan());
        assert_eq!(Rules::new("x", &plan).since(&before).unwrap(), "");
        plan.ports[1] = port(1, Some("192.0.2.1"), 8083);
        plan.ports[0].ipv4 = Some([10, 1, 0, 3].into());
        plan.ports.push(port(1, Some("::"), 8084));
        let script = Rules::new("x", &plan).since(&before).unwrap();
        let expected = [
            "delete element inet x any4 { tcp . 8080 : 10.1.0.2 . 80 }",
            "add element inet x any4 { tcp . 8080 : 10.1.0.3 . 80 }",
            "delete element inet x at4 { tcp . 192.0.2.1 . 8081 : 10.1.0.2 . 80 }",
            "add element inet x at4 { tcp . 192.0.2.1 . 8083 : 10.1.0.2 . 80 }",
        ];
        let mut lines: Vec<_> = script.lines().collect();
        // Maps come by their names; within one, what goes comes first.
        lines.sort_by_key(|line| !line.contains("any4"));
        assert_eq!(lines, expected);
        plan.networks.clear();
        assert_eq!(Rules::new("x", &plan).since(&before), None, "subnets are of the table");
        assert_eq!(Rules::new("y", &self::plan()).since(&before), None);
    }

    #[test]
    fn a_table_is_called_after_the_switch() {
        assert_eq!(table_name("paceline /var/lib/paceline"), "paceline_/var/lib/paceline");
        assert_eq!(table_name("one"), "paceline_one");
        assert!(table_name("a b").starts_with("paceline_a_b_"), "{}", table_name("a b"));
        assert_ne!(table_name("a b"), table_name("a;b"));
        assert!(table_name(&"x".repeat(1000)).len() < 128, "it is a comment too");
    }
}
