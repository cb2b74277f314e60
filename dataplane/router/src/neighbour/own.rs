//! The switch's own addresses: found to be free, announced, and defended (RFC 5227, RFC 4862 §5.4).

use std::net::IpAddr;
use std::time::Duration;

use paceline_graph::Bucket;
use paceline_wire::ethernet::Mac;

use super::table::Key;
use super::{Action, Cause, Link, Neighbours, State};
use crate::frame::Frame;
use crate::interface::Interface;

/// One own address.
pub(super) struct Own {
    address: IpAddr,
    phase: Phase,
    /// Frames that are still to be sent in this phase.
    left: u8,
    deadline: Option<Duration>,
    /// When it was last defended.
    defended: Option<Duration>,
}

/// How far an own address is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It is not known to be free yet.
    Tentative,
    /// It is ours.
    Usable,
    /// Another station has it.
    Duplicate,
}

impl Link {
    /// Whether an own address was found to be free.
    pub(super) fn is_usable(&self, address: IpAddr) -> bool {
        self.own.iter().any(|own| own.address == address && own.phase == Phase::Usable)
    }
}

impl<P> Neighbours<P> {
    /// An interface came up, or is another from now on. Its new addresses, or all of them if its Ethernet address is new, are
    /// probed and announced, and neighbours of subnets that it has no more are forgotten.
    pub fn set_interface(
        &mut self,
        now: Duration,
        index: u16,
        interface: Interface,
        out: &mut Vec<Action<P>>,
    ) {
        let own: Vec<IpAddr> = interface.own().map(|net| net.addr()).collect();
        let ((asks, asks_burst), (learns, learns_burst)) = (self.settings.asks, self.settings.learns);
        let bucket = |per_second: u32, burst: u32| {
            let price = 1_000_000_000 / u64::from(per_second.max(1));
            Bucket::new(price, u64::from(burst), now.as_nanos() as u64)
        };
        let link = self.links.entry(index).or_insert_with(|| Link {
            interface: interface.clone(),
            own: Vec::new(),
            asks: bucket(asks, asks_burst),
            learns: bucket(learns, learns_burst),
        });
        let stays = link.interface.mac == interface.mac;
        let before = std::mem::replace(&mut link.interface, interface);
        for old in link.own.extract_if(.., |old| !stays || !own.contains(&old.address)) {
            if let Some(deadline) = old.deadline {
                self.own_timers.remove(&(deadline, (index, old.address)));
            }
        }
        let new: Vec<IpAddr> =
            own.into_iter().filter(|address| link.own.iter().all(|own| own.address != *address)).collect();
        for &address in &new {
            let phase = Phase::Tentative;
            link.own.push(Own { address, phase, left: 0, deadline: None, defended: None });
        }
        self.leave(&before, index, out);
        for address in new {
            // Whoever had it until now is not to be sent to.
            self.remove((index, address), Cause::Unfit, out);
            self.begin(now, (index, address), out);
        }
    }

    /// Ends the neighbours of subnets that an interface has no more: what was on its link may be elsewhere now. What was never in
    /// a subnet, or is pinned or configured, is there for another reason.
    fn leave(&mut self, before: &Interface, index: u16, out: &mut Vec<Action<P>>) {
        let Some(now) = self.interface(index).filter(|now| *now != before) else { return };
        let all = self.table.iter().filter(|((interface, _), _)| *interface == index);
        let free = all.filter(|(_, entry)| !entry.pinned && entry.state != State::Static).map(|(key, _)| key);
        let mut gone: Vec<Key> =
            free.filter(|(_, address)| before.is_on_link(*address) && !now.is_on_link(*address)).collect();
        gone.sort_unstable();
        for key in gone {
            self.remove(key, Cause::Unfit, out);
        }
    }

    /// An interface is gone, and all its neighbours.
    pub fn remove_interface(&mut self, index: u16, out: &mut Vec<Action<P>>) {
        let Some(link) = self.links.remove(&index) else { return };
        for own in link.own {
            if let Some(deadline) = own.deadline {
                self.own_timers.remove(&(deadline, (index, own.address)));
            }
        }
        let mut keys: Vec<Key> = self.table.iter().map(|(key, _)| key).filter(|key| key.0 == index).collect();
        keys.sort_unstable();
        for key in keys {
            self.remove(key, Cause::NoInterface, out);
        }
    }

    /// The interface of an index.
    pub fn interface(&self, index: u16) -> Option<&Interface> {
        self.links.get(&index).map(|link| &link.interface)
    }

    /// Whether an address is an interface's own and was found to be free.
    pub fn is_usable(&self, index: u16, address: IpAddr) -> bool {
        self.links.get(&index).is_some_and(|link| link.is_usable(address))
    }

    /// Does what the time has come for, for at most so many addresses.
    pub(super) fn poll_own(&mut self, now: Duration, most: usize, out: &mut Vec<Action<P>>) {
        for _ in 0..most {
            let Some(&(_, key)) = self.own_timers.first().filter(|(deadline, _)| *deadline <= now) else {
                return;
            };
            match self.own(key).map(|own| own.phase) {
                Some(Phase::Tentative) => self.probe(now, key, out),
                Some(Phase::Usable) => self.announce(now, key, out),
                Some(Phase::Duplicate) => self.begin(now, key, out),
                None => _ = self.own_timers.pop_first(),
            }
        }
    }

    fn own(&mut self, (index, address): Key) -> Option<&mut Own> {
        self.links.get_mut(&index)?.own.iter_mut().find(|own| own.address == address)
    }

    /// Changes an address and its timer.
    fn set(&mut self, key: Key, phase: Phase, left: u8, deadline: Option<Duration>) {
        let Some(own) = self.own(key) else { return };
        let old = own.deadline;
        (own.phase, own.left, own.deadline) = (phase, left, deadline);
        if let Some(old) = old {
            self.own_timers.remove(&(old, key));
        }
        if let Some(deadline) = deadline {
            self.own_timers.insert((deadline, key));
        }
    }

    fn begin(&mut self, now: Duration, key: Key, out: &mut Vec<Action<P>>) {
        let probes = if key.1.is_ipv4() { self.settings.probes4 } else { self.settings.probes6 };
        self.set(key, Phase::Tentative, probes, None);
        self.probe(now, key, out);
    }

    /// Sends the next probe, or takes the address if nobody said a word to all of them.
    fn probe(&mut self, now: Duration, key: Key, out: &mut Vec<Action<P>>) {
        let Some(left) = self.own(key).map(|own| own.left) else { return };
        let (interface, address) = key;
        if left > 0 {
            self.set(key, Phase::Tentative, left - 1, Some(now.saturating_add(self.settings.probe_gap)));
            self.send(interface, |mac| Frame::probe(mac, address), out);
            return;
        }
        self.set(key, Phase::Usable, self.settings.announcements, None);
        out.push(Action::Usable { interface, address });
        self.announce(now, key, out);
    }

    /// Sends the next announcement, if there is one.
    fn announce(&mut self, now: Duration, key: Key, out: &mut Vec<Action<P>>) {
        let Some(left) = self.own(key).map(|own| own.left) else { return };
        let deadline = (left > 1).then_some(now.saturating_add(self.settings.announce_gap));
        self.set(key, Phase::Usable, left.saturating_sub(1), deadline);
        if left > 0 {
            self.counters.announced += 1;
            self.send(key.0, |mac| Frame::announcement(mac, key.1), out);
        }
    }

    /// Another station claims an address. `false` if that is not ours.
    pub(super) fn claim(
        &mut self,
        now: Duration,
        interface: u16,
        address: IpAddr,
        mac: Mac,
        out: &mut Vec<Action<P>>,
    ) -> bool {
        let (defend, duplicate) = (self.settings.defend, self.settings.duplicate);
        let key = (interface, address);
        let Some(own) = self.own(key) else { return false };
        match own.phase {
            Phase::Tentative => {
                self.set(key, Phase::Duplicate, 0, Some(now.saturating_add(duplicate)));
                out.push(Action::Conflict { interface, address, mac, lost: true });
            }
            Phase::Usable if own.defended.is_none_or(|last| now >= last.saturating_add(defend)) => {
                own.defended = Some(now);
                out.push(Action::Conflict { interface, address, mac, lost: false });
                self.counters.announced += 1;
                self.send(interface, |mac| Frame::announcement(mac, address), out);
            }
            Phase::Usable | Phase::Duplicate => {}
        }
        self.counters.conflicts += 1;
        true
    }

    fn send(&self, interface: u16, frame: impl FnOnce(Mac) -> Option<Frame>, out: &mut Vec<Action<P>>) {
        if let Some(frame) = self.links.get(&interface).and_then(|link| frame(link.interface.mac)) {
            out.push(Action::Send { interface, frame });
        }
    }
}
