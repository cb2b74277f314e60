//! What no one should send and no machine should be. Each: one clear error, no harm.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{SUBNET, cases};
use crate::command;
use crate::engine::Engine;
use crate::http::post;
use crate::switch::Switch;

cases![
    nonsense_on_the_plugin_socket,
    unknown_ids,
    huge_bodies,
    sockets_are_private,
    a_second_instance_is_refused,
    a_state_directory_that_cannot_be,
    a_full_disk,
    docker_commands_that_make_no_sense,
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
