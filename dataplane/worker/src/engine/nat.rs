//! Address translation: its configuration, and what it shows of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use paceline_graph::{Nat, NatConfig, NatError, NatSession, NatTotals, Vrf};

use super::Engine;
use crate::spec::Topology;
use crate::view::{NatSessionView, NatView, protocol_name};

/// Address translation, and what it was made from.
#[derive(Default)]
pub(super) struct Translation {
    config: Option<NatConfig>,
    nat: Option<Arc<Nat>>,
}

impl Translation {
    /// What workers use.
    pub(super) fn nat(&self) -> Option<Arc<Nat>> {
        self.nat.clone()
    }

    /// Goes over to another configuration; sessions that it allows live on. After an error it is as it was before.
    fn configure(&mut self, wanted: Option<NatConfig>) -> Result<(), NatError> {
        if wanted == self.config {
            return Ok(());
        }
        self.nat = match (&wanted, &self.nat) {
            (None, _) => None,
            (Some(wanted), None) => Some(Nat::new(wanted)?),
            (Some(wanted), Some(nat)) => Some(nat.succeed(wanted)?),
        };
        self.config = wanted;
        Ok(())
    }
}

/// Addresses under which mapped ports appear, by the routing table of the hosts that have them.
pub(super) fn hairpins(topology: &Topology) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let mut all: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for mapping in topology.nat.iter().flat_map(|nat| &nat.mappings) {
        let is_meant = |outside: &IpAddr| {
            mapping.outside.is_none_or(|only| only == *outside)
                && outside.is_ipv4() == mapping.inside.is_ipv4()
        };
        let addresses = outside(topology).into_iter().filter(is_meant);
        all.entry(mapping.vrf.to_string()).or_default().extend(addresses);
    }
    all
}

/// Addresses that inside hosts appear under.
fn outside(topology: &Topology) -> Vec<IpAddr> {
    let Some(nat) = &topology.nat else { return Vec::new() };
    let v4 = nat.addresses4.iter().map(|address| IpAddr::from(*address));
    v4.chain(nat.addresses6.iter().map(|address| IpAddr::from(*address))).collect()
}

impl Engine {
    /// Brings address translation to the topology, whose routing tables are these by number.
    pub(super) fn translate(&mut self, vrfs: &[Vrf]) {
        let workers = self.workers.len();
        let named = (0..).zip(vrfs).filter(|(_, vrf)| !vrf.name.is_empty());
        let vrfs = named.map(|(number, vrf)| (Arc::clone(&vrf.name), number)).collect();
        let wanted = self.topology.nat.as_ref().map(|nat| NatConfig { workers, vrfs, ..nat.clone() });
        if let Err(error) = self.translation.configure(wanted) {
            tracing::error!("address translation is as it was before: {error}");
        }
    }

    /// Addresses that inside hosts appear under.
    pub(super) fn outside(&self) -> Vec<IpAddr> {
        outside(&self.topology)
    }

    /// Address translation of each version of IP that is translated.
    pub fn nat(&self) -> Vec<NatView> {
        let Some(nat) = &self.translation.nat else { return Vec::new() };
        let outside = self.outside();
        let view = |(version, totals): (u8, NatTotals)| {
            let of_version = outside.iter().filter(|address| address.is_ipv4() == (version == 4));
            NatView {
                version,
                addresses: of_version.map(ToString::to_string).collect(),
                sessions: totals.sessions,
                created: totals.created,
                expired: totals.expired,
                reclaimed: totals.reclaimed,
                flushed: totals.flushed,
                no_port: totals.no_port,
                table_full: totals.table_full,
                host_limit: totals.host_limit,
                bytes: totals.bytes,
            }
        };
        let mut views: Vec<NatView> = [4, 6].into_iter().zip(nat.totals()).map(view).collect();
        views.retain(|view| !view.addresses.is_empty());
        views
    }

    /// All sessions of address translation, ordered by source.
    pub fn nat_sessions(&self) -> Vec<NatSessionView> {
        let Some(nat) = &self.translation.nat else { return Vec::new() };
        let mut all = nat.sessions();
        all.sort_unstable_by_key(|session| (session.before, session.protocol, session.vrfs));
        all.iter().map(|session| view(nat, session)).collect()
    }
}

fn view(nat: &Nat, session: &NatSession) -> NatSessionView {
    let NatSession { worker, protocol, vrfs, before, after, class, is_static, idle, left, packets } =
        *session;
    let [vrf, new_vrf] = vrfs.map(|number| nat.vrf(number).unwrap_or_default().to_string());
    let [source, destination] = before.map(end);
    let [new_source, new_destination] = after.map(end);
    NatSessionView {
        worker,
        protocol: protocol_name(protocol),
        vrf,
        source,
        destination,
        new_vrf,
        new_source,
        new_destination,
        state: class.name(),
        is_mapping: is_static,
        idle_s: idle,
        left_s: left,
        packets,
    }
}

/// An address with its port, if there is one.
pub(super) fn end(end: SocketAddr) -> String {
    if end.port() == 0 { end.ip().to_string() } else { end.to_string() }
}
