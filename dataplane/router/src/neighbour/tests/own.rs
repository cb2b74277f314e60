//! Interfaces and own addresses.

use super::*;

#[test]
fn an_own_address_is_defended() {
    for address in ["10.0.0.1", "fd00::1"] {
        let mut rig = Rig::new();
        let said = format!("{address} claimed by 9, announce {address}");
        assert_eq!(rig.announce(address, 9), said);
        assert_eq!(rig.announce(address, 9), "", "not too often");
        let other = if ip(address).is_ipv4() { "10.0.0.9" } else { "fd00::9" };
        assert_eq!(rig.ask(address, 9, other), "");
        rig.wait(10);
        assert_eq!(rig.ask(address, 9, other), said);
        assert_eq!(rig.table.counters().conflicts, 4);
        let own = Frame::announcement(OWN, ip(address)).expect("fits");
        assert_eq!(rig.hear(&own), "", "our own frame came back");
    }
}

#[test]
fn addresses_are_probed_and_announced() {
    let mut rig = Rig::with(Settings { probes4: 2, ..Settings::default() });
    let up = rig.act(|table, now, out| table.set_interface(now, 3, interface(&["10.3.0.1/16"]), out));
    assert_eq!(up, "probe 10.3.0.1, probe fe80::ff:fe00:1");
    assert!(!rig.table.is_usable(3, ip("10.3.0.1")));
    assert_eq!(
        rig.wait(60),
        "1: probe 10.3.0.1, fe80::ff:fe00:1 usable, announce fe80::ff:fe00:1; 2: 10.3.0.1 usable, announce 10.3.0.1; \
         3: announce fe80::ff:fe00:1; 4: announce 10.3.0.1"
    );
    assert!(rig.table.is_usable(3, ip("10.3.0.1")));
    let again = rig
        .act(|table, now, out| table.set_interface(now, 3, interface(&["10.3.0.1/24", "10.4.0.1/16"]), out));
    assert_eq!(again, "probe 10.4.0.1", "only what is new");
}

#[test]
fn a_taken_address_is_not_used_and_tried_again() {
    for address in ["10.3.0.1", "fd03::1"] {
        for probe in [false, true] {
            let mut rig = Rig::with(Settings { probes4: 1, ..Settings::default() });
            let nets = [format!("{address}/16")];
            let nets: Vec<&str> = nets.iter().map(String::as_str).collect();
            rig.act(|table, now, out| table.set_interface(now, 1, interface(&nets), out));
            let theirs = if probe { Frame::probe } else { Frame::announcement };
            let frame = theirs(mac(9), ip(address)).expect("fits");
            assert_eq!(rig.hear(&frame), format!("{address} lost to 9"));
            assert!(!rig.wait(59).contains(address));
            let other = if ip(address).is_ipv4() { "10.3.0.9" } else { "fd03::9" };
            assert_eq!(rig.ask(other, 8, address), "", "it is not answered for");
            assert!(rig.wait(2).contains(&format!("{address} usable, announce {address}")));
        }
    }
}

#[test]
fn without_an_address_of_its_own_nothing_is_asked() {
    let mut rig = Rig::new();
    rig.act(|table, now, out| table.set_interface(now, 1, interface(&[]), out));
    assert_eq!(rig.want("10.0.0.2", 1), "");
    assert_eq!(rig.wait(3), "1: ; 2: ; 3: 1 Unanswered");
    assert_eq!(rig.table.counters().mute, 3);
}

#[test]
fn an_interface_that_goes_takes_its_neighbours_with_it() {
    let mut rig = Rig::new();
    rig.want("10.0.0.2", 1);
    rig.reply("10.0.0.2", 9);
    rig.want("10.0.0.3", 2);
    rig.act(|table, now, out| table.want(now, 2, ip("10.2.0.3"), 3, out));
    assert_eq!(rig.act(|table, _, out| table.remove_interface(1, out)), "10.0.0.2 lost, 2 NoInterface");
    assert_eq!((rig.table.len(), rig.table.waiting()), (1, 1));
}

#[test]
fn an_address_that_becomes_ours_is_no_neighbour() {
    let mut rig = Rig::new();
    rig.want("10.0.0.2", 1);
    rig.reply("10.0.0.2", 9);
    let nets = ["10.0.0.1/8", "10.0.0.2/8", "fd00::1/64"];
    let said = rig.act(|table, now, out| table.set_interface(now, 1, interface(&nets), out));
    assert_eq!(said, "10.0.0.2 lost, 10.0.0.2 usable, announce 10.0.0.2");
}

#[test]
fn neighbours_go_with_their_subnet() {
    let mut rig = Rig::new();
    for (address, packet) in [("10.0.0.2", 1), ("10.9.0.3", 2), ("172.16.0.4", 3), ("10.9.0.5", 4)] {
        rig.want(address, packet);
    }
    rig.act(|table, now, out| table.pin(now, 1, ip("10.9.0.5"), out).expect("room"));
    rig.reply("10.9.0.3", 9);
    let said = rig.act(|table, now, out| table.set_interface(now, 1, interface(&["10.0.0.1/16"]), out));
    assert_eq!(said, "10.9.0.3 lost", "but not what is pinned, and what never was in a subnet");
    assert_eq!(rig.table.len(), 3);
}
