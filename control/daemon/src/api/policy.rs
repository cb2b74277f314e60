//! `/v1/policy`: policies by labels.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use ipnet::IpNet;
use paceline_model::policy::decide::{self, End};
use paceline_model::policy::difference::{affected, warnings};
use paceline_model::policy::{Change, Decision, Direction, Labels, Parties, Party, Probe, difference};
use paceline_model::{ConfigError, Model, PolicySet, PortName};
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use crate::Switch;
use crate::reconcile::check_filters;

/// Most bytes of a request with policies: more than the most rules take.
pub const MAX_REQUEST: usize = 16 << 20;

/// Policies to put in place of those that there are.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyPolicies {
    /// What the file is called in errors.
    pub name: String,
    /// What is in it.
    pub text: String,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// A policy to take out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeletePolicy {
    /// Its name.
    pub policy: String,
}

/// A packet to ask about.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestPolicies {
    /// Who sends it: an endpoint, an address or a prefix.
    pub from: String,
    /// Who receives it.
    pub to: String,
    /// Its port and protocol: `5432`, `53/udp`, `8/icmp`.
    pub port: String,
}

/// What policies change.
#[derive(Debug, Serialize)]
pub struct Applied {
    /// Line by line.
    pub changes: Vec<Change>,
    /// Ports of endpoints for which something changes.
    pub endpoints: Vec<PortName>,
    /// What is probably not meant.
    pub warnings: Vec<String>,
}

impl Applied {
    fn new(model: &Model, after: &PolicySet) -> Self {
        let (before, parties) = (model.policies(), Parties::of(model));
        Self {
            changes: difference(&before, after),
            endpoints: affected(&before, after, &parties),
            warnings: warnings(after, &parties),
        }
    }
}

/// A rule of a policy, or the end of a tier.
#[derive(Debug, Serialize)]
pub struct RuleView {
    /// The tier.
    pub tier: String,
    /// Its policy.
    pub policy: Option<String>,
    /// Whose packets the policy is about.
    pub selector: Option<String>,
    /// How many endpoints that are.
    pub endpoints: Option<usize>,
    /// Whether it is about what they receive or send.
    pub direction: Direction,
    /// What it is called in the flow log; none: it is the end of the tier.
    pub name: Option<String>,
    /// What it says.
    pub rule: String,
    /// Packets that it decided about. Of flows that are remembered, the first.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Packets and bytes by tier and rule, and those that no rule of a tier held for, by tier and direction.
type Counts = BTreeMap<(String, String), (u64, u64)>;

fn counts(switch: &Switch) -> Counts {
    let (mut counts, mut seen) = (Counts::new(), BTreeSet::new());
    for filter in switch.engine(|engine| engine.filters()) {
        // Interfaces with one policy have all of its counts.
        if !seen.insert(filter.policy.clone()) {
            continue;
        }
        let direction = if filter.direction == "input" { Direction::Egress } else { Direction::Ingress };
        for rule in filter.rules {
            let name = if rule.name == END { direction.to_string() } else { rule.name };
            let count = counts.entry((rule.tier, name)).or_default();
            *count = (count.0 + rule.packets, count.1 + rule.bytes);
        }
    }
    counts
}

/// What the engine calls the end of a tier.
const END: &str = "default";

/// What becomes of a packet.
#[derive(Debug, Serialize)]
pub struct Tested {
    /// Who sends it.
    pub from: String,
    /// Who receives it.
    pub to: String,
    /// The packet, in words.
    pub packet: String,
    /// Whether it arrives.
    pub allowed: bool,
    /// Why.
    #[serde(flatten)]
    pub decision: Decision,
}

pub async fn apply(
    State(switch): State<Arc<Switch>>,
    request: Result<Json<ApplyPolicies>, JsonRejection>,
) -> Result<Json<Applied>, ApiError> {
    let Json(ApplyPolicies { name, text, dry_run }) = request?;
    let set = PolicySet::parse(&name, &text).map_err(|error| ApiError::Policies(told(&error)))?;
    if dry_run {
        return Ok(Json(switch.model(|model| Applied::new(model, &set))));
    }
    let _change = switch.change_policies().await;
    replace(&switch, &name, &set).await.map(Json)
}

/// Puts policies in place of those that there are, of which `name` is told in errors. Nobody else changes them meanwhile.
async fn replace(switch: &Switch, name: &str, set: &PolicySet) -> Result<Applied, ApiError> {
    let refused =
        |error: &dyn std::fmt::Display| ApiError::Policies(format!("{name}: nothing was changed: {error}"));
    // Before it is on disk, where the next start would find it.
    let mut draft = switch.model(Model::clone);
    draft.set_policies(set);
    check_filters(switch, &draft).map_err(|error| refused(&error))?;
    let (applied, before) = switch.update(|model| {
        let (applied, before) = (Applied::new(model, set), model.policies());
        model.set_policies(set);
        Ok::<_, ApiError>((applied, before))
    })?;
    if let Err(error) = switch.requests().make().await {
        // It is memory that there was not, or an endpoint came meanwhile.
        switch.update(|model| {
            model.set_policies(&before);
            Ok::<_, ApiError>(())
        })?;
        if let Err(error) = switch.requests().make().await {
            tracing::warn!(
                "policies that were refused could not be undone in full; the next change tries again: {error}"
            );
        }
        return Err(refused(&error));
    }
    Ok(applied)
}

/// All problems in a line.
fn told(error: &ConfigError) -> String {
    match error {
        ConfigError::Problems { name, problems, .. } => {
            let problems: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
            format!("{name}: {}", problems.join("; "))
        }
        ConfigError::Read { .. } => error.to_string(),
    }
}

pub async fn delete(
    State(switch): State<Arc<Switch>>,
    request: Result<Json<DeletePolicy>, JsonRejection>,
) -> Result<Json<Applied>, ApiError> {
    let Json(DeletePolicy { policy }) = request?;
    let _change = switch.change_policies().await;
    let mut set = switch.model(Model::policies);
    let before = set.policies().count();
    for tier in &mut set.tiers {
        tier.policies.retain(|own| own.name.as_str() != policy);
    }
    if set.policies().count() == before {
        return Err(ApiError::Policy(policy));
    }
    replace(&switch, &format!("policy {policy}"), &set).await.map(Json)
}

pub async fn show(State(switch): State<Arc<Switch>>) -> Json<Vec<RuleView>> {
    let (set, parties) = switch.model(|model| (model.policies(), Parties::of(model)));
    let counts = counts(&switch);
    let mut rows = Vec::new();
    for tier in &set.tiers {
        for policy in &tier.policies {
            let endpoints = parties.0.iter().filter(|party| policy.selector.selects(&party.labels)).count();
            for direction in Direction::ALL {
                for (index, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
                    let name = policy.rule_name(direction, index);
                    let counted = counts.get(&(tier.name.to_string(), name.clone()));
                    let (packets, bytes) = counted.copied().unwrap_or_default();
                    rows.push(RuleView {
                        tier: tier.name.to_string(),
                        policy: Some(policy.name.to_string()),
                        selector: Some(policy.selector.to_string()),
                        endpoints: Some(endpoints),
                        direction,
                        name: Some(name),
                        rule: rule.to_string(),
                        packets,
                        bytes,
                    });
                }
            }
        }
        for direction in Direction::ALL {
            if tier.policies.iter().all(|policy| policy.rules(direction).is_none()) {
                continue;
            }
            let counted = counts.get(&(tier.name.to_string(), direction.to_string()));
            let (packets, bytes) = counted.copied().unwrap_or_default();
            rows.push(RuleView {
                tier: tier.name.to_string(),
                policy: None,
                selector: None,
                endpoints: None,
                direction,
                name: None,
                rule: "deny what no rule holds for".into(),
                packets,
                bytes,
            });
        }
    }
    Json(rows)
}

pub async fn test(
    State(switch): State<Arc<Switch>>,
    request: Result<Json<TestPolicies>, JsonRejection>,
) -> Result<Json<Tested>, ApiError> {
    let Json(TestPolicies { from, to, port }) = request?;
    let probe: Probe = port.parse().map_err(|error| ApiError::Body(format!("port {error}")))?;
    let (set, parties) = switch.model(|model| (model.policies(), Parties::of(model)));
    let (sender, receiver) = (Who::find(&from, &set, &parties)?, Who::find(&to, &set, &parties)?);
    let pairs =
        sender.addresses.iter().flat_map(|own| receiver.addresses.iter().map(move |other| (*own, *other)));
    let mut same = pairs.filter(|(own, other)| own.is_ipv4() == other.is_ipv4());
    let Some((own, other)) = same.next() else { return Err(ApiError::Versions { from, to }) };
    let end = |address, labels| End { address, labels };
    let decision = decide::decide(&set, end(own, sender.labels), end(other, receiver.labels), probe);
    Ok(Json(Tested {
        from: sender.name,
        to: receiver.name,
        packet: probe.to_string(),
        allowed: decision.allowed(),
        decision,
    }))
}

/// One end of a packet's way.
struct Who<'p> {
    name: String,
    addresses: Vec<IpAddr>,
    labels: Option<&'p Labels>,
}

impl<'p> Who<'p> {
    fn find(text: &str, set: &PolicySet, parties: &'p Parties) -> Result<Self, ApiError> {
        let of = |party: &'p Party| {
            let labels = if party.labels.is_empty() { String::new() } else { format!(" ({})", party.labels) };
            Self {
                name: format!("{}{labels}", party.port),
                addresses: party.addresses.clone(),
                labels: Some(&party.labels),
            }
        };
        let outside =
            |name: &str, address| Self { name: name.into(), addresses: vec![address], labels: None };
        let whole = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
        let net = text.parse::<IpNet>().ok();
        let address = text.parse().ok().or_else(|| net.filter(whole).map(|net| net.addr()));
        if let Some(address) = address {
            return Ok(parties.at(address).map_or_else(|| outside(text, address), of));
        }
        if let Some(net) = net {
            let parts = decide::parts(set, parties, net.trunc());
            if !parts.is_empty() {
                let parts = parts.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return Err(ApiError::Parts { net, parts });
            }
            return Ok(outside(text, net.addr()));
        }
        let mut found = parties.0.iter().filter(|party| {
            party.port.as_str() == text || !text.is_empty() && party.id.as_str().starts_with(text)
        });
        match (found.next(), found.next()) {
            (Some(party), None) => Ok(of(party)),
            _ => Err(ApiError::End(text.into())),
        }
    }
}
