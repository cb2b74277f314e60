//! `paceline trace`

use std::fmt::Write;

use paceline_daemon::Client;
use paceline_daemon::api::TraceRequest;
use serde_json::Value;

use crate::args::Trace;
use crate::fail::Fail;
use crate::table::{print_json, say};

/// Asks for records, shows or forgets them.
pub async fn trace(client: &Client, trace: Trace) -> Result<(), Fail> {
    match trace {
        Trace::Add { count, port } => {
            let from = port.as_ref().map_or_else(String::new, |port| format!(" that come in by {port}"));
            client.post("/v1/trace", &TraceRequest { count, port }).await?;
            say(&format!("the next {count} packets{from} are traced: see `paceline trace show`"))
        }
        Trace::Show { json } => {
            let answer = client.get("/v1/trace").await?;
            if json { print_json(&answer) } else { say(words(&answer).trim_end()) }
        }
        Trace::Clear => clear(client).await,
    }
}

/// Stops and forgets.
pub async fn clear(client: &Client) -> Result<(), Fail> {
    let answer = client.post("/v1/clear/trace", &Value::Null).await?;
    say(&format!("{} records forgotten", answer["cleared"]))
}

/// The records, a paragraph each.
fn words(records: &Value) -> String {
    let records = records.as_array().map(Vec::as_slice).unwrap_or_default();
    if records.is_empty() {
        return "no packet was traced: ask for some with `paceline trace add N`".into();
    }
    let mut out = String::new();
    for (number, record) in records.iter().enumerate() {
        let seconds = record["nanos"].as_f64().unwrap_or_default() / 1e9;
        let _ = writeln!(out, "packet {}, {seconds:.6} s", number + 1);
        for line in record["text"].as_str().unwrap_or_default().lines() {
            let _ = writeln!(out, "  {line}");
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_is_a_paragraph() {
        let records = json!([{ "nanos": 1_500_000_000, "text": "rx: 64 bytes\nl2-bridge: flood\n" }]);
        assert_eq!(words(&records), "packet 1, 1.500000 s\n  rx: 64 bytes\n  l2-bridge: flood\n\n");
        assert!(words(&json!([])).contains("trace add"));
    }
}
