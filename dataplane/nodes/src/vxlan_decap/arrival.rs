//! Which interfaces packets of tunnels may come in by.

use std::net::IpAddr;

use paceline_graph::{Action, Network, Snapshot};

/// Whether a packet of a network came in where the network's ends are: by the interface with this end's address, by that of the
/// group, or by one that the way to its sender leaves by, as the way back may be another one.
///
/// A route to the end's address leads here from everywhere in its routing table. Without this check whoever is behind any interface there
/// could speak for any network, with an address that is rightly his own. So stations behind isolated legs, as those of
/// containers, are no ends, though routes to them leave by these.
#[cold]
pub(super) fn is_right(snapshot: &Snapshot, rx: u16, vrf: u16, network: Network, source: IpAddr) -> bool {
    if rx == network.origin || rx == network.group {
        return true;
    }
    let is_guarded = snapshot.l2_out.get(usize::from(rx)).is_none_or(|out| out.zone.is_guarded());
    let (false, Some(vrf)) = (is_guarded, snapshot.vrfs.get(usize::from(vrf))) else { return false };
    let value = match source {
        IpAddr::V4(source) => vrf.fib4.lookup(source.to_bits()),
        IpAddr::V6(source) => vrf.fib6.lookup(source.to_bits()),
    };
    let adjacencies = &*snapshot.adjacencies;
    let leaves = |number| {
        let target = adjacencies.get(number).target();
        matches!(target.action(), Action::Forward | Action::Resolve) && target.interface() == rx
    };
    leaves(value) || adjacencies.get(value).paths().any(leaves)
}
