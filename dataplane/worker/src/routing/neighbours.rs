//! What the neighbour table is told of a new topology.

use std::net::IpAddr;

use paceline_router::Interface;

use super::lines::{Target, version};
use super::{Leg, Routing};

impl Routing {
    /// Tells of legs that came, went or changed, and of next hops that are to be kept resolved. What comes of it is done by the
    /// thread that serves packets.
    pub(super) fn tell_neighbours(&mut self) {
        if self.known != self.legs {
            self.tell_of_legs();
            // Those of an interface that is another one are not kept resolved any more.
            self.unpinned.extend(self.lines.next_hops());
        }
        for hop in self.lines.take_changed() {
            if self.is_next_hop(hop) {
                self.unpinned.insert(hop);
            } else {
                self.neighbours.unpin(hop.0, hop.1);
                self.unpinned.remove(&hop);
                self.refused.remove(&hop);
            }
        }
        self.pin();
    }

    fn tell_of_legs(&mut self) {
        let (now, out) = (self.started.elapsed(), &mut self.actions);
        // Nobody is asked for on a link of two.
        let asks = |leg: &&Leg| leg.peer.is_none();
        let there =
            |known: &Leg| self.legs.get(&known.number).filter(asks).is_some_and(|leg| leg.name == known.name);
        for leg in self.known.values().filter(asks).filter(|known| !there(known)) {
            self.neighbours.remove_interface(leg.number, out);
        }
        for leg in self.legs.values().filter(asks) {
            let known = self.known.get(&leg.number).filter(asks).filter(|known| known.name == leg.name);
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
        self.known.clone_from(&self.legs);
    }

    /// Whether a route leads to a neighbour, other than one to the neighbour alone.
    pub(super) fn is_next_hop(&self, (interface, address): (u16, IpAddr)) -> bool {
        let target = |leg: &Leg| Target::Neighbour(leg.link(version(address)), address);
        self.legs.get(&interface).is_some_and(|leg| self.lines.is_next_hop(&target(leg)))
    }

    /// Has next hops asked for that are not kept resolved yet: new ones, and those for which there was no room before.
    pub(crate) fn pin(&mut self) {
        let now = self.now();
        let (neighbours, actions) = (&mut self.neighbours, &mut self.actions);
        self.unpinned.retain(|hop| {
            let (interface, address) = *hop;
            match neighbours.pin(now, interface, address, actions) {
                Ok(()) => _ = self.refused.remove(hop),
                Err(error) => {
                    // Said once.
                    if self.refused.insert(*hop) {
                        let name = self.legs.get(&interface).map_or("?", |leg| &leg.name);
                        tracing::warn!(interface = name, "next hop {address} cannot be asked for: {error}");
                    }
                    return true;
                }
            }
            false
        });
    }

    /// Whether something is to be done about neighbours by the thread that serves packets.
    pub(crate) fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }
}
