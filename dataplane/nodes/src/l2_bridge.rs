//! `l2-bridge`: learns where the source is and finds where the destination is.
//!
//! Next: the output arc of the destination's port; `l2-flood` for group addresses and unknown destinations, by way of
//! `neighbour-suppress` in a bridge that knows hosts, and of `l2-multicast` for IP groups in one that listens who is in them.
//!
//! Cost: two passes over the vector. The first reads both addresses (the only touch of the packet) and prefetches their
//! buckets; the second finds them there, so that a table in the third-level cache costs its bandwidth, not its latency. A
//! vector is cut into runs of one interface and domain, which nearly always is one run, and all that is the same for the run
//! stays in registers. A packet with the addresses of the one before it takes that one's answer.

use std::sync::atomic::Ordering::Relaxed;

use paceline_buf::{Packet, VECTOR_SIZE, Vector};
use paceline_graph::{Bridge, Context, Hop, L2Out, Node, Reason, UnknownUnicast, Zone};
use paceline_tables::{Learn, MacReader};
use paceline_wire::ethernet::{Mac, addresses};

use crate::l2_size::fits;
use crate::{hop, refuse};

/// The node. Its arrays are columns of the vector in work.
pub struct L2Bridge {
    keys: Box<[Key; VECTOR_SIZE]>,
    hops: Box<[Hop; VECTOR_SIZE]>,
}

/// What is looked up for a packet.
#[derive(Clone, Copy)]
struct Key {
    source: Mac,
    destination: Mac,
    source_hash: u32,
    destination_hash: u32,
}

impl Key {
    /// The key of no packet: no address is above 48 bits.
    const NONE: Key =
        Key { source: Mac(u64::MAX), destination: Mac(u64::MAX), source_hash: 0, destination_hash: 0 };
    /// The key of a frame without a header. The group address as source makes the second pass refuse it.
    const RUNT: Key = Key { source: Mac::BROADCAST, ..Key::NONE };
}

impl Default for L2Bridge {
    fn default() -> Self {
        L2Bridge { keys: Box::new([Key::NONE; VECTOR_SIZE]), hops: Box::new([Hop::DROP; VECTOR_SIZE]) }
    }
}

impl Node for L2Bridge {
    fn name(&self) -> &'static str {
        "l2-bridge"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let packets = vector.as_mut_slice();
        let mut start = 0;
        while let Some(first) = packets.get(start) {
            let (rx, domain) = (first.rx, first.domain);
            let run = packets[start..].iter().take_while(|p| p.rx == rx && p.domain == domain).count();
            let end = start + run;
            self.run(cx, &mut packets[start..end], start);
            start = end;
        }
        if cx.is_tracing() {
            self.trace(cx, vector);
        }
        cx.dispatch(vector, &self.hops[..]);
    }
}

impl L2Bridge {
    /// Packets of one interface and domain; `at` is where their columns start.
    #[inline]
    fn run(&mut self, cx: &Context<'_>, packets: &mut [Packet], at: usize) {
        let hops = &mut self.hops[at..][..packets.len()];
        let keys = &mut self.keys[at..][..packets.len()];
        let Some(first) = packets.first() else { return };
        let rx = first.rx;
        let bridge = cx.snapshot.bridges.get(first.domain as usize);
        let Some(bridge) = bridge.filter(|bridge| !bridge.is_vacant()) else {
            for (packet, hop) in packets.iter_mut().zip(hops) {
                *hop = refuse(packet, Reason::NoBridge);
            }
            return;
        };
        let macs = bridge.macs.reader();
        for (packet, key) in packets.iter().zip(keys.iter_mut()) {
            *key = addresses(packet.data()).map_or(Key::RUNT, |(destination, source)| {
                let (source_hash, destination_hash) = (macs.hash(source.0), macs.hash(destination.0));
                macs.prefetch(source_hash);
                macs.prefetch(destination_hash);
                Key { source, destination, source_hash, destination_hash }
            });
        }

        let outs = &cx.snapshot.l2_out[..];
        let zone = outs.get(rx as usize).copied().unwrap_or_default().zone;
        let (mut source, mut destination) = (Key::NONE.source, Key::NONE.destination);
        let (mut port, mut out) = (rx, L2Out::default());
        for ((packet, key), hop) in packets.iter_mut().zip(keys.iter()).zip(hops) {
            packet.feature = 0;
            if key.source != source {
                if !macs.is_fresh(key.source.0, key.source_hash, rx)
                    && let Err(reason) = learn(bridge, key, rx, macs.now, packet)
                {
                    source = Key::NONE.source;
                    *hop = refuse(packet, reason);
                    continue;
                }
                source = key.source;
            }
            if key.destination != destination {
                match find(bridge, macs, key, outs) {
                    Ok(found) => (port, out) = found,
                    Err(reason) => {
                        destination = Key::NONE.destination;
                        *hop = reason
                            .map_or_else(|| many(bridge, key.destination), |reason| refuse(packet, reason));
                        continue;
                    }
                }
                destination = key.destination;
            }
            if let Err(reason) = may_leave(packet, zone, port, out) {
                *hop = refuse(packet, reason);
                continue;
            }
            packet.tx = port;
            *hop = out.hop;
        }
    }

    #[cold]
    fn trace(&self, cx: &mut Context<'_>, vector: &Vector) {
        for ((packet, key), hop) in vector.as_slice().iter().zip(self.keys.iter()).zip(self.hops.iter()) {
            if packet.trace().is_none() || *hop == Hop::DROP {
                continue;
            }
            let snapshot = cx.snapshot;
            let bridge = snapshot.bridges.get(packet.domain as usize).map_or("?", |b| &b.name);
            let (source, destination) = (key.source, key.destination);
            let rx = snapshot.name(packet.rx);
            if *hop == hop::L2_MULTICAST {
                cx.trace(packet, format_args!("{bridge}: {source} on {rx}; {destination} is a group"));
            } else if *hop == hop::L2_FLOOD || *hop == hop::NEIGHBOUR_SUPPRESS {
                cx.trace(packet, format_args!("{bridge}: {source} on {rx}; {destination} goes to all ports"));
            } else {
                let tx = snapshot.name(packet.tx);
                cx.trace(packet, format_args!("{bridge}: {source} on {rx}; {destination} is behind {tx}"));
            }
        }
    }
}

/// The port of the destination. `Err(None)` asks for a flood.
#[inline(always)]
fn find(
    bridge: &Bridge,
    macs: MacReader<'_>,
    key: &Key,
    outs: &[L2Out],
) -> Result<(u16, L2Out), Option<Reason>> {
    let Some(port) = macs.lookup(key.destination.0, key.destination_hash) else {
        return Err(unknown(bridge, key.destination));
    };
    let Some(out) = outs.get(port as usize) else { return Err(Some(Reason::NoPort)) };
    Ok((port, *out))
}

/// Whether a packet may leave by the port of its destination.
#[inline(always)]
fn may_leave(packet: &Packet, zone: Zone, port: u16, out: L2Out) -> Result<(), Reason> {
    if port == packet.rx {
        return Err(Reason::SamePort);
    }
    if zone.apart(out.zone) {
        return Err(Reason::SplitHorizon);
    }
    // Of a packet that is not plain the length says little: then what it will become is looked at.
    if (packet.len() as u32 > out.max_frame || !packet.is_plain()) && !fits(packet, out.max_frame) {
        return Err(Reason::TooBig);
    }
    Ok(())
}

/// Where frames go that are not for one port.
#[cold]
fn many(bridge: &Bridge, destination: Mac) -> Hop {
    if bridge.multicast.is_some() && destination.is_ip_group() { hop::L2_MULTICAST } else { flood(bridge) }
}

/// Where frames to all ports go.
#[cold]
pub(crate) fn flood(bridge: &Bridge) -> Hop {
    if bridge.neighbours.is_empty() { hop::L2_FLOOD } else { hop::NEIGHBOUR_SUPPRESS }
}

#[cold]
fn unknown(bridge: &Bridge, destination: Mac) -> Option<Reason> {
    if destination.is_link_local_control() {
        Some(Reason::LinkLocalControl)
    } else if !destination.is_group() && bridge.unknown_unicast == UnknownUnicast::Drop {
        Some(Reason::UnknownUnicast)
    } else {
        None
    }
}

#[cold]
fn learn(bridge: &Bridge, key: &Key, rx: u16, now: u8, packet: &Packet) -> Result<(), Reason> {
    if addresses(packet.data()).is_none() {
        return Err(Reason::Runt);
    }
    if key.source.is_group() || key.source == Mac(0) {
        return Err(Reason::BadSourceMac);
    }
    if bridge.learn {
        let counters = &bridge.counters;
        match bridge.macs.learn(key.source.0, key.source_hash, rx, now) {
            Learn::Known => {}
            Learn::New => _ = counters.learned.fetch_add(1, Relaxed),
            Learn::Moved { .. } => _ = counters.moved.fetch_add(1, Relaxed),
            Learn::Static { .. } => _ = counters.misplaced.fetch_add(1, Relaxed),
            Learn::Limit | Learn::Full => _ = counters.refused.fetch_add(1, Relaxed),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::{Rig, frame};

    #[test]
    fn floods_what_it_does_not_know_and_sends_straight_what_it_does() {
        let mut rig = Rig::bridge(4);
        assert_eq!(rig.ports(0, &frame(1, 2, 64)), [1, 2, 3]);
        assert_eq!(rig.send(1, &frame(2, 1, 64)), [(0, frame(2, 1, 64))]);
        assert_eq!(rig.ports(0, &frame(1, 2, 64)), [1]);
        assert_eq!(rig.ports(0, &frame(1, 255, 1500)), [1, 2, 3]);
        assert_eq!(rig.interface_drops(0), 0);
    }

    #[test]
    fn a_host_that_moves_is_found_at_its_new_port() {
        let mut rig = Rig::bridge(3);
        rig.ports(0, &frame(1, 255, 64));
        assert_eq!(rig.ports(2, &frame(3, 1, 64)), [0]);
        rig.ports(1, &frame(1, 255, 64));
        assert_eq!(rig.ports(2, &frame(3, 1, 64)), [1]);
        assert_eq!(rig.snapshot.bridges[0].counters.moved.load(Relaxed), 1);
    }

    #[test]
    fn every_refusal_has_its_reason() {
        let mut rig = Rig::bridge(3);
        let dropped = |rig: &mut Rig, port: u16, bytes: &[u8], reason| {
            let before = (rig.drops(hop::L2_BRIDGE, reason), rig.interface_drops(port));
            assert_eq!(rig.ports(port, bytes), [0_u16; 0], "{reason:?}");
            let after = (rig.drops(hop::L2_BRIDGE, reason), rig.interface_drops(port));
            assert_eq!(after, (before.0 + 1, before.1 + 1), "{reason:?}");
        };
        rig.ports(1, &frame(2, 255, 64));
        for len in 0..14 {
            dropped(&mut rig, 0, &frame(1, 2, 64)[..len], Reason::Runt);
        }
        dropped(&mut rig, 0, &frame(255, 2, 64), Reason::BadSourceMac);
        dropped(&mut rig, 0, &[&[2, 0, 0, 0, 0, 2], &[0; 60][..]].concat(), Reason::BadSourceMac);
        dropped(&mut rig, 1, &frame(3, 2, 64), Reason::SamePort);
        dropped(&mut rig, 0, &frame(1, 2, 1515), Reason::TooBig);
        dropped(&mut rig, 0, &frame(1, 2, 9000), Reason::TooBig);
        let stp = [&[1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1], &[0; 50][..]].concat();
        dropped(&mut rig, 0, &stp, Reason::LinkLocalControl);
        rig.snapshot.bridges[0].unknown_unicast = UnknownUnicast::Drop;
        dropped(&mut rig, 0, &frame(1, 9, 64), Reason::UnknownUnicast);
        assert_eq!(rig.ports(0, &frame(1, 255, 64)), [1, 2], "groups are flooded all the same");
        rig.snapshot.l2_out[0].zone = Zone::new(3, false);
        rig.snapshot.l2_out[1].zone = Zone::new(3, false);
        dropped(&mut rig, 0, &frame(1, 2, 64), Reason::SplitHorizon);
        assert_eq!(rig.ports(0, &frame(1, 255, 64)), [2]);
        rig.snapshot.bridges[0] = paceline_graph::Bridge::vacant();
        dropped(&mut rig, 0, &frame(1, 2, 64), Reason::NoBridge);
        rig.snapshot.bridges.clear();
        dropped(&mut rig, 0, &frame(1, 2, 64), Reason::NoBridge);
    }

    #[test]
    fn tags_do_not_count_towards_the_mtu() {
        let mut rig = Rig::bridge(2);
        rig.ports(1, &frame(2, 255, 64));
        let mut tagged = frame(1, 2, 1518);
        tagged[12..14].copy_from_slice(&[0x81, 0]);
        assert_eq!(rig.ports(0, &tagged), [1]);
        tagged.push(0);
        assert_eq!(rig.ports(0, &tagged), [0_u16; 0]);
    }

    #[test]
    fn isolated_ports_reach_only_the_others() {
        let mut rig = Rig::bridge(3);
        rig.snapshot.l2_out[0].zone = Zone::new(0, true);
        rig.snapshot.l2_out[1].zone = Zone::new(7, true);
        assert_eq!(rig.ports(0, &frame(1, 255, 64)), [2]);
        assert_eq!(rig.ports(2, &frame(3, 255, 64)), [0, 1]);
        assert_eq!(rig.ports(1, &frame(2, 1, 64)), [0_u16; 0]);
    }

    #[test]
    fn a_full_table_floods_and_counts() {
        let mut rig = Rig::bridge(2);
        rig.snapshot.bridges[0].macs = Arc::new(paceline_tables::MacTable::new(2));
        for source in 1..=5 {
            assert_eq!(rig.ports(0, &frame(source, 255, 64)), [1]);
        }
        assert_eq!(rig.snapshot.bridges[0].counters.refused.load(Relaxed), 3);
    }

    #[test]
    fn a_trace_says_it_in_words() {
        let mut rig = Rig::bridge(2);
        rig.graph.trace().add(2, None);
        rig.ports(0, &frame(1, 2, 64));
        rig.ports(1, &frame(2, 1, 64));
        let records = rig.graph.trace().records();
        assert_eq!(
            records[0].text,
            "l2-bridge: br: 02:00:00:00:00:01 on p0; 02:00:00:00:00:02 goes to all ports\n\
             l2-flood: br: a copy to each of its ports\n"
        );
        assert_eq!(
            records[1].text,
            "l2-bridge: br: 02:00:00:00:00:02 on p1; 02:00:00:00:00:01 is behind p0\n"
        );
    }

    #[test]
    fn a_flood_without_buffers_drops_copies_and_counts_them() {
        let mut rig = Rig::bridge(200);
        let mut held = Vec::new();
        let mut cache = rig.pool.cache();
        while let Some(packet) = cache.alloc() {
            held.push(packet);
        }
        for _ in 0..80 {
            cache.free(held.pop().expect("some"));
        }
        drop(cache);
        let out = rig.ports(0, &frame(1, 255, 64));
        assert_eq!(out.len() as u64 + rig.drops(hop::L2_FLOOD, Reason::NoBuffers), 199);
        assert!(out.len() >= 79);
        let mut cache = rig.pool.cache();
        held.drain(..).for_each(|p| cache.free(p));
    }
}
