//! Tunnels to other ends that are not configured, made when those send something, and ended when they are silent for long.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::routing::{Server, Stranger};
use crate::spec::{BridgeSpec, Topology, TunnelSpec};

use super::{Attached, Engine, EngineError};

/// A tunnel that was not configured.
pub(super) struct Learned {
    /// What it is.
    pub spec: TunnelSpec,
    /// Name of the tunnel that it was made like.
    like: String,
    /// Packets that came by it when it was looked at last, and seconds since there were more.
    packets: u64,
    silent_s: u32,
}

/// The tunnel that strangers of a network are made like.
fn like<'a>(topology: &'a Topology, stranger: &Stranger) -> Option<(&'a String, &'a TunnelSpec)> {
    topology.tunnels.iter().find(|(_, spec)| {
        spec.learn_peers.is_some()
            && (&spec.vrf, spec.port, spec.vni) == (&stranger.vrf, stranger.port, stranger.vni)
            && (spec.local == stranger.to || spec.remote == stranger.to)
    })
}

/// A tunnel to another end.
fn made(like: &TunnelSpec, remote: IpAddr) -> TunnelSpec {
    TunnelSpec { remote, group_interface: None, learn_peers: None, ..like.clone() }
}

/// The part of all numbers of interfaces that is kept for those that are configured, however many strangers come.
const RESERVE: usize = 4;

impl Engine {
    /// Makes tunnels for the strangers that have come, and ends those that were silent for too long. Whether there are others now.
    pub(super) fn meet_strangers(&mut self) -> bool {
        let strangers = self.routing().strangers();
        let mut has_changed = false;
        let mut room =
            if strangers.is_empty() { 0 } else { self.numbers.left().saturating_sub(self.reserve()) };
        for stranger in &strangers {
            let Some((name, spec)) = like(&self.topology, stranger) else { continue };
            let limit = spec.learn_peers.map_or(0, |learn| usize::from(learn.limit));
            let own = format!("{name}@{}", stranger.remote);
            let is_full = self.learned.values().filter(|learned| learned.like == *name).count() >= limit;
            let is_fit = stranger.remote != spec.local && !stranger.remote.is_multicast();
            if is_full || room == 0 || !is_fit || self.find(&own).is_some() || self.learned.contains_key(&own)
            {
                continue;
            }
            tracing::info!(tunnel = own, "a tunnel to an end that sent something");
            let learned =
                Learned { spec: made(spec, stranger.remote), like: name.clone(), packets: 0, silent_s: 0 };
            self.learned.insert(own, learned);
            room -= 1;
            has_changed = true;
        }
        has_changed |= self.forget_silent();
        has_changed |= self.keep_reserve();
        has_changed
    }

    /// Numbers that no learned tunnel takes.
    fn reserve(&self) -> usize {
        self.numbers.limit() / RESERVE
    }

    /// Has learned tunnels make way while interfaces that are configured use the reserve. Whether some did.
    fn keep_reserve(&mut self) -> bool {
        if self.learned.is_empty() {
            return false;
        }
        let is_other = |attached: &&Attached| !self.learned.contains_key(&*attached.name);
        let others = self.interfaces.iter().flatten().filter(is_other).count();
        let most = (self.numbers.limit() - self.reserve()).saturating_sub(others);
        let before = self.learned.len();
        while self.learned.len() > most && self.forget_one() {}
        self.learned.len() != before
    }

    /// Ends the one that was silent for the longest time. Whether there was any.
    fn forget_one(&mut self) -> bool {
        let silent = self.learned.iter().max_by_key(|(_, learned)| learned.silent_s);
        let Some(name) = silent.map(|(name, _)| name.clone()) else { return false };
        tracing::warn!(
            tunnel = name,
            "a tunnel that was learned makes way for interfaces that are configured"
        );
        self.learned.remove(&name).is_some()
    }

    /// Ends all of them where there was no number left for an interface that is configured: it gets one when those have rested.
    pub(super) fn make_way(&mut self, error: EngineError) -> EngineError {
        if matches!(error, EngineError::Full) && self.forget_one() {
            while self.forget_one() {}
            if let Err(error) = self.publish() {
                return error;
            }
        }
        error
    }

    /// Tells routing which strangers have tunnels by now.
    pub(super) fn strangers_met(&mut self) {
        let mut routing = self.routing();
        let strangers = routing.strangers();
        if strangers.is_empty() {
            return;
        }
        routing.met(&strangers, |stranger| {
            let is_its = |spec: &TunnelSpec| {
                (&spec.vrf, spec.port, spec.vni) == (&stranger.vrf, stranger.port, stranger.vni)
            };
            // What came for a group came for each end that is in it.
            let is_met = |local: IpAddr| {
                let is_group =
                    |spec: &TunnelSpec| is_its(spec) && (spec.local, spec.remote) == (local, stranger.to);
                local == stranger.to || self.topology.tunnels.values().any(is_group)
            };
            self.tunnels()
                .any(|(_, spec)| is_its(spec) && spec.remote == stranger.remote && is_met(spec.local))
        });
        drop(routing);
        self.server.iter().for_each(Server::wake);
    }

    /// Ends those that were silent for as long as the one that they are like allows. Whether there were any.
    fn forget_silent(&mut self) -> bool {
        let before = self.learned.len();
        let count = |name: &str| -> u64 {
            let attached = self.interfaces.iter().flatten().find(|attached| &*attached.name == name);
            attached.map_or(0, |attached| attached.counters.iter().map(|c| c.rx_packets.get()).sum())
        };
        let now: BTreeMap<String, u64> =
            self.learned.keys().map(|name| (name.clone(), count(name))).collect();
        let tunnels = &self.topology.tunnels;
        self.learned.retain(|name, learned| {
            let packets = now.get(name).copied().unwrap_or_default();
            learned.silent_s = if packets == learned.packets { learned.silent_s + 1 } else { 0 };
            learned.packets = packets;
            let age_s =
                tunnels.get(&learned.like).and_then(|like| like.learn_peers).map_or(0, |learn| learn.age_s);
            age_s == 0 || learned.silent_s < age_s
        });
        self.learned.len() != before
    }

    /// Forgets those that a new topology does not want, or has itself.
    pub(super) fn keep_learned(&mut self) {
        let tunnels = &self.topology.tunnels;
        self.learned.retain(|name, learned| {
            let TunnelSpec { vrf, local, remote, port, vni, .. } = &learned.spec;
            let is_configured = tunnels.values().any(|spec| {
                (&spec.vrf, &spec.local, &spec.remote, &spec.port, &spec.vni)
                    == (vrf, local, remote, port, vni)
            });
            let like = tunnels.get(&learned.like).filter(|like| like.learn_peers.is_some());
            let is_like = like.is_some_and(|like| made(like, *remote) == learned.spec);
            is_like && !is_configured && !tunnels.contains_key(name)
        });
    }

    /// Makes those that were learned members of their bridges, as the ones that they are like.
    pub(super) fn add_learned(&self, bridges: &mut BTreeMap<String, BridgeSpec>) {
        for bridge in bridges.values_mut() {
            for (name, learned) in &self.learned {
                if let Some(member) = bridge.members.get(&learned.like).cloned() {
                    bridge.members.insert(name.clone(), member);
                }
            }
        }
    }
}
