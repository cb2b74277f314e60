//! Packets that workers and control give to a worker, each with the hop that it is to go to.

use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use paceline_buf::Packet;
use paceline_graph::{Handed, Hop, NO_DOMAIN, Reason};
use paceline_nodes::hop;

use super::{HANDOFF, Worker, send};
use crate::idle::WakeUp;

/// The queue by which a worker is given packets, each with the hop it is to go to, and the means to wake it.
#[derive(Clone)]
pub struct Handover {
    pub(super) queue: Arc<ArrayQueue<(Hop, Packet)>>,
    pub(super) wake: Arc<WakeUp>,
}

impl Handover {
    /// Gives the worker a packet, and wakes it.
    ///
    /// # Errors
    /// The packet itself, if too many wait already.
    pub fn give(&self, hop: Hop, packet: Packet) -> Result<(), Packet> {
        self.queue.push((hop, packet)).map_err(|(_, packet)| packet)?;
        self.wake.wake();
        Ok(())
    }
}

impl Worker {
    /// Gives other workers the packets that nodes want there.
    #[inline]
    pub(super) fn give_away(&mut self) {
        let Some(handed) = self.graph.take_handed() else { return };
        for Handed { worker, hop, packet } in handed {
            self.counters.handed_off.add(1);
            let refused = match self.peers.get(usize::from(worker)) {
                Some(peer) => peer.give(hop, packet).err(),
                None => Some(packet),
            };
            if let Some(packet) = refused {
                if let Some(interface) = self.snapshot.interface(packet.rx) {
                    interface.counters[self.number].drops.add(Reason::HandoffFull, 1);
                }
                self.cache.free(packet);
            }
        }
    }

    /// Gives packets to the worker that owns their port.
    #[cold]
    pub(super) fn hand_over(&mut self, interface: u16) {
        let owner = self.remotes.get(interface as usize).copied().flatten();
        let drops = self.snapshot.interface(interface).map(|i| &i.counters[self.number].drops);
        let Some(peer) = owner.and_then(|o| self.peers.get(o as usize)) else {
            if let Some(drops) = drops {
                drops.add(Reason::NoPort, self.tx.len() as u64);
            }
            return self.cache.free_all(&mut self.tx);
        };
        let cache = &mut self.cache;
        self.counters.handed_off.add(self.tx.len() as u64);
        self.tx.drain(|mut packet| {
            // Records belong to the worker that wrote them.
            packet.clear_trace();
            if let Err((_, packet)) = peer.queue.push((Hop::port(interface), packet)) {
                if let Some(drops) = drops {
                    drops.add(Reason::HandoffFull, 1);
                }
                cache.free(packet);
            }
        });
        peer.wake.wake();
    }

    /// Takes what other workers and control gave, and sends it on.
    #[inline]
    pub(super) fn take_handed_over(&mut self) -> bool {
        if self.peers[self.number].queue.is_empty() {
            return false;
        }
        let mut to = Hop::NOWHERE;
        // As many as there are places, so that others who keep on giving cannot keep this worker from its own ports.
        for _ in 0..HANDOFF {
            let Some((hop, packet)) = self.peers[self.number].queue.pop() else { break };
            if hop != to || self.rx.room() == 0 {
                self.deliver(to);
                to = hop;
            }
            if let Err(packet) = self.rx.push(packet) {
                self.cache.free(packet);
            }
        }
        self.deliver(to);
        true
    }

    /// Sends packets that were handed over to their hop.
    fn deliver(&mut self, hop: Hop) {
        if self.rx.is_empty() {
            return;
        }
        let Some(interface) = hop.as_port() else {
            if hop == hop::L2_BRIDGE {
                // What control says in a station's place, which does not know domains.
                for packet in self.rx.as_mut_slice() {
                    packet.domain = self.snapshot.interface(packet.rx).map_or(NO_DOMAIN, |i| i.domain);
                }
            }
            return self.run_graph(hop);
        };
        if let Some(slot) = self.slots.get_mut(interface as usize).and_then(Option::as_mut) {
            let counters = &slot.counters[self.number];
            send(slot.port.as_mut(), counters, &mut self.cache, &mut self.rx, self.graph.trace());
            return;
        }
        // Control does not know whose it is.
        std::mem::swap(&mut self.rx, &mut self.tx);
        self.hand_over(interface);
    }
}
