//! `memory`: a port whose other side is in this process, for tests that send real packets through the real graph.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use paceline_buf::{Vector, VnetHdr};
use paceline_graph::{Capabilities, Reason};

use crate::{Io, Port, frame};

type Frames = Arc<Mutex<VecDeque<(Vec<u8>, Option<VnetHdr>)>>>;

/// The port: to be given to a worker.
pub struct MemoryPort {
    capabilities: Capabilities,
    inbound: Frames,
    outbound: Frames,
}

/// The other side: what the test holds.
#[derive(Clone)]
pub struct MemoryPeer {
    inbound: Frames,
    outbound: Frames,
}

impl MemoryPort {
    /// A port that can do `capabilities`, and its other side.
    pub fn pair(capabilities: Capabilities) -> (MemoryPort, MemoryPeer) {
        let (inbound, outbound) = (Frames::default(), Frames::default());
        let peer = MemoryPeer { inbound: Arc::clone(&inbound), outbound: Arc::clone(&outbound) };
        (MemoryPort { capabilities, inbound, outbound }, peer)
    }
}

impl MemoryPeer {
    /// Lets the port receive a frame.
    pub fn send(&self, frame: &[u8]) {
        self.send_offload(frame, None);
    }

    /// Lets the port receive a frame that is not finished.
    pub fn send_offload(&self, frame: &[u8], offload: Option<VnetHdr>) {
        self.inbound.lock().unwrap_or_else(PoisonError::into_inner).push_back((frame.to_vec(), offload));
    }

    /// The next frame that the port sent.
    pub fn receive(&self) -> Option<Vec<u8>> {
        self.receive_offload().map(|f| f.0)
    }

    /// The next frame that the port sent, with what is left to do to it.
    pub fn receive_offload(&self) -> Option<(Vec<u8>, Option<VnetHdr>)> {
        self.outbound.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl Port for MemoryPort {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn receive(&mut self, io: &mut Io<'_>, out: &mut Vector) {
        let mut inbound = self.inbound.lock().unwrap_or_else(PoisonError::into_inner);
        while out.room() > 0 {
            let Some((bytes, offload)) = inbound.pop_front() else { return };
            let Some(mut packet) = frame::copy_in(io.cache, &bytes) else {
                io.missed(Reason::NoBuffers, 1);
                continue;
            };
            if let Some(offload) = offload {
                packet.set_offload(offload);
            }
            if let Err(packet) = out.push(packet) {
                io.drop(packet, Reason::GraphFull);
            }
        }
    }

    fn transmit(&mut self, io: &mut Io<'_>, vector: &mut Vector) {
        let mut outbound = self.outbound.lock().unwrap_or_else(PoisonError::into_inner);
        for packet in vector.as_slice() {
            outbound.push_back((packet.segments().flatten().copied().collect(), packet.offload()));
        }
        io.cache.free_all(vector);
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }
}
