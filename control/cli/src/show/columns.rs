//! Which fields the tables have. All of them are in the JSON.

use serde_json::Value;

use crate::args::What;
use crate::table::{Column, number, plain, text, words};

/// A field as it is.
macro_rules! field {
    ($name:literal) => {
        |row| plain(&row[$name])
    };
}

/// The columns of a table, and what to say if it has no rows.
pub fn of(what: What) -> (&'static [Column], &'static str) {
    match what {
        What::Interfaces => (INTERFACES, "no interfaces"),
        What::Bridges => (BRIDGES, "no bridges"),
        What::Macs => (MACS, "no addresses"),
        What::Groups => (GROUPS, "no groups: no bridge listens, or nothing was heard"),
        What::Nat => (NAT, "no address translation"),
        What::Tunnels => (TUNNELS, "no tunnels"),
        What::Vrfs => (VRFS, "no routing tables"),
        What::Routes => (ROUTES, "no routes"),
        What::Neighbours => (NEIGHBOURS, "no neighbours"),
        What::Runtime => (RUNTIME, "no packets yet"),
        What::Drops => (DROPS, "no drops"),
        What::Networks => (NETWORKS, "no networks"),
        What::Ports => (PORTS, "no published ports"),
        What::Endpoints => (ENDPOINTS, "no endpoints"),
        What::Workers => (WORKERS, "no workers"),
        What::Filters => (FILTERS, "no policies or lists"),
        What::Sessions => (FLOWS, "no sessions"),
        What::Buffers | What::Version => (&[], ""),
    }
}

const INTERFACES: &[Column] = &[
    text("name", field!("name")),
    text("kind", field!("kind")),
    words("state", |row| state(row, "reason")),
    text("bridge", field!("bridge")),
    number("mtu", field!("mtu")),
    number("queues", field!("queues")),
    number("rx packets", field!("rx_packets")),
    number("tx packets", field!("tx_packets")),
    number("drops", field!("drops")),
];

const BRIDGES: &[Column] = &[
    text("name", field!("name")),
    text("vlan", field!("vlan")),
    words("members", field!("members")),
    number("macs", |row| format!("{}/{}", row["macs"], row["mac_limit"])),
    number("age", |row| format!("{} s", row["mac_age_s"])),
    text("learn", field!("learn")),
    text("unknown", field!("unknown_unicast")),
    text("groups", |row| if row["snooping"] == true { plain(&row["groups"]) } else { "all".into() }),
    number("moved", field!("moved")),
    number("refused", field!("refused")),
];

const MACS: &[Column] = &[
    text("bridge", field!("bridge")),
    text("vlan", field!("vlan")),
    text("mac", field!("mac")),
    text("interface", field!("interface")),
    text("kind", |row| if row["is_static"] == true { "static" } else { "learned" }.into()),
    number("age", |row| if row["is_static"] == true { "-".into() } else { format!("{} s", row["age_s"]) }),
];

const GROUPS: &[Column] = &[
    text("bridge", field!("bridge")),
    text("vlan", field!("vlan")),
    text("group", |row| row["group"].as_str().unwrap_or("*").into()),
    text("role", field!("role")),
    text("interface", field!("interface")),
    number("left", |row| format!("{} s", row["left_s"])),
];

const TUNNELS: &[Column] = &[
    number("vni", field!("vni")),
    text("bridge", field!("bridge")),
    text("local", field!("local")),
    text("remote", field!("remote")),
    number("port", field!("port")),
    number("mtu", field!("mtu")),
    number("rx/bytes", |row| format!("{}/{}", row["rx_packets"], row["rx_bytes"])),
    number("tx/bytes", |row| format!("{}/{}", row["tx_packets"], row["tx_bytes"])),
    number("drops", field!("drops")),
    words("state", |row| match row["is_learned"].as_bool() {
        Some(true) => format!("{}, learned", state(row, "error")),
        _ => state(row, "error"),
    }),
];

const NAT: &[Column] = &[
    number("ip", field!("version")),
    words("addresses", field!("addresses")),
    number("sessions", field!("sessions")),
    number("created", field!("created")),
    number("expired", field!("expired")),
    number("reclaimed", field!("reclaimed")),
    number("no port", field!("no_port")),
    number("full", field!("table_full")),
    number("host limit", field!("host_limit")),
    number("memory", |row| format!("{} KiB", row["bytes"].as_u64().unwrap_or_default() / 1024)),
];

pub const SESSIONS: &[Column] = &[
    text("protocol", field!("protocol")),
    text("vrf", field!("vrf")),
    text("source", field!("source")),
    text("destination", field!("destination")),
    text("new vrf", field!("new_vrf")),
    text("new source", field!("new_source")),
    text("new destination", field!("new_destination")),
    text("state", field!("state")),
    number("idle", |row| format!("{} s", row["idle_s"])),
    number("left", |row| format!("{} s", row["left_s"])),
    number("packets", field!("packets")),
];

const FILTERS: &[Column] = &[
    text("interface", field!("interface")),
    text("direction", field!("direction")),
    text("tier", |row| row["tier"].as_str().filter(|tier| !tier.is_empty()).unwrap_or("-").into()),
    text("rule", field!("rule")),
    words("action", field!("action")),
    number("packets", field!("packets")),
    number("bytes", field!("bytes")),
];

const FLOWS: &[Column] = &[
    text("interface", field!("interface")),
    text("direction", field!("direction")),
    text("protocol", field!("protocol")),
    text("source", field!("source")),
    text("destination", field!("destination")),
    text("state", field!("state")),
    number("idle", |row| format!("{} s", row["idle_s"])),
    number("left", |row| format!("{} s", row["left_s"])),
    number("packets", field!("packets")),
];

/// Under the sessions themselves.
pub const FLOW_TOTALS: &[Column] = &[
    number("ip", field!("version")),
    number("sessions", field!("sessions")),
    number("created", field!("created")),
    number("expired", field!("expired")),
    number("reclaimed", field!("reclaimed")),
    number("flushed", field!("flushed")),
    number("full", field!("table_full")),
    number("interface limit", field!("interface_limit")),
    number("memory", |row| format!("{} KiB", row["bytes"].as_u64().unwrap_or_default() / 1024)),
];

const VRFS: &[Column] = &[
    text("vrf", field!("name")),
    words("interfaces", field!("interfaces")),
    number("routes", field!("routes")),
    number("memory", |row| format!("{} KiB", row["bytes"].as_u64().unwrap_or_default() / 1024)),
];

/// Next hops of a route, each of which may be two words.
fn hops(hops: &Value) -> String {
    let words: Vec<_> = hops.as_array().into_iter().flatten().map(plain).collect();
    if words.is_empty() { plain(hops) } else { words.join(", ") }
}

const ROUTES: &[Column] = &[
    text("vrf", field!("vrf")),
    text("prefix", field!("prefix")),
    text("origin", field!("origin")),
    text("action", field!("action")),
    words("next hops", |row| hops(&row["next_hops"])),
];

const NEIGHBOURS: &[Column] = &[
    text("interface", field!("interface")),
    text("address", field!("address")),
    text("mac", field!("mac")),
    text("state", field!("state")),
    number("since", |row| format!("{} s", row["age_s"])),
    number("waiting", field!("waiting")),
];

const RUNTIME: &[Column] = &[
    number("worker", field!("worker")),
    text("name", field!("name")),
    number("vectors", field!("vectors")),
    number("packets", field!("packets")),
    number("packets/vector", field!("packets_per_vector")),
    number("cycles/packet", field!("cycles_per_packet")),
    number("drops", field!("drops")),
];

const DROPS: &[Column] = &[
    text("at", |row| format!("{} {}", plain(&row["scope"]), plain(&row["name"]))),
    text("reason", field!("reason")),
    number("packets", field!("packets")),
    words("meaning", field!("description")),
];

const NETWORKS: &[Column] = &[
    text("network", |row| short(&row["id"])),
    text("bridge", field!("bridge")),
    text("mode", field!("mode")),
    text("vni", field!("vni")),
    text("attach", field!("attach")),
    number("mtu", field!("mtu")),
    words("subnets", field!("subnets")),
    text("internal", field!("internal")),
    number("endpoints", field!("endpoints")),
];

const ENDPOINTS: &[Column] = &[
    text("port", field!("port")),
    text("network", |row| short(&row["network"])),
    text("attach", field!("attach")),
    text("mac", field!("mac")),
    words("addresses", |row| {
        let given = |name| row[name].as_str();
        [given("ipv4"), given("ipv6")].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }),
    words("labels", |row| {
        row["labels"]
            .as_str()
            .filter(|labels| !labels.is_empty())
            .map_or_else(|| "-".into(), |labels| labels.replace(',', " "))
    }),
    words("link", link),
    words("state", |row| state(row, "error")),
];

/// What was asked for the link of an endpoint.
fn link(row: &Value) -> String {
    let mut words = Vec::new();
    if let (Some(rate), Some(burst)) = (row["rate"].as_u64(), row["burst"].as_u64()) {
        words.push(format!("rate {rate} bit/s, burst {burst} bytes"));
    }
    if let Some(dscp) = row["dscp"].as_u64() {
        words.push(format!("dscp {dscp}"));
    }
    for (kind, frames) in row["storm"].as_object().into_iter().flatten() {
        words.push(format!("storm {kind}={frames}"));
    }
    if let Some(port) = row["mirror"].as_str() {
        words.push(format!("mirror to {port}"));
    }
    if row["port_security"] == false {
        words.push("no port security".into());
    }
    if words.is_empty() { "-".into() } else { words.join(", ") }
}

const PORTS: &[Column] = &[
    text("published", field!("published")),
    words("container", field!("addresses")),
    text("network", |row| short(&row["network"])),
    text("endpoint", |row| short(&row["endpoint"])),
];

const WORKERS: &[Column] = &[
    number("worker", field!("worker")),
    text("core", field!("core")),
    text("mode", field!("mode")),
    number("turns", field!("turns")),
    number("busy", field!("busy_turns")),
    number("sleeps", field!("sleeps")),
    number("asleep", |row| format!("{:.1} %", row["asleep"].as_f64().unwrap_or_default() * 100.0)),
    number("handed off", field!("handed_off")),
];

/// The state, with the reason if there is one.
fn state(row: &Value, reason: &str) -> String {
    match row[reason].as_str() {
        Some(reason) => format!("{}: {reason}", plain(&row["state"])),
        None => plain(&row["state"]),
    }
}

/// As `docker network ls` shows an ID.
fn short(id: &Value) -> String {
    plain(id).chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_link_has_is_shown_where_it_is_not_the_default() {
        let plain = json!({ "port_security": true, "rate": null, "burst": null, "dscp": null, "storm": null, "mirror": null });
        assert_eq!(link(&plain), "-");
        let all = json!({ "port_security": false, "rate": 8000, "burst": 1514, "dscp": 46, "storm": { "broadcast": 7 }, "mirror": "span" });
        let want =
            "rate 8000 bit/s, burst 1514 bytes, dscp 46, storm broadcast=7, mirror to span, no port security";
        assert_eq!(link(&all), want);
    }
}
