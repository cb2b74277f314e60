//! What a node may do: look at the configuration, take buffers, send packets on, drop them, leave a trace.

use std::fmt;

use paceline_buf::{Cache, Packet, Vector};

use crate::graph::State;
use crate::hop::Hop;
use crate::reason::Reason;
use crate::snapshot::Snapshot;

/// A node's view of the worker while it processes a vector.
pub struct Context<'a> {
    pub(crate) state: &'a mut State,
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// Where buffers come from and go to.
    pub cache: &'a mut Cache,
    pub(crate) node: usize,
}

impl Context<'_> {
    /// Sends each packet of a vector to the hop of the same place in `hops`. A vector that goes one way as a whole is handed
    /// on by a swap; packets keep their order for each hop.
    ///
    /// # Panics
    /// If there are fewer hops than packets.
    #[inline(always)]
    pub fn dispatch(&mut self, vector: &mut Vector, hops: &[Hop]) {
        let hops = &hops[..vector.len()];
        let Some(&first) = hops.first() else { return };
        // All of them, without leaving early: the loop becomes vector instructions.
        if hops.iter().fold(0, |differ, hop| differ | (hop.bits() ^ first.bits())) == 0 {
            return self.dispatch_all(vector, first);
        }
        let mut hops = hops.iter();
        vector.drain(|packet| {
            if let Some(hop) = hops.next() {
                self.send(packet, *hop);
            }
        });
    }

    /// Sends a whole vector to one hop.
    #[inline(always)]
    pub fn dispatch_all(&mut self, vector: &mut Vector, hop: Hop) {
        if let Err(reason) = self.state.enqueue_all(hop, vector) {
            vector.drain(|packet| self.refuse(packet, hop, reason));
        }
    }

    /// Sends one packet to a hop.
    #[inline(always)]
    pub fn send(&mut self, packet: Packet, hop: Hop) {
        if let Err((packet, reason)) = self.state.enqueue(hop, packet) {
            self.refuse(packet, hop, reason);
        }
    }

    /// Sends one packet to a hop of a worker, perhaps this one. On another one it has no trace any more, whose record belongs
    /// to the worker that began it.
    pub fn hand_over(&mut self, mut packet: Packet, worker: usize, hop: Hop) {
        if worker == self.state.worker {
            return self.send(packet, hop);
        }
        self.trace(&packet, format_args!("goes on at worker {worker}"));
        packet.clear_trace();
        if let Err(packet) = self.state.hand_over(worker as u16, hop, packet) {
            self.drop(packet, Reason::HandoffFull);
        }
    }

    /// Gives one packet to control.
    ///
    /// # Errors
    /// The packet itself, if nobody takes it or the queue is full.
    pub fn punt(&mut self, mut packet: Packet) -> Result<(), Packet> {
        let Some(punt) = &self.snapshot.punt else { return Err(packet) };
        packet.clear_trace();
        punt.push(packet)?;
        self.state.punted = true;
        Ok(())
    }

    #[cold]
    fn refuse(&mut self, packet: Packet, hop: Hop, reason: Reason) {
        let reason = if hop == Hop::DROP { Reason::of(packet.reason) } else { reason };
        self.drop(packet, reason);
    }

    /// The hop after this feature on the packet's input arc.
    #[inline]
    pub fn next_input(&self, packet: &mut Packet) -> Option<Hop> {
        packet.feature += 1;
        self.snapshot.interface(packet.rx)?.input.get(packet.feature as usize).copied()
    }

    /// The hop after this feature on the packet's output arc.
    #[inline]
    pub fn next_output(&self, packet: &mut Packet) -> Option<Hop> {
        packet.feature += 1;
        self.snapshot.interface(packet.tx)?.output.get(packet.feature as usize).copied()
    }

    /// Where the packet's output arc begins.
    #[inline]
    pub fn first_output(&self, packet: &Packet) -> Option<Hop> {
        self.snapshot.interface(packet.tx)?.output.first().copied()
    }

    /// Drops a packet under a reason, counted at this node and at the interface that it was received on.
    #[cold]
    pub fn drop(&mut self, packet: Packet, reason: Reason) {
        if let Some(record) = packet.trace() {
            self.line(record, format_args!("dropped: {}", reason.name()));
        }
        self.count(packet.rx, reason);
        self.cache.free(packet);
    }

    /// Drops all packets of a vector under one reason.
    #[cold]
    pub fn drop_all(&mut self, vector: &mut Vector, reason: Reason) {
        vector.drain(|packet| self.drop(packet, reason));
    }

    /// Counts a drop of something that is not a packet of its own, such as a copy that found no buffer.
    #[cold]
    pub fn count(&mut self, rx: u16, reason: Reason) {
        if let Some(counters) = self.state.counters.get(self.node) {
            counters.drops.add(reason, 1);
        }
        if let Some(counters) = self.snapshot.interface(rx).and_then(|i| i.counters.get(self.state.worker)) {
            counters.drops.add(reason, 1);
        }
    }

    /// The number of the worker that runs this, an index into counters.
    pub fn worker(&self) -> usize {
        self.state.worker
    }

    /// Whether some packet may carry a trace record: nodes ask once a vector.
    #[inline(always)]
    pub fn is_tracing(&self) -> bool {
        self.state.trace.is_active()
    }

    /// Leaves a line in the packet's trace record, if it carries one.
    #[inline]
    pub fn trace(&mut self, packet: &Packet, text: fmt::Arguments<'_>) {
        if let Some(record) = packet.trace() {
            self.line(record, text);
        }
    }

    fn line(&mut self, record: u32, text: fmt::Arguments<'_>) {
        let name = self.state.names.get(self.node).copied().unwrap_or("input");
        self.state.trace.line(record, name, text);
    }
}
