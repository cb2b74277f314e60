//! `[[uplink]]`

use std::collections::BTreeSet;

use super::{Checks, Step};
use crate::config::{Config, PortKind, Uplink};

pub(super) fn uplinks(config: &Config, checks: &mut Checks<'_>) {
    let mut seen = BTreeSet::new();
    for (index, uplink) in config.uplinks.iter().enumerate() {
        let device = uplink.device;
        let path = at!["uplink", index, "device"];
        let is_new = seen.insert(device);
        checks.expect(is_new, path, || format!("uplink {device}: is there twice"));
        checks.expect(index == 0 || !is_new, path, || {
            format!(
                "uplink {device}: there can be one uplink, and {} is it: address translation has one set of addresses and ports, \
                 whichever device packets leave by",
                config.uplinks[0].device
            )
        });
        checks.expect(device.as_str() != "lo", path, || {
            format!("uplink {device}: is the loopback: must be a device that leads to other hosts")
        });
        checks.expect(uplink.port_name().as_str().ends_with(device.as_str()), path, || {
            format!("uplink {device}: the device's name must be of A-Z a-z 0-9 _ . -, as that of its port is made of it")
        });
        let host = config.docker.host_device;
        checks.expect(!config.docker.enabled || device != host, path, || {
            format!("uplink {device}: is docker.host_device: must be a device that leads to other hosts")
        });
        let taken = config.ports.iter().find(|port| match &port.kind {
            PortKind::Tap(tap) => {
                tap.netns.is_none() && tap.device.or_else(|| port.name.as_str().parse().ok()) == Some(device)
            }
            PortKind::Packet(packet) => packet.netns.is_none() && packet.device == device,
            PortKind::Afxdp(afxdp) => afxdp.netns.is_none() && afxdp.device == device,
            _ => false,
        });
        checks.expect(taken.is_none(), path, || {
            let port = taken.map_or("", |port| port.name.as_str());
            format!("uplink {device}: port {port:?} has this device: leave one of them out")
        });
        let ports = uplink.nat_ports;
        let path = at!["uplink", index, "nat_ports"];
        checks.expect(ports.first() >= Uplink::FIRST_PORT, path, || {
            let first = Uplink::FIRST_PORT;
            format!("uplink {device}: nat_ports {ports}: must begin at {first} or above, as those below are servers'")
        });
        let count = usize::from(ports.last() - ports.first()) + 1;
        checks.expect(count >= Uplink::LEAST_PORTS, path, || {
            let least = Uplink::LEAST_PORTS;
            format!(
                "uplink {device}: nat_ports {ports}: must be at least {least} ports, like \"40000-49999\""
            )
        });
    }
}
