//! `punt`: gives control what is for the switch itself: ARP and neighbour discovery, packets for its own addresses, and those
//! whose neighbour must be asked for.
//!
//! Next: none. Control answers through the graph.
//!
//! Cost: a packet in a queue. Who sends many gets no more than his share into it, so that a flood of pings or of ARP neither
//! keeps others from being answered nor this worker from its work.

use paceline_buf::{Packet, Vector};
use paceline_graph::{Bucket, Context, Node, Reason};
use paceline_sys::cpu::{tsc, tsc_hz};
use paceline_wire::ethernet::addresses;

/// Senders that are told apart, by a hash.
const SENDERS: usize = 4096;
/// Kinds of packets, whose limits are apart: a flood of one, perhaps from behind a router whose address all of it has, must not
/// keep that router from being answered.
const KINDS: usize = 4;
/// Of [`KINDS`]: ARP and neighbour discovery, and all else that is not routed.
const ASIDE: usize = 0;
/// Of [`KINDS`]: packets for the switch's own addresses.
const OWN: usize = 1;
/// Of [`KINDS`]: packets whose neighbour is not known.
const UNKNOWN: usize = 2;
/// Of [`KINDS`]: what is overheard of membership in groups. Hosts that answer a question do so within seconds.
const OVERHEARD: usize = 3;
/// Packets a second of one sender and kind, and how many of them at once.
const OF_ONE: (u64, u64) = (1000, 200);
/// The same of all senders, one kind and worker: by kind.
const OF_ALL: [(u64, u64); KINDS] = [(20_000, 1000), (20_000, 1000), (20_000, 1000), (4000, 1000)];

/// The node.
pub struct Punt {
    senders: Box<[Bucket]>,
    all: [Bucket; KINDS],
}

impl Default for Punt {
    fn default() -> Self {
        let now = tsc();
        let bucket = |(per_second, burst)| Bucket::new(tsc_hz() / per_second, burst, now);
        Punt { senders: vec![bucket(OF_ONE); SENDERS].into(), all: OF_ALL.map(bucket) }
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
            let kind = kind(&packet);
            // What waits for a neighbour holds its buffers for seconds, and a super-packet has many: its sender sends it again.
            if kind == UNKNOWN && packet.is_chained() {
                return cx.drop(packet, Reason::NoNeighbour);
            }
            let sender = &mut self.senders[sender(&packet, kind)];
            if !sender.take(now) || !self.all[kind].take(now) {
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

fn kind(packet: &Packet) -> usize {
    match Reason::of(packet.reason) {
        Reason::NobodyHome => OWN,
        Reason::NoNeighbour => UNKNOWN,
        Reason::Membership => OVERHEARD,
        _ => ASIDE,
    }
}

/// The place of a packet's sender: its MAC address, the interface that it is behind, and the kind of packet. What is overheard is that
/// of all who are behind a port, which may say that they are any number of hosts.
fn sender(packet: &Packet, kind: usize) -> usize {
    let source = addresses(packet.data()).filter(|_| kind != OVERHEARD);
    let mac = source.map_or(0, |(_, source)| source.0);
    // Fibonacci hashing: the high bits of the product depend on all bits of the address.
    ((mac ^ u64::from(packet.rx) << 48 ^ (kind as u64) << 60).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52)
        as usize
        % SENDERS
}
