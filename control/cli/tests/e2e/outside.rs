//! A host outside, which the Docker host is a neighbour of.

use crate::engine::Engine;
use crate::host::{Host, Veth};
use crate::place::Place;

/// Another host, which is a neighbour of the Docker host.
pub struct Outside<'e> {
    // First: the host's end goes with it.
    _veth: Veth<'e>,
    /// It.
    pub host: Host,
}

impl<'e> Outside<'e> {
    /// The Docker host's device that leads to it.
    pub const DEVICE: &'static str = "outside0";
    /// Its addresses.
    pub const OWN: [&'static str; 2] = ["192.0.2.10", "2001:db8::10"];
    /// Those of the Docker host there.
    pub const DOCKER_HOST: [&'static str; 2] = ["192.0.2.1", "2001:db8::1"];

    /// Makes it.
    pub fn new(engine: &'e Engine) -> Self {
        let host = Host::with_ipv6();
        let veth = Veth::new(engine, Self::DEVICE, &host, "eth0");
        for (address, options) in [("192.0.2.1/24", ""), ("2001:db8::1/64", "nodad")] {
            let words = ["address", "add", address, "dev", Self::DEVICE, options];
            veth.ip(words
                .split_last()
                .map_or(&[], |(last, rest)| if last.is_empty() { rest } else { &words }))
                .ok();
        }
        host.ip("address add 192.0.2.10/24 dev eth0");
        host.ip("address add 2001:db8::10/64 dev eth0 nodad");
        host.up("eth0");
        host.ip("link set dev lo up");
        Self { _veth: veth, host }
    }

    /// Has it send what is complete, as a wire carries it: AF_XDP at the other end of its veth cannot pass the order on.
    pub fn complete(&self) {
        let device = "eth0".parse().expect("a name");
        let set = || paceline_sys::ethtool::set_tx_checksum(&device, false);
        self.place().inside(set).expect("a setting");
    }

    /// Where its programs run.
    pub fn place(&self) -> Place {
        Place::host(&self.host)
    }

    /// Lets it send to a network by the Docker host.
    pub fn route(&self, net: &str) {
        let via = Self::DOCKER_HOST[usize::from(net.contains(':'))];
        self.host.ip(&format!("route add {net} via {via}"));
    }
}
