//! Ports of kind `memif`: two bridges of a switch, joined by both ends of a connection.

use super::cases;
use super::operator::{bridge, port, tap};
use crate::engine::Engine;
use crate::host::Host;
use crate::place::{Place, Speech};
use crate::switch::Switch;

cases![two_bridges_joined_by_memif];

fn two_bridges_joined_by_memif(engine: &Engine) {
    let (a, b) = (Host::new(), Host::new());
    let socket = engine.dir().join("memif.sock");
    let memif = |name, role, secret| {
        let path = socket.display();
        let fields = format!("socket = \"{path}\"\nrole = {role:?}\nid = 7\nsecret = {secret:?}");
        port(name, "memif", &fields)
    };
    let with_secret = |secret| {
        let far = bridge("", &[("b", ""), ("client", "")]).replace("\"lan\"", "\"far\"");
        tap("a", &a, "")
            + &tap("b", &b, "")
            + &memif("server", "server", "psst")
            + &memif("client", "client", secret)
            + &bridge("", &[("a", ""), ("server", "")])
            + &far
    };
    let wrong = Switch::configured(engine, &with_secret("pst"));
    wrong.await_that("the secret is refused", |switch| {
        switch.row("interfaces", "server").to_string().contains("the peer's secret is wrong")
    });
    drop(wrong);

    let mut switch = Switch::configured(engine, &with_secret("psst"));
    for round in ["at first", "after a kill"] {
        for name in ["server", "client"] {
            switch.await_that(round, |switch| switch.row("interfaces", name)["state"] == "up");
            assert_eq!(switch.row("interfaces", name)["kind"], "memif");
        }
        a.address("a", "10.0.0.1/24");
        b.address("b", "10.0.0.2/24");
        a.reaches("10.0.0.2");
        // Super-packets and open checksums of the hosts are finished on the way.
        let _server = Place::host(&b).serve(Speech::Tcp, 4000);
        Place::host(&a).is_seen_as(Speech::Tcp, "10.0.0.2", 4000, "10.0.0.1");
        a.ping(&["-W", "5", "-s", "1400", "10.0.0.2"]).ok();
        assert_eq!(switch.dropped("server", "tx-full"), 0);
        if round == "at first" {
            switch.kill9();
            assert!(socket.exists(), "left behind");
            switch.restart();
        }
    }
    switch.stop();
    assert!(!socket.exists());
}
