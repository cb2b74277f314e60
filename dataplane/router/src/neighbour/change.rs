//! The changes that an entry goes through, and what each of them tells.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use paceline_wire::ethernet::Mac;

use super::table::{Entry, Key, REACHABLE, UNRESOLVED};
use super::{Action, Cause, Neighbours, State};

impl<P> Neighbours<P> {
    /// The Ethernet address of a neighbour is known.
    pub(super) fn know(&mut self, now: Duration, key: Key, mac: Mac, state: State, out: &mut Vec<Action<P>>) {
        let Some(old) = self.table.get(key).copied() else { return };
        let is_new = !old.state.is_resolved() || old.mac == Mac(0);
        let deadline = match state {
            State::Reachable => Some(now.saturating_add(self.reachable(key.1))),
            State::Static => None,
            _ => Some(now.saturating_add(self.settings.delay)),
        };
        let is_other = is_new || old.mac != mac;
        self.table.change(key, |entry| {
            (entry.state, entry.mac, entry.tries) = (state, mac, 0);
            entry.deadline = deadline;
            if is_other {
                entry.since = now;
            }
        });
        let (interface, address) = key;
        if is_other {
            out.push(Action::Resolved { interface, address, mac });
        }
        if is_other && !is_new {
            self.counters.moved += 1;
        }
        while let Some(packet) = self.waiting.pop(key) {
            out.push(Action::Release { packet, interface, mac });
        }
    }

    /// How long a neighbour counts as reachable.
    fn reachable(&mut self, address: IpAddr) -> Duration {
        let base = if address.is_ipv4() { self.settings.reachable4 } else { self.settings.reachable6 };
        let spread = u32::from(self.settings.spread.min(100));
        base.saturating_mul(self.random.u32(100 - spread..=100 + spread)) / 100
    }

    /// A neighbour is not known any more: what is pinned is asked for, other entries end.
    pub(super) fn forget(&mut self, now: Duration, key: Key, out: &mut Vec<Action<P>>) {
        let Some(entry) = self.table.get(key).copied() else { return };
        if !entry.pinned {
            self.remove(key, Cause::Full, out);
            return;
        }
        if entry.state.is_resolved() {
            out.push(Action::Lost { interface: key.0, address: key.1 });
        }
        // A static one took no room, and may find none now.
        self.table.remove(key);
        if self.make_room(key.0, UNRESOLVED..=REACHABLE, out) {
            self.table.put(key, Entry { rounds: 0, ..entry });
            self.start(now, key, out);
        } else {
            self.counters.full += 1;
            self.give_up(key, Cause::Full, out);
        }
    }

    /// Ends an entry.
    pub(super) fn remove(&mut self, key: Key, cause: Cause, out: &mut Vec<Action<P>>) {
        if self.table.remove(key).is_some_and(|entry| entry.state.is_resolved()) {
            out.push(Action::Lost { interface: key.0, address: key.1 });
        }
        self.give_up(key, cause, out);
    }

    pub(super) fn give_up(&mut self, key: Key, cause: Cause, out: &mut Vec<Action<P>>) {
        while let Some(packet) = self.waiting.pop(key) {
            out.push(Action::GiveUp { packet, cause });
        }
    }

    /// Makes room for one more entry of an interface, at the cost of some classes of entries of the same interface, or of the
    /// oldest unresolved one of any. `false` if there is none and none can be made.
    pub(super) fn make_room(
        &mut self,
        interface: u16,
        classes: RangeInclusive<u8>,
        out: &mut Vec<Action<P>>,
    ) -> bool {
        let victim = if self.table.count(interface) >= self.settings.each_interface {
            self.table.first(interface, classes)
        } else if self.table.len() >= self.settings.all {
            let may_take = classes.contains(&UNRESOLVED);
            let unresolved = || may_take.then(|| self.table.oldest_unresolved()).flatten();
            let own_unresolved =
                may_take.then(|| self.table.first(interface, UNRESOLVED..=UNRESOLVED)).flatten();
            own_unresolved.or_else(unresolved).or_else(|| self.table.first(interface, classes))
        } else {
            return true;
        };
        let Some(victim) = victim else { return false };
        self.counters.evicted += 1;
        self.remove(victim, Cause::Full, out);
        true
    }
}
