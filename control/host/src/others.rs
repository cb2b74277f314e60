//! Other tables of the host that packets pass on their way through ours.
//!
//! A packet is forwarded when every chain at that hook accepts it: what we accept, another may drop. Docker's engine makes its
//! FORWARD chain drop what it does not know, and leaves a chain, DOCKER-USER, in which others may say otherwise. We do, for the
//! device that leads to the switch, after whatever rules the host's administrator has there. What leads to a bridge of Docker's
//! own stays with Docker's rules, which keep its containers apart from others.

use std::fmt::Write;
use std::fs;

use paceline_model::IfName;

use crate::error::HostError;
use crate::nft::Nft;

/// Docker's chain for rules of others.
const DOCKER_USER: &str = "DOCKER-USER";

/// What the host's tables are, beside their rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tables {
    /// Whether ours is there.
    pub ours: bool,
    /// Families (`ip`, `ip6`) whose table `filter` has Docker's chain.
    docker: Vec<String>,
    /// Chains that drop what they do not know of forwarded packets: family, table and chain.
    dropping: Vec<String>,
}

impl Tables {
    /// As they are now; ours is the one of this name.
    ///
    /// # Errors
    /// [`HostError::Nft`], [`HostError::NftProgram`].
    pub async fn look(nft: &Nft, ours: &str) -> Result<Self, HostError> {
        Ok(Self::parse(&nft.ask(&["list", "chains"]).await?, ours))
    }

    fn parse(chains: &str, ours: &str) -> Self {
        let mut tables = Self::default();
        let (mut table, mut chain) = ("", "");
        for line in chains.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("table ") {
                table = rest.trim_end_matches(" {");
                tables.ours |= table == format!("inet {ours}");
            } else if let Some(rest) = line.strip_prefix("chain ") {
                chain = rest.trim_end_matches(" {");
                if chain == DOCKER_USER
                    && let Some(family) = table.strip_suffix(" filter")
                {
                    tables.docker.push(family.into());
                }
            } else if line.contains("hook forward") && line.contains("policy drop") {
                tables.dropping.push(format!("{table} {chain}"));
            }
        }
        tables
    }

    /// What of it keeps packets of this device from being forwarded, in words, with what to do about it.
    pub fn warnings(&self, device: IfName) -> Vec<String> {
        let covered =
            |chain: &&String| self.docker.iter().any(|family| **chain == format!("{family} filter FORWARD"));
        let foreign = self.dropping.iter().filter(|chain| !covered(chain));
        let mut warnings: Vec<_> = foreign
            .map(|chain| {
                let rule = |direction| format!("nft insert rule {chain} {direction} {device} accept");
                format!(
                    "the host's firewall drops what it forwards (chain {chain}): containers do not reach the outside; to let them: {}; {}",
                    rule("iifname"),
                    rule("oifname")
                )
            })
            .collect();
        if legacy_filter() {
            warnings.push(format!(
                "the host has rules of iptables-legacy, which are not looked at: if its FORWARD chain drops by default, containers do \
                 not reach the outside; to let them: iptables-legacy -I FORWARD -i {device} -j ACCEPT; iptables-legacy -I FORWARD -o {device} -j ACCEPT"
            ));
        }
        warnings
    }

    /// Has our rules in Docker's chains, and there no others of ours. `bridges` are Docker's own.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub async fn allow(
        &self,
        nft: &Nft,
        ours: &str,
        device: IfName,
        bridges: &[IfName],
    ) -> Result<(), HostError> {
        self.bring(nft, ours, &wanted(ours, device, bridges)).await
    }

    /// Takes our rules out of Docker's chains.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub async fn forget(&self, nft: &Nft, ours: &str) -> Result<(), HostError> {
        self.bring(nft, ours, &[]).await
    }

    async fn bring(&self, nft: &Nft, ours: &str, wanted: &[String]) -> Result<(), HostError> {
        for family in &self.docker {
            let chain = nft.ask(&["-a", "list", "chain", family, "filter", DOCKER_USER]).await?;
            let script = edit(&chain, family, ours, wanted);
            if !script.is_empty() {
                nft.run(&script).await?;
            }
        }
        Ok(())
    }
}

/// Whether a link is a bridge of Docker's own, by the names that it gives them.
pub fn is_docker_bridge(name: IfName) -> bool {
    let hex = |rest: &str| rest.len() == 12 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    matches!(name.as_str(), "docker0" | "docker_gwbridge")
        || name.as_str().strip_prefix("br-").is_some_and(hex)
}

/// Our rules, as `nft` prints them. Plain enough for iptables-nft, whose chain it is, to read them.
fn wanted(ours: &str, device: IfName, bridges: &[IfName]) -> Vec<String> {
    let to_docker = bridges
        .iter()
        .map(|bridge| format!("iifname \"{device}\" oifname \"{bridge}\" return comment \"{ours}\""));
    let others =
        ["iifname", "oifname"].map(|direction| format!("{direction} \"{device}\" accept comment \"{ours}\""));
    to_docker.chain(others).collect()
}

/// The script that makes `wanted` our rules of a chain that `nft -a` printed; empty if they are. They go to its end, but before
/// a last rule that returns everything, such as older engines add.
fn edit(chain: &str, family: &str, ours: &str, wanted: &[String]) -> String {
    let rules: Vec<_> = chain.lines().filter_map(|line| line.trim().rsplit_once(" # handle ")).collect();
    // The chain itself has a handle as well.
    let rules: Vec<_> = rules.into_iter().filter(|(rule, _)| !rule.ends_with('{')).collect();
    let mark = format!("comment \"{ours}\"");
    let present: Vec<_> = rules.iter().filter(|(rule, _)| rule.ends_with(&mark)).collect();
    let mut script = String::new();
    if present.iter().map(|(rule, _)| *rule).eq(wanted.iter().map(String::as_str)) {
        return script;
    }
    let at = format!("rule {family} filter {DOCKER_USER}");
    let returns = |(rule, _): &&(&str, &str)| {
        let mut words = rule.split_whitespace();
        words.next_back() == Some("return") && words.all(is_counter)
    };
    for rule in wanted {
        let _ = match rules.last().filter(returns) {
            Some((_, handle)) => writeln!(script, "insert {at} position {handle} {rule}"),
            None => writeln!(script, "add {at} {rule}"),
        };
    }
    for (_, handle) in present {
        let _ = writeln!(script, "delete {at} handle {handle}");
    }
    script
}

/// Whether a word is of `counter packets 1 bytes 2`, which matches everything.
fn is_counter(word: &str) -> bool {
    matches!(word, "counter" | "packets" | "bytes") || word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether this namespace has rules of the older kind, which nftables does not see.
fn legacy_filter() -> bool {
    ["ip_tables_names", "ip6_tables_names"].iter().any(|file| {
        let names = fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
        names.lines().any(|name| name == "filter")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAINS: &str = "table ip filter {\n\tchain DOCKER-USER {\n\t}\n\tchain FORWARD {\n\t\ttype filter hook forward \
                          priority filter; policy drop;\n\t}\n}\ntable inet paceline_x {\n\tchain forward {\n\t\ttype \
                          filter hook forward priority filter; policy accept;\n\t}\n}\n";

    fn name(text: &str) -> IfName {
        text.parse().expect("a name")
    }

    #[test]
    fn a_chain_that_drops_is_told_unless_docker_leaves_a_door() {
        let tables = Tables::parse(CHAINS, "paceline_x");
        assert!(tables.ours && tables.warnings(name("pace0")).is_empty(), "{tables:?}");
        assert!(!Tables::parse(CHAINS, "paceline_y").ours);
        let no_door = CHAINS.replace("\tchain DOCKER-USER {\n\t}\n", "");
        let warnings = Tables::parse(&no_door, "paceline_x").warnings(name("pace0")).join("\n");
        assert!(warnings.contains("nft insert rule ip filter FORWARD iifname pace0 accept"), "{warnings}");
    }

    #[test]
    fn our_rules_follow_those_of_the_administrator() {
        let wanted = wanted("paceline_x", name("pace0"), &[name("docker0")]);
        let chain = "table ip filter {\n\tchain DOCKER-USER { # handle 1\n\t\tip saddr 192.0.2.9 drop # handle 3\n\t\t\
                     counter packets 5 bytes 7 return # handle 4\n\t}\n}\n";
        let script = edit(chain, "ip", "paceline_x", &wanted);
        assert_eq!(
            script.lines().next().expect("a line"),
            "insert rule ip filter DOCKER-USER position 4 iifname \"pace0\" oifname \"docker0\" return comment \"paceline_x\""
        );
        assert_eq!(script.lines().count(), 3, "{script}");
        let open = chain.replace("\t\tcounter packets 5 bytes 7 return # handle 4\n", "");
        assert!(edit(&open, "ip", "paceline_x", &wanted).starts_with("add rule"));
    }

    #[test]
    fn what_is_there_is_not_added_again() {
        let wanted = wanted("paceline_x", name("pace0"), &[]);
        let rules: Vec<_> =
            wanted.iter().zip(7..).map(|(rule, at)| format!("\t\t{rule} # handle {at}\n")).collect();
        let rules = rules.concat();
        let chain = format!("table ip filter {{\n\tchain DOCKER-USER {{ # handle 1\n{rules}\t}}\n}}\n");
        assert_eq!(edit(&chain, "ip", "paceline_x", &wanted), "");
        assert_eq!(edit(&chain, "ip", "paceline_y", &[]), "", "another switch's");
        let gone = "delete rule ip filter DOCKER-USER handle 7\ndelete rule ip filter DOCKER-USER handle 8\n";
        assert_eq!(edit(&chain, "ip", "paceline_x", &[]), gone);
    }

    #[test]
    fn docker_s_bridges_are_known_by_their_names() {
        for yes in ["docker0", "docker_gwbridge", "br-0123456789ab"] {
            assert!(is_docker_bridge(name(yes)), "{yes}");
        }
        for no in ["br-lan", "br-ex", "br0", "eth0", "docker1"] {
            assert!(!is_docker_bridge(name(no)), "{no}");
        }
    }
}
