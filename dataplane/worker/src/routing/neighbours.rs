//! What the neighbour table is told of a new topology.

use paceline_router::Interface;

use super::{Leg, Routing};

impl Routing {
    /// Tells of legs that came, went or changed, and of next hops that are to be kept resolved. What comes of it is done by the
    /// thread that serves packets.
    pub(super) fn tell_neighbours(&mut self) {
        let (now, out) = (self.started.elapsed(), &mut self.actions);
        // Nobody is asked for on a link of two.
        let is_asked = |leg: &&Leg| leg.peer.is_none();
        let legs = || self.legs.values().filter(is_asked);
        let gone = self
            .known
            .values()
            .filter(|known| !legs().any(|leg| leg.number == known.number && leg.name == known.name));
        for leg in gone {
            self.neighbours.remove_interface(leg.number, out);
        }
        for leg in legs() {
            let known = self.known.get(&leg.number).filter(|known| known.name == leg.name);
            if known == Some(leg) {
                continue;
            }
            let interface = Interface::new(leg.mac, leg.answers_for(), leg.proxy_arp);
            self.neighbours.set_interface(now, leg.number, interface, out);
            for address in known.into_iter().flat_map(|known| known.statics.keys()) {
                if !leg.statics.contains_key(address) {
                    self.neighbours.remove_static(now, leg.number, *address, out);
                }
            }
            for (address, mac) in &leg.statics {
                if let Err(error) = self.neighbours.set_static(now, leg.number, *address, *mac, out) {
                    tracing::warn!(
                        interface = &*leg.name,
                        "neighbour {address} at {mac} is not taken: {error}"
                    );
                }
            }
        }
        self.known = legs().map(|leg| (leg.number, leg.clone())).collect();
        for (interface, address) in self.pinned.difference(&self.wanted) {
            self.neighbours.unpin(*interface, *address);
        }
        self.pinned.clone_from(&self.wanted);
        self.refused.retain(|hop| self.wanted.contains(hop));
        self.pin();
    }

    /// Has next hops asked for that are not kept resolved yet: new ones, and those for which there was no room before.
    pub(crate) fn pin(&mut self) {
        let now = self.now();
        for (interface, address) in &self.wanted {
            if self.neighbours.is_pinned(*interface, *address) {
                continue;
            }
            match self.neighbours.pin(now, *interface, *address, &mut self.actions) {
                Ok(()) => _ = self.refused.remove(&(*interface, *address)),
                // Said once.
                Err(error) if self.refused.insert((*interface, *address)) => {
                    let name = self.legs.get(interface).map_or("?", |leg| &leg.name);
                    tracing::warn!(interface = name, "next hop {address} cannot be asked for: {error}");
                }
                Err(_) => {}
            }
        }
    }

    /// Whether something is to be done about neighbours by the thread that serves packets.
    pub(crate) fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }
}
