//! The file of policies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ipnet::IpNet;
use serde::Deserialize;
use toml::de::DeTable;

use super::{Action, Direction, Peer, Policy, PolicySet, Rule, Selector, Tier, peer};
use crate::config::check::{Checks, Step, at};
use crate::config::parse::{list, problem, typed};
use crate::config::{ConfigError, Problem, field};
use crate::{GroupName, PolicyName, TierName};

/// Most rules of a file.
pub const MAX_RULES: usize = 10_000;
/// Most ways in which the lists of one rule (ports, ports that packets come from, types of ICMP) can be combined.
pub const MAX_COMBINATIONS: usize = 1024;

/// Most rules of an endpoint that all policies of a file select, when they are written out.
pub const MAX_WRITTEN: usize = 100_000;

/// `[[tier]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTier {
    name: TierName,
}

/// `[[group]]`: addresses with a name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The name.
    pub name: GroupName,
    /// The addresses.
    #[serde(deserialize_with = "field::list")]
    pub prefixes: Vec<Prefix>,
}

/// A prefix without bits beyond its length; an address alone is one of its whole length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix(pub IpNet);

impl std::str::FromStr for Prefix {
    type Err = peer::PeerError;

    fn from_str(text: &str) -> Result<Self, peer::PeerError> {
        peer::prefix(text).map(Self)
    }
}

impl field::Text for Prefix {
    const LIKE: &str =
        "an address, or a prefix without bits beyond its length, like \"10.0.0.0/24\" or \"fd00::/64\"";
}

/// A list of them: for `#[serde(deserialize_with)]`.
pub(crate) fn prefixes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    Ok(field::list(deserializer)?.into_iter().map(|Prefix(net)| net).collect())
}

impl serde::Serialize for Prefix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// `[[policy]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePolicy {
    name: PolicyName,
    #[serde(default)]
    tier: TierName,
    selector: Selector,
    ingress: Option<Vec<Rule>>,
    egress: Option<Vec<Rule>>,
}

#[derive(Default)]
struct File {
    tiers: Vec<FileTier>,
    groups: Vec<Group>,
    policies: Vec<FilePolicy>,
}

impl PolicySet {
    /// The file at `path`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<(Self, String), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::read(path, source))?;
        Self::parse(&path.display().to_string(), &text).map(|set| (set, text))
    }

    /// The text of a file that is called `name` in errors.
    ///
    /// # Errors
    /// [`ConfigError::Problems`]: as of a configuration file.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut problems: Vec<_> = errors.iter().map(|error| problem(error, 0..0)).collect();
        if problems.is_empty() {
            let file = read(document.get_ref().clone(), &mut problems);
            if problems.is_empty() {
                problems = check(&file, document.get_ref());
            }
            if problems.is_empty() {
                return Ok(file.into());
            }
        }
        Err(ConfigError::problems(name, text, problems))
    }
}

fn read(document: DeTable<'_>, problems: &mut Vec<Problem>) -> File {
    let mut file = File::default();
    for (key, value) in document {
        match key.get_ref().as_ref() {
            "tier" => file.tiers = list("tier", value, problems, typed),
            "group" => file.groups = list("group", value, problems, typed),
            "policy" => file.policies = list("policy", value, problems, typed),
            other => {
                let message =
                    format!("{other:?}: there is no such section; there are tier, group and policy");
                problems.push(Problem { message, span: key.span() });
            }
        }
    }
    file
}

impl From<File> for PolicySet {
    fn from(file: File) -> Self {
        let mut tiers: Vec<_> =
            file.tiers.into_iter().map(|tier| Tier { name: tier.name, policies: Vec::new() }).collect();
        for FilePolicy { name, tier, selector, ingress, egress } in file.policies {
            if tiers.iter().all(|other| other.name != tier) {
                // The default one: others are checked to be there.
                tiers.push(Tier { name: tier.clone(), policies: Vec::new() });
            }
            let place = tiers.iter_mut().find(|other| other.name == tier);
            if let Some(tier) = place {
                tier.policies.push(Policy { name, selector, ingress, egress });
            }
        }
        let prefixes = |group: &Group| group.prefixes.iter().map(|prefix| prefix.0).collect();
        let groups: BTreeMap<_, _> =
            file.groups.iter().map(|group| (group.name.clone(), prefixes(group))).collect();
        Self { tiers, groups }
    }
}

fn check(file: &File, document: &DeTable<'_>) -> Vec<Problem> {
    let mut checks = Checks::of(document);
    let (mut tiers, mut groups, mut names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (index, tier) in file.tiers.iter().enumerate() {
        let name = tier.name.as_str();
        checks.expect(tiers.insert(name), at!["tier", index, "name"], || {
            format!("tier {name:?}: is there twice")
        });
    }
    for (index, group) in file.groups.iter().enumerate() {
        let name = group.name.as_str();
        checks.expect(groups.insert(name), at!["group", index, "name"], || {
            format!("group {name:?}: is there twice")
        });
    }
    for (index, policy) in file.policies.iter().enumerate() {
        let (name, tier) = (policy.name.as_str(), policy.tier.as_str());
        checks.expect(names.insert(name), at!["policy", index, "name"], || {
            format!("policy {name:?}: is there twice")
        });
        checks.expect(
            tier == TierName::DEFAULT || tiers.contains(tier),
            at!["policy", index, "tier"],
            || {
                let known: Vec<_> = tiers.iter().copied().chain([TierName::DEFAULT]).collect();
                format!(
                    "policy {name:?}: there is no tier {tier:?}; there are {}: add [[tier]] name = {tier:?}",
                    known.join(", ")
                )
            },
        );
        checks.expect(policy.ingress.is_some() || policy.egress.is_some(), at!["policy", index, "name"], || {
            format!("policy {name:?}: has neither ingress nor egress: give one of them; an empty list denies all")
        });
        for (direction, rules) in [(Direction::Ingress, &policy.ingress), (Direction::Egress, &policy.egress)]
        {
            let path = |number: usize, field: &'static str| {
                [Step::from("policy"), index.into(), direction.as_str().into(), number.into(), field.into()]
            };
            rules_of(name, direction, rules.as_deref().unwrap_or_default(), &groups, &path, &mut checks);
        }
    }
    let rules = file.policies.iter().flat_map(|policy| [&policy.ingress, &policy.egress]).flatten();
    let count: usize = rules.map(Vec::len).sum();
    checks.expect(count <= MAX_RULES, at!["policy"], || {
        format!("{count} rules: there can be {MAX_RULES} at most")
    });
    let written = written(file);
    checks.expect(written <= MAX_WRITTEN, at!["policy"], || {
        format!(
            "{written} rules, where each combination of the lists in a rule counts as one, and again for each log rule before it in its \
             tier: there can be {MAX_WRITTEN} at most"
        )
    });
    checks.done()
}

/// How many rules come of a file at most, for an endpoint that all policies select.
fn written(file: &File) -> usize {
    let (mut written, mut logs) = (0usize, BTreeMap::<(&TierName, Direction), usize>::new());
    for policy in &file.policies {
        for (direction, rules) in [(Direction::Ingress, &policy.ingress), (Direction::Egress, &policy.egress)]
        {
            let logs = logs.entry((&policy.tier, direction)).or_default();
            for rule in rules.iter().flatten() {
                let own = combinations(rule);
                if rule.action == Action::Log {
                    *logs = logs.saturating_add(own);
                    written = written.saturating_add(own);
                } else {
                    written = written.saturating_add(own.saturating_mul(logs.saturating_add(1)));
                }
            }
        }
    }
    written
}

/// In how many ways what is in the lists of a rule can be combined.
fn combinations(rule: &Rule) -> usize {
    [rule.ports.len(), rule.from_ports.len(), rule.icmp.len()].map(|length| length.max(1)).iter().product()
}

fn rules_of(
    policy: &str,
    direction: Direction,
    rules: &[Rule],
    groups: &BTreeSet<&str>,
    path: &dyn Fn(usize, &'static str) -> [Step; 5],
    checks: &mut Checks<'_>,
) {
    let mut names = BTreeSet::new();
    for (number, rule) in rules.iter().enumerate() {
        let of = || format!("policy {policy:?}, {direction} rule {}", number + 1);
        let (own, others, wrong) = match direction {
            Direction::Ingress => ("from", "to", &rule.to),
            Direction::Egress => ("to", "from", &rule.from),
        };
        checks.expect(wrong.is_empty(), &path(number, others), || {
            format!("{}: {others} is who has the policy: {direction} rules have {own}", of())
        });
        if let Some(name) = rule.name.as_ref().map(crate::RuleName::as_str) {
            checks.expect(names.insert(name), &path(number, "name"), || {
                format!("{}: name {name:?} is there twice", of())
            });
            checks.expect(name.contains(|char: char| !char.is_ascii_digit()), &path(number, "name"), || {
                format!("{}: name {name:?} is a number, as those without a name have", of())
            });
        }
        for peer in rule.peers(direction) {
            let Peer::Group(group) = peer else { continue };
            let group = group.as_str();
            checks.expect(groups.contains(group), &path(number, own), || {
                let known: Vec<_> = groups.iter().copied().collect();
                let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                format!("{}: there is no group {group:?}; there are {known}. Labels are selected like 'role == {group:?}'", of())
            });
        }
        let traffic = rule.traffic();
        if let Some((field, why)) = traffic.problem() {
            checks.expect(false, &path(number, field), || format!("{}: {why}", of()));
        }
        let combinations = combinations(rule);
        checks.expect(combinations <= MAX_COMBINATIONS, &path(number, "ports"), || {
            format!(
                "{}: {combinations} combinations of its lists: there can be {MAX_COMBINATIONS} at most",
                of()
            )
        });
    }
}
