//! `punt`: gives control what is for the switch itself: ARP and neighbour discovery, packets for its own addresses, and those
//! whose neighbour must be asked for.
//!
//! Next: none. Control answers through the graph.
//!
//! Cost: a packet in a queue. Who sends many gets no more than his share into it, so that a flood of pings or of ARP neither
//! keeps others from being answered nor this worker from its work.

use paceline_buf::{Packet, Vector};
use paceline_graph::{Context, Node, Reason};
use paceline_sys::cpu::tsc;
use paceline_wire::ethernet::addresses;

use crate::limit::{Due, Limit};

/// Senders that are told apart, by a hash.
const SENDERS: usize = 4096;
/// Packets a second of one sender, and how many of them at once.
const OF_ONE: (u64, u64) = (1000, 200);
/// The same of all senders and one worker.
const OF_ALL: (u64, u64) = (20_000, 1000);

/// The node.
pub struct Punt {
    of_one: Limit,
    of_all: Limit,
    senders: Box<[Due]>,
    all: Due,
}

impl Default for Punt {
    fn default() -> Self {
        Punt {
            of_one: Limit::new(OF_ONE.0, OF_ONE.1),
            of_all: Limit::new(OF_ALL.0, OF_ALL.1),
            senders: vec![0; SENDERS].into(),
            all: 0,
        }
    }
}

impl Node for Punt {
    fn name(&self) -> &'static str {
        "punt"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let now = tsc();
        vector.drain(|packet| {
            if cx.snapshot.punt.is_none() {
                let reason = Reason::of(packet.reason);
                return cx.drop(packet, reason);
            }
            let sender = &mut self.senders[sender(&packet)];
            if !self.of_one.allows(sender, now) || !self.of_all.allows(&mut self.all, now) {
                return cx.drop(packet, Reason::PuntLimit);
            }
            let name = Reason::of(packet.reason).name();
            cx.trace(&packet, format_args!("{name}: control looks at it"));
            if let Err(packet) = cx.punt(packet) {
                cx.drop(packet, Reason::PuntFull);
            }
        });
    }
}

/// The place of a packet's sender: its MAC address and the interface that it is behind.
fn sender(packet: &Packet) -> usize {
    let mac = addresses(packet.data()).map_or(0, |(_, source)| source.0);
    // Fibonacci hashing: the high bits of the product depend on all bits of the address.
    ((mac ^ u64::from(packet.rx) << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize % SENDERS
}
