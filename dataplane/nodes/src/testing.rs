//! A graph to send frames through, one line a test.

use std::sync::Arc;

use paceline_buf::{Cache, Pool, Vector, VnetHdr};
use paceline_graph::{
    Bridge, BridgeCounters, Graph, Hop, Interface, InterfaceCounters, Reason, Snapshot, UnknownUnicast,
};
use paceline_tables::MacTable;

use crate::{Features, all, arcs};

/// All nodes, a configuration to edit, and the buffers. On drop it checks that every buffer came back.
pub(crate) struct Rig {
    pub pool: Arc<Pool>,
    pub snapshot: Snapshot,
    pub graph: Graph,
    cache: Option<Cache>,
}

impl Rig {
    /// One bridge domain, number 0, named `br`, with `ports` interfaces named `p0`, `p1`, …
    pub fn bridge(ports: u16) -> Rig {
        let pool = Pool::small(4096);
        let mut rig = Rig {
            snapshot: Snapshot::default(),
            graph: Graph::new(all(), 0),
            cache: Some(pool.cache()),
            pool,
        };
        for index in 0..ports {
            rig.interface(
                index,
                Features { capabilities: paceline_graph::Capabilities::ALL, ..Features::default() },
                |_| (),
            );
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
            group: 0,
            isolated: false,
            vlan: None,
            capabilities: features.capabilities,
            capture: None,
            counters: Arc::new([InterfaceCounters::default()]),
        };
        edit(&mut interface);
        self.graph.reserve_ports(index as usize + 1);
        self.snapshot.set_interface(index, interface);
    }

    /// Adds a bridge domain; returns its number.
    pub fn domain(&mut self, name: &str, members: Vec<u16>) -> u16 {
        self.snapshot.bridges.push(Bridge {
            name: name.into(),
            macs: Arc::new(MacTable::new(1000)),
            learn: true,
            unknown_unicast: UnknownUnicast::Flood,
            members,
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
    pub fn send_offload(
        &mut self,
        rx: u16,
        frame: &[u8],
        offload: Option<VnetHdr>,
    ) -> Vec<(u16, Vec<u8>, Option<VnetHdr>)> {
        let cache = self.cache.as_mut().expect("a cache");
        let mut parts = frame.chunks(2000);
        let mut packet = cache.alloc().expect("a buffer");
        packet.extend(parts.next().unwrap_or_default()).expect("it fits");
        for part in parts {
            let mut tail = cache.alloc().expect("a buffer");
            tail.extend(part).expect("it fits");
            packet.push_tail(tail);
        }
        if let Some(offload) = offload {
            packet.set_offload(offload);
        }
        packet.rx = rx;
        let (mut vector, mut out) = (Vector::new(), Vec::new());
        let interface = self.snapshot.interface(rx).expect("an interface");
        packet.domain = interface.domain;
        let entry = interface.input[0];
        if self.graph.trace().wants(rx) {
            packet.set_trace(self.graph.trace().begin(0).expect("room"));
        }
        vector.push(packet).expect("room");
        self.graph.run(&self.snapshot, cache, entry, &mut vector);
        while let Some(port) = self.graph.take_tx(&mut vector) {
            vector.drain(|packet| {
                assert_eq!(packet.tx, port);
                let bytes: Vec<u8> = packet.segments().flatten().copied().collect();
                out.push((port, bytes, packet.offload()));
                cache.free(packet);
            });
        }
        out.sort_by_key(|o| o.0);
        out
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
