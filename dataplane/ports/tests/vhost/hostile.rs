//! Guests and peers that break the rules: the port says why it is down, and the next guest finds it as new.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use paceline_graph::Reason;
use paceline_ports::{LinkState, VhostRole};
use paceline_vring::driver;

use crate::guest::{Guest, Kind, feature, header, memory_table, request};
use crate::switch::{Switch, frame};

/// The port works with a new guest.
fn works(switch: &mut Switch, kind: Kind) -> Guest {
    let mut guest = Guest::connect(&switch.socket, kind);
    switch.wait_for(&LinkState::Up);
    assert!(guest.send([0; 10], &frame(100, 5)));
    assert!(switch.frame() == frame(100, 5));
    switch.send(&frame(90, 6));
    assert_eq!(guest.receive().expect("it was sent").1, frame(90, 6));
    guest
}

/// What the port says after a peer has done something, before a good one comes.
fn after(harm: impl FnOnce(&mut Guest), says: &'static str) {
    let mut switch = Switch::new(VhostRole::Server);
    let stream = UnixStream::connect(&switch.socket).expect("a port that listens");
    let mut guest = Guest::idle(stream, Kind::SPLIT);
    harm(&mut guest);
    switch.wait_for(&LinkState::Down(says));
    drop(guest);
    works(&mut switch, Kind::SPLIT);
    switch.end();
}

const PROTOCOL: &str = "the peer broke the protocol";
const MEMORY: &str = "the peer's memory cannot be used";
const QUEUES: &str = "the peer's queues cannot be used";

#[test]
fn broken_messages_end_the_connection() {
    after(|guest| guest.message(99, &[], &[]), PROTOCOL);
    after(|guest| guest.bytes(&[0xff; 12], &[], &[]), PROTOCOL);
    after(|guest| guest.bytes(&header(request::SET_FEATURES, 4096), &[7; 4096], &[]), PROTOCOL);
    after(|guest| guest.message(request::SET_FEATURES, &[1], &[]), PROTOCOL);
    after(|guest| guest.message(request::SET_FEATURES, &u64::MAX.to_le_bytes(), &[]), PROTOCOL);
    after(|guest| guest.pair(request::SET_VRING_NUM, 2, 256), PROTOCOL);
    after(|guest| guest.pair(request::GET_VRING_BASE, u32::MAX, 0), PROTOCOL);
    // Half a message, and the end of the connection.
    after(
        |guest| {
            guest.bytes(&header(request::SET_FEATURES, 8)[..7], &[], &[]);
            guest.stream.shutdown(std::net::Shutdown::Both).expect("shut down");
        },
        PROTOCOL,
    );
    // Descriptors where there are none, or more than there are regions.
    after(
        |guest| {
            let fds = vec![guest.file.as_raw_fd(); 3];
            guest.message(request::GET_FEATURES, &[], &fds);
        },
        PROTOCOL,
    );
    after(
        |guest| {
            let fds = vec![guest.file.as_raw_fd(); 200];
            guest.message(request::SET_MEM_TABLE, &memory_table(&[[0, 4096, 0, 0]]), &fds);
        },
        PROTOCOL,
    );
}

#[test]
fn memory_that_is_none_ends_the_connection() {
    let table = |regions: Vec<[u64; 4]>| {
        move |guest: &mut Guest| {
            guest.negotiate();
            let fds = vec![guest.file.as_raw_fd(); regions.len()];
            guest.message(request::SET_MEM_TABLE, &memory_table(&regions), &fds);
        }
    };
    after(table(vec![[0, 1 << 40, 0, 0]]), MEMORY);
    after(table(vec![[0, 8192, 0, 0], [4096, 8192, 1 << 30, 0]]), MEMORY);
    after(table(vec![[0, 8192, 0, 0], [1 << 30, 8192, 4096, 0]]), MEMORY);
    after(table((0..9).map(|at| [at << 20, 4096, at << 20, 0]).collect()), MEMORY);
    after(table(vec![[u64::MAX, 8192, 0, 0]]), PROTOCOL);
    after(
        |guest| {
            guest.negotiate();
            let file = File::open("/proc/self/exe").expect("a file");
            let fds = [file.as_raw_fd()];
            guest.message(request::SET_MEM_TABLE, &memory_table(&[[0, 4096, 0, 0]]), &fds);
        },
        MEMORY,
    );
}

#[test]
fn queues_that_are_none_end_the_connection() {
    after(
        |guest| {
            guest.negotiate();
            guest.share_memory();
            guest.rx.layout.start = 1 << 40;
            guest.start_queues();
        },
        QUEUES,
    );
    after(
        |guest| {
            guest.negotiate();
            guest.share_memory();
            guest.rx.layout.size = 3;
            guest.start_queues();
        },
        QUEUES,
    );
    after(|guest| guest.pair(request::SET_VRING_NUM, 0, 70_000), QUEUES);
    // A pipe, at which the worker could be made to wait.
    after(
        |guest| {
            guest.negotiate();
            guest.share_memory();
            guest.start();
            let (_read, write) = nix::unistd::pipe().expect("a pipe");
            guest.message(request::SET_VRING_CALL, &0_u64.to_le_bytes(), &[write.as_fd().as_raw_fd()]);
            // It is set up anew with it at once.
        },
        QUEUES,
    );
    after(|guest| guest.message(request::SET_VRING_KICK, &0x100_u64.to_le_bytes(), &[]), QUEUES);
}

#[test]
fn a_guest_that_breaks_a_ring_takes_its_link_down_alone() {
    for kind in [Kind::SPLIT, Kind::PACKED] {
        let mut switch = Switch::new(VhostRole::Server);
        let guest = works(&mut switch, kind);
        // Address and length of every buffer of the queue that it sends by.
        let layout = guest.tx.layout;
        for entry in 0..u64::from(layout.size) {
            guest.file.write_all_at(&[0xff; 12], layout.start + entry * 16).expect("written");
        }
        let at = guest.tx.layout.spec().driver - driver::USER;
        if kind.packed {
            for entry in 0..u64::from(layout.size) {
                // Available in the first round.
                guest.file.write_all_at(&[0x80, 0], layout.start + entry * 16 + 14).expect("written");
            }
        } else {
            // One more is available: whichever.
            let mut index = [0; 2];
            guest.file.read_exact_at(&mut index, at + 2).expect("read");
            let next = u16::from_le_bytes(index).wrapping_add(1);
            guest.file.write_all_at(&next.to_le_bytes(), at + 2).expect("written");
        }
        switch.until(|switch| {
            switch.receive(&mut |_| {});
            switch.port_state() != LinkState::Up
        });
        let says = LinkState::Down("the guest named a buffer outside its memory");
        assert_eq!(switch.port_state(), says);
        drop(guest);
        works(&mut switch, kind);
        switch.end();
    }
}

#[test]
fn memory_that_is_cut_off_takes_the_link_down() {
    for kind in [Kind::SPLIT, Kind::PACKED] {
        let mut switch = Switch::new(VhostRole::Server);
        let guest = works(&mut switch, kind);
        guest.file.set_len(4096).expect("shorter");
        switch.until(|switch| {
            switch.receive(&mut |_| {});
            switch.send(&frame(60, 1));
            switch.port_state() != LinkState::Up
        });
        assert!(matches!(switch.port_state(), LinkState::Down(why) if why.starts_with("the guest")));
        switch.send(&frame(60, 1));
        assert!(switch.drops.get(Reason::PortDown) > 0);
        drop(guest);
        works(&mut switch, kind);
        switch.end();
    }
}

#[test]
fn features_that_were_not_offered_are_refused() {
    let mut switch = Switch::new(VhostRole::Server);
    let stream = UnixStream::connect(&switch.socket).expect("a port that listens");
    let mut guest = Guest::idle(stream, Kind::SPLIT);
    let offered = guest.ask(request::GET_FEATURES);
    // IN_ORDER, USO of the device, the control queue, UFO.
    for bit in [35, 56, 17, 14] {
        assert_eq!(offered >> bit & 1, 0, "bit {bit}");
    }
    for feature in [feature::VERSION_1, feature::PACKED, feature::MRG_RXBUF, feature::EVENT_IDX] {
        assert_eq!(offered & feature, feature);
    }
    drop(guest);
    switch.wait_for(&LinkState::Down("the peer is gone"));
    switch.end();
}
