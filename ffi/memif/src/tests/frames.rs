//! Frames between two ends that keep the rules.

use std::collections::VecDeque;

use paceline_sys::Epoll;
use paceline_sys::wake::{Event, Interest};
use proptest::prelude::*;

use super::{connect, settings};
use crate::{Pair, Receiver, Sender, Settings};

/// A server and a client, one queue each.
fn ends(settings: &Settings) -> [Pair; 2] {
    connect(settings, settings).map(|pairs| pairs.unwrap().remove(0))
}

/// Up to `most` whole frames.
fn receive(receiver: &mut Receiver, most: usize) -> Vec<Vec<u8>> {
    let (mut frames, mut frame, mut whole) = (Vec::new(), Vec::new(), 0);
    let count = receiver.look().unwrap().len();
    for at in 0..count {
        if frames.len() == most {
            break;
        }
        let start = frame.len();
        frame.resize(start + receiver.piece(at).len(), 0);
        receiver.copy(at, 0, &mut frame[start..]);
        if !receiver.piece(at).more() {
            frames.push(std::mem::take(&mut frame));
            whole = at + 1;
        }
    }
    receiver.take(whole);
    frames
}

#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>, Vec<usize>),
    Publish,
    Receive(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let frame = (prop::collection::vec(any::<u8>(), 1..700), prop::collection::vec(0_usize..700, 0..5));
    prop_oneof![
        4 => frame.prop_map(|(frame, cuts)| Step::Send(frame, cuts)),
        2 => Just(Step::Publish),
        2 => (0_usize..10).prop_map(Step::Receive),
    ]
}

/// Against a list that is as long as the ring.
fn as_a_list(sender: &mut Sender, receiver: &mut Receiver, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (mut put, mut told) = (VecDeque::new(), VecDeque::new());
    let slots =
        |frames: &VecDeque<Vec<u8>>| frames.iter().map(|frame| frame.len().div_ceil(64)).sum::<usize>();
    for step in steps {
        match step {
            Step::Send(frame, mut cuts) => {
                let free = 8 - slots(&put) - slots(&told);
                prop_assert_eq!(sender.refresh().unwrap(), free);
                cuts.extend([0, frame.len()]);
                for cut in &mut cuts {
                    *cut = (*cut).min(frame.len());
                }
                cuts.sort_unstable();
                let sent = if cuts.len() == 2 {
                    sender.put(&frame)
                } else {
                    sender.put_pieces(cuts.windows(2).map(|cut| &frame[cut[0]..cut[1]]))
                };
                prop_assert_eq!(sent.unwrap(), frame.len().div_ceil(64) <= free);
                if sent.unwrap() {
                    put.push_back(frame);
                }
            }
            Step::Publish => {
                sender.publish();
                told.append(&mut put);
            }
            Step::Receive(most) => {
                let want: Vec<_> = told.drain(..most.min(told.len())).collect();
                prop_assert_eq!(receive(receiver, most), want);
                prop_assert_eq!(receiver.is_ready(), !told.is_empty());
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_queue_is_a_list_of_frames(steps in prop::collection::vec(step(), 0..200)) {
        let [mut server, mut client] = ends(&settings());
        as_a_list(&mut client.sender, &mut server.receiver, steps.clone())?;
        as_a_list(&mut server.sender, &mut client.receiver, steps)?;
    }
}

#[test]
fn indexes_wrap() {
    let [mut server, mut client] = ends(&settings());
    for round in 0..30_000_u32 {
        let frames: Vec<_> = (0..5).map(|at| (round + at).to_ne_bytes().to_vec()).collect();
        let (from, to) = if round % 2 == 0 { (&mut server, &mut client) } else { (&mut client, &mut server) };
        from.sender.refresh().unwrap();
        assert!(frames.iter().all(|frame| from.sender.put(frame).unwrap()));
        from.sender.publish();
        assert_eq!(receive(&mut to.receiver, 9), frames);
    }
}

#[test]
fn only_who_sleeps_is_woken() {
    for [mut from, mut to] in [ends(&settings()), {
        let [server, client] = ends(&settings());
        [client, server]
    }] {
        let (set, mut events) = (Epoll::new().unwrap(), [Event::EMPTY; 2]);
        set.add(&to.receiver, 1, Interest::Signal).unwrap();
        let mut woken = || set.wait(&mut events, Some(std::time::Duration::ZERO)).unwrap() == 1;
        woken();
        let mut send = || {
            from.sender.refresh().unwrap();
            assert!(from.sender.put(b"frame").unwrap());
            from.sender.publish();
            from.sender.publish();
        };
        send();
        assert!(woken() && !woken());
        to.receiver.set_polls(true);
        send();
        assert!(!woken());
        to.receiver.set_polls(false);
        send();
        assert!(woken());
        assert_eq!(receive(&mut to.receiver, 9).len(), 3);
    }
}
