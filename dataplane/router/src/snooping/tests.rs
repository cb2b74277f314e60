use std::collections::{BTreeMap, BTreeSet};

use paceline_tables::PortSet;
use paceline_wire::checksum::{self, Sum};
use paceline_wire::ethernet::HEADER_LEN;
use paceline_wire::membership::{Dialect, Say, write};
use proptest::prelude::*;

use super::*;

const HOST: Mac = Mac(0x0200_0000_0001);
const PORTS: u16 = 4;

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A domain of four ports, and what it asks.
struct Bed {
    snooping: Snooping,
    table: Arc<MulticastTable>,
    now: Duration,
    asked: Vec<Question>,
}

impl Bed {
    fn new(limit: u32, querier: bool) -> Bed {
        let table = Arc::new(MulticastTable::new(limit).expect("memory"));
        let mut bed = Bed { snooping: Snooping::default(), table, now: s(1000), asked: Vec::new() };
        bed.set((0..PORTS).collect(), querier);
        bed
    }

    fn set(&mut self, members: BTreeSet<u16>, querier: bool) {
        let listener = Listener { table: Arc::clone(&self.table), members, querier: querier.then_some(HOST) };
        self.snooping.set(self.now, BTreeMap::from([(7, listener)]));
        self.asked.clear();
    }

    fn hear(&mut self, port: u16, frame: &[u8]) {
        self.snooping.input(self.now, 7, port, frame, &mut self.asked);
    }

    fn say(&mut self, port: u16, group: &str, say: Say, dialect: Dialect) {
        let (mut out, group) = ([0; MAX_LEN], ip(group));
        let source = if group.is_ipv4() { ip("192.0.2.1") } else { ip("fe80::1") };
        let len = write(HOST, source, group, say, dialect, &mut out).expect("room");
        self.hear(port, &out[..len]);
    }

    fn ask(&mut self, port: u16, source: &str, group: Option<&str>, within: Duration) {
        let mut out = [0; MAX_LEN];
        let len = membership::ask(HOST, ip(source), group.map(ip), within, &mut out).expect("room");
        self.hear(port, &out[..len]);
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.snooping.next_deadline().filter(|next| *next <= end) {
            assert!(next >= self.now || next == self.now, "time goes on");
            self.now = next.max(self.now);
            self.snooping.poll(self.now, &mut self.asked);
            assert!(self.snooping.next_deadline().is_none_or(|next| next > self.now), "what is due was done");
        }
        self.now = end;
    }

    /// Where a group goes; none: to all.
    fn ports(&self, group: &str) -> Option<Vec<u16>> {
        let mut ports = PortSet::default();
        self.table.forward(ip(group), &mut ports).then(|| ports.iter().collect())
    }

    /// Where answers go; none: to all.
    fn answers(&self, is_ipv6: bool) -> Option<Vec<u16>> {
        let mut ports = PortSet::default();
        self.table.answers(is_ipv6, &mut ports).then(|| ports.iter().collect())
    }
}

#[test]
fn groups_are_held_back_when_all_had_the_time_to_answer() {
    for (router, group, other, version) in
        [("192.0.2.9", "239.1.1.1", "239.1.1.2", false), ("fe80::9", "ff3e::1", "ff3e::2", true)]
    {
        for dialect in [Dialect::Old, Dialect::New] {
            let mut bed = Bed::new(100, false);
            bed.say(1, group, Say::Join, dialect);
            assert_eq!((bed.ports(group), bed.answers(version)), (None, None), "nobody asks");
            bed.ask(0, router, None, s(10));
            assert_eq!((bed.ports(group), bed.answers(version)), (None, Some(vec![0])));
            bed.pass(s(4));
            bed.say(2, group, Say::Member, dialect);
            bed.pass(s(5));
            assert_eq!(bed.ports(group), None, "some have not answered yet");
            bed.pass(s(1));
            assert_eq!(bed.ports(group), Some(vec![0, 1, 2]));
            assert_eq!(bed.ports(other), Some(vec![0]), "what nobody asked for goes to the router");
            assert_eq!(bed.answers(!version), None, "of the other version nobody asks");
            // Who does not answer any more is out after its time.
            bed.ask(0, router, None, s(10));
            bed.pass(s(100));
            bed.ask(0, router, None, s(10));
            bed.pass(s(149));
            assert_eq!(bed.ports(group), Some(vec![0, 1, 2]));
            bed.pass(s(2));
            assert_eq!(bed.ports(group), Some(vec![0, 2]));
            bed.pass(s(3));
            assert_eq!(bed.ports(group), Some(vec![0]));
            // The router is not heard any more.
            bed.pass(s(110));
            assert_eq!((bed.ports(group), bed.answers(version)), (None, None));
            assert!(bed.snooping.next_deadline().is_none() && bed.table.is_empty());
        }
    }
}

#[test]
fn a_group_that_was_left_is_held_back_when_nobody_answers() {
    let mut bed = Bed::new(100, false);
    bed.ask(0, "192.0.2.9", None, s(1));
    for port in [1, 2] {
        bed.say(port, "239.1.1.1", Say::Join, Dialect::New);
    }
    bed.say(2, "239.1.1.2", Say::Join, Dialect::New);
    bed.pass(s(1));
    bed.say(1, "239.1.1.1", Say::Leave, Dialect::New);
    bed.pass(s(1));
    assert_eq!(bed.ports("239.1.1.1"), Some(vec![0, 1, 2]), "another one behind the port may be in it");
    bed.ask(0, "192.0.2.9", Some("239.1.1.1"), s(1));
    bed.say(2, "239.1.1.1", Say::Member, Dialect::New);
    bed.pass(s(2));
    assert_eq!(bed.ports("239.1.1.1"), Some(vec![0, 2]));
    assert_eq!(bed.ports("239.1.1.2"), Some(vec![0, 2]), "another group");
    assert!(bed.asked.is_empty(), "it asks nothing itself");
}

#[test]
fn a_querier_asks_where_nobody_else_does() {
    let mut bed = Bed::new(100, true);
    let general = |bed: &mut Bed| {
        let count = bed.asked.iter().filter(|q| q.domain == 7).count();
        bed.asked.clear();
        count
    };
    bed.pass(s(0));
    assert_eq!(general(&mut bed), 2, "of IPv4 and IPv6");
    bed.say(1, "239.1.1.1", Say::Member, Dialect::New);
    bed.say(2, "239.1.1.1", Say::Member, Dialect::Old);
    assert_eq!((bed.ports("239.1.1.1"), bed.answers(false)), (None, Some(vec![])));
    bed.pass(s(10));
    assert_eq!((bed.ports("239.1.1.1"), bed.ports("239.1.1.2")), (Some(vec![1, 2]), Some(vec![])));
    bed.pass(s(21));
    assert_eq!(general(&mut bed), 2, "once more, as the first may be lost");
    bed.pass(s(124));
    assert_eq!(general(&mut bed), 0);
    bed.pass(s(1));
    assert_eq!(general(&mut bed), 2);
    // One leaves.
    bed.say(2, "239.1.1.1", Say::Member, Dialect::Old);
    bed.say(2, "239.1.1.1", Say::Leave, Dialect::Old);
    bed.say(2, "239.1.1.1", Say::Leave, Dialect::Old);
    assert_eq!(bed.asked.len(), 1, "one question for a group at a time");
    let question = bed.asked[0];
    assert_eq!(membership::query(&question.frame()[HEADER_LEN..]).expect("it").group, Some(ip("239.1.1.1")));
    bed.say(1, "239.1.1.1", Say::Member, Dialect::New);
    bed.pass(s(1));
    assert_eq!((bed.asked.len(), bed.ports("239.1.1.1")), (2, Some(vec![1, 2])));
    bed.pass(s(1));
    assert_eq!((general(&mut bed), bed.ports("239.1.1.1")), (2, Some(vec![1])));
    // A router comes: it asks, and this one does not, until it is gone.
    bed.ask(3, "192.0.2.9", None, s(10));
    bed.pass(s(254));
    bed.asked.retain(|q| q.frame()[12] == 8);
    assert_eq!(general(&mut bed), 0);
    bed.pass(s(1));
    bed.asked.retain(|q| q.frame()[12] == 8);
    assert_eq!(general(&mut bed), 1);
    assert_eq!(bed.ports("239.1.1.1"), None, "some may be out before they can answer");
    bed.pass(s(10));
    assert!(bed.ports("239.1.1.1").is_some());
    bed.set((0..PORTS).collect(), false);
    assert_eq!(bed.ports("239.1.1.1"), None);
    bed.pass(s(1000));
    assert!(general(&mut bed) == 0 && bed.snooping.next_deadline().is_none());
}

#[test]
fn a_question_that_the_members_do_not_hear_puts_nobody_out() {
    for (router, group, other) in [("192.0.2.9", "239.1.1.1", "239.9.9.9"), ("fe80::9", "ff3e::1", "ff3e::9")]
    {
        let mut bed = Bed::new(100, false);
        bed.ask(0, router, None, s(1));
        bed.say(1, group, Say::Join, Dialect::New);
        bed.pass(s(1));
        let mut about = [0; MAX_LEN];
        let len = membership::ask(HOST, ip(router), Some(ip(group)), s(1), &mut about).expect("room");
        // By its Ethernet address it is for others.
        let mut astray = about;
        astray[5] ^= 1;
        bed.hear(2, &astray[..len]);
        // So it is by its IP address.
        let mut elsewhere = [0; MAX_LEN];
        membership::ask(HOST, ip(router), Some(ip(other)), s(1), &mut elsewhere).expect("room");
        let (sum, group_at) = if ip(group).is_ipv4() { (HEADER_LEN + 26, 4) } else { (HEADER_LEN + 50, 8) };
        let named = sum - 2 + group_at..sum - 2 + if group_at == 4 { 8 } else { 24 };
        let [was, is] = [&elsewhere, &about].map(|frame| Sum::of(&frame[named.clone()]).partial());
        let before = u16::from_be_bytes([elsewhere[sum], elsewhere[sum + 1]]);
        elsewhere[sum..sum + 2].copy_from_slice(&checksum::update(before, was, is).to_be_bytes());
        elsewhere[named.clone()].copy_from_slice(&about[named]);
        let heard = membership::query(&elsewhere[HEADER_LEN..len]).expect("it is sound");
        assert_eq!(heard.group, Some(ip(group)));
        bed.hear(2, &elsewhere[..len]);
        bed.pass(s(10));
        assert_eq!(bed.ports(group), Some(vec![0, 1]));
        bed.hear(2, &about[..len]);
        bed.pass(s(2));
        assert_eq!(bed.ports(group), Some(vec![0]));
    }
}

#[test]
fn who_asks_seldom_is_waited_for() {
    let mut bed = Bed::new(100, false);
    // Twice, each 240 s, and 10 s for answers.
    let mut out = [0; MAX_LEN];
    let len = membership::ask(HOST, ip("192.0.2.9"), None, s(10), &mut out).expect("room");
    let message = HEADER_LEN + 24;
    out[message + 9] = 0b1000_1111 | 0x30; // (15 + 16) << 6
    let sum = Sum::of(&[&out[message..message + 2], &out[message + 4..len]].concat());
    out[message + 2..message + 4].copy_from_slice(&sum.finish().to_be_bytes());
    bed.hear(0, &out[..len]);
    bed.say(1, "239.1.1.1", Say::Join, Dialect::New);
    bed.pass(s(2 * 1984 - 1));
    assert_eq!(bed.ports("239.1.1.1"), None, "an hour at most");
    bed.hear(0, &out[..len]);
    bed.say(1, "239.1.1.1", Say::Join, Dialect::New);
    bed.pass(s(3500));
    assert_eq!(bed.ports("239.1.1.1"), Some(vec![0, 1]));
}

#[test]
fn what_finds_no_place_is_flooded() {
    let mut bed = Bed::new(2, false);
    bed.ask(0, "192.0.2.9", None, s(0));
    assert_eq!(bed.ports("239.1.1.1"), None, "nobody answers in no time");
    bed.pass(s(1));
    for (port, group) in [(1, "239.1.1.1"), (1, "239.1.1.2"), (2, "239.1.1.3")] {
        bed.say(port, group, Say::Join, Dialect::Old);
    }
    assert_eq!(bed.snooping.refused(7), 1);
    assert_eq!((bed.ports("239.1.1.1"), bed.ports("239.1.1.3")), (Some(vec![0, 1]), None));
    bed.pass(s(200));
    bed.ask(0, "192.0.2.9", None, s(10));
    bed.pass(s(61));
    assert_eq!(bed.ports("239.1.1.3"), Some(vec![0]), "it would have said so again");
}

#[test]
fn what_is_not_to_be_believed_changes_nothing() {
    let mut bed = Bed::new(100, false);
    bed.ask(0, "192.0.2.9", None, s(0));
    let mut out = [0; MAX_LEN];
    for (group, dialect) in [
        ("239.1.1.1", Dialect::Old),
        ("239.1.1.1", Dialect::New),
        ("ff3e::1", Dialect::Old),
        ("ff3e::1", Dialect::New),
    ] {
        let group = ip(group);
        let source = if group.is_ipv4() { ip("192.0.2.1") } else { ip("fe80::1") };
        let len = write(HOST, source, group, Say::Join, dialect, &mut out).expect("room");
        let front = if group.is_ipv4() { 14 + 24 } else { 14 + 48 };
        for at in front..len {
            let mut wrong = out;
            wrong[at] ^= 0x10;
            bed.hear(1, &wrong[..len]);
            bed.hear(1, &out[..at]);
        }
        let mut routed = out;
        routed[if group.is_ipv4() { 22 } else { 21 }] = 2;
        bed.hear(1, &routed[..len]);
        bed.hear(PORTS, &out[..len]);
    }
    // Groups of the link are everybody's.
    for group in ["224.0.0.251", "ff02::1:ff00:1", "ff02::fb"] {
        bed.say(1, group, Say::Join, Dialect::New);
    }
    // A question that names the wrong ones.
    let len = membership::ask(HOST, ip("fe80::9"), None, s(1), &mut out).expect("room");
    out[14 + 24 + 15] = 2;
    bed.hear(1, &out[..len]);
    assert!(bed.table.is_empty() && bed.answers(true).is_none());
    assert_eq!(bed.snooping.view(bed.now, 7).len(), 1, "the router");
}

#[test]
fn a_port_that_leaves_takes_what_it_said_along() {
    let mut bed = Bed::new(100, false);
    bed.ask(0, "192.0.2.9", None, s(0));
    bed.pass(s(1));
    bed.say(1, "239.1.1.1", Say::Join, Dialect::New);
    bed.say(2, "239.1.1.1", Say::Join, Dialect::New);
    bed.set([0, 2].into(), false);
    assert_eq!(bed.ports("239.1.1.1"), Some(vec![0, 2]));
    bed.set([3].into(), false);
    assert_eq!(bed.ports("239.1.1.1"), Some(vec![]));
    assert!(bed.snooping.view(bed.now, 7).is_empty());
}

/// A report of IGMPv3 or MLDv2 with any records.
fn reported(is_ipv6: bool, records: &[(u8, u8, u8, u8)]) -> Vec<u8> {
    let mut message = vec![if is_ipv6 { 143 } else { 0x22 }, 0, 0, 0, 0, 0, 0, records.len() as u8];
    for &(kind, group, sources, auxiliary) in records {
        let address = |first: u8| {
            if is_ipv6 { [&[first; 15][..], &[group]].concat() } else { vec![first, 1, 1, group] }
        };
        message.extend([kind, auxiliary, 0, sources]);
        message.extend(address(if is_ipv6 { 0xff } else { 239 }));
        (0..sources).for_each(|_| message.extend(address(if is_ipv6 { 0x20 } else { 192 })));
        message.extend(vec![0; usize::from(auxiliary) * 4]);
    }
    let mut frame = [0; MAX_LEN];
    let (source, group) = if is_ipv6 { ("fe80::1", "ff3e::1") } else { ("192.0.2.1", "239.1.1.1") };
    write(HOST, ip(source), ip(group), Say::Join, Dialect::New, &mut frame).expect("room");
    let front = if is_ipv6 { 62 } else { 38 };
    let mut frame = frame[..front].to_vec();
    let sum = if is_ipv6 {
        frame[18..20].copy_from_slice(&((8 + message.len()) as u16).to_be_bytes());
        let header = paceline_wire::ipv6::Ipv6Header::read(&frame[14..]).expect("it");
        let mut sum = checksum::pseudo_v6(&header.source, &header.destination, 58, message.len() as u32);
        sum.add(&message);
        sum.finish()
    } else {
        frame[16..18].copy_from_slice(&((24 + message.len()) as u16).to_be_bytes());
        Sum::of(&message).finish()
    };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    [frame, message].concat()
}

proptest! {
    /// Who is in a group by records, beside a set.
    #[test]
    fn records_are_read_as_the_rfcs_have_them(
        is_ipv6: bool,
        reports in prop::collection::vec(prop::collection::vec((0_u8..8, 0_u8..4, 0_u8..3, 0_u8..2), 0..6), 0..8),
    ) {
        let mut bed = Bed::new(100, false);
        let mut members = BTreeSet::new();
        for report in &reports {
            bed.hear(1, &reported(is_ipv6, report));
            for &(kind, group, sources, _) in report {
                let is_in = match (kind, sources) {
                    // To be taken out needs a question that nobody answers.
                    (1 | 3, 0) => false,
                    (1..=4, _) => true,
                    (5, sources) => sources > 0,
                    _ => false,
                };
                if is_in {
                    members.insert(group);
                }
            }
        }
        let view = bed.snooping.view(bed.now, 7);
        prop_assert_eq!(view.len(), members.len());
        for (role, port, left) in view {
            let Role::Member(group) = role else { panic!("no member: {role:?}") };
            let last = match group { IpAddr::V4(group) => group.octets()[3], IpAddr::V6(group) => group.octets()[15] };
            prop_assert!(members.contains(&last) && port == 1 && left == MEMBER);
        }
    }

    #[test]
    fn any_bytes_are_safe(packets in prop::collection::vec((0_u16..6, prop::collection::vec(any::<u8>(), 0..100), any::<u8>(), any::<bool>()), 0..30)) {
        let mut bed = Bed::new(4, true);
        for (port, bytes, at, as_report) in packets {
            let mut packet = bytes.clone();
            if as_report {
                // A sound one with some bytes changed, and its sum made right again.
                packet = reported(at & 1 == 1, &[(4, 1, 0, 0), (at % 7, 2, at % 3, 0)]);
                for (index, byte) in bytes.iter().enumerate().take(3) {
                    let len = packet.len();
                    packet[(usize::from(at) + index * 7) % len] ^= byte;
                }
            }
            bed.snooping.input(bed.now, 7, port, &packet, &mut bed.asked);
            bed.pass(Duration::from_millis(u64::from(at) * 50));
        }
        bed.set(BTreeSet::new(), false);
        prop_assert!(bed.table.is_empty() && bed.snooping.view(bed.now, 7).is_empty());
    }
}
