//! `paceline policy`

use paceline_daemon::Client;
use paceline_daemon::api::{ApplyPolicies, DeletePolicy, TestPolicies};
use paceline_model::PolicySet;
use serde_json::Value;

use crate::args::PolicyCommand;
use crate::fail::Fail;
use crate::table::{Column, number, plain, print, print_json, say, text, words};

const RULES: &[Column] = &[
    text("tier", |row| plain(&row["tier"])),
    text("policy", |row| plain(&row["policy"])),
    number("endpoints", |row| plain(&row["endpoints"])),
    text("rule", |row| row["name"].as_str().map_or_else(|| plain(&row["direction"]), Into::into)),
    words("says", |row| plain(&row["rule"])),
    number("packets", |row| plain(&row["packets"])),
    number("bytes", |row| plain(&row["bytes"])),
];

/// Changes policies, or looks at them.
pub async fn policy(client: &Client, command: PolicyCommand) -> Result<(), Fail> {
    match command {
        PolicyCommand::Apply { file, dry_run } => {
            // Here, as the caller sees the file: mistakes are shown below their lines.
            let (_, text) = PolicySet::load(&file)?;
            let name = file.display().to_string();
            let answer = client.post("/v1/policy/apply", &ApplyPolicies { name, text, dry_run }).await?;
            changes(&answer)?;
            let done =
                if dry_run { "nothing was changed: --dry-run" } else { "applied; it outlives a restart" };
            say(&format!("{}: {done}", file.display()))
        }
        PolicyCommand::Show { json: true } => print_json(&client.get("/v1/policy").await?),
        PolicyCommand::Show { json: false } => {
            let answer = client.get("/v1/policy").await?;
            print(RULES, answer.as_array().map_or(&[], Vec::as_slice), "no policies")
        }
        PolicyCommand::Test { from, to, port, json } => {
            let answer = client.post("/v1/policy/test", &TestPolicies { from, to, port }).await?;
            if json {
                print_json(&answer)?;
            } else {
                told(&answer)?;
            }
            if answer["allowed"] == true { Ok(()) } else { Err(Fail::Denied) }
        }
        PolicyCommand::Delete { policy } => {
            let answer = client.post("/v1/policy/delete", &DeletePolicy { policy: policy.clone() }).await?;
            changes(&answer)?;
            say(&format!("policy {policy}: removed"))
        }
    }
}

/// What changes, for whom, and what is probably not meant.
fn changes(answer: &Value) -> Result<(), Fail> {
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    for change in list("changes") {
        let sign = match change["kind"].as_str() {
            Some("added") => '+',
            Some("removed") => '-',
            _ => '~',
        };
        say(&format!("{sign} {}", plain(&change["what"])))?;
    }
    if list("changes").is_empty() {
        say("no changes")?;
    }
    let endpoints: Vec<_> = list("endpoints").iter().map(plain).collect();
    if !endpoints.is_empty() {
        say(&format!("endpoints with other rules: {}", endpoints.join(", ")))?;
    }
    for warning in list("warnings") {
        say(&format!("warning: {}", plain(&warning)))?;
    }
    Ok(())
}

/// What becomes of a packet, and why at both ends.
fn told(answer: &Value) -> Result<(), Fail> {
    let verdict = if answer["allowed"] == true { "allowed" } else { "denied" };
    say(&format!(
        "{} to {}, {}: {verdict}",
        plain(&answer["from"]),
        plain(&answer["to"]),
        plain(&answer["packet"])
    ))?;
    for (direction, who) in [("egress", "from"), ("ingress", "to")] {
        say(&format!("  {direction} of {}: {}", plain(&answer[who]), why(&answer[direction])))?;
    }
    Ok(())
}

fn why(decided: &Value) -> String {
    if decided.is_null() {
        return "no policy selects it".into();
    }
    let (action, by) = (plain(&decided["action"]), &decided["by"]);
    let logged: Vec<_> = decided["logged"].as_array().into_iter().flatten().map(plain).collect();
    let logged = if logged.is_empty() { String::new() } else { format!(", logged by {}", logged.join(", ")) };
    let by = match (&by["rule"], &by["tier"]) {
        (Value::Object(rule), _) => {
            format!(
                "by rule {} of tier {} ({})",
                plain(&rule["name"]),
                plain(&rule["tier"]),
                plain(&rule["rule"])
            )
        }
        (_, Value::String(tier)) => format!("as no rule of tier {tier} holds"),
        _ => "as each tier that selects it passes".into(),
    };
    format!("{action} {by}{logged}")
}
