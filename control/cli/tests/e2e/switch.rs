//! One running `paceline` of a case.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::command::{self, Outcome};
use crate::engine::Engine;
use crate::network::Network;

/// How long a switch may take to start or to end. Far more than it needs: only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Docker looks for drivers here; a socket's name is the driver's name.
const PLUGINS: &str = "/run/docker/plugins";

/// A switch with a state directory, sockets and a driver name of its own; ended and removed on drop.
pub struct Switch<'e> {
    engine: &'e Engine,
    driver: String,
    dir: PathBuf,
    state: PathBuf,
    /// Its configuration file.
    config: Option<PathBuf>,
    /// Whether it serves Docker, with or without a file.
    docker: bool,
    process: Option<Child>,
}

impl<'e> Switch<'e> {
    /// Starts a switch that serves Docker and waits until it serves.
    pub fn start(engine: &'e Engine) -> Self {
        let mut switch = Self::prepare(engine);
        switch.restart();
        switch
    }

    /// Starts a switch without Docker, with this configuration, and waits until it serves.
    pub fn configured(engine: &'e Engine, config: &str) -> Self {
        let mut switch = Self::prepare(engine);
        let file = switch.dir.join("config.toml");
        std::fs::write(&file, config).expect("a new file");
        switch.config = Some(file);
        switch.docker = false;
        switch.restart();
        switch
    }

    /// Starts a switch that serves Docker, with this configuration, and waits until it serves.
    pub fn serving(engine: &'e Engine, config: &str) -> Self {
        let mut switch = Self::prepare(engine);
        let file = switch.dir.join("config.toml");
        std::fs::write(&file, config).expect("a new file");
        switch.config = Some(file);
        switch.docker = true;
        switch.restart();
        switch
    }

    /// Starts a switch that serves Docker and keeps all that it has in this directory.
    pub fn on_disk(engine: &'e Engine, dir: &Path) -> Self {
        let mut switch = Self::prepare(engine);
        switch.state = dir.join("state");
        switch.restart();
        switch
    }

    fn prepare(engine: &'e Engine) -> Self {
        let driver = engine.unique("switch");
        let dir = engine.dir().join(&driver);
        std::fs::create_dir(&dir).expect("a new directory");
        let state = dir.join("state");
        Self { engine, driver, dir, state, config: None, docker: true, process: None }
    }

    /// Starts it again, on the same state and sockets, and waits until it serves.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "end it first");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("a log file");
        let process =
            self.command().stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
        self.process = Some(process);
        let deadline = Instant::now() + PATIENCE;
        while self.process.is_some() && Instant::now() < deadline {
            if self.cli(["show", "version"]).succeeded() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
            self.ended();
        }
        panic!("the switch does not serve; its log:\n{}", self.said());
    }

    /// `paceline run` as this switch runs it, not yet started. For second instances and for bad environments.
    pub fn command(&self) -> Command {
        let mut command = self.engine.in_namespace(env!("CARGO_BIN_EXE_paceline"));
        command.arg("run");
        command.arg("--state-dir").arg(&self.state);
        command.arg("--api-socket").arg(self.api_socket());
        if let Some(file) = &self.config {
            command.arg("--config").arg(file);
        }
        if self.docker {
            command.arg("--docker-socket").arg(self.plugin_socket());
        } else {
            command.arg("--no-docker");
        }
        command
    }

    /// Seconds of processor time that it has used.
    pub fn processor_s(&self) -> f64 {
        let pid = self.process.as_ref().expect("it runs").id();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        // proc(5): the 14th and 15th field; the second, the name, ends with a parenthesis.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        ticks / 100.0
    }

    /// The name by which Docker knows it, as network driver and as IPAM driver.
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// The socket that Docker calls.
    pub fn plugin_socket(&self) -> PathBuf {
        PathBuf::from(PLUGINS).join(format!("{}.sock", self.driver))
    }

    /// The socket that the command line calls.
    pub fn api_socket(&self) -> PathBuf {
        self.dir.join("api.sock")
    }

    /// All that it logged.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Runs the `paceline` command against it.
    pub fn cli<const N: usize>(&self, arguments: [&str; N]) -> Outcome {
        self.cli_words(&arguments)
    }

    /// The same with any number of words.
    pub fn cli_words(&self, arguments: &[&str]) -> Outcome {
        command::run(
            Command::new(env!("CARGO_BIN_EXE_paceline"))
                .arg("--api-socket")
                .arg(self.api_socket())
                .args(arguments),
        )
    }

    /// `paceline show WHAT --json`.
    pub fn show(&self, what: &str) -> Value {
        serde_json::from_str(&self.cli(["show", what, "--json"]).ok()).expect("--json prints JSON")
    }

    /// How many rows `paceline show WHAT` has.
    pub fn count(&self, what: &str) -> usize {
        self.show(what).as_array().map_or(0, Vec::len)
    }

    /// The row of `paceline show WHAT` whose `name` is this.
    #[track_caller]
    pub fn row(&self, what: &str, name: &str) -> Value {
        let rows = self.show(what);
        let row = rows.as_array().and_then(|rows| rows.iter().find(|row| row["name"] == name));
        row.unwrap_or_else(|| panic!("no {name} in {rows}")).clone()
    }

    /// A number of an interface: `rx_packets`, …
    #[track_caller]
    pub fn counter(&self, interface: &str, field: &str) -> u64 {
        self.row("interfaces", interface)[field].as_u64().expect("a number")
    }

    /// Packets dropped for a reason at an interface.
    pub fn dropped(&self, interface: &str, reason: &str) -> u64 {
        self.dropped_at("interface", interface, reason)
    }

    /// The same at something else.
    pub fn dropped_at(&self, scope: &str, name: &str, reason: &str) -> u64 {
        let rows = self.show("drops");
        let here = rows
            .as_array()
            .into_iter()
            .flatten()
            .filter(|row| row["scope"] == scope && row["name"] == name && row["reason"] == reason);
        here.filter_map(|row| row["packets"].as_u64()).sum()
    }

    /// Waits for something to become true of it.
    #[track_caller]
    pub fn await_that(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            let (interfaces, drops) = (self.show("interfaces"), self.show("drops"));
            assert!(Instant::now() < deadline, "{what}: never; {interfaces} {drops}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A network of this switch, with its addresses by this switch too.
    pub fn network(&self, options: &[&str]) -> Network<'e> {
        Network::create(self.engine, &self.network_options(options))
    }

    /// The options that make a network one of this switch, before `options`.
    pub fn network_options<'a>(&'a self, options: &[&'a str]) -> Vec<&'a str> {
        [&["--driver", self.driver(), "--ipam-driver", self.driver()], options].concat()
    }

    /// `kill -9`.
    pub fn kill9(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("it is our child");
        process.wait().expect("it is our child");
    }

    /// Asks it to end, as a service manager does; it must do so with success.
    pub fn stop(&mut self) {
        let process = self.process.as_ref().expect("it runs");
        kill(Pid::from_raw(process.id().cast_signed()), Signal::SIGTERM).expect("it is our child");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.ended() {
                assert!(status.success(), "ended with {status}; its log:\n{}", self.said());
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end; its log:\n{}", self.said());
    }

    /// How it ended, if it did.
    fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.try_wait().expect("it is our child");
        if status.is_some() {
            self.process = None;
        }
        status
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }
}

impl Drop for Switch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of {}:\n{}", self.driver, self.said());
        } else if self.process.is_some() {
            self.stop();
        }
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = std::fs::remove_file(self.plugin_socket());
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
