//! The flow log: what rules have decided, with who is at both ends.
//!
//! The engine keeps some events for a while, and loses what exceeds that. They are taken every second and when somebody asks.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use paceline_model::policy::{Action, Direction, Parties};
use paceline_worker::FlowEventView;
use serde::Serialize;

use crate::Switch;

/// Events that are kept, the latest.
const KEPT: usize = 10_000;

/// What a rule decided.
#[derive(Clone, Debug, Serialize)]
pub struct FlowView {
    /// Its number, from 1 since the start.
    pub number: u64,
    /// When it was taken from the workers, in seconds since 1970.
    pub time_s: u64,
    /// `allow`, `audit`, `deny` or `reject`.
    pub verdict: &'static str,
    /// `tcp`, `udp`, …
    pub protocol: String,
    /// Address and port that the packet came from; the type of an ICMP message for a port.
    pub source: String,
    /// The endpoint that has that address: port and labels.
    pub from: Option<String>,
    /// Address and port that it went to; the code of an ICMP message for a port.
    pub destination: String,
    /// The endpoint that has that address: port and labels.
    pub to: Option<String>,
    /// Tier of the rule; the list of an ACL.
    pub tier: String,
    /// The rule: `policy/direction/name`, or `list/name`.
    pub rule: String,
    /// The interface that it is at.
    pub interface: String,
    /// `input` if the packet came in by it, `output` if it leaves.
    pub direction: &'static str,
    /// Bytes of the frame.
    pub bytes: usize,
}

/// The latest events.
#[derive(Debug, Default)]
pub struct FlowLog {
    events: VecDeque<FlowView>,
    /// Number of the latest.
    last: u64,
    lost: u64,
}

/// What the log tells.
#[derive(Debug, Serialize)]
pub struct FlowsView {
    /// Events, the oldest first.
    pub events: Vec<FlowView>,
    /// The number of the latest event that there was.
    pub last: u64,
    /// Events that were lost: there were too many.
    pub lost: u64,
}

impl FlowLog {
    fn add(&mut self, event: FlowView) {
        self.last += 1;
        self.events.push_back(FlowView { number: self.last, ..event });
        if self.events.len() > KEPT {
            self.events.pop_front();
        }
    }

    /// Events after the one of this number.
    fn after(&self, number: u64) -> FlowsView {
        let events = self.events.iter().filter(|event| event.number > number).cloned().collect();
        FlowsView { events, last: self.last, lost: self.lost }
    }
}

impl Switch {
    /// Takes what the workers have told.
    pub(crate) fn take_flows(&self) {
        let (events, lost) = self.engine(|engine| engine.flow_events());
        if events.is_empty() {
            self.flow_log().lost = lost;
            return;
        }
        let (parties, audits) = self.model(|model| (Parties::of(model), audits(&model.policies())));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let events: Vec<_> = events.into_iter().map(|event| view(event, now, &parties, &audits)).collect();
        let mut log = self.flow_log();
        log.lost = lost;
        for event in events {
            log.add(event);
        }
    }

    /// Events after the one of this number.
    pub fn flows_after(&self, number: u64) -> FlowsView {
        self.take_flows();
        self.flow_log().after(number)
    }
}

/// Names of rules that let through what a `deny` in their place would stop, each with its tier.
type Audits = BTreeMap<String, String>;

fn audits(set: &paceline_model::PolicySet) -> Audits {
    let mut audits = Audits::new();
    for (tier, policy) in set.policies() {
        for direction in Direction::ALL {
            for (index, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
                if rule.action == Action::Audit {
                    audits.insert(policy.rule_name(direction, index), tier.to_string());
                }
            }
        }
    }
    audits
}

fn view(event: FlowEventView, time_s: u64, parties: &Parties, audits: &Audits) -> FlowView {
    let who = |end: &str| {
        let address = end.parse::<SocketAddr>().map(|end| end.ip()).or_else(|_| end.parse()).ok()?;
        let party = parties.at(address)?;
        let labels = if party.labels.is_empty() { String::new() } else { format!(" {}", party.labels) };
        Some(format!("{}{labels}", party.port))
    };
    let verdict = match event.action {
        "permit" if audits.get(&event.rule) == Some(&event.tier) => "audit",
        "permit" => "allow",
        other => other,
    };
    FlowView {
        number: 0,
        time_s,
        verdict,
        protocol: event.protocol,
        from: who(&event.source),
        source: event.source,
        to: who(&event.destination),
        destination: event.destination,
        tier: event.tier,
        rule: event.rule,
        interface: event.interface,
        direction: event.direction,
        bytes: event.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &'static str, rule: &str) -> FlowView {
        let event = FlowEventView {
            interface: "e-1".into(),
            direction: "output",
            action,
            policy: "ingress: db".into(),
            tier: "default".into(),
            rule: rule.into(),
            protocol: "tcp".into(),
            source: "10.77.0.3:4000".into(),
            destination: "[fd77::2]:5432".into(),
            bytes: 74,
        };
        let set = "[[policy]]\nname = \"db\"\nselector = \"all()\"\ningress = [{ action = \"audit\" }, { action = \"log\" }]\n";
        let audits = audits(&paceline_model::PolicySet::parse("test", set).unwrap());
        let party = paceline_model::policy::Party {
            id: "1".parse().unwrap(),
            port: "e-1".parse().unwrap(),
            labels: "role=db".parse().unwrap(),
            addresses: vec!["fd77::2".parse().unwrap()],
        };
        view(event, 7, &Parties(vec![party]), &audits)
    }

    #[test]
    fn who_and_whether_it_is_only_watched() {
        let seen = event("permit", "db/ingress/1");
        assert_eq!((seen.verdict, seen.from, seen.to.as_deref()), ("audit", None, Some("e-1 role=db")));
        assert_eq!(
            (event("permit", "db/ingress/3").verdict, event("deny", "db/ingress/1").verdict),
            ("allow", "deny")
        );
    }

    #[test]
    fn the_latest_are_kept() {
        let mut log = FlowLog::default();
        for _ in 0..KEPT + 5 {
            log.add(event("deny", "x"));
        }
        let all = log.after(0);
        assert_eq!((all.events.len(), all.events[0].number, all.last), (KEPT, 6, 10_005));
        assert_eq!(log.after(10_003).events.len(), 2);
        assert!(log.after(10_005).events.is_empty());
    }
}
