//! Scripted scenarios: something happens, and these words come out. Here is what says and hears them.

mod asking;
mod limits;
mod own;

use std::net::IpAddr;
use std::time::Duration;

use paceline_wire::arp::{Arp, Operation};
use paceline_wire::ethernet::{self, HEADER_LEN, Mac};
use paceline_wire::ndp::{self, Advertisement, Message, Solicitation};

use super::*;

const OWN: Mac = Mac(0x0200_0000_0001);

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

/// A station by its last byte.
fn mac(last: u8) -> Mac {
    Mac(0x0600_0000_0000 | u64::from(last))
}

fn interface(nets: &[&str]) -> Interface {
    Interface::new(OWN, nets.iter().map(|net| net.parse().expect(net)).collect(), false)
}

struct Rig {
    table: Neighbours<u32>,
    now: Duration,
}

impl Rig {
    /// Interfaces 1 (10.0.0.1, fd00::1) and 2 (10.2.0.1), up for long.
    fn new() -> Rig {
        Rig::with(Settings { spread: 0, ..Settings::default() })
    }

    fn with(settings: Settings) -> Rig {
        let mut rig = Rig { table: Neighbours::new(settings), now: Duration::ZERO };
        rig.table.set_interface(rig.now, 1, interface(&["10.0.0.1/8", "fd00::1/64"]), &mut Vec::new());
        rig.table.set_interface(rig.now, 2, interface(&["10.2.0.1/16"]), &mut Vec::new());
        for _ in 0..20 {
            rig.now += Duration::from_secs(1);
            rig.table.poll(rig.now, &mut Vec::new());
        }
        assert_eq!(rig.table.next_deadline(), None);
        rig.now = Duration::from_secs(100);
        rig
    }

    fn act(&mut self, act: impl FnOnce(&mut Neighbours<u32>, Duration, &mut Vec<Action<u32>>)) -> String {
        let mut out = Vec::new();
        act(&mut self.table, self.now, &mut out);
        out.iter().map(say).collect::<Vec<_>>().join(", ")
    }

    fn want(&mut self, address: &str, packet: u32) -> String {
        self.act(|table, now, out| table.want(now, 1, ip(address), packet, out))
    }

    fn hear(&mut self, frame: &[u8]) -> String {
        self.act(|table, now, out| table.input(now, 1, frame, |_| false, out))
    }

    /// An answer of a neighbour to us.
    fn reply(&mut self, address: &str, last: u8) -> String {
        self.hear(&match ip(address) {
            IpAddr::V4(address) => {
                arp(&Arp::request(OWN, [10, 0, 0, 1], address.octets()).reply(mac(last)), OWN)
            }
            IpAddr::V6(address) => {
                let ask = Solicitation::ask(fd(1), OWN, address.octets());
                advertisement(&ask.answer(mac(last), false), mac(last))
            }
        })
    }

    /// Somebody asks for an address of ours, or of others.
    fn ask(&mut self, sender: &str, last: u8, target: &str) -> String {
        self.hear(&question(sender, last, target))
    }

    /// An announcement of another station.
    fn announce(&mut self, address: &str, last: u8) -> String {
        self.hear(&Frame::announcement(mac(last), ip(address)).expect("fits"))
    }

    /// What happens by itself in the next seconds: after how many, and what.
    fn wait(&mut self, seconds: u64) -> String {
        let (start, end) = (self.now, self.now + Duration::from_secs(seconds));
        let mut all = Vec::new();
        while let Some(deadline) = self.table.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = deadline.max(self.now);
            let said = self.act(Neighbours::poll);
            all.push(format!("{}: {said}", self.now.abs_diff(start).as_secs()));
        }
        self.now = end;
        all.join("; ")
    }

    fn state(&self, address: &str) -> Option<(State, u64)> {
        self.table.get(1, ip(address)).map(|found| (found.state, found.mac.map_or(0, |mac| mac.0 & 0xff)))
    }
}

fn fd(last: u8) -> [u8; 16] {
    let mut address = [0; 16];
    (address[0], address[15]) = (0xfd, last);
    address
}

fn arp(arp: &Arp, destination: Mac) -> Vec<u8> {
    Frame::arp(arp, destination).expect("fits").to_vec()
}

fn advertisement(message: &Advertisement, from: Mac) -> Vec<u8> {
    Frame::advertisement(from, OWN, message).expect("fits").to_vec()
}

fn question(sender: &str, last: u8, target: &str) -> Vec<u8> {
    Frame::ask(mac(last), ip(sender), ip(target), None).expect("one family").to_vec()
}

/// An action in words.
fn say(action: &Action<u32>) -> String {
    match action {
        Action::Send { frame, .. } => say_frame(frame),
        Action::Resolved { address, mac, .. } => format!("{address} is {:x}", mac.0 & 0xff),
        Action::Lost { address, .. } => format!("{address} lost"),
        Action::Release { packet, mac, .. } => format!("{packet} to {:x}", mac.0 & 0xff),
        Action::GiveUp { packet, cause } => format!("{packet} {cause:?}"),
        Action::Usable { address, .. } => format!("{address} usable"),
        Action::Conflict { address, mac, lost, .. } => {
            format!("{address} {} {:x}", if *lost { "lost to" } else { "claimed by" }, mac.0 & 0xff)
        }
    }
}

fn say_frame(frame: &[u8]) -> String {
    let (destination, source) = ethernet::addresses(frame).expect("a header");
    assert_eq!(source, OWN);
    let to = if destination.is_group() { String::new() } else { format!(" of {:x}", destination.0 & 0xff) };
    if let Ok(arp) = Arp::parse(frame) {
        let target = IpAddr::from(arp.target);
        return match arp.operation {
            _ if arp.is_probe() => format!("probe {target}"),
            Operation::Request if arp.is_announcement() => format!("announce {target}"),
            Operation::Request => format!("ask {target}{to}"),
            Operation::Reply => format!("tell {}{to}", IpAddr::from(arp.sender)),
        };
    }
    match ndp::parse(&frame[HEADER_LEN..]).expect("ARP or neighbour discovery") {
        Message::Solicitation(ask) if ask.source == [0; 16] => format!("probe {}", IpAddr::from(ask.target)),
        Message::Solicitation(ask) => format!("ask {}{to}", IpAddr::from(ask.target)),
        Message::Advertisement(tell) if tell.destination == ndp::ALL_NODES => {
            format!("announce {}", IpAddr::from(tell.target))
        }
        Message::Advertisement(tell) => format!("tell {}{to}", IpAddr::from(tell.target)),
        other => panic!("{other:?}"),
    }
}
