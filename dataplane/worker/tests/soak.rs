//! A million packets through two workers while everything around them changes: interfaces come and go, bridges get other
//! members, captures and traces start and stop. At the end every packet is accounted for, and so is the memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use paceline_buf::{HugePages, PoolConfig};
use paceline_graph::{Capabilities, Capture, UnknownUnicast};
use paceline_ports::{
    GeneratorConfig, GeneratorPort, MemoryPeer, MemoryPort, NullPort, Sizes, Span, StreamConfig,
};
use paceline_worker::{
    BridgeSpec, Engine, EngineConfig, InterfaceSpec, InterfaceView, MemberSpec, Topology, VlanSpec,
};

/// Frames that each of the two generators makes.
const FRAMES: u64 = 500_000;
/// More than can wait in the queues between two workers, their caches and a capture: the pool never runs out.
const CHUNKS: usize = 16_384;
/// How much the resident memory may grow after the first 200 rounds: what the allocator keeps of the traces, snapshots and MAC
/// tables that came and went. One table (9 KiB) or trace record (4 KiB) that leaked in each round would be more.
const GROWTH_KIB: usize = 4 * 1024;
/// Ports of the bridge that floods: each frame that one of them receives leaves by the others.
const FLOODED: [&str; 4] = ["m0", "m1", "m2", "m3"];

/// What interfaces counted that are gone.
#[derive(Default)]
struct Totals {
    rx: u64,
    tx: u64,
    drops: u64,
}

impl Totals {
    fn add(&mut self, view: &InterfaceView) {
        self.rx += view.rx_packets;
        self.tx += view.tx_packets;
        self.drops += view.drops;
    }
}

/// A memory port's far side, and how many frames came out of it.
struct Far {
    peer: MemoryPeer,
    got: u64,
}

impl Far {
    fn drain(&mut self) -> u64 {
        self.got += std::iter::from_fn(|| self.peer.receive()).count() as u64;
        self.got
    }
}

struct Soak {
    engine: Engine,
    rng: Rng,
    flooded: Vec<Far>,
    /// Frames sent into the first flooded port.
    floods: u64,
    /// Interfaces that come and go; those that are memory ports with their far side.
    guests: BTreeMap<String, Option<Far>>,
    captures: BTreeMap<String, Arc<Capture>>,
    captured: u64,
    traced: usize,
    gone: Totals,
    arrivals: usize,
}

fn memory(engine: &mut Engine, name: &str, capabilities: Capabilities) -> Far {
    let (port, peer) = MemoryPort::pair(capabilities);
    engine.attach(name, vec![Box::new(port)]).expect("attached");
    Far { peer, got: 0 }
}

fn bridge(members: &[(&str, VlanSpec)]) -> BridgeSpec {
    let member = |vlan: &VlanSpec| MemberSpec { vlan: vlan.clone(), ..MemberSpec::default() };
    BridgeSpec {
        mac_limit: 600,
        mac_age_s: 300,
        learn: true,
        unknown_unicast: UnknownUnicast::Flood,
        members: members.iter().map(|(name, vlan)| ((*name).to_string(), member(vlan))).collect(),
        static_macs: Vec::new(),
        snooping: None,
        neighbours: BTreeMap::new(),
    }
}

impl Soak {
    fn start(seed: u64) -> Soak {
        let pool = PoolConfig { count: CHUNKS, size: 2048, huge_pages: HugePages::Never };
        let config = EngineConfig { pool, cores: vec![None; 2], ..EngineConfig::default() };
        let mut engine = Engine::start(&config).expect("an engine");
        // Each sends to where the other one sends from.
        for (name, from, to) in [("g0", 2, 6), ("g1", 6, 2)] {
            let stream = StreamConfig {
                sizes: Sizes::Imix,
                source_mac: Span::new([from, 0, 0, 0, 0, 1], 500),
                destination_mac: Span::new([to, 0, 0, 0, 0, 1], 500),
                count: Some(FRAMES),
                ..StreamConfig::default()
            };
            let port = GeneratorPort::open(&GeneratorConfig { streams: vec![stream], seed });
            engine.attach(name, vec![Box::new(port.expect("a generator"))]).expect("attached");
        }
        let flooded = FLOODED.map(|name| memory(&mut engine, name, Capabilities::ALL)).into();
        let mut soak = Soak {
            engine,
            rng: Rng::with_seed(seed),
            flooded,
            floods: 0,
            guests: BTreeMap::new(),
            captures: BTreeMap::new(),
            captured: 0,
            traced: 0,
            gone: Totals::default(),
            arrivals: 0,
        };
        soak.configure();
        soak
    }

    /// Gives all interfaces but the flooded ones to bridges of two, drawn by chance. Such a bridge makes one frame of one
    /// frame, so that the sums at the end are exact.
    fn configure(&mut self) {
        let flood = FLOODED.map(|name| (name, VlanSpec::Unaware));
        let mut bridges = BTreeMap::from([("flood".to_string(), bridge(&flood))]);
        let mut names: Vec<&str> =
            ["g0", "g1"].into_iter().chain(self.guests.keys().map(String::as_str)).collect();
        self.rng.shuffle(&mut names);
        for (number, pair) in names.chunks_exact(2).enumerate() {
            let trunk = VlanSpec::Trunk { tagged: vec![7], native: None, tpid: 0x8100 };
            let vlans = match self.rng.u8(0..3) {
                0 => [VlanSpec::Unaware, VlanSpec::Unaware],
                1 => [VlanSpec::Access(7), VlanSpec::Access(7)],
                _ => [VlanSpec::Access(7), trunk],
            };
            bridges.insert(
                format!("br{number}"),
                bridge(&[(pair[0], vlans[0].clone()), (pair[1], vlans[1].clone())]),
            );
        }
        let all = names.into_iter().chain(FLOODED);
        let interfaces = all.map(|name| (name.to_string(), InterfaceSpec { mtu: 1500 })).collect();
        self.engine.configure(Topology { interfaces, bridges, ..Topology::default() }).expect("configured");
    }

    /// Changes the configuration, and returns when nothing is under way that belongs to the one before.
    fn quiesce(&mut self) {
        // Nobody hands over packets by the old one any more.
        self.configure();
        // Every worker begins a turn, in which it sends what it was handed over,
        self.configure();
        // and has ended it.
        self.configure();
    }

    fn arrive(&mut self) {
        self.arrivals += 1;
        let name = format!("x{}", self.arrivals);
        let far = if self.rng.bool() {
            Some(memory(&mut self.engine, &name, Capabilities::NONE))
        } else {
            self.engine.attach(&name, vec![Box::new(NullPort)]).expect("attached");
            None
        };
        self.guests.insert(name, far);
        self.configure();
    }

    fn leave(&mut self) {
        let Some(name) = self.rng.choice(self.guests.keys()).cloned() else { return };
        let far = self.guests.remove(&name).flatten();
        self.quiesce();
        let views = self.engine.interfaces();
        let view = views.iter().find(|view| view.name == name).expect("it is there");
        assert!(far.is_none_or(|mut far| far.drain() == view.tx_packets), "{view:?}");
        self.gone.add(view);
        assert_eq!(self.engine.detach(&name).expect("detached").len(), 1);
        // A capture goes with its interface.
        if let Some(capture) = self.captures.remove(&name) {
            self.empty(&capture);
        }
    }

    fn some_interface(&mut self) -> String {
        let names = self.engine.attached();
        names[self.rng.usize(0..names.len())].clone()
    }

    fn toggle_capture(&mut self) {
        let name = self.some_interface();
        if let Some(capture) = self.captures.remove(&name) {
            self.engine.capture_stop(&name).expect("stopped");
            self.empty(&capture);
        } else if self.captures.len() < 2 {
            let capture = self.engine.capture_start(&name, 65_535).expect("started");
            self.captures.insert(name, capture);
        }
    }

    fn empty(&mut self, capture: &Capture) {
        let mut cache = self.engine.pool().cache();
        while let Some(captured) = capture.queue.pop() {
            self.captured += 1;
            cache.free(captured.packet);
        }
    }

    fn trace(&mut self) {
        match self.rng.u8(0..4) {
            0 => self.engine.trace_clear().expect("cleared"),
            1 => self.traced += self.engine.trace_records().expect("records").len(),
            only => {
                let name = self.some_interface();
                let count = self.rng.usize(1..50);
                self.engine.trace_add(count, (only == 2).then_some(&name)).expect("tracing");
            }
        }
    }

    /// A burst to all ports of the bridge that floods, of frames that are copied and of some whose tails are shared.
    fn flood(&mut self) {
        for _ in 0..self.rng.usize(1..64) {
            let mut frame = vec![255; 6];
            frame.extend([2, 9, 0, 0, 0, self.rng.u8(..), 0x88, 0xb5]);
            frame.resize(self.rng.usize(60..1514), 0x5a);
            self.flooded[0].peer.send(&frame);
            self.floods += 1;
        }
    }

    fn round(&mut self) {
        match self.rng.u8(0..10) {
            0 if self.guests.len() < 6 => self.arrive(),
            1 => self.leave(),
            2 | 3 => self.configure(),
            4 => self.toggle_capture(),
            5 => self.trace(),
            6 => self.engine.second(),
            7 => _ = self.engine.clear_macs(None),
            _ => self.flood(),
        }
        for capture in self.captures.values().cloned().collect::<Vec<_>>() {
            self.empty(&capture);
        }
        self.drain();
    }

    fn drain(&mut self) {
        for far in self.flooded.iter_mut().chain(self.guests.values_mut().flatten()) {
            far.drain();
        }
    }

    /// Whether the generators have more to come.
    fn is_running(&mut self) -> bool {
        let views = self.engine.interfaces();
        let generators = views.iter().filter(|view| view.name.starts_with('g'));
        generators.map(|view| view.rx_packets).sum::<u64>() < 2 * FRAMES
    }

    /// Waits until nothing is under way, then compares what was counted and what came out.
    fn settle(mut self) {
        for name in self.captures.keys().cloned().collect::<Vec<_>>() {
            self.engine.capture_stop(&name).expect("stopped");
        }
        for capture in std::mem::take(&mut self.captures).into_values() {
            self.empty(&capture);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        let received =
            |views: Vec<InterfaceView>| views.iter().find(|v| v.name == FLOODED[0]).map(|v| v.rx_packets);
        while received(self.engine.interfaces()) != Some(self.floods) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.quiesce();
        self.drain();

        let mut all = std::mem::take(&mut self.gone);
        for view in self.engine.interfaces() {
            let far = match view.name.strip_prefix('m').and_then(|number| number.parse::<usize>().ok()) {
                Some(number) => self.flooded.get(number),
                None => self.guests.get(&view.name).and_then(Option::as_ref),
            };
            assert!(far.is_none_or(|far| far.got == view.tx_packets), "{view:?}");
            all.add(&view);
        }
        let drops = self.engine.drops();
        assert!(drops.iter().all(|d| d.reason != "no-buffers" && d.reason != "node-left"), "{drops:?}");
        let copies = self.floods * (FLOODED.len() as u64 - 2);
        println!("{} captured, {} traced, {} came, {drops:?}", self.captured, self.traced, self.arrivals);
        assert_eq!(all.rx, 2 * FRAMES + self.floods);
        assert_eq!(all.rx + copies, all.tx + all.drops, "rx and copies are tx and drops");

        let pool = Arc::clone(self.engine.pool());
        self.engine.stop();
        assert_eq!(pool.stats().free, CHUNKS, "a buffer leaked");
    }
}

/// Resident memory of this process, in KiB (`/proc/self/status`, proc_pid_status(5)).
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_million_packets_and_a_thousand_changes_leave_nothing_behind() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut soak = Soak::start(seed);
    let (mut rounds, mut before) = (0, None);
    while soak.is_running() || rounds < 1000 {
        soak.round();
        rounds += 1;
        if rounds == 200 {
            before = Some(resident_kib());
        }
    }
    let grown = resident_kib().saturating_sub(before.expect("a thousand rounds"));
    println!("{rounds} rounds, {grown} KiB more");
    assert!(grown < GROWTH_KIB, "{grown} KiB more than after 200 rounds");
    soak.settle();
}
