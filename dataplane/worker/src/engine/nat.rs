//! Address translation: its configuration, and what it shows of itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use paceline_graph::{Nat, NatConfig, NatError, NatSession, NatTotals};

use super::Engine;
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

impl Engine {
    /// Brings address translation to the topology.
    pub(super) fn translate(&mut self) {
        let workers = self.workers.len();
        let wanted = self.topology.nat.as_ref().map(|nat| NatConfig { workers, ..nat.clone() });
        if let Err(error) = self.translation.configure(wanted) {
            tracing::error!("address translation is as it was before: {error}");
        }
    }

    /// Addresses that inside hosts appear under.
    pub(super) fn outside(&self) -> Vec<IpAddr> {
        let Some(nat) = &self.topology.nat else { return Vec::new() };
        let v4 = nat.addresses4.iter().map(|address| IpAddr::from(*address));
        v4.chain(nat.addresses6.iter().map(|address| IpAddr::from(*address))).collect()
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
        let mut all = self.translation.nat.as_ref().map(|nat| nat.sessions()).unwrap_or_default();
        all.sort_unstable_by_key(|session| (session.before, session.protocol));
        all.iter().map(view).collect()
    }
}

fn view(session: &NatSession) -> NatSessionView {
    let NatSession { worker, protocol, before, after, class, is_static, idle, left, packets } = *session;
    let [source, destination] = before.map(end);
    let [new_source, new_destination] = after.map(end);
    NatSessionView {
        worker,
        protocol: protocol_name(protocol),
        source,
        destination,
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
