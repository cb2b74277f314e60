//! Both formats of a ring, against a driver that does everything by the book, and against one that writes anything.

use std::collections::VecDeque;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use paceline_vring::driver::{self, Driver, Layout};
use paceline_vring::{Access, Fault, GuestMemory, Queue};
use proptest::prelude::*;

const BUFFER: usize = 200;

fn layout(access: Access, packed: bool, size: u16, indirect: bool, event_index: bool) -> Layout {
    Layout { access, packed, size, indirect, event_index, buffer: BUFFER, start: 0 }
}

/// A driver, the device's side of its queue, and the file.
fn pair(layout: Layout) -> (Driver, Queue, std::fs::File) {
    let file = driver::memory(layout.end());
    let memory = Arc::new(GuestMemory::map(&[driver::region(&file)]).expect("a memory"));
    let driver = Driver::new(&file, layout);
    let queue = driver.device(&memory).expect("a queue");
    (driver, queue, file)
}

/// Any form of a ring: packed ones of any size.
fn forms(access: Access) -> impl Strategy<Value = Layout> {
    (any::<bool>(), 1_u16..40, any::<bool>(), any::<bool>()).prop_map(
        move |(packed, size, indirect, event)| {
            layout(access, packed, if packed { size } else { size.next_power_of_two() }, indirect, event)
        },
    )
}

#[derive(Debug, Clone)]
enum Step {
    /// The driver makes a chain of such lengths available.
    Offer(Vec<usize>),
    /// The device takes so many chains, and gives them back.
    Serve(usize),
    /// It takes so many, and untakes them.
    Hesitate(usize),
    /// The driver takes back what it can.
    TakeBack,
    /// The device is set up anew where it stopped.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop::collection::vec(0..=BUFFER, 1..6).prop_map(Step::Offer),
        3 => (1_usize..6).prop_map(Step::Serve),
        1 => (1_usize..6).prop_map(Step::Hesitate),
        2 => Just(Step::TakeBack),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_the_driver_sends_arrives_in_order(layout in forms(Access::Read), steps in steps()) {
        let (mut driver, mut queue, file) = pair(layout);
        let memory = Arc::new(GuestMemory::map(&[driver::region(&file)]).expect("a memory"));
        let (mut under_way, mut count) = (VecDeque::new(), 0_u8);
        for step in steps {
            match step {
                Step::Offer(lengths) => {
                    let parts: Vec<Vec<u8>> = lengths.iter().map(|len| {
                        count = count.wrapping_add(1);
                        vec![count; *len]
                    }).collect();
                    if driver.offer(&parts) {
                        under_way.push_back(parts.concat());
                    }
                }
                Step::Serve(want) => {
                    for _ in 0..want {
                        let there = queue.take().expect("no fault");
                        prop_assert_eq!(there, !under_way.is_empty());
                        let Some(sent) = under_way.pop_front() else { break };
                        prop_assert_eq!(queue.room(), sent.len());
                        let mut got = vec![0; sent.len() + 1];
                        // In two parts, to be taken up in the middle of a buffer.
                        let (front, back) = got.split_at_mut(sent.len() / 3);
                        prop_assert_eq!(queue.read(front) + queue.read(back), sent.len());
                        got.truncate(sent.len());
                        prop_assert_eq!(got, sent);
                        queue.give(0);
                    }
                    queue.publish();
                }
                Step::Hesitate(want) => {
                    for _ in 0..want {
                        queue.take().expect("no fault");
                    }
                    prop_assert_eq!(queue.chains(), want.min(under_way.len()));
                    queue.untake();
                }
                Step::TakeBack => while let Some(written) = driver.take_back() {
                    prop_assert!(written.is_empty());
                },
                Step::Restart => {
                    let mut driver_layout = driver.layout.spec();
                    driver_layout.base = queue.base();
                    queue = Queue::new(&memory, &driver_layout, None, None).expect("a queue");
                }
            }
        }
        // Nothing is lost on the way: all that was offered comes, and all of it goes back.
        while queue.take().expect("no fault") {
            queue.give(0);
            under_way.pop_front();
        }
        queue.publish();
        prop_assert!(under_way.is_empty());
        while driver.take_back().is_some() {}
        prop_assert_eq!(driver.room(), usize::from(layout.size));
    }

    #[test]
    fn what_the_device_writes_arrives_in_order(
        layout in forms(Access::Write),
        lengths in prop::collection::vec(1..=3 * BUFFER, 1..60),
        parts in 1_usize..4,
    ) {
        let (mut driver, mut queue, _file) = pair(layout);
        let parts = parts.min(usize::from(layout.size));
        let full = vec![vec![0; BUFFER]; parts];
        for (number, len) in lengths.into_iter().enumerate() {
            while driver.offer(&full) {}
            let sent: Vec<u8> = (0..len).map(|at| (at + number) as u8).collect();
            while queue.room() < len {
                if !queue.take().expect("no fault") {
                    break;
                }
            }
            if queue.room() < len {
                queue.untake();
                continue;
            }
            let chains = queue.chains();
            prop_assert_eq!(chains, len.div_ceil(parts * BUFFER));
            prop_assert_eq!(queue.write(&sent), len);
            queue.give(len);
            prop_assert!(driver.take_back().is_none(), "it is not published yet");
            queue.publish();
            let got: Vec<u8> = (0..chains).filter_map(|_| driver.take_back()).flatten().collect();
            prop_assert_eq!(got, sent);
        }
    }

    #[test]
    fn signals_come_when_they_are_asked_for(layout in forms(Access::Read), rounds in 1_usize..50) {
        let (mut driver, mut queue, _file) = pair(layout);
        for round in 0..rounds {
            let (kicks, calls) = (round % 3 == 0, round % 2 == 0);
            queue.set_kicks(kicks);
            driver.set_calls(calls);
            let before = driver.kicks;
            prop_assert!(driver.offer(&[vec![1; 9]]));
            // An event by index that was left behind may come once more, when the index comes round to it.
            prop_assert!(!kicks || driver.kicks == before + 1);
            prop_assert!(kicks || layout.event_index || driver.kicks == before);
            prop_assert!(queue.take().expect("no fault"));
            queue.give(0);
            queue.publish();
            prop_assert_eq!(driver.call.drain() > 0, calls);
            prop_assert!(driver.take_back().is_some());
        }
    }
}

/// Reads a queue in memory that may hold anything: as a port does, but for the packets.
fn serve(queue: &mut Queue) -> Option<Fault> {
    for _ in 0..64 {
        match queue.take() {
            Err(fault) => return Some(fault),
            Ok(false) => break,
            Ok(true) => {}
        }
        let mut bytes = [0; 300];
        if queue.room() % 5 == 4 {
            queue.untake();
            break;
        }
        assert!(queue.read(&mut bytes) <= queue.room());
        queue.give(0);
    }
    queue.publish();
    None
}

/// Words that mean something to a ring, so that random memory gets further than to its first check.
fn any_memory(layout: Layout, seed: &[u8]) -> Vec<u8> {
    let words = (layout.end() / 8) as usize;
    let mut memory = Vec::with_capacity(words * 8);
    for at in 0..words {
        let byte = seed[at % seed.len().max(1)];
        let near = u64::from(byte) * 8 % layout.end();
        let word = match byte % 7 {
            0 => driver::GUEST + near,
            // A length, flags and a next that are all small.
            1..=3 => {
                let flags =
                    u64::from(byte >> 3 & 7) | u64::from(byte & 128) << if byte & 64 == 0 { 0 } else { 8 };
                if layout.packed {
                    u64::from(byte & 63) | near << 32 | flags << 48
                } else {
                    u64::from(byte & 63) | flags << 32 | (near % 16) << 48
                }
            }
            4 => u64::from(byte) * 0x0001_0001_0001,
            5 => u64::MAX - near,
            _ => near,
        };
        memory.extend(word.to_le_bytes());
    }
    memory
}

#[test]
fn any_bytes_in_the_memory_harm_nobody() {
    let memories: Vec<_> =
        [(false, Access::Read), (false, Access::Write), (true, Access::Read), (true, Access::Write)]
            .into_iter()
            .map(|(packed, access)| {
                let layout = layout(access, packed, 16, true, true);
                let file = driver::memory(layout.end());
                let memory = Arc::new(GuestMemory::map(&[driver::region(&file)]).expect("a memory"));
                (layout, file, memory)
            })
            .collect();
    bolero::check!().with_type::<(u8, Vec<u8>, u16)>().for_each(|(which, seed, base)| {
        if seed.is_empty() {
            return;
        }
        let (layout, file, memory) = &memories[usize::from(which % 4)];
        let bytes = if which & 64 == 0 { any_memory(*layout, seed) } else { seed.clone() };
        let bytes = &bytes[..bytes.len().min(layout.end() as usize)];
        file.write_all_at(bytes, 0).expect("written");
        let mut spec = layout.spec();
        spec.base = u32::from(*base);
        (spec.indirect, spec.event_index) = (which & 16 == 0, which & 32 == 0);
        let Ok(mut queue) = Queue::new(memory, &spec, None, None) else { return };
        if layout.access == Access::Read {
            for _ in 0..4 {
                if serve(&mut queue).is_some() {
                    return;
                }
                queue.set_kicks(true);
            }
        } else {
            while queue.take() == Ok(true) && queue.chains() < 40 {
                if queue.room() > 500 {
                    let room = queue.room().min(400);
                    assert_eq!(queue.write(&[1; 400][..room]), room);
                    queue.give(room);
                }
            }
        }
    });
}

/// What a broken split ring is taken for.
fn fault(access: Access, break_it: impl Fn(&std::fs::File, &Layout)) -> Option<Fault> {
    let layout = layout(access, false, 8, true, false);
    let (mut driver, mut queue, file) = pair(layout);
    assert!(driver.offer(&[vec![1; 10], vec![2; 10]]));
    break_it(&file, &layout);
    queue.take().and_then(|_| queue.check()).err()
}

#[test]
fn every_fault_is_told_by_its_name() {
    let spec = layout(Access::Read, false, 8, true, false).spec();
    let place = |address: u64| address - driver::USER;
    let write = |file: &std::fs::File, at: u64, bytes: &[u8]| file.write_all_at(bytes, at).expect("written");
    let descriptor = |address: u64, len: u32, flags: u16, next: u16| {
        [&address.to_le_bytes()[..], &len.to_le_bytes(), &flags.to_le_bytes(), &next.to_le_bytes()].concat()
    };
    // The ring's one entry is the one that the driver takes first: 6, as chains take the last free ones.
    let with = |bytes: Vec<u8>| {
        move |file: &std::fs::File, _: &Layout| {
            for entry in 0..8 {
                write(file, place(spec.descriptors) + entry * 16, &bytes);
            }
        }
    };
    let (good, table) = (driver::GUEST, driver::GUEST);
    let cases: Vec<(Fault, Option<Fault>)> = vec![
        (Fault::IndexJump, fault(Access::Read, |file, _| write(file, place(spec.driver) + 2, &[9, 0]))),
        (Fault::NoDescriptor, fault(Access::Read, |file, _| write(file, place(spec.driver) + 4, &[8, 0]))),
        (Fault::NoDescriptor, fault(Access::Read, with(descriptor(good, 4, 1, 8)))),
        (Fault::ChainTooLong, fault(Access::Read, with(descriptor(good, 4, 1, 3)))),
        (Fault::Outside, fault(Access::Read, with(descriptor(0, 4, 0, 0)))),
        (Fault::Outside, fault(Access::Read, with(descriptor(good, u32::MAX, 0, 0)))),
        (Fault::Outside, fault(Access::Read, with(descriptor(u64::MAX, 4, 0, 0)))),
        (Fault::Direction, fault(Access::Read, with(descriptor(good, 4, 2, 0)))),
        (Fault::Direction, fault(Access::Write, with(descriptor(good, 4, 0, 0)))),
        // The table is its own first entry.
        (Fault::Indirect, fault(Access::Read, with(descriptor(table, 32, 4, 0)))),
        (Fault::Indirect, fault(Access::Read, with(descriptor(table, 33, 4, 0)))),
        (Fault::Indirect, fault(Access::Read, with(descriptor(table, 0, 4, 0)))),
        (Fault::Indirect, fault(Access::Read, with(descriptor(table + 4, 16, 4, 0)))),
        (Fault::Indirect, fault(Access::Read, with(descriptor(table, 32, 5, 0)))),
        (Fault::Outside, fault(Access::Read, with(descriptor(64, 32, 4, 0)))),
        (Fault::ChainTooLong, fault(Access::Read, with(descriptor(table, 16 * 2000, 4, 0)))),
        (Fault::MemoryGone, fault(Access::Read, |file, _| file.set_len(0).expect("shorter"))),
    ];
    for (number, (wanted, got)) in cases.into_iter().enumerate() {
        assert_eq!(got, Some(wanted), "case {number}");
    }
}

#[test]
fn rings_outside_the_memory_are_refused() {
    let layout = layout(Access::Read, false, 8, true, false);
    let file = driver::memory(layout.end());
    let memory = Arc::new(GuestMemory::map(&[driver::region(&file)]).expect("a memory"));
    let said = |change: &dyn Fn(&mut paceline_vring::QueueSpec)| {
        let mut spec = layout.spec();
        change(&mut spec);
        Queue::new(&memory, &spec, None, None).expect_err("refused").to_string()
    };
    assert!(said(&|spec| spec.size = 0).contains("0 entries"));
    assert!(said(&|spec| spec.size = 12).contains("12 entries"));
    assert!(said(&|spec| spec.size = 65_535).contains("between 1 and 32768"));
    assert!(said(&|spec| spec.descriptors = 7).contains("descriptor table at 0x7"));
    assert!(said(&|spec| spec.descriptors += 8).contains("not aligned"));
    assert!(said(&|spec| spec.driver = u64::MAX).contains("available ring"));
    assert!(said(&|spec| spec.device = driver::USER + layout.end() - 4).contains("used ring"));
    assert!(said(&|spec| (spec.packed, spec.base) = (true, 8)).contains("goes on at 8"));
}
