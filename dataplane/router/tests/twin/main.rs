//! The neighbour table beside a slow and obvious one, and rules that hold whatever happens: sizes are bounded, every packet
//! comes out once, and what was said about neighbours is what the table knows.

mod obvious;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use obvious::{Obvious, Step};
use paceline_router::neighbour::{Action, Neighbours, Refused, Settings, State};
use paceline_router::{Frame, Interface};
use paceline_wire::arp::Arp;
use paceline_wire::ethernet::Mac;
use proptest::prelude::*;

const OWN: Mac = Mac(0x0200_0000_0001);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (link, host, mac) = (0..3_u16, 2..14_u8, 1..4_u8);
    let step = prop_oneof![
        8 => (link.clone(), host.clone()).prop_map(|(l, h)| Step::Want(l, h)),
        6 => (link.clone(), host.clone(), mac.clone()).prop_map(|(l, h, m)| Step::Reply(l, h, m)),
        4 => (link.clone(), host.clone(), mac.clone()).prop_map(|(l, h, m)| Step::Ask(l, h, m)),
        2 => (link.clone(), host.clone(), mac.clone()).prop_map(|(l, h, m)| Step::Announce(l, h, m)),
        1 => (link.clone(), host.clone()).prop_map(|(l, h)| Step::Pin(l, h)),
        1 => (link.clone(), host.clone()).prop_map(|(l, h)| Step::Unpin(l, h)),
        1 => (link.clone(), host.clone(), mac).prop_map(|(l, h, m)| Step::Static(l, h, m)),
        1 => (link.clone(), host).prop_map(|(l, h)| Step::Unstatic(l, h)),
        1 => link.clone().prop_map(Step::Flush),
        1 => link.clone().prop_map(Step::Down),
        2 => link.prop_map(Step::Up),
        8 => (1..9000_u16).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..150)
}

fn interface(link: u16) -> Interface {
    let net = format!("10.{link}.0.1/16").parse().expect("a net");
    Interface { link_local: None, ..Interface::new(OWN, vec![net], false) }
}

fn host(link: u16, last: u8) -> [u8; 4] {
    [10, link as u8, 0, last]
}

fn mac(last: u8) -> Mac {
    Mac(0x0600_0000_0000 | u64::from(last))
}

/// The table, and what it said so far.
struct Told {
    table: Neighbours<u32>,
    now: Duration,
    /// Packets that went in and have not come out.
    inside: Vec<u32>,
    next: u32,
    macs: BTreeMap<(u16, IpAddr), Mac>,
}

impl Told {
    fn new(settings: Settings) -> Told {
        let table = Neighbours::new(settings);
        Told { table, now: Duration::from_secs(1), inside: Vec::new(), next: 0, macs: BTreeMap::new() }
    }

    fn step(&mut self, step: &Step) {
        let (table, now, mut out) = (&mut self.table, self.now, Vec::new());
        let address = |link, last| IpAddr::from(host(link, last));
        let mut hear =
            |link: u16, frame: &[u8], out: &mut Vec<_>| table.input(now, link, frame, |_| false, out);
        match *step {
            Step::Want(link, last) => {
                self.inside.push(self.next);
                table.want(now, link, address(link, last), self.next, &mut out);
                self.next += 1;
            }
            Step::Reply(link, last, from) => {
                let reply = Arp::request(OWN, host(link, 1), host(link, last)).reply(mac(from));
                let mut frame = [0; 42];
                reply.write(OWN, &mut frame).expect("room");
                hear(link, &frame, &mut out);
            }
            Step::Ask(link, last, from) => {
                let ask =
                    Frame::ask(mac(from), address(link, last), address(link, 1), None).expect("one family");
                hear(link, &ask, &mut out);
            }
            Step::Announce(link, last, from) => {
                hear(link, &Frame::announcement(mac(from), address(link, last)).expect("fits"), &mut out);
            }
            Step::Pin(link, last) => {
                let refused = table.pin(now, link, address(link, last), &mut out).err();
                assert_ne!(refused, Some(Refused::Unfit));
            }
            Step::Unpin(link, last) => table.unpin(link, address(link, last)),
            Step::Static(link, last, to) => {
                let set = table.set_static(now, link, address(link, last), mac(to), &mut out);
                assert_ne!(set, Err(Refused::Full), "what is configured finds room");
            }
            Step::Unstatic(link, last) => table.remove_static(now, link, address(link, last), &mut out),
            Step::Flush(link) => table.flush(now, link, &mut out),
            Step::Down(link) => table.remove_interface(link, &mut out),
            Step::Up(link) => table.set_interface(now, link, interface(link), &mut out),
            Step::Wait(millis) => {
                let until = now + Duration::from_millis(millis.into());
                while let Some(deadline) = table.next_deadline().filter(|deadline| *deadline <= until) {
                    table.poll(deadline, &mut out);
                }
                self.now = until;
            }
        }
        self.hear(out);
    }

    fn hear(&mut self, out: Vec<Action<u32>>) {
        for action in out {
            match action {
                Action::Release { packet, .. } | Action::GiveUp { packet, .. } => {
                    let at = self.inside.iter().position(|inside| *inside == packet);
                    self.inside.remove(at.expect("it went in, and comes out for the first time"));
                }
                Action::Resolved { interface, address, mac } => {
                    let old = self.macs.insert((interface, address), mac);
                    assert_ne!(old, Some(mac), "it was said before");
                }
                Action::Lost { interface, address } => {
                    assert!(self.macs.remove(&(interface, address)).is_some(), "nothing was said of it");
                }
                Action::Send { frame, .. } => {
                    etherparse::SlicedPacket::from_ethernet(&frame).expect("a sound frame");
                }
                Action::Usable { .. } => {}
                Action::Conflict { .. } => panic!("nobody claims our addresses"),
            }
        }
    }

    /// What holds at any time.
    fn check(&self, settings: &Settings) {
        let all: Vec<_> = self.table.iter().collect();
        let dynamic = all.iter().filter(|one| one.state != State::Static);
        assert_eq!(dynamic.clone().count(), self.table.len());
        assert!(self.table.len() <= settings.all && self.table.waiting() <= settings.waiting_all);
        for link in 0..3 {
            assert!(dynamic.clone().filter(|one| one.interface == link).count() <= settings.each_interface);
        }
        assert!(all.iter().all(|one| one.waiting <= settings.waiting_each));
        assert!(all.iter().all(|one| one.waiting == 0 || one.state == State::Incomplete));
        assert_eq!(self.inside.len(), self.table.waiting(), "every packet that is inside waits");
        let known = all.iter().filter_map(|one| Some(((one.interface, one.address), one.mac?)));
        assert_eq!(known.collect::<BTreeMap<_, _>>(), self.macs);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn with_room_it_does_what_the_twin_does(steps in steps()) {
        let settings = Settings { spread: 0, announcements: 0, ..Settings::default() };
        let mut told = Told::new(settings.clone());
        let mut twin = Obvious::new(1000);
        for step in &steps {
            told.step(step);
            twin.step(step);
            told.check(&settings);
            let shown: BTreeMap<_, _> = told.table.iter().map(|one| {
                let IpAddr::V4(address) = one.address else { panic!("only IPv4 was said") };
                let mac = one.mac.map_or(0, |mac| mac.0 as u8);
                ((one.interface, address.octets()[3]), (one.state, mac, one.pinned))
            }).collect();
            let expected: BTreeMap<_, _> =
                twin.all().iter().map(|(key, twin)| {
                    let mac = if twin.state.is_resolved() { twin.mac } else { 0 };
                    (*key, (twin.state, mac, twin.pinned))
                }).collect();
            prop_assert_eq!(shown, expected, "after {:?}", step);
        }
    }

    #[test]
    fn without_room_nothing_grows_and_no_packet_is_lost(
        steps in steps(), each_interface in 1..6_usize, all in 1..10_usize, waiting_each in 0..3_usize, waiting_all in 0..5_usize,
    ) {
        let (asks, learns) = ((2, 3), (2, 3));
        let settings = Settings { each_interface, all, waiting_each, waiting_all, asks, learns, ..Settings::default() };
        let mut told = Told::new(settings.clone());
        for link in 0..3 {
            told.step(&Step::Up(link));
        }
        for step in &steps {
            told.step(step);
            told.check(&settings);
        }
        for link in 0..3 {
            told.step(&Step::Down(link));
        }
        told.check(&settings);
        prop_assert!(told.inside.is_empty() && told.table.is_empty() && told.table.next_deadline().is_none());
    }
}
