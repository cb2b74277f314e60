//! What frames teach, and the replies to them.

use std::net::IpAddr;
use std::time::Duration;

use paceline_wire::ethernet::Mac;

use super::table::{Entry, UNCONFIRMED};
use super::{Action, Neighbours, State};
use crate::answer::{self, Whose};
use crate::heard::{Ask, Fault, Heard, Tell};

impl<P> Neighbours<P> {
    /// A frame of ARP or neighbour discovery came in by an interface; `frame` is its first segment. Learns from it and answers
    /// it. `is_routed_elsewhere` says whether another interface leads to an address, and is asked only on behalf of a proxy.
    pub fn input(
        &mut self,
        now: Duration,
        interface: u16,
        frame: &[u8],
        is_routed_elsewhere: impl FnOnce(IpAddr) -> bool,
        out: &mut Vec<Action<P>>,
    ) {
        let heard = self.links.get(&interface).map(|link| Heard::read(frame, link.interface.mac));
        match heard {
            Some(Ok(Heard::Ask(ask))) => self.hear_question(now, interface, &ask, is_routed_elsewhere, out),
            Some(Ok(Heard::Tell(tell))) => self.hear_answer(now, interface, &tell, out),
            Some(Err(Fault::Arp(_) | Fault::Ndp(_) | Fault::Ethernet)) => self.counters.malformed += 1,
            Some(Err(Fault::Elsewhere | Fault::Echo | Fault::Other)) | None => self.counters.ignored += 1,
        }
    }

    fn hear_question(
        &mut self,
        now: Duration,
        interface: u16,
        ask: &Ask,
        is_routed_elsewhere: impl FnOnce(IpAddr) -> bool,
        out: &mut Vec<Action<P>>,
    ) {
        // Somebody speaks with our address, or tries to get the one that we try to get.
        let claims = match ask.sender {
            Some(sender) => self.claim(now, interface, sender, ask.mac, out),
            None => {
                !self.is_usable(interface, ask.target) && self.claim(now, interface, ask.target, ask.mac, out)
            }
        };
        let Some(link) = self.links.get(&interface).filter(|_| !claims) else { return };
        let answer = answer::answer(ask, &link.interface, |own| link.is_usable(own), is_routed_elsewhere);
        if let Some(sender) = ask.sender.filter(|_| ask.tells_mac) {
            self.learn_asker(now, interface, sender, ask.mac, answer.is_some(), out);
        }
        if let Some((frame, whose)) = answer {
            match whose {
                Whose::Own => self.counters.answered += 1,
                Whose::Proxied => self.counters.proxied += 1,
            }
            out.push(Action::Send { interface, frame });
        } else if ask.sender.is_none_or(|sender| self.table.get((interface, sender)).is_none()) {
            self.counters.ignored += 1;
        }
    }

    /// Learns from a question (RFC 826, RFC 4861 §7.2.3): whoever asks for us will hear from us, and is worth an entry. Others
    /// only change what is known of them.
    fn learn_asker(
        &mut self,
        now: Duration,
        interface: u16,
        sender: IpAddr,
        mac: Mac,
        asked_us: bool,
        out: &mut Vec<Action<P>>,
    ) {
        let key = (interface, sender);
        if let Some(entry) = self.table.get(key).copied() {
            match entry.state {
                State::Static => self.counters.protected += u64::from(entry.mac != mac),
                state if state.is_resolved() && entry.mac == mac => {}
                _ => self.know(now, key, mac, State::Stale, out),
            }
            return;
        }
        if !asked_us {
            return;
        }
        let nanos = now.as_nanos() as u64;
        let may_come = self
            .links
            .get_mut(&interface)
            .is_some_and(|link| link.interface.is_on_link(sender) && link.learns.take(nanos));
        if !may_come || !self.make_room(interface, UNCONFIRMED..=UNCONFIRMED, out) {
            self.counters.not_learned += 1;
            return;
        }
        self.counters.learned += 1;
        self.table.put(key, Entry::new(now));
        self.know(now, key, mac, State::Stale, out);
    }

    /// Learns from an answer or announcement (RFC 4861 §7.2.5, RFC 826).
    fn hear_answer(&mut self, now: Duration, interface: u16, tell: &Tell, out: &mut Vec<Action<P>>) {
        let key = (interface, tell.address);
        if self.claim(now, interface, tell.address, tell.mac.unwrap_or(tell.from), out) {
            return;
        }
        let Some(entry) = self.table.get(key).copied() else {
            self.counters.unsolicited += 1;
            return;
        };
        let mac = tell.mac.unwrap_or(entry.mac);
        let is_other = mac != entry.mac;
        // ARP has no flag for it: the first of several replies is believed for a moment.
        let is_held = tell.address.is_ipv4() && now < entry.since.saturating_add(self.settings.hold);
        let overrides = tell.overrides || tell.address.is_ipv4() && !is_held;
        let state = if tell.solicited { State::Reachable } else { State::Stale };
        match entry.state {
            State::Static => self.counters.protected += u64::from(is_other),
            State::Incomplete | State::Failed => {
                if let Some(mac) = tell.mac {
                    self.counters.resolved += 1;
                    self.know(now, key, mac, state, out);
                }
            }
            State::Reachable if is_other && !overrides => self.know(now, key, entry.mac, State::Stale, out),
            _ if is_other && !overrides => {}
            _ if is_other || tell.solicited => self.know(now, key, mac, state, out),
            _ => {}
        }
    }
}
