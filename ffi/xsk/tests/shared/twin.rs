//! The program against its twin: the same rules, read off slices.

use std::collections::HashSet;
use std::net::IpAddr;

use bed::{HOST, HOST4, HOST6, OUR_MAC, OURS4, OURS6, OUTSIDE4, OUTSIDE6, filter};
use bed::{ethernet, hosts, icmp, ip4, ip6, ports};
use paceline_xsk::{Filter, Service};

use crate::bed::{self, Uplink};

const FRAMES: usize = 200_000;

struct Twin {
    filter: Filter,
    fragments: HashSet<Vec<u8>>,
}

impl Twin {
    fn takes(&mut self, frame: &[u8]) -> bool {
        if frame[0] & 1 == 1 {
            return false;
        }
        if self.filter.macs.contains(&frame[..6]) {
            return true;
        }
        let packet = &frame[14..];
        match frame[12..14] {
            [0x08, 0x00] => self.takes4(packet).unwrap_or(false),
            [0x86, 0xdd] => self.takes6(packet).unwrap_or(false),
            _ => false,
        }
    }

    fn takes4(&mut self, packet: &[u8]) -> Option<bool> {
        let (destination, payload, protocol) = read4(packet)?;
        if self.filter.addresses.contains(&destination) {
            return Some(true);
        }
        self.filter.shared.get(&destination)?;
        let fragment = u16::from_be_bytes([packet[6], packet[7]]);
        let key = [&packet[12..20], &packet[4..6], &packet[9..10]].concat();
        if fragment & 0x1fff != 0 {
            return Some(self.fragments.contains(&key));
        }
        let ours = payload.and_then(|payload| self.inside4(destination, protocol, payload)) == Some(true);
        if fragment & 0x2000 != 0 {
            if ours {
                self.fragments.insert(key)
            } else {
                self.fragments.remove(&key)
            };
        }
        Some(ours)
    }

    fn inside4(&self, to: IpAddr, protocol: u8, payload: &[u8]) -> Option<bool> {
        match protocol {
            6 | 17 | 132 => Some(self.port(to, protocol, payload.get(2..4)?)),
            1 => {
                let header = payload.get(..8)?;
                match header[0] {
                    0 | 14 => Some(self.port(to, 1, &header[4..6])),
                    3 | 11 | 12 => {
                        let quoted = &payload[8..];
                        let (_, inner, protocol) = read4(quoted)?;
                        let source = address::<4>(&quoted[12..16])?;
                        let offset = u16::from_be_bytes([quoted[6], quoted[7]]) & 0x1fff;
                        let inner = inner?.get(..8)?;
                        let port = match protocol {
                            6 | 17 | 132 => &inner[..2],
                            1 if matches!(inner[0], 8 | 13) => &inner[4..6],
                            _ => return None,
                        };
                        Some(source == to && offset == 0 && self.port(to, protocol, port))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn takes6(&self, packet: &[u8]) -> Option<bool> {
        let (destination, payload, next) = read6(packet)?;
        let header = payload.get(..8);
        if next == 58 && (133..=137).contains(&header?[0]) {
            return None;
        }
        if self.filter.addresses.contains(&destination) {
            return Some(true);
        }
        self.filter.shared.get(&destination)?;
        match next {
            6 | 17 | 132 => Some(self.port(destination, next, payload.get(2..4)?)),
            58 if header?[0] == 129 => Some(self.port(destination, 58, &payload[4..6])),
            58 if (1..=4).contains(&header?[0]) => {
                let quoted = &payload[8..];
                let (_, inner, next) = read6(quoted)?;
                let source = address::<16>(&quoted[8..24])?;
                let inner = inner.get(..8)?;
                let port = match next {
                    6 | 17 | 132 => &inner[..2],
                    58 if inner[0] == 128 => &inner[4..6],
                    _ => return None,
                };
                Some(source == destination && self.port(destination, next, port))
            }
            _ => None,
        }
    }

    fn port(&self, address: IpAddr, protocol: u8, port: &[u8]) -> bool {
        let port = u16::from_be_bytes([port[0], port[1]]);
        self.filter.shared[&address].contains(&port)
            || self.filter.services.contains(&Service { address, protocol, port })
    }
}

fn address<const BYTES: usize>(octets: &[u8]) -> Option<IpAddr>
where
    IpAddr: From<[u8; BYTES]>,
{
    Some(<[u8; BYTES]>::try_from(octets).ok()?.into())
}

/// Destination, what is behind the header if it is there, protocol.
fn read4(packet: &[u8]) -> Option<(IpAddr, Option<&[u8]>, u8)> {
    let header = packet.get(..20).filter(|header| header[0] >> 4 == 4)?;
    let length = usize::from(header[0] & 15) * 4;
    let to = address::<4>(&header[16..])?;
    (length >= 20).then(|| (to, packet.get(length..), header[9]))
}

fn read6(packet: &[u8]) -> Option<(IpAddr, &[u8], u8)> {
    let header = packet.get(..40).filter(|header| header[0] >> 4 == 6)?;
    let to = address::<16>(&header[24..])?;
    Some((to, &packet[40..], header[6]))
}

/// A frame that is nearly always about something of the filter, and often broken.
fn frame(random: &mut fastrand::Rng) -> Vec<u8> {
    let four = random.bool();
    let (from, hosts) = if four { (OUTSIDE4, [HOST4, OURS4]) } else { (OUTSIDE6, [HOST6, OURS6]) };
    let to = if random.u8(..8) == 0 { hosts[1] } else { hosts[0] };
    let port = |random: &mut fastrand::Rng| {
        let near = [22, 53, 4789, 8080, 39_999, 40_000, 45_000, 49_999, 50_000, 80];
        near[random.usize(..near.len())]
    };
    let protocol = |random: &mut fastrand::Rng| {
        let all = [6, 17, 132, 1, 58, 47];
        all[random.usize(..all.len())]
    };
    let transport = |random: &mut fastrand::Rng| match random.u8(..3) {
        0 => icmp([8, 13, 0, 14, 128, 129, 135][random.usize(..7)], port(random), &[]),
        _ => ports(port(random), port(random)),
    };
    let packet = |random: &mut fastrand::Rng, from: &str, to: &str, payload: &[u8]| {
        let protocol = protocol(random);
        if !four {
            return ip6(from, to, protocol, payload);
        }
        let options = if random.u8(..4) == 0 { random.u8(..=10) } else { 0 };
        let fragment = [0, 0, 0, 0x2000, 3, 0x2003][random.usize(..6)];
        ip4(from, to, protocol, options, fragment, payload)
    };
    let payload = if random.u8(..3) == 0 {
        let inner = transport(random);
        let quoted = packet(random, to, from, &inner);
        icmp([3, 11, 12, 5, 1, 2, 4][random.usize(..7)], 0, &quoted)
    } else {
        transport(random)
    };
    let whole = packet(random, from, to, &payload);
    let mac = if random.u8(..16) == 0 { OUR_MAC } else { HOST };
    let mut frame = ethernet(mac, if four { 0x0800 } else { 0x86dd }, &whole);
    if random.u8(..4) == 0 {
        let at = random.usize(..frame.len());
        frame[at] = random.u8(..);
    }
    if random.u8(..4) == 0 {
        frame.truncate(random.usize(14..=frame.len()));
    }
    frame
}

#[test]
fn the_program_is_its_twin() {
    let Some((host, _outside)) = hosts() else { return };
    let uplink = Uplink::open(&host, &filter());
    let mut twin = Twin { filter: filter(), fragments: HashSet::new() };
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut ours = 0;
    for number in 0..FRAMES {
        let frame = frame(&mut random);
        let taken = uplink.program.would_take(&frame).unwrap();
        assert_eq!(taken, twin.takes(&frame), "frame {number} of seed {seed}: {frame:02x?}");
        ours += usize::from(taken);
    }
    assert!((FRAMES / 10..FRAMES * 9 / 10).contains(&ours), "{ours} of {FRAMES} are ours");
}
