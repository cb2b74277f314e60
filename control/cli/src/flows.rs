//! `paceline flows`

use std::time::Duration;

use paceline_daemon::Client;
use paceline_daemon::api::AskFlows;
use serde_json::{Value, json};

use crate::args::Flows;
use crate::fail::Fail;
use crate::table::{plain, print_json, say};

/// Time between two looks with `--follow`.
const SOON: Duration = Duration::from_millis(300);

/// Prints what rules have decided.
pub async fn flows(client: &Client, options: Flows) -> Result<(), Fail> {
    let Flows { json, follow } = options;
    let mut answer = client.post("/v1/flows", &AskFlows::default()).await?;
    if json && !follow {
        return print_json(&answer["events"]);
    }
    loop {
        for event in answer["events"].as_array().into_iter().flatten() {
            // With --follow there is no end of a list: an object a line.
            if json { say(&event.to_string())? } else { say(&line(event))? }
        }
        if let Some(lost) = answer["lost"].as_u64().filter(|lost| *lost > 0) {
            say(&self::lost(lost, json))?;
        }
        if !follow {
            let none = answer["events"].as_array().is_none_or(Vec::is_empty);
            return if none { say("no flows were logged; rules with log = true do so") } else { Ok(()) };
        }
        tokio::time::sleep(SOON).await;
        let after = answer["last"].as_u64().unwrap_or_default();
        answer = client.post("/v1/flows", &AskFlows { after }).await?;
    }
}

fn lost(lost: u64, json: bool) -> String {
    if json {
        json!({ "lost": lost }).to_string()
    } else {
        format!("{lost} more were not told: there were too many")
    }
}

fn line(event: &Value) -> String {
    let end = |address: &str, who: &str| match event[who].as_str() {
        Some(who) => format!("{} ({who})", plain(&event[address])),
        None => plain(&event[address]),
    };
    let of_day = event["time_s"].as_u64().unwrap_or_default() % 86_400;
    format!(
        "{:02}:{:02}:{:02}Z {:6} {} {} to {}: rule {} of {}",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
        plain(&event["verdict"]),
        plain(&event["protocol"]),
        end("source", "from"),
        end("destination", "to"),
        plain(&event["rule"]),
        plain(&event["tier"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_in_both_forms() {
        assert_eq!(lost(7, true), r#"{"lost":7}"#);
        assert!(lost(7, false).starts_with("7 more"));
    }

    #[test]
    fn a_line_says_who_and_why() {
        let event = json!({
            "time_s": 86_400 + 3_725, "verdict": "deny", "protocol": "tcp", "source": "192.0.2.1:4000", "from": null,
            "destination": "10.77.0.2:22", "to": "e-1 role=db", "rule": "db/ingress/3", "tier": "default",
        });
        assert_eq!(
            line(&event),
            "01:02:05Z deny   tcp 192.0.2.1:4000 to 10.77.0.2:22 (e-1 role=db): rule db/ingress/3 of default"
        );
    }
}
