//! What is said about neighbours from outside: something depends on one, one is configured, all are to be forgotten.

use std::net::IpAddr;
use std::time::Duration;

use paceline_wire::ethernet::Mac;

use super::table::{Entry, Key, REACHABLE, UNRESOLVED};
use super::{Action, Neighbours, Refused, State};

impl<P> Neighbours<P> {
    /// Keeps a neighbour resolved from now on: something depends on it.
    ///
    /// # Errors
    /// There is no such interface, no neighbour can have the address, or all the room is taken by what is pinned.
    pub fn pin(
        &mut self,
        now: Duration,
        interface: u16,
        address: IpAddr,
        out: &mut Vec<Action<P>>,
    ) -> Result<(), Refused> {
        let key = (interface, address);
        self.check(key)?;
        if self.table.get(key).is_some() {
            self.table.change(key, |entry| entry.pinned = true);
            return Ok(());
        }
        if !self.make_room(interface, UNRESOLVED..=REACHABLE, out) {
            self.counters.full += 1;
            return Err(Refused::Full);
        }
        self.table.put(key, Entry { pinned: true, ..Entry::new(now) });
        self.start(now, key, out);
        Ok(())
    }

    /// Nothing depends on a neighbour any more. It stays until it is silent.
    pub fn unpin(&mut self, interface: u16, address: IpAddr) {
        self.table.change((interface, address), |entry| entry.pinned = false);
    }

    /// Gives a neighbour its Ethernet address by configuration. It takes no room from others.
    ///
    /// # Errors
    /// There is no such interface, or no neighbour can have the address.
    pub fn set_static(
        &mut self,
        now: Duration,
        interface: u16,
        address: IpAddr,
        mac: Mac,
        out: &mut Vec<Action<P>>,
    ) -> Result<(), Refused> {
        let key = (interface, address);
        self.check(key)?;
        if self.table.get(key).is_none() {
            self.table.put(key, Entry { state: State::Static, ..Entry::new(now) });
        }
        self.know(now, key, mac, State::Static, out);
        Ok(())
    }

    /// Takes back what [`set_static`](Self::set_static) said.
    pub fn remove_static(
        &mut self,
        now: Duration,
        interface: u16,
        address: IpAddr,
        out: &mut Vec<Action<P>>,
    ) {
        if self.table.get((interface, address)).is_some_and(|entry| entry.state == State::Static) {
            self.forget(now, (interface, address), out);
        }
    }

    /// Forgets the neighbours of an interface that are not static. What is pinned is asked for anew.
    pub fn flush(&mut self, now: Duration, interface: u16, out: &mut Vec<Action<P>>) {
        let is_meant = |(key, entry): &(Key, &Entry)| key.0 == interface && entry.state != State::Static;
        let mut keys: Vec<Key> = self.table.iter().filter(is_meant).map(|(key, _)| key).collect();
        keys.sort_unstable();
        for key in keys {
            self.forget(now, key, out);
        }
    }

    fn check(&self, (interface, address): Key) -> Result<(), Refused> {
        let link = self.links.get(&interface).ok_or(Refused::NoInterface)?;
        if link.interface.may_be_asked_for(address) { Ok(()) } else { Err(Refused::Unfit) }
    }
}
