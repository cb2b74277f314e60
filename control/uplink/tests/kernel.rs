//! Against the real kernel, in namespaces made for each test.

use std::collections::BTreeSet;
use std::net::{IpAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use paceline_attach::Links;
use paceline_model::UplinkState;
use paceline_sys::netns::Scratch;
use paceline_uplink::{PortSet, Reservation, Watch};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Looks until something is so, for a few seconds.
async fn until(
    watch: &Watch,
    wanted: &BTreeSet<IpAddr>,
    is_so: impl Fn(&UplinkState) -> bool,
) -> UplinkState {
    let mut last = None;
    for _ in 0..100 {
        last = watch.look(wanted).await.expect("looked");
        if let Some(state) = last.as_ref().filter(|state| is_so(state)) {
            return state.clone();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it never is: {last:?}");
}

#[tokio::test]
async fn a_device_is_watched() {
    let (Some(host), Some(router)) = (Scratch::for_test(), Scratch::for_test()) else { return };
    let links = Links::host("test").expect("links").at(host.path()).await.expect("namespace");
    let watch = Watch::new(links, "eth0".parse().expect("a name"));
    let nobody = BTreeSet::new();
    assert_eq!(watch.look(&nobody).await.expect("looked"), None, "it is not there yet");
    host.ip(
        "link add eth0 address 02:00:00:00:00:01 mtu 1400 type veth peer name far address 02:00:00:00:00:02",
    );
    host.ip(&format!("link set far netns {} name eth0", router.path().display()));
    assert_eq!(watch.look(&nobody).await.expect("looked"), None, "it is down");
    for (net, number) in [(&host, 1), (&router, 254)] {
        net.ip(&format!("addr add 192.0.2.{number}/24 dev eth0"));
        net.ip(&format!("addr add 2001:db8::{number}/64 dev eth0 nodad"));
        net.ip("link set eth0 up");
    }
    host.ip("addr add 192.0.2.9/24 dev eth0");
    host.ip("addr add 2001:db8::9/64 dev eth0 preferred_lft 0 valid_lft forever nodad");
    host.ip("route add default via 192.0.2.254");
    host.ip("route add default via 192.0.2.253 metric 10");
    host.ip("-6 route add default via 2001:db8::254");
    router.ip("addr add 192.0.2.77/24 dev eth0");

    let wanted = [ip("192.0.2.77")].into();
    let state = until(&watch, &wanted, |state| state.neighbours.len() == 3).await;
    assert_eq!((state.mac, state.mtu), ([2, 0, 0, 0, 0, 1].into(), 1400));
    let addresses: Vec<_> = state.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.0.2.1/24", "192.0.2.9/24", "2001:db8::1/64"]);
    let routes: Vec<_> = state
        .routes
        .iter()
        .map(|(prefix, via)| format!("{prefix} {}", via.map_or("-".into(), |via| via.to_string())))
        .collect();
    let expected = ["0.0.0.0/0 192.0.2.254", "192.0.2.0/24 -", "::/0 2001:db8::254", "2001:db8::/64 -"];
    assert_eq!(routes, expected);
    assert!(state.neighbours.values().all(|mac| *mac == [2, 0, 0, 0, 0, 2].into()));

    // Another router, at another address.
    host.ip("route del default via 192.0.2.254");
    router.ip("addr add 192.0.2.253/24 dev eth0");
    router.ip("link set eth0 address 02:00:00:00:00:03");
    let via = ip("192.0.2.253");
    let mac = Some([2, 0, 0, 0, 0, 3].into());
    until(&watch, &nobody, |state| state.neighbours.get(&via).copied() == mac).await;
    // One that is gone is no neighbour any more.
    host.ip("neigh change 192.0.2.253 dev eth0 nud stale");
    router.ip("link set eth0 down");
    router.ip("addr del 192.0.2.253/24 dev eth0");
    router.ip("link set eth0 up");
    until(&watch, &nobody, |state| !state.neighbours.contains_key(&via)).await;
}

fn reserved(net: &Scratch) -> String {
    let text = net.run(|| std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports"));
    text.expect("namespace").expect("read").trim().to_owned()
}

fn reserve(net: &Scratch, record: &Path, ports: &[&str]) {
    net.run(|| {
        let mut reservation = Reservation::new(record.into());
        for ports in ports {
            let wanted: PortSet = ports.parse().expect("ports");
            reservation.set(&wanted).expect("reserved");
        }
    })
    .expect("namespace");
}

fn others_reserve(net: &Scratch, ports: &str) {
    let write = || std::fs::write("/proc/sys/net/ipv4/ip_local_reserved_ports", format!("{ports}\n"));
    net.run(write).expect("namespace").expect("written");
}

#[test]
fn ports_are_reserved_and_given_back() {
    let Some(net) = Scratch::for_test() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let record = dir.path().join("reserved-ports.json");
    others_reserve(&net, "8080,45000-45099");
    reserve(&net, &record, &["40000-49999"]);
    assert_eq!(reserved(&net), "8080,40000-49999");
    // That process was killed. The next one knows its ports, and what others reserved meanwhile.
    others_reserve(&net, "8080,9090,40000-49999");
    reserve(&net, &record, &["41000-49999"]);
    assert_eq!(reserved(&net), "8080,9090,41000-49999");
    reserve(&net, &record, &["20000-20999", ""]);
    assert_eq!(reserved(&net), "8080,9090,45000-45099");
    assert!(!record.exists());
    reserve(&net, &record, &["", ""]);
    // Somebody set the list as if there were nobody else.
    net.run(|| {
        let mut reservation = Reservation::new(record.clone());
        let wanted: PortSet = "50000-50001".parse().expect("ports");
        reservation.set(&wanted).expect("reserved");
        assert_eq!(reservation.ours(), &wanted);
        others_reserve(&net, "1");
        reservation.set(&wanted).expect("reserved");
    })
    .expect("namespace");
    assert_eq!(reserved(&net), "1,50000-50001");
    reserve(&net, &record, &[""]);
    assert_eq!(reserved(&net), "1");
}

#[test]
fn a_record_of_another_namespace_or_a_damaged_one_is_passed_over() {
    let (Some(net), Some(other)) = (Scratch::for_test(), Scratch::for_test()) else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let record = dir.path().join("reserved-ports.json");
    reserve(&net, &record, &["40000-40999"]);
    others_reserve(&other, "40000-40999");
    reserve(&other, &record, &[""]);
    assert_eq!(reserved(&other), "40000-40999");
    for damaged in ["", "{", "{\"boot\":1}", "[]"] {
        std::fs::write(&record, damaged).expect("written");
        reserve(&other, &record, &["41000", ""]);
        assert_eq!(reserved(&other), "40000-40999");
    }
    let nowhere = dir.path().join("nowhere/reserved-ports.json");
    let refused = net.run(|| Reservation::new(nowhere).set(&"50000".parse().expect("ports")));
    let refused = refused.expect("namespace").expect_err("no record").to_string();
    assert!(refused.contains("nowhere/reserved-ports.json"), "{refused}");
    assert_eq!(reserved(&net), "40000-40999", "nothing is reserved that is not written down");
}

#[test]
fn the_kernel_gives_reserved_ports_to_nobody() {
    let Some(net) = Scratch::for_test() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    net.run(|| {
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40009").expect("written");
        let mut reservation = Reservation::new(dir.path().join("reserved-ports.json"));
        reservation.set(&"40000-40007".parse().expect("ports")).expect("reserved");
        let given: Vec<_> = (0..2).map(|_| TcpListener::bind("0.0.0.0:0").expect("a port")).collect();
        for listener in &given {
            assert!(listener.local_addr().expect("bound").port() >= 40_008);
        }
        TcpListener::bind("0.0.0.0:0").expect_err("no port is left");
        assert_eq!(paceline_uplink::in_use().iter().collect::<Vec<_>>(), [40_008, 40_009]);
    })
    .expect("namespace");
}
