//! The forwarding tables under every order in which a change and a lookup can take effect: see `ARCHITECTURE.md` for how to run it.
#![cfg(loom)]
#![forbid(unsafe_code)]

use loom::thread;
use paceline_tables::{Rib4, Rib6};

/// Runs a model with up to `switches` forced switches between threads.
fn model(switches: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(switches);
    builder.max_branches = 10_000;
    builder.check(test);
}

/// A change beside a lookup, which must answer with one of some values. Addresses of IPv4 have four bits here: the first level
/// is /2.
fn ipv4(before: &'static [(&str, u32)], change: fn(&mut Rib4), address: u32, right: &'static [u32]) {
    model(3, move || {
        let mut rib = Rib4::new().expect("memory");
        for (net, value) in before {
            rib.insert(net.parse().expect("a prefix"), *value).expect("room");
        }
        let fib = rib.fib().clone();
        let reader = thread::spawn(move || fib.lookup(address));
        change(&mut rib);
        let value = reader.join().expect("it ends");
        assert!(right.contains(&value), "{value}");
    });
}

fn insert4(rib: &mut Rib4, net: &str, value: u32) {
    rib.insert(net.parse().expect("a prefix"), value).expect("room");
}

fn remove4(rib: &mut Rib4, net: &str) {
    rib.remove(net.parse().expect("a prefix"));
}

#[test]
fn a_group_is_linked() {
    let change = |rib: &mut Rib4| insert4(rib, "16.0.0.0/4", 2);
    ipv4(&[("0.0.0.0/1", 1)], change, 0x1000_0000, &[1, 2]);
    ipv4(&[("0.0.0.0/1", 1)], change, 0x2000_0000, &[1]);
}

#[test]
fn a_group_is_unlinked_and_another_linked() {
    let change = |rib: &mut Rib4| {
        remove4(rib, "16.0.0.0/4");
        insert4(rib, "32.0.0.0/3", 3);
    };
    ipv4(&[("0.0.0.0/1", 1), ("16.0.0.0/4", 2)], change, 0x1000_0000, &[1, 2]);
    ipv4(&[("0.0.0.0/1", 1), ("16.0.0.0/4", 2)], change, 0x0000_0000, &[1]);
}

#[test]
fn the_default_route_goes_when_another_has_come() {
    let change = |rib: &mut Rib4| {
        insert4(rib, "0.0.0.0/2", 2);
        remove4(rib, "0.0.0.0/0");
    };
    ipv4(&[("0.0.0.0/0", 1)], change, 0, &[1, 2]);
}

#[test]
fn the_default_route_changes_while_another_is_there() {
    let change = |rib: &mut Rib4| {
        insert4(rib, "0.0.0.0/0", 3);
        remove4(rib, "0.0.0.0/4");
    };
    ipv4(&[("0.0.0.0/0", 1), ("0.0.0.0/4", 2)], change, 0, &[2, 3]);
}

#[test]
fn the_default_route_changes_twice_behind_another() {
    let change = |rib: &mut Rib4| {
        insert4(rib, "0.0.0.0/2", 2);
        insert4(rib, "0.0.0.0/0", 3);
        insert4(rib, "0.0.0.0/0", 4);
        remove4(rib, "0.0.0.0/2");
    };
    ipv4(&[("0.0.0.0/0", 1)], change, 0, &[1, 2, 4]);
}

/// A change beside a lookup, which must answer with one of some values.
fn ipv6(before: &'static [(&str, u32)], change: fn(&mut Rib6), address: u128, right: &'static [u32]) {
    model(2, move || {
        let mut rib = Rib6::new().expect("memory");
        for (net, value) in before {
            rib.insert(net.parse().expect("a prefix"), *value).expect("room");
        }
        rib.quiet(rib.mark());
        let fib = rib.fib().clone();
        let reader = thread::spawn(move || fib.lookup(address));
        change(&mut rib);
        let value = reader.join().expect("it ends");
        assert!(right.contains(&value), "{value}");
    });
}

fn insert6(rib: &mut Rib6, net: &str, value: u32) {
    rib.insert(net.parse().expect("a prefix"), value).expect("room");
}

fn remove6(rib: &mut Rib6, net: &str) {
    rib.remove(net.parse().expect("a prefix"));
}

const NEAR: u128 = 0x2001_0db8 << 96 | 1;
const FAR: u128 = 0x2001_0dff << 96;

#[test]
fn routes_become_a_node() {
    let before = &[("2001:db8::/32", 1), ("2001:db8::/64", 2)];
    ipv6(before, |rib| insert6(rib, "2001:db8::1/128", 3), NEAR, &[2, 3]);
    ipv6(before, |rib| insert6(rib, "2001:db8:8000::/33", 3), NEAR, &[2]);
}

const NODE: &[(&str, u32)] = &[("2001:db8::/32", 1), ("2001:db8:8000::/33", 2), ("2001:db8:c000::/34", 3)];

#[test]
fn a_node_is_put_around_a_node() {
    ipv6(NODE, |rib| insert6(rib, "2001:d00::/24", 4), NEAR, &[1]);
    ipv6(NODE, |rib| insert6(rib, "2001:d00::/24", 4), FAR, &[0, 4]);
    ipv6(NODE, |rib| insert6(rib, "2001:d00::/24", 4), 1 << 127, &[0]);
}

#[test]
fn what_covers_a_node_goes() {
    let change = |rib: &mut Rib6| {
        insert6(rib, "2001:d00::/24", 4);
        remove6(rib, "2001:db8::/32");
    };
    ipv6(NODE, change, NEAR, &[1, 4]);
}

#[test]
fn one_of_two_routes_goes() {
    let before = &[("2001:db8::/32", 1), ("2001:db8::/64", 2)];
    let change = |rib: &mut Rib6| {
        remove6(rib, "2001:db8::/64");
        insert6(rib, "::/0", 3);
    };
    ipv6(before, change, NEAR, &[1, 2]);
    ipv6(before, |rib| remove6(rib, "2001:db8::/32"), FAR, &[0]);
}
