//! How long `CreateEndpoint` and `Join` take: speaks to the driver's socket as Docker does, with a namespace as the container.
//!
//! `endpoints SOCKET ROUNDS` prints the median, the 95th and the 99th percentile of both calls together, in milliseconds.
#![forbid(unsafe_code)]

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use paceline_sys::netns::Scratch;
use serde_json::{Value, json};

#[path = "../tests/e2e/http.rs"]
mod http;

/// Rounds before those that count: the first ones pay for code that was never run.
const WARM_UP: usize = 5;

/// The network, which the driver forgets on drop.
struct Network {
    socket: PathBuf,
    id: String,
}

impl Network {
    fn create(socket: &Path) -> Self {
        let network = Self { socket: socket.into(), id: format!("latency-{}", std::process::id()) };
        let data = json!([{ "AddressSpace": "null", "Pool": "198.18.0.0/15", "Gateway": "198.18.0.1/15" }]);
        network.call("CreateNetwork", json!({ "IPv4Data": data, "IPv6Data": [], "Options": {} }));
        network
    }

    /// Calls a method of the driver for this network.
    fn call(&self, method: &str, mut request: Value) -> Value {
        request["NetworkID"] = self.id.as_str().into();
        let answer =
            http::post(&self.socket, &format!("/NetworkDriver.{method}"), request.to_string().as_bytes());
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        assert!(answer.status == 200 && body["Err"].is_null(), "{method}: {} {}", answer.status, answer.body);
        body
    }

    /// The life of one container; milliseconds of its `CreateEndpoint` and `Join`.
    fn container(&self, number: usize, host: &str, sandbox: &Scratch) -> f64 {
        let id = format!("{}-{number}", self.id);
        let address = format!("198.18.{}.{}/15", number / 250, number % 250 + 2);
        let since = Instant::now();
        self.call(
            "CreateEndpoint",
            json!({ "EndpointID": id, "Interface": { "Address": address }, "Options": {} }),
        );
        let joined =
            self.call("Join", json!({ "EndpointID": id, "SandboxKey": sandbox.path(), "Options": {} }));
        let taken = since.elapsed().as_secs_f64() * 1e3;
        // As the engine does: into the container and back.
        let link = joined["InterfaceName"]["SrcName"].as_str().expect("a link").to_owned();
        let path = sandbox.path().display().to_string();
        ip(&["link", "set", "dev", &link, "netns", &path]);
        sandbox.ip(&format!("link set dev {link} up"));
        let end = json!({ "EndpointID": id });
        self.call("Leave", end.clone());
        sandbox.ip(&format!("link set dev {link} netns {host}"));
        self.call("DeleteEndpoint", end);
        taken
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.call("DeleteNetwork", json!({}));
    }
}

fn ip(arguments: &[&str]) {
    let status = std::process::Command::new("ip").args(arguments).status().expect("ip is there");
    assert!(status.success(), "ip {arguments:?}");
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let rounds =
        arguments.get(1).and_then(|rounds| rounds.parse::<usize>().ok()).filter(|rounds| *rounds > 0);
    let (Some(socket), Some(rounds)) = (arguments.first(), rounds) else {
        eprintln!("usage: endpoints SOCKET ROUNDS");
        return ExitCode::FAILURE;
    };
    let sandbox = Scratch::new().expect("root");
    let network = Network::create(Path::new(socket));
    // A way back for links that other processes can open, too.
    let host = std::process::id().to_string();
    let mut all: Vec<f64> = (0..rounds + WARM_UP)
        .map(|number| network.container(number, &host, &sandbox))
        .skip(WARM_UP)
        .collect();
    all.sort_by(f64::total_cmp);
    let percentile = |percent: usize| all[(all.len() * percent).div_ceil(100).max(1) - 1];
    println!("{:.2} {:.2} {:.2}", percentile(50), percentile(95), percentile(99));
    ExitCode::SUCCESS
}
