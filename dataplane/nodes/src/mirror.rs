//! `mirror-input` and `mirror-output`: send copies of what comes in or leaves out of another interface (SPAN).
//!
//! Next: the rest of the arc; the frames go on unchanged. Copies leave past the filters of the other interface, with the tag that their
//! VLAN has there, or as its native one; those longer than its MTU are counted as too big.
//!
//! Cost: a replica of every frame: a new head of up to 256 bytes, the rest by reference.

use paceline_buf::Vector;
use paceline_graph::{Context, Node};

use crate::acl::copy;
use crate::feature::Hops;

/// Either of the two nodes.
#[derive(Default)]
pub struct Mirror<const OUT: bool> {
    hops: Hops,
}

impl<const OUT: bool> Node for Mirror<OUT> {
    fn name(&self) -> &'static str {
        if OUT { "mirror-output" } else { "mirror-input" }
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        self.hops.walk::<OUT>(cx, vector, |cx, packet, filter| {
            if let Some(target) = filter.mirror {
                let own = if OUT { packet.tx } else { packet.rx };
                copy(cx, packet, own, target);
            }
            Ok(())
        });
    }
}
