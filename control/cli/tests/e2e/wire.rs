//! Frames as they are on the wire, for what hosts would never send or could not tell: tags, nonsense.

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use paceline_packet::{BATCH, HEADER, PacketSocket, RxSlot};
use paceline_sys::link;

use crate::place::Place;

/// How long a frame may be on its way. Only a lost one takes so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// After this time a frame that has not come will not come: it has a millisecond's way at most.
const SILENCE: Duration = Duration::from_millis(200);

/// IEEE 802 local experimental Ethertype 1: no host has anything to say to it.
const EXPERIMENTAL: [u8; 2] = [0x88, 0xb5];

/// A frame from one unicast address to another, with tags as (TPID, VLAN). The number tells it from others.
pub fn frame(tags: &[(u16, u16)], number: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    for (tpid, vlan) in tags {
        frame.extend([tpid.to_be_bytes(), vlan.to_be_bytes()].concat());
    }
    frame.extend(EXPERIMENTAL);
    frame.extend([number; 86]);
    frame
}

/// A socket on a device of a host.
pub struct Wire {
    socket: PacketSocket,
}

impl Wire {
    /// A device of a place.
    pub fn inside(place: &Place, device: &str) -> Self {
        let open = || PacketSocket::open(link::index(device).expect("it is there")).expect("we are root");
        Self { socket: place.inside(open) }
    }

    /// Sends frames slowly enough for none to be lost. How many the kernel took: it refuses those that are longer than the
    /// device's MTU.
    pub fn send(&mut self, frames: &[Vec<u8>]) -> u64 {
        let header = [0; HEADER];
        let mut sent = 0;
        for (number, frame) in frames.iter().enumerate() {
            let pieces = [IoSlice::new(&header), IoSlice::new(frame)];
            loop {
                match self.socket.send_batch(&[pieces]) {
                    Ok(count) => sent += count as u64,
                    Err(error) if error.raw_os_error() == Some(Errno::EMSGSIZE as i32) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        std::thread::sleep(Duration::from_millis(1));
                        continue;
                    }
                    Err(error) => panic!("a frame of {} bytes: {error}", frame.len()),
                }
                break;
            }
            if number % BATCH == BATCH - 1 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        sent
    }

    /// Sends frames as fast as it can; some may be lost.
    pub fn send_at_once(&mut self, frames: &[Vec<u8>]) {
        let header = [0; HEADER];
        for batch in frames.chunks(BATCH) {
            let pieces: Vec<_> =
                batch.iter().map(|frame| [IoSlice::new(&header), IoSlice::new(frame)]).collect();
            // A full queue is what a flood runs into.
            let _ = self.socket.send_batch(&pieces);
        }
    }

    /// Waits for the next frame of [`frame`], for a time.
    fn next(&mut self, patience: Duration) -> Option<Vec<u8>> {
        self.hear(patience, |frame| frame.windows(2).take(30).any(|type_| type_ == EXPERIMENTAL))
    }

    /// Waits for a frame that is as wanted, for a time; others are passed over. Frames may have been padded on their way.
    pub fn hear(&mut self, patience: Duration, is_it: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let mut bytes = vec![0; HEADER + 9216];
            let mut pieces = [IoSliceMut::new(&mut bytes)];
            let mut slots = [RxSlot::new(&mut pieces)];
            if self.socket.recv_batch(&mut slots).is_err() {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            let (length, tag) = (slots[0].len, slots[0].vlan);
            bytes.truncate(length);
            let mut frame = bytes.split_off(HEADER);
            if let Some(tag) = tag {
                frame.splice(12..12, tag.to_bytes());
            }
            if is_it(&frame) {
                return Some(frame);
            }
        }
        None
    }
}

/// Sends a frame by one wire; each of the others gets the frame that is beside it, or none at all.
#[track_caller]
pub fn carries(from: &mut Wire, frame: Vec<u8>, to: &mut [(&mut Wire, Option<Vec<u8>>)]) {
    from.send(&[frame]);
    for (number, (wire, expected)) in to.iter_mut().enumerate() {
        let patience = if expected.is_some() { PATIENCE } else { SILENCE };
        assert_eq!(wire.next(patience), *expected, "at wire {number}");
    }
}
