//! The neighbour table as one would tell it: a list that is walked, without a thought for time or room.

use std::collections::BTreeMap;

use paceline_router::neighbour::State;

/// What happens. Numbers are a link, the last byte of an address, that of a MAC address; or milliseconds.
#[derive(Clone, Debug)]
pub enum Step {
    Want(u16, u8),
    /// An ARP reply to us.
    Reply(u16, u8, u8),
    /// A question for our address.
    Ask(u16, u8, u8),
    Announce(u16, u8, u8),
    Pin(u16, u8),
    Unpin(u16, u8),
    Static(u16, u8, u8),
    Unstatic(u16, u8),
    Flush(u16),
    Down(u16),
    Up(u16),
    Wait(u16),
}

/// A neighbour as the twin knows it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Twin {
    pub state: State,
    pub mac: u8,
    tries: u8,
    rounds: u32,
    pub pinned: bool,
    /// When the state ends, when the MAC address or the failure began, in milliseconds.
    until: u64,
    since: u64,
}

/// All neighbours, with no thought for time or room.
#[derive(Default)]
pub struct Obvious {
    now: u64,
    up: [bool; 3],
    all: BTreeMap<(u16, u8), Twin>,
}

impl Obvious {
    pub fn new(now: u64) -> Obvious {
        Obvious { now, ..Obvious::default() }
    }

    pub fn all(&self) -> &BTreeMap<(u16, u8), Twin> {
        &self.all
    }

    fn start(&mut self, key: (u16, u8), pinned: bool) {
        let now = self.now;
        let old = self.all.get(&key).copied();
        let rounds = old.map_or(0, |old| old.rounds);
        let since = old.map_or(now, |old| old.since);
        let pinned = pinned || old.is_some_and(|old| old.pinned);
        let twin =
            Twin { state: State::Incomplete, mac: 0, tries: 1, rounds, pinned, until: now + 1000, since };
        self.all.insert(key, twin);
    }

    fn know(&mut self, key: (u16, u8), mac: u8, state: State) {
        let now = self.now;
        let time = match state {
            State::Reachable => 60_000,
            State::Stale => 5000,
            _ => u64::MAX / 2,
        };
        let old = self.all.get(&key).copied();
        let since = old.filter(|old| old.state.is_resolved() && old.mac == mac).map_or(now, |old| old.since);
        let pinned = old.is_some_and(|old| old.pinned);
        self.all.insert(key, Twin { state, mac, tries: 0, rounds: 0, pinned, until: now + time, since });
    }

    fn forget(&mut self, key: (u16, u8)) {
        if self.all.get(&key).is_some_and(|twin| twin.pinned) {
            self.start(key, true);
        } else {
            self.all.remove(&key);
        }
    }

    /// One thing that time brings, at its time.
    fn tick(&mut self, until: u64) -> bool {
        let next = self.all.iter().map(|(key, twin)| (twin.until, *key)).min();
        let Some((time, key)) = next.filter(|(time, _)| *time <= until) else { return false };
        self.now = time;
        let twin = self.all.get_mut(&key).expect("it is there");
        match twin.state {
            State::Incomplete if twin.tries == 3 => {
                let pause = if twin.pinned { (2000 << twin.rounds.min(10)).min(60_000) } else { 2000 };
                (twin.state, twin.until, twin.since) = (State::Failed, time + pause, time);
                twin.rounds += 1;
            }
            State::Probing if twin.tries == 3 => self.forget(key),
            State::Incomplete | State::Probing => (twin.tries, twin.until) = (twin.tries + 1, time + 1000),
            State::Reachable | State::Stale => {
                (twin.state, twin.tries, twin.until) = (State::Probing, 1, time + 1000);
            }
            State::Failed if twin.pinned => self.start(key, true),
            State::Failed => _ = self.all.remove(&key),
            State::Static => unreachable!("it has no time"),
        }
        true
    }

    pub fn step(&mut self, step: &Step) {
        match *step {
            Step::Want(link, last) if self.up[link as usize] => match self.all.get(&(link, last)) {
                Some(twin) if twin.state != State::Failed || self.now < twin.since + 2000 => {}
                _ => self.start((link, last), false),
            },
            Step::Reply(link, last, mac) | Step::Announce(link, last, mac) if self.up[link as usize] => {
                let is_reply = matches!(step, Step::Reply(..));
                let heard = if is_reply { State::Reachable } else { State::Stale };
                let Some(twin) = self.all.get(&(link, last)).copied() else { return };
                let is_held = is_reply && self.now < twin.since + 1000;
                match twin.state {
                    State::Static => {}
                    State::Incomplete | State::Failed => self.know((link, last), mac, heard),
                    State::Reachable if mac != twin.mac && is_held => {
                        self.know((link, last), twin.mac, State::Stale);
                    }
                    _ if mac != twin.mac && is_held || mac == twin.mac && !is_reply => {}
                    _ => self.know((link, last), mac, heard),
                }
            }
            Step::Ask(link, last, mac) if self.up[link as usize] => match self.all.get(&(link, last)) {
                Some(twin) if twin.state == State::Static => {}
                Some(twin) if twin.state.is_resolved() && twin.mac == mac => {}
                _ => self.know((link, last), mac, State::Stale),
            },
            Step::Pin(link, last) if self.up[link as usize] => match self.all.get_mut(&(link, last)) {
                Some(twin) => twin.pinned = true,
                None => self.start((link, last), true),
            },
            Step::Unpin(link, last) => {
                if let Some(twin) = self.all.get_mut(&(link, last)) {
                    twin.pinned = false;
                }
            }
            Step::Static(link, last, mac) if self.up[link as usize] => {
                self.know((link, last), mac, State::Static);
            }
            Step::Unstatic(link, last)
                if self.all.get(&(link, last)).is_some_and(|twin| twin.state == State::Static) =>
            {
                self.forget((link, last));
            }
            Step::Flush(link) => {
                let is_meant =
                    |(key, twin): &(&(u16, u8), &Twin)| key.0 == link && twin.state != State::Static;
                let keys: Vec<_> = self.all.iter().filter(is_meant).map(|(key, _)| *key).collect();
                for key in keys {
                    if let Some(twin) = self.all.get_mut(&key) {
                        twin.rounds = 0;
                    }
                    self.forget(key);
                }
            }
            Step::Down(link) => {
                self.up[link as usize] = false;
                self.all.retain(|key, _| key.0 != link);
            }
            Step::Up(link) => self.up[link as usize] = true,
            Step::Wait(millis) => {
                let until = self.now + u64::from(millis);
                while self.tick(until) {}
                self.now = until;
            }
            _ => {}
        }
    }
}
