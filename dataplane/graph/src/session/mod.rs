//! What sessions have in common, those of address translation and those of filters: classes, how long they live, and their clock.

mod clock;
mod owners;

use paceline_tables::{Address, Session, Sessions, State};

pub use clock::SessionClock;
pub use owners::Owners;

/// Sessions of a class that are looked at for one that makes way: each may be a line that is in no cache.
const OLDEST: usize = 8;

/// What a session is, which decides how long it lives and whether it makes way for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SessionClass {
    /// TCP before its handshake is over, or after it was closed or reset.
    TcpTransitory = 1,
    /// TCP.
    TcpEstablished = 2,
    /// UDP and protocols like it, without an answer yet.
    UdpNew = 3,
    /// UDP and protocols like it.
    Udp = 4,
    /// ICMP queries.
    Icmp = 5,
}

impl SessionClass {
    /// All of them.
    pub const ALL: [SessionClass; 5] = [
        SessionClass::TcpTransitory,
        SessionClass::TcpEstablished,
        SessionClass::UdpNew,
        SessionClass::Udp,
        SessionClass::Icmp,
    ];

    /// The class of a number.
    pub fn of(number: u8) -> Option<SessionClass> {
        Self::ALL.into_iter().find(|class| *class as u8 == number)
    }

    /// Whether sessions make way for new ones when there is no room.
    #[inline]
    pub const fn makes_way(number: u8) -> bool {
        number != SessionClass::TcpEstablished as u8 && number != SessionClass::Udp as u8
    }

    /// The name that `show nat` prints.
    pub const fn name(self) -> &'static str {
        match self {
            SessionClass::TcpTransitory => "transitory",
            SessionClass::TcpEstablished => "established",
            SessionClass::UdpNew => "unanswered",
            SessionClass::Udp => "answered",
            SessionClass::Icmp => "query",
        }
    }
}

/// How long a session lives without a packet, in seconds (RFC 4787 REQ-5, RFC 5382 REQ-5, RFC 5508 REQ-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimeouts {
    /// TCP, after the handshake.
    pub tcp_established: u32,
    /// TCP, before the handshake's end, and after both sides closed or one was reset.
    pub tcp_transitory: u32,
    /// UDP, and every protocol that is none of the others.
    pub udp: u32,
    /// ICMP queries.
    pub icmp: u32,
}

impl Default for SessionTimeouts {
    fn default() -> Self {
        SessionTimeouts { tcp_established: 7440, tcp_transitory: 240, udp: 300, icmp: 60 }
    }
}

impl SessionTimeouts {
    /// Seconds that a session has still to live without a packet; `None` if it is over.
    pub fn left(&self, state: State, now: u32) -> Option<u32> {
        let timeout = match SessionClass::of(state.class)? {
            SessionClass::TcpTransitory => self.tcp_transitory,
            SessionClass::TcpEstablished => self.tcp_established,
            SessionClass::UdpNew | SessionClass::Udp => self.udp,
            SessionClass::Icmp => self.icmp,
        };
        // One second more than the timeout, as the second of the last packet may have been its last moment.
        timeout.saturating_add(1).checked_sub(now.saturating_sub(state.seen)).filter(|left| *left > 0)
    }
}

/// A session that is over, if there is one.
pub fn over<'a, T: Address>(
    sessions: &'a Sessions<T>,
    timeouts: &SessionTimeouts,
    now: u32,
) -> Option<Session<'a, T>> {
    let oldest = |class: SessionClass| sessions.oldest(class as u8);
    let is_over = |session: &Session<'_, T>| timeouts.left(session.state(), now).is_none();
    SessionClass::ALL.into_iter().filter_map(oldest).find(is_over)
}

/// The session that was not used for the longest time, of those that make way: never one that both sides have used. Of each class only the
/// oldest few are looked at for one that `may_go`.
pub fn weakest<T: Address>(
    sessions: &Sessions<T>,
    may_go: impl Fn(&Session<'_, T>) -> bool,
) -> Option<Session<'_, T>> {
    let weak = SessionClass::ALL.into_iter().filter(|class| SessionClass::makes_way(*class as u8));
    let oldest = |class: SessionClass| sessions.by_age(class as u8).take(OLDEST).find(&may_go);
    weak.filter_map(oldest).min_by_key(|session| session.state().seen)
}
