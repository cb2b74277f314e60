//! `storm-control`: lets in only so many broadcasts, multicasts and frames to stations that the bridge does not know.
//!
//! Next: the rest of the input arc.
//!
//! Cost: for frames to groups a compare-and-swap; for others, if the unknown are limited, a look into the bridge's table of addresses.

use paceline_buf::{Packet, Vector};
use paceline_graph::{Context, Node, Reason, Snapshot};
use paceline_sys::cpu::tsc;
use paceline_wire::ethernet::{Mac, addresses};

use crate::feature::Hops;

/// The node.
#[derive(Default)]
pub struct StormControl {
    hops: Hops,
}

impl Node for StormControl {
    fn name(&self) -> &'static str {
        "storm-control"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let now = tsc();
        self.hops.walk::<false>(cx, vector, |cx, packet, filter| {
            let Some([broadcast, multicast, unknown]) = filter.storm.as_deref() else { return Ok(()) };
            let (destination, _) = addresses(packet.data()).ok_or(Reason::Runt)?;
            let limit = match destination {
                Mac::BROADCAST => broadcast,
                group if group.is_group() => multicast,
                station if unknown.is_some() && is_unknown(cx.snapshot, packet, station) => unknown,
                _ => return Ok(()),
            };
            let passes = limit.as_ref().is_none_or(|limit| limit.passes(now, packet.total_len()));
            if passes { Ok(()) } else { Err(Reason::Storm) }
        });
    }
}

/// Whether a bridge would flood a frame to a station.
fn is_unknown(snapshot: &Snapshot, packet: &Packet, station: Mac) -> bool {
    let is_bridged = snapshot.interface(packet.rx).is_some_and(|interface| interface.l3.is_none());
    let bridge = snapshot.bridges.get(packet.domain as usize).filter(|_| is_bridged);
    bridge.is_some_and(|bridge| {
        let macs = bridge.macs.reader();
        macs.lookup(station.0, macs.hash(station.0)).is_none()
    })
}
