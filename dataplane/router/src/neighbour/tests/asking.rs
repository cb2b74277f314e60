//! Asking, answering, learning, ageing.

use super::*;

#[test]
fn a_packet_asks_and_is_released_by_the_answer() {
    for (address, time) in [("10.0.0.2", 60), ("fd00::2", 30)] {
        let mut rig = Rig::new();
        assert_eq!(rig.want(address, 1), format!("ask {address}"));
        assert_eq!(rig.want(address, 2), "");
        assert_eq!(rig.reply(address, 9), format!("{address} is 9, 1 to 9, 2 to 9"));
        assert_eq!(rig.want(address, 3), "3 to 9");
        assert_eq!(rig.state(address), Some((State::Reachable, 9)));
        assert_eq!(rig.wait(time), format!("{time}: ask {address} of 9"));
    }
}

#[test]
fn who_does_not_answer_is_asked_three_times() {
    for address in ["10.0.0.2", "fd00::2"] {
        let mut rig = Rig::new();
        rig.want(address, 1);
        assert_eq!(rig.wait(3), format!("1: ask {address}; 2: ask {address}; 3: 1 Unanswered"));
        assert_eq!(rig.want(address, 2), "2 Unanswered", "at once, without a question");
        rig.wait(1);
        assert_eq!(rig.want(address, 3), "3 Unanswered");
        assert_eq!((rig.wait(1), rig.state(address)), ("1: ".into(), None), "forgotten");
        assert_eq!(rig.want(address, 4), format!("ask {address}"));
        assert_eq!(rig.reply(address, 9), format!("{address} is 9, 4 to 9"));
    }
}

#[test]
fn one_that_failed_is_known_when_it_is_heard() {
    let mut rig = Rig::new();
    rig.want("10.0.0.2", 1);
    rig.wait(4);
    assert_eq!(rig.ask("10.0.0.2", 9, "10.0.0.1"), "10.0.0.2 is 9, tell 10.0.0.1 of 9");
}

#[test]
fn who_is_known_is_asked_again_and_forgotten() {
    for (address, time) in [("10.0.0.2", 60), ("fd00::2", 30)] {
        let mut rig = Rig::new();
        rig.want(address, 1);
        rig.reply(address, 9);
        rig.wait(time);
        assert_eq!(rig.want(address, 2), "2 to 9", "as long as it may be there");
        assert_eq!(rig.reply(address, 9), "");
        let asked = format!("ask {address} of 9");
        let (t0, t1, t2, t3) = (time, time + 1, time + 2, time + 3);
        assert_eq!(
            rig.wait(100),
            format!("{t0}: {asked}; {t1}: {asked}; {t2}: {asked}; {t3}: {address} lost")
        );
        assert_eq!((rig.state(address), rig.table.next_deadline()), (None, None));
    }
}

#[test]
fn what_is_pinned_is_asked_for_ever_more_seldom() {
    let mut rig = Rig::new();
    assert_eq!(
        rig.act(|table, now, out| table.pin(now, 1, ip("10.0.0.2"), out).expect("room")),
        "ask 10.0.0.2"
    );
    let asked = rig.wait(600).matches("ask").count();
    assert!((35..45).contains(&asked), "{asked}");
    rig.want("10.0.0.2", 1);
    assert_eq!(rig.reply("10.0.0.2", 9), "10.0.0.2 is 9, 1 to 9");
    let all = rig.wait(64);
    assert!(all.ends_with("63: 10.0.0.2 lost, ask 10.0.0.2; 64: ask 10.0.0.2"), "{all}");
    let ask = "ask 10.0.0.2";
    assert_eq!(
        rig.wait(6),
        format!("1: {ask}; 2: ; 4: {ask}; 5: {ask}; 6: {ask}"),
        "and from the start again"
    );
    rig.table.unpin(1, ip("10.0.0.2"));
    rig.wait(100);
    assert_eq!((rig.state("10.0.0.2"), rig.table.next_deadline()), (None, None));
}

#[test]
fn who_asks_for_us_is_learned_and_confirmed() {
    let mut rig = Rig::new();
    assert_eq!(rig.ask("10.0.0.2", 9, "10.0.0.1"), "10.0.0.2 is 9, tell 10.0.0.1 of 9");
    assert_eq!(rig.state("10.0.0.2"), Some((State::Stale, 9)));
    assert_eq!(rig.wait(5), "5: ask 10.0.0.2 of 9");
    assert_eq!(rig.reply("10.0.0.2", 9), "");
    assert_eq!(rig.state("10.0.0.2"), Some((State::Reachable, 9)));
    assert_eq!(rig.ask("fd00::2", 8, "fd00::1"), "fd00::2 is 8, tell fd00::1 of 8");
    assert_eq!(rig.ask("fe80::2", 8, "fe80::ff:fe00:1"), "fe80::2 is 8, tell fe80::ff:fe00:1 of 8");
}

#[test]
fn who_asks_for_others_or_from_elsewhere_is_not_learned() {
    let mut rig = Rig::new();
    assert_eq!(rig.ask("10.0.0.2", 9, "10.0.0.3"), "");
    assert_eq!(rig.ask("172.16.0.2", 9, "10.0.0.1"), "tell 10.0.0.1 of 9");
    assert_eq!(rig.ask("10.255.255.255", 9, "10.0.0.1"), "tell 10.0.0.1 of 9");
    let probe = Frame::probe(mac(9), ip("10.0.0.1")).expect("fits");
    assert_eq!(rig.hear(&probe), "tell 10.0.0.1 of 9");
    let probe = Frame::probe(mac(9), ip("fd00::1")).expect("fits");
    assert_eq!(rig.hear(&probe), "announce fd00::1");
    assert_eq!(rig.announce("10.0.0.2", 9), "");
    assert_eq!(rig.announce("fd00::2", 9), "");
    assert_eq!(rig.reply("10.0.0.2", 9), "");
    assert!(rig.table.is_empty());
    assert_eq!(rig.table.counters().unsolicited, 3);
}

#[test]
fn a_neighbour_moves_by_its_announcement() {
    for address in ["10.0.0.2", "fd00::2"] {
        let mut rig = Rig::new();
        rig.want(address, 1);
        rig.reply(address, 9);
        assert_eq!(rig.announce(address, 9), "", "nothing new");
        assert_eq!(rig.state(address), Some((State::Reachable, 9)));
        assert_eq!(rig.announce(address, 10), format!("{address} is a"));
        assert_eq!(rig.state(address), Some((State::Stale, 10)));
        assert_eq!(rig.wait(5), format!("5: ask {address} of a"));
        assert_eq!(rig.table.counters().moved, 1);
    }
}

#[test]
fn of_two_arp_replies_the_first_is_believed() {
    let mut rig = Rig::new();
    rig.want("10.0.0.2", 1);
    rig.reply("10.0.0.2", 9);
    assert_eq!(rig.reply("10.0.0.2", 10), "");
    assert_eq!(rig.state("10.0.0.2"), Some((State::Stale, 9)), "it is asked once more");
    rig.wait(2);
    assert_eq!(rig.reply("10.0.0.2", 10), "10.0.0.2 is a");
}

#[test]
fn an_advertisement_overrides_only_if_it_says_so() {
    let mut rig = Rig::new();
    rig.want("fd00::2", 1);
    rig.reply("fd00::2", 9);
    let ask = Solicitation::ask(fd(1), OWN, fd(2));
    let mut tell = Advertisement { overrides: false, ..ask.answer(mac(10), false) };
    assert_eq!(rig.hear(&advertisement(&tell, mac(10))), "");
    assert_eq!(rig.state("fd00::2"), Some((State::Stale, 9)));
    assert_eq!(rig.hear(&advertisement(&tell, mac(10))), "", "and no further");
    tell.link_layer = None;
    assert_eq!(rig.hear(&advertisement(&tell, mac(9))), "");
    assert_eq!(rig.state("fd00::2"), Some((State::Reachable, 9)), "confirmed without a word on its MAC");
}

#[test]
fn what_is_static_stays() {
    let mut rig = Rig::new();
    rig.want("10.0.0.2", 1);
    let set = |table: &mut Neighbours<u32>, now, out: &mut Vec<_>| {
        table.set_static(now, 1, ip("10.0.0.2"), mac(7), out)
    };
    assert_eq!(rig.act(|table, now, out| set(table, now, out).expect("fits")), "10.0.0.2 is 7, 1 to 7");
    assert_eq!(rig.reply("10.0.0.2", 9) + &rig.announce("10.0.0.2", 9), "");
    assert_eq!(rig.ask("10.0.0.2", 9, "10.0.0.1"), "tell 10.0.0.1 of 9");
    assert_eq!((rig.wait(1000), rig.state("10.0.0.2")), (String::new(), Some((State::Static, 7))));
    assert_eq!((rig.table.counters().protected, rig.table.len()), (3, 0));
    rig.act(|table, now, out| table.flush(now, 1, out));
    assert_eq!(rig.act(|table, now, out| table.remove_static(now, 1, ip("10.0.0.2"), out)), "10.0.0.2 lost");
    assert_eq!(rig.state("10.0.0.2"), None);
}
