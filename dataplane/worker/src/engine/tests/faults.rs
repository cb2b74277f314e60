//! Ports that misbehave, and workers that do not answer.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use paceline_buf::{Vector, VnetHdr};
use paceline_graph::Reason;
use paceline_ports::Io;

use super::*;

/// What a port does when it is asked for packets.
#[derive(Clone, Copy)]
enum Fault {
    None,
    Panic,
    /// Hang as long as the flag is up.
    Hang,
    /// Be down as long as the flag is up.
    Down,
    /// Drop every other frame that it is given, as a full device does.
    Full,
    /// Finish nothing as long as the flag is up.
    Weak,
}

struct Faulty {
    fault: Fault,
    flag: Arc<AtomicBool>,
    /// It hangs.
    hangs: Arc<AtomicBool>,
    frames: usize,
}

fn faulty(fault: Fault) -> (Box<dyn Port>, Arc<AtomicBool>) {
    let flag = Arc::new(AtomicBool::new(false));
    (Box::new(Faulty { fault, flag: Arc::clone(&flag), hangs: Arc::default(), frames: 0 }), flag)
}

/// A port that hangs as long as the first flag is up; the second one says that it does.
fn hanging() -> (Box<dyn Port>, Arc<AtomicBool>, Arc<AtomicBool>) {
    let (flag, hangs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let port = Faulty { fault: Fault::Hang, flag: Arc::clone(&flag), hangs: Arc::clone(&hangs), frames: 0 };
    (Box::new(port), flag, hangs)
}

impl Port for Faulty {
    fn kind(&self) -> &'static str {
        "faulty"
    }

    fn receive(&mut self, _io: &mut Io<'_>, _out: &mut Vector) {
        match self.fault {
            Fault::Panic if self.flag.load(Relaxed) => panic!("as the test wants it"),
            Fault::Hang => {
                while self.flag.load(Relaxed) {
                    self.hangs.store(true, Relaxed);
                    std::thread::yield_now();
                }
            }
            _ => {}
        }
    }

    fn transmit(&mut self, io: &mut Io<'_>, vector: &mut Vector) {
        vector.drain(|packet| {
            self.frames += 1;
            if matches!(self.fault, Fault::Full) && self.frames.is_multiple_of(2) {
                io.drop(packet, Reason::TxFull);
            } else {
                io.cache.free(packet);
            }
        });
    }

    fn capabilities(&self) -> Capabilities {
        let weak = matches!(self.fault, Fault::Weak) && self.flag.load(Relaxed);
        if weak { Capabilities::NONE } else { Capabilities::ALL }
    }

    fn state(&mut self) -> LinkState {
        let down = matches!(self.fault, Fault::Down) && self.flag.load(Relaxed);
        if down { LinkState::Down("as the test wants it") } else { LinkState::Up }
    }
}

#[test]
fn what_a_port_drops_is_not_counted_as_sent() {
    let mut engine = engine(1, Mode::Adaptive);
    let a = attach(&mut engine, "a");
    engine.attach("b", vec![faulty(Fault::Full).0]).expect("attached");
    engine.configure(topology(&["a", "b"])).expect("configured");
    for len in [60, 1500, 70, 1400, 80] {
        let mut frame = frame(1, 2);
        frame.resize(len, 0);
        a.send(&frame);
    }
    eventually(|| engine.interfaces()[0].rx_packets == 5);
    engine.configure(topology(&["a", "b"])).expect("the vector that was under way is out");
    let view = &engine.interfaces()[1];
    assert_eq!((view.tx_packets, view.tx_bytes, view.drops), (3, 60 + 70 + 80, 2));
    full_again(engine);
}

#[test]
fn a_port_that_can_do_less_gets_packets_that_are_finished() {
    let mut engine = engine(1, Mode::Poll);
    let a = attach(&mut engine, "a");
    let (port, flag) = faulty(Fault::Weak);
    engine.attach("b", vec![port]).expect("attached");
    engine.configure(topology(&["a", "b"])).expect("configured");
    for (weak, can) in [(true, Capabilities::NONE), (false, Capabilities::ALL)] {
        flag.store(weak, Relaxed);
        eventually(|| {
            engine.second();
            engine.interfaces[1].as_ref().is_some_and(|port| port.capabilities == can) && !engine.outdated
        });
        // A checksum to be filled in behind the end of the frame: whoever looks at it drops it.
        let before = engine.interfaces()[1].tx_packets;
        let open =
            VnetHdr { flags: VnetHdr::NEEDS_CSUM, csum_start: 5000, csum_offset: 6, ..VnetHdr::default() };
        a.send_offload(&frame(1, 2), Some(open));
        a.send(&frame(1, 2));
        let passed = if weak { 1 } else { 2 };
        eventually(|| engine.interfaces()[1].tx_packets == before + passed);
    }
    full_again(engine);
}

#[test]
fn an_answer_that_comes_late_is_not_taken_for_another() {
    let mut engine = engine(2, Mode::Poll);
    let (port, flag, hangs) = hanging();
    engine.attach("a", vec![port]).expect("attached");
    let b = attach(&mut engine, "b");
    engine.patience = Duration::from_millis(50);
    flag.store(true, Relaxed);
    // It may take a command before it hangs, and be late without hanging.
    eventually(|| engine.configure(topology(&["a", "b"])).is_err() && hangs.load(Relaxed));
    for _ in 0..3 {
        assert!(matches!(engine.detach("a"), Err(EngineError::Worker(0))));
    }
    engine.patience = PATIENCE;
    flag.store(false, Relaxed);
    assert_eq!(engine.detach("a").expect("it answers again").len(), 1, "the port that was asked for");
    assert_eq!(engine.attached(), ["b"]);
    let a = attach(&mut engine, "a");
    engine.configure(topology(&["a", "b"])).expect("configured");
    a.send(&frame(1, 2));
    assert!(arrives(&b, &frame(1, 2)));
    assert!(engine.failed().is_none());
    full_again(engine);
}

#[test]
fn a_worker_that_panicked_is_reported_and_nothing_waits_for_it() {
    let mut engine = engine(2, Mode::Poll);
    let (port, flag) = faulty(Fault::Panic);
    let b = attach(&mut engine, "b");
    engine.attach("a", vec![port]).expect("attached");
    engine.configure(topology(&["a", "b"])).expect("configured");
    flag.store(true, Relaxed);
    eventually(|| engine.failed().is_some());
    assert!(matches!(engine.failed(), Some(EngineError::Ended(thread)) if thread == "worker-1"));
    // What is handed to it stays in its queue, and is taken from there at the end.
    b.send(&frame(1, 2));
    eventually(|| engine.worker_views()[0].handed_off == 1);
    assert!(matches!(engine.configure(topology(&["b"])), Err(EngineError::Worker(1))));
    // Two queues, of which one finds no worker: the other one is taken back.
    let (first, held) = faulty(Fault::None);
    let refused = engine.attach("c", vec![first, faulty(Fault::None).0]);
    assert!(matches!(refused, Err(EngineError::Worker(1))));
    assert_eq!(Arc::strong_count(&held), 1, "no worker has the first port any more");
    assert_eq!(engine.attached(), ["b", "a"]);
    full_again(engine);
}

#[test]
fn a_router_that_panicked_is_reported() {
    let engine = engine(1, Mode::Interrupt);
    assert!(engine.failed().is_none());
    // A question that it frees, and cannot: the buffer is of another pool.
    let stray = Pool::small(2048);
    let mut packet = stray.cache().alloc().expect("a chunk");
    let mut question = frame(1, 2);
    question[12..14].copy_from_slice(&[0x08, 0x06]);
    packet.extend(&question).expect("it fits");
    engine.punt.push(packet).map_err(drop).expect("a place");
    engine.server.iter().for_each(Server::wake);
    eventually(|| engine.failed().is_some());
    assert!(matches!(engine.failed(), Some(EngineError::Ended(thread)) if thread == "router"));
    full_again(engine);
}

#[test]
fn many_links_that_go_down_at_once_do_not_crowd_out_a_reply() {
    let pool = Pool::small(2048);
    let mut team = Worker::team(1, &pool, Mode::Poll, Duration::ZERO, &WakeUp::new().expect("a descriptor"))
        .expect("a worker");
    let (mut worker, mut link) = team.pop().expect("one");
    let counters: Arc<[InterfaceCounters]> = Arc::new([InterfaceCounters::default()]);
    let mut flags = Vec::new();
    for interface in 0..80 {
        let (port, flag) = faulty(Fault::Down);
        flags.push(flag);
        let counters = Arc::clone(&counters);
        link.commands.push(Command::AddPort { interface, port, counters }).map_err(drop).expect("a place");
        worker.turn();
        assert!(matches!(link.replies.pop(), Ok(Reply::Added)));
    }
    for flag in &flags {
        flag.store(true, Relaxed);
    }
    let mut down = 0;
    while link.replies.slots() == 0 {
        worker.turn();
    }
    link.commands.push(Command::Publish(Arc::default())).map_err(drop).expect("a place");
    worker.turn();
    let mut published = false;
    while down < 80 {
        worker.turn();
        match link.replies.pop() {
            Ok(Reply::Link { .. }) => down += 1,
            Ok(Reply::Published(_)) => published = true,
            _ => {}
        }
    }
    assert!(published, "the reply found a place");
}
