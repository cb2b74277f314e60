//! Hosts of an operator: network namespaces with devices of the switch in them, and no Docker.

use std::process::Command;

use paceline_sys::netns::Scratch;

use crate::command::{self, Outcome};
use crate::engine::Engine;
use crate::place::Place;
use crate::wire::Wire;

/// A host. It sends nothing unless told to: no router solicitations, no neighbour discovery.
pub struct Host {
    netns: Scratch,
}

impl Host {
    /// A new one, without any device.
    pub fn new() -> Self {
        let netns = Scratch::new().expect("we are root");
        netns.silence();
        Self { netns }
    }

    /// A new one, without any device, that speaks IPv6 as hosts do, also by itself.
    pub fn with_ipv6() -> Self {
        Self { netns: Scratch::new().expect("we are root") }
    }

    /// Where it is, for a port's `netns`.
    pub fn path(&self) -> String {
        self.netns.path().to_string_lossy().into_owned()
    }

    /// Runs `ip` in it, with arguments split at white space; it must succeed.
    #[track_caller]
    pub fn ip(&self, arguments: &str) -> String {
        self.netns.ip(arguments)
    }

    /// Gives a device an address with its prefix length, and sets it up.
    #[track_caller]
    pub fn address(&self, device: &str, address: &str) {
        self.ip(&format!("address add {address} dev {device}"));
        self.up(device);
    }

    /// Sets a device up.
    #[track_caller]
    pub fn up(&self, device: &str) {
        self.ip(&format!("link set dev {device} up"));
    }

    /// Pings `address` once; it must answer.
    #[track_caller]
    pub fn reaches(&self, address: &str) {
        assert!(self.ping(&["-W", "5", address]).succeeded(), "{address} does not answer");
    }

    /// Pings `address` once; nobody may answer.
    #[track_caller]
    pub fn cannot_reach(&self, address: &str) {
        assert!(!self.ping(&["-W", "1", address]).succeeded(), "{address} answers");
    }

    /// Sets something of its kernel's, as a path below /proc/sys.
    #[track_caller]
    pub fn sysctl(&self, what: &str, value: &str) {
        let write = || std::fs::write(format!("/proc/sys/{what}"), value);
        self.netns.run(write).and_then(|written| written).expect(what);
    }

    /// Runs a program in it.
    pub fn run(&self, words: &[&str]) -> Outcome {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        self.netns.run(|| command::run(&mut command)).expect("the namespace is there")
    }

    /// One ping with these options.
    pub fn ping(&self, options: &[&str]) -> Outcome {
        self.run(&[&["busybox", "ping", "-c", "1"], options].concat())
    }

    /// One of its devices, for frames as they are.
    pub fn wire(&self, device: &str) -> Wire {
        Wire::inside(&Place::host(self), device)
    }
}

/// A veth from the switch's namespace into a host, deleted on drop.
pub struct Veth<'e> {
    engine: &'e Engine,
    name: String,
}

impl<'e> Veth<'e> {
    /// Makes one, called `name` at the switch and `device` at the host; the switch's end is up.
    pub fn new(engine: &'e Engine, name: &str, host: &Host, device: &str) -> Self {
        let veth = Self { engine, name: name.into() };
        let path = host.path();
        veth.ip(&["link", "add", name, "type", "veth", "peer", "name", device, "netns", &path]).ok();
        veth.ip(&["link", "set", name, "up"]).ok();
        veth
    }

    /// Runs `ip` in the switch's namespace.
    pub fn ip(&self, arguments: &[&str]) -> Outcome {
        command::run(self.engine.in_namespace("ip").args(arguments))
    }
}

impl Drop for Veth<'_> {
    fn drop(&mut self) {
        self.ip(&["link", "delete", &self.name]).expect_gone();
    }
}
