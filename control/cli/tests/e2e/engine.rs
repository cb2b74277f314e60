//! The private Docker Engine that serves a whole run, kept by `scripts/engine`.

use std::io::{self, BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::command::{self, Outcome};

/// The image that `scripts/engine` makes: busybox.
pub const IMAGE: &str = "paceline/busybox";

/// The distribution's client: it speaks the engine's own version of the API. A newer one found in the PATH refuses some of
/// what an older engine can do (`--mac-address` on a network of one's own, for one).
const CLIENT: &str = "/usr/bin/docker";

/// A running engine. Should this process die, the keeper's standard input ends and it removes the engine all the same.
pub struct Engine {
    dir: PathBuf,
    name: String,
    keeper: Mutex<Keeper>,
    counter: AtomicU32,
}

struct Keeper {
    process: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Keeper {
    /// Waits for a line that says `expected`; other lines (about packages being installed) are passed on.
    fn await_answer(&mut self, expected: &str) -> io::Result<()> {
        for line in self.answers.by_ref() {
            let line = line?;
            if line == expected {
                return Ok(());
            }
            println!("{line}");
        }
        Err(io::Error::other(format!("scripts/engine ended before it said \"{expected}\"")))
    }

    fn order(&mut self, order: &str) -> io::Result<()> {
        let orders = self.orders.as_mut().ok_or_else(|| io::Error::other("the engine is stopped"))?;
        writeln!(orders, "{order}")?;
        self.await_answer("done")
    }
}

impl Engine {
    /// Starts an engine, with the image in it.
    pub fn start() -> io::Result<Self> {
        let name = format!("paceline-e2e-{}", std::process::id());
        let dir = std::env::temp_dir().join(&name);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/engine");
        let mut process =
            Command::new(script).arg(&dir).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = process.stdin.take();
        let answers = process.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
        let mut keeper = Keeper { process, orders, answers: BufReader::new(answers).lines() };
        keeper.await_answer("ready")?;
        Ok(Self { dir, name, keeper: Mutex::new(keeper), counter: AtomicU32::new(0) })
    }

    /// Ends the engine and removes all that it made.
    pub fn stop(&self) {
        let mut keeper = self.keeper.lock().expect("no case holds the keeper while it panics");
        keeper.orders = None;
        let status = keeper.process.wait().expect("the keeper is our child");
        assert!(status.success(), "scripts/engine failed to clean up");
    }

    /// `kill -9` of dockerd. Containers run on.
    pub fn crash(&self) {
        self.keeper.lock().expect("not poisoned").order("crash").expect("dockerd can be killed");
    }

    /// Starts dockerd again after [`Engine::crash`].
    pub fn boot(&self) {
        self.keeper.lock().expect("not poisoned").order("boot").expect("dockerd starts again");
    }

    /// A directory that goes when the engine goes.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A name that nobody else has, and that begins as the engine's own, so that its clean-up knows it.
    pub fn unique(&self, what: &str) -> String {
        format!("{}-{what}{}", self.name, self.counter.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs the Docker command line against this engine.
    pub fn docker<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(&self, arguments: I) -> Outcome {
        let host = format!("unix://{}", self.dir.join("docker.sock").display());
        let client = if Path::new(CLIENT).exists() { CLIENT } else { "docker" };
        command::run(Command::new(client).arg("--host").arg(host).args(arguments))
    }

    /// Removes what a failed case left behind, so that only that one fails.
    pub fn sweep(&self) {
        for (list, remove) in [
            (&["ps", "-aq"][..], &["rm", "--force"][..]),
            (&["network", "ls", "-q", "-f", "type=custom"], &["network", "rm"]),
        ] {
            for id in self.docker(list).ok().lines() {
                let _ = self.docker(remove.iter().copied().chain([id])).succeeded();
            }
        }
    }

    /// The engine's version, as (major, minor).
    pub fn version(&self) -> (u32, u32) {
        let version = self.docker(["version", "--format", "{{.Server.Version}}"]).ok();
        let mut numbers = version.split('.').map_while(|number| number.parse().ok());
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    /// `program` as it runs in the engine's network namespace, the one in which switch and host ends of links are.
    /// It is killed when the thread that starts it ends, so that none survives an interrupted run.
    pub fn in_namespace(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "nsenter"]);
        command.arg(format!("--net={}", self.netns().display())).arg(program);
        command
    }

    /// The network namespace of engine and switch.
    pub fn netns(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Names of the links in the engine's network namespace, sorted.
    pub fn links(&self) -> Vec<String> {
        let listing = command::run(self.in_namespace("ip").args(["-o", "link"])).ok();
        // "7: veth1a2b@if6: <BROADCAST,…": the name ends at the colon or at the peer.
        let name = |line: &str| Some(line.split(": ").nth(1)?.split('@').next()?.to_owned());
        let mut names: Vec<String> = listing.lines().filter_map(name).collect();
        names.sort();
        names
    }
}
