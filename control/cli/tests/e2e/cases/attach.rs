//! Every way to attach a container carries every kind of traffic.

use super::{DUAL, cases};
use crate::container::Container;
use crate::engine::Engine;
use crate::switch::Switch;

cases![by_tap, by_veth, by_afxdp, kinds_mix];

fn by_tap(engine: &Engine) {
    carries_everything(engine, "attach=tap");
}

fn by_veth(engine: &Engine) {
    carries_everything(engine, "attach=veth");
}

fn by_afxdp(engine: &Engine) {
    carries_everything(engine, "attach=afxdp");
}

/// Super-packets of one kind of port leave by the other, which cuts them or finishes their checksums.
fn kinds_mix(engine: &Engine) {
    let switch = Switch::start(engine);
    let network = switch.network(&DUAL);
    let kinds = ["tap", "veth", "afxdp"].map(|kind| {
        let container = Container::run(engine, &["--network", "none"]);
        engine.docker(["network", "disconnect", "none", container.name()]).ok();
        network.connect(&["--driver-opt", &format!("attach={kind}")], &container).ok();
        container
    });
    for from in &kinds {
        for to in kinds.iter().filter(|to| to.name() != from.name()) {
            from.reaches(&to.ipv4(&network));
            send(from, to, &to.ipv4(&network).to_string());
        }
    }
}

fn carries_everything(engine: &Engine, option: &str) {
    let switch = Switch::start(engine);
    let network = switch.network(&[&DUAL[..], &["--opt", option]].concat());
    let (a, b) = (network.run(&[]), network.run(&[]));
    let (ipv4, ipv6) = (b.ipv4(&network).to_string(), b.ipv6(&network).to_string());
    for address in [&ipv4, &ipv6] {
        a.reaches(address);
        // Fragments.
        a.exec(["ping", "-c", "1", "-W", "5", "-s", "5000", address]).ok();
        send(&a, &b, address);
    }
}

/// 20 MB by TCP arrive as they were sent. Segmentation and checksums are wrong if not.
#[track_caller]
fn send(from: &Container<'_>, to: &Container<'_>, address: &str) {
    to.exec(["rm", "-f", "/tmp/sum"]).ok();
    to.spawn(["nc", "-l", "-p", "5000", "-e", "sh", "-c", "sha256sum > /tmp/new; mv /tmp/new /tmp/sum"]);
    let send = format!(
        "head -c 20000000 /dev/urandom > /tmp/data; \
         for try in 1 2 3 4 5 6 7 8 9; do nc -w 10 {address} 5000 < /tmp/data && break; sleep 0.2; done; \
         sha256sum < /tmp/data"
    );
    let sent = from.exec(["sh", "-c", &send]).ok();
    let wait = "for try in $(seq 100); do [ -f /tmp/sum ] && break; sleep 0.1; done; cat /tmp/sum";
    assert_eq!(to.exec(["sh", "-c", wait]).ok(), sent, "{} to {address}", from.name());
}
