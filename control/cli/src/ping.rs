//! `paceline ping`

use std::time::Duration;

use paceline_daemon::Client;
use paceline_daemon::api::AskPing;
use serde_json::Value;

use crate::args::Ping;
use crate::fail::Fail;
use crate::table::say;

/// Asks, and says what became of each request. Fails if none was answered.
pub async fn ping(client: &Client, options: Ping) -> Result<(), Fail> {
    let Ping { address, vrf, interface, source, count, interval, size, ttl, whole } = options;
    let (mut answered, mut times) = (0, Vec::new());
    for sequence in 1..=count {
        if sequence > 1 {
            tokio::time::sleep(Duration::from_secs_f64(interval)).await;
        }
        let ask =
            AskPing { address, vrf: vrf.clone(), interface: interface.clone(), source, size, ttl, whole };
        let answer = client.post("/v1/ping", &ask).await?;
        if answer["outcome"] == "reply" {
            answered += 1;
            times.push(millis(&answer));
        }
        say(&line(&answer, sequence, address))?;
    }
    let lost = 100 * (count - answered) / count;
    let bounds = times.iter().copied().reduce(f64::min).zip(times.iter().copied().reduce(f64::max));
    let times = bounds.map_or_else(String::new, |(least, most)| {
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        format!("; min/avg/max {least:.3}/{mean:.3}/{most:.3} ms")
    });
    say(&format!("{count} sent, {answered} answered, {lost} % lost{times}"))?;
    if answered == 0 { Err(Fail::NoAnswer(address)) } else { Ok(()) }
}

fn millis(answer: &Value) -> f64 {
    answer["time_us"].as_f64().unwrap_or_default() / 1000.0
}

/// What became of one request, in words like those of ping(8).
fn line(answer: &Value, sequence: u32, address: std::net::IpAddr) -> String {
    let from = answer["from"].as_str().unwrap_or("?");
    match answer["outcome"].as_str() {
        Some("reply") => format!(
            "{} bytes from {from}: seq={sequence} ttl={} time={:.3} ms",
            answer["bytes"],
            answer["ttl"],
            millis(answer)
        ),
        Some("error") => format!(
            "from {from}: seq={sequence} {} (ICMP type {}, code {})",
            error(address.is_ipv4(), &answer["icmp"]),
            answer["icmp"][0],
            answer["icmp"][1]
        ),
        _ => format!("seq={sequence} no answer from {address}"),
    }
}

/// What an error means (RFC 792, RFC 1812 §5.2.7, RFC 4443 §3).
fn error(is_v4: bool, icmp: &Value) -> &'static str {
    match (is_v4, icmp[0].as_u64(), icmp[1].as_u64()) {
        (true, Some(3), Some(0)) | (false, Some(1), Some(0)) => "no route to the destination",
        (true, Some(3), Some(1)) | (false, Some(1), Some(3)) => "host unreachable",
        (true, Some(3), Some(4)) | (false, Some(2), _) => "too long for a link on the way",
        (true, Some(3), Some(13)) | (false, Some(1), Some(1)) => "forbidden",
        (true, Some(11), _) | (false, Some(3), _) => "time to live exceeded",
        _ => "destination unreachable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_in_words() {
        let address = "10.0.0.1".parse().expect("an address");
        let reply =
            json!({ "outcome": "reply", "from": "10.0.0.1", "bytes": 56, "ttl": 63, "time_us": 1234 });
        assert_eq!(line(&reply, 2, address), "56 bytes from 10.0.0.1: seq=2 ttl=63 time=1.234 ms");
        let told = json!({ "outcome": "error", "from": "10.9.9.9", "icmp": [3, 1], "time_us": 5 });
        assert_eq!(line(&told, 1, address), "from 10.9.9.9: seq=1 host unreachable (ICMP type 3, code 1)");
        assert_eq!(line(&json!({ "outcome": "silence" }), 1, address), "seq=1 no answer from 10.0.0.1");
    }
}
