//! Asking for neighbours: for packets that want one, and when the time has come.

use std::net::IpAddr;
use std::time::Duration;

use paceline_wire::ethernet::Mac;

use super::table::{Entry, Key, PROBED, UNRESOLVED};
use super::{Action, Cause, Neighbours, State};
use crate::frame::Frame;

/// Entries whose time has come that one [`Neighbours::poll`] treats, so that what comes out of it is bounded too.
const PER_POLL: usize = 1024;

impl<P> Neighbours<P> {
    /// A packet is to go to a neighbour of an interface. It is released at once if that is known; otherwise it waits.
    pub fn want(
        &mut self,
        now: Duration,
        interface: u16,
        address: IpAddr,
        packet: P,
        out: &mut Vec<Action<P>>,
    ) {
        let key = (interface, address);
        let known = self.table.get(key).copied();
        let refusal = match known {
            Some(entry) if entry.state.is_resolved() => {
                out.push(Action::Release { packet, interface, mac: entry.mac });
                return;
            }
            Some(entry) if entry.state == State::Incomplete => None,
            Some(entry) if now < entry.since.saturating_add(self.settings.failed) => Some(Cause::Unanswered),
            _ => self.may_ask(now, key, known.is_some(), out).err(),
        };
        if let Some(cause) = refusal {
            out.push(Action::GiveUp { packet, cause });
            return;
        }
        self.waiting.push(key, packet);
        let crowded = if self.waiting.count(key) > self.settings.waiting_each {
            self.waiting.pop(key)
        } else if self.waiting.len() > self.settings.waiting_all {
            self.waiting.pop_oldest()
        } else {
            None
        };
        if let Some(packet) = crowded {
            self.counters.crowded += 1;
            out.push(Action::GiveUp { packet, cause: Cause::Crowded });
        }
        if known.is_none_or(|entry| entry.state == State::Failed) {
            self.start(now, key, out);
        }
    }

    /// Whether a packet may have an address asked for, for which there is room then.
    fn may_ask(
        &mut self,
        now: Duration,
        (interface, address): Key,
        is_known: bool,
        out: &mut Vec<Action<P>>,
    ) -> Result<(), Cause> {
        let Some(link) = self.links.get_mut(&interface) else {
            self.counters.unfit += 1;
            return Err(Cause::NoInterface);
        };
        if !link.interface.may_be_asked_for(address) {
            self.counters.unfit += 1;
            return Err(Cause::Unfit);
        }
        if !link.asks.take(now.as_nanos() as u64) {
            self.counters.busy += 1;
            return Err(Cause::Busy);
        }
        if !is_known && !self.make_room(interface, UNRESOLVED..=PROBED, out) {
            self.counters.full += 1;
            return Err(Cause::Full);
        }
        Ok(())
    }

    /// Does what the time has come for. At most some thousand actions come out; if there is more to do,
    /// [`next_deadline`](Self::next_deadline) is in the past afterwards.
    pub fn poll(&mut self, now: Duration, out: &mut Vec<Action<P>>) {
        self.poll_own(now, PER_POLL, out);
        for _ in 0..PER_POLL {
            let Some(key) = self.table.due(now) else { return };
            let Some(entry) = self.table.get(key).copied() else { return };
            match entry.state {
                State::Incomplete if entry.tries < self.settings.tries => self.ask(now, key, None, out),
                State::Incomplete => self.fail(now, key, out),
                State::Probing if entry.tries >= self.settings.tries => {
                    self.counters.lost += 1;
                    self.forget(now, key, out);
                }
                State::Probing => self.ask(now, key, Some(entry.mac), out),
                State::Reachable | State::Stale => {
                    self.table.change(key, |entry| (entry.state, entry.tries) = (State::Probing, 0));
                    self.ask(now, key, Some(entry.mac), out);
                }
                State::Failed if entry.pinned => self.start(now, key, out),
                State::Failed => self.remove(key, Cause::Full, out),
                State::Static => self.table.change(key, |entry| entry.deadline = None),
            }
        }
    }

    /// Begins a round of questions to all.
    pub(super) fn start(&mut self, now: Duration, key: Key, out: &mut Vec<Action<P>>) {
        let old = self.table.get(key).copied().unwrap_or(Entry::new(now));
        self.table.put(key, Entry { state: State::Incomplete, tries: 0, ..old });
        self.ask(now, key, None, out);
    }

    /// Asks once more, all or one station.
    fn ask(&mut self, now: Duration, key: Key, only: Option<Mac>, out: &mut Vec<Action<P>>) {
        let next = now.saturating_add(self.settings.retransmit);
        self.table.change(key, |entry| {
            entry.tries = entry.tries.saturating_add(1);
            entry.deadline = Some(next);
        });
        let frame = self.links.get(&key.0).and_then(|link| {
            let source = link.interface.source_for(key.1, |own| link.is_usable(own))?;
            Frame::ask(link.interface.mac, source, key.1, only)
        });
        let Some(frame) = frame else {
            self.counters.mute += 1;
            return;
        };
        *(if only.is_some() { &mut self.counters.probed } else { &mut self.counters.asked }) += 1;
        out.push(Action::Send { interface: key.0, frame });
    }

    /// Nobody answered.
    fn fail(&mut self, now: Duration, key: Key, out: &mut Vec<Action<P>>) {
        self.counters.failed += 1;
        let (least, most) = (self.settings.failed, self.settings.failed_most);
        self.table.change(key, |entry| {
            let pause = if entry.pinned {
                least.saturating_mul(1 << entry.rounds.min(16)).min(most.max(least))
            } else {
                least
            };
            entry.rounds = entry.rounds.saturating_add(1);
            (entry.state, entry.since, entry.deadline) =
                (State::Failed, now, Some(now.saturating_add(pause)));
        });
        self.give_up(key, Cause::Unanswered, out);
    }
}
