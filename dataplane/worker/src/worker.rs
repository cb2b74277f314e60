//! One worker: its ports, its graph and its loop.

mod handover;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use paceline_buf::{Cache, Packet, Pool, Vector};
use paceline_graph::{
    Capabilities, Count, Graph, Hop, InterfaceCounters, MAX_INTERFACES, NodeCounters, Snapshot, Trace,
};
use paceline_ports::{Io, LinkState, Port};
use paceline_sys::cpu::{tsc, tsc_hz};
use paceline_sys::wake::{Epoll, Event, Interest};

use crate::command::{Command, Reply};
use crate::idle::{Idle, Mode, WakeUp};
pub use handover::Handover;

/// Commands or replies that may wait.
const RING: usize = 64;
/// Of these, places for replies that link states never take: so many commands may wait for their reply.
pub(crate) const REPLIES: usize = RING / 2;
/// Packets that may wait for the worker that owns their port.
const HANDOFF: usize = 4096;
/// Turns without a packet after which a port is no longer asked, but waited for.
const COLD_AFTER: u32 = 64;
/// Turns between two looks at the ports that are waited for, while others are busy.
const LOOK_EVERY: u32 = 8;
/// Longest sleep: how late a port that cannot wake the worker is served, and how old a link state can be.
const SLEEP: Duration = Duration::from_millis(250);
/// Sleep while some port cannot wake the worker.
const NAP: Duration = Duration::from_micros(500);
const WAKE_TOKEN: u64 = u64::MAX;

/// A port of this worker.
struct Slot {
    port: Box<dyn Port>,
    counters: Arc<[InterfaceCounters]>,
    /// Turns since it had a packet.
    quiet: u32,
    /// In the list of those that are asked every turn.
    hot: bool,
    /// Its descriptor is waited for while it works.
    wakes: bool,
    /// It cannot wake the worker and may have packets at any time.
    sleepless: bool,
    state: LinkState,
    capabilities: Capabilities,
    /// Control knows both.
    told: bool,
}

/// What one worker counts of itself.
#[derive(Default)]
pub struct WorkerCounters {
    /// Turns of the loop.
    pub turns: Count,
    /// Turns that moved packets.
    pub busy_turns: Count,
    /// Times it slept.
    pub sleeps: Count,
    /// TSC cycles slept.
    pub sleep_cycles: Count,
    /// Packets handed to other workers.
    pub handed_off: Count,
    /// TSC at the last turn of note, for views.
    pub now: AtomicU64,
}

/// Control's end of a worker.
pub struct Link {
    /// Where commands go.
    pub commands: rtrb::Producer<Command>,
    /// Where replies come from.
    pub replies: rtrb::Consumer<Reply>,
    /// How to wake the worker for them.
    pub wake: Arc<WakeUp>,
    /// Counters of its nodes, in the order of `nodes`.
    pub node_counters: Arc<[NodeCounters]>,
    /// Names of its nodes.
    pub nodes: Vec<&'static str>,
    /// Its own counters.
    pub counters: Arc<WorkerCounters>,
    /// Packets that others handed over.
    queue: Arc<ArrayQueue<(Hop, Packet)>>,
}

impl Link {
    /// Gives the worker a packet to send to a hop, as other workers do; and wakes it.
    ///
    /// # Errors
    /// The packet itself, if too many wait already.
    pub fn hand_over(&self, hop: Hop, packet: Packet) -> Result<(), Packet> {
        self.handover().give(hop, packet)
    }

    /// The way to hand packets over, for another thread.
    pub fn handover(&self) -> Handover {
        Handover { queue: Arc::clone(&self.queue), wake: Arc::clone(&self.wake) }
    }

    /// Frees what was handed to the worker after it ended.
    pub fn free_handed_over(&self, cache: &mut Cache) {
        while let Some((_, packet)) = self.queue.pop() {
            cache.free(packet);
        }
    }
}

/// What one turn of the loop found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Packets were moved, or a command was taken.
    Busy,
    /// There was nothing to do.
    Idle,
    /// The worker was told to stop.
    Stop,
}

/// One worker. Run it with [`run`](Worker::run) on a thread of its own, or turn by turn.
pub struct Worker {
    number: usize,
    graph: Graph,
    cache: Cache,
    snapshot: Arc<Snapshot>,
    slots: Vec<Option<Slot>>,
    hot: Vec<u16>,
    /// Ports that can neither wake the worker nor be without packets for ever.
    sleepless: usize,
    remotes: Vec<Option<u16>>,
    peers: Vec<Handover>,
    /// Who is woken when packets wait for control.
    control: Arc<WakeUp>,
    epoll: Epoll,
    commands: rtrb::Consumer<Command>,
    replies: rtrb::Producer<Reply>,
    wake: Arc<WakeUp>,
    idle: Idle,
    counters: Arc<WorkerCounters>,
    rx: Vector,
    tx: Vector,
    since_look: u32,
    next_state_check: u64,
    epoch: u64,
}

impl Worker {
    /// Makes `count` workers on one pool and the links to them. `control` is woken when packets wait for control.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn team(
        count: usize,
        pool: &Arc<Pool>,
        mode: Mode,
        spin: Duration,
        control: &Arc<WakeUp>,
    ) -> io::Result<Vec<(Worker, Link)>> {
        let peers = (0..count)
            .map(|_| Ok(Handover { queue: Arc::new(ArrayQueue::new(HANDOFF)), wake: WakeUp::new()? }))
            .collect::<io::Result<Vec<_>>>()?;
        let epoch = tsc();
        let new = |number| Worker::new(number, &peers, pool, Idle::new(mode, spin), epoch, control);
        (0..count).map(new).collect()
    }

    fn new(
        number: usize,
        peers: &[Handover],
        pool: &Arc<Pool>,
        idle: Idle,
        epoch: u64,
        control: &Arc<WakeUp>,
    ) -> io::Result<(Worker, Link)> {
        let graph = Graph::new(paceline_nodes::all(), number);
        let (command_in, commands) = rtrb::RingBuffer::new(RING);
        let (replies, reply_out) = rtrb::RingBuffer::new(RING);
        let wake = Arc::clone(&peers[number].wake);
        let epoll = Epoll::new()?;
        epoll.add(wake.event(), WAKE_TOKEN, Interest::Read)?;
        let counters = Arc::new(WorkerCounters::default());
        let link = Link {
            commands: command_in,
            replies: reply_out,
            wake: Arc::clone(&wake),
            node_counters: Arc::clone(graph.counters()),
            nodes: graph.names().to_vec(),
            counters: Arc::clone(&counters),
            queue: Arc::clone(&peers[number].queue),
        };
        let worker = Worker {
            number,
            graph,
            cache: pool.cache(),
            snapshot: Arc::default(),
            slots: Vec::new(),
            hot: Vec::with_capacity(MAX_INTERFACES),
            sleepless: 0,
            remotes: Vec::new(),
            peers: peers.to_vec(),
            control: Arc::clone(control),
            epoll,
            commands,
            replies,
            wake,
            idle,
            counters,
            rx: Vector::new(),
            tx: Vector::new(),
            since_look: 0,
            next_state_check: 0,
            epoch,
        };
        Ok((worker, link))
    }

    /// Turns until told to stop, sleeping as the mode says.
    pub fn run(mut self) {
        loop {
            match self.turn() {
                Turn::Stop => return,
                Turn::Busy => _ = self.idle.rest(tsc(), true),
                Turn::Idle => {
                    if self.idle.rest(tsc(), false) {
                        self.sleep();
                    }
                }
            }
        }
    }

    /// One turn: commands, one vector of each port that may have packets, what other workers handed over.
    pub fn turn(&mut self) -> Turn {
        self.counters.turns.add(1);
        let mut busy = false;
        while let Ok(command) = self.commands.pop() {
            busy = true;
            if !self.obey(command) {
                return Turn::Stop;
            }
        }
        self.since_look += 1;
        if self.since_look >= LOOK_EVERY || self.hot.is_empty() {
            self.look(Some(Duration::ZERO));
        }
        let mut at = 0;
        while let Some(&interface) = self.hot.get(at) {
            if self.receive(interface) {
                busy = true;
            }
            // A port that went cold left its place to the next one.
            if self.hot.get(at) == Some(&interface) {
                at += 1;
            }
        }
        busy |= self.take_handed_over();
        if busy {
            self.counters.busy_turns.add(1);
        }
        if self.counters.turns.get().is_multiple_of(1024) {
            self.check_links();
        }
        if busy { Turn::Busy } else { Turn::Idle }
    }

    /// One vector of one port, through the graph and out. Whether there were packets.
    #[inline]
    fn receive(&mut self, interface: u16) -> bool {
        let Some(slot) = self.slots.get_mut(interface as usize).and_then(Option::as_mut) else {
            return false;
        };
        // Its packets wait until there is a configuration that says what to do with them: a replay must not lose its first ones.
        let Some((config, &entry)) =
            self.snapshot.interface(interface).and_then(|i| Some((i, i.input.first()?)))
        else {
            return false;
        };
        let counters = &slot.counters[self.number];
        let start = tsc();
        slot.port.receive(&mut Io::new(&mut self.cache, &counters.drops), &mut self.rx);
        if self.rx.is_empty() {
            slot.quiet += 1;
            if slot.quiet > COLD_AFTER && slot.wakes {
                slot.hot = false;
                self.hot.retain(|i| *i != interface);
            }
            return false;
        }
        let received = tsc();
        slot.quiet = 0;
        let (mut bytes, domain) = (0, config.domain);
        for packet in self.rx.as_mut_slice() {
            packet.rx = interface;
            packet.domain = domain;
            bytes += packet.total_len() as u64;
        }
        counters.rx_packets.add(self.rx.len() as u64);
        counters.rx_bytes.add(bytes);
        counters.rx_vectors.add(1);
        counters.rx_cycles.add(received.wrapping_sub(start));
        if self.graph.trace().wants(interface) {
            self.begin_trace(interface);
        }
        self.run_graph(entry);
        true
    }

    /// Sends the received vector through the graph, and what comes out of it on its way.
    #[inline]
    fn run_graph(&mut self, entry: Hop) {
        self.graph.run(&self.snapshot, &mut self.cache, entry, &mut self.rx);
        self.transmit();
        if self.graph.take_punted() {
            self.control.wake();
        }
        self.give_away();
    }

    /// Sends what waits for ports.
    #[inline]
    fn transmit(&mut self) {
        while let Some(interface) = self.graph.take_tx(&mut self.tx) {
            let Some(slot) = self.slots.get_mut(interface as usize).and_then(Option::as_mut) else {
                self.hand_over(interface);
                continue;
            };
            let counters = &slot.counters[self.number];
            send(slot.port.as_mut(), counters, &mut self.cache, &mut self.tx, self.graph.trace());
        }
    }

    #[cold]
    fn begin_trace(&mut self, interface: u16) {
        let nanos = u128::from(tsc().wrapping_sub(self.epoch)) * 1_000_000_000 / u128::from(tsc_hz());
        let snapshot = &self.snapshot;
        let trace = self.graph.trace();
        for packet in self.rx.as_mut_slice() {
            let Some(record) = trace.begin(nanos as u64) else { return };
            packet.set_trace(record);
            let (name, len) = (snapshot.name(interface), packet.total_len());
            match packet.offload() {
                None => trace.line(record, "rx", format_args!("{name}, {len} bytes")),
                Some(o) => trace.line(record, "rx", format_args!("{name}, {len} bytes, {o:?}")),
            }
        }
    }

    /// Asks the kernel which ports have packets, waiting up to `timeout`.
    fn look(&mut self, timeout: Option<Duration>) {
        self.since_look = 0;
        let mut events = [Event::EMPTY; 64];
        // An interrupted wait is as good as an empty one: the loop comes back.
        let count = self.epoll.wait(&mut events, timeout).unwrap_or(0);
        for event in &events[..count] {
            let interface = event.token();
            if let Some(slot) = self.slots.get_mut(interface as usize).and_then(Option::as_mut)
                && !slot.hot
            {
                slot.hot = true;
                slot.quiet = 0;
                self.hot.push(interface as u16);
            }
        }
    }

    #[cold]
    fn sleep(&mut self) {
        self.wake.about_to_sleep();
        if self.commands.is_empty() && self.peers[self.number].queue.is_empty() {
            let start = tsc();
            self.look(Some(if self.sleepless > 0 { NAP } else { SLEEP }));
            self.counters.sleeps.add(1);
            self.counters.sleep_cycles.add(tsc().wrapping_sub(start));
            self.check_links();
        }
        self.wake.awake();
    }

    /// Tells control of ports that went up or down, a few times a second.
    fn check_links(&mut self) {
        let now = tsc();
        self.counters.now.store(now, Relaxed);
        if now < self.next_state_check {
            return;
        }
        self.next_state_check = now + tsc_hz() / 4;
        for (interface, slot) in self.slots.iter_mut().enumerate() {
            let Some(slot) = slot else { continue };
            let state = slot.port.state();
            if state != slot.state {
                // A device that is gone makes its descriptor ready for ever: it is not waited for until it is back.
                if slot.wakes
                    && let Some(fd) = slot.port.wake_fd()
                {
                    let _ = match state {
                        LinkState::Up => self.epoll.add(fd, interface as u64, Interest::Read),
                        LinkState::Down(_) => self.epoll.remove(fd),
                    };
                }
                (slot.state, slot.told) = (state, false);
            }
            let capabilities = slot.port.capabilities();
            if capabilities != slot.capabilities {
                (slot.capabilities, slot.told) = (capabilities, false);
            }
            // Without a place it is told at the next look.
            if !slot.told && self.replies.slots() > REPLIES {
                let state = slot.state.clone();
                let told = Reply::Link { interface: interface as u16, state, capabilities };
                slot.told = self.replies.push(told).is_ok();
            }
        }
    }

    /// Carries out a command; false means stop.
    #[cold]
    fn obey(&mut self, command: Command) -> bool {
        let reply = match command {
            Command::Publish(snapshot) => {
                self.graph.reserve_ports(snapshot.interfaces.len());
                Reply::Published(std::mem::replace(&mut self.snapshot, snapshot))
            }
            Command::AddPort { interface, port, counters } => {
                self.add(interface, port, counters);
                Reply::Added
            }
            Command::AddRemote { interface, owner } => {
                self.remotes.resize(self.remotes.len().max(interface as usize + 1), None);
                self.remotes[interface as usize] = Some(owner as u16);
                Reply::Added
            }
            Command::RemovePort(interface) => Reply::Removed(self.remove(interface)),
            Command::Trace(trace) => Reply::Traced(std::mem::replace(self.graph.trace(), trace)),
            Command::Stop => {
                for interface in 0..self.slots.len() {
                    self.remove(interface as u16);
                }
                self.take_handed_over();
                return false;
            }
        };
        // Control has no more commands under way than there are places for replies, so there is one.
        let _ = self.replies.push(reply);
        true
    }

    fn add(&mut self, interface: u16, port: Box<dyn Port>, counters: Arc<[InterfaceCounters]>) {
        let index = interface as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        let wakes = port.wake_fd().is_some_and(|fd| self.epoll.add(fd, index as u64, Interest::Read).is_ok());
        let sleepless = !wakes && port.is_source();
        if sleepless {
            self.hot.push(interface);
            self.sleepless += 1;
        }
        let (state, capabilities, told, hot) = (LinkState::Up, port.capabilities(), true, sleepless);
        let slot = Slot { port, counters, quiet: 0, hot, wakes, sleepless, state, capabilities, told };
        self.slots[index] = Some(slot);
    }

    fn remove(&mut self, interface: u16) -> Option<Box<dyn Port>> {
        // Packets that were handed over for this interface before control took it out of the snapshot.
        self.take_handed_over();
        if let Some(remote) = self.remotes.get_mut(interface as usize) {
            *remote = None;
        }
        let mut slot = self.slots.get_mut(interface as usize)?.take()?;
        self.hot.retain(|i| *i != interface);
        if slot.wakes
            && let Some(fd) = slot.port.wake_fd()
        {
            // It may have been taken out when the link went down.
            let _ = self.epoll.remove(fd);
        }
        self.sleepless -= usize::from(slot.sleepless);
        let drops = &slot.counters[self.number].drops;
        slot.port.close(&mut Io::new(&mut self.cache, drops));
        Some(slot.port)
    }
}

/// Sends a vector and counts it.
#[inline]
fn send(
    port: &mut dyn Port,
    counters: &InterfaceCounters,
    cache: &mut Cache,
    tx: &mut Vector,
    trace: &mut Trace,
) {
    let (packets, mut bytes) = (tx.len() as u64, 0);
    for packet in tx.as_slice() {
        bytes += packet.total_len() as u64;
    }
    if trace.is_active() {
        for packet in tx.as_slice() {
            if let Some(record) = packet.trace() {
                trace.line(record, "tx", format_args!("{}, {} bytes", port.kind(), packet.total_len()));
            }
        }
    }
    let start = tsc();
    let mut io = Io::new(cache, &counters.drops);
    port.transmit(&mut io, tx);
    let lost = io.lost();
    counters.tx_cycles.add(tsc().wrapping_sub(start));
    counters.tx_vectors.add(1);
    counters.tx_packets.add(packets.saturating_sub(lost.packets));
    counters.tx_bytes.add(bytes.saturating_sub(lost.bytes));
}
