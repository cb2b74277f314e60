//! Peers that come and go, in any order, and stop and start their queues.

use std::fs;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use paceline_ports::{LinkState, Port, VhostConfig, VhostPort, VhostRole};
use paceline_sys::wake::{Epoll, Event, Interest};
use tempfile::TempDir;

use crate::guest::{Guest, Kind, request};
use crate::switch::{Switch, frame};

/// A frame there and one back.
fn passes(switch: &mut Switch, guest: &mut Guest) {
    switch.wait_for(&LinkState::Up);
    assert!(guest.send([0; 10], &frame(100, 5)));
    assert!(switch.frame() == frame(100, 5));
    switch.send(&frame(90, 6));
    assert_eq!(guest.receive().expect("it was sent").1, frame(90, 6));
}

/// Whether the frame with a number comes to the guest within so many milliseconds, perhaps behind others.
fn is_answered(guest: &mut Guest, number: u8, wait: u32) -> bool {
    (0..wait).any(|_| {
        thread::sleep(Duration::from_millis(1));
        std::iter::from_fn(|| guest.receive()).any(|(_, got)| got[14..] == frame(60, number)[14..])
    })
}

#[test]
fn one_guest_after_the_other() {
    let mut switch = Switch::new(VhostRole::Server);
    assert_eq!(switch.port.state(), LinkState::Down("no peer has connected"));
    for kind in [Kind::SPLIT, Kind::PACKED, Kind::SPLIT] {
        let mut guest = Guest::connect(&switch.socket, kind);
        passes(&mut switch, &mut guest);
        drop(guest);
        switch.wait_for(&LinkState::Down("the peer is gone"));
    }
    let socket = switch.socket.clone();
    let guest = Guest::connect(&socket, Kind::SPLIT);
    switch.wait_for(&LinkState::Up);
    switch.end();
    assert!(!socket.exists(), "the socket is gone with the port");
    drop(guest);
}

#[test]
fn a_client_finds_its_peer_again() {
    let mut switch = Switch::new(VhostRole::Client);
    assert_eq!(switch.port.state(), LinkState::Down("no peer has connected"));
    for kind in [Kind::SPLIT, Kind::PACKED] {
        let listener = UnixListener::bind(&switch.socket).expect("a socket");
        let (stream, _) = listener.accept().expect("the port connects");
        let mut guest = Guest::on(stream, kind);
        passes(&mut switch, &mut guest);
        fs::remove_file(&switch.socket).expect("removed");
        drop((guest, listener));
        switch.wait_for(&LinkState::Down("the peer is gone"));
    }
    switch.end();
}

#[test]
fn a_queue_is_stopped_and_goes_on() {
    for kind in [Kind::SPLIT, Kind::PACKED] {
        let mut switch = Switch::new(VhostRole::Server);
        let mut guest = Guest::connect(&switch.socket, kind);
        let ((), count) = switch.echo_while(|| {
            let mut base = [0; 2];
            for round in 0..20_u8 {
                assert!(guest.send([0; 10], &frame(60, round)));
                assert!(is_answered(&mut guest, round, 20_000), "{kind:?}, round {round}");
                for index in [0, 1] {
                    base[index as usize] = guest.stop(index);
                }
                let entry = u32::from(round + 1);
                let expected = if kind.packed { (entry | 1 << 15) * 0x1_0001 } else { entry };
                assert_eq!(base, [expected; 2], "{kind:?}, round {round}");
                // Memory may be another one before they go on.
                guest.share_memory();
                for index in [0, 1] {
                    guest.pair(request::SET_VRING_BASE, index, base[index as usize]);
                    guest.kick(index);
                }
            }
        });
        assert_eq!(count, 20);
        switch.end();
    }
}

#[test]
fn memory_changes_while_packets_move() {
    let mut switch = Switch::new(VhostRole::Server);
    let mut guest = Guest::connect(&switch.socket, Kind::SPLIT);
    let ((), count) = switch.echo_while(|| {
        for round in 0..50_u8 {
            // Between stop and start nothing is sent, so some are lost.
            let comes_back = (0..100).any(|_| {
                assert!(guest.send([0; 10], &frame(60, round)));
                guest.share_memory();
                is_answered(&mut guest, round, 50)
            });
            assert!(comes_back, "round {round}");
        }
    });
    assert!(count >= 50);
    switch.end();
}

#[test]
fn a_silent_port_is_woken() {
    for kind in [Kind::SPLIT, Kind::PACKED] {
        let mut switch = Switch::new(VhostRole::Server);
        let mut guest = Guest::connect(&switch.socket, kind);
        switch.wait_for(&LinkState::Up);
        let epoll = Epoll::new().expect("a set");
        epoll.add(switch.port.wake_fd().expect("it has one"), 0, Interest::Read).expect("added");
        let mut events = [Event::EMPTY; 1];
        for round in 0..5 {
            // As many turns as a worker takes before it waits.
            for _ in 0..64 {
                assert_eq!(switch.receive(&mut |_| {}), 0);
            }
            assert_eq!(epoll.wait(&mut events, Some(Duration::ZERO)).expect("a wait"), 0, "round {round}");
            assert!(guest.send([0; 10], &frame(60, round)));
            assert_eq!(epoll.wait(&mut events, Some(Duration::from_secs(10))).expect("a wait"), 1);
            assert_eq!(switch.frame(), frame(60, round));
            // While packets come there are no kicks, but one that was on its way.
            let before = guest.tx.kicks;
            for number in 0..20 {
                assert!(guest.send([0; 10], &frame(60, number)));
                assert_eq!(switch.frame(), frame(60, number));
            }
            assert!(guest.tx.kicks <= before + 1);
        }
        switch.end();
    }
}

#[test]
fn a_socket_that_was_left_behind_is_taken_and_one_in_use_is_not() {
    let directory = TempDir::new().expect("a directory");
    let socket = directory.path().join("socket");
    let open = |socket| VhostPort::open(&VhostConfig { socket, role: VhostRole::Server });
    drop(UnixListener::bind(&socket).expect("a socket"));
    assert!(socket.exists());
    let first = open(socket.clone()).expect("a port");
    let said = open(socket.clone()).err().expect("in use").to_string();
    assert!(said.contains("socket") && said.contains("another process listens"), "{said}");
    drop(first);
    fs::write(&socket, "no socket").expect("written");
    assert!(open(socket.clone()).is_err(), "a file is not taken away");
    assert_eq!(fs::read(&socket).expect("it is there"), b"no socket");
    let nowhere = open(directory.path().join("nowhere/socket")).err().expect("nowhere").to_string();
    assert!(nowhere.contains("its directory must exist"), "{nowhere}");
}
