//! The engine with real worker threads and memory ports.

mod announce;
mod faults;
mod filters;
mod multicast;
mod routing;
mod tunnels;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use paceline_buf::{HugePages, PoolConfig};
use paceline_graph::UnknownUnicast;
use paceline_ports::{MemoryPeer, MemoryPort};

use super::*;
use crate::spec::{BridgeSpec, InterfaceSpec, MemberSpec};

fn engine(workers: usize, mode: Mode) -> Engine {
    let pool = PoolConfig { count: 2048, size: 2048, huge_pages: HugePages::Never };
    let cores = vec![None; workers];
    Engine::start(&EngineConfig { pool, cores, mode, ..EngineConfig::default() }).expect("an engine")
}

fn attach(engine: &mut Engine, name: &str) -> MemoryPeer {
    let (port, peer) = MemoryPort::pair(Capabilities::ALL);
    engine.attach(name, vec![Box::new(port)]).expect("attached");
    peer
}

fn topology(members: &[&str]) -> Topology {
    let interfaces = members.iter().map(|m| ((*m).to_string(), InterfaceSpec { mtu: 1500 })).collect();
    let spec = BridgeSpec {
        mac_limit: 100,
        mac_age_s: 300,
        learn: true,
        unknown_unicast: UnknownUnicast::Flood,
        members: members.iter().map(|m| ((*m).to_string(), MemberSpec::default())).collect(),
        static_macs: Vec::new(),
        snooping: None,
        neighbours: BTreeMap::new(),
    };
    Topology { interfaces, bridges: BTreeMap::from([("br".to_string(), spec)]), ..Topology::default() }
}

fn frame(source: u8, destination: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, destination, 2, 0, 0, 0, 0, source, 0x88, 0xb5];
    frame.resize(64, source);
    frame
}

fn arrives(peer: &MemoryPeer, want: &[u8]) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        match peer.receive() {
            Some(got) => return got == want,
            None => std::thread::sleep(Duration::from_micros(100)),
        }
    }
    false
}

#[track_caller]
fn eventually(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !done() {
        assert!(Instant::now() < deadline, "it never came to be");
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn full_again(engine: Engine) {
    let pool = Arc::clone(engine.pool());
    engine.stop();
    let stats = pool.stats();
    assert_eq!(stats.free, stats.total, "a buffer leaked");
}

#[test]
fn packets_cross_in_every_mode_and_between_workers() {
    for (workers, mode) in [(1, Mode::Adaptive), (1, Mode::Interrupt), (1, Mode::Poll), (3, Mode::Adaptive)] {
        let mut engine = engine(workers, mode);
        let peers = [attach(&mut engine, "a"), attach(&mut engine, "b"), attach(&mut engine, "c")];
        engine.configure(topology(&["a", "b", "c"])).expect("configured");
        peers[0].send(&frame(1, 2));
        assert!(arrives(&peers[1], &frame(1, 2)) && arrives(&peers[2], &frame(1, 2)), "flooded");
        peers[1].send(&frame(2, 1));
        assert!(arrives(&peers[0], &frame(2, 1)), "found, {workers} workers, {mode:?}");
        assert!(peers[2].receive().is_none());
        let macs = engine.macs(None);
        assert_eq!(macs.iter().map(|m| m.interface.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let views = engine.interfaces();
        assert_eq!((views[0].rx_packets, views[0].tx_packets, views[0].rx_bytes), (1, 1, 64));
        assert!(engine.runtime().iter().any(|n| n.name == "l2-bridge" && n.packets > 0));
        assert_eq!(engine.worker_views().iter().map(|w| w.handed_off).sum::<u64>() > 0, workers > 1);
        full_again(engine);
    }
}

#[test]
fn interfaces_come_and_go_while_packets_flow() {
    let mut engine = engine(2, Mode::Adaptive);
    let a = attach(&mut engine, "a");
    for round in 0..50 {
        let b = attach(&mut engine, "b");
        engine.configure(topology(&["a", "b"])).expect("configured");
        a.send(&frame(1, 2));
        b.send(&frame(2, 1));
        assert!(arrives(&b, &frame(1, 2)), "round {round}");
        assert!(arrives(&a, &frame(2, 1)), "round {round}");
        assert!(matches!(engine.attach("b", Vec::new()), Err(EngineError::Exists(_))));
        assert_eq!(engine.detach("b").expect("detached").len(), 1);
        assert!(engine.macs(None).iter().all(|m| m.interface == "a"), "nothing is known of it");
    }
    assert!(matches!(engine.detach("b"), Err(EngineError::Unknown(_))));
    assert!(matches!(engine.attach("x", Vec::new()), Err(EngineError::Queues { .. })));
    full_again(engine);
}

#[test]
fn what_left_a_bridge_gets_none_of_its_frames() {
    for (workers, detached) in [(1, false), (2, false), (1, true)] {
        let mut engine = engine(workers, Mode::Adaptive);
        let peers = ["a", "b", "c"].map(|name| attach(&mut engine, name));
        engine.configure(topology(&["a", "b", "c"])).expect("configured");
        peers[1].send(&frame(2, 1));
        assert!(arrives(&peers[0], &frame(2, 1)) && arrives(&peers[2], &frame(2, 1)));
        // In another bridge now, or in none and without a name.
        let mut apart = topology(&["a", "c"]);
        if !detached {
            let mut other = topology(&["b"]);
            apart.interfaces.append(&mut other.interfaces);
            apart.bridges.extend(other.bridges.into_values().map(|bridge| ("other".into(), bridge)));
        }
        engine.configure(apart).expect("configured");
        peers[0].send(&frame(1, 2));
        assert!(arrives(&peers[2], &frame(1, 2)), "flooded, as nobody knows it any more");
        assert!(peers[1].receive().is_none(), "b is in another bridge");
        assert!(engine.macs(None).iter().all(|m| m.interface != "b"));
        full_again(engine);
    }
}

#[test]
fn a_trace_of_many_workers_is_as_long_as_was_asked_for() {
    let mut engine = engine(3, Mode::Adaptive);
    let peers = ["a", "b", "c"].map(|name| attach(&mut engine, name));
    engine.configure(topology(&["a", "b", "c"])).expect("configured");
    engine.trace_add(4, None).expect("tracing");
    for round in 1..=5 {
        for (n, peer) in (1..).zip(&peers) {
            peer.send(&frame(n, 9));
        }
        eventually(|| engine.interfaces().iter().all(|i| i.rx_packets == round));
        let records = engine.trace_records().expect("records");
        assert_eq!(records.len(), 4.min(3 * round as usize), "round {round}");
        assert!(records.is_sorted_by_key(|r| r.nanos));
    }
    for count in [0, 1001] {
        assert!(matches!(engine.trace_add(count, None), Err(EngineError::Traces(_))));
    }
    engine.trace_clear().expect("cleared");
    assert!(engine.trace_records().expect("records").is_empty());
    full_again(engine);
}

#[test]
fn a_trace_tells_the_whole_way() {
    let mut engine = engine(1, Mode::Adaptive);
    let (a, b) = (attach(&mut engine, "a"), attach(&mut engine, "b"));
    engine.configure(topology(&["a", "b"])).expect("configured");
    engine.trace_add(2, Some("a")).expect("tracing");
    b.send(&frame(2, 1));
    assert!(arrives(&a, &frame(2, 1)));
    a.send(&frame(1, 2));
    assert!(arrives(&b, &frame(1, 2)));
    let records = engine.trace_records().expect("records");
    assert_eq!(records.len(), 1, "what came in by b is not traced");
    let lines: Vec<_> = records[0].text.lines().collect();
    assert_eq!(lines[0], "rx: a, 64 bytes");
    assert_eq!(lines[1], "l2-bridge: br: 02:00:00:00:00:01 on a; 02:00:00:00:00:02 is behind b");
    assert_eq!(lines[2], "tx: memory, 64 bytes");
    a.send(&frame(1, 2));
    assert!(arrives(&b, &frame(1, 2)));
    a.send(&frame(1, 2));
    assert!(arrives(&b, &frame(1, 2)));
    assert_eq!(engine.trace_records().expect("records").len(), 2, "two were asked for");
    engine.trace_clear().expect("cleared");
    assert!(engine.trace_records().expect("records").is_empty());
    full_again(engine);
}

#[test]
fn a_wrong_core_is_named() {
    let config = EngineConfig { cores: vec![Some(9999)], ..EngineConfig::default() };
    let error = Engine::start(&config).err().expect("refused").to_string();
    assert!(error.contains("core 9999") && error.contains("may use"), "{error}");
    let config = EngineConfig { cores: Vec::new(), ..EngineConfig::default() };
    assert!(matches!(Engine::start(&config), Err(EngineError::NoWorkers)));
}

#[test]
fn an_interface_without_a_bridge_drops_and_says_so() {
    let mut engine = engine(1, Mode::Adaptive);
    let a = attach(&mut engine, "a");
    let mut lonely = topology(&["a"]);
    lonely.bridges.clear();
    engine.configure(lonely).expect("configured");
    a.send(&frame(1, 2));
    eventually(|| !engine.drops().is_empty());
    let drops = engine.drops();
    assert!(drops.iter().any(|d| d.scope == "node" && d.name == "l2-bridge" && d.reason == "no-bridge"));
    assert!(drops.iter().any(|d| d.scope == "interface" && d.name == "a" && d.packets == 1));
    full_again(engine);
}
