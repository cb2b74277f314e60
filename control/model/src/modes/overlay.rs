//! Segments of VXLAN (RFC 7348): a bridge's tunnels to other hosts. Mode `overlay` is mode `bridge` with such tunnels.
//!
//! ```text
//!  host A  container ─┐                                                      ┌─ container  host B
//!                     bridge ─ vxlan:42:B ─▶ VRF of the underlay ═▶ network ═▶ vxlan:42:A ─ bridge
//!          bvi ───────┘                                                      └─ bvi
//! ```
//!
//! A network's gateway is on every host, with the same addresses and the same Ethernet address (anycast): each host's is for its own
//! containers. So its leg is in the tunnels' split-horizon group: nothing goes between them, neither questions for it nor its
//! answers. The bridge answers these questions itself, so that they flood nowhere.

use std::net::IpAddr;

use super::bridge;
use crate::config::{StaticMac, Vxlan};
use crate::overlay::{Overlay, Vtep};
use crate::{
    BridgeName, Config, Desired, DesiredTunnel, MacAddr, Membership, Model, Network, Over, OverlayError,
    PortName, Uplinks, VlanId, VlanMode, name,
};

#[cfg(test)]
mod tests;

/// Adds the segments of the configuration file.
pub(super) fn configured(config: &Config, uplinks: &Uplinks, desired: &mut Desired) {
    for vxlan in &config.vxlans {
        let overlay = vxlan.overlay();
        let Some(vtep) = vtep(&vxlan.bridge, &overlay, config, uplinks, desired) else { continue };
        let mtu = vxlan.mtu.unwrap_or(u16::MAX).min(vtep.payload());
        let tunnels = tunnels(&vxlan.bridge, vxlan.vlan, &overlay, &vtep, mtu, desired);
        known(vxlan, &tunnels, desired);
        // A leg that was given no MTU sends what fits.
        let given = |name: &PortName| {
            config.interfaces.iter().any(|interface| interface.name == *name && interface.mtu.is_some())
        };
        for (name, leg) in &mut desired.interfaces {
            let is_leg = matches!(&leg.over, Over::Bridge { bridge, vlan } if *bridge == vxlan.bridge && *vlan == vxlan.vlan);
            if is_leg && !given(name) {
                leg.mtu = leg.mtu.min(mtu);
            }
        }
    }
}

/// Adds a network of mode `overlay`, whose gateway has this address.
pub(super) fn add(
    network: &Network,
    overlay: &Overlay,
    model: &Model,
    mac: MacAddr,
    (config, uplinks): (&Config, &Uplinks),
    desired: &mut Desired,
) {
    bridge::add(network, model, mac, desired);
    for leg in desired.interfaces.values_mut() {
        if matches!(&leg.over, Over::Bridge { bridge, .. } if *bridge == network.bridge) {
            leg.split_horizon_group = Membership::TUNNELS;
        }
    }
    if let Some(bridge) = desired.bridges.get_mut(&network.bridge) {
        bridge.neighbours.extend(network.gateways().map(|gateway| (gateway.addr(), mac)));
    }
    // The file may have changed since the network was created.
    if let Some(other) = config.vxlans.iter().find(|vxlan| vxlan.vni == overlay.vni) {
        let taken = OverlayError::Taken { bridge: other.bridge.clone() };
        desired.hindered.insert((network.bridge.clone(), overlay.vni), taken);
        return;
    }
    if let Some(vtep) = vtep(&network.bridge, overlay, config, uplinks, desired) {
        let mtu = network.options.mtu.min(vtep.payload());
        tunnels(&network.bridge, None, overlay, &vtep, mtu, desired);
    }
}

/// This end of a segment; where there is none, that is noted.
fn vtep(
    bridge: &BridgeName,
    overlay: &Overlay,
    config: &Config,
    uplinks: &Uplinks,
    desired: &mut Desired,
) -> Option<Vtep> {
    match overlay.vtep(config, uplinks) {
        Ok(vtep) => Some(vtep),
        Err(error) => {
            desired.hindered.insert((bridge.clone(), overlay.vni), error);
            None
        }
    }
}

/// Adds a tunnel to each other end, and to the group. Returns their names, in the order of [`Overlay::remotes`].
fn tunnels(
    bridge: &BridgeName,
    vlan: Option<VlanId>,
    overlay: &Overlay,
    vtep: &Vtep,
    mtu: u16,
    desired: &mut Desired,
) -> Vec<(IpAddr, PortName)> {
    // What comes from others is like what comes from the group.
    let learns = overlay.group.or_else(|| overlay.peers.first().copied()).filter(|_| overlay.learn_peers);
    let membership = Membership {
        vlan: vlan.map(VlanMode::Access),
        split_horizon_group: Membership::TUNNELS,
        isolated: false,
    };
    let mut names = Vec::new();
    for remote in overlay.remotes() {
        let name = tunnel_name(overlay, remote, desired);
        let tunnel = DesiredTunnel {
            vni: overlay.vni,
            vtep: vtep.clone(),
            remote,
            learn_peers: learns == Some(remote),
            port: overlay.port,
            ttl: overlay.ttl,
            dscp: overlay.dscp,
            checksum: overlay.checksum.unwrap_or(vtep.address.is_ipv6()),
            mtu,
        };
        desired.tunnels.insert(name.clone(), tunnel);
        if let Some(bridge) = desired.bridges.get_mut(bridge) {
            bridge.members.insert(name.clone(), membership.clone());
        }
        names.push((remote, name));
    }
    names
}

/// `vxlan:42:192.0.2.2`, or another if that is taken.
fn tunnel_name(overlay: &Overlay, remote: IpAddr, desired: &Desired) -> PortName {
    let text = format!("{}:{remote}", overlay.vni);
    let taken = |name: &str| desired.tunnels.contains_key(name);
    let name = name::unique(PortName::VXLAN, &text, text.len(), PortName::MAX_LEN, taken);
    name.parse().expect("a prefix, a number and an address make a name")
}

/// Gives hosts whose place is known to their bridge.
fn known(vxlan: &Vxlan, tunnels: &[(IpAddr, PortName)], desired: &mut Desired) {
    let Some(bridge) = desired.bridges.get_mut(&vxlan.bridge) else { return };
    for remote in &vxlan.neighbours {
        bridge.neighbours.insert(remote.address, remote.mac);
        let Some((_, port)) = tunnels.iter().find(|(peer, _)| *peer == remote.peer) else { continue };
        let place = StaticMac { mac: remote.mac, port: port.clone(), vlan: vxlan.vlan };
        // A host may have several addresses.
        if !bridge.static_macs.contains(&place) {
            bridge.static_macs.push(place);
        }
    }
}
