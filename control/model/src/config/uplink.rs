//! `[[uplink]]`

use serde::{Deserialize, Serialize};

use crate::{IfName, Interval, PortName};

/// A device by which networks reach the outside without the host's own stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uplink {
    /// Its name, in our own namespace.
    #[serde(with = "crate::text")]
    pub device: IfName,
    /// Whether the host's own stack has it too, for everything that is not the switch's. Otherwise the switch takes every frame.
    #[serde(default = "yes")]
    pub shared: bool,
    /// Ports of the device's addresses that networks appear under, 1024 to 65535 and at least [`Self::LEAST_PORTS`] of them; also
    /// identifiers of ICMP queries. The host's own stack gives them to nobody while the switch runs.
    #[serde(default = "nat_ports")]
    pub nat_ports: Interval<u16>,
}

impl Uplink {
    /// The fewest ports that translation is of any use with.
    pub const LEAST_PORTS: usize = 256;
    /// The first port that may be among them: those below are for servers (RFC 6335, section 6).
    pub const FIRST_PORT: u16 = 1024;

    /// The name of its port and routed interface.
    pub fn port_name(&self) -> PortName {
        PortName::of_uplink(self.device)
    }
}

fn yes() -> bool {
    true
}

/// In the middle of the kernel's ephemeral ports, of which it leaves nearly two thirds.
fn nat_ports() -> Interval<u16> {
    Interval::new(40_000, 49_999).expect("the first is below the last")
}
