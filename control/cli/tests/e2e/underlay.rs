//! A network that carries VXLAN: hosts with a device `eth0` each on one wire, and the kernel's own tunnels on them.
//!
//! Host N has 198.18.0.N and 2001:db8:18::N: the switch whose port is on its device, or its kernel.

use crate::host::Host;

/// The version of IP that carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Both.
pub const VERSIONS: [Version; 2] = [Version::V4, Version::V6];

impl Version {
    /// The address of a host.
    pub fn address(self, number: u8) -> String {
        match self {
            Self::V4 => format!("198.18.0.{number}"),
            Self::V6 => format!("2001:db8:18::{number}"),
        }
    }

    /// A group on this wire.
    pub fn group(self) -> &'static str {
        match self {
            Self::V4 => "239.0.0.42",
            Self::V6 => "ff05::42",
        }
    }

    /// What VXLAN takes of a packet, in bytes.
    pub fn overhead(self) -> u16 {
        match self {
            Self::V4 => 50,
            Self::V6 => 70,
        }
    }
}

/// A wire with hosts on it.
pub struct Underlay {
    /// The hosts, of which the first is number 1.
    pub ends: Vec<End>,
    /// A bridge of the kernel.
    _wire: Host,
}

/// A host on the wire.
pub struct End {
    /// Its namespace, with `eth0`.
    pub host: Host,
    number: u8,
}

impl Underlay {
    /// So many hosts on one wire.
    pub fn new(count: u8) -> Self {
        let wire = Host::new();
        wire.ip("link add wire type bridge mcast_snooping 0");
        wire.up("wire");
        let ends = (1..=count).map(|number| {
            // Its kernel stays out of it where a switch is.
            let host = Host::new();
            let path = host.path();
            wire.ip(&format!("link add w{number} type veth peer name eth0 netns {path}"));
            wire.ip(&format!("link set w{number} master wire"));
            wire.up(&format!("w{number}"));
            host.up("eth0");
            End { host, number }
        });
        Self { ends: ends.collect(), _wire: wire }
    }
}

impl End {
    /// `[[port]]` and `[[interface]]` of a switch on its device.
    pub fn config(&self) -> String {
        let Self { host, number } = self;
        format!(
            "[[port]]\nname = \"eth0\"\nkind = \"packet\"\ndevice = \"eth0\"\nnetns = \"{}\"\n\
             [[interface]]\nport = \"eth0\"\nmac = \"02:00:00:00:00:0{number}\"\n\
             addresses = [\"198.18.0.{number}/24\", \"2001:db8:18::{number}/64\"]\n",
            host.path()
        )
    }
}

/// The kernel of a host as an end of segments. Inside it is 10.0.0.N and fd00::N, 02:00:00:00:01:0N.
pub struct Kernel<'u> {
    end: &'u End,
}

impl<'u> Kernel<'u> {
    /// Gives the host its addresses on the wire.
    pub fn new(end: &'u End) -> Self {
        end.host.sysctl("net/ipv6/conf/eth0/disable_ipv6", "0");
        end.host.sysctl("net/ipv6/conf/default/disable_ipv6", "0");
        end.host.address("eth0", &format!("{}/24", Version::V4.address(end.number)));
        end.host.ip(&format!("address add {}/64 dev eth0 nodad", Version::V6.address(end.number)));
        Self { end }
    }

    /// Makes the device `vxlan0` for a segment, with these further words.
    pub fn vxlan(&self, vni: u32, version: Version, more: &str) {
        let (host, number) = (&self.end.host, self.end.number);
        let (local, mtu) = (version.address(number), 1500 - version.overhead());
        host.ip(&format!("link add vxlan0 type vxlan id {vni} local {local} dstport 4789 {more}"));
        host.ip(&format!("link set dev vxlan0 address 02:00:00:00:01:0{number} mtu {mtu}"));
        host.address("vxlan0", &format!("{}/24", self.own()[0]));
        host.ip(&format!("address add {}/64 dev vxlan0 nodad", self.own()[1]));
    }

    /// It.
    pub fn host(&self) -> &Host {
        &self.end.host
    }

    /// Its addresses in the segment.
    pub fn own(&self) -> [String; 2] {
        [format!("10.0.0.{}", self.end.number), format!("fd00::{}", self.end.number)]
    }
}
