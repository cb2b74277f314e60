//! Times, limits and counters of the neighbour table.

use std::time::Duration;

/// Times and limits. All have defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Time between two questions (RFC 4861 §10: 1 s).
    pub retransmit: Duration,
    /// Questions to all before a neighbour is given up, and to it alone before it is forgotten (RFC 4861 §10: 3 each).
    pub tries: u8,
    /// Time for which an IPv4 neighbour that answered is not asked again (RFC 1122 §2.3.2.1: some minutes; default 60 s).
    pub reachable4: Duration,
    /// The same for IPv6 (RFC 4861 §10: 30 s).
    pub reachable6: Duration,
    /// How far these two times are spread at random, in percent of them, 0 to 100, so that neighbours are not all asked at
    /// once (RFC 4861 §6.3.4: 50).
    pub spread: u8,
    /// Time after which a neighbour that was heard, but did not answer us, is asked (RFC 4861 §10: 5 s).
    pub delay: Duration,
    /// Time for which packets for a neighbour that did not answer are given up at once (default 2 s).
    pub failed: Duration,
    /// Longest time between two rounds of questions for one that is pinned and does not answer: it starts at `failed` and
    /// doubles (default 60 s).
    pub failed_most: Duration,
    /// Time for which the first of several ARP replies is believed (as Linux's `locktime`; default 1 s).
    pub hold: Duration,
    /// Packets that wait for one neighbour (default 32).
    pub waiting_each: usize,
    /// Packets that wait in all (default 4096).
    pub waiting_all: usize,
    /// Neighbours of one interface, static ones not counted (default 4096).
    pub each_interface: usize,
    /// Neighbours in all, static ones not counted (default 65 536).
    pub all: usize,
    /// New neighbours that are asked for, per second and interface, and how many of them at once (default 1000 and 256).
    pub asks: (u32, u32),
    /// New neighbours that are learned from their questions, likewise (default 100 and 256).
    pub learns: (u32, u32),
    /// Probes before an IPv4 address is used (RFC 5227 §1.1: 3; default 0, as in Linux: it is announced at once).
    pub probes4: u8,
    /// Probes before an IPv6 address is used (RFC 4862 §5.1: 1).
    pub probes6: u8,
    /// Time after each probe (RFC 4861 §10: 1 s).
    pub probe_gap: Duration,
    /// Announcements of an address that is used from now on (RFC 5227 §1.1: 2).
    pub announcements: u8,
    /// Time between them (RFC 5227 §1.1: 2 s).
    pub announce_gap: Duration,
    /// Least time between two defences of one address (RFC 5227 §1.1: 10 s).
    pub defend: Duration,
    /// Time after which an address that another station had is tried again (RFC 5227 §1.1: 60 s).
    pub duplicate: Duration,
    /// Seed of what is random.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Settings {
            retransmit: seconds(1),
            tries: 3,
            reachable4: seconds(60),
            reachable6: seconds(30),
            spread: 50,
            delay: seconds(5),
            failed: seconds(2),
            failed_most: seconds(60),
            hold: seconds(1),
            waiting_each: 32,
            waiting_all: 4096,
            each_interface: 4096,
            all: 65_536,
            asks: (1000, 256),
            learns: (100, 256),
            probes4: 0,
            probes6: 1,
            probe_gap: seconds(1),
            announcements: 2,
            announce_gap: seconds(2),
            defend: seconds(10),
            duplicate: seconds(60),
            seed: 0,
        }
    }
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Questions to all.
    pub asked: u64,
    /// Questions to one neighbour, whether it is still there.
    pub probed: u64,
    /// Questions that were not sent, because the interface has no usable address of that family.
    pub mute: u64,
    /// Replies about own addresses.
    pub answered: u64,
    /// Replies as a proxy.
    pub proxied: u64,
    /// Announcements of own addresses, defences included.
    pub announced: u64,
    /// Neighbours whose Ethernet address became known by an answer to us.
    pub resolved: u64,
    /// Neighbours that became known by their own question.
    pub learned: u64,
    /// Neighbours that changed their Ethernet address.
    pub moved: u64,
    /// Rounds of questions that nobody answered.
    pub failed: u64,
    /// Neighbours that were known and stopped answering.
    pub lost: u64,
    /// Neighbours that made room for others.
    pub evicted: u64,
    /// Neighbours that were not taken in, because there was no room.
    pub full: u64,
    /// Neighbours that were not asked for, because there were too many new ones.
    pub busy: u64,
    /// Neighbours that were not learned from their questions: too many new ones, no room, or not of the interface's subnets.
    pub not_learned: u64,
    /// Packets that waited and made room for others.
    pub crowded: u64,
    /// Packets for addresses that no neighbour can have, or to interfaces that do not exist.
    pub unfit: u64,
    /// Frames that claimed another Ethernet address for a static neighbour.
    pub protected: u64,
    /// Frames of other stations that claimed an own address.
    pub conflicts: u64,
    /// Announcements and answers about addresses that nobody asked for.
    pub unsolicited: u64,
    /// Frames of ARP or neighbour discovery that are not to be believed.
    pub malformed: u64,
    /// Frames that are not for this, or for nobody here.
    pub ignored: u64,
}
