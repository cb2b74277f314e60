//! One container of a case.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command::Outcome;
use crate::engine::{Engine, IMAGE};
use crate::network::Network;

/// What a container does all day: wait, but end at once when asked to.
const WAIT: [&str; 3] = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"];

/// A container, removed by force on drop.
pub struct Container<'e> {
    engine: &'e Engine,
    name: String,
}

impl<'e> Container<'e> {
    /// `docker run OPTIONS…`, which must succeed.
    pub fn run(engine: &'e Engine, options: &[&str]) -> Self {
        let container = Self { engine, name: engine.unique("box") };
        container.docker_run(options).ok();
        container
    }

    /// The same when it is not known to succeed. Nothing remains if it does.
    pub fn try_run(engine: &'e Engine, options: &[&str]) -> Outcome {
        Self { engine, name: engine.unique("box") }.docker_run(options)
    }

    fn docker_run(&self, options: &[&str]) -> Outcome {
        let begin = ["run", "--detach", "--stop-timeout", "5", "--name", &self.name];
        self.engine.docker([&begin[..], options, &[IMAGE], &WAIT].concat())
    }

    /// Its name in Docker.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `docker VERB CONTAINER`, which must succeed: stop, start, restart, kill, …
    pub fn docker(&self, verb: &str) {
        self.engine.docker([verb, &self.name]).ok();
    }

    /// Runs a command in it.
    pub fn exec<const N: usize>(&self, command: [&str; N]) -> Outcome {
        self.engine.docker([&["exec", &self.name], &command[..]].concat())
    }

    /// Runs a command in it and lets it run.
    pub fn spawn<const N: usize>(&self, command: [&str; N]) {
        self.engine.docker([&["exec", "--detach", &self.name], &command[..]].concat()).ok();
    }

    /// What Docker says about its leg in `network`.
    pub fn leg(&self, network: &Network<'_>) -> Value {
        let text = self.engine.docker(["inspect", &self.name]).ok();
        let list: Value = serde_json::from_str(&text).expect("Docker prints JSON");
        list[0]["NetworkSettings"]["Networks"][network.name()].clone()
    }

    /// Its IPv4 address in `network`, as Docker knows it.
    pub fn ipv4(&self, network: &Network<'_>) -> Ipv4Addr {
        self.leg_field(network, "IPAddress")
    }

    /// Its IPv6 address in `network`, as Docker knows it.
    pub fn ipv6(&self, network: &Network<'_>) -> Ipv6Addr {
        self.leg_field(network, "GlobalIPv6Address")
    }

    fn leg_field<T: FromStr>(&self, network: &Network<'_>, field: &str) -> T {
        let leg = self.leg(network);
        let text = leg[field].as_str().unwrap_or_default();
        text.parse().unwrap_or_else(|_| panic!("no {field} in {leg}"))
    }

    /// The process that it began with, of those that it has in the host's sight.
    pub fn pid(&self) -> u32 {
        let text = self.engine.docker(["inspect", "--format", "{{.State.Pid}}", &self.name]).ok();
        text.parse().ok().filter(|pid| *pid > 0).unwrap_or_else(|| panic!("{} does not run", self.name))
    }

    /// Waits until it runs: after a restart of the engine, say.
    pub fn await_running(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let state = || self.engine.docker(["inspect", "--format", "{{.State.Status}}", &self.name]).ok();
        while state() != "running" {
            assert!(Instant::now() < deadline, "{} does not run: {}", self.name, state());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A file of one of its links, from the container's own sight: `address`, `mtu`, …
    pub fn link(&self, link: &str, file: &str) -> String {
        self.exec(["cat", &format!("/sys/class/net/{link}/{file}")]).ok()
    }

    /// The names of its links, sorted.
    pub fn links(&self) -> Vec<String> {
        self.exec(["ls", "/sys/class/net"]).ok().split_whitespace().map(str::to_owned).collect()
    }

    /// Pings `address` once, by name or number; it must answer.
    #[track_caller]
    pub fn reaches(&self, address: &(impl ToString + ?Sized)) {
        let address = address.to_string();
        let outcome = self.exec(["ping", "-c", "1", "-W", "5", &address]);
        assert!(outcome.succeeded(), "{} does not reach {address}", self.name);
    }

    /// Pings `address` once; nobody may answer.
    #[track_caller]
    pub fn cannot_reach(&self, address: &(impl ToString + ?Sized)) {
        let address = address.to_string();
        let outcome = self.exec(["ping", "-c", "1", "-W", "1", &address]);
        assert!(!outcome.succeeded(), "{} reaches {address}", self.name);
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.engine.docker(["rm", "--force", "--volumes", &self.name]).expect_gone();
    }
}
