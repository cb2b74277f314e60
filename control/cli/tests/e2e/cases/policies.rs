//! Policies by labels, with real containers: who reaches whom, and what is said about it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{DUAL, SUBNET, cases};
use crate::container::Container;
use crate::engine::Engine;
use crate::network::Network;
use crate::place::{Place, Speech};
use crate::switch::Switch;

cases![
    who_reaches_whom_is_as_the_test_says,
    egress_and_reject,
    established_connections_go_with_the_policy,
    policies_outlive_kill_and_restart,
    wrong_files_change_nothing,
    differences_are_told_before_they_are_made,
    the_flow_log_tells_who_and_why,
    what_the_workers_cannot_hold_is_taken_back,
];

/// A shop: the database is for the web servers alone, and may start nothing itself.
const SHOP: &str = r#"
[[tier]]
name = "platform"

[[policy]]
name = "no-telnet"
tier = "platform"
selector = 'env == "prod"'
ingress = [{ name = "telnet", action = "deny", protocol = "tcp", ports = 23 }, { action = "pass" }]

[[policy]]
name = "db"
selector = 'role == "db"'
ingress = [{ name = "web", action = "allow", from = 'role == "web"', protocol = "tcp", ports = 5432 }]
egress = []

[[policy]]
name = "web"
selector = 'role == "web"'
ingress = [
    { name = "http", action = "allow", protocol = "tcp", ports = [80, 443] },
    { name = "ping", action = "allow", protocol = "icmp", icmp = 8 },
]
"#;

/// A container with a label of its own.
fn labelled<'e>(engine: &'e Engine, network: &Network<'e>, role: &str) -> Container<'e> {
    let container = Container::run(engine, &["--network", "none"]);
    engine.docker(["network", "disconnect", "none", container.name()]).ok();
    network.connect(&["--driver-opt", &format!("labels=role={role}")], &container).ok();
    container
}

/// Writes a file of policies.
fn file(engine: &Engine, text: &str) -> PathBuf {
    let path = engine.dir().join(engine.unique("policies"));
    std::fs::write(&path, text).expect("a new file");
    path
}

/// `paceline policy apply`, which must succeed.
#[track_caller]
fn apply(engine: &Engine, switch: &Switch<'_>, text: &str) -> String {
    switch.cli(["policy", "apply", &file(engine, text).to_string_lossy()]).ok()
}

/// Whether `paceline policy test` says that it is allowed, and its words.
fn tested(switch: &Switch<'_>, from: &str, to: &str, port: &str) -> (bool, String) {
    let outcome = switch.cli(["policy", "test", from, to, port]);
    (outcome.succeeded(), outcome.stdout().to_owned())
}

fn who_reaches_whom_is_as_the_test_says(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&[&SUBNET[..], &["--opt", "labels=env=prod"]].concat());
    let roles = ["db", "web", "app"];
    let containers = roles.map(|role| labelled(engine, &network, role));
    let addresses = containers.each_ref().map(|container| container.ipv4(&network).to_string());
    let places = containers.each_ref().map(Place::of);
    // Before there are policies, everybody reaches everybody.
    let servers: Vec<_> = places
        .iter()
        .flat_map(|place| [23, 80, 5432].map(|port| place.serve(Speech::Tcp, port)))
        .chain(places.iter().map(|place| place.serve(Speech::Udp, 5432)))
        .collect();
    places[2].is_seen_as(Speech::Tcp, &addresses[0], 5432, &addresses[2]);
    apply(engine, &switch, SHOP);
    let mut allowed = Vec::new();
    for (from, place) in places.iter().enumerate() {
        for to in (0..places.len()).filter(|to| *to != from) {
            for (speech, port, name) in [
                (Speech::Tcp, 23, "23"),
                (Speech::Tcp, 80, "80/tcp"),
                (Speech::Tcp, 5432, "5432"),
                (Speech::Udp, 5432, "5432/udp"),
            ] {
                let (says, words) = tested(&switch, &addresses[from], &addresses[to], name);
                let does = place.is_answered(speech, &addresses[to], port);
                assert_eq!(does, says, "{} to {} at {name}: {words}", roles[from], roles[to]);
                if does {
                    allowed.push(format!("{} to {} at {name}", roles[from], roles[to]));
                }
            }
        }
    }
    assert_eq!(
        allowed,
        [
            "web to db at 5432",
            // The database starts nothing; who is in no policy of this tier passes all that selects it, and is denied.
            "app to web at 80/tcp",
        ]
    );
    let (_, words) = tested(&switch, &addresses[1], &addresses[0], "23");
    assert!(words.contains("deny by rule no-telnet/ingress/telnet of tier platform"), "{words}");
    let (_, words) = tested(&switch, &addresses[0], &addresses[1], "80");
    assert!(
        words.contains("egress of") && words.contains("deny as no rule of tier default holds"),
        "{words}"
    );
    containers[2].reaches(&addresses[1]);
    containers[2].cannot_reach(&addresses[0]);
    let rules: serde_json::Value =
        serde_json::from_str(&switch.cli(["policy", "show", "--json"]).ok()).expect("--json prints JSON");
    let web = rules.as_array().and_then(|rules| rules.iter().find(|rule| rule["name"] == "db/ingress/web"));
    let packets = web.and_then(|rule| rule["packets"].as_u64());
    assert!(packets > Some(0), "the rule has decided: {rules}");
    drop(servers);
}

fn egress_and_reject(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&DUAL);
    let (db, web) = (labelled(engine, &network, "db"), labelled(engine, &network, "web"));
    let (inside, outside) = (Place::of(&web), Place::of(&db));
    let servers = [80, 81].map(|port| outside.serve(Speech::Tcp, port));
    let udp = outside.serve(Speech::Udp, 82);
    apply(
        engine,
        &switch,
        r#"
        [[policy]]
        name = "web"
        selector = 'role == "web"'
        egress = [
            { action = "allow", to = 'role == "db"', protocol = "tcp", ports = 80 },
            { action = "reject" },
        ]
        "#,
    );
    for (to, own) in [
        (db.ipv4(&network).to_string(), web.ipv4(&network).to_string()),
        (db.ipv6(&network).to_string(), web.ipv6(&network).to_string()),
    ] {
        inside.is_seen_as(Speech::Tcp, &to, 80, &own);
        // A RST, and an ICMP error: both are told at once.
        inside.is_forbidden(Speech::Tcp, &to, 81);
        inside.is_forbidden(Speech::Udp, &to, 82);
    }
    drop((servers, udp));
}

/// A connection over which one side can be asked whether the other still hears it.
struct Connection {
    client: TcpStream,
    server: TcpStream,
}

impl Connection {
    fn open(from: &Place, to: &Place, address: &str, port: u16) -> Self {
        let listener = to.take(port);
        let address: SocketAddr = format!("{address}:{port}").parse().expect("an address");
        let client = from.inside(|| TcpStream::connect_timeout(&address, Duration::from_secs(5)));
        let client = client.expect("it is allowed");
        let (server, _) = listener.accept().expect("it came");
        server.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
        Self { client, server }
    }

    /// Whether what is sent arrives within this time.
    fn carries(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        self.client.write_all(b"x").expect("it is open");
        while Instant::now() < deadline {
            if matches!(self.server.read(&mut [0; 16]), Ok(1..)) {
                return true;
            }
        }
        false
    }
}

fn established_connections_go_with_the_policy(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let (db, web) = (labelled(engine, &network, "db"), labelled(engine, &network, "web"));
    apply(engine, &switch, SHOP);
    let mut connection =
        Connection::open(&Place::of(&web), &Place::of(&db), &db.ipv4(&network).to_string(), 5432);
    assert!(connection.carries(Duration::from_secs(10)));
    // Another policy that still allows it.
    apply(engine, &switch, &SHOP.replace("5432", "[5432, 6432]"));
    assert!(connection.carries(Duration::from_secs(10)), "it is still allowed: {}", switch.show("drops"));
    // One that does not.
    apply(engine, &switch, &SHOP.replace("5432", "6432"));
    assert!(!connection.carries(Duration::from_secs(2)), "it is not allowed any more");
    // What was sent meanwhile is not lost: the sender repeats it.
    apply(engine, &switch, SHOP);
    assert!(connection.carries(Duration::from_secs(20)), "it is allowed again: {}", switch.show("drops"));
}

fn policies_outlive_kill_and_restart(engine: &Engine) {
    let mut switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let (db, web) = (labelled(engine, &network, "db"), labelled(engine, &network, "web"));
    let address = db.ipv4(&network).to_string();
    let places = [Place::of(&db), Place::of(&web)];
    let _servers = [80, 5432].map(|port| places[0].serve(Speech::Tcp, port));
    apply(engine, &switch, SHOP);
    let before = switch.cli(["policy", "show"]).ok();
    for graceful in [false, true] {
        if graceful {
            switch.stop();
        } else {
            switch.kill9();
        }
        switch.restart();
        places[1].is_seen_as(Speech::Tcp, &address, 5432, &web.ipv4(&network).to_string());
        places[1].gets_no_answer(Speech::Tcp, &address, 80);
        let words = |text: &str| {
            text.lines().map(|line| line.split("  ").next().map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(words(&switch.cli(["policy", "show"]).ok()), words(&before));
    }
    switch.cli(["policy", "delete", "nothing"]).fails_naming(&["nothing", "policy show"]);
    switch.cli(["policy", "delete", "db"]).ok();
    places[1].is_seen_as(Speech::Tcp, &address, 80, &web.ipv4(&network).to_string());
}

fn wrong_files_change_nothing(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let _db = labelled(engine, &network, "db");
    apply(engine, &switch, SHOP);
    let before = switch.cli(["policy", "show", "--json"]).ok();
    for (from, to, parts) in [
        ("5432", "\"6000-5000\"", &["6000-5000", "the first must not be above the last"][..]),
        ("role == \"web\"'\ningress", "role = \"web\"'\ningress", &["character 6", "==, !=, in or not in"]),
        ("action = \"allow\"", "action = \"alow\"", &["alow", "allow", "reject"]),
        ("tier = \"platform\"", "tier = \"platfrom\"", &["there is no tier \"platfrom\"", "platform"]),
        ("from = 'role == \"web\"'", "from = \"web\"", &["there is no group \"web\"", "role == \"web\""]),
        ("[[policy]]", "[[polcy]]", &["polcy", "tier, group and policy"]),
    ] {
        let wrong = file(engine, &SHOP.replacen(from, to, 1));
        let path = wrong.to_string_lossy();
        switch.cli(["policy", "apply", &path]).fails_naming(parts);
    }
    assert_eq!(switch.cli(["policy", "show", "--json"]).ok(), before);
    switch.cli(["policy", "apply", "/nowhere/at/all"]).fails_naming(&["/nowhere/at/all"]);
    switch.cli(["policy", "test", "nobody", "10.77.0.2", "80"]).fails_naming(&["nobody", "show endpoints"]);
    switch.cli(["policy", "test", "10.77.0.3", "10.77.0.2", "80/tpc"]).fails_naming(&["80/tpc", "53/udp"]);
    for (option, parts) in [
        ("labels=role", &["role", "role=db"][..]),
        ("rate=fast", &["fast", "100mbit"]),
        ("burst=64kb", &["64kb", "rate"]),
        ("dscp=64", &["64", "0 to 63"]),
        ("port_security=maybe", &["maybe", "true or false"]),
        ("mirror=nowhere", &["nowhere", "no such port"]),
    ] {
        let options = ["--subnet", "10.78.0.0/24", "--opt", option];
        Network::try_create(engine, &switch.network_options(&options)).fails_naming(parts);
    }
    assert_eq!(switch.count("networks"), 1);
}

fn differences_are_told_before_they_are_made(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let (_db, _web) = (labelled(engine, &network, "db"), labelled(engine, &network, "web"));
    assert_eq!(switch.cli(["policy", "show"]).ok(), "no policies");
    let first = apply(engine, &switch, SHOP);
    for part in ["+ policy db in tier default", "+   db/ingress/web: allow", "endpoints with other rules: e-"]
    {
        assert!(first.contains(part), "{part}: {first}");
    }
    // Nobody is in it yet.
    assert!(first.contains("warning: policy no-telnet: no endpoint has a label \"env\""), "{first}");
    let second = file(engine, &SHOP.replace("5432", "6432"));
    let dry = switch.cli(["policy", "apply", "--dry-run", &second.to_string_lossy()]).ok();
    for part in ["-   db/ingress/web", "port 5432", "+   db/ingress/web", "port 6432", "nothing was changed"]
    {
        assert!(dry.contains(part), "{part}: {dry}");
    }
    assert!(apply(engine, &switch, SHOP).contains("no changes"));
    let gone = apply(engine, &switch, "");
    assert!(gone.contains("- policy db in tier default"), "{gone}");
    assert_eq!(switch.cli(["policy", "show"]).ok(), "no policies");
}

fn the_flow_log_tells_who_and_why(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let (db, web) = (labelled(engine, &network, "db"), labelled(engine, &network, "web"));
    let (inside, outside) = (Place::of(&db), Place::of(&web));
    let _servers = [80, 5432].map(|port| inside.serve(Speech::Tcp, port));
    let (address, own) = (db.ipv4(&network).to_string(), web.ipv4(&network).to_string());
    assert!(switch.cli(["flows"]).ok().starts_with("no flows were logged"));
    apply(
        engine,
        &switch,
        r#"
        [[policy]]
        name = "db"
        selector = 'role == "db"'
        ingress = [
            { action = "log", from = 'role == "web"', protocol = "tcp", ports = 80 },
            { name = "sql", action = "allow", log = true, protocol = "tcp", ports = 5432 },
            { name = "watched", action = "audit", protocol = "icmp" },
        ]
        "#,
    );
    outside.is_seen_as(Speech::Tcp, &address, 5432, &own);
    outside.gets_no_answer(Speech::Tcp, &address, 80);
    web.reaches(&address);
    let flows = || -> serde_json::Value {
        serde_json::from_str(&switch.cli(["flows", "--json"]).ok()).expect("--json prints JSON")
    };
    let told = |rule: &str, verdict: &str| {
        flows().as_array().into_iter().flatten().any(|flow| {
            let is_web = flow["from"].as_str().is_some_and(|from| from.ends_with("role=web"));
            let is_db = flow["to"].as_str().is_some_and(|to| to.ends_with("role=db"));
            is_web && is_db && flow["rule"] == rule && flow["verdict"] == verdict && flow["tier"] == "default"
        })
    };
    for (rule, verdict) in
        [("db/ingress/sql", "allow"), ("db/ingress/1", "deny"), ("db/ingress/watched", "audit")]
    {
        switch.await_that(&format!("{rule} {verdict} in {}", flows()), |_| told(rule, verdict));
    }
    assert!(switch.cli(["flows"]).ok().contains("rule db/ingress/sql of default"));
    // What it permits is remembered, and counted.
    assert!(switch.count("sessions") > 0);
    let filters = switch.show("filters");
    let sql = filters.as_array().and_then(|rows| rows.iter().find(|row| row["rule"] == "db/ingress/sql"));
    assert!(
        sql.is_some_and(|row| row["packets"].as_u64() > Some(0) && row["direction"] == "output"),
        "{filters}"
    );
}

/// A rule takes room for each part of the world that it names: these are right one by one, and too many together.
fn what_the_workers_cannot_hold_is_taken_back(engine: &Engine) {
    let mut switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let (db, web) = (labelled(engine, &network, "db"), labelled(engine, &network, "web"));
    let _server = Place::of(&db).serve(Speech::Tcp, 5432);
    apply(engine, &switch, SHOP);
    // Without what was counted: a connection's last packets may come after the look.
    let rules_of = |switch: &Switch<'_>| -> Vec<_> {
        let shown: serde_json::Value =
            serde_json::from_str(&switch.cli(["policy", "show", "--json"]).ok()).expect("JSON");
        let rows = shown.as_array().into_iter().flatten();
        rows.map(|row| (row["tier"].clone(), row["policy"].clone(), row["rule"].clone())).collect()
    };
    let before = rules_of(&switch);
    assert!(before.len() > 4, "{before:?}");
    let prefixes: Vec<_> = (0..200).map(|number| format!("\"198.18.{number}.0/24\"")).collect();
    let rule =
        |port: u32| format!("{{ action = \"allow\", from = \"world\", protocol = \"tcp\", ports = {port} }}");
    let rules: Vec<_> = (1..=6000).map(rule).collect();
    let big = format!(
        "group = [{{ name = \"world\", prefixes = [{}] }}]\n[[policy]]\nname = \"big\"\nselector = 'role == \"db\"'\ningress = [{}]\n",
        prefixes.join(", "),
        rules.join(",\n")
    );
    let path = file(engine, &big);
    switch
        .cli(["policy", "apply", &path.to_string_lossy()])
        .fails_naming(&["nothing was changed", "entries"]);
    // Nothing of it is there, neither now nor after another start.
    for restarts in [false, true] {
        if restarts {
            switch.kill9();
            switch.restart();
        }
        assert_eq!(rules_of(&switch), before);
        let (to, from) = (db.ipv4(&network).to_string(), web.ipv4(&network).to_string());
        Place::of(&web).is_seen_as(Speech::Tcp, &to, 5432, &from);
    }
}
