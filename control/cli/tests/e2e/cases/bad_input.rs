//! What no one should send and no machine should be. Each: one clear error, no harm.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{SUBNET, cases};
use crate::command;
use crate::engine::Engine;
use crate::http::post;
use crate::network::Network;
use crate::switch::Switch;

cases![
    nonsense_on_the_plugin_socket,
    unknown_ids,
    huge_bodies,
    sockets_are_private,
    a_second_instance_is_refused,
    a_state_directory_that_cannot_be,
    a_full_disk,
    a_disk_that_fills_up,
    docker_commands_that_make_no_sense,
    configurations_with_mistakes,
    a_socket_path_that_is_something_else,
    without_root,
    without_huge_pages,
];

/// Is this the answer of a driver that refuses?
fn refuses(answer: &crate::http::Answer) -> bool {
    let error =
        |key| serde_json::from_str::<serde_json::Value>(&answer.body).is_ok_and(|body| body[key].is_string());
    answer.status != 200 || error("Err") && error("Error")
}

fn nonsense_on_the_plugin_socket(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let methods = ["CreateNetwork", "CreateEndpoint", "Join", "EndpointOperInfo"]
        .map(|method| format!("/NetworkDriver.{method}"));
    let ipam = ["RequestPool", "RequestAddress"].map(|method| format!("/IpamDriver.{method}"));
    for method in methods.iter().chain(&ipam) {
        for body in ["", "{", "[]", "7", "\"\"", "{\"NetworkID\":7}", "{\"PoolID\":[]}", "\u{0}\u{1}", "nul"]
        {
            let answer = post(&switch.plugin_socket(), method, body.as_bytes());
            assert!(refuses(&answer), "{method} takes {body:?}: {answer:?}");
        }
    }
    assert_eq!(post(&switch.plugin_socket(), "/NetworkDriver.Dance", b"{}").status, 404);
    let (a, b) = (network.run(&[]), network.run(&[]));
    a.reaches(&b.ipv4(&network));
}

fn unknown_ids(engine: &Engine) {
    let switch = Switch::start(engine);
    let ids = br#"{"NetworkID":"none","EndpointID":"none","PoolID":"none","Address":"10.0.0.1"}"#;
    for method in ["NetworkDriver.DeleteNetwork", "NetworkDriver.DeleteEndpoint", "NetworkDriver.Leave"] {
        let answer = post(&switch.plugin_socket(), &format!("/{method}"), ids);
        assert!(!refuses(&answer), "{method} of an unknown ID succeeds: {answer:?}");
    }
    for method in ["NetworkDriver.CreateEndpoint", "NetworkDriver.Join", "IpamDriver.RequestAddress"] {
        let answer = post(&switch.plugin_socket(), &format!("/{method}"), ids);
        assert!(refuses(&answer), "{method} of an unknown ID is refused: {answer:?}");
    }
}

fn huge_bodies(engine: &Engine) {
    let switch = Switch::start(engine);
    let body = vec![b'['; 64 << 20];
    assert!(refuses(&post(&switch.plugin_socket(), "/NetworkDriver.CreateNetwork", &body)));
    assert_eq!(switch.count("networks"), 0);
}

fn sockets_are_private(engine: &Engine) {
    let switch = Switch::start(engine);
    for socket in [switch.plugin_socket(), switch.api_socket()] {
        let mode = std::fs::metadata(&socket).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", socket.display());
    }
}

fn a_second_instance_is_refused(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    command::run(&mut switch.command()).fails_naming(&["already"]);
    let (a, b) = (network.run(&[]), network.run(&[]));
    a.reaches(&b.ipv4(&network));
}

fn a_state_directory_that_cannot_be(engine: &Engine) {
    let switch = Switch::start(engine);
    // Not even root can make a directory there.
    let command = Command::new(env!("CARGO_BIN_EXE_paceline"));
    let mut command = with_state_dir(command, &switch, "/proc/paceline");
    command::run(&mut command).fails_naming(&["/proc/paceline"]);
}

fn a_full_disk(engine: &Engine) {
    let switch = Switch::start(engine);
    let full = engine.dir().join("full");
    std::fs::create_dir(&full).expect("a new directory");
    let path = full.to_string_lossy().into_owned();
    // Unmounted by the engine's end, as everything below its directory.
    command::run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=4k", "none", &path])).ok();
    let command = engine.in_namespace(env!("CARGO_BIN_EXE_paceline"));
    let mut command = with_state_dir(command, &switch, &path);
    command::run(&mut command).fails_naming(&[&path]);
}

/// A second switch beside `switch` with sockets of its own and this state directory.
fn with_state_dir(mut command: Command, switch: &Switch<'_>, state: &str) -> Command {
    command.args(["run", "--state-dir", state]);
    command.arg("--docker-socket").arg(switch.plugin_socket().with_extension("second.sock"));
    command.arg("--api-socket").arg(switch.api_socket().with_extension("second.sock"));
    command
}

fn docker_commands_that_make_no_sense(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&SUBNET);
    let (a, b) = (network.run(&[]), network.run(&[]));
    network.connect(&[], &a).fails_naming(&["already"]);
    network.try_run(&["--ip", "10.77.0.0"]).fails_naming(&["10.77.0.0"]);
    network.try_run(&["--ip", "10.77.0.255"]).fails_naming(&["10.77.0.255"]);
    a.reaches(&b.ipv4(&network));
}

/// What does not fit on the disk any more is refused, in one sentence, and all else goes on.
fn a_disk_that_fills_up(engine: &Engine) {
    let disk = engine.dir().join("disk");
    std::fs::create_dir(&disk).expect("a new directory");
    let path = disk.to_string_lossy().into_owned();
    command::run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "none", &path])).ok();
    let mut switch = Switch::on_disk(engine, &disk);
    let network = switch.network(&SUBNET);
    let (a, b) = (network.run(&[]), network.run(&[]));
    let ballast = disk.join("ballast");
    // Until it fails.
    let _ = std::fs::write(&ballast, vec![1; 16 << 20]);
    let mut made = Vec::new();
    let refused = loop {
        let name = engine.unique("full");
        let options = switch.network_options(&[]);
        let outcome = engine.docker(["network", "create"].iter().chain(&options).copied().chain([&*name]));
        if !outcome.succeeded() {
            break outcome;
        }
        made.push(name);
        assert!(made.len() < 200, "the disk does not fill up");
    };
    refused.fails_naming(&["No space left"]);
    assert_eq!(switch.count("networks"), 1 + made.len());
    a.reaches(&b.ipv4(&network));
    std::fs::remove_file(&ballast).expect("it is there");
    let options = switch.network_options(&[]);
    Network::try_create(engine, &options).ok();
    for name in &made {
        engine.docker(["network", "rm", name]).ok();
    }
    assert_eq!(switch.count("networks"), 1);
    switch.kill9();
    switch.restart();
    a.reaches(&b.ipv4(&network));
}

fn configurations_with_mistakes(engine: &Engine) {
    let port = |name| format!("[[port]]\nname = \"{name}\"\nkind = \"null\"\n");
    for (text, named) in [
        ("[workers]\ncores = [4000]\n".into(), &["4000", "core", "2 │"][..]),
        ("[workers]\ncores = [0, 0]\n".into(), &["core"]),
        (port("a") + &port("a"), &["a", "name"]),
        (port("a") + "mtu = 67\n", &["67", "68"]),
        (port("a") + "colour = 7\n", &["colour"]),
        (port("e-1"), &["e-1"]),
        ("[[bridge]]\nname = \"lan\"\n[[bridge.member]]\nport = \"nobody\"\n".into(), &["nobody"]),
        ("[buffers]\ncount = 7\n".into(), &["7", "1024"]),
        ("[docker]\nattach = \"pigeon\"\n".into(), &["pigeon", "tap"]),
        ("[[port]\n".into(), &["1 │"]),
    ] {
        let file = engine.dir().join("mistake.toml");
        std::fs::write(&file, &text).expect("a file");
        let named = [named, &["mistake.toml"]].concat();
        super::operator::check(&file).fails_naming(&named);
        let mut run = Command::new(env!("CARGO_BIN_EXE_paceline"));
        command::run(run.args(["run", "--no-docker", "--config"]).arg(&file)).fails_naming(&named);
    }
    super::operator::check(&engine.dir().join("nowhere.toml"))
        .fails_naming(&["nowhere.toml", "No such file"]);
}

fn a_socket_path_that_is_something_else(engine: &Engine) {
    let switch = Switch::start(engine);
    let file = engine.dir().join("precious");
    std::fs::write(&file, "words").expect("a new file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_paceline"));
    command.args(["run", "--no-docker", "--state-dir"]).arg(engine.dir().join("precious-state"));
    command::run(command.arg("--api-socket").arg(&file)).fails_naming(&["precious"]);
    assert_eq!(std::fs::read_to_string(&file).expect("it is still there"), "words");
    drop(switch);
}

fn without_root(engine: &Engine) {
    let nobody = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg(env!("CARGO_BIN_EXE_paceline"));
        command
    };
    command::run(nobody().arg("run")).fails_naming(&["root", "--no-docker"]);
    let switch = Switch::start(engine);
    let socket = switch.api_socket();
    command::run(nobody().args(["show", "version", "--api-socket"]).arg(&socket))
        .fails_naming(&[&socket.to_string_lossy()]);
}

fn without_huge_pages(engine: &Engine) {
    let file = engine.dir().join("huge.toml");
    // 16 GiB in huge pages.
    let text = "[buffers]\ncount = 4194304\nsize = 4096\nhugepages = \"require\"\n";
    std::fs::write(&file, text).expect("a new file");
    let state = engine.dir().join("huge-state");
    let mut command = Command::new(env!("CARGO_BIN_EXE_paceline"));
    command.args(["run", "--no-docker", "--config"]).arg(file).arg("--state-dir").arg(state);
    command.arg("--api-socket").arg(engine.dir().join("huge.sock"));
    command::run(&mut command).fails_naming(&["huge pages", "nr_hugepages"]);
}
