//! Multicast groups in bridges: what workers overheard, and what bridges ask.

use std::collections::BTreeMap;
use std::time::Duration;

use paceline_buf::Packet;
use paceline_nodes::hop;
use paceline_router::snooping::{Listener, Role};

use super::{Routing, Way};

impl Routing {
    /// Brings the bridge domains that listen to what is wanted, by their numbers; before workers go over to them.
    pub(crate) fn listen(&mut self, listeners: BTreeMap<u16, Listener>) {
        let now = self.now();
        self.snooping.set(now, listeners);
    }

    /// Looks at what a host or router said of groups.
    pub(super) fn overhear(&mut self, now: Duration, packet: Packet, way: &mut Way) {
        self.scratch.clear();
        packet.segments().for_each(|segment| self.scratch.extend_from_slice(segment));
        let (rx, domain) = (packet.rx, packet.domain);
        way.cache.free(packet);
        self.snooping.input(now, domain, rx, &self.scratch, &mut self.questions);
    }

    /// Forgets who is in no group any more, and sends what bridges ask to all of their ports.
    pub(super) fn serve_snooping(&mut self, now: Duration, way: &mut Way) {
        self.snooping.poll(now, &mut self.questions);
        for question in self.questions.drain(..) {
            if let Some(mut packet) = way.packet(question.frame()) {
                (packet.rx, packet.domain) = (NO_INTERFACE, question.domain);
                way.send(hop::L2_FLOOD, packet);
            }
        }
    }

    /// What is known of a domain: its ports, what each is, and for how long.
    pub(crate) fn overheard(&self, domain: u16) -> Vec<(Role, u16, Duration)> {
        self.snooping.view(self.now(), domain)
    }

    /// Times that somebody joined a group in a domain for which there was no place.
    pub(crate) fn groups_refused(&self, domain: u16) -> u64 {
        self.snooping.refused(domain)
    }
}

/// What the switch itself says in a bridge came in by no interface.
const NO_INTERFACE: u16 = u16::MAX;
