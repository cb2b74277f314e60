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
    /// Its number, from 1 since the start. Events that were lost have some, too.
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
    /// Number of the latest, or of the latest that was lost.
    last: u64,
}

/// What the log tells.
#[derive(Debug, Serialize)]
pub struct FlowsView {
    /// Events, the oldest first.
    pub events: Vec<FlowView>,
    /// The number of the latest event that there was, to be asked for those after it.
    pub last: u64,
    /// How many of those that were asked for, or that came after the oldest one here, are lost: there were too many.
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

    /// Notes that some more were lost. The workers' queue loses those that come when it is full: the latest.
    fn lose(&mut self, lost: u64) {
        self.last += lost;
    }

    /// Events after the one of this number; of number 0, all that are kept.
    fn after(&self, number: u64) -> FlowsView {
        let events: Vec<_> = self.events.iter().filter(|event| event.number > number).cloned().collect();
        // Who asks for the first time does not miss what was told long ago.
        let oldest = events.first().map(|event| event.number - 1).filter(|_| number == 0);
        let lost = self.last.saturating_sub(oldest.unwrap_or(number)) - events.len() as u64;
        FlowsView { events, last: self.last, lost }
    }
}

impl Switch {
    /// Takes what the workers have told.
    pub(crate) fn take_flows(&self) {
        let (events, lost) = self.engine(|engine| engine.flow_events());
        if events.is_empty() {
            return self.flow_log().lose(lost);
        }
        let (parties, audits) = self.model(|model| (Parties::of(model), audits(&model.policies())));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let events: Vec<_> = events.into_iter().map(|event| view(event, now, &parties, &audits)).collect();
        let mut log = self.flow_log();
        for event in events {
            log.add(event);
        }
        log.lose(lost);
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
        assert_eq!((all.lost, log.after(0).lost, log.after(3).lost), (0, 0, 2), "two are kept no more");
    }

    #[test]
    fn what_is_lost_is_told_once() {
        let mut log = FlowLog::default();
        log.lose(3);
        assert_eq!((log.after(0).lost, log.after(3).lost), (3, 0), "there is nothing else to tell");
        log.add(event("deny", "x"));
        log.add(event("deny", "x"));
        log.lose(5);
        let all = log.after(0);
        assert_eq!((all.events[0].number, all.events[1].number, all.last, all.lost), (4, 5, 10, 5));
        assert_eq!(log.after(10).lost, 0);
        log.add(event("deny", "x"));
        let new = log.after(10);
        assert_eq!((new.events.len(), new.lost), (1, 0));
        log.lose(1);
        assert_eq!((log.after(10).lost, log.after(11).lost, log.after(12).lost), (1, 1, 0));
    }
}
