//! `capture-input` and `capture-output`: copy the frames of an interface to a capture file.
//!
//! Next: the rest of the arc; the frames go on unchanged.
//!
//! Cost: a replica of every frame (a new head of up to 256 bytes, the rest by reference) and a place in a queue that control
//! empties. `capture-input` comes first on the input arc and `capture-output` last on the output arc, so that a capture shows
//! what was on the wire, VLAN tags and all.

use std::sync::atomic::Ordering::Relaxed;

use paceline_buf::{Cache, Packet, VECTOR_SIZE, Vector};
use paceline_graph::{Capture, Captured, Context, Hop, Node};
use paceline_sys::cpu::tsc;

/// Either of the two nodes.
pub struct CaptureNode {
    outbound: bool,
    hops: Box<[Hop; VECTOR_SIZE]>,
}

impl CaptureNode {
    /// `capture-input`.
    pub fn input() -> CaptureNode {
        CaptureNode { outbound: false, hops: Box::new([Hop::DROP; VECTOR_SIZE]) }
    }

    /// `capture-output`.
    pub fn output() -> CaptureNode {
        CaptureNode { outbound: true, ..CaptureNode::input() }
    }
}

impl Node for CaptureNode {
    fn name(&self) -> &'static str {
        if self.outbound { "capture-output" } else { "capture-input" }
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let (snapshot, outbound, now) = (cx.snapshot, self.outbound, tsc());
        for (packet, hop) in vector.as_mut_slice().iter_mut().zip(self.hops.iter_mut()) {
            let index = if outbound { packet.tx } else { packet.rx };
            if let Some(capture) = snapshot.interface(index).and_then(|i| i.capture.as_deref()) {
                let copied = copy(cx.cache, capture, packet, |packet| Captured {
                    packet,
                    interface: index,
                    outbound,
                    tsc: now,
                });
                if cx.is_tracing() {
                    let text = if copied { "copied to the capture" } else { "lost for the capture" };
                    cx.trace(packet, format_args!("{text}"));
                }
            }
            let next = if outbound { cx.next_output(packet) } else { cx.next_input(packet) };
            *hop = next.unwrap_or(Hop::NOWHERE);
        }
        cx.dispatch(vector, &self.hops[..]);
    }
}

/// Queues a replica, or counts it as lost.
fn copy(
    cache: &mut Cache,
    capture: &Capture,
    packet: &mut Packet,
    wrap: impl Fn(Packet) -> Captured,
) -> bool {
    // Looked at first, because a replica that finds no place was made in vain.
    let replica = if capture.queue.is_full() { None } else { cache.replicate(packet) };
    let refused = replica.map(|replica| capture.queue.push(wrap(replica)));
    match refused {
        Some(Ok(())) => return true,
        Some(Err(captured)) => cache.free(captured.packet),
        None => {}
    }
    capture.lost.fetch_add(1, Relaxed);
    false
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use paceline_graph::{Capabilities, VlanPort};

    use super::*;
    use crate::Features;
    use crate::testing::{Rig, frame, tagged};

    /// Two ports, the second a trunk (VLAN 10) with a capture of up to `places` frames.
    fn rig(places: usize) -> (Rig, Arc<Capture>) {
        let capture = Arc::new(Capture {
            queue: crossbeam::queue::ArrayQueue::new(places),
            lost: 0.into(),
            snap: 65_535,
        });
        let mut rig = Rig::bridge(2);
        let features =
            Features { vlan: true, capture: true, capabilities: Capabilities::ALL, ..Features::default() };
        rig.interface(1, features, |interface| {
            interface.capture = Some(Arc::clone(&capture));
            interface.vlan = Some(Arc::new(VlanPort {
                tpid: 0x8100,
                native: paceline_graph::NO_DOMAIN,
                tagged: vec![(10, 0)],
                tunnel: false,
            }));
        });
        (rig, capture)
    }

    /// What waits in a capture: interface, direction, bytes.
    fn captured(rig: &Rig, capture: &Capture) -> Vec<(u16, bool, Vec<u8>)> {
        let mut cache = rig.pool.cache();
        std::iter::from_fn(|| capture.queue.pop())
            .map(|captured| {
                let bytes = captured.packet.segments().flatten().copied().collect();
                cache.free(captured.packet);
                assert_ne!(captured.tsc, 0);
                (captured.interface, captured.outbound, bytes)
            })
            .collect()
    }

    #[test]
    fn both_directions_show_what_is_on_the_wire() {
        let (mut rig, capture) = rig(8);
        for len in [64, 1400, 9000] {
            for port in 0..2 {
                rig.snapshot.l2_out[port].max_frame = 10_000;
            }
            let plain = frame(1, 255, len);
            let on_the_wire = tagged(&plain, 0x8100, 10);
            assert_eq!(rig.send(1, &on_the_wire), [(0, plain.clone())]);
            assert_eq!(captured(&rig, &capture), [(1, false, on_the_wire.clone())]);
            assert_eq!(rig.send(0, &plain), [(1, on_the_wire.clone())]);
            assert_eq!(captured(&rig, &capture), [(1, true, on_the_wire)]);
        }
    }

    #[test]
    fn a_full_queue_loses_copies_and_no_frames() {
        let (mut rig, capture) = rig(2);
        for _ in 0..5 {
            assert_eq!(rig.ports(0, &frame(1, 255, 64)), [1]);
        }
        assert_eq!(capture.lost.load(Relaxed), 3);
        assert_eq!(captured(&rig, &capture).len(), 2);
    }

    #[test]
    fn without_buffers_the_frame_goes_on_alone() {
        let (mut rig, capture) = rig(8);
        // The frame itself takes one.
        let held = rig.hold_all_but(1);
        assert_eq!(rig.ports(0, &frame(1, 255, 64)), [1]);
        assert_eq!((capture.lost.load(Relaxed), capture.queue.len()), (1, 0));
        rig.release(held);
    }

    #[test]
    fn a_capture_that_has_ended_is_passed_by() {
        let (mut rig, capture) = rig(8);
        if let Some(interface) = rig.snapshot.interfaces[1].as_mut() {
            interface.capture = None;
        }
        assert_eq!(rig.ports(0, &frame(1, 255, 64)), [1]);
        assert_eq!(capture.queue.len(), 0);
    }

    #[test]
    fn a_trace_says_that_a_copy_was_made() {
        let (mut rig, capture) = rig(1);
        rig.graph.trace().add(2, None);
        rig.ports(0, &frame(1, 255, 64));
        rig.ports(0, &frame(1, 255, 64));
        let records = rig.graph.trace().records();
        assert!(records[0].text.ends_with("capture-output: copied to the capture\n"));
        assert!(records[1].text.ends_with("capture-output: lost for the capture\n"));
        assert_eq!(captured(&rig, &capture).len(), 1);
    }
}
