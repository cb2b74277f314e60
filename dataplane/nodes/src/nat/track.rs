//! What becomes of a session with each packet: how long it lives, and whether it makes way for others.

use paceline_graph::nat::NatClass;
use paceline_tables::State;
use paceline_wire::tcp::{self, FIN, SYN};
use paceline_wire::{icmpv4, icmpv6};

use super::family::RST;

/// A SYN was seen from the side that began; shifted by one, from the other side.
const OPENED: u8 = 1;
/// The side that began has acknowledged the other one's SYN.
const ESTABLISHED: u8 = 1 << 2;
/// A FIN was seen from the side that began; shifted by one, from the other side.
const CLOSED: u8 = 1 << 3;
/// It was reset.
const RESET: u8 = 1 << 5;
/// It was found in the middle: any packet of a side stands for its SYN. So connections outlive a restart of the switch.
const FOUND: u8 = 1 << 6;

/// The state of a session that a packet begins.
pub fn first(protocol: u8, flags: u8, now: u32, generation: u16) -> State {
    let (class, track) = match protocol {
        tcp::PROTOCOL if flags & SYN != 0 => (NatClass::TcpTransitory, OPENED),
        tcp::PROTOCOL => (NatClass::TcpTransitory, FOUND | OPENED),
        icmpv4::PROTOCOL | icmpv6::PROTOCOL => (NatClass::Icmp, 0),
        _ => (NatClass::UdpNew, 0),
    };
    State { seen: now, generation, class: class as u8, track }
}

/// The state after one more packet. `back` if it is against the direction of the first. A later part of a packet has no flags.
///
/// TCP follows RFC 6146 §3.5.2 and RFC 7857 §2, but a session is only established when the side that began it has answered the
/// other's SYN: the answers of a server alone do not turn a flood of SYNs into sessions that live for hours.
#[inline]
pub fn next(state: State, protocol: u8, flags: u8, back: bool) -> State {
    if protocol != tcp::PROTOCOL {
        let is_answered = back && state.class == NatClass::UdpNew as u8;
        let class = if is_answered { NatClass::Udp as u8 } else { state.class };
        return State { class, ..state };
    }
    let track = track(state.track, flags, u8::from(back));
    let both = CLOSED | CLOSED << 1;
    let is_open = track & ESTABLISHED != 0 && track & RESET == 0 && track & both != both;
    let class = if is_open { NatClass::TcpEstablished } else { NatClass::TcpTransitory };
    State { class: class as u8, track, ..state }
}

fn track(track: u8, flags: u8, side: u8) -> u8 {
    let both = CLOSED | CLOSED << 1;
    if flags & RST != 0 {
        return track | RESET;
    }
    if flags & SYN != 0 {
        // After the end of a connection its ports are used again.
        let is_over = track & RESET != 0 || track & both == both;
        return if is_over { OPENED << side } else { track | OPENED << side };
    }
    // A reset that the other side did not take for one is none (RFC 6146 §3.5.2.2, state TRANS).
    let mut track = track & !RESET;
    if track & FOUND != 0 {
        track |= OPENED << side;
    }
    if side == 0 && track & OPENED << 1 != 0 {
        track |= ESTABLISHED;
    }
    if flags & FIN != 0 { track | CLOSED << side } else { track }
}

/// Whether a packet leaves a session as it is, but for its time.
#[inline(always)]
pub fn is_steady(state: State, protocol: u8, flags: u8, back: bool) -> bool {
    if protocol == tcp::PROTOCOL {
        return flags & (SYN | FIN | RST) == 0 && state.class == NatClass::TcpEstablished as u8;
    }
    !back || state.class != NatClass::UdpNew as u8
}

#[cfg(test)]
mod tests {
    use paceline_wire::tcp::ACK;

    use super::*;

    /// The class after these packets, of which the first begins the session.
    fn after(packets: &[(u8, bool)]) -> u8 {
        let mut state = first(6, packets[0].0, 1, 1);
        for (flags, back) in &packets[1..] {
            let was = state;
            state = next(state, 6, *flags, *back);
            assert!(!is_steady(was, 6, *flags, *back) || state == was);
        }
        state.class
    }

    #[test]
    fn connections_open_and_close() {
        let (open, closed) = (NatClass::TcpEstablished as u8, NatClass::TcpTransitory as u8);
        let handshake = [(SYN, false), (SYN | ACK, true), (ACK, false)];
        let then = |more: &[(u8, bool)]| after(&[&handshake[..], more].concat());
        assert_eq!(after(&handshake[..1]), closed);
        assert_eq!(after(&handshake[..2]), closed, "a server's answer alone is not enough");
        assert_eq!(after(&[(SYN, false), (SYN, false), (ACK, false)]), closed, "nobody answered");
        assert_eq!(then(&[]), open);
        assert_eq!(then(&[(ACK, true), (FIN | ACK, false), (ACK, true)]), open, "half closed");
        assert_eq!(then(&[(FIN | ACK, false), (FIN | ACK, true)]), closed);
        assert_eq!(then(&[(FIN | ACK, false), (FIN | ACK, true), (ACK, false)]), closed);
        assert_eq!(then(&[(RST, true)]), closed);
        assert_eq!(then(&[(RST, true), (ACK, false)]), open, "the reset was none");
        let again = [(FIN, false), (FIN, true), (SYN, false), (SYN | ACK, true)];
        assert_eq!(then(&again), closed);
        assert_eq!(then(&[&again[..], &[(ACK, false)]].concat()), open, "the same ports once more");
        assert_eq!(then(&[(SYN, false)]), open, "a SYN in between changes nothing");
    }

    #[test]
    fn connections_are_found_in_the_middle() {
        let (open, closed) = (NatClass::TcpEstablished as u8, NatClass::TcpTransitory as u8);
        assert_eq!(after(&[(ACK, false), (ACK, false)]), closed);
        assert_eq!(after(&[(ACK, false), (ACK, true), (ACK, false)]), open);
        assert_eq!(after(&[(ACK, false), (RST, true)]), closed);
    }

    #[test]
    fn an_answer_makes_a_datagram_a_conversation() {
        let state = first(17, 0, 1, 1);
        assert_eq!(next(state, 17, 0, false), state);
        assert_eq!(next(state, 17, 0, true).class, NatClass::Udp as u8);
        assert_eq!(next(first(1, 0, 1, 1), 1, 0, true).class, NatClass::Icmp as u8);
    }
}
