//! Nothing grows beyond its limit, and nobody takes from others.

use super::*;

#[test]
fn what_no_neighbour_can_have_is_not_asked_for() {
    let mut rig = Rig::new();
    for address in ["10.0.0.1", "10.255.255.255", "224.0.0.1", "255.255.255.255", "0.0.0.0", "ff02::1", "::"]
    {
        assert_eq!(rig.want(address, 1), "1 Unfit", "{address}");
        let pinned = rig.table.pin(rig.now, 1, ip(address), &mut Vec::new());
        assert_eq!(pinned, Err(Refused::Unfit));
    }
    assert_eq!(rig.act(|table, now, out| table.want(now, 7, ip("10.0.0.2"), 1, out)), "1 NoInterface");
    assert!(rig.table.is_empty());
}

#[test]
fn few_packets_wait() {
    let mut rig = Rig::with(Settings { waiting_each: 2, waiting_all: 3, ..Settings::default() });
    assert_eq!(rig.want("10.0.0.2", 1) + &rig.want("10.0.0.2", 2), "ask 10.0.0.2");
    assert_eq!(rig.want("10.0.0.2", 3), "1 Crowded");
    assert_eq!(rig.want("10.0.0.3", 4), "ask 10.0.0.3");
    assert_eq!(rig.want("10.0.0.4", 5), "2 Crowded, ask 10.0.0.4");
    assert_eq!((rig.table.waiting(), rig.table.counters().crowded), (3, 2));
}

#[test]
fn the_oldest_unresolved_makes_room() {
    let mut rig = Rig::with(Settings { each_interface: 2, ..Settings::default() });
    rig.want("10.0.0.2", 1);
    rig.reply("10.0.0.2", 9);
    rig.want("10.0.0.3", 2);
    assert_eq!(rig.want("10.0.0.4", 3), "2 Full, ask 10.0.0.4");
    rig.reply("10.0.0.4", 10);
    assert_eq!(rig.want("10.0.0.5", 4), "4 Full", "what is reachable stays");
    let pin = |rig: &mut Rig, address| {
        rig.act(|table, now, out| table.pin(now, 1, ip(address), out).expect("room"))
    };
    assert_eq!(pin(&mut rig, "10.0.0.6"), "10.0.0.2 lost, ask 10.0.0.6", "except for what is pinned");
    assert_eq!(pin(&mut rig, "10.0.0.4"), "");
    assert_eq!(rig.table.pin(rig.now, 1, ip("10.0.0.7"), &mut Vec::new()), Err(Refused::Full));
    assert_eq!(rig.want("10.0.0.5", 5), "5 Full");
}

#[test]
fn a_scan_of_one_interface_leaves_the_others_alone() {
    let settings =
        Settings { all: 100, each_interface: 80, asks: (1_000_000, 1_000_000), ..Settings::default() };
    let mut rig = Rig::with(settings);
    let mut out = Vec::new();
    for last in 1..=30 {
        rig.want(&format!("10.0.1.{last}"), 0);
        rig.reply(&format!("10.0.1.{last}"), last);
    }
    for scan in 0..100_000_u32 {
        rig.table.want(rig.now, 2, IpAddr::from((0x0a02_0100 + scan % 60_000).to_be_bytes()), scan, &mut out);
    }
    assert_eq!(rig.table.len(), 100);
    assert!((1..=30).all(|last| rig.state(&format!("10.0.1.{last}")) == Some((State::Reachable, last))));
    let given_up = out.iter().filter(|action| matches!(action, Action::GiveUp { .. })).count();
    assert_eq!(given_up + rig.table.waiting(), 100_000);
    let said = rig.want("10.0.0.2", 1);
    assert!(said.ends_with("Full, ask 10.0.0.2"), "there is room for the others: {said}");
}

#[test]
fn a_storm_of_questions_is_bounded() {
    let mut rig = Rig::new();
    rig.want("10.0.0.2", 1);
    rig.reply("10.0.0.2", 9);
    let (mut answers, mut learned, mut most) = (0, 0, 0);
    for number in 0..100_000_u32 {
        // A hundred thousand in ten seconds.
        rig.now += Duration::from_micros(100);
        let sender = IpAddr::from((0x0a01_0000 + number * 7).to_be_bytes());
        let frame = Frame::ask(Mac(0x0600_0000_0000 | u64::from(number)), sender, ip("10.0.0.1"), None)
            .expect("fits");
        let mut out = Vec::new();
        rig.table.input(rig.now, 1, &frame, |_| false, &mut out);
        answers += out.iter().filter(|action| matches!(action, Action::Send { .. })).count();
        learned += out.iter().filter(|action| matches!(action, Action::Resolved { .. })).count();
        rig.table.poll(rig.now, &mut out);
        most = most.max(rig.table.len());
    }
    assert_eq!(answers, 100_000);
    assert!((1200..1300).contains(&learned), "{learned}");
    assert!(most <= 1100, "{most}");
    assert_eq!(rig.state("10.0.0.2"), Some((State::Reachable, 9)));
    rig.wait(9);
    assert_eq!(rig.table.len(), 1, "none of them answered");
}

#[test]
fn too_many_new_ones_at_once_are_not_asked_for() {
    let mut rig = Rig::with(Settings { asks: (10, 5), ..Settings::default() });
    let said: Vec<String> = (2..10).map(|last| rig.want(&format!("10.0.0.{last}"), 1)).collect();
    assert_eq!(said.iter().filter(|said| said.starts_with("ask")).count(), 5);
    assert_eq!(said.last().map(String::as_str), Some("1 Busy"));
    rig.now += Duration::from_millis(100);
    assert_eq!(rig.want("10.0.0.9", 1), "ask 10.0.0.9");
}

#[test]
fn endless_times_do_not_overflow() {
    let long = Duration::MAX;
    let mut rig =
        Rig::with(Settings { reachable4: long, reachable6: long, spread: 100, ..Settings::default() });
    rig.want("10.0.0.2", 1);
    rig.reply("10.0.0.2", 9);
    rig.now = Duration::MAX.saturating_sub(Duration::from_secs(1));
    rig.want("10.0.0.3", 2);
    rig.act(|table, _, out| table.poll(Duration::MAX, out));
}
