//! A peer that breaks the rules.

use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use paceline_sys::EventFd;

use super::{channels, settings};
use crate::memory::Memory;
use crate::message::{Message, Text, VERSION};
use crate::ring::{Descriptor, Memories, Ring, Side};
use crate::signal::Signal;
use crate::{Channel, Fault, Receiver, Sender, serve};

const BYTES: u64 = 16_384;

fn init() -> Message {
    let name = Text::new("evil");
    Message::Init { version: VERSION, id: 7, mode: 0, secret: Text::new("psst"), name }
}

fn eventfd() -> OwnedFd {
    EventFd::new().unwrap().as_fd().try_clone_to_owned().unwrap()
}

fn region(channel: &Channel) -> Result<(), Fault> {
    let (_memory, file) = Memory::own(BYTES as usize).unwrap();
    channel.send(&Message::AddRegion { index: 0, size: BYTES }, Some(file.as_fd()))
}

fn ring(channel: &Channel, to_server: bool, index: u16, offset: u32, log2: u8) -> Result<(), Fault> {
    let message = Message::AddRing { to_server, index, region: 0, offset, log2_slots: log2 };
    channel.send(&message, Some(eventfd().as_fd()))
}

/// What the server says to a client that does this.
fn refusal(client: impl FnOnce(&Channel) -> Result<(), Fault> + Send) -> Fault {
    let (_folder, _listener, to_client, to_server) = channels();
    let stop = EventFd::new().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            // A server that has refused does not listen any more.
            let _ = client(&to_server);
            // Hello, acknowledgements, and the refusal, but no agreement.
            let quiet = EventFd::new().unwrap();
            while let Ok((message, _)) = to_server.receive(quiet.as_fd()) {
                assert!(!matches!(message, Message::Connected { .. }));
            }
        });
        serve(&to_client, &settings(), stop.as_fd()).unwrap_err()
    })
}

#[test]
fn messages_that_cannot_be_are_refused() {
    let raw = |channel: &Channel, bytes: &[u8], fds: &[i32]| {
        let rights = [ControlMessage::ScmRights(fds)];
        let rights = if fds.is_empty() { &[] } else { &rights[..] };
        sendmsg::<()>(channel.as_fd().as_raw_fd(), &[IoSlice::new(bytes)], rights, MsgFlags::empty(), None)
            .map(drop)
            .map_err(|_| Fault::Closed)
    };
    let bytes = init().encode();
    assert_eq!(refusal(|to| raw(to, &bytes[..127], &[])), Fault::MessageSize);
    assert_eq!(refusal(|to| raw(to, &[&bytes[..], &[0]].concat(), &[])), Fault::MessageSize);
    assert_eq!(refusal(|to| raw(to, &[9; 128], &[])), Fault::Message);
    assert_eq!(refusal(|to| raw(to, &bytes, &[2])), Fault::Descriptors);
    let add = Message::AddRegion { index: 0, size: 4096 }.encode();
    let start = |to: &Channel| to.send(&init(), None);
    assert_eq!(refusal(|to| start(to).and_then(|()| raw(to, &add, &[2, 2]))), Fault::Descriptors);
    assert_eq!(refusal(|to| start(to).and_then(|()| raw(to, &add, &[2; 200]))), Fault::Descriptors);
    assert_eq!(refusal(|to| start(to).and_then(|()| raw(to, &add, &[]))), Fault::NoDescriptor);
    assert_eq!(refusal(|to| start(to).and_then(|()| start(to))), Fault::Message);
    assert_eq!(refusal(|to| to.send(&Message::Connect { name: Text::new("") }, None)), Fault::Message);
    assert_eq!(refusal(|to| to.send(&Message::disconnect(Fault::Closed), None)), Fault::Disconnected);
    for (message, fault) in [(Message::Ack, Fault::Message), (init(), Fault::Message)] {
        assert_eq!(refusal(|to| start(to).and_then(|()| to.send(&message, None))), fault);
    }
}

#[test]
fn memory_that_cannot_be_is_refused() {
    let start = |to: &Channel| to.send(&init(), None);
    let with = |file: &File, index, size| {
        refusal(|to| {
            start(to).and_then(|()| to.send(&Message::AddRegion { index, size }, Some(file.as_fd())))
        })
    };
    let bare = File::from(memfd_create(c"bare", MFdFlags::MFD_ALLOW_SEALING).unwrap());
    bare.set_len(BYTES).unwrap();
    assert_eq!(with(&bare, 0, BYTES), Fault::RegionSeal);
    let (_memory, file) = Memory::own(BYTES as usize).unwrap();
    assert_eq!(with(&file, 0, BYTES + 1), Fault::RegionSize);
    assert_eq!(with(&file, 1, BYTES), Fault::RegionIndex);

    let rings = |list: &[(bool, u16, u32, u8)]| {
        refusal(|to| {
            start(to).and_then(|()| region(to))?;
            for (to_server, index, offset, log2) in list {
                ring(to, *to_server, *index, *offset, *log2)?;
            }
            to.send(&Message::Connect { name: Text::new("") }, None)
        })
    };
    assert_eq!(rings(&[]), Fault::Queues);
    assert_eq!(rings(&[(true, 1, 0, 3)]), Fault::RingIndex);
    assert_eq!(rings(&[(true, 0, 0, 3), (true, 1, 0, 3), (true, 2, 0, 3)]), Fault::RingIndex);
    let four =
        |offset, log2| [(true, 0), (true, 1), (false, 0), (false, 1)].map(|(to, at)| (to, at, offset, log2));
    assert_eq!(rings(&four(0, 3)), Fault::Cookie);
    assert_eq!(rings(&four(16_000, 5)), Fault::RingPlace);
    assert_eq!(rings(&four(u32::MAX, 3)), Fault::RingPlace);
    assert_eq!(rings(&four(0, 200)), Fault::RingSize);
}

#[test]
fn an_interrupt_that_is_none_is_refused() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let got = refusal(|to| {
        to.send(&init(), None)?;
        let (memory, file) = Memory::own(BYTES as usize).unwrap();
        let memories: Memories = Arc::new([memory]);
        Ring::find(&memories, 0, 0, 3).unwrap().sign();
        to.send(&Message::AddRegion { index: 0, size: BYTES }, Some(file.as_fd()))?;
        for (to_server, index) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
            let message = Message::AddRing { to_server, index, region: 0, offset: 0, log2_slots: 3 };
            to.send(&message, Some(reader.as_fd()))?;
        }
        to.send(&Message::Connect { name: Text::new("") }, None)
    });
    assert_eq!(got, Fault::Interrupt);
}

/// A ring in memory of its own, and the same for whoever breaks the rules there.
fn lone(side: Side) -> (Ring, Receiver, Sender) {
    let (memory, _file) = Memory::own(BYTES as usize).unwrap();
    let memories: Memories = Arc::new([memory]);
    let ring = || Ring::find(&memories, 0, 0, 3).unwrap();
    let receiver = Receiver::new(ring(), side, eventfd());
    (ring(), receiver, Sender::new(ring(), side, Signal::new(eventfd()).unwrap()))
}

const CLIENT: Side = Side::Client { first: 4096, size: 64 };

#[test]
fn indexes_that_jump_are_told() {
    let (ring, mut receiver, mut sender) = lone(Side::Server);
    ring.head().store(9, Ordering::Relaxed);
    assert_eq!(receiver.look().map(<[_]>::len), Err(Fault::Jump));
    assert_eq!(sender.refresh(), Err(Fault::Jump));
    let (ring, mut receiver, mut sender) = lone(CLIENT);
    ring.tail().store(u16::MAX - 3, Ordering::Relaxed);
    assert_eq!(receiver.look().map(<[_]>::len), Err(Fault::Jump));
    assert_eq!(sender.refresh(), Ok(4));
    ring.tail().store(1, Ordering::Relaxed);
    assert_eq!(sender.refresh(), Err(Fault::Jump));
}

#[test]
fn descriptors_that_point_elsewhere_are_told() {
    let good = Descriptor { more: false, region: 0, len: 64, offset: 8192 };
    for (bad, fault) in [
        (Descriptor { region: 1, ..good }, Fault::Descriptor),
        (Descriptor { offset: BYTES as u32 - 63, ..good }, Fault::Descriptor),
        (Descriptor { len: u32::MAX, ..good }, Fault::Descriptor),
        (Descriptor { offset: u32::MAX, len: u32::MAX, ..good }, Fault::Descriptor),
    ] {
        let (ring, mut receiver, mut sender) = lone(Side::Server);
        (0..8).for_each(|slot| ring.write(slot, if slot == 1 { bad } else { good }));
        ring.head().store(1, Ordering::Relaxed);
        assert_eq!(receiver.look().map(<[_]>::len), Ok(1));
        ring.head().store(2, Ordering::Relaxed);
        assert_eq!(receiver.look().map(<[_]>::len), Err(fault));
        sender.refresh().unwrap();
        assert_eq!((sender.put(&[1]), sender.put(&[1])), (Ok(true), Err(fault)));
    }
    let (ring, _, mut sender) = lone(Side::Server);
    (0..8).for_each(|slot| ring.write(slot, Descriptor { len: 0, ..good }));
    ring.head().store(8, Ordering::Relaxed);
    sender.refresh().unwrap();
    assert_eq!(sender.put(&[1]), Err(Fault::Descriptor));

    // Of our own memory only the length is believed, and that to the end of the buffer.
    let (ring, mut receiver, _) = lone(CLIENT);
    ring.write(0, Descriptor { region: 9, offset: u32::MAX, ..good });
    ring.tail().store(1, Ordering::Relaxed);
    assert_eq!(receiver.look().map(<[_]>::len), Ok(1));
    ring.write(0, Descriptor { len: 65, ..good });
    assert_eq!(receiver.look().map(<[_]>::len), Err(Fault::Length));
}

#[test]
fn chains_without_an_end_are_told_and_parts_of_one_wait() {
    let (ring, mut receiver, _) = lone(Side::Server);
    (0..8).for_each(|slot| ring.write(slot, Descriptor { more: true, region: 0, len: 1, offset: 0 }));
    ring.head().store(7, Ordering::Relaxed);
    assert_eq!(receiver.look().map(<[_]>::len), Ok(7));
    receiver.take(0);
    ring.head().store(8, Ordering::Relaxed);
    assert_eq!(receiver.look().map(<[_]>::len), Err(Fault::Chain));
    ring.write(7, Descriptor { more: false, region: 0, len: 1, offset: 0 });
    assert_eq!(receiver.look().map(<[_]>::len), Ok(8));
    receiver.take(8);
    assert!((0..8).all(|slot| !ring.read(slot).more), "the flag does not outlive the frame");
}

/// `cargo bolero test` lets a fuzzer choose what the peer writes, and when.
#[test]
fn whatever_the_peer_writes_harms_nobody() {
    bolero::check!().for_each(|bytes: &[u8]| {
        for side in [Side::Server, CLIENT] {
            let (ring, mut receiver, mut sender) = lone(side);
            let mut frame = [0; 256];
            for step in bytes.chunks(18) {
                let mut words = [0; 18];
                words[..step.len()].copy_from_slice(step);
                let [what, slot, rest @ ..] = words;
                match what % 4 {
                    0 => ring.head().store(u16::from(slot), Ordering::Relaxed),
                    1 => ring.tail().store(u16::from(slot), Ordering::Relaxed),
                    _ => {
                        let [low, high, len, top, ..] = rest;
                        let offset = u32::from_le_bytes([low, high, top & 1, top & 2]);
                        let len = if what & 8 == 0 { u32::from(len) } else { offset };
                        let (more, region) = (what & 4 != 0, u16::from(what == 255));
                        ring.write(u16::from(slot), Descriptor { more, region, len, offset });
                    }
                }
                let seen = receiver.look().map(<[_]>::len);
                for at in 0..seen.unwrap_or(0) {
                    let len = receiver.piece(at).len().min(frame.len());
                    let skip = receiver.piece(at).len() - len;
                    receiver.copy(at, skip, &mut frame[..len]);
                }
                receiver.take(seen.map_or(0, |seen| seen.min(usize::from(slot))));
                if sender.refresh().is_ok() {
                    let _ = sender.put(&frame[..usize::from(slot)]);
                    let _ = sender.put_pieces(frame.chunks(7));
                    sender.publish();
                }
            }
        }
    });
}
