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

/// Kinds of packets for control. Their allowances are apart: a flood of one, perhaps from behind a router whose address all of it
/// has, must not keep that router from being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// ARP and neighbour discovery, and all else that is not routed.
    Link,
    /// Packets for the switch's own addresses.
    Own,
    /// Packets whose neighbour is not known.
    Neighbour,
    /// Packets of tunnels from ends that are not known.
    Stranger,
    /// What is overheard of membership in groups. Hosts that answer a question do so within seconds.
    Overheard,
}

impl Kind {
    fn of(packet: &Packet) -> Kind {
        match Reason::of(packet.reason) {
            Reason::NobodyHome => Kind::Own,
            Reason::NoNeighbour => Kind::Neighbour,
            Reason::UnknownPeer => Kind::Stranger,
            Reason::Membership => Kind::Overheard,
            _ => Kind::Link,
        }
    }
}

/// What is taken of a kind: packets a second, and how many of them at once.
struct Limit {
    /// Of one sender.
    of_one: (u64, u64),
    /// Of all senders, by one worker.
    of_all: (u64, u64),
}

/// The limit of each [`Kind`], in their order. Of strangers control looks at 64 a second, each by one packet: more are of no use to it.
const LIMITS: [Limit; 5] = [
    Limit { of_one: (1000, 200), of_all: (20_000, 1000) },
    Limit { of_one: (1000, 200), of_all: (20_000, 1000) },
    Limit { of_one: (1000, 200), of_all: (20_000, 1000) },
    Limit { of_one: (32, 32), of_all: (64, 64) },
    Limit { of_one: (1000, 200), of_all: (4000, 1000) },
];
/// Senders of a kind that are told apart, by a hash.
const SENDERS: usize = 1024;

/// The allowance of a kind.
struct Allowance {
    senders: Box<[Bucket]>,
    all: Bucket,
}

impl Allowance {
    fn new(limit: &Limit, now: u64) -> Allowance {
        let bucket = |(per_second, burst)| Bucket::new(tsc_hz() / per_second, burst, now);
        Allowance { senders: vec![bucket(limit.of_one); SENDERS].into(), all: bucket(limit.of_all) }
    }

    /// Whether a packet is within it.
    fn take(&mut self, packet: &Packet, kind: Kind, now: u64) -> bool {
        self.senders[sender(packet, kind)].take(now) && self.all.take(now)
    }
}

/// The node.
pub struct Punt {
    /// By [`Kind`].
    allowances: [Allowance; LIMITS.len()],
}

impl Default for Punt {
    fn default() -> Self {
        let now = tsc();
        Punt { allowances: LIMITS.each_ref().map(|limit| Allowance::new(limit, now)) }
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
            let kind = Kind::of(&packet);
            // What waits for a neighbour holds its buffers for seconds, and a super-packet has many: its sender sends it again.
            if kind == Kind::Neighbour && packet.is_chained() {
                return cx.drop(packet, Reason::NoNeighbour);
            }
            if !self.allowances[kind as usize].take(&packet, kind, now) {
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

/// The place of a packet's sender: its MAC address, and the interface that it is behind. What is overheard is that of all who are behind a
/// port, which may say that they are any number of hosts.
fn sender(packet: &Packet, kind: Kind) -> usize {
    let source = addresses(packet.data()).filter(|_| kind != Kind::Overheard);
    let mac = source.map_or(0, |(_, source)| source.0);
    // Fibonacci hashing: the high bits of the product depend on all bits of the address.
    ((mac ^ u64::from(packet.rx) << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % SENDERS
}
