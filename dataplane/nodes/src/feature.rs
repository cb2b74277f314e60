//! What the small features of filters have in common: one look at each packet, which goes on or is dropped.

use paceline_buf::{Packet, VECTOR_SIZE, Vector};
use paceline_graph::filter::Filter;
use paceline_graph::{Context, Hop, Reason};

use crate::refuse;

/// The hops of the packets in work.
pub(crate) struct Hops(Box<[Hop; VECTOR_SIZE]>);

impl Default for Hops {
    fn default() -> Self {
        Hops(Box::new([Hop::DROP; VECTOR_SIZE]))
    }
}

impl Hops {
    /// Sends each packet on along its input arc (or its output arc), unless `look` finds a reason not to. An interface without a
    /// filter has lost it since the packet was on its way, and lets it pass.
    pub(crate) fn walk<const OUT: bool>(
        &mut self,
        cx: &mut Context<'_>,
        vector: &mut Vector,
        mut look: impl FnMut(&mut Context<'_>, &mut Packet, &Filter) -> Result<(), Reason>,
    ) {
        let snapshot = cx.snapshot;
        for (packet, hop) in vector.as_mut_slice().iter_mut().zip(self.0.iter_mut()) {
            let index = if OUT { packet.tx } else { packet.rx };
            let filter = snapshot.interface(index).and_then(|interface| interface.filter.as_deref());
            let seen = filter.map_or(Ok(()), |filter| look(cx, packet, filter));
            *hop = match seen {
                Ok(()) if OUT => cx.next_output(packet).unwrap_or(Hop::NOWHERE),
                Ok(()) => cx.next_input(packet).unwrap_or(Hop::NOWHERE),
                Err(reason) => refuse(packet, reason),
            };
        }
        cx.dispatch(vector, &self.0[..]);
    }
}
