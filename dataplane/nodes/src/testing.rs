//! A graph to send frames through, one line a test.

use std::sync::Arc;

use paceline_buf::{Cache, Packet, Pool, Vector, VnetHdr};
use paceline_graph::{
    Bridge, BridgeCounters, Capabilities, Graph, Handed, Hop, Interface, InterfaceCounters, Reason, Snapshot,
    UnknownUnicast, VlanPort,
};
use paceline_tables::MacTable;

use crate::{Features, all, arcs};

/// What came out: interface, bytes, what is still to be done.
pub(crate) type Out = (u16, Vec<u8>, Option<VnetHdr>);

/// All nodes, a configuration to edit, and the buffers. On drop it checks that every buffer came back.
pub(crate) struct Rig {
    pub pool: Arc<Pool>,
    pub snapshot: Snapshot,
    pub graph: Graph,
    /// The graph of worker 1, to which packets may be handed over.
    pub second: Graph,
    /// Whether frames come in at worker 1.
    pub at_second: bool,
    /// What changes while packets are on their way to another worker.
    pub on_the_way: Option<fn(&mut Snapshot)>,
    /// Bytes of headroom that received packets have.
    pub headroom: usize,
    cache: Option<Cache>,
}

impl Rig {
    /// One bridge domain, number 0, named `br`, with `ports` interfaces named `p0`, `p1`, …
    pub fn bridge(ports: u16) -> Rig {
        let pool = Pool::small(4096);
        let mut rig = Rig {
            snapshot: Snapshot::default(),
            graph: Graph::new(all(), 0),
            second: Graph::new(all(), 1),
            at_second: false,
            on_the_way: None,
            headroom: 128,
            cache: Some(pool.cache()),
            pool,
        };
        for index in 0..ports {
            rig.interface(index, Features { capabilities: Capabilities::ALL, ..Features::default() }, |_| ());
        }
        rig.domain("br", (0..ports).collect());
        rig
    }

    /// Adds or replaces an interface in domain 0.
    pub fn interface(&mut self, index: u16, features: Features, edit: impl FnOnce(&mut Interface)) {
        let (input, output) = arcs(index, features);
        let mut interface = Interface {
            name: format!("p{index}").into(),
            mtu: 1500,
            input,
            output,
            domain: 0,
            l3: None,
            peer: None,
            tunnel: None,
            sources: None,
            zone: paceline_graph::Zone::default(),
            vlan: None,
            filter: None,
            capabilities: features.capabilities,
            capture: None,
            counters: Arc::new([InterfaceCounters::default()]),
        };
        edit(&mut interface);
        self.graph.reserve_ports(index as usize + 1);
        self.second.reserve_ports(index as usize + 1);
        self.snapshot.set_interface(index, interface);
    }

    /// Adds a bridge domain; returns its number.
    pub fn domain(&mut self, name: &str, members: Vec<u16>) -> u16 {
        self.snapshot.bridges.push(Bridge {
            name: name.into(),
            vlan: 0,
            macs: Arc::new(MacTable::new(1000)),
            learn: true,
            unknown_unicast: UnknownUnicast::Flood,
            members,
            neighbours: Arc::default(),
            multicast: None,
            counters: Arc::new(BridgeCounters::default()),
        });
        (self.snapshot.bridges.len() - 1) as u16
    }

    /// Sends a frame in by an interface; what comes out, sorted by interface.
    pub fn send(&mut self, rx: u16, frame: &[u8]) -> Vec<(u16, Vec<u8>)> {
        self.send_offload(rx, frame, None).into_iter().map(|(port, frame, _)| (port, frame)).collect()
    }

    /// The ports that a frame comes out of.
    pub fn ports(&mut self, rx: u16, frame: &[u8]) -> Vec<u16> {
        self.send(rx, frame).into_iter().map(|(port, _)| port).collect()
    }

    /// Sends an unfinished frame in by an interface.
    pub fn send_offload(&mut self, rx: u16, frame: &[u8], offload: Option<VnetHdr>) -> Vec<Out> {
        self.send_all(rx, &[(frame, offload)])
    }

    /// Sends some frames in by an interface as one vector.
    pub fn send_all(&mut self, rx: u16, frames: &[(&[u8], Option<VnetHdr>)]) -> Vec<Out> {
        let interface = self.snapshot.interface(rx).expect("an interface");
        let (entry, domain) = (interface.input[0], interface.domain);
        let (mut vector, mut out) = (Vector::new(), Vec::new());
        for (frame, offload) in frames {
            let mut packet = self.packet(frame);
            if let Some(offload) = offload {
                packet.set_offload(*offload);
            }
            (packet.rx, packet.domain) = (rx, domain);
            if self.graph.trace().wants(rx) {
                packet.set_trace(self.graph.trace().begin(0).expect("room"));
            }
            vector.push(packet).expect("room");
        }
        let cache = self.cache.as_mut().expect("a cache");
        let graphs = [&mut self.graph, &mut self.second];
        graphs[usize::from(self.at_second)].run(&self.snapshot, cache, entry, &mut vector);
        // Each packet changes the worker once at most.
        for worker in [0, 1, 0] {
            let handed: Vec<Handed> = graphs[worker].take_handed().into_iter().flatten().collect();
            if let Some(change) = self.on_the_way.take_if(|_| !handed.is_empty()) {
                change(&mut self.snapshot);
            }
            let mut handed = handed.into_iter().peekable();
            while let Some(Handed { worker: to, hop, packet }) = handed.next() {
                assert_ne!(usize::from(to), worker);
                vector.push(packet).expect("room");
                // What goes to one node follows in one vector, as at a real worker.
                if handed.peek().is_none_or(|next| (next.worker, next.hop) != (to, hop)) {
                    graphs[usize::from(to)].run(&self.snapshot, cache, hop, &mut vector);
                }
            }
        }
        for graph in graphs {
            assert!(graph.take_handed().is_none());
            while let Some(port) = graph.take_tx(&mut vector) {
                vector.drain(|packet| {
                    assert_eq!(packet.tx, port);
                    let bytes: Vec<u8> = packet.segments().flatten().copied().collect();
                    out.push((port, bytes, packet.offload()));
                    cache.free(packet);
                });
            }
        }
        out.sort_by_key(|o| o.0);
        out
    }

    /// A packet of these bytes, in segments of up to 2000.
    fn packet(&mut self, frame: &[u8]) -> Packet {
        let cache = self.cache.as_mut().expect("a cache");
        let mut parts = frame.chunks(2000);
        let mut packet = cache.alloc().expect("a buffer");
        packet.reserve(self.headroom);
        packet.extend(parts.next().unwrap_or_default()).expect("it fits");
        for part in parts {
            let mut tail = cache.alloc().expect("a buffer");
            tail.extend(part).expect("it fits");
            packet.push_tail(tail);
        }
        packet
    }

    /// Takes all buffers but some away.
    pub fn hold_all_but(&mut self, keep: usize) -> Vec<Packet> {
        let cache = self.cache.as_mut().expect("a cache");
        let mut held: Vec<Packet> = std::iter::from_fn(|| cache.alloc()).collect();
        held.drain(..keep).for_each(|packet| cache.free(packet));
        held
    }

    /// Gives them back.
    pub fn release(&mut self, held: Vec<Packet>) {
        let cache = self.cache.as_mut().expect("a cache");
        for packet in held {
            cache.free(packet);
        }
    }

    /// Changes how a VLAN-aware port treats tags.
    pub fn edit_vlan(&mut self, index: u16, edit: impl FnOnce(&mut VlanPort)) {
        let interface = self.snapshot.interfaces[index as usize].as_mut().expect("an interface");
        edit(Arc::make_mut(interface.vlan.as_mut().expect("VLAN-aware")));
    }

    /// Drops that a node counted under a reason.
    pub fn drops(&self, node: Hop, reason: Reason) -> u64 {
        let counters = self.graph.counters();
        counters[node.as_node().expect("a node") as usize].drops.get(reason)
    }

    /// All drops that an interface counted.
    pub fn interface_drops(&self, index: u16) -> u64 {
        self.snapshot.interface(index).expect("an interface").counters[0].drops.total()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.cache = None;
        if !std::thread::panicking() {
            let stats = self.pool.stats();
            assert_eq!(stats.free, stats.total, "a buffer leaked");
        }
    }
}

/// A frame from one test address to another, `len` bytes long: address `n` is 02:00:00:00:00:n, 255 is broadcast.
pub(crate) fn frame(source: u8, destination: u8, len: usize) -> Vec<u8> {
    let address = |n: u8| if n == 255 { [255; 6] } else { [2, 0, 0, 0, 0, n] };
    let mut frame = [&address(destination)[..], &address(source), &[0x88, 0xb5]].concat();
    frame.resize(len.max(frame.len()), 0x5a);
    frame
}

/// The frame with an 802.1Q or 802.1ad tag put on.
pub(crate) fn tagged(frame: &[u8], tpid: u16, tci: u16) -> Vec<u8> {
    [&frame[..12], &tpid.to_be_bytes(), &tci.to_be_bytes(), &frame[12..]].concat()
}

/// Makes an interface VLAN-aware: the domain of untagged frames, and VLANs with theirs.
pub(crate) fn trunk(rig: &mut Rig, index: u16, native: u16, tagged: &[(u16, u16)]) {
    let port = VlanPort { tpid: 0x8100, native, tagged: tagged.to_vec(), tunnel: false };
    let features = Features { vlan: true, capabilities: Capabilities::ALL, ..Features::default() };
    rig.interface(index, features, |interface| interface.vlan = Some(Arc::new(port)));
}
